// SPDX-License-Identifier: Apache-2.0
/* Addresses and routes: see rtnl.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <stdio.h>
#include <string.h>

#include "message.h"

/* An address with its prefix, of either family. */
struct prefix {
	uint8_t family, len;
	uint8_t bytes[16];
};

static size_t size_of(uint8_t family)
{
	return family == AF_INET6 ? 16 : 4;
}

static int parse_prefix(const char *text, struct prefix *out)
{
	char address[INET6_ADDRSTRLEN];
	size_t len = text ? strcspn(text, "/") : 0;
	unsigned long bits;
	char *end;

	if (!text || len >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, len);
	address[len] = '\0';
	*out = (struct prefix){ .family = strchr(address, ':') ? AF_INET6 : AF_INET };
	bits = 8 * size_of(out->family);
	if (inet_pton(out->family, address, out->bytes) != 1)
		return -EINVAL;
	if (text[len]) {
		errno = 0;
		bits = strtoul(text + len + 1, &end, 10);
		if (errno || *end || end == text + len + 1 || bits > 8 * size_of(out->family))
			return -EINVAL;
	}
	out->len = (uint8_t)bits;
	return 0;
}

bool rtnl_is_address(const char *text, bool with_prefix)
{
	struct prefix p;

	return text && !strchr(text, '/') == !with_prefix && parse_prefix(text, &p) == 0;
}

static json_t *print_prefix(uint8_t family, const void *bytes, uint8_t len)
{
	char address[INET6_ADDRSTRLEN];

	return json_sprintf("%s/%u", inet_ntop(family, bytes, address, sizeof(address)), len);
}

/* ---- addresses ---- */

static int address_message(struct message *m, uint16_t type, uint16_t flags, uint32_t ifindex,
			   const char *address, struct prefix *out)
{
	struct ifaddrmsg info = { .ifa_index = ifindex };
	int err = parse_prefix(address, out);

	if (err < 0)
		return err;
	info.ifa_family = out->family;
	info.ifa_prefixlen = out->len;
	info.ifa_flags = out->family == AF_INET6 ? IFA_F_NODAD : 0;
	message_init(m, type, flags, &info, sizeof(info));
	message_put(m, IFA_LOCAL, out->bytes, size_of(out->family));
	return 0;
}

int rtnl_add_address(struct rtnl *rtnl, uint32_t ifindex, const char *address)
{
	struct prefix p;
	struct message m;
	int err = address_message(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, ifindex, address, &p);

	if (err < 0)
		return err;
	message_put(&m, IFA_ADDRESS, p.bytes, size_of(p.family));
	if (p.family == AF_INET && p.len < 31) {
		uint32_t broadcast;

		memcpy(&broadcast, p.bytes, sizeof(broadcast));
		broadcast |= htonl(p.len ? (1U << (32 - p.len)) - 1 : UINT32_MAX);
		message_put_u32(&m, IFA_BROADCAST, broadcast);
	}
	err = rtnl_talk(rtnl, &m, NULL, NULL);
	return err == -EEXIST ? 0 : err < 0 ? err : 0;
}

int rtnl_delete_address(struct rtnl *rtnl, uint32_t ifindex, const char *address)
{
	struct prefix p;
	struct message m;
	int err = address_message(&m, RTM_DELADDR, 0, ifindex, address, &p);

	if (err < 0)
		return err;
	err = rtnl_talk(rtnl, &m, NULL, NULL);
	return err == -EADDRNOTAVAIL || err == -ENODEV ? 0 : err < 0 ? err : 0;
}

struct list {
	uint32_t ifindex;
	json_t *out;
	bool whole; /* messages, in hexadecimal; else in words */
	bool failed;
};

static void append(struct list *list, json_t *value)
{
	if (!value || json_array_append_new(list->out, value) < 0)
		list->failed = true;
}

