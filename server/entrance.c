// SPDX-License-Identifier: Apache-2.0
#include "entrance.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "conn.h"
#include "log.h"

#define ACCEPT_BATCH 64
#define SAY_MS       1000 /* from one line about a full house to the next */

static int make_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void say_full(struct entrance *e, int err)
{
	uint64_t now = uv_now(e->conns->loop);

	if (e->said && now - e->said < SAY_MS)
		return;
	e->said = now;
	if (err == EMFILE)
		log_error("no file descriptor is left: turning clients away");
	else
		log_error("cannot accept clients: %s: turning them away, or letting them wait",
			  strerrordesc_np(err));
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

	say_full(e, err);
	metrics_limit(metrics, LIMIT_OPEN_FILES);
	close_fdp(&e->spare);
	fd = accept4(r->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0) {
		metrics_count(metrics, r == &e->listeners[LISTEN_ADMIN] ? TALLY_TURNED_AWAY_ADMIN
									: TALLY_TURNED_AWAY_POD);
		close(fd);
	} else if (errno != EAGAIN) {
		uv_poll_stop(&r->poll);
		e->deaf = true;
	}
	e->spare = make_spare();
}

static void on_accept(uv_poll_t *poll, int status, int events)
{
	struct readable *r = poll->data;
	struct entrance *e = r->owner;

	(void)events;
	for (int i = 0; i < ACCEPT_BATCH && status == 0; i++) {
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
	}
}

void entrance_tick(struct entrance *e)
{
	for (size_t i = 0; i < LISTENERS && e->deaf; i++) {
		if (e->listeners[i].active)
			uv_poll_start(&e->listeners[i].poll, UV_READABLE, on_accept);
	}
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
