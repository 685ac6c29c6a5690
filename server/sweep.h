/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ends unseen: sockets of the ledger whose places in the maps are empty, programs whose device
 * has gone, transient programs whose last lease has ended or whose first one does not come. Three
 * steps, as in a method: what to look at (loop), looking and clearing up (worker), taking note
 * (loop).
 */
#ifndef XSKD_SWEEP_H
#define XSKD_SWEEP_H

#include "core.h"

struct sweep;

/* sweep_new() - NULL: there is nothing to look at, or no memory for it. */
struct sweep *sweep_new(struct core *core) must_check;
/* sweep_due() - not for a tenth of a second after the last one: pods can ask for it. */
bool sweep_due(const struct core *core);
void sweep_look(struct sweep *sweep);
void sweep_note(struct core *core, const struct sweep *sweep);
/* sweep_free() - on the loop, whether or not the steps before it were taken. */
void sweep_free(struct sweep *sweep);

#endif
