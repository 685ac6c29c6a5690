/* SPDX-License-Identifier: Apache-2.0 */
/* The four rings of an AF_XDP socket, mapped for libxdp's accessors. */
#ifndef XSKD_SDK_RINGS_H
#define XSKD_SDK_RINGS_H

#include "base.h"
#include "xskd.h"

/* In entries. */
struct ring_sizes {
	uint32_t fill, completion, rx, tx;
};

/* What rings_unmap() has to give back: <xdp/xsk.h> keeps no record of it. */
struct rings {
	struct {
		void *at; /* NULL: not mapped */
		size_t size;
	} map[4];
};

/*
 * rings_map() - map the rings of @fd into the ring structures of @s. They start from where the
 * rings are now, not from 0: the socket may have had another process before.
 * Return: 0, or a negative errno with nothing mapped. -EINVAL: a size is none of a ring's, or the
 *	socket is bound and the kernel is older than 6.4.
 */
int rings_map(int fd, const struct ring_sizes *sizes, struct xskd_socket *s,
	      struct rings *out) must_check;

/* rings_unmap() - harmless when nothing is mapped. */
void rings_unmap(struct rings *rings);

#endif
