/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network namespaces and the devices in them, seen from outside: a socket that was made in a
 * namespace is a view into it, whoever has it. So nobody here enters one; the gate makes the
 * sockets.
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

struct nlmsghdr;
struct rtattr;

/* The state of a device, read from rtnetlink and ethtool of its namespace. */
struct device {
	char name[IFNAMSIZ];
	uint32_t ifindex;
	uint32_t queues;     /* that can receive now */
	uint32_t max_queues; /* after `ethtool -L` at most */
	bool up;             /* administratively up, and with carrier */
	uint32_t mtu;
	uint32_t xdp_prog_id; /* what is attached, 0: nothing */
	bool xdp_generic;
	struct hw_address address;
};

/* A namespace that something is to be done in. */
struct netns {
	struct gate *gate; /* borrowed */
	int fd;            /* borrowed; -1: the daemon's own */
	int rtnetlink;     /* a socket of it, made when it is first needed */
};

#define NETNS_OF(gate, fd) ((struct netns){ (gate), (fd), -1 })

void netns_done(struct netns *ns);

/* netns_cookie() - unique until reboot (Linux 5.14). */
int netns_cookie(struct netns *ns, uint64_t *out) must_check;

/* netns_inode() - of a namespace fd; -EINVAL when it is none. Unique among living namespaces. */
int netns_inode(int netns_fd, ino_t *out) must_check;

/* netns_self() - the daemon's own; the caller owns the fd. */
int netns_self(void) must_check;

/*
 * netns_new() - an empty one that lives as long as the fd, which the caller owns. Needs
 * CAP_SYS_ADMIN, and so is for the start.
 */
int netns_new(void) must_check;

/*
 * netns_add_veth() - a pair of devices with these indexes, one queue each, down. Needs
 * CAP_NET_ADMIN.
 */
int netns_add_veth(struct netns *ns, uint32_t ifindex, uint32_t peer) must_check;

/* device_find() - look up @name. */
int device_find(struct netns *ns, const char *name, struct device *out) must_check;

/*
 * netns_nsid() - the number by which rtnetlink of the daemon's own namespace knows the namespace
 * @netns_fd, given to it if it has none. It does not keep that namespace alive.
 */
int netns_nsid(int netns_fd, int *out) must_check;

/* For a program whose device has gone who knows where; -1 is the daemon's own namespace. */
#define NETNS_UNKNOWN (-2)

/* device_read() - of an RTM_NEWLINK; the queues are those that it might have. -EPROTO: it is none.
 */
int device_read(struct nlmsghdr *nlh, struct device *out) must_check;

/* device_find_at() - by index in the namespace with that number; -1: the daemon's own. */
int device_find_at(int nsid, uint32_t ifindex, struct device *out) must_check;

/* netns_only_device() - whether it has no device but @ifindex and loopback. */
int netns_only_device(struct netns *ns, uint32_t ifindex, bool *out) must_check;

/* The attributes behind a netlink message's header, one by one; NULL after the last whole one. */
struct attrs {
	void *at;
	size_t left;
};

struct rtattr *attrs_next(struct attrs *attrs);

#endif
