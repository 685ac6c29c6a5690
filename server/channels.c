// SPDX-License-Identifier: Apache-2.0
#include "channels.h"

#include <errno.h>
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "log.h"
#include "monitor.h"

/* Attributes of generic netlink look like those of rtnetlink. */
static struct attrs inside(struct rtattr *nest)
{
	return (struct attrs){ RTA_DATA(nest), RTA_PAYLOAD(nest) };
}

static struct attrs attributes(struct nlmsghdr *nlh)
{
	size_t head = NLMSG_LENGTH(GENL_HDRLEN);

	return (struct attrs){ (char *)nlh + head,
			       nlh->nlmsg_len > head ? nlh->nlmsg_len - head : 0 };
}

static struct rtattr *find(struct attrs attrs, unsigned int type)
{
	struct rtattr *a;

	while ((a = attrs_next(&attrs))) {
		if ((a->rta_type & NLA_TYPE_MASK) == type)
			return a;
	}
	return NULL;
}

static uint32_t number(struct attrs attrs, unsigned int type)
{
	struct rtattr *a = find(attrs, type);
	uint32_t value = 0;

	if (a && RTA_PAYLOAD(a) == sizeof(value))
		memcpy(&value, RTA_DATA(a), sizeof(value));
	return value;
}

/* ---- which group ---- */

static int ask_family(int fd)
{
	struct {
		struct nlmsghdr nlh;
		struct genlmsghdr genl;
		struct rtattr attr;
		char name[16];
	} req = {
		.nlh = { .nlmsg_len = sizeof(req),
			 .nlmsg_type = GENL_ID_CTRL,
			 .nlmsg_flags = NLM_F_REQUEST },
		.genl = { .cmd = CTRL_CMD_GETFAMILY, .version = 1 },
		.attr = { .rta_len = RTA_LENGTH(sizeof(ETHTOOL_GENL_NAME)),
			  .rta_type = CTRL_ATTR_FAMILY_NAME },
		.name = ETHTOOL_GENL_NAME,
	};

	req.nlh.nlmsg_len =
		(uint32_t)(NLMSG_LENGTH(GENL_HDRLEN) + RTA_SPACE(req.attr.rta_len - RTA_LENGTH(0)));
	return send(fd, &req, req.nlh.nlmsg_len, 0) < 0 ? -errno : 0;
}

static int group_in(struct nlmsghdr *nlh)
{
	struct rtattr *groups = find(attributes(nlh), CTRL_ATTR_MCAST_GROUPS), *group;
	struct attrs attrs;

	if (nlh->nlmsg_type != GENL_ID_CTRL || !groups)
		return -ENOENT;
	attrs = inside(groups);
	while ((group = attrs_next(&attrs))) {
		struct rtattr *name = find(inside(group), CTRL_ATTR_MCAST_GRP_NAME);

		if (name && RTA_PAYLOAD(name) == sizeof(ETHTOOL_MCGRP_MONITOR_NAME) &&
		    !strcmp(RTA_DATA(name), ETHTOOL_MCGRP_MONITOR_NAME))
			return (int)number(inside(group), CTRL_ATTR_MCAST_GRP_ID);
	}
	return -ENOENT;
}

/* The kernel answers within the send. */
static int find_group(int fd)
{
	_Alignas(struct nlmsghdr) char buf[8192];
	int err = ask_family(fd);
	ssize_t n = err ? 0 : recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	struct nlmsghdr *nlh = (struct nlmsghdr *)(void *)buf;

	if (err < 0 || n < 0)
		return err < 0 ? err : -errno;
	return NLMSG_OK(nlh, (size_t)n) ? group_in(nlh) : -EPROTO;
}

int channels_open(void)
{
	cleanup(close_fdp) int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_GENERIC);
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	int group;

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	group = find_group(fd);
	if (group < 0)
		return group;
	group = monitor_join(fd, group);
	return group < 0 ? group : steal_fd(&fd);
}

/* ---- news ---- */

static void on_message(struct core *core, struct nlmsghdr *nlh, int nsid)
{
	const struct genlmsghdr *genl = NLMSG_DATA(nlh);
	struct attrs attrs = attributes(nlh);
	struct rtattr *head = find(attrs, ETHTOOL_A_CHANNELS_HEADER);
	uint32_t rx, tx, queues;

	if (nlh->nlmsg_len < NLMSG_LENGTH(GENL_HDRLEN) || genl->cmd != ETHTOOL_MSG_CHANNELS_NTF ||
	    !head)
		return;
	rx = number(attrs, ETHTOOL_A_CHANNELS_RX_COUNT);
	tx = number(attrs, ETHTOOL_A_CHANNELS_TX_COUNT);
	queues = number(attrs, ETHTOOL_A_CHANNELS_COMBINED_COUNT) + (rx > tx ? rx : tx);
	if (queues)
		core_queues_changed(core, nsid, number(inside(head), ETHTOOL_A_HEADER_DEV_INDEX),
				    queues);
}

void channels_read(int fd, struct core *core)
{
	_Alignas(struct nlmsghdr) char buf[16384];

	/* What was dropped for want of room cannot be asked for in other namespaces. */
	for (int i = 0; i < MONITOR_BATCH; i++) {
		int nsid;
		ssize_t n = monitor_receive(fd, buf, sizeof(buf), &nsid);
		size_t len = n < 0 ? 0 : (size_t)n;

		if (n == 0)
			return;

		for (struct nlmsghdr *nlh = (struct nlmsghdr *)(void *)buf; NLMSG_OK(nlh, len);
		     nlh = NLMSG_NEXT(nlh, len))
			on_message(core, nlh, nsid);
	}
}
