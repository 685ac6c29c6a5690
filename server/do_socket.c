// SPDX-License-Identifier: Apache-2.0
/* ReleaseSocket, ListSockets: the ledger. Handing sockets off is do_handoff.c's. */
#include <errno.h>

#include "method.h"
#include "sweep.h"

/* ---- ReleaseSocket ---- */

static int release_check(struct call *call, uint64_t id, uint64_t *lease)
{
	const struct sock *s = sock_find(call->core, id);
	const struct lease *l = s ? lease_find(call->core, s->lease) : NULL;

	/* Ids of others' sockets are as unknown to a pod as those of none. */
	if (!l || (!call->peer.admin && l->m->netns_cookie != call->peer.cookie))
		return call_fail(call, NOT_FOUND, "there is no socket %llu of yours",
				 (unsigned long long)id);
	note_subject(call, l->m->container, l->m->interface, 0);
	if (*lease && s->lease != *lease)
		return call_fail(call, INVALID_ARGUMENT, "socket %llu is of another lease",
				 (unsigned long long)id);
	*lease = s->lease;
	return 0;
}

/* In the lane of hand-offs, or the place that is emptied might have a newer socket already. */
static int release_shape(struct call *call)
{
	return shape_sockets(call, call->req->release_socket->sockets,
			     call->req->release_socket->n_sockets);
}

/* A request may name one twice. */
static void release_one(struct core *core, struct sock *s)
{
	const struct program *p = s ? program_find(core, s->m->program_id) : NULL;

	if (p && s->m->state != XSKD__SOCKET_STATE__SOCKET_AWAITS_BIND)
		xsk_remove(p->map_fd, s->m->queue);
	if (s)
		sock_drop(core, s, XSKD__EVENT_KIND__EVENT_SOCKET_RELEASED, "released");
}

/*
 * At one go, so that nothing comes between looking and emptying the place: the lease could end, and
 * the next one have its socket there. To empty it takes a microsecond and waits for nobody.
 */
static int release(struct call *call)
{
	const Xskd__ReleaseSocketRequest *req = call->req->release_socket;
	Xskd__ReleaseSocketReply *reply = call_alloc(call, sizeof(*reply));
	uint64_t lease = 0;
	int err = 0;

	if (!reply)
		return fault_sys(&call->fault, ENOMEM, "cannot release");
	for (size_t i = 0; i < req->n_sockets && !err; i++)
		err = release_check(call, req->sockets[i], &lease);
	if (err < 0)
		return err;
	for (size_t i = 0; i < req->n_sockets; i++)
		release_one(call->core, sock_find(call->core, req->sockets[i]));
	xskd__release_socket_reply__init(reply);
	call->reply.result_case = XSKD__REPLY__RESULT_RELEASE_SOCKET;
	call->reply.release_socket = reply;
	return 0;
}

const struct method method_release_socket = {
	.call = XSKD__REQUEST__CALL_RELEASE_SOCKET,
	.name = "ReleaseSocket",
	.audit = true,
	.shape = release_shape,
	.steps = { { release, false } },
};

/* ---- ListSockets ---- */

static int list_answer(struct call *call);

static int list_begin(struct call *call)
{
	int err;

	if (call->peer.admin || sweep_due(call->core))
		call->job = sweep_new(call->core, SWEEP_SOCKETS);
	if (call->job)
		return 0;
	err = list_answer(call); /* there is nothing to look at, so nothing to wait for */
	return err ? err : CALL_DONE;
}

static int list_look(struct call *call)
{
	sweep_look(call->job);
	return 0;
}

static ProtobufCMessage *sock_message(struct call *call, void *item, uint64_t *out_id)
{
	const struct sock *s = item;

	(void)call;
	*out_id = s->m->id;
	return &s->m->base;
}

static int own_socks(struct call *call, struct index *out)
{
	const struct core *core = call->core;
	const uint64_t cookie = call->peer.cookie;
	const struct lease *l = NULL;
	struct sock *s = NULL;
	size_t n = 0;

	while ((l = lease_next_of_netns(core, cookie, l)))
		n += l->m->sockets;
	if (page_own(call, &core->socks, n, out) < 0)
		return -ENOMEM;
	while (n && (l = lease_next_of_netns(core, cookie, l))) {
		while (out->n < n && (s = sock_next_of_lease(core, l->m->id, s)))
			(void)!index_add(out, &s->m->id, s); /* there is room */
	}
	return 0;
}

static int list_answer(struct call *call)
{
	Xskd__ListSocketsReply *reply = call_alloc(call, sizeof(*reply));
	struct index own;
	int err;

	if (call->job)
		sweep_note(call->core, call->job);
	if (!reply)
		return fault_sys(&call->fault, ENOMEM, "cannot make the list");
	xskd__list_sockets_reply__init(reply);
	call->reply.result_case = XSKD__REPLY__RESULT_LIST_SOCKETS;
	call->reply.list_sockets = reply;
	err = call->peer.admin ? 0 : own_socks(call, &own);
	if (err < 0)
		return err;
	return page_fill(call, call->peer.admin ? &call->core->socks : &own,
			 &call->req->list_sockets->after, sock_message, (void ***)&reply->sockets,
			 &reply->n_sockets, &reply->next);
}

static void list_done(struct call *call)
{
	sweep_free(call->job);
}

const struct method method_list_sockets = {
	.call = XSKD__REQUEST__CALL_LIST_SOCKETS,
	.name = "ListSockets",
	.steps = { { list_begin, false }, { list_look, true }, { list_answer, false } },
	.done = list_done,
};
