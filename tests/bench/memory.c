// SPDX-License-Identifier: Apache-2.0
/*
 * The daemon's memory: at rest, beside a process that has the same libraries and no use for them,
 * and what a connection, a lease and a socket add to its heap (a program: scale.c). In KiB, as
 * /proc/PID/smaps_rollup tells; what the kernel keeps for them is not in it.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "floor.h"
#include "rows.h"
#include "smaps.h"
#include "world.h"

#define DEVICES 4
#define LEASES  250 /* for each */
#define SOCKETS 3   /* hand-offs for each, of as many sockets as one may have */
#define QUEUES  256

static struct memory look(const struct daemon *d)
{
	return memory_of(d->pid);
}

static void tell_of(const char *name, double value, const char *base, const char *target)
{
	row_add(row(name, "KiB", base, target), value);
}

static void tell(const char *name, double value, const char *target)
{
	tell_of(name, value, NULL, target);
}

/* idle.c; its socket tells when it is ready. */
static void idle_process(const struct setting *set)
{
	struct floor server = { 0 };
	char program[300];
	struct memory m;
	int sock;

	snprintf(program, sizeof(program), "%s/tests/bench/idle", set->build);
	snprintf(server.path, sizeof(server.path), "%s/idle.sock", set->dir);
	server.sock = -1;
	server.pid = fork();
	CHECK(server.pid >= 0);
	if (!server.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(program, program, server.path, NULL);
		check_failed(__FILE__, __LINE__, program);
	}
	while (access(server.path, F_OK) < 0)
		sleep_us(1000);
	sock = floor_connect(&server);
	floor_call(sock, false);
	m = memory_of(server.pid);
	tell("idle process with the libraries, RSS", m.rss, NULL);
	tell("idle process with the libraries, PSS", m.pss, NULL);
	tell("idle process with the libraries, private dirty", m.dirty, NULL);
	close(sock);
	floor_stop(&server);
}

static void connections(const struct daemon *d, size_t n)
{
	static struct xskd *x[1000];
	double before = look(d).anon;

	for (size_t i = 0; i < n; i++) {
		struct xskd_info info;

		x[i] = here_open(d);
		must(x[i], xskd_get_info(x[i], &info), "GetInfo");
	}
	tell("daemon, an idle connection", (look(d).anon - before) / (double)n, "<=0.3");
	for (size_t i = 0; i < n; i++)
		xskd_close(x[i]);
}

/*
 * A daemon of its own for each of the below: memory that one has freed would be the next one's, and
 * hide it. What the first calls bring along, threads and libbpf's knowledge, is not a socket's
 * either, and neither are the first leases and sockets, which take memory that is lying about.
 */
struct ground {
	const struct setting *set;
	struct daemon daemon;
	struct pod pod;
	struct xskd *admin, *client;
	char here[DEVICES][32], inside[DEVICES][32];
};

static struct xskd_handoff *hand_off(struct ground *g, size_t device, uint32_t first, uint32_t n,
				     bool keep)
{
	uint32_t queues[XSKD_QUEUES_MAX];
	const struct xskd_handoff_opts opts = XSKD_OPTS(
		xskd_handoff_opts, .queues = queues, .n_queues = n, .frames = 64 * n,
		.fill_size = 64, .completion_size = 64, .rx_size = 64, .tx_size = 64, .keep = keep);
	struct xskd_handoff *h;

	for (uint32_t i = 0; i < n; i++)
		queues[i] = first + i;
	must(g->client, xskd_hand_off(g->client, g->inside[device], &opts, &h), "HandOffSocket");
	return h;
}

