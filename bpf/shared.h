/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the default program and the daemon agree on. Included by both, so: types of <linux/types.h>.
 */
#ifndef XSKD_BPF_SHARED_H
#define XSKD_BPF_SHARED_H

#include <linux/types.h>

/* libxdp, DPDK and custom programs look for an XSKMAP of this name. */
#define XSKS_MAP_NAME     "xsks_map"
#define COUNTERS_MAP_NAME "counters"

/* Value of the per-CPU array `counters`; the key is the receiving queue. */
struct queue_counters {
	__u64 redirected; /* given to the queue's socket */
	__u64 passed;     /* no socket there: to the network stack */
};

#endif
