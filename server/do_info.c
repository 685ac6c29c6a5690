// SPDX-License-Identifier: Apache-2.0
/* GetInfo, WatchEvents: what needs no lease and changes nothing. */
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#include "method.h"
#include "pool.h"

struct info {
	Xskd__GetInfoReply reply;
	Xskd__Activity activity;
	Xskd__Pool pool;
	Xskd__LimitHits hits[LIMITS];
	Xskd__LimitHits *hit[LIMITS];
	Xskd__Features features;
	Xskd__Limits limits;
	struct utsname uname;
};

static void count_own(const struct core *core, uint64_t cookie, Xskd__GetInfoReply *reply)
{
	const struct lease *l = NULL;

	while ((l = lease_next_of_netns(core, cookie, l))) {
		reply->leases++;
		reply->sockets += l->m->sockets;
	}
}

static void add_limits(const struct metrics *metrics, struct info *info)
{
	for (enum limit i = 0; i < LIMITS; i++) {
		Xskd__LimitHits *hits = &info->hits[i];

		if (!metrics->limits[i])
			continue;
		xskd__limit_hits__init(hits);
		hits->limit = (char *)(uintptr_t)metrics_limit_name(i);
		hits->hits = metrics->limits[i];
		info->hit[info->activity.n_limits_hit++] = hits;
	}
	info->activity.limits_hit = info->hit;
}

static void fill_pool(const struct core *core, Xskd__Pool *out)
{
	struct pool_info pool = { 0 };

	if (core->pool)
		pool_info(core->pool, &pool);
	xskd__pool__init(out);
	out->size = pool.size;
	out->ready = pool.ready;
	out->busy = pool.busy;
	out->taken = pool.taken;
	out->missed = pool.missed;
	out->reused = pool.reused;
}

static void fill_activity(const struct core *core, struct info *info)
{
	const struct metrics *metrics = &core->metrics;
	const uint64_t *tallies = metrics->tallies;
	Xskd__Activity *a = &info->activity;

	xskd__activity__init(a);
	for (size_t i = 0; i < METRICS_METHODS; i++) {
		for (int code = 0; code < METRICS_CODES; code++) {
			a->calls += metrics->methods[i].calls[code];
			if (code != XSKD__CODE__OK)
				a->failed_calls += metrics->methods[i].calls[code];
		}
	}
	a->umem_bytes = core->umem_bytes;
	a->denied_calls = tallies[TALLY_DENIED];
	a->malformed_packets = tallies[TALLY_MALFORMED];
	a->refused_connections = tallies[TALLY_TURNED_AWAY_ADMIN] + tallies[TALLY_TURNED_AWAY_POD];
	a->state_files_set_aside = tallies[TALLY_FILES_SET_ASIDE];
	a->programs_restored = tallies[TALLY_PROGRAMS_RESTORED];
	a->programs_removed = tallies[TALLY_PROGRAMS_REMOVED];
	a->leases_restored = tallies[TALLY_LEASES_RESTORED];
	a->leases_stale = tallies[TALLY_LEASES_STALE];
	a->sockets_found = tallies[TALLY_SOCKETS_FOUND];
	add_limits(metrics, info);
	fill_pool(core, &info->pool);
	a->pool = &info->pool;
	info->reply.activity = a;
}

static int get_info(struct call *call)
{
	static char version[] = XSKD_VERSION;
	const struct core *core = call->core;
	struct info *info = call_alloc(call, sizeof(*info));

	if (!info)
		return fault_sys(&call->fault, ENOMEM, "cannot tell about the daemon");
	xskd__get_info_reply__init(&info->reply);
	xskd__features__init(&info->features);
	xskd__limits__init(&info->limits);
	uname(&info->uname);
	info->features.full_handoff = core->features.full_handoff;
	info->features.bind_to_device = core->features.bind_to_device;
	info->features.multi_buffer = core->features.multi_buffer;
	info->limits.packet_bytes = PACKET_MAX;
	info->limits.packet_fds = PACKET_FDS;
	info->limits.calls_in_flight = core->limits.calls_in_flight;
	info->limits.connections_per_netns = core->limits.connections_per_netns;
	info->limits.sockets_per_lease = core->limits.sockets_per_lease;
	info->limits.umem_bytes_per_lease = core->limits.umem_bytes_per_lease;
	info->limits.calls_per_netns = core->limits.calls_per_netns;
	info->limits.calls_per_second = core->limits.calls_per_second;
	info->limits.queued_bytes = core->limits.queued_bytes;
	info->reply.version = version;
	info->reply.protocol = 1;
	info->reply.kernel = info->uname.release;
	info->reply.admin = call->peer.admin;
	info->reply.netns_cookie = call->peer.cookie;
	info->reply.features = &info->features;
	info->reply.limits = &info->limits;
	info->reply.started_at = (uint64_t)core->started_at;
	if (call->peer.admin) {
		info->reply.programs = (uint32_t)core->programs.n;
		info->reply.leases = (uint32_t)core->leases.n;
		info->reply.sockets = (uint32_t)core->socks.n;
		info->reply.connections = core->connections;
		fill_activity(core, info);
	} else {
		count_own(core, call->peer.cookie, &info->reply);
	}
	call->reply.result_case = XSKD__REPLY__RESULT_GET_INFO;
	call->reply.get_info = &info->reply;
	return 0;
}

const struct method method_get_info = {
	.call = XSKD__REQUEST__CALL_GET_INFO,
	.name = "GetInfo",
	.steps = { { get_info, false } },
};

static int watch_events(struct call *call)
{
	struct core *core = call->core;
	struct watcher w = {
		.conn = call->peer.conn,
		.call = call->req->id,
		.admin = call->peer.admin,
		.cookie = call->peer.cookie,
	};
	Xskd__WatchEventsReply *reply = call_alloc(call, sizeof(*reply));
	uint32_t n = 0;

	for (size_t i = 0; i < core->n_watchers; i++) {
		if (core->watchers[i].conn == w.conn)
			return call_fail(call, ALREADY_EXISTS, "this connection watches already");
		n += core->watchers[i].cookie == w.cookie;
	}
	if (!w.admin && n >= core->limits.watchers_per_netns) {
		metrics_limit(&core->metrics, LIMIT_WATCHERS_PER_NETNS);
		return call_fail(call, RESOURCE_EXHAUSTED,
				 "%u connections of this network namespace watch already "
				 "(`limits.watchersPerNetns` in the daemon's configuration)",
				 n);
	}
	if (!reply || watch_add(core, &w) < 0)
		return fault_sys(&call->fault, ENOMEM, "cannot watch");
	xskd__watch_events_reply__init(reply);
	call->reply.result_case = XSKD__REPLY__RESULT_WATCH_EVENTS;
	call->reply.watch_events = reply;
	return 0;
}

const struct method method_watch_events = {
	.call = XSKD__REQUEST__CALL_WATCH_EVENTS,
	.name = "WatchEvents",
	.steps = { { watch_events, false } },
};
