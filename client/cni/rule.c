// SPDX-License-Identifier: Apache-2.0
#include "rule.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "ethtool.h"

#define RULES_MAX 65536 /* more than a NIC has; what a driver says is not taken at its word */

static int read_rule(int fd, const char *device, uint32_t location, struct rule *out)
{
	struct ethtool_rxnfc rx = { .cmd = ETHTOOL_GRXCLSRULE, .fs.location = location };
	int err = ethtool_call(fd, device, &rx);

	*out = (struct rule){
		.location = location,
		.group = rx.fs.flow_type & FLOW_RSS ? rx.rss_context : 0,
		.queue = rx.fs.ring_cookie,
	};
	return err;
}

int rules_read(int fd, const char *device, struct rule **out, size_t *out_n)
{
	struct ethtool_rxnfc count = { .cmd = ETHTOOL_GRXCLSRLCNT };
	cleanup(freep) struct ethtool_rxnfc *all = NULL;
	cleanup(freep) struct rule *rules = NULL;
	int err = ethtool_call(fd, device, &count);
	uint32_t n = count.rule_cnt < RULES_MAX ? count.rule_cnt : RULES_MAX;

	if (err < 0)
		return err;
	all = calloc(1, sizeof(*all) + (n + 1) * sizeof(uint32_t));
	rules = calloc(n + 1, sizeof(*rules));
	if (!all || !rules)
		return -ENOMEM;
	all->cmd = ETHTOOL_GRXCLSRLALL;
	all->rule_cnt = n;
	err = ethtool_call(fd, device, all);
	*out_n = 0;
	for (uint32_t i = 0; !err && i < n && i < all->rule_cnt; i++)
		err = read_rule(fd, device, all->rule_locs[i], &rules[(*out_n)++]);
	if (err < 0)
		return err;
	*out = rules;
	rules = NULL;
	return 0;
}

static const struct {
	const char *name;
	uint32_t type;
	bool ports;
} flows[] = {
	{ "udp4", UDP_V4_FLOW, true },   { "tcp4", TCP_V4_FLOW, true },
	{ "sctp4", SCTP_V4_FLOW, true }, { "ip4", IPV4_USER_FLOW, false },
	{ "udp6", UDP_V6_FLOW, true },   { "tcp6", TCP_V6_FLOW, true },
	{ "sctp6", SCTP_V6_FLOW, true }, { "ip6", IPV6_USER_FLOW, false },
	{ "ether", ETHER_FLOW, false },
};

static int put_address(const char *text, int family, void *value, void *mask)
{
	if (!*text)
		return 0;
	memset(mask, 0xff, family == AF_INET6 ? 16 : 4);
	return inet_pton(family, text, value) == 1 ? 0 : -EINVAL;
}

static void put_port(uint16_t port, __be16 *value, __be16 *mask)
{
	*value = htons(port);
	*mask = port ? 0xffff : 0;
}

static int fill_ipv4(const struct filter *f, const char *dst, bool ports,
		     struct ethtool_rx_flow_spec *fs)
{
	struct ethtool_usrip4_spec *ip = &fs->h_u.usr_ip4_spec, *ip_mask = &fs->m_u.usr_ip4_spec;

	/* Addresses and ports are at the same place in all four of them. */
	if (ports) {
		put_port(f->src_port, &fs->h_u.udp_ip4_spec.psrc, &fs->m_u.udp_ip4_spec.psrc);
		put_port(f->dst_port, &fs->h_u.udp_ip4_spec.pdst, &fs->m_u.udp_ip4_spec.pdst);
	} else {
		ip->ip_ver = ETH_RX_NFC_IP4;
	}
	return put_address(f->src_ip, AF_INET, &ip->ip4src, &ip_mask->ip4src) < 0 ||
			       put_address(dst, AF_INET, &ip->ip4dst, &ip_mask->ip4dst) < 0
		       ? -EINVAL
		       : 0;
}

static int fill_ipv6(const struct filter *f, const char *dst, bool ports,
		     struct ethtool_rx_flow_spec *fs)
{
	struct ethtool_usrip6_spec *ip = &fs->h_u.usr_ip6_spec, *ip_mask = &fs->m_u.usr_ip6_spec;

	if (ports) {
		put_port(f->src_port, &fs->h_u.udp_ip6_spec.psrc, &fs->m_u.udp_ip6_spec.psrc);
		put_port(f->dst_port, &fs->h_u.udp_ip6_spec.pdst, &fs->m_u.udp_ip6_spec.pdst);
	}
	return put_address(f->src_ip, AF_INET6, ip->ip6src, ip_mask->ip6src) < 0 ||
			       put_address(dst, AF_INET6, ip->ip6dst, ip_mask->ip6dst) < 0
		       ? -EINVAL
		       : 0;
}

