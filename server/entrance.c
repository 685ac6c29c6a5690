// SPDX-License-Identifier: Apache-2.0
#include "entrance.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "conn.h"
#include "hold.h"
#include "log.h"

/*
 * For so long clients are let in before the loop looks at its sockets again: who connects over and
 * over shall not make those wait who are in. (64 at a time took a millisecond and more.)
 */
#define ACCEPT_NS 100000
#define SAY_MS    1000 /* from one line about a full house to the next */

/* A part of the descriptors that we may have; so few less, and there is room again. */
#define REFUSED_MAX  4096
#define REFUSED_LESS 256

static int make_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void say_full(struct entrance *e, const char *why)
{
	uint64_t now = uv_now(e->conns->loop);

	if (e->said && now - e->said < SAY_MS)
		return;
	e->said = now;
	log_error("cannot accept clients: %s: turning them away, or letting them wait", why);
}

/*
 * With no descriptor left, accept fails while the client still waits, and the loop would be woken
 * for it for ever. So one is kept in reserve, to accept with it and hang up at once. Where even
 * that fails (it is the system's table that is full, or memory), clients wait, and the loop does
 * not look at them before the next tick.
 */
static void turn_away(struct readable *r, int err)
{
	struct entrance *e = r->owner;
	struct metrics *metrics = &e->conns->core->metrics;
	int fd;

	say_full(e, err == EMFILE ? "no file descriptor is left" : strerrordesc_np(err));
	metrics_limit(metrics, LIMIT_OPEN_FILES);
	close_fdp(&e->spare);
	fd = accept4(r->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		conn_refuse(e->conns, fd, r == &e->listeners[LISTEN_ADMIN]);
	} else if (errno != EAGAIN) {
		uv_poll_stop(&r->poll);
		e->deaf = true;
	}
	e->spare = make_spare();
}

/*
 * Connections of pods that are refused are closed behind our back, and can come faster than that
 * goes. So they wait outside for a moment, before there is no descriptor left for anybody.
 */
static bool is_swamped(struct readable *r)
{
	struct entrance *e = r->owner;

	if (r == &e->listeners[LISTEN_ADMIN] || e->conns->lanes->hanging_up < REFUSED_MAX)
		return false;
	say_full(e, "too many that were refused are still to be closed");
	uv_poll_stop(&r->poll);
	e->swamped = true;
	return true;
}

static void on_accept(uv_poll_t *poll, int status, int events)
{
	struct readable *r = poll->data;
	struct entrance *e = r->owner;
	uint64_t until = uv_hrtime() + ACCEPT_NS;

	hold_begin("accept");
	(void)events;
	if (status < 0 || is_swamped(r))
		return;
	do {
		int fd = accept4(r->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			conn_new(e->conns, fd, r == &e->listeners[LISTEN_ADMIN]);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			   errno == ENOBUFS) {
			turn_away(r, errno);
			return;
		} else if (errno != ECONNABORTED && errno != EINTR) {
			return;
		}
	} while (uv_hrtime() < until);
}

static void listen_again(struct readable *r)
{
	if (r->active)
		uv_poll_start(&r->poll, UV_READABLE, on_accept);
}

void entrance_turn(struct entrance *e)
{
	if (!e->swamped || e->conns->lanes->hanging_up > REFUSED_MAX - REFUSED_LESS)
		return;
	e->swamped = false;
	listen_again(&e->listeners[LISTEN_POD]);
}

void entrance_tick(struct entrance *e)
{
	for (size_t i = 0; i < LISTENERS && e->deaf; i++)
		listen_again(&e->listeners[i]);
	e->deaf = false;
	if (e->spare < 0)
		e->spare = make_spare();
}

void entrance_init(struct entrance *e, struct conns *conns)
{
	*e = (struct entrance){ .conns = conns, .spare = make_spare() };
	for (size_t i = 0; i < LISTENERS; i++)
		e->listeners[i] = READABLE_INIT;
}

int entrance_open(struct entrance *e, const int fds[LISTENERS], struct fault *fault)
{
	int err = 0;

	for (size_t i = 0; i < LISTENERS; i++) {
		if (err < 0)
			close(fds[i]);
		else
			err = readable_start(&e->listeners[i], e->conns->loop, fds[i], on_accept, e,
					     fault);
	}
	return err;
}

void entrance_close(struct entrance *e)
{
	for (size_t i = 0; i < LISTENERS; i++)
		readable_stop(&e->listeners[i]);
}

void entrance_done(struct entrance *e)
{
	close_fdp(&e->spare);
}
