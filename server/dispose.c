// SPDX-License-Identifier: Apache-2.0
#include "dispose.h"

#include <time.h>
#include <unistd.h>

#include "wake.h"

#define EVERY_NS 1000000

/* Return: false, the kernel has no room for one more: then without. */
static bool wake_me(timer_t *out)
{
	const struct itimerspec every = { .it_interval = { .tv_nsec = EVERY_NS },
					  .it_value = { .tv_nsec = EVERY_NS } };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = WAKE };

	event._sigev_un._tid = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, out) < 0)
		return false;
	(void)timer_settime(*out, 0, &every, NULL);
	return true;
}

void dispose(struct fdset *fds)
{
	sigset_t before;
	timer_t timer;
	bool woken;

	wake_on(&before);
	woken = wake_me(&timer);
	fdset_done(fds);
	if (woken)
		(void)timer_delete(timer);
	wake_off(&before);
}
