// SPDX-License-Identifier: Apache-2.0
/*
 * One connection, one call at a time. What comes in between, events, is handed on; what belongs to
 * no call of ours is dropped with its fds.
 *
 * A call costs one sendmsg and one recvmsg: the wait for the first packet is bounded by
 * SO_RCVTIMEO, set once, and only a call that meets something else than its reply has to poll.
 */
#include "conn.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "deadline.h"
#include "status.h"

#define DEFAULT_TIMEOUT_MS 5000

struct xskd {
	int fd;             /* -1: not connected */
	unsigned int forks; /* when it was opened: another number now means, in a child */
	int timeout_ms;     /* negative: none */
	struct sockaddr_un address;
	uint64_t last_id;
	uint64_t watch; /* id of the WatchEvents call; 0: none */
	xskd_event_fn event_fn;
	void *event_arg;
	int status;
	char *log;
	char error[1024];
	uint8_t packet[PACKET_MAX]; /* the request, then whatever comes back */
};

/*
 * The one thing that libxskd knows of its process: how often it has been forked off. To ask
 * getpid(2) instead would be a system call more for each call, a hundredth of GetXskMap.
 */
static unsigned int forks;

static void count_fork(void)
{
	forks++;
}

__attribute__((constructor)) static void watch_forks(void)
{
	(void)pthread_atfork(NULL, NULL, count_fork); /* fails only for want of memory at start */
}

void reply_done(struct reply *reply)
{
	if (reply->msg)
		xskd__reply__free_unpacked(reply->msg, NULL);
	reply->msg = NULL;
	fdset_done(&reply->fds);
}

/* ---- Failures ------------------------------------------------------------------------------- */

int conn_fail(struct xskd *x, int error, const char *fmt, ...)
{
	va_list args;

	if (!x)
		return error;
	errno = -error;
	va_start(args, fmt);
	vsnprintf(x->error, sizeof(x->error), fmt, args);
	va_end(args);
	return error;
}

static void hang_up(struct xskd *x)
{
	close_fdp(&x->fd);
	x->fd = -1;
	x->watch = 0;
}

int conn_garbled(struct xskd *x, const char *what)
{
	hang_up(x);
	return conn_fail(x, -EPROTO, "xskd at '%s' answered with %s; the connection is closed",
			 x->address.sun_path, what);
}

static int timed_out(struct xskd *x)
{
	hang_up(x);
	return conn_fail(x, -ETIMEDOUT, "no answer from xskd at '%s' within %d ms",
			 x->address.sun_path, x->timeout_ms);
}

static int ended(struct xskd *x)
{
	hang_up(x);
	return conn_fail(x, -ENOTCONN,
			 "xskd at '%s' has closed the connection: was it restarted? Reconnect",
			 x->address.sun_path);
}

/* ---- Open and close ------------------------------------------------------------------------- */

static int set_timeout(int fd, int option, int timeout_ms)
{
	struct timeval t = { 0 };

	if (timeout_ms > 0) {
		t.tv_sec = timeout_ms / 1000;
		t.tv_usec = timeout_ms % 1000 * 1000;
	}
	return setsockopt(fd, SOL_SOCKET, option, &t, sizeof(t)) < 0 ? -errno : 0;
}

static int set_address(struct xskd *x, const char *path)
{
	size_t len;

	if (!path)
		path = secure_getenv(XSKD_SOCKET_ENV);
	if (!path)
		path = XSKD_POD_SOCKET;
	if (!*path)
		return conn_fail(x, -EINVAL, "the path of xskd's socket is empty");
	len = strlen(path);
	if (len >= sizeof(x->address.sun_path))
		return conn_fail(x, -ENAMETOOLONG, "'%s' is too long for the path of a socket",
				 path);
	x->address.sun_family = AF_UNIX;
	memcpy(x->address.sun_path, path, len + 1);
	return 0;
}

static int refused(struct xskd *x, int error)
{
	const char *hint = "";

	if (error == -ENOENT)
		hint = ": is xskd running here, and its directory mounted in the container?";
	else if (error == -ECONNREFUSED)
		hint = ": is xskd running?";
	else if (error == -EACCES)
		hint = ": only root may use the administrator's socket";
	return conn_fail(x, error, "cannot connect to '%s': %m%s", x->address.sun_path, hint);
}

static int dial(struct xskd *x)
{
	cleanup(close_fdp) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int64_t deadline = deadline_in(x->timeout_ms);
	int r;

	if (fd < 0)
		return conn_fail(x, -errno, "cannot make a socket: %m");
	/* A connect waits where the daemon's backlog is full; SO_SNDTIMEO bounds it (unix(7)). */
	for (;;) {
		int left = deadline_left_ms(deadline);

		if (left == 0)
			return timed_out(x);
		r = set_timeout(fd, SO_SNDTIMEO, left);
		if (r < 0)
			return conn_fail(x, r, "cannot set a timeout: %m");
		if (connect(fd, (struct sockaddr *)&x->address, sizeof(x->address)) == 0)
			break;
		if (errno != EINTR && errno != EAGAIN)
			return refused(x, -errno);
	}
	r = set_timeout(fd, SO_RCVTIMEO, x->timeout_ms);
	if (r < 0)
		return conn_fail(x, r, "cannot set a timeout: %m");
	x->fd = steal_fd(&fd);
	return 0;
}

int xskd_open(const char *path, int timeout_ms, struct xskd **out)
{
	struct xskd *x = malloc(sizeof(*x));

	*out = x;
	if (!x)
		return -ENOMEM;
	memset(x, 0, offsetof(struct xskd, packet)); /* not 64 KiB for each short connection */
	x->fd = -1;
	x->status = -1;
	x->forks = forks;
	x->timeout_ms = timeout_ms ? timeout_ms : DEFAULT_TIMEOUT_MS;

	int r = set_address(x, path);

	return r < 0 ? r : dial(x);
}

