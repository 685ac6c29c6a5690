/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a process, in KiB, as /proc/PID/smaps_rollup tells. */
#ifndef XSKD_BENCH_SMAPS_H
#define XSKD_BENCH_SMAPS_H

#include <sys/types.h>

struct memory {
	double rss, pss, dirty;
	double own;  /* pss without shared memory: that is packets, which are somebody else's */
	double anon; /* heap, stacks, data */
};

struct memory memory_of(pid_t pid);

#endif
