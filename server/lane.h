/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs calls: their quick steps on the loop thread, their blocking ones on libuv's workers. Calls
 * of the same lane (a device, named by the call) run one after another in the order in which they
 * came; different lanes run at the same time, as far as there are workers. Of these each pod has
 * only so many at a time, whatever it asks for; what else it wants waits in order.
 */
#ifndef XSKD_LANE_H
#define XSKD_LANE_H

#include "call.h"

struct uv_loop_s;

struct lanes {
	struct uv_loop_s *loop;
	struct lane *first;
	struct index shares; /* of the workers */
	uint32_t per_netns,
		reapers;  /* so many workers at most are busy with one, or with closing */
	uint32_t running; /* calls, and other work; but for the following */
	uint32_t disposing, hanging_up; /* lanes_dispose(), lanes_hang_up() */
};

void lanes_init(struct lanes *lanes, struct uv_loop_s *loop, uint32_t workers, uint32_t per_netns);
void lanes_done(struct lanes *lanes);

/*
 * lanes_run() - run @call to its end; it is freed afterwards.
 * @ended: called once, on the loop, perhaps before this returns: pack the reply and send it.
 *	Return: whether it was sent, or will be. False takes back what the call made.
 */
void lanes_run(struct lanes *lanes, struct call *call, bool (*ended)(void *arg, struct call *call),
	       void *arg);

/* lanes_reap() - close fds on a worker: that of a bound AF_XDP socket blocks for a grace period. */
void lanes_reap(struct lanes *lanes, struct fdset *fds);

/* lanes_unmap() - unmap memory on a worker, a moment later. */
void lanes_unmap(struct lanes *lanes, void *area, size_t size);

/* lanes_work() - a piece of work that is no call. @done runs on the loop. False: no memory. */
bool lanes_work(struct lanes *lanes, void (*work)(void *arg), void (*done)(void *arg),
		void *arg) must_check;

/*
 * lanes_dispose() - one that a client may make long, a file system of his even without end: these
 * wait for each other alone.
 */
bool lanes_dispose(struct lanes *lanes, void (*work)(void *arg), void (*done)(void *arg),
		   void *arg) must_check;

/*
 * lanes_hang_up() - the same of sockets whose peers have left something unread: what lies there is
 * released and not flushed, so few file systems are waited for, and these do not wait for those.
 */
bool lanes_hang_up(struct lanes *lanes, void (*work)(void *arg), void (*done)(void *arg),
		   void *arg) must_check;

#endif
