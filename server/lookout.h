/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon hears and sees of the kernel without being asked: news of devices and namespaces,
 * of processes that end; and the looks at what tells of nothing, sweep.h and survey.h.
 */
#ifndef XSKD_LOOKOUT_H
#define XSKD_LOOKOUT_H

#include "lane.h"
#include "readable.h"

struct lookout {
	uv_loop_t *loop;
	struct core *core;
	struct lanes *lanes;
	struct readable news, channels, ends; /* ends: of processes that hold sockets */
	uv_timer_t look;
	struct sweep *sweep; /* under way; NULL: none */
	struct survey *survey;
	bool sweeping, lost; /* lost: news, and what was lost is not asked for yet */
	bool over;
};

void lookout_init(struct lookout *l, uv_loop_t *loop, struct core *core, struct lanes *lanes);

/* lookout_open() - hear of devices; before privileges are given up. */
int lookout_open(struct lookout *l, struct fault *fault) must_check;
/* lookout_holders() - hear of processes. */
int lookout_holders(struct lookout *l, struct fault *fault) must_check;

/* lookout_hear() - read the news that there is now. Return: whether that was all. */
bool lookout_hear(struct lookout *l);

/* lookout_soon() - there are doubts. */
void lookout_soon(struct lookout *l);
/* lookout_tick() - look at everything. */
void lookout_tick(struct lookout *l);

void lookout_stop(struct lookout *l);

#endif
