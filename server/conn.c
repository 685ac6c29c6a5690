// SPDX-License-Identifier: Apache-2.0
#include "conn_state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "audit.h"
#include "hold.h"
#include "log.h"

/* ---- lists ---- */

void conn_link(struct conn *c, struct conn **list)
{
	c->next = *list;
	*list = c;
}

void conn_unlink(struct conn *c, struct conn **list)
{
	while (*list != c)
		list = &(*list)->next;
	*list = c->next;
}

/* ---- the end of one ---- */

static void reap(void *arg, struct fdset *fds)
{
	struct core *core = ((struct conns *)arg)->core;

	core->reap(core->arg, fds, NULL);
}

/* What the box holds has changed: so much of it is the tenant's. */
void conn_owe(struct conn *c, struct outbox before)
{
	tenant_owes(c->tenant, (int32_t)(c->out.bytes - before.bytes),
		    (int32_t)(c->out.fds - before.fds));
}

/*
 * What was never read goes with the socket, and what descriptors it has with it: their last close,
 * which may block for as long as their sender wants. A packet may have no bytes; but with this
 * option each has a message beside it, which is cut off for want of room. An error of the socket
 * is told first, whatever is there; once.
 */
bool conn_has_unread(int sock)
{
	const int on = 1;
	ssize_t n = -1;
	char byte;
	struct iovec iov = { &byte, sizeof(byte) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	(void)setsockopt(sock, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	for (int i = 0; i < 2 && n < 0; i++) {
		n = recvmsg(sock, &msg, MSG_PEEK | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return false;
	}
	return n != 0 || (msg.msg_flags & MSG_CTRUNC);
}

void conn_forget(struct conn *c)
{
	tenant_leave(&c->conns->tenants, c->tenant);
	*(c->peer.admin ? &c->conns->n_admins : &c->conns->n_pods) -= 1;
	free(c);
}

void conn_free(struct conn *c)
{
	struct outbox before = c->out;

	c->out.fds = 0;
	conn_owe(c, before);
	if (conn_has_unread(c->peer.sock)) {
		conns_reap_conn(c);
		return;
	}
	close_fdp(&c->peer.sock);
	conn_forget(c);
}

/*
 * Calls under way use the socket (SIOCGSKNS) and this memory: both go with the last of them. While
 * descriptors are in flight to somebody who does not read, the connection counts as one of his,
 * or he could have any number of them by ending connections and making new ones.
 */
void conn_free_when_done(struct conn *c)
{
	if (c->state != CONN_CLOSED || c->calls || c->watched)
		return;
	if (!c->out.fds || outbox_is_read(&c->out, c->peer.sock)) {
		conn_free(c);
		return;
	}
	conn_link(c, &c->conns->unread);
}

static void on_closed(uv_handle_t *handle)
{
	struct conn *c = handle->data;

	hold_begin("closed connection");
	c->watched = false;
	conn_free_when_done(c);
}

void conn_close(struct conn *c, const char *why)
{
	struct conns *conns = c->conns;
	struct outbox before = c->out;

	if (c->state == CONN_CLOSED)
		return;
	c->state = CONN_CLOSED;
	c->gone = true;
	log_debug("connection %llu (pid %d): %s", (unsigned long long)c->peer.conn,
		  (int)c->peer.pid, why);
	index_remove(&conns->by_id, &c->peer.conn);
	if (c->tenant)
		conn_unlink(c, tenant_conns(c->tenant));
	turn_drop(&conns->tenants, c->tenant, &c->turn);
	conns->core->connections--;
	watch_drop(conns->core, c->peer.conn);
	sock_drop_pending(conns->core, c->peer.conn);
	sock_doubt(conns->core, NULL, c->peer.conn);
	outbox_drop(&c->out, reap, conns);
	conn_owe(c, before);
	(void)shutdown(c->peer.sock, SHUT_RDWR); /* the peer shall not wait until we free it */
	if (c->watched)
		uv_close((uv_handle_t *)&c->poll, on_closed);
}

/* ---- waiting for the socket ---- */

static void on_ready(uv_poll_t *poll, int status, int events);

/*
 * Packets beyond the limit of calls wait unread, in the kernel: the client feels it, nobody else.
 * The same while it does not take its replies, so that only events can pile up here.
 */
bool conn_may_read(const struct conn *c)
{
	return c->state == CONN_OPEN && !c->out.first &&
	       c->calls < c->conns->core->limits.calls_in_flight &&
	       tenant_may_call(&c->conns->tenants, c->tenant);
}

static uint8_t wanted(const struct conn *c)
{
	return (uint8_t)((conn_may_read(c) && !c->turn.waits ? UV_READABLE : 0) |
			 (c->out.first ? UV_WRITABLE : 0) | (c->hung_up ? 0 : UV_DISCONNECT));
}

/* Return: false, the loop cannot wait for it. */
bool conn_poll(struct conn *c)
{
	uint8_t events = wanted(c);

	if (c->state == CONN_CLOSED || (c->watched && c->events == events))
		return true;
	if (!c->watched) {
		if (uv_poll_init(c->conns->loop, &c->poll, c->peer.sock) < 0)
			return false;
		c->poll.data = c;
		c->watched = true;
	}
	c->events = events;
	return uv_poll_start(&c->poll, events, on_ready) == 0;
}

void conn_wait(struct conn *c)
{
	if (!conn_poll(c))
		conn_close(c, "cannot be polled");
}

/* ---- out ---- */

/* Bytes that may wait in its box. */
static uint32_t room(const struct conn *c)
{
	uint32_t most = c->conns->core->limits.queued_bytes;
	uint32_t of_tenant = tenant_room(&c->conns->tenants, c->tenant);

	return most < c->out.bytes + of_tenant || of_tenant == UINT32_MAX
		       ? most
		       : c->out.bytes + of_tenant;
}

static bool sent(const struct conn *c, int result)
{
	if (result == PACKET_AGAIN) {
		metrics_limit(&c->conns->core->metrics,
			      room(c) < c->conns->core->limits.queued_bytes
				      ? LIMIT_QUEUED_BYTES_PER_NETNS
				      : LIMIT_QUEUED_BYTES);
		if (audit_may(c->conns->core->audit, &c->peer))
			log_warning("connection %llu (pid %d) does not read its replies: ending it",
				    (unsigned long long)c->peer.conn, (int)c->peer.pid);
	}
	return result == PACKET_OK;
}

bool conn_send_later(struct conn *c, const uint8_t *buf, size_t len)
{
	struct outbox before = c->out;
	int result = outbox_later(&c->out, buf, len, room(c));

	conn_owe(c, before);
	return sent(c, result);
}

/*
 * @fds: stay the caller's, unless they had to be queued. Return: false, the connection has to end.
 */
bool conn_send(struct conn *c, const uint8_t *buf, size_t len, struct fdset *fds)
{
	struct outbox before = c->out;
	int result = outbox_send(&c->out, c->peer.sock, buf, len, fds, room(c));

	conn_owe(c, before);
	return sent(c, result);
}

static void flush(struct conn *c)
{
	struct outbox before = c->out;
	int result = outbox_flush(&c->out, c->peer.sock, reap, c->conns);

	conn_owe(c, before);
	if (c->out.bytes < before.bytes)
		c->deaf = 0;
	if (result != PACKET_OK && result != PACKET_AGAIN)
		conn_close(c, "cannot be written to");
}

/*
 * The user that we are has too many descriptors in flight, to whomever: that is not this client's
 * fault, and without one there is always room for a reply.
 */
static bool send_refusal(struct conn *c, struct call *call)
{
	fault_set(&call->fault, XSKD__CODE__RESOURCE_EXHAUSTED, ETOOMANYREFS,
		  "too many file descriptors are on their way to clients that do not read: ask "
		  "again");
	call->failed = true;
	metrics_limit(&c->conns->core->metrics, LIMIT_OPEN_FILES);
	return conn_send(c, c->conns->out, call_reply(call, c->conns->out), NULL);
}

static bool send_reply(struct conn *c, struct call *call)
{
	uint8_t *buf = c->conns->out;
	size_t len = call_reply(call, buf);
	struct outbox before = c->out;
	int result;

	if (call->failed)
		return conn_send(c, buf, len, NULL);
	if (call->lent < 0)
		result = outbox_send(&c->out, c->peer.sock, buf, len, &call->out, room(c));
	else
		result = outbox_send_lent(&c->out, c->peer.sock, buf, len, call->lent, room(c));
	conn_owe(c, before);
	return result == -ETOOMANYREFS ? send_refusal(c, call) : sent(c, result);
}

static bool on_call_ended(void *arg, struct call *call)
{
	struct conn *c = arg;
	bool delivered = false, again;

	c->calls--;
	again = tenant_end(&c->conns->tenants, c->tenant);
	if (c->state != CONN_CLOSED) {
		delivered = send_reply(c, call);
		if (!delivered)
			conn_close(c, "cannot be written to");
	}
	if (again || tenant_is_sated(&c->conns->tenants, c->tenant))
		conns_due(c->conns, c->tenant);
	if (c->watched)
		conn_wait(c);
	conn_free_when_done(c);
	return delivered;
}

/* ---- in ---- */

/*
 * What a killed CNI ADD has sent may be read after what the DEL behind it has sent: by then nobody
 * is to be granted anything. And a kept socket would be kept for somebody who does not know of it.
 */
static bool has_hung_up(const struct conn *c)
{
	struct pollfd pfd = { .fd = c->peer.sock };

	return poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLHUP);
}

static void malformed(const struct conn *c)
{
	metrics_count(&c->conns->core->metrics, TALLY_MALFORMED);
	if (audit_may(c->conns->core->audit, &c->peer))
		log_warning("connection %llu (pid %d, uid %u) sent what is no request: ending it",
			    (unsigned long long)c->peer.conn, (int)c->peer.pid, c->peer.uid);
}

/* What call_new() could not take in has no id to answer to. */
static void no_request(struct conn *c, int err)
{
	if (err == -ENOMEM) {
		log_error("no memory is left for a request of connection %llu (pid %d): ending it",
			  (unsigned long long)c->peer.conn, (int)c->peer.pid);
		conn_close(c, "no memory");
		return;
	}
	malformed(c);
	conn_close(c, "sent what is no request");
}

void conn_receive(struct conn *c)
{
	struct fdset fds = FDSET_INIT;
	struct call *call;
	size_t len;
	int result = packet_take(c->peer.sock, MSG_DONTWAIT, c->conns->in, PACKET_MAX, &len, &fds);
	bool starved = result == PACKET_SHORT;

	if (result == PACKET_AGAIN)
		return;
	if (result != PACKET_OK && !starved) {
		conns_reap(c->conns, &fds, &c->peer);
		if (result == PACKET_BAD)
			malformed(c);
		conn_close(c, result == PACKET_EOF ? "has ended" : "is broken");
		return;
	}
	result = call_new(c->conns->core, &c->peer, c->conns->in, len, &fds, &call);
	if (result < 0) {
		no_request(c, result);
		return;
	}
	if (++c->calls == c->conns->core->limits.calls_in_flight)
		metrics_limit(&c->conns->core->metrics, LIMIT_CALLS_IN_FLIGHT);
	hold_name(call->method ? call->method->name : "no method");
	tenant_begin(&c->conns->tenants, c->tenant);
	c->gone |= call->method && call->method->undo && has_hung_up(c);
	call->gone = &c->gone;
	if (starved)
		call_starve(call);
	else if (call_admit(call) < 0)
		*call->lane = '\0'; /* it has failed, and need not wait to be told so */
	lanes_run(c->conns->lanes, call, on_call_ended, c);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct conn *c = poll->data;

	hold_begin("connection");
	if (status < 0) {
		conn_close(c, "is broken");
		return;
	}
	if (events & UV_WRITABLE)
		flush(c);
	if ((events & UV_READABLE) && (wanted(c) & UV_READABLE))
		conns_read(c);
	else if ((events & UV_DISCONNECT) && c->turn.waits)
		c->hung_up = true;
	else if (events & UV_DISCONNECT)
		conn_close(c, "has ended");
	if (c->state != CONN_CLOSED)
		conn_wait(c);
}