static void ground_start(struct ground *g, const struct setting *set, const char *name, int number)
{
	g->set = set;
	pod_make(&g->pod);
	for (size_t i = 0; i < DEVICES; i++) {
		snprintf(g->here[i], sizeof(g->here[i]), "v%d_%zu", number, i);
		snprintf(g->inside[i], sizeof(g->inside[i]), "e%d_%zu", number, i);
		device_make(&g->pod, g->here[i], g->inside[i], QUEUES);
	}
	daemon_start(&g->daemon, set, name);
	g->admin = here_open(&g->daemon);
	for (size_t i = 0; i < DEVICES; i++)
		(void)pod_serve(&g->pod, g->admin, g->inside[i]);
	g->client = pod_open(&g->pod, &g->daemon);
	for (uint32_t i = 0; i < 16; i++)
		xskd_handoff_free(hand_off(g, 0, QUEUES - 1 - i, 1, false));
	sleep_us(set->smoke ? 10000 : 1200000); /* until its sweep has seen them end */
}

static void ground_end(struct ground *g)
{
	xskd_close(g->client);
	xskd_close(g->admin);
	daemon_stop(&g->daemon);
}

/* One queue each of a device here: nobody needs a thousand pods for it. */
static void leases(const struct setting *set)
{
	const uint32_t n = DEVICES * (set->smoke ? 5 : LEASES), first = n / 4;
	struct memory at;
	struct ground g;
	double before = 0;

	ground_start(&g, set, "leases", 1);
	at = look(&g.daemon);
	tell("daemon after work, RSS", at.rss, NULL);
	tell("daemon after work, private dirty", at.dirty, NULL);
	for (uint32_t i = 0; i < n; i++) {
		const uint32_t queue = i / DEVICES;
		const struct xskd_lease_opts opts =
			XSKD_OPTS(xskd_lease_opts, .device = g.here[i % DEVICES], .queues = &queue,
				  .n_queues = 1);
		char container[32], interface[XSKD_IFNAME_SIZE];

		if (i == first)
			before = look(&g.daemon).anon;
		snprintf(container, sizeof(container), "container-%u", i);
		snprintf(interface, sizeof(interface), "net%u", i);
		must(g.admin,
		     xskd_grant_lease(g.admin, container, interface, g.pod.netns, &opts, NULL),
		     "grant");
	}
	tell("daemon, a lease", (look(&g.daemon).anon - before) / (n - first), NULL);
	ground_end(&g);
}

static void sockets(const struct setting *set, bool keep)
{
	const uint32_t n = set->smoke ? 8 : XSKD_QUEUES_MAX;
	struct xskd_handoff *h[DEVICES * SOCKETS];
	struct ground g;
	double before = 0;

	ground_start(&g, set, keep ? "kept" : "used", keep ? 2 : 3);
	for (uint32_t i = 0; i < DEVICES * SOCKETS; i++) {
		if (i == DEVICES)
			before = look(&g.daemon).anon;
		h[i] = hand_off(&g, i % DEVICES, i / DEVICES * n, n, keep);
	}
	tell(keep ? "daemon, a kept socket" : "daemon, a socket in use",
	     (look(&g.daemon).anon - before) / (DEVICES * (SOCKETS - 1) * n), NULL);
	for (uint32_t i = 0; i < DEVICES * SOCKETS; i++) {
		must(g.client, xskd_release(g.client, h[i]), "ReleaseSocket");
		xskd_handoff_free(h[i]);
	}
	ground_end(&g);
}

void bench_memory(const struct setting *set)
{
	struct memory rest;
	struct daemon d;

	pin_to(CPU_CLIENT);
	idle_process(set);
	daemon_start(&d, set, "memory");
	sleep_us(set->smoke ? 10000 : 1200000); /* past its first tick */
	rest = look(&d);
	tell_of("daemon at rest, RSS", rest.rss, "idle process with the libraries, RSS", "<=1.15x");
	tell_of("daemon at rest, PSS", rest.pss, "idle process with the libraries, PSS", NULL);
	tell_of("daemon at rest, private dirty", rest.dirty,
		"idle process with the libraries, private dirty", "<=256");
	connections(&d, set->smoke ? 100 : 1000);
	daemon_stop(&d);
	leases(set);
	sockets(set, false);
	sockets(set, true);
}
