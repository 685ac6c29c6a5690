// SPDX-License-Identifier: Apache-2.0
#include "netdev.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "message.h"

/* uapi/linux/netdev.h, as above. */
#define COMMAND_DEV_GET   1
#define ATTR_IFINDEX      1
#define ATTR_XDP_FEATURES 3

static bool take_family(void *arg, struct nlmsghdr *reply)
{
	uint16_t *out = arg;

	for (struct rtattr *a = NULL; (a = attr_next(reply, GENL_HDRLEN, a));) {
		if (a->rta_type != CTRL_ATTR_FAMILY_ID || RTA_PAYLOAD(a) < sizeof(*out))
			continue;
		memcpy(out, RTA_DATA(a), sizeof(*out));
		return true;
	}
	return false;
}

int netdev_open(struct netdev *netdev)
{
	static const char name[] = "netdev";
	const struct genlmsghdr head = { .cmd = CTRL_CMD_GETFAMILY, .version = 1 };
	struct message m;
	int err;

	netdev->talk.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (netdev->talk.fd < 0)
		return -errno;
	message_init(&m, GENL_ID_CTRL, 0, &head, sizeof(head));
	message_put(&m, CTRL_ATTR_FAMILY_NAME, name, sizeof(name));
	err = rtnl_talk(&netdev->talk, &m, take_family, &netdev->family);
	return err == 0 ? -EPROTO : err < 0 ? err : 0;
}

void netdev_done(struct netdev *netdev)
{
	rtnl_done(&netdev->talk);
}

static bool take_features(void *arg, struct nlmsghdr *reply)
{
	uint64_t *out = arg;

	for (struct rtattr *a = NULL; (a = attr_next(reply, GENL_HDRLEN, a));) {
		if (a->rta_type != ATTR_XDP_FEATURES || RTA_PAYLOAD(a) < sizeof(*out))
			continue;
		memcpy(out, RTA_DATA(a), sizeof(*out));
		return true;
	}
	return false;
}

int netdev_xdp(struct netdev *netdev, uint32_t ifindex, uint64_t *out)
{
	const struct genlmsghdr head = { .cmd = COMMAND_DEV_GET, .version = 1 };
	struct message m;
	int err;

	message_init(&m, netdev->family, 0, &head, sizeof(head));
	message_put_u32(&m, ATTR_IFINDEX, ifindex);
	err = rtnl_talk(&netdev->talk, &m, take_features, out);
	return err == 0 ? -EPROTO : err < 0 ? err : 0;
}
