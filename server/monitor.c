// SPDX-License-Identifier: Apache-2.0
#include "monitor.h"

#include <errno.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "netns.h"

#define RECEIVE_BUFFER (1024 * 1024) /* a burst of pods starting at once */

int monitor_join(int fd, int group)
{
	const int on = 1, size = RECEIVE_BUFFER;

	if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &on, sizeof(on)) < 0)
		return -errno;
	/* A smaller buffer only means that the fallback of monitor_read() is taken sooner. */
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return 0;
}

static int subscribe(int fd)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	int err = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;

	if (!err)
		err = monitor_join(fd, RTNLGRP_LINK);
	return err ? err : monitor_join(fd, RTNLGRP_NSID);
}

int monitor_open(struct fault *fault)
{
	cleanup(close_fdp) int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	int err = fd < 0 ? -errno : subscribe(fd);

	if (err < 0)
		return fault_sys(fault, -err,
				 "cannot listen to the kernel's news of network devices");
	return steal_fd(&fd);
}

static void on_link(struct core *core, struct nlmsghdr *nlh, int nsid)
{
	const struct ifinfomsg *info = NLMSG_DATA(nlh);
	struct device dev;

	if (info->ifi_family != AF_UNSPEC) /* a bridge speaks of its ports in the same words */
		return;
	if (nlh->nlmsg_type == RTM_DELLINK)
		core_link_gone(core, nsid, (uint32_t)info->ifi_index);
	else if (device_read(nlh, &dev) == 0)
		core_link_changed(core, nsid, &dev);
}

static void on_nsid_gone(struct core *core, struct nlmsghdr *nlh)
{
	struct rtgenmsg *gen = NLMSG_DATA(nlh);
	struct attrs attrs = { (char *)gen + NLMSG_ALIGN(sizeof(*gen)),
			       NLMSG_PAYLOAD(nlh, sizeof(*gen)) };
	struct rtattr *a;
	int nsid;

	while ((a = attrs_next(&attrs))) {
		if (a->rta_type != NETNSA_NSID)
			continue;
		memcpy(&nsid, RTA_DATA(a), sizeof(nsid));
		core_netns_gone(core, nsid, UINT64_MAX);
	}
}

static void on_messages(struct core *core, char *buf, size_t len, int nsid)
{
	for (struct nlmsghdr *nlh = (struct nlmsghdr *)(void *)buf; NLMSG_OK(nlh, len);
	     nlh = NLMSG_NEXT(nlh, len)) {
		if (nlh->nlmsg_type == RTM_NEWLINK || nlh->nlmsg_type == RTM_DELLINK)
			on_link(core, nlh, nsid);
		else if (nlh->nlmsg_type == RTM_DELNSID &&
			 nsid < 0) /* numbers of our own namespace */
			on_nsid_gone(core, nlh);
	}
}

ssize_t monitor_receive(int fd, void *buf, size_t size, int *out_nsid)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);

	*out_nsid = -1;
	if (n < 0)
		return errno == ENOBUFS ? -ENOBUFS : 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_LISTEN_ALL_NSID)
			memcpy(out_nsid, CMSG_DATA(c), sizeof(*out_nsid));
	}
	return n;
}

bool monitor_read(int fd, struct core *core, bool *lost)
{
	_Alignas(struct nlmsghdr) char buf[16384];

	for (int i = 0; i < MONITOR_BATCH; i++) {
		int nsid;
		ssize_t n = monitor_receive(fd, buf, sizeof(buf), &nsid);

		if (n == 0)
			return false;
		if (n < 0)
			*lost = true;
		else
			on_messages(core, buf, (size_t)n, nsid);
	}
	return true;
}
