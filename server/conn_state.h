/* SPDX-License-Identifier: Apache-2.0 */
/* A connection as conn.c, what it does by itself, and conns.c, what they do together, know it. */
#ifndef XSKD_CONN_STATE_H
#define XSKD_CONN_STATE_H

#include "conn.h"
#include "outbox.h"

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

struct conn {
	uv_poll_t poll;
	struct conns *conns;
	struct tenant *tenant; /* NULL: an administrator's */
	struct peer peer;      /* peer.sock is ours; open until the last call has ended */
	uint32_t calls;        /* under way */
	/* There may be thousands that do nothing, so they are small. */
	enum conn_state state : 8;
	uint8_t events;   /* that the poll handle waits for */
	uint8_t deaf;     /* so many ticks it has taken nothing of what waits for it */
	bool gone;        /* the peer's end is closed, or ours */
	bool watched : 1; /* the poll handle is active or closing */
	bool hung_up : 1; /* while it waits for its turn: what it has sent is read nevertheless */
	struct turn turn;
	struct outbox out;
	struct conn *next; /* of its tenant, while it is open; then of those that are unread */
};

/* ---- conn.c ---- */

bool conn_may_read(const struct conn *c);

/* conn_has_unread() - closing it may block. */
bool conn_has_unread(int sock);

/* conn_receive() - the packet that is there, if one is. */
void conn_receive(struct conn *c);

/* conn_send() - @fds: stay the caller's, unless they had to be queued. Return: false, end it. */
bool conn_send(struct conn *c, const uint8_t *buf, size_t len, struct fdset *fds) must_check;

/* conn_send_later() - the same, as soon as the loop looks at its sockets again. */
bool conn_send_later(struct conn *c, const uint8_t *buf, size_t len) must_check;

/* conn_poll() - wait for what is wanted now. Return: false, the loop cannot wait for it. */
bool conn_poll(struct conn *c) must_check;

/* conn_wait() - the same, and end it where that fails. */
void conn_wait(struct conn *c);

/* conn_link() - it is in one list at a time; conn_unlink(): it is in this one. */
void conn_link(struct conn *c, struct conn **list);
void conn_unlink(struct conn *c, struct conn **list);

void conn_close(struct conn *c, const char *why);
void conn_free(struct conn *c);
void conn_forget(struct conn *c); /* its socket is closed */
void conn_free_when_done(struct conn *c);

/* conn_owe() - what its box holds has changed since @before: so much of it is the tenant's. */
void conn_owe(struct conn *c, struct outbox before);

/* ---- conns.c ---- */

/* conns_read() - there is a packet: read it, or have it wait for its turn. */
void conns_read(struct conn *c);

/*
 * conns_due() - the tenant came down from a limit, or was sent many descriptors and may have taken
 * them: see, once in this round of the loop, whether its connections may be read again.
 */
void conns_due(struct conns *conns, struct tenant *t);

/* conns_reap_conn() - close its socket on a worker, and forget it then: so long it counts. */
void conns_reap_conn(struct conn *c);

#endif
