// SPDX-License-Identifier: Apache-2.0
/*
 * GetXskMap of a pod that minds its own business while others load, unload, and close bound sockets
 * back to back: no wait of theirs may become its own. All that they do to the CPUs is not xskd's: a
 * bare ping-pong is measured beside it, now the one and now the other.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "churn.h"
#include "floor.h"
#include "rows.h"
#include "world.h"

#define BLOCK    100
#define PHASE_US 250000
#define QUEUES   256
#define PAUSE_US 200

static struct {
	struct daemon daemon;
	struct pod good, bad;
	struct floor floor;
	struct xskd *admin, *loader, *client, *closer;
} w;

/* ---- the others ---- */

static void load(void *arg)
{
	const struct xskd_load_opts opts = XSKD_OPTS(xskd_load_opts, .mode = XSKD_XDP_NATIVE);
	struct xskd_program program;

	(void)arg;
	must(w.loader, xskd_load_program(w.loader, "spare", &opts, &program), "LoadProgram");
	must(w.loader, xskd_unload_program(w.loader, program.id, NULL, 0, false), "UnloadProgram");
}

/* Queues in turn: else the kernel, which frees one some 30 ms later, is what is waited for. */
static void bind_and_close(void *arg)
{
	static uint32_t queue;
	const uint32_t queues[] = { queue++ % QUEUES };
	const struct xskd_handoff_opts opts =
		XSKD_OPTS(xskd_handoff_opts, .frames = 64, .queues = queues, .n_queues = 1);
	struct xskd_handoff *h;

	(void)arg;
	must(w.closer, xskd_hand_off(w.closer, "eth0", &opts, &h), "HandOffSocket");
	xskd_handoff_free(h);
}

/* ---- the good one ---- */

static void get_map(void)
{
	int fd;

	must(w.client, xskd_get_xsk_map(w.client, "eth0", &fd, NULL), "GetXskMap");
	close(fd);
}

static void ping(void)
{
	floor_call(w.floor.sock, true);
}

static void block(struct row *row, void (*call)(void))
{
	for (int i = 0; i < BLOCK; i++) {
		double began = now_us();

		call();
		row_add(row, now_us() - began);
		sleep_us(PAUSE_US);
	}
}

/* @loud: the rows of the loud phase have those of the quiet one for a base. */
static void phase(const char *name, bool loud)
{
	const double until = now_us() + PHASE_US;
	char map_row[64], ping_row[64];

	snprintf(map_row, sizeof(map_row), "GetXskMap, %s", name);
	snprintf(ping_row, sizeof(ping_row), "ping + fd, %s", name);
	do {
		block(row(ping_row, "us", loud ? "ping + fd, others quiet" : NULL, NULL), ping);
		block(row(map_row, "us", loud ? "GetXskMap, others quiet" : NULL,
			  loud ? "p99<=1.5x" : NULL),
		      get_map);
	} while (now_us() < until);
	daemon_forget_log(&w.daemon);
}

static void loud_phase(void)
{
	struct row *loads = row("others: load and unload", "1/s", NULL, NULL);
	struct row *closes = row("others: bind and close", "1/s", NULL, NULL);
	struct churn loading, closing;
	double us = now_us();

	churn_start(&loading, load, NULL, CPU_SERVER);
	churn_start(&closing, bind_and_close, NULL, CPU_SERVER);
	phase("others load and close", true);
	us = now_us() - us;
	row_add(loads, (double)churn_stop(&loading) * 1e6 / us);
	row_add(closes, (double)churn_stop(&closing) * 1e6 / us);
	sleep_us(60000);
}

void bench_neighbour(const struct setting *set)
{
	int map;

	pod_make(&w.good);
	pod_make(&w.bad);
	device_make(&w.good, "good", "eth0", 4);
	device_make(&w.bad, "bad", "eth0", QUEUES);
	device_make(&w.bad, "spare", "eth1", 4);
	daemon_start(&w.daemon, set, "neighbour");
	w.admin = here_open(&w.daemon);
	w.loader = here_open(&w.daemon);
	must(w.admin,
	     xskd_get_program_map(w.admin, pod_serve(&w.good, w.admin, "eth0"), &map, NULL),
	     "GetXskMap");
	pod_serve_as(&w.bad, w.admin, "eth0", "bad");
	w.client = pod_open(&w.good, &w.daemon);
	w.closer = pod_open(&w.bad, &w.daemon);
	floor_start(&w.floor, FLOOR_PING, NULL, map);
	pin_to(CPU_CLIENT);

	for (struct rounds r = rounds_for(set->us); rounds(&r);) {
		phase("others quiet", false);
		loud_phase();
	}
	floor_stop(&w.floor);
	xskd_close(w.client);
	xskd_close(w.closer);
	xskd_close(w.loader);
	xskd_close(w.admin);
	daemon_stop(&w.daemon);
}
