/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel reports of the number of queues (`ethtool -L`): rtnetlink has no word of it, but
 * the generic netlink family "ethtool" does, for each namespace that has a number here, as
 * monitor.h says.
 */
#ifndef XSKD_CHANNELS_H
#define XSKD_CHANNELS_H

#include "core.h"

/* channels_open() - Return: a non-blocking fd, the caller's; negative: this kernel has no such. */
int channels_open(void) must_check;

/* channels_read() - take in all that has arrived, and tell @core. */
void channels_read(int fd, struct core *core);

#endif
