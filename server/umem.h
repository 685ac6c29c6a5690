/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet memory that a client sends as a memfd. The client goes on holding it and may do to it
 * what it likes, also while we are at it: nothing that was checked may be taken for granted later.
 */
#ifndef XSKD_UMEM_H
#define XSKD_UMEM_H

#include "fault.h"

/*
 * umem_check() - whether @memfd can serve as UMEM: a memfd that cannot change its size and has all
 * its pages. A UMEM that shrinks would kill with SIGBUS whoever touches it; pages that are missing
 * would be charged to this daemon's memory cgroup instead of the client's.
 */
int umem_check(int memfd, uint32_t frame_size, uint64_t *out_size, struct fault *fault) must_check;

/*
 * umem_register() - pin all of it, for the AF_XDP socket @fd; blocks. The memfd may be closed then.
 * Where the client has punched holes since the check, it fails, and no page is made in their place
 * (without userfaultfd(2), before Linux 5.11 or where it is forbidden, pages are).
 */
int umem_register(int fd, int memfd, uint64_t size, uint32_t frame_size, uint32_t headroom,
		  struct fault *fault) must_check;

#endif
