/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client's connection: who it is, its packets in, its packets out. It answers to nobody but the
 * server that accepted it; what a packet means is call.c's business.
 */
#ifndef XSKD_CONN_H
#define XSKD_CONN_H

#include <uv.h>

#include "call.h"
#include "lane.h"
#include "tenant.h"

struct conn;

/* What all connections of a server share. */
struct conns {
	struct uv_loop_s *loop;
	struct core *core;
	struct lanes *lanes;
	struct index by_id;
	struct tenants tenants;
	uv_check_t check;     /* after each look at the sockets packets get their turn */
	uv_idle_t idle;       /* active while packets wait: the loop must not sleep */
	struct conn *unread;  /* ended, but their peers have descriptors to take */
	unsigned int at_once; /* packets that were read in this round, without waiting */
	unsigned int told;    /* events that were sent in it */
	uint64_t last_id;
	uint32_t n_pods, n_admins;
	uint8_t in[PACKET_MAX], out[PACKET_MAX]; /* of the loop thread: one packet at a time */
};

void conns_init(struct conns *conns, struct uv_loop_s *loop, struct core *core,
		struct lanes *lanes);
/* conns_leave() - nobody is waited for any more; the loop goes on for as long as that takes. */
void conns_leave(struct conns *conns);
void conns_done(struct conns *conns);

/* conn_new() - take over an accepted, non-blocking socket; answers a request that came with it. */
void conn_new(struct conns *conns, int fd, bool admin);

/* conn_refuse() - end an accepted socket that we have no room for. */
void conn_refuse(struct conns *conns, int fd, bool admin);

/* conns_event() - send an event to a watcher, if it is still there. */
void conns_event(struct conns *conns, const struct watcher *to, const Xskd__Event *event);

/* conns_reap() - close, on a worker, what a client has sent. */
void conns_reap(struct conns *conns, struct fdset *fds, const struct peer *from);

/* conns_has() - whether that network namespace has a connection. */
bool conns_has(const struct conns *conns, uint64_t cookie);

/* conns_tick() - a second has passed: pods have their calls of a second again. */
void conns_tick(struct conns *conns);

/* conns_stop() - take in no more packets, but send what is owed. */
void conns_stop(struct conns *conns);

/* conns_idle() - no connection has a call under way or a packet to send. */
bool conns_idle(const struct conns *conns);

/* conns_close() - end them all. */
void conns_close(struct conns *conns);

#endif
