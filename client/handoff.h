/* SPDX-License-Identifier: Apache-2.0 */
/* The options of a hand-off, which `receive` and `exec` have in common. */
#ifndef CLIENT_HANDOFF_H
#define CLIENT_HANDOFF_H

#include "ctl.h"

enum {
	OPT_QUEUE = HANDOFF_OPT,
	OPT_ZERO_COPY,
	OPT_KEEP,
	OPT_HUGE_PAGES,
	OPT_BUSY_POLL,
	OPT_FRAMES,
	OPT_FRAME_SIZE,
	OPT_RING_SIZE,
};

#define HANDOFF_OPTIONS                                                    \
	{ "queue", required_argument, NULL, OPT_QUEUE },                   \
		{ "zero-copy", required_argument, NULL, OPT_ZERO_COPY },   \
		{ "keep", no_argument, NULL, OPT_KEEP },                   \
		{ "huge-pages", optional_argument, NULL, OPT_HUGE_PAGES }, \
		{ "busy-poll", required_argument, NULL, OPT_BUSY_POLL },   \
		{ "frames", required_argument, NULL, OPT_FRAMES },         \
		{ "frame-size", required_argument, NULL, OPT_FRAME_SIZE }, \
	{                                                                  \
		"ring-size", required_argument, NULL, OPT_RING_SIZE        \
	}

struct handoff_args {
	struct xskd_handoff_opts opts; /* its queues are those below */
	struct queue_list queues;
};

#define HANDOFF_ARGS_INIT       \
	((struct handoff_args){ \
		.opts = XSKD_OPTS(xskd_handoff_opts, .zero_copy = XSKD_ZC_PREFERRED) })

/* handoff_args_donep() - for the cleanup attribute. */
void handoff_args_donep(struct handoff_args *args);

/* handoff_option() - take in option @c of those above. Return: an exit code, CTL_OK to go on. */
must_check int handoff_option(struct ctl *ctl, struct handoff_args *args, int c);

#endif
