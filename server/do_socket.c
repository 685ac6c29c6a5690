// SPDX-License-Identifier: Apache-2.0
/* ReleaseSocket, ListSockets: the ledger. Handing sockets off is do_handoff.c's. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "method.h"
#include "sweep.h"

/* ---- ReleaseSocket ---- */

struct entry {
	uint64_t id;
	uint32_t queue;
	int map_fd;
};

struct release {
	struct entry entries[XSK_QUEUES_MAX];
	size_t n;
};

static int release_one(struct call *call, uint64_t id)
{
	struct release *job = call->job;
	const struct sock *s = sock_find(call->core, id);
	const struct lease *l = s ? lease_find(call->core, s->lease) : NULL;
	const struct program *p;
	struct entry *e = &job->entries[job->n];

	/* Ids of others' sockets are as unknown to a pod as those of none. */
	if (!l || (!call->peer.admin && l->m->netns_cookie != call->peer.cookie))
		return call_fail(call, NOT_FOUND, "there is no socket %llu of yours",
				 (unsigned long long)id);
	note_subject(call, l->m->container, l->m->interface, 0);
	if (job->n && s->lease != sock_find(call->core, job->entries[0].id)->lease)
		return call_fail(call, INVALID_ARGUMENT, "socket %llu is of another lease",
				 (unsigned long long)id);
	p = program_find(call->core, s->m->program_id);
	e->id = id;
	e->queue = s->m->queue;
	e->map_fd = -1;
	if (p && s->m->state != XSKD__SOCKET_STATE__SOCKET_AWAITS_BIND) {
		e->map_fd = fcntl(p->map_fd, F_DUPFD_CLOEXEC, 3);
		if (e->map_fd < 0)
			return fault_sys(&call->fault, errno, "cannot release");
	}
	job->n++;
	return 0;
}

/* In the lane of hand-offs, or the place that is emptied might have a newer socket already. */
static int release_shape(struct call *call)
{
	return shape_sockets(call, call->req->release_socket->sockets,
			     call->req->release_socket->n_sockets);
}

static int release_take(struct call *call)
{
	const Xskd__ReleaseSocketRequest *req = call->req->release_socket;
	int err = 0;

	call->job = call_alloc(call, sizeof(struct release));
	if (!call->job)
		return fault_sys(&call->fault, ENOMEM, "cannot release");
	for (size_t i = 0; i < req->n_sockets && !err; i++)
		err = release_one(call, req->sockets[i]);
	return err;
}

static int release_remove(struct call *call)
{
	struct release *job = call->job;

	for (size_t i = 0; i < job->n; i++) {
		if (job->entries[i].map_fd >= 0)
			xsk_remove(job->entries[i].map_fd, job->entries[i].queue);
	}
	return 0;
}

static int release_note(struct call *call)
{
	const struct release *job = call->job;
	Xskd__ReleaseSocketReply *reply = call_alloc(call, sizeof(*reply));

	for (size_t i = 0; i < job->n; i++) {
		struct sock *s = sock_find(call->core, job->entries[i].id);

		if (s) /* a request may name one twice */
			sock_drop(call->core, s, XSKD__EVENT_KIND__EVENT_SOCKET_RELEASED,
				  "released");
	}
	if (!reply)
		return fault_sys(&call->fault, ENOMEM, "cannot answer");
	xskd__release_socket_reply__init(reply);
	call->reply.result_case = XSKD__REPLY__RESULT_RELEASE_SOCKET;
	call->reply.release_socket = reply;
	return 0;
}

static void release_done(void *arg)
{
	struct release *job = arg;

	for (size_t i = 0; i < job->n; i++)
		close_fdp(&job->entries[i].map_fd);
}

const struct method method_release_socket = {
	.call = XSKD__REQUEST__CALL_RELEASE_SOCKET,
	.name = "ReleaseSocket",
	.audit = true,
	.shape = release_shape,
	.steps = { { release_take, false }, { release_remove, true }, { release_note, false } },
	.done = release_done,
};

/* ---- ListSockets ---- */

static int list_begin(struct call *call)
{
	if (call->peer.admin || sweep_due(call->core))
		call->job = sweep_new(call->core); /* NULL: nothing to look at */
	return 0;
}

static int list_look(struct call *call)
{
	if (call->job)
		sweep_look(call->job);
	return 0;
}

static ProtobufCMessage *sock_message(struct call *call, void *item, uint64_t *out_id)
{
	const struct sock *s = item;
	const struct lease *l = lease_find(call->core, s->lease);

	*out_id = s->m->id;
	if (!call->peer.admin && (!l || l->m->netns_cookie != call->peer.cookie))
		return NULL;
	return &s->m->base;
}

static int list_answer(struct call *call)
{
	Xskd__ListSocketsReply *reply = call_alloc(call, sizeof(*reply));

	if (call->job)
		sweep_note(call->core, call->job);
	if (!reply)
		return fault_sys(&call->fault, ENOMEM, "cannot make the list");
	xskd__list_sockets_reply__init(reply);
	call->reply.result_case = XSKD__REPLY__RESULT_LIST_SOCKETS;
	call->reply.list_sockets = reply;
	return page_fill(call, &call->core->socks, &call->req->list_sockets->after, sock_message,
			 (void ***)&reply->sockets, &reply->n_sockets, &reply->next);
}

static void list_done(void *arg)
{
	sweep_free(arg);
}

const struct method method_list_sockets = {
	.call = XSKD__REQUEST__CALL_LIST_SOCKETS,
	.name = "ListSockets",
	.steps = { { list_begin, false }, { list_look, true }, { list_answer, false } },
	.done = list_done,
};
