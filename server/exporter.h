/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metrics endpoint: HTTP on admin/metrics.sock of the run directory, and on a TCP address where
 * one is configured. It holds up nobody: a collection is made on a worker, and all who ask
 * meanwhile get that one; each door lets only so many in at a time, and the others wait in the
 * kernel.
 */
#ifndef XSKD_EXPORTER_H
#define XSKD_EXPORTER_H

#include <uv.h>

#include "conn.h"
#include "options.h"
#include "self.h"

enum door_kind {
	DOOR_UNIX,
	DOOR_TCP,
	DOORS,
};

struct exporter;

struct door {
	uv_poll_t poll;
	struct exporter *exporter;
	int fd; /* -1: there is no such door */
	uint32_t inside;
	bool open; /* is listened at; not while it is full */
};

struct exporter {
	uv_loop_t *loop;
	struct core *core;
	struct conns *conns;
	struct lanes *lanes;
	struct self self;
	struct door doors[DOORS];
	struct visitor *visitors;
	struct scrape *scrape; /* under way */
	uv_timer_t soon;
	uint64_t begun_at; /* the last one, of uv_now() */
	bool wanted, stopped;
};

/* exporter_init() - of @conns, its loop, core and lanes; nothing is open yet. */
void exporter_init(struct exporter *e, struct conns *conns);

/* exporter_open() - listen, and look at counters that an earlier daemon's programs have. */
int exporter_open(struct exporter *e, const struct options *options,
		  struct fault *fault) must_check;

/* exporter_tick() - a second has passed. */
void exporter_tick(struct exporter *e);

/* exporter_stop() - close all; safe whether or not it was opened. */
void exporter_stop(struct exporter *e);

/* exporter_done() - when the loop has ended. */
void exporter_done(struct exporter *e);

#endif
