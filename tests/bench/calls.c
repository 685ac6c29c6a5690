// SPDX-License-Identifier: Apache-2.0
/*
 * Calls that wait for nothing: round trips on a connection that is open, and a whole visit. The
 * client is libxskd as an application uses it; its floor are two processes that only read and
 * write, and for a lease, which has to outlive the daemon, a file.
 */
#include <stdio.h>
#include <unistd.h>

#include "floor.h"
#include "rows.h"
#include "world.h"

#define WARM   20
#define TIMED  100
#define QUEUES 4

#define WARM_TARGET "<=1.2x p99<=1.25x"

static struct {
	struct floor ping, visit, keep;
	struct daemon daemon;
	struct pod pod;
	struct xskd *admin, *client;
	uint32_t program;
} w;

static void ping(void)
{
	floor_call(w.ping.sock, false);
}

static void ping_fd(void)
{
	floor_call(w.ping.sock, true);
}

static void visit(void)
{
	int sock = floor_connect(&w.visit);

	floor_call(sock, true);
	close(sock);
}

static void keep(void)
{
	floor_keep(w.keep.sock, w.pod.netns);
	floor_call(w.keep.sock, false);
}

static void get_info(void)
{
	struct xskd_info info;

	must(w.admin, xskd_get_info(w.admin, &info), "GetInfo");
}

static void get_map_admin(void)
{
	int fd;

	must(w.admin, xskd_get_program_map(w.admin, w.program, &fd, NULL), "GetXskMap, admin");
	close(fd);
}

static void get_map_of(struct xskd *x)
{
	int fd;

	must(x, xskd_get_xsk_map(x, "eth0", &fd, NULL), "GetXskMap, pod");
	close(fd);
}

static void get_map_pod(void)
{
	get_map_of(w.client);
}

static void get_stats(void)
{
	struct xskd_queue_stats *stats;
	size_t n;

	must(w.client, xskd_get_stats(w.client, "eth0", 0, &stats, &n), "GetStats");
	CHECK(n == QUEUES);
	xskd_free(stats);
}

static void list_leases(void)
{
	struct xskd_lease *leases;
	size_t n;

	must(w.client, xskd_list_leases(w.client, &leases, &n), "ListLeases");
	CHECK(n == 1);
	xskd_free(leases);
}

static void list_sockets(void)
{
	struct xskd_held_socket *sockets;
	size_t n;

	must(w.client, xskd_list_sockets(w.client, &sockets, &n), "ListSockets");
	CHECK(n == 0);
	xskd_free(sockets);
}

static void get_program(void)
{
	struct xskd_program program;

	must(w.admin, xskd_get_program(w.admin, w.program, NULL, 0, &program), "GetProgram");
}

static void list_programs(void)
{
	struct xskd_program *programs;
	size_t n;

	must(w.admin, xskd_list_programs(w.admin, &programs, &n), "ListPrograms");
	CHECK(n == 1);
	xskd_free(programs);
}

/* A queue of the device's other end, for it is here. */
static void grant_and_revoke(void)
{
	static const uint32_t queue = 1;
	const struct xskd_lease_opts opts =
		XSKD_OPTS(xskd_lease_opts, .device = "veth0", .queues = &queue, .n_queues = 1);

	must(w.admin, xskd_grant_lease(w.admin, "other", "net0", w.pod.netns, &opts, NULL),
	     "GrantLease");
	must(w.admin, xskd_revoke_lease(w.admin, "other", NULL, NULL), "RevokeLease");
}

/* The thread is in the pod's namespace: the connection has to be the pod's. */
static void pod_visit(void)
{
	struct xskd *x;

	must(x, xskd_open(w.daemon.pod, 0, &x), "open");
	get_map_of(x);
	xskd_close(x);
}

static const struct variant {
	const char *name, *base, *target;
	void (*call)(void);
} variants[] = {
	{ "ping", NULL, NULL, ping },
	{ "GetInfo", "ping", NULL, get_info },
	{ "GetStats", "ping", NULL, get_stats },
	{ "GetProgram", "ping", NULL, get_program },
	{ "ListLeases", "ping", NULL, list_leases },
	{ "ListSockets", "ping", NULL, list_sockets },
	{ "ListPrograms", "ping", NULL, list_programs },
	{ "ping + fd", NULL, NULL, ping_fd },
	{ "GetXskMap, admin", "ping + fd", WARM_TARGET, get_map_admin },
	{ "GetXskMap, pod", "ping + fd", WARM_TARGET, get_map_pod },
	{ "connect + ping + fd + close", NULL, NULL, visit },
	{ "connect + GetXskMap + close", "connect + ping + fd + close", "<=1.15x", pod_visit },
	{ "keep a file + remove it", NULL, NULL, keep },
	{ "GrantLease + RevokeLease", "keep a file + remove it", NULL, grant_and_revoke },
};

#define N_VARIANTS (sizeof(variants) / sizeof(*variants))

/*
 * The record's rows, from CPU to CPU, have no targets: most of them is the wake-up of an idle CPU.
 */
static struct row *row_at(const struct variant *v, bool cross)
{
	char name[64], base[64];

	if (!cross)
		return row(v->name, "us", v->base, v->target);
	snprintf(name, sizeof(name), "%s, cross", v->name);
	snprintf(base, sizeof(base), "%s, cross", v->base ? v->base : "");
	return row(name, "us", v->base ? base : NULL, NULL);
}

static void measure(bool cross, double us)
{
	struct row *at[N_VARIANTS];
	struct rounds r;

	for (size_t i = 0; i < N_VARIANTS; i++)
		at[i] = row_at(&variants[i], cross);
	pin_to(cross ? CPU_CLIENT : CPU_SERVER);
	for (r = rounds_for(us); rounds(&r);) {
		for (size_t i = 0; i < N_VARIANTS; i++) {
			for (int k = 0; k < WARM; k++)
				variants[i].call();
			for (int k = 0; k < TIMED; k++) {
				double began = now_us();

				variants[i].call();
				row_add(at[i], now_us() - began);
			}
		}
		daemon_forget_log(&w.daemon);
	}
}

void bench_calls(const struct setting *set)
{
	char path[96];
	int map;

	pin_to(CPU_SERVER);
	pod_make(&w.pod);
	device_make(&w.pod, "veth0", "eth0", QUEUES);
	daemon_start(&w.daemon, set, "calls");
	w.admin = here_open(&w.daemon);
	w.program = pod_serve(&w.pod, w.admin, "eth0");
	w.client = pod_open(&w.pod, &w.daemon);
	must(w.admin, xskd_get_program_map(w.admin, w.program, &map, NULL), "GetXskMap");
	floor_start(&w.ping, FLOOR_PING, NULL, map);
	snprintf(path, sizeof(path), "%s/visit.sock", set->dir);
	floor_start(&w.visit, FLOOR_CONNECT, path, map);

	snprintf(path, sizeof(path), "%s/keep", set->dir);
	floor_start(&w.keep, FLOOR_KEEP, path, -1);

	pod_enter(&w.pod);
	measure(false, set->us * 0.7);
	measure(true, set->us * 0.3);
	pod_leave(&w.pod);

	floor_stop(&w.ping);
	floor_stop(&w.visit);
	floor_stop(&w.keep);
	xskd_close(w.client);
	xskd_close(w.admin);
	daemon_stop(&w.daemon);
}
