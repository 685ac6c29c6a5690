// SPDX-License-Identifier: Apache-2.0
/* GetXskMap, GetStats: what the program's maps give. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_xdp.h>
#include <stdio.h>
#include <string.h>

#include "instance.h"
#include "method.h"

/* ---- GetXskMap ---- */

struct map {
	uint32_t program; /* held */
	uint64_t lease;
	uint64_t cookie;
	Xskd__Program *m; /* a copy, for the state file */
	ino_t inode;
	int nsid;
};

static int map_shape(struct call *call)
{
	const Xskd__GetXskMapRequest *req = call->req->get_xsk_map;

	if (req->program_id && !call->peer.admin)
		return call_fail(call, PERMISSION_DENIED,
				 "only administrators may name a program; name your interface");
	if (!req->program_id) {
		const struct lease *l = lease_of(call->core, call->peer.cookie, req->interface);
		const struct program *p = l ? program_find(call->core, l->m->program_id) : NULL;

		/*
		 * The first of a pod's calls writes that the map is out; the others wait until it
		 * has.
		 */
		if (l && (!p || !p->served))
			shape_lane(call, l->device_inode, l->m->device);
		return shape_interface(call, req->interface);
	}
	return 0;
}

/* Lent, not given: the core keeps the map, and the warm path makes no fd of its own. */
static int lend(struct call *call, struct program *p)
{
	Xskd__GetXskMapReply *reply = call_alloc(call, sizeof(*reply));

	if (!reply)
		return fault_sys(&call->fault, ENOMEM, "cannot give the map");
	xskd__get_xsk_map_reply__init(reply);
	reply->map_fd = 1;
	reply->entries = p->m->map_entries;
	reply->program_id = p->m->id;
	call->lent = p->map_fd;
	p->lent = true;
	call->reply.result_case = XSKD__REPLY__RESULT_GET_XSK_MAP;
	call->reply.get_xsk_map = reply;
	return CALL_DONE;
}

/*
 * Whoever holds the map can delete, overwrite and freeze each of its entries. So a pod gets it only
 * if it holds the whole device; and before it does, it is noted for good that this map has been
 * out.
 */
static int map_check(struct call *call)
{
	const Xskd__GetXskMapRequest *req = call->req->get_xsk_map;
	struct program *p;
	struct lease *l;
	int err;

	if (req->program_id) {
		err = find_program(call, req->program_id, 0, NULL, &p);
		if (!err && p->leaving)
			return refuse_leaving(call, p);
		return err ? err : lend(call, p);
	}
	err = find_lease(call, NULL, req->interface, &l);
	if (!err && (l->m->mode != XSKD__LEASE_MODE__LEASE_MODE_DEVICE || !l->m->all_queues))
		return call_fail(
			call, FAILED_PRECONDITION,
			"the map of '%s' reaches queues of other leases, so it is not given out: "
			"ask for sockets with HandOffSocket",
			req->interface);
	if (!err)
		err = program_of(call, l, &p);
	if (err)
		return err;
	if (p->served)
		return lend(call, p);

	struct map *job = call_alloc(call, sizeof(*job));

	if (!job)
		return fault_sys(&call->fault, ENOMEM, "cannot give the map");
	call->job = job;
	job->program = program_hold(p);
	job->lease = l->m->id;
	job->cookie = l->m->netns_cookie;
	job->inode = p->inode;
	job->nsid = p->nsid;
	job->m = message_clone(p->m);
	return job->m ? 0 : fault_sys(&call->fault, ENOMEM, "cannot give the map");
}

static int map_note(struct call *call)
{
	struct map *job = call->job;
	struct program noted = {
		.m = job->m, .inode = job->inode, .nsid = job->nsid, .served = job->cookie
	};
	Xskd__StateFile file;
	char name[16];

	job->m->map_given = true;
	snprintf(name, sizeof(name), "%u", job->program);
	program_file(&noted, &file);
	return state_write(&call->core->state, STATE_PROGRAMS, name, &file, &call->fault);
}

static int map_lend(struct call *call)
{
	const struct map *job = call->job;
	struct program *p;
	int err = find_program(call, job->program, 0, NULL, &p);

	if (err < 0)
		return err;
	if (!lease_find(call->core, job->lease))
		return call_fail(call, ABORTED, "the lease ended while the map was noted");
	p->served = job->cookie;
	p->m->map_given = true;
	return lend(call, p);
}

static void map_done(struct call *call)
{
	struct map *job = call->job;

	program_release(call->core, job->program);
	if (job->m)
		xskd__program__free_unpacked(job->m, NULL);
}

const struct method method_get_xsk_map = {
	.call = XSKD__REQUEST__CALL_GET_XSK_MAP,
	.name = "GetXskMap",
	.audit = true,
	.shape = map_shape,
	.steps = { { map_check, false }, { map_note, true }, { map_lend, false } },
	.done = map_done,
};

/* ---- GetStats ---- */

#define STATS_MAX                                                                      \
	512 /* queues: as many as fit a packet, each with the statistics of its socket \
	     */

