// SPDX-License-Identifier: Apache-2.0
/* What ADD answers: prevResult, if there is one, and our own behind it. */
#include <stdio.h>
#include <string.h>

#include "attach.h"
#include "device.h"

static json_t *array_of(json_t *result, const char *key)
{
	json_t *array = json_object_get(result, key);

	if (json_is_array(array))
		return array;
	json_object_set_new(result, key, json_array());
	return json_object_get(result, key);
}

static void put_text(json_t *to, const char *key, const char *text)
{
	if (*text)
		json_object_set_new(to, key, json_string(text));
}

/* What 1.1.0 has for this very purpose. */
static void put_extras(const struct attach *a, json_t *interface)
{
	char bus[ETHTOOL_BUSINFO_LEN];

	if (a->conf->version < CNI_1_1_0)
		return;
	ethtool_bus(a->at->ethtool, a->link.name, bus);
	json_object_set_new(interface, "mtu", json_integer(a->link.mtu));
	put_text(interface, "pciID", bus);
	json_object_set_new(interface, "socketPath",
			    json_sprintf("%s/pod/xskd.sock", a->conf->socket_dir));
}

json_t *attach_interface(const json_t *result, const char *name, size_t *out_index)
{
	json_t *interface;
	size_t i;

	json_array_foreach(json_object_get(result, "interfaces"), i, interface) {
		const char *its = json_string_value(json_object_get(interface, "name"));
		const char *sandbox = json_string_value(json_object_get(interface, "sandbox"));

		if (!its || strcmp(its, name) != 0 || !sandbox || !*sandbox)
			continue;
		if (out_index)
			*out_index = i;
		return interface;
	}
	return NULL;
}

/* Return: its index in the result. */
static size_t put_interface(const struct attach *a, json_t *result)
{
	json_t *interfaces = array_of(result, "interfaces"), *interface = NULL;
	char mac[3 * LINK_ADDRESS_MAX];
	size_t index;

	if (a->kind == ATTACH_THERE)
		interface = attach_interface(result, a->env->ifname, &index);
	if (interface) {
		put_extras(a, interface);
		return index;
	}
	interface = json_object();
	put_text(interface, "name", a->link.name);
	put_text(interface, "mac", device_mac(a->link.mac, a->link.mac_len, mac));
	if (a->kind != ATTACH_QUEUES)
		put_text(interface, "sandbox", a->env->netns);
	put_extras(a, interface);
	json_array_append_new(interfaces, interface);
	return json_array_size(interfaces) - 1;
}

static void put_ips(const struct attach *a, json_t *result, size_t interface)
{
	json_t *ips = array_of(result, "ips"), *ip;
	size_t i;

	json_array_foreach(json_object_get(a->ipam, "ips"), i, ip) {
		json_t *copy = json_copy(ip);
		const char *address = json_string_value(json_object_get(ip, "address"));

		if (a->conf->version >= CNI_1_0_0)
			json_object_del(copy, "version");
		else if (address)
			put_text(copy, "version", strchr(address, ':') ? "6" : "4");
		/* In queue mode the address is on no interface of anybody's. */
		json_object_del(copy, "interface");
		if (a->kind != ATTACH_QUEUES)
			json_object_set_new(copy, "interface", json_integer((json_int_t)interface));
		json_array_append_new(ips, copy);
	}
}

static void put_others(const struct attach *a, json_t *result)
{
	json_t *dns = json_object_get(a->conf->json, "dns");

	json_array_extend(array_of(result, "routes"), json_object_get(a->ipam, "routes"));
	if (!json_object_size(dns))
		dns = json_object_get(a->ipam, "dns");
	if (json_object_size(dns))
		json_object_set(result, "dns", dns);
}

json_t *attach_result(const struct attach *a)
{
	const json_t *before = a->conf->prev_result;
	json_t *result = before ? json_deep_copy(before) : json_object();

	if (!result)
		return NULL;
	json_object_set_new(result, "cniVersion", json_string(cni_versions[a->conf->version]));
	put_ips(a, result, put_interface(a, result));
	put_others(a, result);
	return result;
}
