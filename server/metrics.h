/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon has counted since it started: part of the core, so of the loop thread alone. A
 * plain increment each, in arrays whose size is known when this is compiled: nothing that a client
 * sends can make them grow. expose.h gives them their names in the Prometheus text.
 */
#ifndef XSKD_METRICS_H
#define XSKD_METRICS_H

#include <time.h>

#include "fault.h"

/* Limits that refuse something, or make somebody wait. */
enum limit {
	LIMIT_CONNECTIONS,
	LIMIT_CONNECTIONS_PER_NETNS,
	LIMIT_CALLS_IN_FLIGHT,
	LIMIT_CALLS_PER_NETNS,
	LIMIT_CALLS_PER_SECOND,
	LIMIT_WORKERS_PER_NETNS,
	LIMIT_CONNECTIONS_WITHOUT_LEASE,
	LIMIT_QUEUED_BYTES,
	LIMIT_QUEUED_BYTES_PER_NETNS,
	LIMIT_FDS_PER_NETNS,
	LIMIT_WATCHERS_PER_NETNS,
	LIMIT_SOCKETS_PER_LEASE,
	LIMIT_UMEM_BYTES_PER_LEASE,
	LIMIT_RING_BYTES_PER_LEASE,
	LIMIT_OPEN_FILES, /* RLIMIT_NOFILE, or the system's */
	LIMITS,
};

/* What happens, and is only counted. */
enum tally {
	TALLY_ACCEPTED_ADMIN,
	TALLY_ACCEPTED_POD,
	TALLY_TURNED_AWAY_ADMIN,
	TALLY_TURNED_AWAY_POD,
	TALLY_MALFORMED, /* packets that are no request: each ends its connection */
	TALLY_DENIED,    /* audited calls that were refused */
	TALLY_EVENTS_SENT,
	TALLY_EVENTS_DROPPED,
	/* What was found not to be as it was written down, at start and afterwards. */
	TALLY_FILES_SET_ASIDE,
	TALLY_PROGRAMS_RESTORED,
	TALLY_PROGRAMS_REMOVED, /* half made, half unloaded, or without their device */
	TALLY_LEASES_RESTORED,
	TALLY_LEASES_STALE, /* their namespace or device has gone without a RevokeLease */
	TALLY_SOCKETS_FOUND,
	TALLIES,
};

/* A method is counted under its number in the oneof of Request, what is none of them under 0. */
#define METRICS_METHODS 32
#define METRICS_CODES   15 /* of gRPC */
#define METRICS_BUCKETS 18

struct method_metrics {
	uint64_t calls[METRICS_CODES];
	uint64_t within[METRICS_BUCKETS]; /* not cumulative; the rest of the calls took longer */
	uint64_t ns;
};

/* What a program has done with packets, and XDP_STATISTICS of a socket: kept in sums by scrape.h.
 */
enum {
	METRICS_REDIRECTED,
	METRICS_PASSED,
	METRICS_VERDICTS,
};

enum {
	METRICS_RX_DROPPED,
	METRICS_RX_RING_FULL,
	METRICS_FILL_RING_EMPTY,
	METRICS_RX_INVALID,
	METRICS_TX_INVALID,
	METRICS_TX_RING_EMPTY,
	METRICS_XDP,
};

/* What a counter of the kernel's showed when it was last looked at. */
struct seen {
	bool any;
	uint64_t value[METRICS_XDP];
};

struct metrics {
	struct method_metrics methods[METRICS_METHODS];
	uint64_t limits[LIMITS];
	uint64_t tallies[TALLIES];
	uint64_t pods[METRICS_VERDICTS], kept[METRICS_XDP];
};

/* Upper bounds of the buckets: from below a GetInfo to what a hand-off may wait for a queue. */
extern const uint32_t metrics_bucket_us[METRICS_BUCKETS];

/* metrics_limit_name() - as the metrics have it. */
const char *metrics_limit_name(enum limit limit);

/* metrics_call() - one has ended, and its reply is on its way. */
void metrics_call(struct metrics *m, uint32_t method, Xskd__Code code,
		  const struct timespec *began);

/* metrics_limit() - it has just refused something, or somebody has to wait from now on. */
static inline void metrics_limit(struct metrics *m, enum limit limit)
{
	m->limits[limit]++;
}

static inline void metrics_count(struct metrics *m, enum tally tally)
{
	m->tallies[tally]++;
}

#endif
