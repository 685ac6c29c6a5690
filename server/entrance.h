/* SPDX-License-Identifier: Apache-2.0 */
/* Where clients come in: the listening sockets, and what is done when there is no room. */
#ifndef XSKD_ENTRANCE_H
#define XSKD_ENTRANCE_H

#include "listen.h"
#include "readable.h"

struct conns;

struct entrance {
	struct conns *conns;
	struct readable listeners[LISTENERS];
	uint64_t said; /* of the loop's clock: that there is no room */
	int spare;     /* given up for a moment when the table of fds is full */
	bool deaf;     /* a listener is not looked at until the next tick */
	bool swamped;  /* that of pods is not, until there is less to be closed */
};

/* entrance_init() - before other descriptors are made, so that the spare is sure to be there. */
void entrance_init(struct entrance *e, struct conns *conns);

/* entrance_open() - takes over the listening sockets @fds, also when it fails. */
int entrance_open(struct entrance *e, const int fds[LISTENERS], struct fault *fault) must_check;

/* entrance_turn() - in each round of the loop: let pods in again, if they were kept outside. */
void entrance_turn(struct entrance *e);

/* entrance_tick() - once a second: look again at whom there was no room for. */
void entrance_tick(struct entrance *e);

/* entrance_close() - nobody comes in any more. */
void entrance_close(struct entrance *e);
void entrance_done(struct entrance *e);

#endif
