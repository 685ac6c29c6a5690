/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has to go and can do so later: stored sockets out of the service manager's store, and state
 * files of leases that have ended by themselves. What one turn of the loop drops
 * goes together, on a worker, UMEMs first: a kill on the way leaves a hand-off whole, or without
 * its UMEM, which is the same as gone. The manager's socket can be full, and a socket that stayed
 * in the store would keep its queue: so it is tried again with each tick, until the manager has
 * been told. A file that cannot be removed is found stale by the next start.
 */
#ifndef XSKD_DROPS_H
#define XSKD_DROPS_H

#include "lane.h"

struct drop;

struct drops {
	struct lanes *lanes;
	struct core *core;
	struct drop *waiting; /* for their turn */
	struct drop *running; /* a worker's, for now */
	bool file_left;       /* by the worker: could not be removed */
	int err;              /* why those that wait do so; 0: they are new */
};

/* drops_add() - see store_forget_umem() and store_forget(). */
void drops_add(struct drops *drops, uint64_t sock, uint64_t umem);
/* drops_unfile() - remove the state file of a lease; drops_has(): it is not removed yet. */
void drops_unfile(struct drops *drops, const char *name);
bool drops_has(const struct drops *drops, const char *name);
/* drops_run() - at the end of each turn of the loop; @retry: also what has failed before. */
void drops_run(struct drops *drops, bool retry);
/* drops_now() - at start, before there is anything to hold up. */
void drops_now(struct drops *drops);
/* drops_done() - when no worker runs any more. What fails now is done by the next start. */
void drops_done(struct drops *drops);

#endif
