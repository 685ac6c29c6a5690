// SPDX-License-Identifier: Apache-2.0
#include "churn.h"

#include <errno.h>

#include "rows.h"

static void *run(void *arg)
{
	struct churn *c = arg;

	pin_to(c->cpu);
	while (!atomic_load(&c->stop)) {
		c->turn(c->arg);
		atomic_fetch_add(&c->turns, 1);
	}
	return NULL;
}

void churn_start(struct churn *c, void (*turn)(void *arg), void *arg, int cpu)
{
	c->turn = turn;
	c->arg = arg;
	c->cpu = cpu;
	atomic_store(&c->stop, false);
	atomic_store(&c->turns, 0);
	errno = pthread_create(&c->thread, NULL, run, c);
	CHECK(errno == 0);
	while (!atomic_load(&c->turns))
		sleep_us(100);
}

unsigned long churn_stop(struct churn *c)
{
	atomic_store(&c->stop, true);
	errno = pthread_join(c->thread, NULL);
	CHECK(errno == 0);
	return atomic_load(&c->turns);
}