struct queue {
	Xskd__QueueStats stats;
	Xskd__SocketStats socket;
	int fd; /* our copy of the socket, where there is one */
};

struct stats {
	uint32_t program;
	int map_fd, counters_fd;
	struct queue *queues;
	size_t n;
};

static int stats_shape(struct call *call)
{
	const Xskd__GetStatsRequest *req = call->req->get_stats;

	if (!req->program_id)
		return shape_interface(call, req->interface);
	if (call->peer.admin)
		return 0;
	return call_fail(call, PERMISSION_DENIED,
			 "only administrators may name a program; name your interface");
}

static int note_queue(struct call *call, struct queue *q, uint32_t number)
{
	const struct stats *job = call->job;
	const struct sock *s = sock_at(call->core, job->program, number);

	xskd__queue_stats__init(&q->stats);
	xskd__socket_stats__init(&q->socket);
	q->stats.queue = number;
	q->fd = -1;
	if (!s || s->fd < 0)
		return 0;
	q->socket.id = s->m->id;
	q->fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
	return q->fd < 0 ? fault_sys(&call->fault, errno, "cannot read statistics") : 0;
}

static int stats_find(struct call *call)
{
	const Xskd__GetStatsRequest *req = call->req->get_stats;
	struct stats *job = call_alloc(call, sizeof(*job));
	struct lease *l = NULL;
	struct program *p;
	int err;

	if (!job)
		return fault_sys(&call->fault, ENOMEM, "cannot read statistics");
	job->map_fd = job->counters_fd = -1;
	call->job = job;
	if (req->program_id) {
		err = find_program(call, req->program_id, 0, NULL, &p);
	} else {
		err = find_lease(call, NULL, req->interface, &l);
		if (!err)
			err = program_of(call, l, &p);
	}
	if (err)
		return err;

	size_t n = l ? l->m->n_queues : program_queues(p);

	n = n < STATS_MAX ? n : STATS_MAX;

	job->program = p->m->id;
	job->map_fd = fcntl(p->map_fd, F_DUPFD_CLOEXEC, 3);
	job->queues = call_alloc(call, (n + 1) * sizeof(*job->queues));
	if (job->map_fd < 0 || !job->queues)
		return fault_sys(&call->fault, ENOMEM, "cannot read statistics");
	for (; job->n < n && !err; job->n++)
		err = note_queue(call, &job->queues[job->n],
				 l ? l->m->queues[job->n] : (uint32_t)job->n);
	return err;
}

static void read_socket(struct queue *q)
{
	struct xdp_statistics x;

	if (q->fd < 0 || xsk_statistics(q->fd, &x) < 0)
		return;
	q->socket.rx_dropped = x.rx_dropped;
	q->socket.rx_invalid_descs = x.rx_invalid_descs;
	q->socket.tx_invalid_descs = x.tx_invalid_descs;
	q->socket.rx_ring_full = x.rx_ring_full;
	q->socket.rx_fill_ring_empty_descs = x.rx_fill_ring_empty_descs;
	q->socket.tx_ring_empty_descs = x.tx_ring_empty_descs;
	q->stats.socket = &q->socket;
}

/* On the worker, for a copy of a socket may be the last by now, and closing that blocks. */
static void close_fds(struct stats *job)
{
	for (size_t i = 0; i < job->n; i++) {
		close_fdp(&job->queues[i].fd);
		job->queues[i].fd = -1;
	}
	close_fdp(&job->counters_fd);
	close_fdp(&job->map_fd);
	job->counters_fd = job->map_fd = -1;
}

static int stats_read(struct call *call)
{
	struct stats *job = call->job;
	Xskd__GetStatsReply *reply = call_alloc(call, sizeof(*reply));
	Xskd__QueueStats **list = call_alloc(call, (job->n + 1) * sizeof(*list));

	if (!reply || !list)
		return fault_sys(&call->fault, ENOMEM, "cannot read statistics");
	job->counters_fd = instance_open_counters(call->core->bpf_dir, job->program);
	for (size_t i = 0; i < job->n; i++) {
		struct queue *q = &job->queues[i];
		bool held = false;

		if (job->counters_fd >= 0) /* custom programs have none */
			(void)!instance_counters(job->counters_fd, q->stats.queue,
						 &q->stats.redirected, &q->stats.passed);
		if (xsk_held(&call->core->prober, job->map_fd, q->stats.queue, &held) == 0)
			q->stats.held = held;
		read_socket(q);
		list[i] = &q->stats;
	}
	close_fds(job);
	xskd__get_stats_reply__init(reply);
	reply->program_id = job->program;
	reply->n_queues = job->n;
	reply->queues = list;
	call->reply.result_case = XSKD__REPLY__RESULT_GET_STATS;
	call->reply.get_stats = reply;
	return 0;
}

static void stats_done(struct call *call)
{
	close_fds(call->job); /* what the worker did not come to: copies of what we have */
}

const struct method method_get_stats = {
	.call = XSKD__REQUEST__CALL_GET_STATS,
	.name = "GetStats",
	.shape = stats_shape,
	.steps = { { stats_find, false }, { stats_read, true } },
	.done = stats_done,
};
