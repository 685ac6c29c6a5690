// SPDX-License-Identifier: Apache-2.0
#include "conn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "log.h"
#include "packet.h"
#include "tenant.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/*
 * open: packets come in and go out. draining: no more packets in, replies still go out (the daemon
 * is about to end). closed: the peer sees the end; calls under way run to theirs, whose replies are
 * lost.
 */
enum conn_state {
	CONN_OPEN,
	CONN_DRAINING,
	CONN_CLOSED,
};

struct packet {
	struct packet *next;
	struct fdset fds;
	size_t len;
	uint8_t data[];
};

struct conn {
	uv_poll_t poll;
	struct conns *conns;
	struct tenant *tenant; /* NULL: an administrator's */
	struct peer peer;      /* peer.sock is ours; open until the last call has ended */
	enum conn_state state;
	bool watched;    /* the poll handle is active or closing */
	int events;      /* that the poll handle waits for */
	uint32_t calls;  /* under way */
	uint32_t queued; /* bytes in @first and those behind it */
	struct packet *first, **last;
};

static int compare_conn(const void *key, const void *item)
{
	uint64_t id = *(const uint64_t *)key, other = ((const struct conn *)item)->peer.conn;

	return id < other ? -1 : id > other;
}

void conns_init(struct conns *conns, struct uv_loop_s *loop, struct core *core, struct lanes *lanes)
{
	conns->loop = loop;
	conns->core = core;
	conns->lanes = lanes;
	conns->by_id = INDEX_INIT(compare_conn);
	tenants_init(&conns->tenants);
	conns->last_id = 0;
	conns->n_pods = conns->n_admins = 0;
}

void conns_done(struct conns *conns)
{
	index_done(&conns->by_id);
	tenants_done(&conns->tenants);
}

/* ---- the end of one ---- */

static void packets_drop(struct conn *c)
{
	while (c->first) {
		struct packet *p = c->first;

		c->first = p->next;
		c->conns->core->reap(c->conns->core->arg, &p->fds);
		free(p);
	}
	c->last = &c->first;
	c->queued = 0;
}

/* Calls under way use the socket (SIOCGSKNS) and this memory: both go with the last of them. */
static void conn_free_when_done(struct conn *c)
{
	if (c->state != CONN_CLOSED || c->calls || c->watched)
		return;
	close_fdp(&c->peer.sock);
	free(c);
}

static void on_closed(uv_handle_t *handle)
{
	struct conn *c = handle->data;

	c->watched = false;
	conn_free_when_done(c);
}

