// SPDX-License-Identifier: Apache-2.0
#include "device.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *device_mac(const uint8_t *mac, size_t len, char out[3 * LINK_ADDRESS_MAX])
{
	out[0] = '\0';
	for (size_t i = 0; i < len; i++)
		snprintf(out + (i ? 3 * i - 1 : 0), 4, "%s%02x", i ? ":" : "", mac[i]);
	return out;
}

/* ---- the one that is meant ---- */

struct search {
	int ethtool;
	const char *bus; /* or NULL */
	uint8_t mac[MAC_SIZE];
	struct link *out;
	unsigned int found;
	char names[128]; /* of all that match */
};

static bool matches(const struct search *search, const struct link *link)
{
	char bus[ETHTOOL_BUSINFO_LEN];

	if (link->loopback)
		return false;
	if (search->bus) {
		ethtool_bus(search->ethtool, link->name, bus);
		return !strcmp(bus, search->bus);
	}
	return (link->mac_len == MAC_SIZE && !memcmp(link->mac, search->mac, MAC_SIZE)) ||
	       (link->permanent_len == MAC_SIZE && !memcmp(link->permanent, search->mac, MAC_SIZE));
}

static bool search_link(void *arg, const struct link *link)
{
	struct search *search = arg;
	size_t used = strlen(search->names);

	if (!matches(search, link))
		return false;
	snprintf(search->names + used, sizeof(search->names) - used, "%s'%s'", used ? ", " : "",
		 link->name);
	*search->out = *link;
	search->found++;
	return false;
}

int device_find(struct rtnl *rtnl, int ethtool, const char *wanted, struct link *out,
		struct fail *fail)
{
	struct search search = { .ethtool = ethtool, .out = out };
	int err;

	if (!value_mac(wanted, search.mac)) {
		err = env_is_ifname(wanted) ? rtnl_link(rtnl, wanted, 0, out) : -ENODEV;
		if (err != -ENODEV)
			return err < 0 ? fail_errno(fail, FAIL_IO, err,
						    "cannot look up device '%s'", wanted)
				       : 0;
		search.bus = wanted;
	}
	err = rtnl_each_link(rtnl, search_link, &search);
	if (err < 0)
		return fail_errno(fail, FAIL_IO, err, "cannot list the devices of the host");
	if (!search.found)
		return fail_set(fail, FAIL_DEVICE, "device '%s' is not on this host", wanted);
	if (search.found > 1)
		return fail_set(fail, FAIL_DEVICE,
				"'%s' fits several devices, %s: say which by name", wanted,
				search.names);
	return 0;
}

/* ---- may it be taken ---- */

struct uses {
	struct rtnl *rtnl;
	char why[256]; /* "": none */
	int err;
	/* Devices on top of the one in question, found while all are listed. */
	struct link above[16];
	size_t n_above;
	uint32_t ifindex;
};

static bool note_above(void *arg, const struct link *link)
{
	struct uses *uses = arg;

	if (link->lower == uses->ifindex && link->ifindex != uses->ifindex &&
	    uses->n_above < ARRAY_SIZE(uses->above))
		uses->above[uses->n_above++] = *link;
	return false;
}

static void look_at(struct uses *uses, const struct link *link)
{
	cleanup(json_decrefp) json_t *addresses = json_array();
	bool is_default = false;
	int err = addresses ? rtnl_addresses(uses->rtnl, link->ifindex, addresses) : -ENOMEM;

	if (!err)
		err = rtnl_has_default(uses->rtnl, link->ifindex, &is_default);
	if (err < 0)
		uses->err = err;
	else if (is_default)
		snprintf(uses->why, sizeof(uses->why), "the host's default route goes by '%s'",
			 link->name);
	else if (json_array_size(addresses))
		snprintf(uses->why, sizeof(uses->why), "'%s' has the host's address %s", link->name,
			 json_string_value(json_array_get(addresses, 0)));
}

static void look_at_master(struct uses *uses, const struct link *link)
{
	struct link master;

	if (rtnl_link(uses->rtnl, NULL, link->master, &master) < 0)
		return; /* it has just gone */
	snprintf(uses->why, sizeof(uses->why), "'%s' belongs to '%s'", link->name, master.name);
}

static bool is_allowed(const struct link *link, const json_t *allowed)
{
	const json_t *name;
	size_t i;

	json_array_foreach(allowed, i, name) {
		if (!strcmp(json_string_value(name), link->name))
			return true;
	}
	return false;
}

int device_check_free(struct rtnl *rtnl, const struct link *link, const json_t *allowed,
		      struct fail *fail)
{
	struct uses uses = { .rtnl = rtnl, .ifindex = link->ifindex };

