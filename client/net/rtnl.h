/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links, addresses and routes of one network namespace, by rtnetlink. A socket belongs to the
 * namespace in which it was made: with one for the host and one for the pod nobody has to change
 * namespaces while working. Functions answer 0 or a negative errno; rtnl->why has the kernel's own
 * words about the last refusal, if it gave any.
 */
#ifndef CLIENT_RTNL_H
#define CLIENT_RTNL_H

#include <jansson.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "util.h"

#define LINK_ADDRESS_MAX 32

struct rtnl {
	int fd;
	uint32_t seq;
	char why[256];
};

#define RTNL_INIT ((struct rtnl){ .fd = -1 })

struct link {
	char name[IFNAMSIZ];
	uint32_t ifindex, mtu;
	bool up, running, promisc, allmulti, noarp, loopback;
	uint8_t mac[LINK_ADDRESS_MAX], permanent[LINK_ADDRESS_MAX];
	size_t mac_len, permanent_len; /* permanent_len 0: it has none */
	uint32_t master;               /* 0: none */
	uint32_t lower;                /* of this namespace, which it is made on top of; 0: none */
	char kind[16];                 /* "veth"; "": hardware */
	uint32_t xdp_program;          /* 0: none, or several */
	uint8_t xdp_attached;          /* XDP_ATTACHED_*: how */
};

/* rtnl_open() - in the calling thread's namespace. */
int rtnl_open(struct rtnl *rtnl) must_check;
void rtnl_done(struct rtnl *rtnl);

/* rtnl_link() - by name, or with NULL by index; -ENODEV: there is none. */
int rtnl_link(struct rtnl *rtnl, const char *name, uint32_t ifindex, struct link *out) must_check;

/* rtnl_each_link() - until @fn answers true. Return: 1: it did, 0, or a negative errno. */
int rtnl_each_link(struct rtnl *rtnl, bool (*fn)(void *arg, const struct link *link),
		   void *arg) must_check;

/* What to change of a link; 0, NULL: leave as it is. */
struct link_change {
	unsigned int flags, mask; /* IFF_UP, ... */
	const uint8_t *mac;
	size_t mac_len;
	uint32_t mtu;
	const char *name;
	int netns_fd; /* 0: stay here */
};

/*
 * rtnl_change() - all in one message. With netns_fd and name, the link moves under that name if its
 * own is taken there, and gets that name after it.
 */
int rtnl_change(struct rtnl *rtnl, uint32_t ifindex, const struct link_change *change) must_check;

/* ---- addresses and routes, in the words of a CNI result ---- */

/*
 * rtnl_add_address() - "10.0.0.5/24"; no error if it is there. An IPv6 address is usable at once:
 * IPAM has seen to it that it is nobody else's, and neighbour discovery may end in an AF_XDP
 * socket.
 */
int rtnl_add_address(struct rtnl *rtnl, uint32_t ifindex, const char *address) must_check;

/* rtnl_delete_address() - no error if it is not there. */
int rtnl_delete_address(struct rtnl *rtnl, uint32_t ifindex, const char *address) must_check;

/* rtnl_is_address() - "10.0.0.5", or "10.0.0.5/24" with a prefix; likewise of IPv6. */
bool rtnl_is_address(const char *text, bool with_prefix);

/* rtnl_addresses() - append what the link has, without link-local ones, to the array @out. */
int rtnl_addresses(struct rtnl *rtnl, uint32_t ifindex, json_t *out) must_check;

/*
 * rtnl_add_route() - {"dst", "gw", "mtu", "advmss", "priority", "table", "scope"}, dst "0.0.0.0/0"
 * or "::/0" for the default; -EINVAL: it is none. No error if it is there.
 * @gateway: used where the route has none; NULL: then the destination is on the link.
 */
int rtnl_add_route(struct rtnl *rtnl, uint32_t ifindex, const json_t *route,
		   const char *gateway) must_check;

/*
 * rtnl_save() - append to @addresses and @routes what the link has, each as the bytes of its
 * message, so that nothing of it is lost: without link-local addresses, and without the routes that
 * the kernel makes of addresses and advertisements.
 */
int rtnl_save(struct rtnl *rtnl, uint32_t ifindex, json_t *addresses, json_t *routes) must_check;

/* rtnl_has_ipv6() - whether any of the saved addresses is one. */
bool rtnl_has_ipv6(const json_t *addresses);

/* rtnl_restore() - give them to the link, which may have another index by now. */
int rtnl_restore(struct rtnl *rtnl, uint32_t ifindex, const json_t *addresses,
		 const json_t *routes) must_check;

/* rtnl_has_default() - whether a default route of the main table leaves by the link. */
int rtnl_has_default(struct rtnl *rtnl, uint32_t ifindex, bool *out) must_check;

#endif
