/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ends unseen: sockets of the ledger whose places in the maps are empty, programs whose device
 * has gone or that were detached by somebody else, transient programs whose last lease has ended or
 * whose first one does not come. Three steps, as in a method: what to look at (loop), looking and
 * clearing up (worker), taking note (loop).
 *
 * All of it is looked at once a second. Where there is a reason to doubt (a process has ended, a
 * namespace has gone), a socket or program is looked at at once, and some more times at growing
 * intervals: what we were told of comes a little before what we look for. A doubt is a number: 0,
 * none; 1, just arisen; more, looked at so many times.
 */
#ifndef XSKD_SWEEP_H
#define XSKD_SWEEP_H

#include "core.h"

struct sweep;

enum sweep_what { SWEEP_DOUBTFUL, SWEEP_SOCKETS, SWEEP_ALL };

/*
 * sweep_new() - the doubtful, all sockets, or all there is. NULL: there is nothing to look at, or
 * no memory for it.
 */
struct sweep *sweep_new(struct core *core, enum sweep_what what) must_check;
/*
 * sweep_due() - not for a tenth of a second after the last one ended, nor after one of
 * SWEEP_SOCKETS began: pods can ask for those as often as they like, and each has a copy of each
 * map.
 */
bool sweep_due(const struct core *core);
void sweep_look(struct sweep *sweep);
void sweep_note(struct core *core, const struct sweep *sweep);
/* sweep_delay() - how soon the doubtful are to be looked at, in milliseconds; -1: there are none.
 */
int sweep_delay(const struct core *core);
/* sweep_free() - on the loop, whether or not the steps before it were taken. */
void sweep_free(struct sweep *sweep);

#endif
