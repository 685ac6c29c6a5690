// SPDX-License-Identifier: Apache-2.0
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/magic.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "gate.h"
#include "log.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* ---- namespaces ---- */

int netns_self(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int netns_new(void)
{
	cleanup(close_fdp) int home = netns_self();
	int made;

	if (home < 0)
		return home;
	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	made = netns_self();
	if (setns(home, CLONE_NEWNET) < 0) {
		log_error("cannot return to the daemon's network namespace: %s", strerror(errno));
		abort();
	}
	return made;
}

static int open_rtnetlink(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return fd < 0 ? -errno : fd;
}

/* Return: a socket that stays the namespace's, or a negative errno. */
static int rtnetlink_of(struct netns *ns)
{
	int err = 0;

	if (ns->rtnetlink < 0 && ns->fd < 0)
		err = ns->rtnetlink = open_rtnetlink();
	else if (ns->rtnetlink < 0)
		err = gate_sockets(ns->gate, ns->fd, GATE_RTNETLINK, 1, &ns->rtnetlink);
	return err < 0 ? err : ns->rtnetlink;
}

void netns_done(struct netns *ns)
{
	close_fdp(&ns->rtnetlink);
	ns->rtnetlink = -1;
}

int netns_cookie(struct netns *ns, uint64_t *out)
{
	int sock = rtnetlink_of(ns);
	socklen_t len = sizeof(*out);

	if (sock < 0)
		return sock;
	return getsockopt(sock, SOL_SOCKET, SO_NETNS_COOKIE, out, &len) < 0 ? -errno : 0;
}

int netns_inode(int netns_fd, ino_t *out)
{
	struct statfs fs;
	struct stat stat;

	if (fstatfs(netns_fd, &fs) < 0 || fstat(netns_fd, &stat) < 0)
		return -errno;
	if (fs.f_type != NSFS_MAGIC || ioctl(netns_fd, 0xb703 /* NS_GET_NSTYPE */) != CLONE_NEWNET)
		return -EINVAL;
	*out = stat.st_ino;
	return 0;
}

/* ---- rtnetlink: one request, its answers ---- */

struct request {
	struct nlmsghdr nlh;
	union {
		struct ifinfomsg link;
		struct rtgenmsg gen;
	};
	char attributes[128];
};

static void put(struct request *req, unsigned short type, const void *data, size_t len)
{
	struct rtattr *attr = (struct rtattr *)((char *)req + NLMSG_ALIGN(req->nlh.nlmsg_len));

	attr->rta_type = type;
	attr->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(attr), data, len);
	req->nlh.nlmsg_len = NLMSG_ALIGN(req->nlh.nlmsg_len) + (uint32_t)RTA_ALIGN(RTA_LENGTH(len));
}

/*
 * Sends @req and calls @fn for each message of the answer. @sock may be the error of opening it.
 * Return: the error that the kernel answered, or 0.
 */
