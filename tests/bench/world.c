// SPDX-License-Identifier: Apache-2.0
#include "world.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rows.h"

/*
 * The limits are raised so that a bench may do in a second what a pod does in its life. The code
 * that checks them is the same.
 */
#define LIMITS                                                                           \
	"\"limits\": {\"umemBytesPerLease\": 1099511627776, \"socketsPerLease\": 4096, " \
	"\"connections\": 16384, \"connectionsPerNetns\": 8192, \"callsPerSecond\": 10000000}"

static void write_config(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	CHECK(f);
	CHECK(fputs(text, f) >= 0);
	CHECK(fclose(f) == 0);
}

/* Return: false, it has ended. */
static bool wait_ready(const struct daemon *d)
{
	for (int tries = 0;; tries++) {
		struct xskd *x;
		int status, r = xskd_open(d->admin, 0, &x);

		if (r < 0 && tries == 2000)
			must(x, r, "the daemon does not come up");
		xskd_close(x);
		if (r == 0)
			return true;
		if (waitpid(d->pid, &status, WNOHANG) == d->pid)
			return false;
		sleep_us(5000);
	}
}

static bool start(struct daemon *d, const struct setting *set, const char *name, const char *text)
{
	char xskd[256], run[64], bpf[64], log[96], conf[96];

	CHECK(snprintf(xskd, sizeof(xskd), "%s/server/xskd", set->build) < (int)sizeof(xskd));
	CHECK(snprintf(run, sizeof(run), "%s/%s", set->dir, name) < (int)sizeof(run));
	CHECK(snprintf(bpf, sizeof(bpf), "%s/bpf/%s", set->dir, name) < (int)sizeof(bpf));
	snprintf(log, sizeof(log), "%s.log", run);
	snprintf(conf, sizeof(conf), "%s.json", run);
	snprintf(d->admin, sizeof(d->admin), "%s/admin/xskd.sock", run);
	snprintf(d->pod, sizeof(d->pod), "%s/pod/xskd.sock", run);
	write_config(conf, text);
	d->log = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	CHECK(d->log >= 0);
	d->pid = fork();
	CHECK(d->pid >= 0);
	if (d->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin_to(CPU_SERVER);
		dup2(d->log, STDERR_FILENO);
		execl(xskd, xskd, "--run-dir", run, "--bpf-dir", bpf, "--config", conf, NULL);
		check_failed(__FILE__, __LINE__, xskd);
	}
	d->cpu = cpu_clock(d->pid);
	return wait_ready(d);
}

static void wait_pool(const struct daemon *d)
{
	struct xskd_activity activity = XSKD_OPTS(xskd_activity);
	struct xskd *x = here_open(d);
	int tries = 0;

	do {
		must(x, xskd_get_activity(x, &activity), "GetInfo");
		if (!activity.pool_busy)
			break;
		sleep_us(20000);
	} while (++tries < 500);
	if (activity.pool_busy || activity.pool_ready < activity.pool_size)
		row_note("the pool is not filled: %u of %u", activity.pool_ready,
			 activity.pool_size);
	xskd_close(x);
}

static void must_start(struct daemon *d, const struct setting *set, const char *name,
		       const char *text)
{
	if (start(d, set, name, text)) {
		if (!set->smoke)
			wait_pool(d);
		return;
	}
	fprintf(stderr, "the daemon does not start; %s/%s.log\n", set->dir, name);
	exit(1);
}

void daemon_start(struct daemon *d, const struct setting *set, const char *name)
{
	must_start(d, set, name, "{" LIMITS "}\n");
}

void daemon_start_pool(struct daemon *d, const struct setting *set, const char *name,
		       unsigned int pool)
{
	char text[512];

	snprintf(text, sizeof(text), "{\"pool\": %u, " LIMITS "}\n", pool);
	must_start(d, set, name, text);
}

void daemon_start_as_is(struct daemon *d, const struct setting *set, const char *name)
{
	must_start(d, set, name, "{}");
}

void daemon_stop(struct daemon *d)
{
	int status;

	kill(d->pid, SIGTERM);
	CHECK(waitpid(d->pid, &status, 0) == d->pid && WIFEXITED(status));
	CHECK(WEXITSTATUS(status) == 0);
	close(d->log);
}

void daemon_forget_log(const struct daemon *d)
{
	CHECK(ftruncate(d->log, 0) == 0);
}

/* ---- the pod ---- */

static int self_netns(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

void pod_make(struct pod *p)
{
	p->home = self_netns();
	CHECK(unshare(CLONE_NEWNET) == 0);
	p->netns = self_netns();
	pod_leave(p);
}

void pod_enter(const struct pod *p)
{
	CHECK(setns(p->netns, CLONE_NEWNET) == 0);
}

void pod_leave(const struct pod *p)
{
	CHECK(setns(p->home, CLONE_NEWNET) == 0);
}

static void shell(const char *command)
{
	if (system(command) != 0) {
		fprintf(stderr, "failed: %s\n", command);
		exit(1);
	}
}

/* Before the devices come, or the kernel sends packets of its own that the receiver counts. */
static void no_ipv6(void)
{
	shell("for f in /proc/sys/net/ipv6/conf/default/disable_ipv6; do "
	      "[ ! -e $f ] || echo 1 >$f; done");
}

void device_make(const struct pod *p, const char *name, const char *inside, unsigned int queues)
{
	char command[512];

	no_ipv6();
	snprintf(command, sizeof(command),
		 "ip link add %s numrxqueues %u numtxqueues %u type veth "
		 "peer name %s numrxqueues %u numtxqueues %u netns /proc/%d/fd/%d && "
		 "ip link set %s up",
		 name, queues, queues, inside, queues, queues, (int)getpid(), p->netns, name);
	pod_enter(p);
	no_ipv6();
	pod_leave(p);
	shell(command);
	snprintf(command, sizeof(command), "ip link set %s up", inside);
	pod_enter(p);
	shell(command);
	pod_leave(p);
}

void device_down(const char *name)
{
	char command[64];

	snprintf(command, sizeof(command), "ip link set %s down", name);
	shell(command);
}

/* ---- connections ---- */

void must(const struct xskd *x, int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, xskd_error(x), strerror(-result));
	exit(1);
}

struct xskd *here_open(const struct daemon *d)
{
	struct xskd *x;

	must(x, xskd_open(d->admin, 0, &x), "open");
	return x;
}

struct xskd *pod_open(const struct pod *p, const struct daemon *d)
{
	struct xskd *x;

	pod_enter(p);
	must(x, xskd_open(d->pod, 0, &x), "open");
	pod_leave(p);
	return x;
}

uint32_t pod_serve(const struct pod *p, struct xskd *admin, const char *inside)
{
	return pod_serve_as(p, admin, inside, "bench");
}

uint32_t pod_serve_as(const struct pod *p, struct xskd *admin, const char *inside,
		      const char *container)
{
	const struct xskd_load_opts load = XSKD_OPTS(xskd_load_opts, .netns_fd = p->netns);
	struct xskd_program program;

	must(admin, xskd_load_program(admin, inside, &load, &program), "load");
	must(admin, xskd_grant_lease(admin, container, inside, p->netns, NULL, NULL), "grant");
	return program.id;
}
