// SPDX-License-Identifier: Apache-2.0
/* The calls that are one question and one short answer: the daemon, its programs, its leases. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conn.h"
#include "lease.h"
#include "opts.h"
#include "program.h"

static int get_info(struct xskd *x, struct reply *reply)
{
	Xskd__GetInfoRequest get;
	Xskd__Request req = XSKD__REQUEST__INIT;

	xskd__get_info_request__init(&get);
	req.call_case = XSKD__REQUEST__CALL_GET_INFO;
	req.get_info = &get;
	return conn_call(x, &req, NULL, XSKD__REPLY__RESULT_GET_INFO, reply);
}

int xskd_get_info(struct xskd *x, struct xskd_info *out)
{
	cleanup(reply_done) struct reply reply = REPLY_INIT;
	int r = get_info(x, &reply);

	if (r < 0)
		return r;

	const Xskd__GetInfoReply *m = reply.msg->get_info;

	*out = (struct xskd_info){
		.admin = m->admin,
		.netns_cookie = m->netns_cookie,
		.started_at = m->started_at,
		.programs = m->programs,
		.leases = m->leases,
		.sockets = m->sockets,
		.connections = m->connections,
	};
	snprintf(out->version, sizeof(out->version), "%s", m->version);
	snprintf(out->kernel, sizeof(out->kernel), "%s", m->kernel);
	if (m->features) {
		out->full_handoff = m->features->full_handoff;
		out->bind_to_device = m->features->bind_to_device;
		out->multi_buffer = m->features->multi_buffer;
	}
	if (m->limits) {
		out->calls_in_flight = m->limits->calls_in_flight;
		out->connections_per_netns = m->limits->connections_per_netns;
		out->sockets_per_lease = m->limits->sockets_per_lease;
		out->umem_bytes_per_lease = m->limits->umem_bytes_per_lease;
	}
	return 0;
}

static void fill_activity(struct xskd_activity *out, const Xskd__Activity *m)
{
	out->calls = m->calls;
	out->failed_calls = m->failed_calls;
	out->denied_calls = m->denied_calls;
	out->malformed_packets = m->malformed_packets;
	out->refused_connections = m->refused_connections;
	out->umem_bytes = m->umem_bytes;
	out->state_files_set_aside = m->state_files_set_aside;
	out->programs_restored = m->programs_restored;
	out->programs_removed = m->programs_removed;
	out->leases_restored = m->leases_restored;
	out->leases_stale = m->leases_stale;
	out->sockets_found = m->sockets_found;
	if (m->pool) {
		out->pool_size = m->pool->size;
		out->pool_ready = m->pool->ready;
		out->pool_busy = m->pool->busy;
		out->pool_taken = m->pool->taken;
		out->pool_missed = m->pool->missed;
		out->pool_reused = m->pool->reused;
	}
	for (size_t i = 0; i < m->n_limits_hit && i < ARRAY_SIZE(out->limits); i++) {
		struct xskd_limit_hits *hits = &out->limits[out->n_limits++];

		snprintf(hits->limit, sizeof(hits->limit), "%s", m->limits_hit[i]->limit);
		hits->hits = m->limits_hit[i]->hits;
	}
}

int xskd_get_activity(struct xskd *x, struct xskd_activity *out)
{
	cleanup(reply_done) struct reply reply = REPLY_INIT;
	struct xskd_activity all = { 0 };
	size_t size = out->sz;
	int r = size < sizeof(size) ? conn_fail(x, -EINVAL, "`sz` is not set: use XSKD_OPTS()")
				    : get_info(x, &reply);

	if (r < 0)
		return r;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it was answered */
	if (!reply.msg->get_info->admin)
		return conn_fail(x, -EPERM, "what has happened is told to administrators only");
	if (reply.msg->get_info->activity)
		fill_activity(&all, reply.msg->get_info->activity);
	all.sz = size;
	/* A caller of another age knows less, or more, of which there is nothing to tell. */
	memset(out, 0, size);
	memcpy(out, &all, size < sizeof(all) ? size : sizeof(all));
	return 0;
}

/* ---- The XSKMAP ----------------------------------------------------------------------------- */

static int get_map(struct xskd *x, const char *interface, uint32_t program, int *out_fd,
		   uint32_t *out_entries)
{
	cleanup(reply_done) struct reply reply = REPLY_INIT;
	Xskd__GetXskMapRequest get;
	Xskd__Request req = XSKD__REQUEST__INIT;

	xskd__get_xsk_map_request__init(&get);
	get.interface = opts_text(interface);
	get.program_id = program;
	req.call_case = XSKD__REQUEST__CALL_GET_XSK_MAP;
	req.get_xsk_map = &get;

	int r = conn_call(x, &req, NULL, XSKD__REPLY__RESULT_GET_XSK_MAP, &reply);

	if (r < 0)
		return r;
	r = conn_take_fd(x, &reply, reply.msg->get_xsk_map->map_fd, out_fd);
	if (r == 0 && out_entries)
		*out_entries = reply.msg->get_xsk_map->entries;
	return r;
}

