// SPDX-License-Identifier: Apache-2.0
/* The interface in the pod is set up and gets what IPAM has for it. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "attach.h"
#include "ipam.h"
#include "netns.h"

static bool is_ipv6(const char *address)
{
	return strchr(address, ':');
}

static const char *address_of(const json_t *ip)
{
	const char *address = json_string_value(json_object_get(ip, "address"));

	return address ? address : "";
}

static int add_addresses(struct attach *a)
{
	const json_t *ip;
	bool ipv6 = false;
	size_t i;

	json_array_foreach(json_object_get(a->ipam, "ips"), i, ip) {
		int err = 0;

		if (is_ipv6(address_of(ip)) && !ipv6) {
			err = netns_visit(a->pod.netns, netns_enable_ipv6, a->link.name);
			ipv6 = true;
		}
		if (!err)
			err = rtnl_add_address(&a->pod.rtnl, a->link.ifindex, address_of(ip));
		if (err < 0)
			return fail_errno(a->fail, FAIL_REFUSED, err,
					  "cannot give the address '%s' to '%s'", address_of(ip),
					  a->link.name);
	}
	return 0;
}

/* The gateway of the same family, unless the destination is on the link itself. */
static const char *gateway_for(const struct attach *a, const json_t *route)
{
	const char *dst = json_string_value(json_object_get(route, "dst"));
	const json_t *ip;
	size_t i;

	if (json_integer_value(json_object_get(route, "scope")) >= RT_SCOPE_LINK)
		return NULL;
	json_array_foreach(json_object_get(a->ipam, "ips"), i, ip) {
		const char *gateway = json_string_value(json_object_get(ip, "gateway"));

		if (gateway && dst && is_ipv6(gateway) == is_ipv6(dst))
			return gateway;
	}
	return NULL;
}

static int add_routes(struct attach *a)
{
	const json_t *route;
	size_t i;

	json_array_foreach(json_object_get(a->ipam, "routes"), i, route) {
		int err =
			rtnl_add_route(&a->pod.rtnl, a->link.ifindex, route, gateway_for(a, route));

		if (err < 0) {
			cleanup(freep) char *text = json_dumps(route, JSON_COMPACT);

			return fail_errno(a->fail, FAIL_REFUSED, err,
					  "cannot add the route %s to '%s'", text ? text : "?",
					  a->link.name);
		}
	}
	return 0;
}

static int set_up(struct attach *a)
{
	const struct link_change up = { .flags = IFF_UP, .mask = IFF_UP };
	int err = rtnl_change(&a->pod.rtnl, a->link.ifindex, &up);

	return err < 0 ? attach_refused(a, &a->pod, err, "set up") : 0;
}

/* Absent, or of the same family as the other address. */
static bool is_good_gateway(const json_t *gateway, const char *other)
{
	const char *text = json_string_value(gateway);

	if (!gateway || !text)
		return !gateway;
	return !*text || (rtnl_is_address(text, false) && is_ipv6(text) == is_ipv6(other));
}

static bool is_good_ip(const json_t *ip)
{
	const char *address = address_of(ip);

	return rtnl_is_address(address, true) &&
	       is_good_gateway(json_object_get(ip, "gateway"), address);
}

static bool is_good_route(const json_t *route)
{
	const char *dst = json_string_value(json_object_get(route, "dst"));

	return rtnl_is_address(dst, true) && is_good_gateway(json_object_get(route, "gw"), dst);
}

/* What goes into our own result has to be one. */
static int check_answer(struct attach *a)
{
	const json_t *value;
	bool good = true;
	size_t i;

	json_array_foreach(json_object_get(a->ipam, "ips"), i, value)
		good = good && is_good_ip(value);
	json_array_foreach(json_object_get(a->ipam, "routes"), i, value)
		good = good && is_good_route(value);
	return good ? 0
		    : fail_set(a->fail, FAIL_DECODE,
			       "IPAM plugin '%s' answered with addresses or routes that are none",
			       a->conf->ipam);
}

