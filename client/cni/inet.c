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

static json_t *print_prefix(uint8_t family, const void *bytes, uint8_t len)
{
	char address[INET6_ADDRSTRLEN];

	return json_sprintf("%s/%u", inet_ntop(family, bytes, address, sizeof(address)), len);
}

/* ---- addresses ---- */

int rtnl_add_address(struct rtnl *rtnl, uint32_t ifindex, const char *address)
{
	struct ifaddrmsg info = { .ifa_index = ifindex };
	struct prefix p;
	struct message m;
	int err = parse_prefix(address, &p);

	if (err < 0)
		return err;
	info.ifa_family = p.family;
	info.ifa_prefixlen = p.len;
	info.ifa_flags = p.family == AF_INET6 ? IFA_F_NODAD : 0;
	message_init(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info));
	message_put(&m, IFA_LOCAL, p.bytes, size_of(p.family));
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

struct list {
	uint32_t ifindex;
	json_t *out;
	bool failed;
};

static void append(struct list *list, json_t *value)
{
	if (!value || json_array_append_new(list->out, value) < 0)
		list->failed = true;
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
		append(list,
		       print_prefix(info->ifa_family, RTA_DATA(address), info->ifa_prefixlen));
	return false;
}

int rtnl_addresses(struct rtnl *rtnl, uint32_t ifindex, json_t *out)
{
	const struct ifaddrmsg info = { .ifa_index = ifindex };
	struct list list = { ifindex, out, false };
	struct message m;
	int err;

	message_init(&m, RTM_GETADDR, NLM_F_DUMP, &info, sizeof(info));
	err = rtnl_talk(rtnl, &m, list_address, &list);
	return err < 0 ? err : list.failed ? -ENOMEM : 0;
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
	struct rtattr *dst, *gw;
	uint32_t oif, table, priority;
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
		if (a->rta_type == RTA_DST && RTA_PAYLOAD(a) >= size_of(out->info->rtm_family))
			out->dst = a;
		else if (a->rta_type == RTA_GATEWAY &&
			 RTA_PAYLOAD(a) >= size_of(out->info->rtm_family))
			out->gw = a;
		else if (a->rta_type == RTA_OIF)
			out->oif = attr_u32(a);
		else if (a->rta_type == RTA_TABLE)
			out->table = attr_u32(a);
		else if (a->rta_type == RTA_PRIORITY)
			out->priority = attr_u32(a);
	}
	return true;
}

static bool list_route(void *arg, struct nlmsghdr *reply)
{
	static const uint8_t any[16];
	struct list *list = arg;
	struct route r;
	char gw[INET6_ADDRSTRLEN];
	json_t *route;

	if (!take_route(reply, &r) || r.oif != list->ifindex ||
	    r.info->rtm_protocol == RTPROT_KERNEL || r.info->rtm_protocol == RTPROT_RA)
		return false;
	route = json_pack("{s:o}", "dst",
			  print_prefix(r.info->rtm_family, r.dst ? RTA_DATA(r.dst) : any,
				       r.info->rtm_dst_len));
	if (route && r.gw)
		json_object_set_new(
			route, "gw",
			json_string(inet_ntop(r.info->rtm_family, RTA_DATA(r.gw), gw, sizeof(gw))));
	if (route && r.table != RT_TABLE_MAIN)
		json_object_set_new(route, "table", json_integer(r.table));
	if (route && r.priority)
		json_object_set_new(route, "priority", json_integer(r.priority));
	if (route && !r.gw)
		json_object_set_new(route, "scope", json_integer(r.info->rtm_scope));
	append(list, route);
	return false;
}

static int dump_routes(struct rtnl *rtnl, bool (*fn)(void *arg, struct nlmsghdr *reply), void *arg)
{
	const struct rtmsg info = { .rtm_family = AF_UNSPEC };
	struct message m;

	message_init(&m, RTM_GETROUTE, NLM_F_DUMP, &info, sizeof(info));
	return rtnl_talk(rtnl, &m, fn, arg);
}

int rtnl_routes(struct rtnl *rtnl, uint32_t ifindex, json_t *out)
{
	struct list list = { ifindex, out, false };
	int err = dump_routes(rtnl, list_route, &list);

	return err < 0 ? err : list.failed ? -ENOMEM : 0;
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