static int ask(int sock, struct request *req, int (*fn)(struct nlmsghdr *nlh, void *arg), void *arg)
{
	cleanup(freep) char *buf = malloc(32768);

	if (sock < 0)
		return sock;
	if (!buf)
		return -ENOMEM;
	if (send(sock, req, req->nlh.nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		ssize_t n = recv(sock, buf, 32768, 0);

		if (n < 0)
			return -errno;

		size_t left = (size_t)n;

		for (struct nlmsghdr *nlh = (struct nlmsghdr *)buf; NLMSG_OK(nlh, left);
		     nlh = NLMSG_NEXT(nlh, left)) {
			struct nlmsgerr *answer = NLMSG_DATA(nlh);
			int err;

			if (nlh->nlmsg_type == NLMSG_DONE)
				return 0;
			if (nlh->nlmsg_type == NLMSG_ERROR)
				return answer->error;
			err = fn(nlh, arg);
			if (err < 0 || !(nlh->nlmsg_flags & NLM_F_MULTI))
				return err;
		}
	}
}

/* ---- devices ---- */

struct rtattr *attrs_next(struct attrs *attrs)
{
	struct rtattr *a = attrs->at;
	size_t step;

	if (attrs->left < sizeof(*a) || a->rta_len < sizeof(*a) || a->rta_len > attrs->left)
		return NULL;
	step = RTA_ALIGN((size_t)a->rta_len);
	attrs->left -= step < attrs->left ? step : attrs->left;
	attrs->at = (char *)a + step;
	return a;
}

static void parse_xdp(struct rtattr *nest, struct device *out)
{
	struct attrs attrs = { RTA_DATA(nest), RTA_PAYLOAD(nest) };
	struct rtattr *a;

	while ((a = attrs_next(&attrs))) {
		if (a->rta_type == IFLA_XDP_ATTACHED)
			out->xdp_generic = *(uint8_t *)RTA_DATA(a) == XDP_ATTACHED_SKB;
		if (a->rta_type == IFLA_XDP_PROG_ID)
			memcpy(&out->xdp_prog_id, RTA_DATA(a), sizeof(out->xdp_prog_id));
	}
}

static void parse_address(struct rtattr *a, struct hw_address *out)
{
	size_t len = RTA_PAYLOAD(a);

	if (len > sizeof(out->at))
		return;
	out->len = (uint8_t)len;
	memcpy(out->at, RTA_DATA(a), len);
}

int device_read(struct nlmsghdr *nlh, struct device *out)
{
	struct ifinfomsg *info = NLMSG_DATA(nlh);
	struct attrs attrs = { IFLA_RTA(info), NLMSG_PAYLOAD(nlh, sizeof(*info)) };
	struct rtattr *a;
	uint32_t rx = 1, tx = 1;
	struct hw_address permanent = { 0 };

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return -EPROTO;
	*out = (struct device){ .ifindex = (uint32_t)info->ifi_index };
	/* IFF_LOWER_UP means nothing while IFF_UP is off, and both are needed for packets. */
	out->up = (info->ifi_flags & IFF_UP) && (info->ifi_flags & IFF_RUNNING);
	while ((a = attrs_next(&attrs))) {
		switch (a->rta_type & NLA_TYPE_MASK) {
		case IFLA_IFNAME:
			snprintf(out->name, sizeof(out->name), "%s", (char *)RTA_DATA(a));
			break;
		case IFLA_MTU:
			memcpy(&out->mtu, RTA_DATA(a), sizeof(out->mtu));
			break;
		case IFLA_NUM_RX_QUEUES:
			memcpy(&rx, RTA_DATA(a), sizeof(rx));
			break;
		case IFLA_NUM_TX_QUEUES:
			memcpy(&tx, RTA_DATA(a), sizeof(tx));
			break;
		case IFLA_XDP:
			parse_xdp(a, out);
			break;
		case IFLA_ADDRESS:
			parse_address(a, &out->address);
			break;
		case IFLA_PERM_ADDRESS:
			parse_address(a, &permanent);
			break;
		}
	}
	if (permanent.len)
		out->address = permanent;
	out->queues = out->max_queues = rx > tx ? rx : tx;
	return 0;
}

static int parse_link(struct nlmsghdr *nlh, void *arg)
{
	return device_read(nlh, arg);
}

/*
 * rtnetlink tells how many queues were allocated, ethtool how many are in use. A driver without the
 * ethtool call (loopback, tun) has all of them in use.
 */
static void count_queues(int sock, struct device *dev)
{
	struct ethtool_channels ch = { .cmd = ETHTOOL_GCHANNELS };
	struct ifreq ifr = { .ifr_data = (void *)&ch };

	memcpy(ifr.ifr_name, dev->name, sizeof(ifr.ifr_name));
	if (ioctl(sock, SIOCETHTOOL, &ifr) < 0)
		return;

	uint32_t now = ch.combined_count + (ch.rx_count > ch.tx_count ? ch.rx_count : ch.tx_count);
	uint32_t most = ch.max_combined + (ch.max_rx > ch.max_tx ? ch.max_rx : ch.max_tx);

	if (now)
		dev->queues = now;
	if (most >= dev->queues && most <= 4096)
		dev->max_queues = most;
	else
		dev->max_queues = dev->queues;
}

static struct request link_request(uint16_t flags)
{
	const uint32_t mask = RTEXT_FILTER_SKIP_STATS;
	struct request req = {
		.nlh = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
			 .nlmsg_type = RTM_GETLINK,
			 .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) },
		.link = { .ifi_family = AF_UNSPEC },
	};

	put(&req, IFLA_EXT_MASK, &mask, sizeof(mask)); /* half of the answer is counters */
	return req;
}

int device_find(struct netns *ns, const char *name, struct device *out)
{
	int sock = rtnetlink_of(ns);
	struct request req = link_request(0);
	int err;

	put(&req, IFLA_IFNAME, name, strlen(name) + 1);
	err = ask(sock, &req, parse_link, out);
	if (!err)
		count_queues(sock, out); /* any socket takes the ioctls of network devices */
	return err;
}

int device_find_at(int nsid, uint32_t ifindex, struct device *out)
{
	cleanup(close_fdp) int sock = open_rtnetlink();
	struct request req = link_request(0);

	req.link.ifi_index = (int)ifindex;
	if (nsid >= 0)
		put(&req, IFLA_TARGET_NETNSID, &nsid, sizeof(nsid));
	return ask(sock, &req, parse_link, out);
}

