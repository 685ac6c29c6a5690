// SPDX-License-Identifier: Apache-2.0
/*
 * BindSocket: the second half of a hand-off in two phases. The client has mapped the rings by now,
 * which it could not do any more once the socket is bound.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "handoff.h"

struct bind {
	struct xsk_spec spec;
	int map_fd;
	uint32_t program;
	uint64_t ids[XSK_QUEUES_MAX];
	int fds[XSK_QUEUES_MAX];
	size_t n_bound;
	size_t older; /* other sockets of the lease */
	bool zero_copy;
	int err; /* of the worker's step */
};

static int bind_shape(struct call *call)
{
	return shape_sockets(call, call->req->bind_socket->sockets,
			     call->req->bind_socket->n_sockets);
}

static bool is_named(const Xskd__BindSocketRequest *req, uint64_t id)
{
	for (size_t i = 0; i < req->n_sockets; i++) {
		if (req->sockets[i] == id)
			return true;
	}
	return false;
}

static int take_one(struct call *call, const struct sock *s)
{
	struct bind *job = call->job;
	size_t i = job->spec.n;

	job->fds[i] = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
	if (job->fds[i] < 0)
		return fault_sys(&call->fault, errno, "cannot bind");
	job->ids[i] = s->m->id;
	job->spec.queue[i] = s->m->queue;
	job->spec.n++;
	return 0;
}

/*
 * All sockets of the hand-off, in its order, whatever the order of the request: those behind the
 * first share its UMEM, and can be bound only after it.
 */
static int take_group(struct call *call, const struct sock *first)
{
	const Xskd__BindSocketRequest *req = call->req->bind_socket;
	const struct core *core = call->core;
	const struct sock *s = NULL;
	struct bind *job = call->job;

	while ((s = sock_next_of_group(core, first->lease, first->group, s))) {
		int err;

		if (!is_named(req, s->m->id))
			return call_fail(
				call, INVALID_ARGUMENT,
				"socket %llu of the same hand-off is missing: BindSocket binds "
				"all of one hand-off",
				(unsigned long long)s->m->id);
		err = take_one(call, s);
		if (err < 0)
			return err;
	}
	if (job->spec.n != req->n_sockets)
		return call_fail(call, INVALID_ARGUMENT,
				 "the request names %zu sockets, the hand-off has %zu",
				 req->n_sockets, job->spec.n);
	return 0;
}

/* The client may have bound them itself, and closed its own. */
static void let_go(struct call *call, struct bind *job)
{
	struct fdset fds = FDSET_INIT;

	for (size_t i = 0; i < job->spec.n; i++) {
		if (job->fds[i] >= 0)
			(void)!fdset_add(&fds, steal_fd(&job->fds[i]));
	}
	call->core->reap(call->core->arg, &fds, NULL);
}

static int bind_check(struct call *call)
{
	const Xskd__BindSocketRequest *req = call->req->bind_socket;
	struct bind *job = call_alloc(call, sizeof(*job));
	const struct sock *s = sock_find(call->core, req->sockets[0]);
	const struct lease *l;
	const struct program *p;
	int err;

	if (call->job) /* it waits for its queues, and begins anew */
		let_go(call, call->job);
	if (!job)
		return fault_sys(&call->fault, ENOMEM, "cannot bind");
	job->map_fd = -1;
	call->job = job;
	if (!s || s->conn != call->peer.conn ||
	    s->m->state != XSKD__SOCKET_STATE__SOCKET_AWAITS_BIND)
		return call_fail(
			call, NOT_FOUND,
			"this connection has no socket %llu that awaits its bind: that has to come "
			"within %d seconds of the hand-off",
			(unsigned long long)req->sockets[0], BIND_WITHIN);
	err = take_group(call, s);
	if (err < 0)
		return err;
	l = lease_find(call->core, s->lease);
	p = program_find(call->core, s->m->program_id);
	if (!l || !p || p->leaving)
		return call_fail(call, ABORTED, "the lease or its program has ended");
	note_subject(call, l->m->container, l->m->interface, 0);
	err = claim_queues(call, job, p->m->id, &job->spec);
	if (err)
		return err;
	job->program = p->m->id;
	job->older = l->m->sockets - job->spec.n;
	job->spec.device = call_alloc(call, 16);
	job->map_fd = fcntl(p->map_fd, F_DUPFD_CLOEXEC, 3);
	if (!job->spec.device || job->map_fd < 0)
		return fault_sys(&call->fault, errno, "cannot bind");
	snprintf((char *)(uintptr_t)job->spec.device, 16, "%s", l->m->device);
	job->spec.ifindex = l->m->ifindex;
	job->spec.frame_size = s->m->frame_size;
	job->spec.need_wakeup = s->m->need_wakeup;
	job->spec.multi_buffer = s->multi_buffer;
	job->spec.zero_copy_required = s->wish == XSKD__ZERO_COPY__ZERO_COPY_REQUIRED;
	job->spec.copy = s->wish == XSKD__ZERO_COPY__ZERO_COPY_NO;
	return 0;
}

