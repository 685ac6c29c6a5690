/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What daemon and gate say to each other, on pairs of SOCK_SEQPACKET sockets: a packet is one
 * request or one reply, of fixed size, with its fds. Nothing in it has come from a tenant but the
 * fd of a namespace, that the kernel itself took from the tenant's connection.
 */
#ifndef XSKD_GATE_SERVE_H
#define XSKD_GATE_SERVE_H

#include "gate.h"

enum gate_op {
	GATE_SOCKETS = 1, /* fds: namespace, or none -> sockets */
	GATE_LINK,        /* fds: program, namespace or none -> link */
	GATE_PROGRAM,     /* no fds -> GATE_PROGRAM_FDS */
	GATE_HOLDER,      /* no fds */
};

struct gate_request {
	uint32_t op;
	uint32_t kind;    /* GATE_SOCKETS */
	uint32_t n;       /* ... so many; GATE_PROGRAM: queues */
	uint32_t ifindex; /* GATE_LINK, GATE_HOLDER */
	uint32_t flags;   /* GATE_LINK */
	uint32_t program; /* GATE_HOLDER */
};

struct gate_reply {
	int32_t err; /* 0, or a negative errno; then there are no fds */
	struct gate_holder holder;
};

/*
 * gate_serve() - answer the requests that come in on @channel.
 * @home: the thread's own namespace; it is back there after each request.
 * Return: 0 when the other end was closed. Negative: it sent what is no request. Such a daemon is
 * out of its mind, or not its own master any more: it gets no second try.
 */
int gate_serve(int channel, int home) must_check;

#endif
