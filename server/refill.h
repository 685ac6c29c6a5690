/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the pool full, behind everybody's back: one instance at a time, with a pause after each,
 * and while no call is under way, for at most a second.
 */
#ifndef XSKD_REFILL_H
#define XSKD_REFILL_H

#include <uv.h>

#include "lane.h"

struct pool;

struct refill {
	struct lanes *lanes;
	struct pool *pool; /* NULL: there is none yet */
	uv_timer_t timer;
	bool works;        /* a worker is at it */
	bool rested;       /* it was full once: what the start needed was given back */
	unsigned int late; /* times that it has let calls go first */
};

void refill_init(struct refill *refill, uv_loop_t *loop, struct lanes *lanes);

void refill_start(struct refill *refill, struct pool *pool);

/* refill_soon() - there is something to do, perhaps. */
void refill_soon(struct refill *refill);

void refill_stop(struct refill *refill);

#endif
