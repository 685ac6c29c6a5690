/* SPDX-License-Identifier: Apache-2.0 */
/* What one HandOffSocket call carries from step to step. */
#ifndef XSKD_HANDOFF_H
#define XSKD_HANDOFF_H

#include "method.h"

/*
 * How long a socket waits, after the first reply, for the BindSocket of a hand-off in two phases.
 */
#define BIND_WITHIN 10 /* seconds */

struct handoff {
	struct xsk_spec spec;
	bool unbound, keep;
	int umem_fd; /* the client's, or a copy of the kept one; -1: none */
	uint64_t umem_bytes;
	int netns_fd; /* where the sockets are made; -1: in the daemon's namespace */
	ino_t inode;
	int map_fd; /* a copy: the program may be unloaded meanwhile */
	uint64_t lease;
	uint32_t program;
	bool only_device; /* unbound is all right only if nothing else is in the namespace */
	bool zero_copy;
	bool bound, inserted;
	int fds[XSK_QUEUES_MAX];
	uint64_t socks[XSK_QUEUES_MAX]; /* noted in the ledger; 0: not yet */
};

/* handoff_shape() - the method's shape: fills the job in from the request alone. */
int handoff_shape(struct call *call) must_check;

#endif
