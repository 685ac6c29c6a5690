// SPDX-License-Identifier: Apache-2.0
/* Messages and links; addresses and routes are in inet.c. */
#include "rtnl.h"

#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "message.h"

#define REPLY_MAX 32768 /* a dump comes in pieces of at most this (net/netlink/af_netlink.c) */

/* ---- messages ---- */

int rtnl_open(struct rtnl *rtnl)
{
	const int on = 1;

	rtnl->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (rtnl->fd < 0)
		return -errno;
	/* For the kernel's own words, and for dumps of one device only; without them it works too.
	 */
	(void)setsockopt(rtnl->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)setsockopt(rtnl->fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	return 0;
}

void rtnl_done(struct rtnl *rtnl)
{
	close_fdp(&rtnl->fd);
	rtnl->fd = -1;
}

void message_init(struct message *m, uint16_t type, uint16_t flags, const void *body, size_t len)
{
	m->header = (struct nlmsghdr){
		.nlmsg_len = (uint32_t)NLMSG_LENGTH(len),
		.nlmsg_type = type,
		.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
	};
	memset(m->body, 0, sizeof(m->body));
	memcpy(m->body, body, len);
}

void message_put(struct message *m, uint16_t type, const void *data, size_t len)
{
	struct rtattr *a = (void *)((char *)&m->header + NLMSG_ALIGN(m->header.nlmsg_len));

	/* What is put is bounded by what was read of configuration and links: it always fits. */
	if (NLMSG_ALIGN(m->header.nlmsg_len) + RTA_SPACE(len) > sizeof(*m))
		abort();
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(a), data, len);
	m->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(m->header.nlmsg_len) + RTA_ALIGN(a->rta_len));
}

void message_put_u32(struct message *m, uint16_t type, uint32_t value)
{
	message_put(m, type, &value, sizeof(value));
}

struct rtattr *message_put_nest(struct message *m, uint16_t type)
{
	struct rtattr *nest = (void *)((char *)&m->header + NLMSG_ALIGN(m->header.nlmsg_len));

	message_put(m, type, NULL, 0);
	return nest;
}

void message_end_nest(struct message *m, struct rtattr *nest)
{
	nest->rta_len = (uint16_t)((char *)&m->header + m->header.nlmsg_len - (char *)nest);
}