int xskd_get_xsk_map(struct xskd *x, const char *interface, int *out_fd, uint32_t *out_entries)
{
	return get_map(x, interface, 0, out_fd, out_entries);
}

int xskd_get_program_map(struct xskd *x, uint32_t id, int *out_fd, uint32_t *out_entries)
{
	return get_map(x, NULL, id, out_fd, out_entries);
}

/* ---- Programs ------------------------------------------------------------------------------- */

void program_from_pb(struct xskd_program *to, const Xskd__Program *from)
{
	*to = (struct xskd_program){
		.id = from->id,
		.ifindex = from->ifindex,
		.netns_cookie = from->netns_cookie,
		.mode = (enum xskd_xdp_mode)from->mode,
		.custom = from->custom,
		.map_entries = from->map_entries,
		.map_id = from->map_id,
		.link_id = from->link_id,
		.map_given = from->map_given,
		.from_pool = from->from_pool,
		.loaded_at = from->loaded_at,
		.transient = from->transient,
		.leases = from->leases,
	};
	snprintf(to->name, sizeof(to->name), "%s", from->name);
	snprintf(to->interface, sizeof(to->interface), "%s", from->interface);
	snprintf(to->map, sizeof(to->map), "%s", from->map);
}

static int give_program(struct xskd *x, const Xskd__Program *program, struct xskd_program *out)
{
	if (!program)
		return conn_garbled(x, "a program missing");
	if (out)
		program_from_pb(out, program);
	return 0;
}

static void constants_to_pb(const struct xskd_load_opts *o, Xskd__Constant *constants,
			    Xskd__Constant **pointers)
{
	for (size_t i = 0; i < o->n_constants; i++) {
		const struct xskd_constant *c = &o->constants[i];

		xskd__constant__init(&constants[i]);
		constants[i].name = opts_text(c->name);
		constants[i].number = c->number;
		if (c->value) {
			constants[i].value.data = (uint8_t *)(uintptr_t)c->value;
			constants[i].value.len = c->size;
		}
		pointers[i] = &constants[i];
	}
}

int xskd_load_program(struct xskd *x, const char *interface, const struct xskd_load_opts *opts,
		      struct xskd_program *out)
{
	cleanup(reply_done) struct reply reply = REPLY_INIT;
	Xskd__LoadProgramRequest load;
	Xskd__Request req = XSKD__REQUEST__INIT;
	struct fdset lent = FDSET_INIT;
	struct xskd_load_opts o;
	int r = opts_take(x, opts, &o, sizeof(o));

	if (r < 0)
		return r;

	cleanup(freep) Xskd__Constant *constants = calloc(o.n_constants + 1, sizeof(*constants));
	cleanup(freep) Xskd__Constant **pointers = calloc(o.n_constants + 1, sizeof(*pointers));

	if (!constants || !pointers)
		return conn_fail(x, -ENOMEM, "%m");
	constants_to_pb(&o, constants, pointers);
	xskd__load_program_request__init(&load);
	load.interface = opts_text(interface);
	load.netns_fd = opts_lend_fd(&lent, o.netns_fd);
	load.object_fd = opts_lend_fd(&lent, o.object_fd);
	load.program = opts_text(o.program);
	load.map = opts_text(o.map);
	load.n_constants = o.n_constants;
	load.constants = pointers;
	load.mode = (Xskd__XdpMode)o.mode;
	load.transient = o.transient;
	req.call_case = XSKD__REQUEST__CALL_LOAD_PROGRAM;
	req.load_program = &load;
	r = conn_call(x, &req, &lent, XSKD__REPLY__RESULT_LOAD_PROGRAM, &reply);
	return r < 0 ? r : give_program(x, reply.msg->load_program->program, out);
}

static int unload(struct xskd *x, Xskd__UnloadProgramRequest *unload, struct fdset *lent)
{
	cleanup(reply_done) struct reply reply = REPLY_INIT;
	Xskd__Request req = XSKD__REQUEST__INIT;

	req.call_case = XSKD__REQUEST__CALL_UNLOAD_PROGRAM;
	req.unload_program = unload;
	return conn_call(x, &req, lent, XSKD__REPLY__RESULT_UNLOAD_PROGRAM, &reply);
}

