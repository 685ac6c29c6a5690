// SPDX-License-Identifier: Apache-2.0
#include "wake.h"

#include <stddef.h>

static void on_wake(int number)
{
	(void)number; /* it does its work by being there */
}

void wake_setup(void)
{
	const struct sigaction action = { .sa_handler = on_wake };

	(void)sigaction(WAKE, &action, NULL); /* only fails for signals that there are not */
}

void wake_on(sigset_t *out_before)
{
	sigset_t wake;

	sigemptyset(&wake);
	sigaddset(&wake, WAKE);
	pthread_sigmask(SIG_UNBLOCK, &wake, out_before);
}

void wake_off(const sigset_t *before)
{
	pthread_sigmask(SIG_SETMASK, before, NULL);
}