/*
 * A failure is judged in bind_note(): of several sockets some may be bound by then, which cannot be
 * taken back.
 */
static int bind_make(struct call *call)
{
	struct bind *job = call->job;
	int again;

	job->err = call->made ? 0
			      : xsk_insert(&call->core->prober, &job->spec, job->fds, job->map_fd,
					   &call->fault);
	call->made = call->made || !job->err;
	if (!job->err)
		job->err = xsk_bind(&job->spec, job->fds, &job->n_bound, &job->zero_copy,
				    &call->fault);
	again = wait_for_queue(call, job->err, job->older);
	if (again == CALL_AGAIN)
		return again;
	/* The client has its own; here, where it may block, ours go. */
	for (size_t i = 0; i < job->spec.n; i++)
		close(steal_fd(&job->fds[i]));
	return 0;
}

/* The hand-off as a whole has failed: the client has to ask for new sockets. */
static int give_up(struct call *call)
{
	struct bind *job = call->job;

	for (size_t i = 0; i < job->spec.n; i++) {
		struct sock *s = sock_find(call->core, job->ids[i]);

		if (s)
			sock_drop(call->core, s, 0, NULL);
	}
	return job->err;
}

static int bind_note(struct call *call)
{
	struct bind *job = call->job;
	Xskd__BindSocketReply *reply = call_alloc(call, sizeof(*reply));
	Xskd__Socket **list = call_alloc(call, job->spec.n * sizeof(*list));

	if (job->err)
		return give_up(call);
	if (!reply || !list)
		return fault_sys(&call->fault, ENOMEM, "cannot answer");
	for (size_t i = 0; i < job->spec.n; i++) {
		struct sock *s = sock_find(call->core, job->ids[i]);
		struct fdset fds = FDSET_INIT;

		if (!s)
			return call_fail(call, ABORTED, "the lease or its program has ended");
		sock_drop_stale(call->core, job->program, s->m->queue, s->group);
		s->m->state = XSKD__SOCKET_STATE__SOCKET_BOUND;
		s->m->zero_copy = job->zero_copy;
		if (!s->m->kept) {
			(void)!fdset_add(&fds, steal_fd(&s->fd));
			call->core->reap(call->core->arg, &fds, NULL);
		}
		list[i] = s->m;
	}
	xskd__bind_socket_reply__init(reply);
	reply->n_sockets = job->spec.n;
	reply->sockets = list;
	call->reply.result_case = XSKD__REPLY__RESULT_BIND_SOCKET;
	call->reply.bind_socket = reply;
	return 0;
}

/*
 * A lost reply needs nothing: the sockets are the client's, and end with it. Where the daemon ends
 * while we waited, ours may be the last.
 */
static void bind_undo(struct call *call)
{
	struct bind *job = call->job;

	for (size_t i = 0; i < job->spec.n && call->failed; i++) {
		xsk_remove(job->map_fd, job->spec.queue[i]);
		close_fdp(&job->fds[i]);
		job->fds[i] = -1;
	}
}

static void bind_done(struct call *call)
{
	struct bind *job = call->job;

	sock_unclaim(call->core, job);
	close_fdp(&job->map_fd);
	let_go(call, job);
}

const struct method method_bind_socket = {
	.call = XSKD__REQUEST__CALL_BIND_SOCKET,
	.name = "BindSocket",
	.audit = true,
	.shape = bind_shape,
	.steps = { { bind_check, false }, { bind_make, true }, { bind_note, false } },
	.undo = bind_undo,
	.done = bind_done,
};
