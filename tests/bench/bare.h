/* SPDX-License-Identifier: Apache-2.0 */
/* AF_XDP by system calls alone, and no more of them than the kernel asks for: the floor. */
#ifndef XSKD_BENCH_BARE_H
#define XSKD_BENCH_BARE_H

#include <stdint.h>
#include <xdp/xsk.h>

#include "world.h"

#define BARE_RING  2048
#define BARE_FRAME 2048

struct bare {
	int fd, memfd;
	void *umem;
	size_t size;
	struct {
		void *at;
		size_t size;
	} map[4];
	struct xsk_ring_prod fill, tx;
	struct xsk_ring_cons completion, rx;
};

/*
 * bare_open() - UMEM of @size bytes, registered, four rings, mapped, bound to @queue. The socket is
 * made in @pod's namespace and the rest done here, as a process outside of the pod has to.
 * @memfd: UMEM in a sealed memfd, so that it could be shared; else anonymous memory.
 */
void bare_open(struct bare *b, const struct pod *pod, uint32_t ifindex, uint32_t queue, size_t size,
	       bool memfd);
void bare_insert(const struct bare *b, int map, uint32_t queue);
void bare_close(struct bare *b);

#endif