static json_t *print_whole(struct nlmsghdr *reply)
{
	const uint8_t *bytes = NLMSG_DATA(reply);
	size_t len = NLMSG_PAYLOAD(reply, 0);
	cleanup(freep) char *text = malloc(2 * len + 1);

	for (size_t i = 0; text && i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return text ? json_stringn(text, 2 * len) : NULL;
}

static bool list_address(void *arg, struct nlmsghdr *reply)
{
	const struct ifaddrmsg *info = NLMSG_DATA(reply);
	struct rtattr *a = NULL, *address = NULL;
	struct list *list = arg;

	/* The kernel fills in the index of all, but filters only where it was asked strictly. */
	if (reply->nlmsg_type != RTM_NEWADDR || reply->nlmsg_len < NLMSG_LENGTH(sizeof(*info)) ||
	    info->ifa_index != list->ifindex || info->ifa_scope == RT_SCOPE_LINK)
		return false;
	while ((a = attr_next(reply, sizeof(*info), a))) {
		/* With a peer, IFA_ADDRESS is the other's. */
		if (a->rta_type == IFA_LOCAL || (a->rta_type == IFA_ADDRESS && !address))
			address = a;
	}
	if (address && RTA_PAYLOAD(address) >= size_of(info->ifa_family))
		append(list, list->whole ? print_whole(reply)
					 : print_prefix(info->ifa_family, RTA_DATA(address),
							info->ifa_prefixlen));
	return false;
}

static int list_addresses(struct rtnl *rtnl, struct list *list)
{
	const struct ifaddrmsg info = { .ifa_index = list->ifindex };
	struct message m;
	int err;

	message_init(&m, RTM_GETADDR, NLM_F_DUMP, &info, sizeof(info));
	err = rtnl_talk(rtnl, &m, list_address, list);
	return err < 0 ? err : list->failed ? -ENOMEM : 0;
}

int rtnl_addresses(struct rtnl *rtnl, uint32_t ifindex, json_t *out)
{
	struct list list = { .ifindex = ifindex, .out = out };

	return list_addresses(rtnl, &list);
}

/* ---- routes ---- */

static void put_metrics(struct message *m, uint32_t mtu, uint32_t advmss)
{
	struct rtattr *nest = message_put_nest(m, RTA_METRICS);

	if (mtu)
		message_put_u32(m, RTAX_MTU, mtu);
	if (advmss)
		message_put_u32(m, RTAX_ADVMSS, advmss);
	message_end_nest(m, nest);
}

static uint32_t number(const json_t *route, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(route, key));

	return n > 0 && n <= UINT32_MAX ? (uint32_t)n : 0;
}

static int parse_route(const json_t *route, const char *gateway, struct prefix *dst,
		       struct prefix *gw, bool *out_has_gw)
{
	const char *own = json_string_value(json_object_get(route, "gw"));
	int err = parse_prefix(json_string_value(json_object_get(route, "dst")), dst);

	if (own && *own)
		gateway = own;
	*out_has_gw = gateway && *gateway;
	if (!err && *out_has_gw)
		err = parse_prefix(gateway, gw);
	if (err < 0)
		return err;
	return *out_has_gw && gw->family != dst->family ? -EINVAL : 0;
}

int rtnl_add_route(struct rtnl *rtnl, uint32_t ifindex, const json_t *route, const char *gateway)
{
	const json_t *scope = json_object_get(route, "scope");
	uint32_t mtu = number(route, "mtu"), advmss = number(route, "advmss");
	uint32_t table = number(route, "table"), priority = number(route, "priority");
	struct rtmsg info = { .rtm_protocol = RTPROT_BOOT, .rtm_type = RTN_UNICAST };
	struct prefix dst, gw;
	struct message m;
	bool has_gw;
	int err = parse_route(route, gateway, &dst, &gw, &has_gw);

	if (err < 0)
		return err;
	info.rtm_family = dst.family;
	info.rtm_dst_len = dst.len;
	info.rtm_table = table && table < RT_TABLE_COMPAT ? (uint8_t)table : RT_TABLE_MAIN;
	info.rtm_scope = json_is_integer(scope) ? (uint8_t)json_integer_value(scope)
			 : has_gw               ? RT_SCOPE_UNIVERSE
						: RT_SCOPE_LINK;
	message_init(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info));
	if (dst.len)
		message_put(&m, RTA_DST, dst.bytes, size_of(dst.family));
	if (has_gw)
		message_put(&m, RTA_GATEWAY, gw.bytes, size_of(gw.family));
	message_put_u32(&m, RTA_OIF, ifindex);
	if (table)
		message_put_u32(&m, RTA_TABLE, table);
	if (priority)
		message_put_u32(&m, RTA_PRIORITY, priority);
	if (mtu || advmss)
		put_metrics(&m, mtu, advmss);
	err = rtnl_talk(rtnl, &m, NULL, NULL);
	return err == -EEXIST ? 0 : err < 0 ? err : 0;
}

/* What one route says that concerns us. */
struct route {
	const struct rtmsg *info;
	uint32_t oif, table;
};

static bool take_route(struct nlmsghdr *reply, struct route *out)
{
	struct rtattr *a = NULL;

	*out = (struct route){ .info = NLMSG_DATA(reply) };
	if (reply->nlmsg_type != RTM_NEWROUTE ||
	    reply->nlmsg_len < NLMSG_LENGTH(sizeof(*out->info)) ||
	    out->info->rtm_type != RTN_UNICAST || (out->info->rtm_flags & RTM_F_CLONED))
		return false;
	out->table = out->info->rtm_table;
	while ((a = attr_next(reply, sizeof(*out->info), a))) {
		if (a->rta_type == RTA_OIF)
			out->oif = attr_u32(a);
		else if (a->rta_type == RTA_TABLE)
			out->table = attr_u32(a);
	}
	return true;
}

static bool list_route(void *arg, struct nlmsghdr *reply)
{
	struct list *list = arg;
	struct route r;

	if (take_route(reply, &r) && r.oif == list->ifindex &&
	    r.info->rtm_protocol != RTPROT_KERNEL && r.info->rtm_protocol != RTPROT_RA)
		append(list, print_whole(reply));
	return false;
}

