/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding out which sockets of the ledger have ended: their places in the maps are empty then.
 * Three steps, as in a method: what to look at (loop), looking (worker), taking note (loop).
 */
#ifndef XSKD_SWEEP_H
#define XSKD_SWEEP_H

#include "core.h"

struct sweep;

/* sweep_new() - NULL: there is nothing to look at, or no memory for it. */
struct sweep *sweep_new(const struct core *core) must_check;
void sweep_look(struct sweep *sweep);
void sweep_note(struct core *core, const struct sweep *sweep);
void sweep_free(struct sweep *sweep);

#endif
