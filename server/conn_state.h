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
	enum conn_state state;
	bool watched;   /* the poll handle is active or closing */
	int events;     /* that the poll handle waits for */
	uint32_t calls; /* under way */
	struct turn turn;
	bool hung_up; /* while it waits for its turn: what it has sent is read nevertheless */
	struct outbox out;
	struct conn *next; /* of those that are unread */
};

/* ---- conn.c ---- */

bool conn_may_read(const struct conn *c);

/* conn_receive() - the packet that is there, if one is. */
void conn_receive(struct conn *c);

/* conn_send() - @fds: stay the caller's, unless they had to be queued. Return: false, end it. */
bool conn_send(struct conn *c, const uint8_t *buf, size_t len, struct fdset *fds) must_check;

/* conn_poll() - wait for what is wanted now. Return: false, the loop cannot wait for it. */
bool conn_poll(struct conn *c) must_check;

/* conn_wait() - the same, and end it where that fails. */
void conn_wait(struct conn *c);

void conn_close(struct conn *c, const char *why);
void conn_free(struct conn *c);
void conn_free_when_done(struct conn *c);

/* conn_owe() - what its box holds has changed since @before: so much of it is the tenant's. */
void conn_owe(struct conn *c, struct outbox before);

/* ---- conns.c ---- */

/* conns_read() - there is a packet: read it, or have it wait for its turn. */
void conns_read(struct conn *c);

/* conns_wait() - the tenant came down from its limit: all its connections may be read again. */
void conns_wait(struct conns *conns, const struct tenant *t);

/* conns_look_unread() - it was sent many descriptors: see how many it has taken. */
void conns_look_unread(struct conns *conns, struct tenant *t);

#endif
