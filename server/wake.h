/* SPDX-License-Identifier: Apache-2.0 */
/* A signal that does nothing but end what a thread waits for in the kernel. */
#ifndef XSKD_WAKE_H
#define XSKD_WAKE_H

#include <signal.h>

#define WAKE SIGURG /* is ignored where nobody asked for it */

/* wake_setup() - once, before others are called. */
void wake_setup(void);

/* wake_on() - the calling thread can be woken, as libuv's workers otherwise cannot. */
void wake_on(sigset_t *out_before);
void wake_off(const sigset_t *before);

#endif