/* A plugin that could not add may not be able to delete either: it is asked once. */
static int run_ipam(struct attach *a)
{
	const char *ipam = a->conf->ipam;
	int lock = a->journal->held.fd;
	struct fail ignored;

	if (journal_note(a->journal, "ipam", json_string(ipam), a->fail) < 0)
		return -1;
	if (ipam_run(ipam, VERB_ADD, a->env, a->conf->json, lock, &a->ipam, a->fail) == 0)
		return check_answer(a);
	(void)!ipam_run(ipam, VERB_DEL, a->env, a->conf->json, lock, NULL, &ignored);
	json_object_del(a->journal->json, "ipam");
	(void)!journal_write(a->journal, &ignored);
	return -1;
}

/* What an interface gets that is not ours, and stays in the pod. */
static int note_added(struct attach *a)
{
	json_t *added = json_array();
	const json_t *ip;
	size_t i;

	json_array_foreach(json_object_get(a->ipam, "ips"), i, ip)
		json_array_append(added, json_object_get(ip, "address"));
	return journal_note(a->journal, "added", added, a->fail);
}

static int address_add(struct attach *a)
{
	if (a->kind != ATTACH_QUEUES && set_up(a) < 0)
		return -1;
	if (!*a->conf->ipam)
		return 0;
	if (run_ipam(a) < 0)
		return -1;
	/* In queue mode they are the application's own: it has its packets raw. */
	if (a->kind == ATTACH_QUEUES)
		return 0;
	if (a->kind == ATTACH_THERE && note_added(a) < 0)
		return -1;
	return add_addresses(a) < 0 ? -1 : add_routes(a);
}

static int delete_added(struct attach *a)
{
	const json_t *address;
	int err = 0;
	size_t i;

	json_array_foreach(json_object_get(a->journal->json, "added"), i, address) {
		if (a->at == &a->pod && !err)
			err = rtnl_delete_address(&a->pod.rtnl, a->link.ifindex,
						  json_string_value(address));
	}
	return err < 0 ? attach_refused(a, &a->pod, err, "take its addresses from") : 0;
}

/*
 * By the configuration that it was added with, and what the runtime remembers of the result;
 * without a record, by the one at hand.
 */
static int address_del(struct attach *a)
{
	const json_t *record = a->journal->json;
	cleanup(json_decrefp) json_t *config =
		json_copy(record ? json_object_get(record, "config") : a->conf->json);
	const char *ipam = record ? journal_text(a->journal, "ipam") : a->conf->ipam;

	if (delete_added(a) < 0)
		return -1;
	if (!*ipam)
		return 0;
	if (config && a->conf->prev_result)
		json_object_set(config, "prevResult", (json_t *)(uintptr_t)a->conf->prev_result);
	return ipam_run(ipam, VERB_DEL, a->env, config, a->journal->held.fd, NULL, a->fail);
}

static int check_addresses(struct attach *a, const json_t *present)
{
	const json_t *interfaces = json_object_get(a->conf->prev_result, "interfaces"), *ip, *have;
	size_t i, j;

	json_array_foreach(json_object_get(a->conf->prev_result, "ips"), i, ip) {
		const json_t *index = json_object_get(ip, "interface");
		const json_t *interface =
			json_array_get(interfaces, (size_t)json_integer_value(index));
		const char *name = json_string_value(json_object_get(interface, "name"));
		bool found = false;

		if (!index || !name || strcmp(name, a->env->ifname) != 0)
			continue;
		json_array_foreach(present, j, have)
			found = found || !strcmp(json_string_value(have), address_of(ip));
		if (!found)
			return fail_set(a->fail, FAIL_CHANGED, "'%s' has lost its address %s",
					a->link.name, address_of(ip));
	}
	return 0;
}

static int address_check(struct attach *a)
{
	cleanup(json_decrefp) json_t *present = json_array();
	int err = 0;

	if (*a->conf->ipam &&
	    ipam_run(a->conf->ipam, VERB_CHECK, a->env, a->conf->json, -1, NULL, a->fail) < 0)
		return -1;
	if (a->kind == ATTACH_QUEUES)
		return 0;
	err = rtnl_addresses(&a->pod.rtnl, a->link.ifindex, present);
	return err < 0 ? fail_errno(a->fail, FAIL_IO, err, "cannot list the addresses of '%s'",
				    a->link.name)
		       : check_addresses(a, present);
}

const struct part part_address = {
	.name = "addresses",
	.kinds = 1U << ATTACH_MOVED | 1U << ATTACH_THERE | 1U << ATTACH_QUEUES,
	.add = address_add,
	.del = address_del,
	.check = address_check,
};
