// SPDX-License-Identifier: Apache-2.0
#include "metrics.h"

const uint32_t metrics_bucket_us[METRICS_BUCKETS] = {
	10,    25,    50,    100,    250,    500,    1000,    2500,    5000,
	10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000,
};

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
