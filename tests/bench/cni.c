// SPDX-License-Identifier: Apache-2.0
/*
 * xskd-cni as a runtime runs it, a process for each verb, beside Debian's CNI plugins. CPU time is
 * that of the plugin and of the IPAM plugin that it runs; what the daemon does for it has rows of
 * its own. Neither host-device nor bridge has a program attached: their work is the network's half.
 */
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rows.h"
#include "world.h"

#define PLUGINS "/usr/lib/cni"
#define QUEUES  4

static struct {
	struct daemon daemon;
	struct pod pod, far; /* @far: the other ends of the devices */
	char netns[96], out[96];
} w;

/* ---- one process ---- */

struct cost {
	double wall, cpu;
};

struct process {
	char program[256], conf[96];
	char container[40], ifname[32];
};

static double time_us(struct timeval t)
{
	return (double)t.tv_sec * 1e6 + (double)t.tv_usec;
}

static void tell_failure(const struct process *p, const char *verb)
{
	char line[1024];
	FILE *out = fopen(w.out, "re");

	fprintf(stderr, "%s %s failed: ", p->program, verb);
	while (out && fgets(line, sizeof(line), out))
		fputs(line, stderr);
	exit(1);
}

static struct cost run(struct process *p, const char *verb)
{
	char command[32], netns[128], path[] = "CNI_PATH=" PLUGINS;
	char *const argv[] = { p->program, NULL };
	char *const env[] = {
		command, netns, p->container, p->ifname, path, NULL,
	};
	posix_spawn_file_actions_t files;
	struct rusage usage;
	struct cost cost;
	double began;
	int status;
	pid_t pid;

	snprintf(command, sizeof(command), "CNI_COMMAND=%s", verb);
	snprintf(netns, sizeof(netns), "CNI_NETNS=%s", w.netns);
	CHECK(posix_spawn_file_actions_init(&files) == 0);
	CHECK(posix_spawn_file_actions_addopen(&files, 0, p->conf, O_RDONLY, 0) == 0);
	CHECK(posix_spawn_file_actions_addopen(&files, 1, w.out, O_WRONLY | O_CREAT | O_TRUNC,
					       0600) == 0);
	began = now_us();
	CHECK(posix_spawn(&pid, p->program, &files, NULL, argv, env) == 0);
	CHECK(wait4(pid, &status, 0, &usage) == pid);
	cost.wall = now_us() - began;
	cost.cpu = time_us(usage.ru_utime) + time_us(usage.ru_stime);
	posix_spawn_file_actions_destroy(&files);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		tell_failure(p, verb);
	return cost;
}

/* @conf: what its configuration has besides type and name. */
static void process_set(struct process *p, const struct setting *set, const char *type,
			const char *program, const char *conf)
{
	static int number;
	FILE *f;

	CHECK(snprintf(p->program, sizeof(p->program), "%s", program) < (int)sizeof(p->program));
	snprintf(p->conf, sizeof(p->conf), "%s/conf%d.json", set->dir, number);
	snprintf(p->container, sizeof(p->container), "CNI_CONTAINERID=bench%d", number++);
	snprintf(p->ifname, sizeof(p->ifname), "CNI_IFNAME=net1");
	f = fopen(p->conf, "we");
	CHECK(f);
	fprintf(f, "{\"cniVersion\": \"1.0.0\", \"name\": \"bench\", \"type\": \"%s\"%s}\n", type,
		conf);
	CHECK(fclose(f) == 0);
}

/* Plugins in Go have several threads, and may use the CPUs as they do in life. */
static void pin_nowhere(void)
{
	cpu_set_t all;

	memset(&all, 0xff, sizeof(all));
	CHECK(sched_setaffinity(0, sizeof(all), &all) == 0);
}

/* A row of wall time, and one of CPU time: they differ in their names. */
static struct row *row_of(const char *name, const char *what, const char *base, const char *target)
{
	char full[64], base_full[64];

	snprintf(full, sizeof(full), "%s%s", name, what);
	snprintf(base_full, sizeof(base_full), "%s%s", base ? base : "", what);
	return row(full, "us", base ? base_full : NULL, target);
}

