// SPDX-License-Identifier: Apache-2.0
/*
 * A good client beside 64 that mean harm (tests/hostile.c), with the limits that a daemon has when
 * nobody configures any. The attackers run at the lowest priority: what is seen is how the daemon
 * shares itself out. First it is quiet, then they come, then they have gone.
 */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rows.h"
#include "smaps.h"
#include "world.h"

#define ATTACKERS 64
#define BLOCK     100
#define QUEUES    64 /* some blocks later the kernel has freed one, on a busy machine too */
#define NOBODY    65534

static struct {
	struct daemon daemon;
	struct pod good, bad[ATTACKERS];
	pid_t pids[ATTACKERS];
	struct xskd *admin, *client;
	char attacks[32][32];
	size_t n_attacks;
} w;

/* ---- the attackers ---- */

static void list_attacks(const struct setting *set)
{
	char command[300];
	FILE *f;

	snprintf(command, sizeof(command), "%s/tests/hostile --list", set->build);
	f = popen(command, "re");
	CHECK(f);
	while (w.n_attacks < 32 && fscanf(f, "%31s", w.attacks[w.n_attacks]) == 1)
		w.n_attacks++;
	CHECK(pclose(f) == 0 && w.n_attacks);
}

/* As a pod's process: by a path that it may walk, and a program that it may have no path to. */
static void become(const struct setting *set, size_t i)
{
	char program[300], dir[108];
	char *const argv[] = { (char[]){ "hostile" }, (char[]){ "xskd.sock" }, (char[]){ "eth0" },
			       w.attacks[i / 2 % w.n_attacks], NULL };
	cpu_set_t all;
	int fd, out = open("/dev/null", O_WRONLY | O_CLOEXEC);

	CPU_ZERO(&all);
	CPU_SET(CPU_CLIENT, &all);
	CPU_SET(CPU_SERVER, &all);
	snprintf(program, sizeof(program), "%s/tests/hostile", set->build);
	snprintf(dir, sizeof(dir), "%s", w.daemon.pod);
	*strrchr(dir, '/') = '\0';
	fd = open(program, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0 && out >= 0 && dup2(out, STDOUT_FILENO) >= 0 && chdir(dir) == 0);
	CHECK(sched_setaffinity(0, sizeof(all), &all) == 0);
	CHECK(setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0);
	CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)syscall(SYS_execveat, fd, "", argv, environ, 0x1000 /* AT_EMPTY_PATH */);
	check_failed(__FILE__, __LINE__, program);
}

static void attack(const struct setting *set)
{
	for (size_t i = 0; i < ATTACKERS; i++) {
		pod_enter(&w.bad[i]);
		w.pids[i] = fork();
		CHECK(w.pids[i] >= 0);
		if (!w.pids[i])
			become(set, i);
		pod_leave(&w.bad[i]);
	}
}

static void end_attack(void)
{
	for (size_t i = 0; i < ATTACKERS; i++) {
		int status;

		CHECK(kill(w.pids[i], SIGKILL) == 0);
		CHECK(waitpid(w.pids[i], &status, 0) == w.pids[i]);
		CHECK(WIFSIGNALED(status)); /* and not that it had ended by itself */
	}
	/* With these goes what they had it keep. */
	for (size_t i = 0; i < ATTACKERS; i += 2) {
		char name[16];

		snprintf(name, sizeof(name), "bad%zu", i);
		must(w.admin, xskd_revoke_lease(w.admin, name, NULL, NULL), "revoke");
	}
}

/* Every other one has a lease. */
static void make_pods(void)
{
	pod_make(&w.good);
	device_make(&w.good, "good", "eth0", QUEUES);
	pod_serve(&w.good, w.admin, "eth0");
	for (size_t i = 0; i < ATTACKERS; i++) {
		const struct xskd_load_opts load = XSKD_OPTS(xskd_load_opts, .netns_fd = 0);
		struct xskd_load_opts opts = load;
		struct xskd_program program;
		char name[16];

		pod_make(&w.bad[i]);
		if (i % 2)
			continue;
		snprintf(name, sizeof(name), "bad%zu", i);
		device_make(&w.bad[i], name, "eth0", 1);
		opts.netns_fd = w.bad[i].netns;
		must(w.admin, xskd_load_program(w.admin, "eth0", &opts, &program), "load");
		must(w.admin, xskd_grant_lease(w.admin, name, "eth0", w.bad[i].netns, NULL, NULL),
		     "grant");
	}
}