/* The text behind an error, "extended acknowledgement" (uapi/linux/netlink.h). */
static void take_why(struct rtnl *rtnl, struct nlmsghdr *reply)
{
	const struct nlmsgerr *err = NLMSG_DATA(reply);
	size_t skip = sizeof(*err), len = NLMSG_PAYLOAD(reply, 0);

	if (!(reply->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(reply->nlmsg_flags & NLM_F_CAPPED))
		skip += NLMSG_PAYLOAD(&err->msg, 0);
	skip = NLMSG_ALIGN(skip);
	if (skip > len)
		return;
	for (struct rtattr *a = (void *)((char *)NLMSG_DATA(reply) + skip);
	     len - skip >= sizeof(*a) && a->rta_len >= sizeof(*a) && a->rta_len <= len - skip;
	     skip += RTA_ALIGN(a->rta_len), a = (void *)((char *)NLMSG_DATA(reply) + skip)) {
		if (a->rta_type == NLMSGERR_ATTR_MSG)
			snprintf(rtnl->why, sizeof(rtnl->why), "%.*s", (int)RTA_PAYLOAD(a),
				 (const char *)RTA_DATA(a));
		if (RTA_ALIGN(a->rta_len) > len - skip)
			break;
	}
}

static int ended(struct rtnl *rtnl, struct nlmsghdr *reply)
{
	const struct nlmsgerr *err = NLMSG_DATA(reply);

	if (reply->nlmsg_len < NLMSG_LENGTH(sizeof(err->error)))
		return -EPROTO;
	if (reply->nlmsg_type == NLMSG_ERROR && err->error)
		take_why(rtnl, reply);
	return err->error;
}

/* Return: 1: go on reading; else the end of it, 0 or a negative errno. */
static int take_replies(struct rtnl *rtnl, char *buf, size_t len,
			bool (*fn)(void *arg, struct nlmsghdr *reply), void *arg, bool *found)
{
	for (struct nlmsghdr *reply = (void *)buf; NLMSG_OK(reply, len);
	     reply = NLMSG_NEXT(reply, len)) {
		if (reply->nlmsg_seq != rtnl->seq)
			continue;
		if (reply->nlmsg_type == NLMSG_ERROR || reply->nlmsg_type == NLMSG_DONE)
			return ended(rtnl, reply);
		/* A dump is read to its end in any case, so that the next answer is the next one's.
		 */
		if (!*found && fn)
			*found = fn(arg, reply);
	}
	return 1;
}

int rtnl_talk(struct rtnl *rtnl, struct message *m, bool (*fn)(void *arg, struct nlmsghdr *reply),
	      void *arg)
{
	cleanup(freep) char *buf = malloc(REPLY_MAX);
	bool found = false;
	int err = 1;

	rtnl->why[0] = '\0';
	/* A dump ends by itself. (NLM_F_EXCL is one of the two bits of NLM_F_DUMP.) */
	if ((m->header.nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		m->header.nlmsg_flags |= NLM_F_ACK;
	m->header.nlmsg_seq = ++rtnl->seq;
	if (!buf)
		return -ENOMEM;
	if (send(rtnl->fd, m, m->header.nlmsg_len, MSG_NOSIGNAL) < 0)
		return -errno;
	while (err == 1) {
		ssize_t n = recv(rtnl->fd, buf, REPLY_MAX, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPROTO;
		err = take_replies(rtnl, buf, (size_t)n, fn, arg, &found);
	}
	return err < 0 ? err : found;
}

struct rtattr *attr_next(struct nlmsghdr *reply, size_t body, struct rtattr *last)
{
	char *end = (char *)reply + reply->nlmsg_len;
	char *at = last ? (char *)last + RTA_ALIGN(last->rta_len)
			: (char *)NLMSG_DATA(reply) + NLMSG_ALIGN(body);
	struct rtattr *a = (void *)at;

	if (at + sizeof(*a) > end || a->rta_len < sizeof(*a) || at + a->rta_len > end)
		return NULL;
	return a;
}

uint32_t attr_u32(struct rtattr *a)
{
	uint32_t value = 0;

	if (RTA_PAYLOAD(a) >= sizeof(value))
		memcpy(&value, RTA_DATA(a), sizeof(value));
	return value;
}

/* ---- links ---- */

static size_t take_bytes(struct rtattr *a, uint8_t out[LINK_ADDRESS_MAX])
{
	size_t len = RTA_PAYLOAD(a) < LINK_ADDRESS_MAX ? RTA_PAYLOAD(a) : LINK_ADDRESS_MAX;

	memcpy(out, RTA_DATA(a), len);
	return len;
}

static void take_text(struct rtattr *a, char *out, size_t size)
{
	snprintf(out, size, "%.*s", (int)RTA_PAYLOAD(a), (const char *)RTA_DATA(a));
}

/* Attributes within an attribute: @fn for each. */
static void each_nested(struct rtattr *nest, void (*fn)(struct link *link, struct rtattr *a),
			struct link *link)
{
	size_t left = RTA_PAYLOAD(nest);

	for (struct rtattr *a = RTA_DATA(nest);
	     left >= sizeof(*a) && a->rta_len >= sizeof(*a) && a->rta_len <= left;) {
		size_t step = RTA_ALIGN(a->rta_len);

		fn(link, a);
		if (step >= left)
			break;
		left -= step;
		a = (void *)((char *)a + step);
	}
}

static void take_info(struct link *link, struct rtattr *a)
{
	if (a->rta_type == IFLA_INFO_KIND)
		take_text(a, link->kind, sizeof(link->kind));
}

static void take_xdp(struct link *link, struct rtattr *a)
{
	if (a->rta_type == IFLA_XDP_PROG_ID)
		link->xdp_program = attr_u32(a);
	if (a->rta_type == IFLA_XDP_ATTACHED && RTA_PAYLOAD(a))
		link->xdp_attached = *(const uint8_t *)RTA_DATA(a);
}

static void take_attr(struct link *link, struct rtattr *a, bool *elsewhere)
{
	switch (a->rta_type & NLA_TYPE_MASK) {
	case IFLA_IFNAME:
		take_text(a, link->name, sizeof(link->name));
		break;
	case IFLA_MTU:
		link->mtu = attr_u32(a);
		break;
	case IFLA_ADDRESS:
		link->mac_len = take_bytes(a, link->mac);
		break;
	case IFLA_PERM_ADDRESS:
		link->permanent_len = take_bytes(a, link->permanent);
		break;
	case IFLA_MASTER:
		link->master = attr_u32(a);
		break;
	case IFLA_LINK:
		link->lower = attr_u32(a);
		break;
	case IFLA_LINK_NETNSID:
		*elsewhere = true;
		break;
	case IFLA_LINKINFO:
		each_nested(a, take_info, link);
		break;
	case IFLA_XDP:
		each_nested(a, take_xdp, link);
		break;
	default:
		break;
	}
}

static bool take_link(struct nlmsghdr *reply, struct link *link)
{
	const struct ifinfomsg *info = NLMSG_DATA(reply);
	struct rtattr *a = NULL;
	bool elsewhere = false;

	if (reply->nlmsg_type != RTM_NEWLINK || reply->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
		return false;
	*link = (struct link){
		.ifindex = (uint32_t)info->ifi_index,
		.up = info->ifi_flags & IFF_UP,
		.running = info->ifi_flags & IFF_RUNNING,
		.promisc = info->ifi_flags & IFF_PROMISC,
		.allmulti = info->ifi_flags & IFF_ALLMULTI,
		.noarp = info->ifi_flags & IFF_NOARP,
		.loopback = info->ifi_flags & IFF_LOOPBACK,
	};
	while ((a = attr_next(reply, sizeof(*info), a)))
		take_attr(link, a, &elsewhere);
	/* A veth's peer is no link that it is made on top of, and may be in another namespace. */
	if (elsewhere || !strcmp(link->kind, "veth"))
		link->lower = 0;
	return true;
}

struct visit {
	bool (*fn)(void *arg, const struct link *link);
	void *arg;
};

static bool visit_link(void *arg, struct nlmsghdr *reply)
{
	const struct visit *visit = arg;
	struct link link;

	return take_link(reply, &link) && visit->fn(visit->arg, &link);
}

static bool copy_link(void *arg, const struct link *link)
{
	*(struct link *)arg = *link;
	return true;
}

int rtnl_link(struct rtnl *rtnl, const char *name, uint32_t ifindex, struct link *out)
{
	const struct ifinfomsg info = { .ifi_index = name ? 0 : (int)ifindex };
	struct visit visit = { copy_link, out };
	struct message m;
	int err;

	message_init(&m, RTM_GETLINK, 0, &info, sizeof(info));
	if (name)
		message_put(&m, IFLA_IFNAME, name, strlen(name) + 1);
	err = rtnl_talk(rtnl, &m, visit_link, &visit);
	return err == 0 ? -ENODEV : err < 0 ? err : 0;
}

int rtnl_each_link(struct rtnl *rtnl, bool (*fn)(void *arg, const struct link *link), void *arg)
{
	const struct ifinfomsg info = { .ifi_family = AF_UNSPEC };
	struct visit visit = { fn, arg };
	struct message m;

	message_init(&m, RTM_GETLINK, NLM_F_DUMP, &info, sizeof(info));
	return rtnl_talk(rtnl, &m, visit_link, &visit);
}

int rtnl_change(struct rtnl *rtnl, uint32_t ifindex, const struct link_change *change)
{
	const struct ifinfomsg info = {
		.ifi_index = (int)ifindex,
		.ifi_flags = change->flags,
		.ifi_change = change->mask,
	};
	struct message m;
	int err;

	message_init(&m, RTM_SETLINK, 0, &info, sizeof(info));
	if (change->netns_fd)
		message_put_u32(&m, IFLA_NET_NS_FD, (uint32_t)change->netns_fd);
	if (change->name)
		message_put(&m, IFLA_IFNAME, change->name, strlen(change->name) + 1);
	if (change->mac)
		message_put(&m, IFLA_ADDRESS, change->mac, change->mac_len);
	if (change->mtu)
		message_put_u32(&m, IFLA_MTU, change->mtu);
	err = rtnl_talk(rtnl, &m, NULL, NULL);
	return err < 0 ? err : 0;
}
