// SPDX-License-Identifier: Apache-2.0
#include "refill.h"

#include "hold.h"
#include "pool.h"
#include "rest.h"

/*
 * What the kernel takes to attach a program is some 10 ms, in which no other is attached: so a
 * LoadProgram that nobody could foresee waits for it one time in ten at most, and mostly finds an
 * instance without.
 */
#define PAUSE_MS 100
#define LATE_MAX 10

static void work(void *arg)
{
	struct refill *refill = arg;

	pool_step(refill->pool);
	if (refill->rested || pool_wants(refill->pool))
		return;
	refill->rested = true; /* it is full for the first time: the start is over */
	rest_begin();
}

static void worked(void *arg)
{
	struct refill *refill = arg;

	hold_begin("refill");
	refill->works = false;
	refill_soon(refill);
}

static void on_timer(uv_timer_t *timer)
{
	struct refill *refill = timer->data;

	hold_begin("refill");
	if (refill->lanes->running && refill->late++ < LATE_MAX) {
		refill_soon(refill);
		return;
	}
	refill->late = 0;
	refill->works = lanes_work(refill->lanes, work, worked, refill);
	if (!refill->works)
		refill_soon(refill);
}

void refill_init(struct refill *refill, uv_loop_t *loop, struct lanes *lanes)
{
	*refill = (struct refill){ .lanes = lanes };
	uv_timer_init(loop, &refill->timer);
	refill->timer.data = refill;
}

void refill_start(struct refill *refill, struct pool *pool)
{
	refill->pool = pool;
	if (pool_wants(pool))
		uv_timer_start(&refill->timer, on_timer, 0, 0);
}

void refill_soon(struct refill *refill)
{
	if (refill->works || uv_is_closing((uv_handle_t *)&refill->timer) ||
	    uv_is_active((uv_handle_t *)&refill->timer) || !refill->pool ||
	    !pool_wants(refill->pool))
		return;
	uv_timer_start(&refill->timer, on_timer, PAUSE_MS, 0);
}

void refill_stop(struct refill *refill)
{
	uv_close((uv_handle_t *)&refill->timer, NULL);
}
