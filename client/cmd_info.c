// SPDX-License-Identifier: Apache-2.0
/* xskctl info: what the daemon is and can do. */
#include "ctl.h"

static json_t *limits_json(const struct xskd_activity *a)
{
	json_t *o = json_object();

	for (size_t i = 0; i < a->n_limits; i++)
		output_add(&o, a->limits[i].limit, output_number(a->limits[i].hits));
	return o;
}

static json_t *reconciled_json(const struct xskd_activity *a)
{
	json_t *o = json_object();

	output_add(&o, "state_files_set_aside", output_number(a->state_files_set_aside));
	output_add(&o, "programs_restored", output_number(a->programs_restored));
	output_add(&o, "programs_removed", output_number(a->programs_removed));
	output_add(&o, "leases_restored", output_number(a->leases_restored));
	output_add(&o, "leases_stale", output_number(a->leases_stale));
	output_add(&o, "sockets_found", output_number(a->sockets_found));
	return o;
}

static json_t *pool_json(const struct xskd_activity *a)
{
	json_t *o = json_object();

	output_add(&o, "size", output_number(a->pool_size));
	output_add(&o, "ready", output_number(a->pool_ready));
	output_add(&o, "busy", json_boolean(a->pool_busy));
	output_add(&o, "taken", output_number(a->pool_taken));
	output_add(&o, "missed", output_number(a->pool_missed));
	output_add(&o, "reused", output_number(a->pool_reused));
	return o;
}

static void add_activity(json_t **o, const struct xskd_activity *a)
{
	output_add(o, "umem_bytes", output_number(a->umem_bytes));
	output_add(o, "calls", output_number(a->calls));
	output_add(o, "failed_calls", output_number(a->failed_calls));
	output_add(o, "denied_calls", output_number(a->denied_calls));
	output_add(o, "malformed_packets", output_number(a->malformed_packets));
	output_add(o, "refused_connections", output_number(a->refused_connections));
	output_add(o, "limits_hit", limits_json(a));
	output_add(o, "reconciled", reconciled_json(a));
	output_add(o, "pool", pool_json(a));
}

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
		{ "UMEM", "umem_bytes", COLUMN_BYTES },
		{ "CALLS", "calls", COLUMN_PLAIN },
		{ "FAILED CALLS", "failed_calls", COLUMN_PLAIN },
		{ "LIMITS HIT", "limits_hit", COLUMN_PAIRS },
		{ "RECONCILED", "reconciled", COLUMN_PAIRS },
		{ "POOL", "pool", COLUMN_PAIRS },
		{ "MAX CALLS IN FLIGHT", "calls_in_flight", COLUMN_PLAIN },
		{ "MAX CONNECTIONS PER NETNS", "connections_per_netns", COLUMN_PLAIN },
		{ "MAX SOCKETS PER LEASE", "sockets_per_lease", COLUMN_PLAIN },
		{ "MAX UMEM PER LEASE", "umem_bytes_per_lease", COLUMN_BYTES },
	};
	struct xskd_activity activity = XSKD_OPTS(xskd_activity);
	struct xskd_info info;
	int err;

	if (!ctl_begin(ctl, argc, argv, CTL_ADMIN))
		return ctl->stop;
	err = xskd_get_info(ctl->x, &info);
	if (!err && info.admin)
		err = xskd_get_activity(ctl->x, &activity);
	if (err < 0)
		return ctl_failed(ctl, err);

	cleanup(json_decrefp) json_t *record = info_json(&info);

	if (info.admin)
		add_activity(&record, &activity);

	return ctl_print_record(ctl, record, columns, ARRAY_SIZE(columns));
}
