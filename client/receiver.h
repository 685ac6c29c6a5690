/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet path of `xskctl receive`: takes packets out of the rings of a hand-off, counts them
 * and gives their frames back. While packets flow it makes no system call, unless the driver asks
 * for one by need_wakeup. Prints nothing and knows nothing of options.
 */
#ifndef CLIENT_RECEIVER_H
#define CLIENT_RECEIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xskd.h>

#include "sequence.h"
#include "util.h"

struct receiver_count {
	uint64_t packets, bytes;
};

struct receiver {
	struct xskd_handoff *h;    /* borrowed */
	bool busy_poll;            /* recvfrom(2) instead of sleeping in poll(2) */
	struct sequence *sequence; /* borrowed; NULL: do not look into packets */
	uint64_t limit;            /* of packets that count */
	struct receiver_count total;
	struct receiver_count *counts; /* for each socket of the hand-off */
	uint64_t first_ns, last_ns;    /* when packets came that count; 0: none did */
	uint64_t now_ns;               /* when receiver_drain() last brought any */
	uint64_t *spare;               /* frames that are in no ring, room for all */
	size_t n_spare, max_spare;
};

/* receiver_init() - @h is filled already. Return: 0 or -ENOMEM; done() is safe after either. */
must_check int receiver_init(struct receiver *r, struct xskd_handoff *h);
void receiver_done(struct receiver *r);

/* receiver_drain() - at most one batch from each socket. Return: how many packets. */
uint32_t receiver_drain(struct receiver *r);

/* receiver_counted() - how many packets count: all, or with sequence those with a number. */
uint64_t receiver_counted(const struct receiver *r);

/* receiver_full() - the limit is reached. */
bool receiver_full(const struct receiver *r);

/* What else ends the wait; -1: none. */
#define RECEIVER_WAKES 2

/*
 * receiver_wait() - until there are packets, or one of @wake_fds is readable.
 * @timeout_ms: as in poll(2); with busy_poll it does not wait at all.
 * Return: 0, 1 when one of @wake_fds is readable, or negative errno: a socket is dead.
 */
must_check int receiver_wait(struct receiver *r, const int wake_fds[RECEIVER_WAKES],
			     int timeout_ms);

/* receiver_now() - nanoseconds of the monotonic clock. */
uint64_t receiver_now(void);

#endif