static void conn_close(struct conn *c, const char *why)
{
	struct conns *conns = c->conns;

	if (c->state == CONN_CLOSED)
		return;
	c->state = CONN_CLOSED;
	log_debug("connection %llu (pid %d): %s", (unsigned long long)c->peer.conn,
		  (int)c->peer.pid, why);
	index_remove(&conns->by_id, &c->peer.conn);
	if (c->peer.admin) {
		conns->n_admins--;
	} else {
		conns->n_pods--;
		tenant_leave(&conns->tenants, c->tenant);
	}
	conns->core->connections--;
	watch_drop(conns->core, c->peer.conn);
	sock_drop_pending(conns->core, c->peer.conn);
	sock_doubt(conns->core, NULL, c->peer.conn);
	packets_drop(c);
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
static int wanted(const struct conn *c)
{
	const struct limits *limits = &c->conns->core->limits;
	bool read = c->state == CONN_OPEN && !c->first && c->calls < limits->calls_in_flight &&
		    tenant_may_call(c->tenant, limits);

	return (read ? UV_READABLE : 0) | (c->first ? UV_WRITABLE : 0) | UV_DISCONNECT;
}

/* Return: false, the loop cannot wait for it. */
static bool conn_poll(struct conn *c)
{
	int events = wanted(c);

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

static void conn_wait(struct conn *c)
{
	if (!conn_poll(c))
		conn_close(c, "cannot be polled");
}

/* ---- out ---- */

static bool queue_packet(struct conn *c, const uint8_t *buf, size_t len, struct fdset *fds)
{
	struct packet *p;

	if (c->queued + len > c->conns->core->limits.queued_bytes) {
		metrics_limit(&c->conns->core->metrics, LIMIT_QUEUED_BYTES);
		log_warning("connection %llu (pid %d) does not read its replies: ending it",
			    (unsigned long long)c->peer.conn, (int)c->peer.pid);
		return false;
	}
	p = malloc(sizeof(*p) + len);
	if (!p)
		return false;
	p->next = NULL;
	p->len = len;
	memcpy(p->data, buf, len);
	fdset_move(&p->fds, fds);
	*c->last = p;
	c->last = &p->next;
	c->queued += (uint32_t)len;
	return true;
}

/*
 * @fds: stay the caller's, unless they had to be queued. Return: false, the connection has to end.
 */
static bool send_packet(struct conn *c, const uint8_t *buf, size_t len, struct fdset *fds)
{
	int result =
		c->first ? PACKET_AGAIN : packet_send(c->peer.sock, MSG_DONTWAIT, buf, len, fds);

	return result == PACKET_OK || (result == PACKET_AGAIN && queue_packet(c, buf, len, fds));
}

static void flush(struct conn *c)
{
	while (c->first) {
		struct packet *p = c->first;
		int result = packet_send(c->peer.sock, MSG_DONTWAIT, p->data, p->len, &p->fds);

		if (result == PACKET_AGAIN)
			return;
		if (result != PACKET_OK) {
			conn_close(c, "cannot be written to");
			return;
		}
		c->first = p->next;
		if (!c->first)
			c->last = &c->first;
		c->queued -= (uint32_t)p->len;
		c->conns->core->reap(c->conns->core->arg, &p->fds);
		free(p);
	}
}

/*
 * An fd that the core lends goes out as it is; only when the packet has to wait is a copy made, for
 * the core may close its own meanwhile.
 */
static bool send_reply(struct conn *c, struct call *call)
{
	uint8_t *buf = c->conns->out;
	size_t len = call_reply(call, buf);
	struct fdset lent = { .n = 1, .fd = { call->lent } }, none = FDSET_INIT;
	int result;

	if (call->failed || call->lent < 0)
		return send_packet(c, buf, len, call->failed ? &none : &call->out);
	result = c->first ? PACKET_AGAIN : packet_send(c->peer.sock, MSG_DONTWAIT, buf, len, &lent);
	if (result != PACKET_AGAIN)
		return result == PACKET_OK;
	lent.fd[0] = fcntl(call->lent, F_DUPFD_CLOEXEC, 3);
	if (lent.fd[0] < 0)
		return false;
	if (queue_packet(c, buf, len, &lent))
		return true;
	fdset_done(&lent);
	return false;
}

/* When a pod comes down from its limit, all its connections may be read again. */
static void wait_for_all_of(struct conns *conns, const struct tenant *t)
{
	for (size_t i = 0; i < conns->by_id.n; i++) {
		struct conn *c = conns->by_id.at[i];

		if (c->tenant == t && c->watched)
			conn_wait(c);
	}
}

static bool on_call_ended(void *arg, struct call *call)
{
	struct conn *c = arg;
	bool sent = false;

	c->calls--;
	if (tenant_end(&c->conns->tenants, &c->conns->core->limits, c->tenant))
		wait_for_all_of(c->conns, c->tenant);
	if (c->state != CONN_CLOSED) {
		sent = send_reply(c, call);
		if (sent)
			c->conns->core->reap(c->conns->core->arg, &call->out);
		else
			conn_close(c, "cannot be written to");
	}
	if (c->watched)
		conn_wait(c);
	conn_free_when_done(c);
	return sent;
}

void conns_event(struct conns *conns, const struct watcher *to, const Xskd__Event *event)
{
	struct conn *c = index_find(&conns->by_id, &to->conn);
	Xskd__Reply reply = XSKD__REPLY__INIT;
	uint8_t buf[2048];
	size_t len;

	reply.id = to->call;
	reply.result_case = XSKD__REPLY__RESULT_EVENT;
	reply.event = (Xskd__Event *)(uintptr_t)event;
	len = xskd__reply__get_packed_size(&reply);
	if (!c || len > sizeof(buf)) {
		metrics_count(&conns->core->metrics, TALLY_EVENTS_DROPPED);
		return;
	}
	xskd__reply__pack(&reply, buf);
	/*
	 * Whoever tells of an event is in the middle of changing what conn_close() changes too. So
	 * here the socket is only shut, and the loop will find it so.
	 */
	if (send_packet(c, buf, len, &(struct fdset){ .n = 0 }) && conn_poll(c)) {
		metrics_count(&conns->core->metrics, TALLY_EVENTS_SENT);
	} else {
		metrics_count(&conns->core->metrics, TALLY_EVENTS_DROPPED);
		(void)shutdown(c->peer.sock, SHUT_RDWR);
	}
}

/* ---- in ---- */

/*
 * What a killed CNI ADD has sent may be read after what the DEL behind it has sent: by then nobody
 * is to be granted anything. (Of pods' calls each has its connection for a witness, see
 * on_call_ended().)
 */
static bool has_hung_up(const struct conn *c)
{
	struct pollfd pfd = { .fd = c->peer.sock };

	return poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLHUP);
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
	metrics_count(&c->conns->core->metrics, TALLY_MALFORMED);
	log_warning("connection %llu (pid %d, uid %u) sent what is no request: ending it",
		    (unsigned long long)c->peer.conn, (int)c->peer.pid, c->peer.uid);
	conn_close(c, "sent what is no request");
}

/* Return: whether a packet was there. */
static bool receive(struct conn *c)
{
	struct fdset fds = FDSET_INIT;
	struct call *call;
	size_t len;
	int result = packet_recv(c->peer.sock, MSG_DONTWAIT, c->conns->in, PACKET_MAX, &len, &fds);
	bool starved = result == PACKET_SHORT;

	if (result == PACKET_AGAIN)
		return false;
	if (result != PACKET_OK && !starved) {
		if (result == PACKET_BAD) {
			metrics_count(&c->conns->core->metrics, TALLY_MALFORMED);
			log_warning(
				"connection %llu (pid %d, uid %u) sent a packet that is none: ending it",
				(unsigned long long)c->peer.conn, (int)c->peer.pid, c->peer.uid);
		}
		conn_close(c, result == PACKET_EOF ? "has ended" : "is broken");
		return false;
	}
	result = call_new(c->conns->core, &c->peer, c->conns->in, len, &fds, &call);
	if (result < 0) {
		no_request(c, result);
		return false;
	}
	if (++c->calls == c->conns->core->limits.calls_in_flight)
		metrics_limit(&c->conns->core->metrics, LIMIT_CALLS_IN_FLIGHT);
	tenant_begin(c->tenant, c->conns->core);
	call->peer.gone = c->peer.admin && has_hung_up(c);
	if (starved)
		call_starve(call);
	else if (call_admit(call) < 0)
		*call->lane = '\0'; /* it has failed, and need not wait to be told so */
	lanes_run(c->conns->lanes, call, on_call_ended, c);
	return true;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct conn *c = poll->data;

	if (status < 0) {
		conn_close(c, "is broken");
		return;
	}
	if (events & UV_WRITABLE)
		flush(c);
	/* One packet a wake-up: a busy client waits its turn among the others. */
	if ((events & UV_READABLE) && (wanted(c) & UV_READABLE))
		(void)receive(c);
	else if (events & UV_DISCONNECT)
		conn_close(c, "has ended");
	if (c->state != CONN_CLOSED)
		conn_wait(c);
}

/* ---- the beginning of one ---- */

/* The namespace in which the *client* made its socket, not the one of whoever holds it now. */
static int identify(struct peer *peer)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(peer->sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	peer->pid = cred.pid;
	peer->uid = cred.uid;
	peer->gid = cred.gid;
	len = sizeof(peer->cookie);
	if (getsockopt(peer->sock, SOL_SOCKET, SO_NETNS_COOKIE, &peer->cookie, &len) < 0)
		return -errno;
	return 0;
}

static bool may_connect(struct conns *conns, const struct peer *peer, struct tenant **out)
{
	uint32_t most = conns->core->limits.connections;

	if (peer->admin && peer->uid != 0 && peer->uid != geteuid()) {
		log_warning("pid %d of uid %u on the admin socket: refused", (int)peer->pid,
			    peer->uid);
		return false;
	}
	if ((peer->admin ? conns->n_admins : conns->n_pods) >= most) {
		metrics_limit(&conns->core->metrics, LIMIT_CONNECTIONS);
		log_warning("more than %u connections: pid %d of uid %u refused", most,
			    (int)peer->pid, peer->uid);
		return false;
	}
	*out = peer->admin ? NULL
			   : tenant_join(&conns->tenants, &conns->core->limits, peer->cookie);
	if (!peer->admin && !*out) {
		metrics_limit(&conns->core->metrics, LIMIT_CONNECTIONS_PER_NETNS);
		log_warning(
			"network namespace %llu has too many connections: pid %d of uid %u refused",
			(unsigned long long)peer->cookie, (int)peer->pid, peer->uid);
		return false;
	}
	return true;
}

void conn_new(struct conns *conns, int fd, bool admin)
{
	cleanup(close_fdp) int sock = fd;
	struct peer peer = { .sock = fd, .admin = admin };
	struct tenant *tenant;
	struct conn *c;
	int err = identify(&peer);

	if (err < 0) {
		log_error("cannot tell who connects: %s", strerrordesc_np(-err));
		return;
	}
	if (!may_connect(conns, &peer, &tenant)) {
		metrics_count(&conns->core->metrics,
			      admin ? TALLY_TURNED_AWAY_ADMIN : TALLY_TURNED_AWAY_POD);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (!c || index_reserve(&conns->by_id, 1) < 0) {
		free(c);
		tenant_leave(&conns->tenants, tenant);
		return;
	}
	c->conns = conns;
	c->tenant = tenant;
	c->last = &c->first;
	c->peer = peer;
	c->peer.conn = ++conns->last_id;
	c->peer.sock = steal_fd(&sock);
	(void)!index_add(&conns->by_id, &c->peer.conn, c); /* there is room */
	*(admin ? &conns->n_admins : &conns->n_pods) += 1;
	conns->core->connections++;
	metrics_count(&conns->core->metrics, admin ? TALLY_ACCEPTED_ADMIN : TALLY_ACCEPTED_POD);

	/*
	 * A request often comes right behind the connect: answered now, its sender has the reply
	 * while we are still telling the loop about the connection (on two CPUs 15 % of a one-shot
	 * call). The call counted here keeps @c from being freed under us.
	 */
	c->calls++;
	if (wanted(c) & UV_READABLE)
		(void)receive(c);
	c->calls--;
	conn_wait(c);
	conn_free_when_done(c);
}

/* ---- all of them ---- */

bool conns_has(const struct conns *conns, uint64_t cookie)
{
	return tenant_is_connected(&conns->tenants, cookie);
}

void conns_tick(struct conns *conns)
{
	bool any_full = tenants_tick(&conns->tenants, &conns->core->limits);

	for (size_t i = conns->by_id.n; any_full && i--;) {
		struct conn *c = conns->by_id.at[i];

		if (c->watched)
			conn_wait(c);
	}
}

void conns_stop(struct conns *conns)
{
	for (size_t i = conns->by_id.n; i--;) {
		struct conn *c = conns->by_id.at[i];

		c->state = CONN_DRAINING;
		conn_wait(c);
	}
}

bool conns_idle(const struct conns *conns)
{
	for (size_t i = 0; i < conns->by_id.n; i++) {
		const struct conn *c = conns->by_id.at[i];

		if (c->calls || c->first)
			return false;
	}
	return true;
}

void conns_close(struct conns *conns)
{
	while (conns->by_id.n)
		conn_close(conns->by_id.at[conns->by_id.n - 1], "the daemon ends");
}
