/* SPDX-License-Identifier: Apache-2.0 */
/* What XDP a device's driver can do, in the kernel's own words: generic netlink "netdev" (6.3). */
#ifndef CLIENT_NETDEV_H
#define CLIENT_NETDEV_H

#include "rtnl.h"

/* uapi/linux/netdev.h, which is newer than the headers that this is built with. */
enum {
	NETDEV_XDP_BASIC = 1 << 0,     /* native XDP */
	NETDEV_XDP_REDIRECT = 1 << 1,  /* XDP_REDIRECT, which AF_XDP is */
	NETDEV_XDP_ZEROCOPY = 1 << 3,  /* AF_XDP without a copy */
	NETDEV_XDP_FRAGMENTS = 1 << 5, /* packets larger than a page */
};

struct netdev {
	struct rtnl talk; /* the same protocol, another family */
	uint16_t family;
};

#define NETDEV_INIT ((struct netdev){ .talk = RTNL_INIT })

/* netdev_open() - -ENOENT: this kernel does not tell. In the calling thread's namespace. */
int netdev_open(struct netdev *netdev) must_check;
void netdev_done(struct netdev *netdev);

/* netdev_xdp() - bits of the enum above. */
int netdev_xdp(struct netdev *netdev, uint32_t ifindex, uint64_t *out) must_check;

#endif
