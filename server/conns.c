// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "audit.h"
#include "conn_state.h"
#include "dispose.h"
#include "hold.h"
#include "log.h"
#include "packet.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/*
 * Packets that are read straight away in a round of the loop while nobody waits; and for how long
 * those are read that had to wait, before the loop looks at its sockets again.
 */
#define AT_ONCE  8
#define SERVE_NS 200000

#define DEAF_S 30 /* who takes nothing of what waits for it for so long is hung up */

#define TELL_AT_ONCE 64 /* events in a round of the loop; those beyond it go in the next one */

static int compare_conn(const void *key, const void *item)
{
	uint64_t id = *(const uint64_t *)key, other = ((const struct conn *)item)->peer.conn;

	return id < other ? -1 : id > other;
}

static void serve(uv_check_t *check);

static void on_idle(uv_idle_t *idle)
{
	(void)idle;
}

void conns_init(struct conns *conns, struct uv_loop_s *loop, struct core *core, struct lanes *lanes)
{
	conns->loop = loop;
	conns->core = core;
	conns->lanes = lanes;
	conns->by_id = INDEX_INIT(compare_conn);
	tenants_init(&conns->tenants, core);
	conns->last_id = 0;
	conns->n_pods = conns->n_admins = 0;
	uv_check_init(loop, &conns->check);
	uv_idle_init(loop, &conns->idle);
	conns->check.data = conns->idle.data = conns;
	uv_check_start(&conns->check, serve);
	/* Alone they are no reason for the loop to go on. */
	uv_unref((uv_handle_t *)&conns->check);
	uv_unref((uv_handle_t *)&conns->idle);
}

/*
 * What it had sent before we ended it: nobody wants it, but its own end may be in it, and that
 * would never take what it is waited for to take.
 */
static void discard_one(struct conn *c)
{
	struct fdset fds = FDSET_INIT;
	size_t len;

	(void)!packet_take(c->peer.sock, MSG_DONTWAIT, c->conns->in, PACKET_MAX, &len, &fds);
	if (fds.n)
		conns_reap(c->conns, &fds, &c->peer);
}

/* @all: whether they have read or not. */
static void free_unread(struct conns *conns, bool all)
{
	struct conn **at = &conns->unread;

	while (*at) {
		struct conn *c = *at;

		if (!all && !outbox_is_read(&c->out, c->peer.sock)) {
			discard_one(c);
			at = &c->next;
			continue;
		}
		*at = c->next;
		conn_free(c);
	}
}

void conns_leave(struct conns *conns)
{
	free_unread(conns, true);
}

void conns_done(struct conns *conns)
{
	index_done(&conns->by_id);
	tenants_done(&conns->tenants);
}

/* ---- what is read next ---- */

void conns_read(struct conn *c)
{
	struct conns *conns = c->conns;

	if (!conn_may_read(c))
		return;
	if (c->peer.admin || (!conns->tenants.waiting && conns->at_once < AT_ONCE)) {
		conns->at_once++;
		conn_receive(c);
		return;
	}
	turn_want(&conns->tenants, c->tenant, &c->turn);
	uv_idle_start(&conns->idle, on_idle);
}

static void take_turns(struct conns *conns)
{
	uint64_t began, before, now;
	struct turn *turn;

	began = before = uv_hrtime();
	while (before - began < SERVE_NS && (turn = turn_next(&conns->tenants))) {
		struct conn *c = container_of(turn, struct conn, turn);
		struct tenant *t = c->tenant;

		c->hung_up = false;
		c->calls++; /* or it might be freed under us */
		if (conn_may_read(c))
			conn_receive(c);
		c->calls--;
		now = uv_hrtime();
		turn_took(t, now - before);
		before = now;
		if (c->state != CONN_CLOSED)
			conn_wait(c);
		conn_free_when_done(c);
	}
}

/* What it has to take is nothing any more, if it has read all. */
static void look_unread(struct conn *c)
{
	struct outbox before = c->out;

	if (!c->out.fds || !outbox_is_read(&c->out, c->peer.sock))
		return;
	c->out.fds = 0;
	conn_owe(c, before);
}

/* It came down from a limit, or may have: all its connections may be read again. */
static void see_to(void *arg, struct tenant *t)
{
	struct conns *conns = arg;
	struct conn *c, *behind;

	for (c = *tenant_conns(t); c && tenant_is_sated(&conns->tenants, t); c = c->next)
		look_unread(c);
	if (tenant_is_sated(&conns->tenants, t)) {
		metrics_limit(&conns->core->metrics, LIMIT_FDS_PER_NETNS);
		return;
	}
	for (c = *tenant_conns(t); c; c = behind) {
		behind = c->next;
		if (c->watched)
			conn_wait(c);
	}
}

