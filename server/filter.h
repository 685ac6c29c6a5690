/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that daemon and gate may make, by seccomp(2): what is not listed fails with
 * EPERM and leaves a line in the kernel's audit. Both apply to all threads, now and later, for
 * good.
 */
#ifndef XSKD_FILTER_H
#define XSKD_FILTER_H

#include <sys/types.h>

#include "base.h"

int filter_daemon(void) must_check;

/* filter_gate() - @daemon: the process that it may end beside itself. */
int filter_gate(pid_t daemon) must_check;

#endif
