// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The default program: a packet goes to the AF_XDP socket of the queue that received it, and to the
 * network stack where there is none. It drops nothing: what a socket cannot take (its rings are
 * full) the kernel counts in XDP_STATISTICS of that socket.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "shared.h"

/* A plain XSKMAP of this name and shape is what libxdp, DPDK and CNDP expect to be given. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
	__uint(max_entries, 1); /* the daemon sets it to the number of queues */
} xsks_map SEC(".maps");

/* Per CPU: a counter that CPUs share costs a locked add on each packet. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct queue_counters);
	__uint(max_entries, 1);
} counters SEC(".maps");

/*
 * The daemon sets BPF_F_XDP_HAS_FRAGS where the kernel knows it (5.18), for devices with a large
 * MTU.
 */
SEC("xdp")
int xsk_redirect(struct xdp_md *ctx)
{
	__u32 queue = ctx->rx_queue_index;
	long verdict = bpf_redirect_map(&xsks_map, queue, XDP_PASS);
	struct queue_counters *count = bpf_map_lookup_elem(&counters, &queue);

	if (count) {
		if (verdict == XDP_REDIRECT)
			count->redirected++;
		else
			count->passed++;
	}
	return (int)verdict;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
