// SPDX-License-Identifier: Apache-2.0
/* xskctl info: what the daemon is and can do. */
#include "ctl.h"

static json_t *info_json(const struct xskd_info *info)
{
	json_t *o = json_object();

	output_add(&o, "version", output_text(info->version));
	output_add(&o, "kernel", output_text(info->kernel));
	output_add(&o, "admin", json_boolean(info->admin));
	output_add(&o, "netns_cookie", output_number(info->netns_cookie));
	output_add(&o, "started_at", output_number(info->started_at));
	output_add(&o, "full_handoff", json_boolean(info->full_handoff));
	output_add(&o, "bind_to_device", json_boolean(info->bind_to_device));
	output_add(&o, "multi_buffer", json_boolean(info->multi_buffer));
	output_add(&o, "calls_in_flight", output_number(info->calls_in_flight));
	output_add(&o, "connections_per_netns", output_number(info->connections_per_netns));
	output_add(&o, "sockets_per_lease", output_number(info->sockets_per_lease));
	output_add(&o, "umem_bytes_per_lease", output_number(info->umem_bytes_per_lease));
	output_add(&o, "programs", output_number(info->programs));
	output_add(&o, "leases", output_number(info->leases));
	output_add(&o, "sockets", output_number(info->sockets));
	output_add(&o, "connections", output_number(info->connections));
	return o;
}

int cmd_info(struct ctl *ctl, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "VERSION", "version", COLUMN_PLAIN },
		{ "STARTED", "started_at", COLUMN_AGE },
		{ "KERNEL", "kernel", COLUMN_PLAIN },
		{ "FULL HAND-OFF", "full_handoff", COLUMN_PLAIN },
		{ "BIND TO DEVICE", "bind_to_device", COLUMN_PLAIN },
		{ "MULTI-BUFFER", "multi_buffer", COLUMN_PLAIN },
		{ "ADMINISTRATOR", "admin", COLUMN_PLAIN },
		{ "NETNS COOKIE", "netns_cookie", COLUMN_PLAIN },
		{ "PROGRAMS", "programs", COLUMN_PLAIN },
		{ "LEASES", "leases", COLUMN_PLAIN },
		{ "SOCKETS", "sockets", COLUMN_PLAIN },
		{ "CONNECTIONS", "connections", COLUMN_PLAIN },
		{ "MAX CALLS IN FLIGHT", "calls_in_flight", COLUMN_PLAIN },
		{ "MAX CONNECTIONS PER NETNS", "connections_per_netns", COLUMN_PLAIN },
		{ "MAX SOCKETS PER LEASE", "sockets_per_lease", COLUMN_PLAIN },
		{ "MAX UMEM PER LEASE", "umem_bytes_per_lease", COLUMN_BYTES },
	};
	struct xskd_info info;
	int err;

	if (!ctl_begin(ctl, argc, argv, CTL_ADMIN))
		return ctl->stop;
	err = xskd_get_info(ctl->x, &info);
	if (err < 0)
		return ctl_failed(ctl, err);

	cleanup(json_decrefp) json_t *record = info_json(&info);

	return ctl_print_record(ctl, record, columns, ARRAY_SIZE(columns));
}
