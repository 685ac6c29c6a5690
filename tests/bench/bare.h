/* SPDX-License-Identifier: Apache-2.0 */
/* AF_XDP by system calls alone, and no more of them than the kernel asks for: the floor. */
#ifndef XSKD_BENCH_BARE_H
#define XSKD_BENCH_BARE_H

#include <stdint.h>
#include <xdp/xsk.h>

#include "world.h"

#define BARE_RING  2048
#define BARE_FRAME 2048

enum bare_memory {
	BARE_ANON,
	BARE_MEMFD, /* sealed, so that it could be shared */
	BARE_HUGE,  /* the same of huge pages: the node has to have some free */
};

struct bare {
	int fd, memfd;
	void *umem;
	size_t size;
	bool shares;
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
 */
void bare_open(struct bare *b, const struct pod *pod, uint32_t ifindex, uint32_t queue, size_t size,
	       enum bare_memory memory);

/*
 * bare_share() - a further socket, with rings of its own, on another queue and the UMEM of @first.
 */
void bare_share(struct bare *b, const struct bare *first, const struct pod *pod, uint32_t ifindex,
		uint32_t queue);

/* bare_fill() - frames from @first on into the fill ring, as many as fit. */
void bare_fill(struct bare *b, uint32_t first);

void bare_insert(const struct bare *b, int map, uint32_t queue);
/* bare_close() - and the UMEM, where it is its own. */
void bare_close(struct bare *b);

#endif