/* ---- start ---- */

static const struct starter {
	const char *name, *base, *target;
	const char *directory, *file; /* NULL: below the build's */
} starters[] = {
	{ "empty program", NULL, NULL, NULL, "tests/bench/empty" },
	{ "empty program, static", "empty program", NULL, NULL, "tests/bench/empty-static" },
	{ "xskd-cni VERSION", "empty program", "<=1.3x", NULL, "client/cni/xskd-cni" },
	{ "loopback VERSION (Go)", "empty program", NULL, PLUGINS, "loopback" },
};

#define N_STARTERS (sizeof(starters) / sizeof(*starters))

static void measure_starts(const struct setting *set, double us)
{
	struct process p[N_STARTERS];
	struct row *wall[N_STARTERS], *cpu[N_STARTERS];
	struct rounds r;

	for (size_t i = 0; i < N_STARTERS; i++) {
		const struct starter *s = &starters[i];
		char program[320];

		snprintf(program, sizeof(program), "%s/%s",
			 s->directory ? s->directory : set->build, s->file);
		process_set(&p[i], set, "loopback", program, "");
		wall[i] = row_of(s->name, "", s->base, s->target);
		cpu[i] = row_of(s->name, ", CPU", s->base, NULL);
		(void)run(&p[i], "VERSION");
	}
	for (r = rounds_for(us); rounds(&r);) {
		for (size_t i = 0; i < N_STARTERS; i++) {
			struct cost cost = run(&p[i], "VERSION");

			row_add(wall[i], cost.wall);
			row_add(cpu[i], cost.cpu);
		}
	}
}

/* ---- ADD and DEL ---- */

#define IPAM                                                                \
	", \"ipam\": {\"type\": \"host-local\", \"dataDir\": \"%s/ipam\", " \
	"\"ranges\": [[{\"subnet\": \"10.98.0.0/24\"}]]}"

static const struct kind {
	const char *name, *base, *cpu_target;
	const char *plugin; /* NULL: xskd-cni */
	const char *conf;
	bool ipam;
} kinds[] = {
	{ "host-device", NULL, NULL, "host-device", ", \"device\": \"nic0\"", false },
	{ "device", "host-device", "<=0.5x", NULL, ", \"device\": \"nic1\"", false },
	{ "host-device + IPAM", NULL, NULL, "host-device", ", \"device\": \"nic0\"", true },
	{ "device + IPAM", "host-device + IPAM", "<=0.5x", NULL, ", \"device\": \"nic1\"", true },
	{ "queue, first pod", NULL, NULL, NULL, ", \"mode\": \"queue\", \"device\": \"nic2\"",
	  false },
	{ "queue, further pod", NULL, NULL, NULL, ", \"mode\": \"queue\", \"device\": \"nic3\"",
	  false },
	{ "host-local alone", NULL, NULL, "host-local", "", true },
	{ "bridge + IPAM", NULL, NULL, "bridge", ", \"bridge\": \"br0\", \"isGateway\": true",
	  true },
};

#define N_KINDS   (sizeof(kinds) / sizeof(*kinds))
#define FURTHER   "nic3" /* has a lease, and so a program, all the time */
#define N_DEVICES 4

struct kind_rows {
	struct row *wall, *cpu, *daemon, *sum;
};

static struct kind_rows rows_of(const struct kind *k)
{
	char name[48], base[48];
	const char *b = k->base ? base : NULL;

	snprintf(name, sizeof(name), "ADD+DEL, %s", k->name);
	snprintf(base, sizeof(base), "ADD+DEL, %s", k->base ? k->base : "");
	return (struct kind_rows){
		.wall = row_of(name, "", b, NULL),
		.cpu = row_of(name, ", CPU", b, k->cpu_target),
	};
}

/* Ratio of the sum: to the same CPU time of the floor, which has no daemon. */
static void rows_of_daemon(const struct kind *k, struct kind_rows *rows)
{
	char name[64], base[64];

	snprintf(base, sizeof(base), "ADD+DEL, %s, CPU", k->base ? k->base : "");
	snprintf(name, sizeof(name), "ADD+DEL, %s, daemon's CPU", k->name);
	rows->daemon = row(name, "us", NULL, NULL);
	snprintf(name, sizeof(name), "ADD+DEL, %s, CPU of both", k->name);
	rows->sum = row(name, "us", k->base ? base : NULL, NULL);
}

