// SPDX-License-Identifier: Apache-2.0
/* The interface in the pod is set up and gets what IPAM has for it. */
#include <errno.h>
#include <fcntl.h>
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

/* Container runtimes like to turn IPv6 off where no plugin asks for it. */
static int enable_ipv6(void *arg)
{
	const char *ifname = arg;
	char path[96];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", ifname);

	cleanup(close_fdp) int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? -EAFNOSUPPORT : -errno; /* a kernel without IPv6 */
	return write(fd, "0", 1) < 0 ? -errno : 0;
}

static int add_addresses(struct attach *a)
{
	const json_t *ip;
	bool ipv6 = false;
	size_t i;

	json_array_foreach(json_object_get(a->ipam, "ips"), i, ip) {
		int err = 0;

		if (is_ipv6(address_of(ip)) && !ipv6) {
			err = netns_visit(a->pod.netns, enable_ipv6, a->link.name);
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

/* "A plugin should use the gateway of the same family" (CNI specification, routes). */
static const char *gateway_for(const struct attach *a, const json_t *route)
{
	const char *dst = json_string_value(json_object_get(route, "dst"));
	const json_t *ip;
	size_t i;

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

static int address_add(struct attach *a)
{
	const char *ipam = a->conf->ipam;

	if (a->kind != ATTACH_QUEUES && set_up(a) < 0)
		return -1;
	if (!*ipam)
		return 0;
	if (journal_note(a->journal, "ipam", json_string(ipam), a->fail) < 0 ||
	    ipam_run(ipam, VERB_ADD, a->env, a->conf->json, a->journal->held.fd, &a->ipam,
		     a->fail) < 0)
		return -1;
	/* In queue mode they are the application's own: it has its packets raw. */
	if (a->kind == ATTACH_QUEUES)
		return 0;
	return add_addresses(a) < 0 ? -1 : add_routes(a);
}

/*
 * The configuration that it was added with knows best what to take back; without a record it is the
 * one at hand. The addresses themselves go as the device leaves the pod.
 */
static int address_del(struct attach *a)
{
	const struct conf *conf = a->conf;
	const json_t *config = json_object_get(a->journal->json, "config");
	const char *noted = journal_text(a->journal, "ipam");

	if (a->journal->json && !*noted)
		return 0;
	if (!*noted)
		noted = conf->ipam;
	if (!*noted)
		return 0;
	/* With what the runtime has put into it, prevResult say, unless it was changed meanwhile.
	 */
	if (!config || !strcmp(noted, conf->ipam))
		config = conf->json;
	return ipam_run(noted, VERB_DEL, a->env, config, a->journal->held.fd, NULL, a->fail);
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