static void serve(uv_check_t *check)
{
	struct conns *conns = check->data;

	hold_begin("turns");
	conns->at_once = conns->told = 0;
	tenants_see_to(&conns->tenants, see_to, conns);
	if (turns_are(&conns->tenants))
		take_turns(conns);
	if (!conns->tenants.waiting && !conns->tenants.due)
		uv_idle_stop(&conns->idle);
}

/* ---- what they share ---- */

void conns_due(struct conns *conns, struct tenant *t)
{
	if (uv_is_closing((uv_handle_t *)&conns->idle))
		return; /* nobody is read any more */
	tenant_due(&conns->tenants, t);
	uv_idle_start(&conns->idle, on_idle);
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
	if ((conns->told++ < TELL_AT_ONCE ? conn_send(c, buf, len, NULL)
					  : conn_send_later(c, buf, len)) &&
	    conn_poll(c)) {
		metrics_count(&conns->core->metrics, TALLY_EVENTS_SENT);
	} else {
		metrics_count(&conns->core->metrics, TALLY_EVENTS_DROPPED);
		(void)shutdown(c->peer.sock, SHUT_RDWR);
	}
}

/* ---- what they leave behind ---- */

/* Can be the last close of anything, a gigabyte of memory or a packet full of more descriptors. */
struct remains {
	struct conns *conns;
	struct tenant *tenant;
	struct conn *conn; /* whose socket it is; NULL: what it has sent */
	uint32_t n;
	struct fdset fds;
};

static void clear_away(void *arg)
{
	dispose(&((struct remains *)arg)->fds);
}

static void disposed(void *arg)
{
	struct remains *r = arg;

	if (r->conn)
		conn_forget(r->conn);
	if (tenant_rid(&r->conns->tenants, r->tenant, r->n))
		conns_due(r->conns, r->tenant);
	free(r);
}

typedef bool add_work(struct lanes *lanes, void (*work)(void *arg), void (*done)(void *arg),
		      void *arg);

/* Return: NULL, there is no memory, and it was done at once: rather late than leaked. */
static struct remains *leave_behind(struct conns *conns, struct fdset *fds, add_work *add)
{
	struct remains here = { .conns = conns, .n = fdset_left(fds) }, *r = malloc(sizeof(*r));

	fdset_move(&here.fds, fds);
	if (r) {
		*r = here;
		if (add(conns->lanes, clear_away, disposed, r))
			return r;
		free(r);
	}
	dispose(&here.fds);
	return NULL;
}

static void reap(struct conns *conns, struct fdset *fds, const struct peer *from, add_work *add)
{
	struct remains *r = fdset_left(fds) ? leave_behind(conns, fds, add) : NULL;

	fds->n = 0;
	if (r)
		r->tenant = tenant_leaves(&conns->tenants, from, r->n);
}

void conns_reap(struct conns *conns, struct fdset *fds, const struct peer *from)
{
	reap(conns, fds, from, lanes_dispose);
}

void conns_reap_conn(struct conn *c)
{
	struct fdset fds = FDSET_INIT;
	struct remains *r;

	(void)!fdset_add(&fds, steal_fd(&c->peer.sock));
	r = leave_behind(c->conns, &fds, lanes_hang_up);
	if (r)
		r->conn = c;
	else
		conn_forget(c);
}

/* ---- the beginning of one ---- */

/* The namespace in which the *client* made its socket, not the one of whoever holds it now. */
static bool identify(const struct conns *conns, struct peer *peer)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(peer->sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		log_error("cannot tell who connects: %s", strerror(errno));
		return false;
	}
	peer->pid = cred.pid;
	peer->uid = cred.uid;
	len = sizeof(peer->cookie);
	if (getsockopt(peer->sock, SOL_SOCKET, SO_NETNS_COOKIE, &peer->cookie, &len) < 0) {
		log_error("cannot tell from which namespace pid %d connects: %s", (int)peer->pid,
			  strerror(errno));
		return false;
	}
	peer->stranger = !lease_next_of_netns(conns->core, peer->cookie, NULL);
	return true;
}