static int fill_ether(const struct filter *f, struct ethtool_rx_flow_spec *fs)
{
	struct ethhdr *value = &fs->h_u.ether_spec, *mask = &fs->m_u.ether_spec;

	if (*f->dst_mac) {
		if (!value_mac(f->dst_mac, value->h_dest))
			return -EINVAL;
		memset(mask->h_dest, 0xff, sizeof(mask->h_dest));
	}
	value->h_proto = htons(f->ether_type);
	mask->h_proto = f->ether_type ? 0xffff : 0;
	return 0;
}

static int fill_flow(const struct filter *f, const char *pod_ip, struct ethtool_rx_flow_spec *fs)
{
	const char *dst = strcmp(f->dst_ip, "pod") != 0 ? f->dst_ip : pod_ip;
	size_t i = 0;

	while (strcmp(flows[i].name, f->flow) != 0) /* conf.c has seen that it is one of them */
		i++;
	fs->flow_type = flows[i].type;
	if (flows[i].type == ETHER_FLOW)
		return fill_ether(f, fs);
	if (strchr(f->flow, '6'))
		return fill_ipv6(f, dst, flows[i].ports, fs);
	return fill_ipv4(f, dst, flows[i].ports, fs);
}

/* Many drivers want to be told the place: the last free one, as the first ones go before others. */
static int find_location(int fd, const char *device, uint32_t *out)
{
	struct ethtool_rxnfc count = { .cmd = ETHTOOL_GRXCLSRLCNT };
	cleanup(freep) struct rule *rules = NULL;
	size_t n, i;
	int err = ethtool_call(fd, device, &count);

	*out = RX_CLS_LOC_ANY;
	if (err < 0 || !count.data || (count.data & RX_CLS_LOC_SPECIAL))
		return err;
	err = rules_read(fd, device, &rules, &n);
	if (err < 0)
		return err;
	for (*out = (uint32_t)count.data; *out;) {
		--*out;
		for (i = 0; i < n && rules[i].location != *out; i++)
			;
		if (i == n)
			return 0;
	}
	return -ENOSPC;
}

int rule_add(int fd, const char *device, const struct filter *filter, const char *pod_ip,
	     uint32_t group, uint32_t queue, uint32_t *out_location)
{
	struct ethtool_rxnfc rx = { .cmd = ETHTOOL_SRXCLSRLINS, .fs.ring_cookie = queue };
	int err = fill_flow(filter, pod_ip, &rx.fs);

	if (err < 0)
		return err;
	if (group) {
		rx.fs.flow_type |= FLOW_RSS;
		rx.fs.ring_cookie = 0; /* the group's table is added to it */
		rx.rss_context = group;
	}
	err = find_location(fd, device, &rx.fs.location);
	if (!err)
		err = ethtool_call(fd, device, &rx);
	*out_location = rx.fs.location;
	return err;
}

int rule_delete(int fd, const char *device, uint32_t location)
{
	struct ethtool_rxnfc rx = { .cmd = ETHTOOL_SRXCLSRLDEL, .fs.location = location };
	int err = ethtool_call(fd, device, &rx);

	return err == -ENOENT ? 0 : err;
}

/* ---- groups ---- */

int group_add(int fd, const char *device, const uint32_t *queues, size_t n, uint32_t *out_group)
{
	struct ethtool_rxfh size = { .cmd = ETHTOOL_GRSSH };
	cleanup(freep) struct ethtool_rxfh *table = NULL;
	int err = ethtool_call(fd, device, &size);

	if (err < 0)
		return err;
	if (!size.indir_size || size.indir_size > RULES_MAX)
		return -EOPNOTSUPP;
	table = calloc(1, sizeof(*table) + size.indir_size * sizeof(uint32_t));
	if (!table)
		return -ENOMEM;
	table->cmd = ETHTOOL_SRSSH;
	table->rss_context = ETH_RXFH_CONTEXT_ALLOC;
	table->indir_size = size.indir_size;
	for (uint32_t i = 0; i < size.indir_size; i++)
		table->rss_config[i] = queues[i % n];
	err = ethtool_call(fd, device, table);
	*out_group = table->rss_context;
	return err;
}

int group_delete(int fd, const char *device, uint32_t group)
{
	/* A table without entries is its end (uapi/linux/ethtool.h). */
	struct ethtool_rxfh none = { .cmd = ETHTOOL_SRSSH, .rss_context = group };
	int err = ethtool_call(fd, device, &none);

	return err == -ENOENT || err == -EINVAL ? 0 : err;
}