int xskd_unload_program(struct xskd *x, uint32_t id, const char *interface, int netns_fd,
			bool force)
{
	Xskd__UnloadProgramRequest req;
	struct fdset lent = FDSET_INIT;

	xskd__unload_program_request__init(&req);
	req.id = id;
	req.interface = opts_text(interface);
	req.netns_fd = opts_lend_fd(&lent, netns_fd);
	req.force = force;
	return unload(x, &req, &lent);
}

int xskd_unload_link(struct xskd *x, uint32_t id, uint32_t link_id, bool force)
{
	Xskd__UnloadProgramRequest req;
	struct fdset none = FDSET_INIT;

	xskd__unload_program_request__init(&req);
	req.id = id;
	req.link_id = link_id;
	req.force = force;
	return unload(x, &req, &none);
}

int xskd_get_program(struct xskd *x, uint32_t id, const char *interface, int netns_fd,
		     struct xskd_program *out)
{
	cleanup(reply_done) struct reply reply = REPLY_INIT;
	Xskd__GetProgramRequest get;
	Xskd__Request req = XSKD__REQUEST__INIT;
	struct fdset lent = FDSET_INIT;

	xskd__get_program_request__init(&get);
	get.id = id;
	get.interface = opts_text(interface);
	get.netns_fd = opts_lend_fd(&lent, netns_fd);
	req.call_case = XSKD__REQUEST__CALL_GET_PROGRAM;
	req.get_program = &get;

	int r = conn_call(x, &req, &lent, XSKD__REPLY__RESULT_GET_PROGRAM, &reply);

	return r < 0 ? r : give_program(x, reply.msg->get_program->program, out);
}

/* ---- Leases --------------------------------------------------------------------------------- */

static int give_lease(struct xskd *x, Xskd__Lease *lease, struct xskd_lease **out)
{
	struct xskd_lease *copy;

	if (!lease)
		return conn_garbled(x, "a lease missing");
	if (!out)
		return 0;
	copy = leases_from_pb(x, &lease, 1);
	if (!copy)
		return -ENOMEM;
	*out = copy;
	return 0;
}

int xskd_grant_lease(struct xskd *x, const char *container, const char *interface, int netns_fd,
		     const struct xskd_lease_opts *opts, struct xskd_lease **out)
{
	cleanup(reply_done) struct reply reply = REPLY_INIT;
	Xskd__GrantLeaseRequest grant;
	Xskd__Request req = XSKD__REQUEST__INIT;
	struct fdset lent = FDSET_INIT;
	struct xskd_lease_opts o;
	int r = opts_take(x, opts, &o, sizeof(o));

	if (r < 0)
		return r;

	typedef Xskd__GrantLeaseRequest__LabelsEntry label;
	cleanup(freep) label *labels = calloc(o.n_labels + 1, sizeof(*labels));
	cleanup(freep) label **pointers = calloc(o.n_labels + 1, sizeof(*pointers));

	if (!labels || !pointers)
		return conn_fail(x, -ENOMEM, "%m");
	for (size_t i = 0; i < o.n_labels; i++) {
		xskd__grant_lease_request__labels_entry__init(&labels[i]);
		labels[i].key = opts_text(o.labels[i].key);
		labels[i].value = opts_text(o.labels[i].value);
		pointers[i] = &labels[i];
	}
	xskd__grant_lease_request__init(&grant);
	grant.container = opts_text(container);
	grant.interface = opts_text(interface);
	grant.netns_fd = opts_lend_fd(&lent, netns_fd);
	grant.device = opts_text(o.device);
	grant.n_queues = o.queues ? o.n_queues : 0;
	grant.queues = opts_numbers(o.queues);
	grant.n_labels = o.n_labels;
	grant.labels = pointers;
	grant.queue_count = o.queue_count;
	req.call_case = XSKD__REQUEST__CALL_GRANT_LEASE;
	req.grant_lease = &grant;
	r = conn_call(x, &req, &lent, XSKD__REPLY__RESULT_GRANT_LEASE, &reply);
	return r < 0 ? r : give_lease(x, reply.msg->grant_lease->lease, out);
}

int xskd_revoke_lease(struct xskd *x, const char *container, const char *interface,
		      uint32_t *out_revoked)
{
	cleanup(reply_done) struct reply reply = REPLY_INIT;
	Xskd__RevokeLeaseRequest revoke;
	Xskd__Request req = XSKD__REQUEST__INIT;

	xskd__revoke_lease_request__init(&revoke);
	revoke.container = opts_text(container);
	revoke.interface = opts_text(interface);
	req.call_case = XSKD__REQUEST__CALL_REVOKE_LEASE;
	req.revoke_lease = &revoke;

	int r = conn_call(x, &req, NULL, XSKD__REPLY__RESULT_REVOKE_LEASE, &reply);

	if (r == 0 && out_revoked)
		*out_revoked = reply.msg->revoke_lease->revoked;
	return r;
}