static void kind_set(struct process *p, const struct setting *set, const struct kind *k)
{
	char program[320], ipam[256] = "", ours[128] = "", conf[512];

	snprintf(program, sizeof(program), "%s/%s", k->plugin ? PLUGINS : set->build,
		 k->plugin ? k->plugin : "client/cni/xskd-cni");
	if (k->ipam)
		snprintf(ipam, sizeof(ipam), IPAM, set->dir);
	if (!k->plugin)
		snprintf(ours, sizeof(ours), ", \"socketDir\": \"%s/cni\"", set->dir);
	snprintf(conf, sizeof(conf), "%s%s%s", k->conf, ours, ipam);
	process_set(p, set, k->plugin ? k->plugin : "xskd-cni", program, conf);
}

/* The daemon may unload behind the answer of a DEL: the pauses are its time as well. */
static void measure_pair(struct process *p, const struct kind_rows *rows)
{
	double daemon = clock_us(w.daemon.cpu);
	struct cost add, del;

	add = run(p, "ADD");
	settle();
	del = run(p, "DEL");
	settle();
	daemon = clock_us(w.daemon.cpu) - daemon;
	row_add(rows->wall, add.wall + del.wall);
	row_add(rows->cpu, add.cpu + del.cpu);
	if (!rows->daemon)
		return;
	row_add(rows->daemon, daemon);
	row_add(rows->sum, add.cpu + del.cpu + daemon);
}

static void measure_kinds(const struct setting *set, double us)
{
	struct process p[N_KINDS], other = { 0 };
	struct kind_rows rows_at[N_KINDS];
	struct rounds r;

	for (size_t i = 0; i < N_KINDS; i++) {
		kind_set(&p[i], set, &kinds[i]);
		rows_at[i] = rows_of(&kinds[i]);
		if (!kinds[i].plugin)
			rows_of_daemon(&kinds[i], &rows_at[i]);
		if (strstr(kinds[i].conf, FURTHER)) {
			other = p[i];
			snprintf(other.ifname, sizeof(other.ifname), "CNI_IFNAME=net0");
			(void)run(&other, "ADD");
		}
		(void)run(&p[i], "ADD"); /* the bridge is made; programs are in the page cache */
		(void)run(&p[i], "DEL");
	}
	for (r = rounds_for(us); rounds(&r);) {
		for (size_t i = 0; i < N_KINDS; i++)
			measure_pair(&p[i], &rows_at[i]);
	}
	(void)run(&other, "DEL");
}

/* ---- the section ---- */

/* Down, as host-device leaves it: xskd-cni would give it back up, and do more. */
static void spare_device(int number)
{
	char here[16], there[16];

	snprintf(here, sizeof(here), "nic%d", number);
	snprintf(there, sizeof(there), "far%d", number);
	device_make(&w.far, here, there, QUEUES);
	device_down(here);
}

static void name_netns(const struct setting *set)
{
	char fd[32];
	int file;

	snprintf(w.netns, sizeof(w.netns), "%s/pod", set->dir);
	snprintf(fd, sizeof(fd), "/proc/self/fd/%d", w.pod.netns);
	file = open(w.netns, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(file >= 0);
	close(file);
	CHECK(mount(fd, w.netns, NULL, MS_BIND, NULL) == 0);
}

void bench_cni(const struct setting *set)
{
	pin_to(CPU_SERVER);
	pod_make(&w.pod);
	pod_make(&w.far);
	name_netns(set);
	snprintf(w.out, sizeof(w.out), "%s/answer", set->dir);
	for (int i = 0; i < N_DEVICES; i++)
		spare_device(i);
	measure_starts(set, set->us * 0.2);
	daemon_start(&w.daemon, set, "cni");
	pin_nowhere();
	measure_kinds(set, set->us * 0.8);
	daemon_stop(&w.daemon);
	CHECK(umount2(w.netns, MNT_DETACH) == 0);
}