/* The state of an earlier failure must not be taken for this call's. */
static int begin(struct xskd *x)
{
	x->status = -1;
	x->error[0] = '\0';
	free(steal_ptr(&x->log));
	if (x->forks != forks)
		return conn_fail(
			x, -ESTALE,
			"the connection belongs to the process that opened it: open one after "
			"the fork");
	return 0;
}

int xskd_reconnect(struct xskd *x)
{
	int r = begin(x);

	if (r < 0)
		return r;
	hang_up(x);
	/* A path that xskd_open() refused is no better now. */
	if (x->address.sun_family != AF_UNIX)
		return conn_fail(x, -EINVAL, "the path of xskd's socket is empty or too long");
	return dial(x);
}

void xskd_close(struct xskd *x)
{
	if (!x)
		return;
	/* close(2) and no shutdown(2): in a child, the parent's connection must live. */
	hang_up(x);
	free(x->log);
	free(x);
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
		if (r == PACKET_EOF)
			return ended(x);
		if (r < 0 && r != -EINTR)
			return conn_fail(x, r, "cannot send to xskd: %m");
		waited = true;
		if (!deadline_poll(x->fd, POLLOUT, deadline))
			return timed_out(x);
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
	hang_up(x);
	return conn_fail(x, -EMFILE,
			 "this process has no file descriptor left for those of xskd's answer: "
			 "close some or raise its limit (RLIMIT_NOFILE), then reconnect");
}

/* @whole: all of the timeout is left, so that SO_RCVTIMEO bounds the wait. */
static int receive(struct xskd *x, int64_t deadline, bool whole, struct reply *out)
{
	size_t len = 0;

	for (;;) {
		int r = packet_recv(x->fd, whole ? 0 : MSG_DONTWAIT, x->packet, sizeof(x->packet),
				    &len, &out->fds);

		switch (r) {
		case PACKET_OK:
			return unpack(x, len, out);
		case PACKET_EOF:
			return ended(x);
		case PACKET_BAD:
			return conn_garbled(x, "a broken packet");
		case PACKET_SHORT:
			return starved(x);
		case PACKET_AGAIN:
			if (whole)
				return timed_out(x);
			break;
		case -EINTR:
			break;
		default:
			hang_up(x);
			return conn_fail(x, r, "cannot receive from xskd: %m");
		}
		whole = false;
		if (!deadline_poll(x->fd, POLLIN, deadline))
			return timed_out(x);
	}
}

/* Return: whether it was one. */
static bool take_event(struct xskd *x, const struct reply *reply)
{
	const Xskd__Reply *msg = reply->msg;

	if (!x->watch || msg->id != x->watch || msg->result_case != XSKD__REPLY__RESULT_EVENT)
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
		hang_up(x);
	return conn_fail(x, error, "%s",
			 *status->message ? status->message : xskd_status_name(x->status));
}

int conn_call(struct xskd *x, Xskd__Request *req, const struct fdset *fds,
	      Xskd__Reply__ResultCase want, struct reply *out)
{
	int64_t deadline;
	bool waited = false;
	int r = begin(x);

	if (r < 0)
		return r;
	if (x->fd < 0)
		return conn_fail(x, -ENOTCONN, "not connected to xskd: reconnect");
	req->id = ++x->last_id;
	req->timeout_ms = x->timeout_ms < 0 ? 0 : (uint32_t)x->timeout_ms;
	deadline = deadline_in(x->timeout_ms);
	r = send_request(x, req, fds, deadline, &waited);
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
			r = timed_out(x);
	}
	return r;
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

	if (!x->watch) {
		xskd__watch_events_request__init(&watch);
		req.call_case = XSKD__REQUEST__CALL_WATCH_EVENTS;
		req.watch_events = &watch;

		int r = conn_call(x, &req, NULL, XSKD__REPLY__RESULT_WATCH_EVENTS, &reply);

		if (r < 0)
			return r;
		x->watch = req.id;
	}
	x->event_fn = fn;
	x->event_arg = arg;
	return 0;
}

int xskd_dispatch(struct xskd *x)
{
	int events = 0;
	int r = begin(x);

	if (r < 0)
		return r;
	if (x->fd < 0)
		return conn_fail(x, -ENOTCONN, "not connected to xskd: reconnect");
	for (;;) {
		cleanup(reply_done) struct reply reply = REPLY_INIT;
		size_t len = 0;

		r = packet_recv(x->fd, MSG_DONTWAIT, x->packet, sizeof(x->packet), &len,
				&reply.fds);
		if (r == PACKET_AGAIN)
			return events;
		if (r == PACKET_EOF)
			return ended(x);
		if (r == PACKET_BAD)
			return conn_garbled(x, "a broken packet");
		if (r == PACKET_SHORT)
			return starved(x);
		if (r == -EINTR)
			continue;
		if (r < 0) {
			hang_up(x);
			return conn_fail(x, r, "cannot receive from xskd: %m");
		}
		r = unpack(x, len, &reply);
		if (r < 0)
			return r;
		events += take_event(x, &reply);
	}
}

/* ---- What a connection can tell -------------------------------------------------------------- */

int xskd_fd(const struct xskd *x)
{
	return x->fd;
}

const char *xskd_error(const struct xskd *x)
{
	return x ? x->error : "out of memory";
}

const char *xskd_log(const struct xskd *x)
{
	return x && x->log ? x->log : "";
}

int xskd_status(const struct xskd *x)
{
	return x ? x->status : -1;
}

const char *xskd_version(void)
{
	return XSKD_VERSION;
}