static int dump_routes(struct rtnl *rtnl, bool (*fn)(void *arg, struct nlmsghdr *reply), void *arg)
{
	const struct rtmsg info = { .rtm_family = AF_UNSPEC };
	struct message m;

	message_init(&m, RTM_GETROUTE, NLM_F_DUMP, &info, sizeof(info));
	return rtnl_talk(rtnl, &m, fn, arg);
}

/* Of a multipath route each hop counts. */
static bool has_hop(struct nlmsghdr *reply, uint32_t ifindex)
{
	struct rtattr *a = NULL;

	while ((a = attr_next(reply, sizeof(struct rtmsg), a))) {
		size_t left = RTA_PAYLOAD(a);

		if (a->rta_type != RTA_MULTIPATH)
			continue;
		for (struct rtnexthop *hop = RTA_DATA(a); RTNH_OK(hop, (int)left);
		     left -= NLMSG_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop)) {
			if (hop->rtnh_ifindex == (int)ifindex)
				return true;
			if (NLMSG_ALIGN(hop->rtnh_len) > left)
				break;
		}
	}
	return false;
}

static bool is_default(void *arg, struct nlmsghdr *reply)
{
	uint32_t ifindex = *(const uint32_t *)arg;
	struct route r;

	return take_route(reply, &r) && r.table == RT_TABLE_MAIN && !r.info->rtm_dst_len &&
	       (r.oif == ifindex || has_hop(reply, ifindex));
}

int rtnl_has_default(struct rtnl *rtnl, uint32_t ifindex, bool *out)
{
	int err = dump_routes(rtnl, is_default, &ifindex);

	*out = err == 1;
	return err < 0 ? err : 0;
}

/* ---- saved and given back ---- */

int rtnl_save(struct rtnl *rtnl, uint32_t ifindex, json_t *addresses, json_t *routes)
{
	struct list list = { ifindex, addresses, true, false };
	int err = list_addresses(rtnl, &list);

	list.out = routes;
	if (!err)
		err = dump_routes(rtnl, list_route, &list);
	return err < 0 ? err : list.failed ? -ENOMEM : 0;
}

static int parse_whole(const char *text, uint16_t type, struct message *m)
{
	size_t len = text ? strlen(text) / 2 : 0;
	uint8_t bytes[sizeof(m->body)];

	if (len < sizeof(struct rtmsg) || len > sizeof(bytes))
		return -EMSGSIZE;
	for (size_t i = 0; i < len; i++) {
		if (sscanf(text + 2 * i, "%2hhx", &bytes[i]) != 1)
			return -EINVAL;
	}
	message_init(m, type, NLM_F_CREATE | NLM_F_EXCL, bytes, len);
	return 0;
}

static int give_back(struct rtnl *rtnl, struct message *m)
{
	int err = rtnl_talk(rtnl, m, NULL, NULL);

	return err == -EEXIST ? 0 : err < 0 ? err : 0;
}

bool rtnl_has_ipv6(const json_t *addresses)
{
	const json_t *value;
	struct message m;
	size_t i;

	json_array_foreach(addresses, i, value) {
		if (parse_whole(json_string_value(value), RTM_NEWADDR, &m) == 0 &&
		    ((struct ifaddrmsg *)NLMSG_DATA(&m.header))->ifa_family == AF_INET6)
			return true;
	}
	return false;
}

static int restore_address(struct rtnl *rtnl, uint32_t ifindex, const char *text)
{
	struct message m;
	int err = parse_whole(text, RTM_NEWADDR, &m);

	if (err < 0)
		return err;
	((struct ifaddrmsg *)NLMSG_DATA(&m.header))->ifa_index = ifindex;
	return give_back(rtnl, &m);
}

static int restore_route(struct rtnl *rtnl, uint32_t ifindex, const char *text)
{
	struct rtattr *a = NULL;
	struct message m;
	int err = parse_whole(text, RTM_NEWROUTE, &m);

	if (err < 0)
		return err;
	/* The others tell how the link was, and are refused in a request. */
	((struct rtmsg *)NLMSG_DATA(&m.header))->rtm_flags &= RTNH_F_ONLINK;
	while ((a = attr_next(&m.header, sizeof(struct rtmsg), a))) {
		if (a->rta_type == RTA_OIF)
			memcpy(RTA_DATA(a), &ifindex, sizeof(ifindex));
	}
	return give_back(rtnl, &m);
}

int rtnl_restore(struct rtnl *rtnl, uint32_t ifindex, const json_t *addresses, const json_t *routes)
{
	const json_t *value;
	int err = 0;
	size_t i;

	json_array_foreach(addresses, i, value)
		err = err ? err : restore_address(rtnl, ifindex, json_string_value(value));
	/* A gateway can be a gateway only once its own route is there. */
	for (int round = 0; round < 2; round++) {
		json_array_foreach(routes, i, value) {
			int e = restore_route(rtnl, ifindex, json_string_value(value));

			err = round && !err ? e : err;
		}
	}
	return err;
}
