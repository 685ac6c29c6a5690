/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold in the daemon's heart whatever was asked of it: nobody has what is another's, what
 * is counted is there, lists are whole. Each of these functions aborts where something does not.
 */
#ifndef XSKD_FUZZ_HOLDS_H
#define XSKD_FUZZ_HOLDS_H

#include "method.h"
#include "world.h"

/* holds_core() - programs, leases and sockets agree. @under_way: calls are between their steps. */
void holds_core(const struct world *w, bool under_way);

/* holds_answer() - it has what @peer may have, and the fds that it names. */
void holds_answer(struct world *w, const struct peer *peer, const struct answer *a);

/* holds_audit() - the line that it left, if it did; @before: how many there were. */
void holds_audit(const struct method *method, unsigned int before, const struct answer *a);

/* holds_lists() - an administrator gets all there is, page by page. No kernel call may fail now. */
void holds_lists(struct world *w);

#endif
