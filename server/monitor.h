/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel reports of devices and namespaces, on one rtnetlink socket of the daemon's
 * namespace. NETLINK_LISTEN_ALL_NSID brings the news of every namespace that has a number here
 * (GrantLease gives one), without a socket or an fd in it that would keep it alive.
 */
#ifndef XSKD_MONITOR_H
#define XSKD_MONITOR_H

#include "core.h"

/* monitor_open() - Return: a non-blocking fd, the caller's. */
int monitor_open(struct fault *fault) must_check;

/* monitor_read() - take in all that has arrived, and tell @core. */
void monitor_read(int fd, struct core *core);

#endif
