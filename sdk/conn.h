/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection behind a struct xskd, as the other files of libxskd use it: one function that
 * makes a call, and the reply with its fds as one value.
 */
#ifndef XSKD_SDK_CONN_H
#define XSKD_SDK_CONN_H

#include "fdset.h"
#include "packet.h"
#include "xskd.h"
#include "xskd.pb-c.h"

/* A reply, and those of its fds that nobody has taken. */
struct reply {
	Xskd__Reply *msg;
	struct fdset fds;
};

#define REPLY_INIT ((struct reply){ .msg = NULL })

/* reply_done() - free the message, close the fds that are left. */
void reply_done(struct reply *reply);

/*
 * conn_call() - send @req and wait for its answer; id and timeout are filled in here.
 * @fds: sent along, still the caller's afterwards; may be NULL.
 * @want: the kind of result; any other is a broken daemon.
 * @out: for reply_done().
 * Return: 0, or a negative errno with its text in @x.
 */
int conn_call(struct xskd *x, Xskd__Request *req, const struct fdset *fds,
	      Xskd__Reply__ResultCase want, struct reply *out) must_check;

/*
 * conn_asked_again() - whether the last call's answer was lost and it was asked a second time, so
 * that the answer that came may be due to the first.
 */
bool conn_asked_again(const struct xskd *x);

/* conn_fail() - set the text of a failure, "%m" being that of @error. Return: @error. */
int conn_fail(struct xskd *x, int error, const char *fmt, ...) printf_like(3, 4);

/* conn_garbled() - what came is not what the protocol promises: hang up. Return: -EPROTO. */
int conn_garbled(struct xskd *x, const char *what);

/*
 * conn_take_fd() - the fd that a field of @reply names; the caller owns it.
 * Return: 0 or, when the packet did not bring it, -EPROTO.
 */
int conn_take_fd(struct xskd *x, struct reply *reply, uint32_t place, int *out_fd) must_check;

#endif
