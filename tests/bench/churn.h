/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody else who does one thing over and over, in a thread, while something is measured. */
#ifndef XSKD_BENCH_CHURN_H
#define XSKD_BENCH_CHURN_H

#include <pthread.h>
#include <stdatomic.h>

struct churn {
	pthread_t thread;
	void (*turn)(void *arg);
	void *arg;
	int cpu;
	atomic_bool stop;
	atomic_ulong turns; /* that have ended */
};

/* churn_start() - @turn again and again, on @cpu. Returns when the first one has ended. */
void churn_start(struct churn *c, void (*turn)(void *arg), void *arg, int cpu);

/* churn_stop() - when the turn under way has ended. Return: how many there were. */
unsigned long churn_stop(struct churn *c);

#endif