/* ---- the good client ---- */

static void get_info(void)
{
	struct xskd_info info;

	must(w.client, xskd_get_info(w.client, &info), "GetInfo");
}

static void get_map(void)
{
	int fd;

	must(w.client, xskd_get_xsk_map(w.client, "eth0", &fd, NULL), "GetXskMap");
	close(fd);
}

/* Of a queue that nobody has had a moment ago: else it is the kernel that is waited for. */
static void hand_off(void)
{
	static uint32_t queue;
	const uint32_t queues[] = { queue++ % QUEUES };
	const struct xskd_handoff_opts opts =
		XSKD_OPTS(xskd_handoff_opts, .frames = 64, .queues = queues, .n_queues = 1);
	struct xskd_handoff *h;

	must(w.client, xskd_hand_off(w.client, "eth0", &opts, &h), "HandOffSocket");
	must(w.client, xskd_release(w.client, h), "ReleaseSocket");
	xskd_handoff_free(h);
}

static void visit(void)
{
	struct xskd_info info;
	struct xskd *x = pod_open(&w.good, &w.daemon);

	must(x, xskd_get_info(x, &info), "GetInfo");
	xskd_close(x);
}

static const struct {
	const char *name;
	void (*call)(void);
	size_t block;
} calls[] = {
	{ "GetInfo", get_info, BLOCK },
	{ "GetXskMap", get_map, BLOCK },
	{ "connect and GetInfo", visit, BLOCK / 4 },
	{ "HandOffSocket and release", hand_off, BLOCK / 10 },
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* All calls, and of each block of them the 99th percentile. */
static void measure(const char *phase, double us)
{
	for (struct rounds r = rounds_for(us); rounds(&r);) {
		for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
			bool quiet = !strcmp(phase, "quiet");
			char name[64], p99[64], base[64];
			double took[BLOCK];

			snprintf(name, sizeof(name), "%s, %s", calls[i].name, phase);
			snprintf(p99, sizeof(p99), "%s p99, %s", calls[i].name, phase);
			snprintf(base, sizeof(base), "%s p99, quiet", calls[i].name);
			for (size_t n = 0; n < calls[i].block; n++) {
				double began = now_us();

				calls[i].call();
				took[n] = now_us() - began;
				row_add(row(name, "us", NULL, NULL), took[n]);
				sleep_us(500);
			}
			qsort(took, calls[i].block, sizeof(*took), compare);
			row_add(row(p99, "us", quiet ? NULL : base, quiet ? NULL : "<=3x"),
				took[(size_t)(0.99 * (double)(calls[i].block - 1) + 0.5)]);
		}
		daemon_forget_log(&w.daemon);
	}
}

/* ---- the daemon ---- */

static void look(const char *phase)
{
	char path[64], name[64];
	size_t fds = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)w.daemon.pid);
	d = opendir(path);
	CHECK(d);
	while (readdir(d))
		fds++;
	closedir(d);
	snprintf(name, sizeof(name), "daemon memory, %s", phase);
	row_add(row(name, "KiB", NULL, NULL), memory_of(w.daemon.pid).own);
	snprintf(name, sizeof(name), "daemon descriptors, %s", phase);
	row_add(row(name, "", NULL, NULL), (double)fds - 2); /* dots */
}

void bench_hostile(const struct setting *set)
{
	list_attacks(set);
	daemon_start_as_is(&w.daemon, set, "hostile");
	w.admin = here_open(&w.daemon);
	make_pods();
	w.client = pod_open(&w.good, &w.daemon);
	pin_to(CPU_CLIENT);
	measure("quiet", set->us / 4);
	look("quiet");
	attack(set);
	sleep_us(set->smoke ? 100000 : 1000000);
	measure("64 hostile", set->us / 2);
	look("64 hostile");
	end_attack();
	sleep_us(set->smoke ? 100000 : 2500000); /* past a sweep and what waits for one */
	look("afterwards");
	xskd_close(w.client);
	xskd_close(w.admin);
	daemon_stop(&w.daemon);
}
