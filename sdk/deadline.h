/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines: nanoseconds of CLOCK_MONOTONIC, so that a wait in parts is as long as one in whole. */
#ifndef XSKD_SDK_DEADLINE_H
#define XSKD_SDK_DEADLINE_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define DEADLINE_NONE INT64_MAX

static inline int64_t deadline_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* @timeout_ms: negative: none. */
static inline int64_t deadline_at(int64_t began, int timeout_ms)
{
	return timeout_ms < 0 ? DEADLINE_NONE : began + (int64_t)timeout_ms * 1000000;
}

static inline int64_t deadline_in(int timeout_ms)
{
	return deadline_at(deadline_now(), timeout_ms);
}

/* For poll(2): rounded up, so that 0 means passed; -1: there is no deadline. */
static inline int deadline_left_ms(int64_t deadline)
{
	if (deadline == DEADLINE_NONE)
		return -1;

	int64_t left = deadline - deadline_now();

	return left <= 0 ? 0 : (int)((left + 999999) / 1000000);
}

/* Return: false when the deadline has passed; true also after a signal. */
static inline bool deadline_poll(int fd, short events, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, deadline_left_ms(deadline)) != 0;
}

#endif
