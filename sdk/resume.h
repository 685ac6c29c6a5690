/* SPDX-License-Identifier: Apache-2.0 */
/* Which frames are the application's, found out from the rings alone. */
#ifndef XSKD_SDK_RESUME_H
#define XSKD_SDK_RESUME_H

#include "base.h"
#include "xskd.h"

/* How long to wait for the kernel to put back what it holds. */
#define RESUME_SETTLE_MS 20

/*
 * resume_frames() - set @h->frames, n_frames and lost_frames from the rings of @h->sockets, and
 * drop what stands in two rings from one of them. Looks at nothing else of @h but frame_size and
 * umem_size, makes no system call but to sleep, and trusts no address in a ring.
 * Return: 0 or -ENOMEM.
 */
int resume_frames(struct xskd_handoff *h, int settle_ms) must_check;

#endif