static bool may_connect(struct conns *conns, const struct peer *peer, struct tenant **out)
{
	uint32_t most = conns->core->limits.connections;
	const char *why = NULL;

	if (peer->admin && peer->uid != 0 && peer->uid != geteuid()) {
		log_warning(
			"pid %d of uid %u on the admin socket: refused, it is for root and xskd's own user",
			(int)peer->pid, peer->uid);
		return false;
	}
	if ((peer->admin ? conns->n_admins : conns->n_pods) >= most) {
		metrics_limit(&conns->core->metrics, LIMIT_CONNECTIONS);
		if (audit_may(conns->core->audit, peer))
			log_warning(
				"more than %u connections (limits.connections): pid %d of uid %u refused",
				most, (int)peer->pid, peer->uid);
		return false;
	}
	*out = peer->admin ? NULL : tenant_join(&conns->tenants, peer, &why);
	if (!peer->admin && !*out) {
		if (audit_may(conns->core->audit, peer))
			log_warning("pid %d of uid %u in network namespace %llu refused: %s",
				    (int)peer->pid, peer->uid, (unsigned long long)peer->cookie,
				    why);
		return false;
	}
	return true;
}

/* It may have sent something already. */
static void turn_away(struct conns *conns, const struct peer *peer)
{
	struct fdset fds = FDSET_INIT;

	metrics_count(&conns->core->metrics,
		      peer->admin ? TALLY_TURNED_AWAY_ADMIN : TALLY_TURNED_AWAY_POD);
	(void)shutdown(peer->sock, SHUT_RDWR); /* from here on nothing comes */
	if (!conn_has_unread(peer->sock))
		close(peer->sock);
	else if (fdset_add(&fds, peer->sock) > 0)
		reap(conns, &fds, peer, lanes_hang_up);
}

void conn_refuse(struct conns *conns, int fd, bool admin)
{
	struct peer peer = { .sock = fd, .admin = admin };

	(void)identify(conns, &peer); /* so that it is his, what he has sent */
	turn_away(conns, &peer);
}

void conn_new(struct conns *conns, int fd, bool admin)
{
	struct peer peer = { .sock = fd, .admin = admin };
	struct tenant *tenant;
	struct conn *c;

	if (!identify(conns, &peer) || !may_connect(conns, &peer, &tenant)) {
		turn_away(conns, &peer);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (!c || index_reserve(&conns->by_id, 1) < 0) {
		free(c);
		tenant_leave(&conns->tenants, tenant);
		turn_away(conns, &peer);
		return;
	}
	c->conns = conns;
	c->tenant = tenant;
	outbox_init(&c->out);
	c->peer = peer;
	c->peer.conn = ++conns->last_id;
	if (tenant)
		conn_link(c, tenant_conns(tenant));
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
	conns_read(c);
	c->calls--;
	conn_wait(c);
	conn_free_when_done(c);
}

/* ---- all of them ---- */

bool conns_has(const struct conns *conns, uint64_t cookie)
{
	for (size_t i = 0; i < conns->by_id.n; i++) {
		const struct conn *c = conns->by_id.at[i];

		if (!c->peer.admin && c->peer.cookie == cookie)
			return true;
	}
	return false;
}

/*
 * It does not take its replies, so we do not read what it sends. Its own end may be in that, and
 * then it would look alive for ever, and its network namespace with it.
 */
static bool is_deaf(struct conn *c)
{
	bool waits = c->out.first || (c->out.fds && tenant_is_sated(&c->conns->tenants, c->tenant));

	c->deaf = waits ? c->deaf + 1 : 0;
	if (c->deaf <= DEAF_S)
		return false;
	if (audit_may(c->conns->core->audit, &c->peer))
		log_warning("connection %llu (pid %d) has taken nothing of what waits for it for "
			    "%d s: ending it; a client has to read its replies and events",
			    (unsigned long long)c->peer.conn, (int)c->peer.pid, DEAF_S);
	return true;
}

void conns_tick(struct conns *conns)
{
	tenants_tick(&conns->tenants);
	free_unread(conns, false);
	for (size_t i = 0; i < conns->by_id.n; i++) {
		struct conn *c = conns->by_id.at[i];

		if (tenant_is_sated(&conns->tenants, c->tenant))
			look_unread(c);
	}
	/* All of them: whatever it was that a tenant came down from. */
	for (size_t i = conns->by_id.n; i--;) {
		struct conn *c = conns->by_id.at[i];

		if (is_deaf(c)) {
			conn_close(c, "takes nothing");
			conn_free_when_done(c);
		} else if (c->watched) {
			conn_wait(c);
		}
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

		if (c->calls || c->out.first)
			return false;
	}
	return true;
}

void conns_close(struct conns *conns)
{
	while (conns->by_id.n)
		conn_close(conns->by_id.at[conns->by_id.n - 1], "the daemon ends");
	uv_close((uv_handle_t *)&conns->check, NULL);
	uv_close((uv_handle_t *)&conns->idle, NULL);
}
