/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network namespaces and the devices in them. Entering one is for worker threads only, and each
 * that enters leaves again before it does anything else: see netns_enter().
 */
#ifndef XSKD_NETNS_H
#define XSKD_NETNS_H

#include <net/if.h>
#include <sys/types.h>

#include "fault.h"

/* The hardware address of a device: the permanent one, where it has one. */
struct hw_address {
	uint8_t len; /* 0: it has none, or it is not known */
	uint8_t at[32];
};

/* The state of a device, read from rtnetlink and ethtool of the thread's current namespace. */
struct device {
	char name[IFNAMSIZ];
	uint32_t ifindex;
	uint32_t queues;      /* that can receive now */
	uint32_t max_queues;  /* after `ethtool -L` at most */
	bool up;              /* administratively up, and with carrier */
	uint32_t xdp_prog_id; /* what is attached, 0: nothing */
	bool xdp_generic;
	struct hw_address address;
};

/*
 * netns_enter() - move this thread into @netns_fd. @out_home: for netns_leave(), which must follow
 * on every path; it aborts when the way back fails, for a worker in the wrong namespace would act
 * on a stranger's devices from then on.
 */
int netns_enter(int netns_fd, int *out_home) must_check;
void netns_leave(int home);

/* netns_cookie() - of the thread's current namespace: unique until reboot (Linux 5.14). */
int netns_cookie(uint64_t *out) must_check;

/* netns_inode() - of a namespace fd; -EINVAL when it is none. Unique among living namespaces. */
int netns_inode(int netns_fd, ino_t *out) must_check;

/* netns_self() - the calling thread's own; the caller owns the fd. */
int netns_self(void) must_check;

/* device_find() - look up @name in the current namespace. */
int device_find(const char *name, struct device *out) must_check;

/*
 * netns_nsid() - the number by which rtnetlink of the current namespace knows the namespace
 * @netns_fd, given to it if it has none. It does not keep that namespace alive.
 */
int netns_nsid(int netns_fd, int *out) must_check;

/* device_find_at() - by index in the namespace with that number; -1: the current one. */
int device_find_at(int nsid, uint32_t ifindex, struct device *out) must_check;

/* netns_only_device() - whether the current namespace has no device but @ifindex and loopback. */
int netns_only_device(uint32_t ifindex, bool *out) must_check;

/* The attributes behind a netlink message's header, one by one; NULL after the last whole one. */
struct attrs {
	void *at;
	size_t left;
};

struct rtattr;
struct rtattr *attrs_next(struct attrs *attrs);

#endif
