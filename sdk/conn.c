// SPDX-License-Identifier: Apache-2.0
/*
 * One connection, one call at a time. What comes in between, events, is handed on; what belongs to
 * no call of ours is dropped with its fds.
 *
 * A call costs one sendmsg and one recvmsg: the wait for the first packet is bounded by
 * SO_RCVTIMEO, set once, and only a call that meets something else than its reply has to poll.
 */
#include "link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "deadline.h"
#include "status.h"

#define NO_WAIT_MS 20 /* for a connect that finds the daemon's backlog full */

void reply_done(struct reply *reply)
{
	if (reply->msg)
		xskd__reply__free_unpacked(reply->msg, NULL);
	reply->msg = NULL;
	fdset_done(&reply->fds);
}

/* ---- Calls ---------------------------------------------------------------------------------- */

/*
 * Never blocks in sendmsg(2), so that one wait serves for all deadlines.
 * @out_waited: time has passed; SO_RCVTIMEO is no longer what is left.
 */
static int send_request(struct xskd *x, const Xskd__Request *req, const struct fdset *fds,
			int64_t deadline, bool *out_waited)
{
	size_t size = xskd__request__get_packed_size(req);
	bool waited = false;

	if (size > sizeof(x->packet))
		return conn_fail(x, -EMSGSIZE,
				 "the request has %zu bytes, more than the %d of a packet: "
				 "shorten its texts and lists",
				 size, PACKET_MAX);
	xskd__request__pack(req, x->packet);
	for (;;) {
		int r = packet_send(x->fd, MSG_DONTWAIT, x->packet, size, fds);

		if (r == PACKET_OK)
			break;
		if (r == PACKET_EOF) {
			x->unread = true;
			return link_ended(x);
		}
		if (r < 0 && r != -EINTR)
			return conn_fail(x, r, "cannot send to xskd: %m");
		waited = true;
		if (!deadline_poll(x->fd, POLLOUT, deadline))
			return link_timed_out(x);
	}
	*out_waited = waited;
	return 0;
}

static int unpack(struct xskd *x, size_t len, struct reply *out)
{
	out->msg = xskd__reply__unpack(NULL, len, x->packet);
	return out->msg ? 0 : conn_garbled(x, "what is no reply");
}

/* What came has cost us fds that nobody can give back: a call that is made anew gets them. */
static int starved(struct xskd *x)
{
	link_hang_up(x);
	return conn_fail(x, -EMFILE,
			 "this process has no file descriptor left for those of xskd's answer: "
			 "close some or raise its limit (RLIMIT_NOFILE), then reconnect");
}

/* @whole: all of the timeout is left, so that SO_RCVTIMEO bounds the wait. */
static int receive(struct xskd *x, int64_t deadline, bool whole, struct reply *out)
{
	size_t len = 0;

	for (;;) {
		int r;

		errno = 0;
		r = packet_recv(x->fd, whole ? 0 : MSG_DONTWAIT, x->packet, sizeof(x->packet), &len,
				&out->fds);

		switch (r) {
		case PACKET_OK:
			return unpack(x, len, out);
		case PACKET_EOF:
			x->unread = errno == ECONNRESET; /* unix_release_sock() tells so */
			return link_ended(x);
		case PACKET_BAD:
			return conn_garbled(x, "a broken packet");
		case PACKET_SHORT:
			return starved(x);
		case PACKET_AGAIN:
			if (whole)
				return link_timed_out(x);
			break;
		case -EINTR:
			break;
		default:
			link_hang_up(x);
			return conn_fail(x, r, "cannot receive from xskd: %m");
		}
		whole = false;
		if (!deadline_poll(x->fd, POLLIN, deadline))
			return link_timed_out(x);
	}
}

/* From here on nothing is missed again, so what is looked up now stays right. */
static bool tell_of_gap(struct xskd *x)
{
	const struct xskd_event event = {
		.kind = XSKD_EVENT_RECONNECTED,
		.at = (uint64_t)time(NULL),
		.container = "",
		.interface = "",
		.message = "connected again: events may have been missed",
	};

	x->resumed = false;
	x->event_fn(&event, x->event_arg);
	return true;
}

/* Return: whether it was one. */
static bool take_event(struct xskd *x, const struct reply *reply)
{
	const Xskd__Reply *msg = reply->msg;

	if (!x->watch || msg->id != x->watch)
		return false;
	if (msg->result_case == XSKD__REPLY__RESULT_WATCH_EVENTS && x->resumed)
		return tell_of_gap(x);
	if (msg->result_case != XSKD__REPLY__RESULT_EVENT)
		return false;

	const Xskd__Event *e = msg->event;
	struct xskd_event event = {
		.kind = (enum xskd_event_kind)e->kind,
		.at = e->at,
		.container = e->container,
		.interface = e->interface,
		.message = e->message,
		.socket = e->socket,
		.queue = e->queue,
	};

	if (event.kind > XSKD_EVENT_DEVICE_CHANGED)
		event.kind = XSKD_EVENT_UNKNOWN;
	x->event_fn(&event, x->event_arg);
	return true;
}

static int judge(struct xskd *x, const Xskd__Reply *msg, Xskd__Reply__ResultCase want)
{
	const Xskd__Status *status = msg->status;
	int error = status_errno(status);

	x->status = status ? (int)status->code : 0;
	if (!error && msg->result_case != want)
		return conn_garbled(x, "another call's result");
	if (!error || !status)
		return 0;
	if (*status->log)
		x->log = strdup(status->log);
	/* As if we had seen it first: -ETIMEDOUT means one thing. */
	if (error == -ETIMEDOUT)
		link_hang_up(x);
	return conn_fail(x, error, "%s",
			 *status->message ? status->message : xskd_status_name(x->status));
}