struct others {
	uint32_t ifindex;
	bool found;
};

static int note_other(struct nlmsghdr *nlh, void *arg)
{
	struct ifinfomsg *info = NLMSG_DATA(nlh);
	struct others *others = arg;

	if (nlh->nlmsg_type == RTM_NEWLINK && (uint32_t)info->ifi_index != others->ifindex &&
	    !(info->ifi_flags & IFF_LOOPBACK))
		others->found = true;
	return 0;
}

int netns_only_device(struct netns *ns, uint32_t ifindex, bool *out)
{
	struct request req = link_request(NLM_F_DUMP);
	struct others others = { .ifindex = ifindex };
	int err = ask(rtnetlink_of(ns), &req, note_other, &others);

	if (!err)
		*out = !others.found;
	return err;
}

/* ---- a veth pair ---- */

static void *nest_begin(struct request *req, unsigned short type)
{
	void *nest = (char *)req + NLMSG_ALIGN(req->nlh.nlmsg_len);

	put(req, type, NULL, 0);
	return nest;
}

static void nest_end(struct request *req, void *nest)
{
	struct rtattr *attr = nest;

	attr->rta_len = (unsigned short)((char *)req + req->nlh.nlmsg_len - (char *)nest);
}

static void put_one_queue(struct request *req)
{
	const uint32_t one = 1;

	put(req, IFLA_NUM_RX_QUEUES, &one, sizeof(one));
	put(req, IFLA_NUM_TX_QUEUES, &one, sizeof(one));
}

static int no_answer(struct nlmsghdr *nlh, void *arg)
{
	(void)nlh;
	(void)arg;
	return -EPROTO; /* an acknowledgement is all that there can be */
}

int netns_add_veth(struct netns *ns, uint32_t ifindex, uint32_t peer)
{
	const struct ifinfomsg other = { .ifi_index = (int)peer };
	struct request req = {
		.nlh = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
			 .nlmsg_type = RTM_NEWLINK,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL },
		.link = { .ifi_index = (int)ifindex },
	};
	void *info, *data, *end;

	put_one_queue(&req);
	info = nest_begin(&req, IFLA_LINKINFO);
	put(&req, IFLA_INFO_KIND, "veth", strlen("veth"));
	data = nest_begin(&req, IFLA_INFO_DATA);
	end = nest_begin(&req, VETH_INFO_PEER);
	memcpy((char *)&req + req.nlh.nlmsg_len, &other, sizeof(other));
	req.nlh.nlmsg_len += NLMSG_ALIGN(sizeof(other));
	put_one_queue(&req);
	nest_end(&req, end);
	nest_end(&req, data);
	nest_end(&req, info);
	return ask(rtnetlink_of(ns), &req, no_answer, NULL);
}

/* ---- namespace numbers ---- */

static int parse_nsid(struct nlmsghdr *nlh, void *arg)
{
	struct rtgenmsg *gen = NLMSG_DATA(nlh);
	struct attrs attrs = { (char *)gen + NLMSG_ALIGN(sizeof(*gen)),
			       NLMSG_PAYLOAD(nlh, sizeof(*gen)) };
	struct rtattr *a;

	while ((a = attrs_next(&attrs))) {
		if (a->rta_type == NETNSA_NSID)
			memcpy(arg, RTA_DATA(a), sizeof(int));
	}
	return 0;
}

static struct request nsid_request(uint16_t type, uint16_t flags, int netns_fd)
{
	struct request req = {
		.nlh = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct rtgenmsg)),
			 .nlmsg_type = type,
			 .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) },
	};

	put(&req, NETNSA_FD, &netns_fd, sizeof(netns_fd));
	return req;
}

int netns_nsid(int netns_fd, int *out)
{
	cleanup(close_fdp) int sock = open_rtnetlink();
	const int any = -1;
	int nsid = NETNSA_NSID_NOT_ASSIGNED;
	struct request give = nsid_request(RTM_NEWNSID, NLM_F_ACK, netns_fd);
	struct request get = nsid_request(RTM_GETNSID, 0, netns_fd);
	int err;

	put(&give, NETNSA_NSID, &any, sizeof(any));
	err = ask(sock, &give, parse_nsid, &nsid);
	if (err < 0 && err != -EEXIST)
		return err;
	err = ask(sock, &get, parse_nsid, &nsid);
	if (err < 0)
		return err;
	if (nsid < 0)
		return -ENOENT;
	*out = nsid;
	return 0;
}
