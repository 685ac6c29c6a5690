// SPDX-License-Identifier: Apache-2.0
/*
 * GetInfo, GetXskMap: round trips on a connection that is open, and a whole visit. The client is
 * libxskd as an application uses it; its floor are two processes that only read and write.
 */
#include <stdio.h>
#include <unistd.h>

#include "floor.h"
#include "rows.h"
#include "world.h"

#define WARM  20
#define TIMED 100

static struct {
	struct floor ping, visit;
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
	{ "ping + fd", NULL, NULL, ping_fd },
	{ "GetXskMap, admin", "ping + fd", "<=1.35x", get_map_admin },
	{ "GetXskMap, pod", "ping + fd", "<=1.35x", get_map_pod },
	{ "connect + ping + fd + close", NULL, NULL, visit },
	{ "connect + GetXskMap + close", "connect + ping + fd + close", NULL, pod_visit },
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
	device_make(&w.pod, "veth0", "eth0", 4);
	daemon_start(&w.daemon, set, "calls");
	w.admin = here_open(&w.daemon);
	w.program = pod_serve(&w.pod, w.admin, "eth0");
	w.client = pod_open(&w.pod, &w.daemon);
	must(w.admin, xskd_get_program_map(w.admin, w.program, &map, NULL), "GetXskMap");
	floor_start(&w.ping, FLOOR_PING, NULL, map);
	snprintf(path, sizeof(path), "%s/visit.sock", set->dir);
	floor_start(&w.visit, FLOOR_CONNECT, path, map);

	pod_enter(&w.pod);
	measure(false, set->us * 0.7);
	measure(true, set->us * 0.3);
	pod_leave(&w.pod);

	floor_stop(&w.ping);
	floor_stop(&w.visit);
	xskd_close(w.client);
	xskd_close(w.admin);
	daemon_stop(&w.daemon);
}
