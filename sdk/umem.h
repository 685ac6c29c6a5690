/* SPDX-License-Identifier: Apache-2.0 */
/* Packet memory: a memfd that nobody can shrink under the kernel, all of it allocated. */
#ifndef XSKD_SDK_UMEM_H
#define XSKD_SDK_UMEM_H

#include "base.h"

struct umem {
	int fd;   /* -1: none */
	void *at; /* NULL: not mapped */
	size_t size;
	int error; /* of umem_map(): negative errno */
};

#define UMEM_INIT ((struct umem){ .fd = -1 })

/* umem_done() - unmap and close. */
void umem_done(struct umem *umem);

/*
 * umem_create() - a sealed memfd of at least @size bytes, rounded up to whole pages.
 * Return: the fd, the caller's; or a negative errno. -ENOMEM: also where there are no huge pages.
 */
int umem_create(uint64_t size, bool huge_pages) must_check;

/*
 * umem_map() - map all of umem->fd, page tables and all; sets at and size, or error.
 * @fresh: nothing is in it yet.
 */
void umem_map(struct umem *umem, bool fresh);

#endif