	if (is_allowed(link, allowed))
		return 0;
	uses.err = rtnl_each_link(rtnl, note_above, &uses);
	if (link->loopback)
		snprintf(uses.why, sizeof(uses.why), "it is the loopback device");
	else if (link->master)
		look_at_master(&uses, link);
	if (!uses.err && !*uses.why)
		look_at(&uses, link);
	for (size_t i = 0; i < uses.n_above && !uses.err && !*uses.why; i++) {
		if (uses.above[i].master)
			look_at_master(&uses, &uses.above[i]);
		else
			look_at(&uses, &uses.above[i]);
	}
	if (uses.err < 0)
		return fail_errno(fail, FAIL_IO, uses.err,
				  "cannot tell what the host uses '%s' for", link->name);
	if (*uses.why)
		return fail_set(
			fail, FAIL_DEVICE,
			"device '%s' is in use by the host: %s; take another one, or name it "
			"in \"allowInUse\"",
			link->name, uses.why);
	return 0;
}

/* ---- known again ---- */

json_t *device_record(struct rtnl *rtnl, int ethtool, const struct link *link)
{
	json_t *addresses = json_array(), *routes = json_array();
	char mac[3 * LINK_ADDRESS_MAX], permanent[3 * LINK_ADDRESS_MAX], bus[ETHTOOL_BUSINFO_LEN];
	bool good = addresses && routes;

	ethtool_bus(ethtool, link->name, bus);
	good = good && rtnl_save(rtnl, link->ifindex, addresses, routes) == 0;
	if (!good) {
		json_decref(addresses);
		json_decref(routes);
		return NULL;
	}
	return json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:i, s:b, s:b, s:b, s:b, s:o, s:o}",
			 "name", link->name, "ifindex", (int)link->ifindex, "kind", link->kind,
			 "mac", device_mac(link->mac, link->mac_len, mac), "permanent",
			 device_mac(link->permanent, link->permanent_len, permanent), "bus", bus,
			 "mtu", (int)link->mtu, "up", link->up, "promisc", link->promisc,
			 "allmulti", link->allmulti, "noarp", link->noarp, "addresses", addresses,
			 "routes", routes);
}

struct again {
	int ethtool;
	const char *name, *pod_name, *kind, *mac, *new_mac, *permanent, *bus;
	uint32_t ifindex, pod_ifindex;
	bool in_pod;
	struct link *out;
	int best;
};

enum sureness {
	NOT_IT = 0,
	TWO_OF_THREE = 2, /* of name, index and MAC: any one of them may have been changed */
	ALL_THREE = 3,
	CERTAIN = 4,
};

/* Burnt-in address and place on the bus: under whatever name the kernel has brought it home. */
static int compare_hardware(const struct again *again, const struct link *link, bool named)
{
	char mac[3 * LINK_ADDRESS_MAX], bus[ETHTOOL_BUSINFO_LEN];

	if (strcmp(device_mac(link->permanent, link->permanent_len, mac), again->permanent) != 0)
		return NOT_IT;
	ethtool_bus(again->ethtool, link->name, bus);
	return !strcmp(bus, again->bus) && (*bus || named) ? CERTAIN : NOT_IT;
}

static int compare(const struct again *again, const struct link *link)
{
	char mac[3 * LINK_ADDRESS_MAX];
	bool named = !strcmp(link->name, again->name) || !strcmp(link->name, again->pod_name);
	bool numbered = link->ifindex == again->ifindex || link->ifindex == again->pod_ifindex;
	int score;

	if (link->loopback || strcmp(link->kind, again->kind) != 0)
		return NOT_IT;
	if (*again->permanent)
		return compare_hardware(again, link, named || numbered);
	/* The kernel gives an index to no other device while this one has it. */
	if (again->in_pod && again->pod_ifindex)
		return link->ifindex == again->pod_ifindex ? CERTAIN : NOT_IT;
	device_mac(link->mac, link->mac_len, mac);
	score = named + numbered + (!strcmp(mac, again->mac) || !strcmp(mac, again->new_mac));
	return score >= TWO_OF_THREE ? score : NOT_IT;
}

static bool take_best(void *arg, const struct link *link)
{
	struct again *again = arg;
	int score = compare(again, link);

	if (score > again->best) {
		again->best = score;
		*again->out = *link;
	}
	return false;
}

static const char *text(const json_t *record, const char *key)
{
	const char *value = json_string_value(json_object_get(record, key));

	return value ? value : "";
}

int device_again(struct rtnl *rtnl, int ethtool, const json_t *record, const char *pod_name,
		 bool in_pod, struct link *out)
{
	struct again again = {
		.ethtool = ethtool,
		.name = text(record, "name"),
		.pod_name = pod_name,
		.kind = text(record, "kind"),
		.mac = text(record, "mac"),
		.new_mac = text(record, "newMAC"),
		.permanent = text(record, "permanent"),
		.bus = text(record, "bus"),
		.ifindex = (uint32_t)json_integer_value(json_object_get(record, "ifindex")),
		.pod_ifindex = (uint32_t)json_integer_value(json_object_get(record, "podIfindex")),
		.in_pod = in_pod,
		.out = out,
	};
	int err = rtnl_each_link(rtnl, take_best, &again);

	return err < 0 ? err : again.best;
}
