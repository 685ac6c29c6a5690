/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet memory that a client sends as a memfd. The client goes on holding it and may do to it
 * what it likes, also while we are at it: nothing that was checked may be taken for granted later.
 */
#ifndef XSKD_UMEM_H
#define XSKD_UMEM_H

#include "fault.h"

/*
 * What umem_register() needs of the process: userfaultfd(2), which keeps the kernel from making
 * pages for us (-1: not to be had, before Linux 5.11 or where it is forbidden), and its own number.
 */
struct umem_guard {
	int fd;
	pid_t self;
};

struct umem {
	int memfd;     /* -1: none */
	uint64_t size; /* this and the next: what umem_check() has found */
	bool huge;     /* it consists of huge pages */
	void *area;    /* where it is mapped, and some room around it; NULL: it is not */
	uint64_t area_size;
};

/* umem_guard_open() - one is enough for the process; the caller closes its fd. */
struct umem_guard umem_guard_open(void);

/*
 * umem_check() - whether @umem->memfd can serve as UMEM: a memfd that cannot change its size and
 * has all its pages. A UMEM that shrinks would kill with SIGBUS whoever touches it; pages that are
 * missing would be charged to this daemon's memory cgroup instead of the client's.
 */
int umem_check(struct umem *umem, uint32_t frame_size, struct fault *fault) must_check;

/*
 * umem_register() - pin all of it, for the AF_XDP socket @fd; blocks. The memfd may be closed then.
 * Where the client has punched holes since the check, it fails, and no page is made in their place
 * (without a guard, pages are). On success it is still mapped, for to unmap takes a tenth of the
 * time again, and nobody need wait for that.
 */
int umem_register(int fd, struct umem *umem, const struct umem_guard *guard, uint32_t frame_size,
		  uint32_t headroom, struct fault *fault) must_check;

/* umem_unmap() - no error where it is not mapped; blocks. */
void umem_unmap(struct umem *umem);

#endif
