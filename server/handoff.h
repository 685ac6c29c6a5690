/* SPDX-License-Identifier: Apache-2.0 */
/* What one HandOffSocket call carries from step to step. */
#ifndef XSKD_HANDOFF_H
#define XSKD_HANDOFF_H

#include "method.h"
#include "store.h"

/*
 * How long a queue, or another call at the same queue, is waited for. A place in the map is free at
 * once when its socket is closed; but a process that ends closes one after another, and so long may
 * the kernel take for each.
 */
#define QUEUE_WITHIN_MS 1000
#define CLOSE_TAKES_MS  100

/*
 * How long a socket waits, after the first reply, for the BindSocket of a hand-off in two phases.
 */
#define BIND_WITHIN 10 /* seconds */

/* Of a kept hand-off: whether the service manager has it. */
enum stored_state {
	NOT_STORED,
	STORED,
	HALF_STORED, /* it failed on the way */
};

struct handoff {
	struct xsk_spec spec;
	bool unbound, keep;
	struct umem umem; /* the client's, or a copy of the kept one */
	int netns_fd;     /* where the sockets are made; -1: in the daemon's namespace */
	ino_t inode;
	int map_fd; /* a copy: the program may be unloaded meanwhile */
	uint64_t lease;
	uint32_t program;
	size_t older;     /* sockets that the lease has: they may be ending */
	bool only_device; /* unbound is all right only if nothing else is in the namespace */
	bool zero_copy;
	size_t n_bound;
	bool inserted;
	int fds[XSK_QUEUES_MAX];
	uint64_t socks[XSK_QUEUES_MAX];     /* noted in the ledger; 0: not yet */
	Xskd__Socket *made[XSK_QUEUES_MAX]; /* what is noted of them, until it is */
	enum stored_state stored;
};

/*
 * claim_queues() - keep other leases' calls away from these queues until sock_unclaim(@owner). Only
 * a lease that has just been revoked can have a call at them. Return: 0, CALL_AGAIN or negative.
 */
int claim_queues(struct call *call, const void *owner, uint32_t program,
		 const struct xsk_spec *spec) must_check;

/*
 * wait_for_queue() - what xsk_insert() or xsk_bind() said, or CALL_AGAIN where that may help.
 * @older: sockets that the lease had before.
 */
int wait_for_queue(struct call *call, int err, size_t older) must_check;

/* handoff_limits() - whether @l may have what is asked for beside what it has. */
int handoff_limits(struct call *call, const struct lease *l) must_check;

/*
 * handoff_settle() - on the worker, at its end: what it has found out goes into job->made; and
 * where they are kept, they are made to survive the daemon, if that can be.
 */
void handoff_settle(struct call *call);

/*
 * handoff_note_stored() - on the loop, afterwards, for each socket; what was stored of one that is
 * not known (any more) is dropped. @s: it; NULL: it could not be noted, or has ended meanwhile.
 * @umem: id of the group, for one socket of it.
 */
void handoff_note_stored(struct core *core, struct sock *s, uint64_t id, uint64_t umem,
			 enum stored_state stored);

/*
 * handoff_find_kept() - all sockets of one kept hand-off, in the order of the queues asked for, in
 * job->socks; or none.
 */
bool handoff_find_kept(struct call *call, const struct lease *l) must_check;

/* handoff_shape() - the method's shape: fills the job in from the request alone. */
int handoff_shape(struct call *call) must_check;

#endif
