/* SPDX-License-Identifier: Apache-2.0 */
/* Packet memory: a memfd that nobody can shrink under the kernel, all of it allocated. */
#ifndef XSKD_SDK_UMEM_H
#define XSKD_SDK_UMEM_H

#include "base.h"

/*
 * umem_create() - a sealed memfd of at least @size bytes, rounded up to whole pages.
 * Return: the fd, the caller's; or a negative errno. -ENOMEM: also where there are no huge pages.
 */
int umem_create(uint64_t size, bool huge_pages) must_check;

/* umem_map() - map all of it. Return: 0 or a negative errno. */
int umem_map(int fd, void **out, size_t *out_size) must_check;

#endif
