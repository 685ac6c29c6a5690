/* SPDX-License-Identifier: Apache-2.0 */
/* A file descriptor that the loop waits for until it can be read. */
#ifndef XSKD_READABLE_H
#define XSKD_READABLE_H

#include <uv.h>

#include "fault.h"

struct readable {
	uv_poll_t poll;
	void *owner; /* of whoever started it */
	int fd;
	bool active;
};

#define READABLE_INIT ((struct readable){ .fd = -1 })

/*
 * readable_start() - takes over @fd, also when it fails. @fn finds its readable in poll->data.
 */
int readable_start(struct readable *r, uv_loop_t *loop, int fd, uv_poll_cb fn, void *owner,
		   struct fault *fault) must_check;

/* readable_stop() - the fd is closed once the loop has let go of it; harmless where none is. */
void readable_stop(struct readable *r);

#endif
