// SPDX-License-Identifier: Apache-2.0
#include "metrics.h"

const uint32_t metrics_bucket_us[METRICS_BUCKETS] = {
	10,    25,    50,    100,    250,    500,    1000,    2500,    5000,
	10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000,
};

const char *metrics_limit_name(enum limit limit)
{
	static const char *const names[LIMITS] = {
		[LIMIT_CONNECTIONS] = "connections",
		[LIMIT_CONNECTIONS_PER_NETNS] = "connections_per_netns",
		[LIMIT_CALLS_IN_FLIGHT] = "calls_in_flight",
		[LIMIT_CALLS_PER_NETNS] = "calls_per_netns",
		[LIMIT_CALLS_PER_SECOND] = "calls_per_second",
		[LIMIT_WORKERS_PER_NETNS] = "workers_per_netns",
		[LIMIT_CONNECTIONS_WITHOUT_LEASE] = "connections_without_lease",
		[LIMIT_QUEUED_BYTES] = "queued_bytes",
		[LIMIT_QUEUED_BYTES_PER_NETNS] = "queued_bytes_per_netns",
		[LIMIT_FDS_PER_NETNS] = "fds_per_netns",
		[LIMIT_WATCHERS_PER_NETNS] = "watchers_per_netns",
		[LIMIT_SOCKETS_PER_LEASE] = "sockets_per_lease",
		[LIMIT_UMEM_BYTES_PER_LEASE] = "umem_bytes_per_lease",
		[LIMIT_RING_BYTES_PER_LEASE] = "ring_bytes_per_lease",
		[LIMIT_OPEN_FILES] = "open_files",
	};

	return names[limit];
}

static uint64_t ns_since(const struct timespec *began)
{
	struct timespec now;
	int64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ns = (now.tv_sec - began->tv_sec) * 1000000000LL + (now.tv_nsec - began->tv_nsec);
	return ns > 0 ? (uint64_t)ns : 0;
}

void metrics_call(struct metrics *m, uint32_t method, Xskd__Code code, const struct timespec *began)
{
	struct method_metrics *mm = &m->methods[method < METRICS_METHODS ? method : 0];
	uint64_t ns = ns_since(began);
	size_t i = 0;

	while (i < METRICS_BUCKETS && ns > metrics_bucket_us[i] * 1000ULL)
		i++;
	if (i < METRICS_BUCKETS)
		mm->within[i]++;
	mm->ns += ns;
	mm->calls[code < METRICS_CODES ? code : XSKD__CODE__UNKNOWN]++;
}
