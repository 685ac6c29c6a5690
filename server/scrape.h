/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A collection of all that the metrics endpoint tells, as text. Three steps, as in a method:
 * copying what the core knows (loop), reading counters in the kernel and writing the text (worker),
 * taking note of what was read (loop). There is at most one at a time.
 *
 * What the kernel counts lives longer than the daemon, or less long. The counters of a program on a
 * device of the daemon's own namespace are told as they are, by device and queue: both are the
 * node's, so there are only so many. A device in a pod has a name that others have too, and all
 * that would tell it apart is new for each pod: programs there are told as one sum, as kept sockets
 * are. A sum of what comes and goes would fall; so what each has counted since it was last looked
 * at is added up, from the start of this daemon on, and stays when it goes.
 */
#ifndef XSKD_SCRAPE_H
#define XSKD_SCRAPE_H

#include <stdio.h>

#include "core.h"
#include "self.h"

enum gauge {
	GAUGE_CONNECTIONS_ADMIN,
	GAUGE_CONNECTIONS_POD,
	GAUGE_WATCHERS,
	GAUGE_LEASES_DEVICE,
	GAUGE_LEASES_QUEUE,
	GAUGE_LEASED_QUEUES,
	GAUGE_PROGRAMS_NATIVE,
	GAUGE_PROGRAMS_NATIVE_CUSTOM,
	GAUGE_PROGRAMS_GENERIC,
	GAUGE_PROGRAMS_GENERIC_CUSTOM,
	GAUGE_SOCKETS_HELD,
	GAUGE_SOCKETS_KEPT,
	GAUGE_SOCKETS_AWAIT_BIND,
	GAUGE_UMEM_BYTES,
	GAUGE_POOL_SIZE,
	GAUGE_POOL_READY,
	GAUGES,
};

/* What the pool has counted. */
enum {
	POOL_TAKEN,
	POOL_MISSED,
	POOL_REUSED,
	POOL_COUNTS,
};

struct scraped_program {
	uint32_t id, queues;
	char device[16]; /* "": in a pod */
	bool old;        /* counted already before this daemon started */
	struct seen seen;
	struct verdicts {
		uint64_t redirected, passed;
	} * each; /* by queue; NULL: not read */
};

struct scraped_sock {
	uint64_t id;
	int fd; /* a copy: the socket may go while we look */
	bool old;
	struct seen seen;
};

struct scrape {
	const char *bpf_dir;
	const struct self *self;
	struct self_usage usage;
	struct limits limits;
	struct xsk_features features;
	uint64_t starts;
	struct metrics metrics;
	uint64_t gauges[GAUGES], pool[POOL_COUNTS];
	struct scraped_program *programs;
	size_t n_programs;
	struct scraped_sock *socks;
	size_t n_socks;
	char *text; /* NULL: no memory for it */
	size_t len;
};

/* scrape_new() - NULL: no memory. The connections are the edge's to count. */
struct scrape *scrape_new(const struct core *core, const struct self *self, uint32_t admins,
			  uint32_t pods) must_check;
void scrape_read(struct scrape *scrape);
void scrape_note(struct core *core, const struct scrape *scrape);
void scrape_free(struct scrape *scrape);

/* scrape_render() - the text; render.c. */
void scrape_render(const struct scrape *scrape, FILE *out);

/* seen_add() - what has been counted since it was last seen is added to @totals. */
void seen_add(struct seen *seen, const uint64_t *now, uint64_t *totals, size_t n, bool old);

#endif
