/* SPDX-License-Identifier: Apache-2.0 */
/* Packet memory: a memfd that nobody can shrink under the kernel, all of it allocated. */
#ifndef XSKD_SDK_UMEM_H
#define XSKD_SDK_UMEM_H

#include "base.h"
#include "xskd.h"

struct umem {
	int fd;   /* -1: none */
	void *at; /* NULL: not mapped */
	size_t size;
	size_t page_size;
	int error; /* of umem_map(): negative errno */
};

#define UMEM_INIT ((struct umem){ .fd = -1 })

/* umem_done() - unmap and close. */
void umem_done(struct umem *umem);

/*
 * umem_create() - a sealed memfd of at least @size bytes, rounded up to whole pages. Huge pages
 * that the kernel has to put together are mapped already, the others are not.
 * Return: 0 or a negative errno, with its text in @x (may be NULL).
 */
int umem_create(struct xskd *x, struct umem *out, uint64_t size,
		enum xskd_huge_pages huge) must_check;

/*
 * umem_map() - map all of umem->fd, page tables and all; sets at and size, or error.
 * @fresh: nothing is in it yet.
 */
void umem_map(struct umem *umem, bool fresh);

#endif
