/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel reports of devices and namespaces, on one rtnetlink socket of the daemon's
 * namespace. NETLINK_LISTEN_ALL_NSID brings the news of every namespace that has a number here
 * (GrantLease gives one), without a socket or an fd in it that would keep it alive.
 */
#ifndef XSKD_MONITOR_H
#define XSKD_MONITOR_H

#include "core.h"

#define MONITOR_BATCH 32 /* messages at a time: a client that waits is next */

/* monitor_open() - Return: a non-blocking fd, the caller's. */
int monitor_open(struct fault *fault) must_check;

/* monitor_join() - hear a multicast group of @fd, in all namespaces that have a number here. */
int monitor_join(int fd, int group) must_check;

/*
 * monitor_receive() - @out_nsid: the namespace it is about, -1: the daemon's own. Return: its
 * length; 0: there is no more; -ENOBUFS: the kernel dropped some for want of room.
 */
ssize_t monitor_receive(int fd, void *buf, size_t size, int *out_nsid) must_check;

/*
 * monitor_read() - take in what has arrived, some of it if it is much, and tell @core. @lost: set
 * where the kernel dropped some for want of room. Return: whether there may be more to be read.
 */
bool monitor_read(int fd, struct core *core, bool *lost);

#endif
