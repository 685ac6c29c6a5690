// SPDX-License-Identifier: Apache-2.0
#include "link.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "deadline.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define DEFAULT_TIMEOUT_MS 5000
#define RESTART_MS         10000 /* so long at most a daemon is waited for that was there once */

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

void link_hang_up(struct xskd *x)
{
	close_fdp(&x->fd);
	x->fd = -1;
	x->watch = 0;
}

int conn_garbled(struct xskd *x, const char *what)
{
	link_hang_up(x);
	return conn_fail(x, -EPROTO, "xskd at '%s' answered with %s; the connection is closed",
			 x->address.sun_path, what);
}

int link_timed_out(struct xskd *x)
{
	link_hang_up(x);
	return conn_fail(x, -ETIMEDOUT, "no answer from xskd at '%s' within %d ms",
			 x->address.sun_path, x->timeout_ms);
}

int link_ended(struct xskd *x)
{
	link_hang_up(x);
	return conn_fail(
		x, -ENOTCONN,
		"xskd at '%s' has closed the connection: it was restarted, there are too many "
		"connections, or its events were not read for long (its log says which)",
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
	else if (error == -EACCES && strstr(x->address.sun_path, "/admin/"))
		hint = ": only root may use the administrator's socket";
	else if (error == -EACCES)
		hint = ": this process may not use it: see its mode, its mount, and SELinux's log";
	return conn_fail(x, error, "cannot connect to '%s': %m%s", x->address.sun_path, hint);
}

static int dial(struct xskd *x, int64_t deadline)
{
	cleanup(close_fdp) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return conn_fail(x, -errno, "cannot make a socket: %m");
	/* A connect waits where the daemon's backlog is full; SO_SNDTIMEO bounds it (unix(7)). */
	for (;;) {
		int left = deadline_left_ms(deadline);

		if (left == 0)
			return link_timed_out(x);
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

static uint64_t cookie_of(int fd)
{
	socklen_t len = sizeof(uint64_t);
	uint64_t cookie = 0;

	/* Before Linux 5.14 there is none, and no daemon that could tell clients apart. */
	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

/* Its answer is taken in as it comes, and is the sign for whoever watches. */
static int watch_again(struct xskd *x)
{
	Xskd__WatchEventsRequest watch;
	Xskd__Request req = XSKD__REQUEST__INIT;

	if (!x->event_fn)
		return 0;
	xskd__watch_events_request__init(&watch);
	req.id = ++x->last_id;
	req.call_case = XSKD__REQUEST__CALL_WATCH_EVENTS;
	req.watch_events = &watch;
	xskd__request__pack(&req, x->packet);
	if (packet_send(x->fd, MSG_DONTWAIT, x->packet, xskd__request__get_packed_size(&req),
			NULL) != PACKET_OK)
		return link_ended(x);
	x->watch = req.id;
	x->resumed = true;
	return 0;
}

static int link_new(struct xskd *x)
{
	int r = dial(x, deadline_in(x->timeout_ms));

	if (r < 0)
		return r;
	x->opened = true;
	x->netns = cookie_of(x->fd);
	return watch_again(x);
}

int64_t link_patience(int64_t began, int64_t deadline)
{
	int64_t most = deadline_at(began, RESTART_MS);

	return most < deadline ? most : deadline;
}

int link_back(struct xskd *x, int64_t patience)
{
	const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
	int r;

	if (!x->opened)
		return conn_fail(x, -ENOTCONN, "not connected to xskd: reconnect");
	while ((r = dial(x, patience)) == -ECONNREFUSED || r == -ENOENT) {
		nanosleep(&pause, NULL);
		if (deadline_left_ms(patience) <= 1)
			return conn_fail(x, -ENOTCONN,
					 "xskd at '%s' has gone, and has not come back yet",
					 x->address.sun_path);
	}
	if (r < 0)
		return r;
	/* Who we are for the daemon depends on where this thread is now. */
	if (cookie_of(x->fd) != x->netns) {
		link_hang_up(x);
		return conn_fail(x, -ESTALE,
				 "this thread is in another network namespace than when it "
				 "connected to xskd: open a connection here");
	}
	x->error[0] = '\0'; /* what was said of the tries */
	return watch_again(x);
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

	return r < 0 ? r : link_new(x);
}

int link_begin(struct xskd *x)
{
	x->status = -1;
	x->asked_again = false;
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
	int r = link_begin(x);

	if (r < 0)
		return r;
	link_hang_up(x);
	/* A path that xskd_open() refused is no better now. */
	if (x->address.sun_family != AF_UNIX)
		return conn_fail(x, -EINVAL, "the path of xskd's socket is empty or too long");
	return link_new(x);
}

void xskd_close(struct xskd *x)
{
	if (!x)
		return;
	/* close(2) and no shutdown(2): in a child, the parent's connection must live. */
	link_hang_up(x);
	free(x->log);
	free(x);
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