/* One question, one answer; events in between. @waited: not all of the timeout is left. */
static int call_once(struct xskd *x, Xskd__Request *req, const struct fdset *fds,
		     Xskd__Reply__ResultCase want, int64_t deadline, bool waited, struct reply *out)
{
	bool had_to_wait = false;
	int r;

	req->id = ++x->last_id;
	r = send_request(x, req, fds, deadline, &had_to_wait);
	waited |= had_to_wait;
	while (r == 0) {
		cleanup(reply_done) struct reply reply = REPLY_INIT;

		r = receive(x, deadline, !waited, &reply);
		if (r < 0)
			break;
		if (reply.msg->id == req->id) {
			r = judge(x, reply.msg, want);
			if (r == 0) {
				out->msg = steal_ptr(&reply.msg);
				fdset_move(&out->fds, &reply.fds);
			}
			break;
		}
		take_event(x, &reply);
		waited = true;
		if (deadline_left_ms(deadline) == 0)
			r = link_timed_out(x);
	}
	return r;
}

/*
 * Whether the next daemon may be asked what the last one has perhaps done already. Not to load or
 * to unload, which are not the same twice; and the sockets of a BindSocket ended with its
 * connection.
 */
static bool may_ask_again(const struct xskd *x, const Xskd__Request *req)
{
	switch (req->call_case) {
	case XSKD__REQUEST__CALL_BIND_SOCKET:
		return false;
	case XSKD__REQUEST__CALL_LOAD_PROGRAM:
	case XSKD__REQUEST__CALL_UNLOAD_PROGRAM:
		return x->unread; /* nobody has seen it */
	default:
		return true;
	}
}

int conn_call(struct xskd *x, Xskd__Request *req, const struct fdset *fds,
	      Xskd__Reply__ResultCase want, struct reply *out)
{
	int64_t began = deadline_now(), deadline = deadline_at(began, x->timeout_ms);
	int64_t patience = link_patience(began, deadline);
	bool back = x->fd < 0;
	int r = link_begin(x);

	if (r == 0 && back)
		r = link_back(x, patience);
	if (r < 0)
		return r;
	req->timeout_ms = x->timeout_ms < 0 ? 0 : (uint32_t)x->timeout_ms;
	x->unread = false;
	r = call_once(x, req, fds, want, deadline, back, out);
	/* More than once: a daemon that dies may let its listening socket take one more client in.
	 */
	while (r == -ENOTCONN && x->fd < 0 && may_ask_again(x, req) && deadline_left_ms(patience)) {
		x->asked_again |= !x->unread;
		x->unread = false;
		r = link_back(x, patience);
		if (r < 0)
			break;
		r = call_once(x, req, fds, want, deadline, true, out);
	}
	return r;
}

bool conn_asked_again(const struct xskd *x)
{
	return x->asked_again;
}

int conn_take_fd(struct xskd *x, struct reply *reply, uint32_t place, int *out_fd)
{
	int fd = fdset_take(&reply->fds, place);

	if (fd < 0)
		return conn_garbled(x, "a descriptor missing");
	*out_fd = fd;
	return 0;
}

/* ---- Events --------------------------------------------------------------------------------- */

int xskd_watch(struct xskd *x, xskd_event_fn fn, void *arg)
{
	cleanup(reply_done) struct reply reply = REPLY_INIT;
	Xskd__WatchEventsRequest watch;
	Xskd__Request req = XSKD__REQUEST__INIT;
	int r = 0;

	if (!x->event_fn) {
		xskd__watch_events_request__init(&watch);
		req.call_case = XSKD__REQUEST__CALL_WATCH_EVENTS;
		req.watch_events = &watch;
		r = conn_call(x, &req, NULL, XSKD__REPLY__RESULT_WATCH_EVENTS, &reply);
		x->watch = req.id;
	} else if (!x->watch) {
		int64_t began = deadline_now();

		r = link_begin(x);
		if (r == 0)
			r = link_back(x, link_patience(began, deadline_at(began, x->timeout_ms)));
	}
	if (r < 0)
		return r;
	x->event_fn = fn;
	x->event_arg = arg;
	return 0;
}

/* The daemon may be back, or not yet: that is found out without waiting for it. */
static int dispatch_again(struct xskd *x)
{
	return x->event_fn ? link_back(x, deadline_in(NO_WAIT_MS))
			   : conn_fail(x, -ENOTCONN, "not connected to xskd: reconnect");
}

int xskd_dispatch(struct xskd *x)
{
	int events = 0;
	int r = link_begin(x);

	if (r == 0 && x->fd < 0)
		r = dispatch_again(x);
	if (r < 0)
		return r;
	for (;;) {
		cleanup(reply_done) struct reply reply = REPLY_INIT;
		size_t len = 0;

		r = packet_recv(x->fd, MSG_DONTWAIT, x->packet, sizeof(x->packet), &len,
				&reply.fds);
		if (r == PACKET_AGAIN)
			return events;
		if (r == PACKET_EOF)
			return link_ended(x);
		if (r == PACKET_BAD)
			return conn_garbled(x, "a broken packet");
		if (r == PACKET_SHORT)
			return starved(x);
		if (r == -EINTR)
			continue;
		if (r < 0) {
			link_hang_up(x);
			return conn_fail(x, r, "cannot receive from xskd: %m");
		}
		r = unpack(x, len, &reply);
		if (r < 0)
			return r;
		events += take_event(x, &reply);
	}
}
