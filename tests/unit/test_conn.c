// SPDX-License-Identifier: Apache-2.0
/* The connection of libxskd against daemons of all sorts. */
#include "../support.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_daemon.h"
#include "xskd.h"

#define WAIT_MS 5000

/* A connection to a daemon that follows @script. */
static struct xskd *open_to(struct fake_daemon *d, fake_script *script, int timeout_ms)
{
	struct xskd *x = NULL;

	fake_start(d, script);
	assert_int_equal(xskd_open(d->path, timeout_ms, &x), 0);
	assert_true(is_cloexec(xskd_fd(x)));
	return x;
}

static int ask(struct xskd *x)
{
	struct xskd_info info;

	return xskd_get_info(x, &info);
}

/* Afterwards the connection is there and good, or gone and known to be. */
static void assert_alive(struct xskd *x)
{
	assert_int_equal(ask(x), 0);
	assert_string_equal(xskd_error(x), "");
	assert_int_equal(xskd_status(x), 0);
}

static void assert_gone(struct xskd *x)
{
	assert_int_equal(xskd_fd(x), -1);
	assert_int_equal(xskd_dispatch(x), -ENOTCONN); /* nobody watches: it does not come back */
	assert_int_equal(xskd_fd(x), -1);
	assert_int_equal(xskd_status(x), -1);
}

/* ---- Scripts -------------------------------------------------------------------------------- */

static void answer_well(struct fake_daemon *d, int conn, int nth)
{
	uint64_t id;

	(void)d;
	(void)nth;
	while ((id = fake_id(conn)))
		fake_info(conn, id);
}

static void send_fds(int conn, uint64_t id, unsigned int n, uint32_t place)
{
	Xskd__Reply reply = XSKD__REPLY__INIT;
	Xskd__GetXskMapReply map = XSKD__GET_XSK_MAP_REPLY__INIT;
	struct fdset fds = FDSET_INIT;

	map.map_fd = place;
	map.entries = 4;
	reply.id = id;
	reply.result_case = XSKD__REPLY__RESULT_GET_XSK_MAP;
	reply.get_xsk_map = &map;
	while (fds.n < n)
		fds.fd[fds.n++] = conn;
	fake_send(conn, &reply, &fds);
}

/* Replies to calls that nobody made, before and after the one that was. */
static void answer_others_too(struct fake_daemon *d, int conn, int nth)
{
	uint64_t id;

	(void)d;
	(void)nth;
	while ((id = fake_id(conn))) {
		fake_info(conn, id + 1000);
		send_fds(conn, id + 1001, 64, 1);
		fake_status(conn, 0, XSKD__CODE__INTERNAL, 0, "about no call");
		fake_event(conn, id + 1, XSKD__EVENT_KIND__EVENT_LINK_UP, 0);
		fake_info(conn, id);
		fake_info(conn, id);
	}
}

static void answer_late(struct fake_daemon *d, int conn, int nth)
{
	uint64_t id = fake_id(conn);

	if (nth == 0)
		usleep(500000);
	fake_info(conn, id);
	answer_well(d, conn, nth);
}

static void hang_up(struct fake_daemon *d, int conn, int nth)
{
	if (nth == 0)
		fake_id(conn);
	else
		answer_well(d, conn, nth);
}

static void answer_nonsense(struct fake_daemon *d, int conn, int nth)
{
	static uint8_t buf[PACKET_MAX + 1];
	struct fdset fds = { .n = 2, .fd = { conn, conn } };
	uint64_t id = fake_id(conn);

	(void)nth;
	memset(buf, 0xff, sizeof(buf));
	switch (d->value) {
	case 0: /* no message */
		(void)!packet_send(conn, 0, buf, 20, &fds);
		break;
	case 1: /* too long */
		(void)!packet_send(conn, 0, buf, sizeof(buf), &fds);
		break;
	case 2: /* empty, with fds */
		(void)!packet_send(conn, 0, buf, 0, &fds);
		break;
	case 3: /* another call's result */
		send_fds(conn, id, 3, 1);
		break;
	case 4: /* no result at all */
		fake_status(conn, id, XSKD__CODE__OK, 0, "");
		break;
	}
	fake_id(conn);
}

static void answer_with_status(struct fake_daemon *d, int conn, int nth)
{
	uint64_t id;

	(void)nth;
	while ((id = fake_id(conn)))
		fake_status(conn, id, (Xskd__Code)(d->value & 0xff), d->value >> 8, "mend it so");
}

static void watch_well(struct fake_daemon *d, int conn, int nth)
{
	Xskd__Reply reply = XSKD__REPLY__INIT;
	Xskd__WatchEventsReply watch = XSKD__WATCH_EVENTS_REPLY__INIT;

	(void)d;
	(void)nth;
	reply.id = fake_id(conn);
	reply.result_case = XSKD__REPLY__RESULT_WATCH_EVENTS;
	reply.watch_events = &watch;
	fake_send(conn, &reply, NULL);
	fake_event(conn, reply.id, XSKD__EVENT_KIND__EVENT_LINK_UP, 0);
	fake_event(conn, reply.id, XSKD__EVENT_KIND__EVENT_SOCKET_LOST, 7);

	uint64_t id = fake_id(conn);

	fake_event(conn, reply.id, XSKD__EVENT_KIND__EVENT_LINK_DOWN, 0);
	fake_event(conn, reply.id, (Xskd__EventKind)99, 0);
	fake_info(conn, id);
	/* And no answer, but events without end. */
	id = fake_id(conn);
	for (int i = 0; id && i < 200; i++) {
		fake_event(conn, reply.id, XSKD__EVENT_KIND__EVENT_LINK_UP, 0);
		usleep(10000);
	}
}

static void give_map(struct fake_daemon *d, int conn, int nth)
{
	uint64_t id;

	(void)nth;
	while ((id = fake_id(conn)))
		send_fds(conn, id, (unsigned int)d->value & 0xff, (uint32_t)d->value >> 8);
}

/* ---- Open and close ------------------------------------------------------------------------- */

static void open_says_what_is_wrong(void **state)
{
	char longer[200];
	struct xskd *x = NULL;

	(void)state;
	assert_int_equal(xskd_open("/nonexistent/sock", 100, &x), -ENOENT);
	assert_non_null(x);
	assert_non_null(strstr(xskd_error(x), "'/nonexistent/sock'"));
	assert_gone(x);
	assert_int_equal(xskd_reconnect(x), -ENOENT);
	xskd_close(x);

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(xskd_open(longer, 100, &x), -ENAMETOOLONG);
	assert_int_equal(xskd_reconnect(x), -EINVAL);
	xskd_close(x);
	assert_int_equal(xskd_open("", 100, &x), -EINVAL);
	xskd_close(x);
	xskd_close(NULL);
	assert_string_equal(xskd_error(NULL), "out of memory");
}

static void the_environment_names_the_socket(void **state)
{
	struct fake_daemon d = { 0 };
	struct xskd *x = NULL;

	(void)state;
	fake_start(&d, answer_well);
	setenv(XSKD_SOCKET_ENV, d.path, 1);
	assert_int_equal(xskd_open(NULL, WAIT_MS, &x), 0);
	unsetenv(XSKD_SOCKET_ENV);
	assert_alive(x);
	xskd_close(x);
	fake_stop(&d);
}

static void open_keeps_its_deadline(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	char dir[] = "/tmp/xskd-test-XXXXXX";
	struct xskd *full = NULL, *x = NULL;

	(void)state;
	/* A daemon that accepts nobody, whose backlog of one is taken. */
	assert_non_null(mkdtemp(dir));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock", dir);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(xskd_open(address.sun_path, 100, &full), 0);

	int64_t start = now_ms();

	assert_int_equal(xskd_open(address.sun_path, 100, &x), -ETIMEDOUT);
	assert_in_range(now_ms() - start, 95, 1000);
	xskd_close(x);
	xskd_close(full);
	close(listener);
	unlink(address.sun_path);
	rmdir(dir);
}

/* ---- Calls ---------------------------------------------------------------------------------- */

static void a_call_brings_its_answer(void **state)
{
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, answer_well, WAIT_MS);
	struct xskd_info info;

	(void)state;
	assert_int_equal(xskd_status(x), -1);
	assert_int_equal(xskd_get_info(x, &info), 0);
	assert_string_equal(info.version, "9.8.7");
	assert_int_equal(info.netns_cookie, 42);
	assert_int_equal(xskd_status(x), 0);
	xskd_close(x);
	fake_stop(&d);
}

static void no_timeout_is_none(void **state)
{
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, answer_late, -1);

	(void)state;
	assert_alive(x);
	xskd_close(x);
	fake_stop(&d);
}

static void other_replies_are_dropped_with_their_fds(void **state)
{
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, answer_others_too, WAIT_MS);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_alive(x);
	assert_int_equal(xskd_dispatch(x), 0);
	xskd_close(x);
	fake_stop(&d);
}

static void a_missed_deadline_ends_the_connection(void **state)
{
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, answer_late, 80);
	int64_t start = now_ms();

	(void)state;
	assert_int_equal(ask(x), -ETIMEDOUT);
	assert_in_range(now_ms() - start, 75, 490);
	assert_non_null(strstr(xskd_error(x), "within 80 ms"));
	assert_gone(x);
	/* The daemon is busy with the old connection for a while yet. */
	usleep(500000);
	assert_int_equal(xskd_reconnect(x), 0);
	assert_alive(x);
	xskd_close(x);
	fake_stop(&d);
}

static void the_end_of_the_daemon_is_told(void **state)
{
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, hang_up, WAIT_MS);

	(void)state;
	/* The second daemon is asked what the first has read, and not answered. */
	assert_alive(x);
	xskd_close(x);
	fake_stop(&d);
}

static void nonsense_ends_the_connection(void **state)
{
	(void)state;
	for (int kind = 0; kind < 5; kind++) {
		struct fake_daemon d = { .value = kind };
		struct xskd *x = open_to(&d, answer_nonsense, WAIT_MS);

		assert_int_equal(ask(x), -EPROTO);
		assert_string_not_equal(xskd_error(x), "");
		assert_gone(x);
		xskd_close(x);
		fake_stop(&d);
	}
}

static void statuses_become_errnos(void **state)
{
	static const struct {
		Xskd__Code code;
		int sys, error;
	} cases[] = {
		{ XSKD__CODE__CANCELLED, 0, -ECANCELED },
		{ XSKD__CODE__UNKNOWN, 0, -EIO },
		{ XSKD__CODE__INVALID_ARGUMENT, ENOSYS, -EINVAL },
		{ XSKD__CODE__NOT_FOUND, 0, -ENOENT },
		{ XSKD__CODE__ALREADY_EXISTS, 0, -EEXIST },
		{ XSKD__CODE__PERMISSION_DENIED, 0, -EACCES },
		{ XSKD__CODE__PERMISSION_DENIED, EPERM, -EPERM },
		{ XSKD__CODE__RESOURCE_EXHAUSTED, 0, -EDQUOT },
		{ XSKD__CODE__FAILED_PRECONDITION, 0, -EBUSY },
		{ XSKD__CODE__FAILED_PRECONDITION, EOPNOTSUPP, -EOPNOTSUPP },
		{ XSKD__CODE__ABORTED, 0, -EBUSY },
		{ XSKD__CODE__OUT_OF_RANGE, 0, -EINVAL },
		{ XSKD__CODE__UNIMPLEMENTED, 0, -EOPNOTSUPP },
		{ XSKD__CODE__INTERNAL, ENODEV, -ENODEV },
		{ XSKD__CODE__INTERNAL, 0, -EIO },
		{ XSKD__CODE__INTERNAL, 5000, -EIO },
		{ XSKD__CODE__UNAVAILABLE, 0, -EAGAIN },
		{ (Xskd__Code)77, 0, -EIO },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fake_daemon d = { .value = (int)cases[i].code | cases[i].sys << 8 };
		struct xskd *x = open_to(&d, answer_with_status, WAIT_MS);

		assert_int_equal(ask(x), cases[i].error);
		assert_string_equal(xskd_error(x), "mend it so");
		assert_string_equal(xskd_log(x), "the log");
		assert_int_equal(xskd_status(x), cases[i].code);
		/* A failed call ends nothing. */
		assert_int_equal(ask(x), cases[i].error);
		xskd_close(x);
		fake_stop(&d);
	}
	assert_string_equal(xskd_status_name(7), "PERMISSION_DENIED");
	assert_string_equal(xskd_status_name(0), "OK");
	assert_string_equal(xskd_status_name(77), "UNKNOWN");
	assert_string_equal(xskd_status_name(-1), "UNKNOWN");
}

static void the_daemons_deadline_is_ours(void **state)
{
	struct fake_daemon d = { .value = XSKD__CODE__DEADLINE_EXCEEDED };
	struct xskd *x = open_to(&d, answer_with_status, WAIT_MS);

	(void)state;
	assert_int_equal(ask(x), -ETIMEDOUT);
	assert_int_equal(xskd_status(x), XSKD__CODE__DEADLINE_EXCEEDED);
	assert_gone(x);
	xskd_close(x);
	fake_stop(&d);
}

static void fds_arrive_and_surplus_goes(void **state)
{
	struct fake_daemon d = { .value = 5 | 3 << 8 };
	struct xskd *x = open_to(&d, give_map, WAIT_MS);
	uint32_t entries = 0;
	int fd = -7;

	(void)state;
	assert_int_equal(xskd_get_xsk_map(x, "eth0", &fd, &entries), 0);
	assert_true(is_cloexec(fd));
	assert_int_equal(entries, 4);
	close(fd);
	/* A place without fd. */
	fd = -7;
	d.value = 2 | 3 << 8;
	assert_int_equal(xskd_get_xsk_map(x, "eth0", &fd, NULL), -EPROTO);
	assert_int_equal(fd, -7);
	assert_gone(x);
	xskd_close(x);
	fake_stop(&d);
}

static void too_long_a_request_stays_here(void **state)
{
	static char text[PACKET_MAX];
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, answer_well, WAIT_MS);

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(xskd_revoke_lease(x, text, NULL, NULL), -EMSGSIZE);
	assert_non_null(strstr(xskd_error(x), "65536"));
	assert_alive(x);
	xskd_close(x);
	fake_stop(&d);
}

/* ---- Signals and forks ---------------------------------------------------------------------- */

static volatile sig_atomic_t ticks;

static void tick(int sig)
{
	struct itimerval never = { 0 };

	(void)sig;
	if (++ticks == 100)
		setitimer(ITIMER_REAL, &never, NULL);
}

/* A profiler's timer must not put off the deadline with each tick. */
static void signals_do_not_stretch_a_deadline(void **state)
{
	struct sigaction action = { .sa_handler = tick }, before;
	struct itimerval often = { { 0, 20000 }, { 0, 20000 } }, never = { 0 };
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, answer_late, 100);
	sigset_t alarm;

	(void)state;
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	sigaction(SIGALRM, &action, &before);
	ticks = 0;
	setitimer(ITIMER_REAL, &often, NULL);

	int64_t start = now_ms();
	int r = ask(x);

	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &before, NULL);
	assert_int_equal(r, -ETIMEDOUT);
	assert_in_range(now_ms() - start, 95, 490);
	xskd_close(x);
	fake_stop(&d);
}

static void a_child_can_only_close(void **state)
{
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, answer_well, WAIT_MS);
	struct xskd_info info;
	int status;

	(void)state;
	assert_alive(x);

	pid_t child = fork();

	if (child == 0) {
		bool good = xskd_get_info(x, &info) == -ESTALE && *xskd_error(x) &&
			    xskd_dispatch(x) == -ESTALE && xskd_reconnect(x) == -ESTALE;

		xskd_close(x);
		_exit(good ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_alive(x);
	xskd_close(x);
	fake_stop(&d);
}

/* ---- Events --------------------------------------------------------------------------------- */

struct seen {
	int n, lost, unknown;
};

static void see(const struct xskd_event *event, void *arg)
{
	struct seen *seen = arg;

	seen->n++;
	seen->unknown += event->kind == XSKD_EVENT_UNKNOWN;
	if (event->kind == XSKD_EVENT_SOCKET_LOST && event->socket == 7 &&
	    strcmp(event->interface, "eth0") == 0)
		seen->lost++;
}

static void events_come_at_any_time(void **state)
{
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, watch_well, 300);
	struct seen seen = { 0 };
	int n = 0;

	(void)state;
	assert_int_equal(xskd_watch(x, see, &seen), 0);
	/* By itself, */
	while (n < 2) {
		struct pollfd p = { .fd = xskd_fd(x), .events = POLLIN };

		assert_int_equal(poll(&p, 1, WAIT_MS), 1);

		int r = xskd_dispatch(x);

		assert_true(r >= 0);
		n += r;
	}
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.lost, 1);
	assert_int_equal(xskd_dispatch(x), 0);
	/* before a reply, */
	assert_alive(x);
	assert_int_equal(seen.n, 4);
	assert_int_equal(seen.unknown, 1);

	/* and instead of one: they do not put off the deadline. */
	int64_t start = now_ms();

	assert_int_equal(ask(x), -ETIMEDOUT);
	assert_in_range(now_ms() - start, 295, 600);
	assert_true(seen.n > 10);
	assert_int_equal(xskd_fd(x), -1);
	xskd_close(x);
	fake_stop(&d);
}

static void a_watch_is_asked_for_again(void **state)
{
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, hang_up, WAIT_MS);
	struct seen seen = { 0 };

	(void)state;
	/* It is asked again of the next daemon, that answers anything with GetInfo's reply. */
	assert_int_equal(xskd_watch(x, see, &seen), -EPROTO);
	assert_int_equal(seen.n, 0);
	xskd_close(x);
	fake_stop(&d);
}

/* ---- A daemon that is restarted -------------------------------------------------------------- */

/* Odd connections are good ones; the end of the others comes at the worst moments. */
static void die_and_come_back(struct fake_daemon *d, int conn, int nth)
{
	struct fdset fds = FDSET_INIT;
	Xskd__Request *req;
	uint64_t id;

	while ((req = fake_receive(conn, &fds))) {
		Xskd__Reply reply = XSKD__REPLY__INIT;
		Xskd__WatchEventsReply watch = XSKD__WATCH_EVENTS_REPLY__INIT;
		bool watches = req->call_case == XSKD__REQUEST__CALL_WATCH_EVENTS;

		fdset_done(&fds);
		id = req->id;
		if (req->call_case == XSKD__REQUEST__CALL_LOAD_PROGRAM)
			d->value++;
		xskd__request__free_unpacked(req, NULL);
		if (watches) {
			reply.id = id;
			reply.result_case = XSKD__REPLY__RESULT_WATCH_EVENTS;
			reply.watch_events = &watch;
			fake_send(conn, &reply, NULL);
		} else if (nth % 2 == 0) {
			return;
		} else {
			fake_info(conn, id);
		}
	}
}

struct gaps {
	int events, gaps;
};

static void count_gaps(const struct xskd_event *event, void *arg)
{
	struct gaps *gaps = arg;

	gaps->events++;
	gaps->gaps += event->kind == XSKD_EVENT_RECONNECTED;
	assert_true(*event->message);
}

static void the_next_daemon_is_asked_again(void **state)
{
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, die_and_come_back, WAIT_MS);
	struct gaps gaps = { 0 };

	(void)state;
	assert_int_equal(xskd_watch(x, count_gaps, &gaps), 0);
	assert_alive(x); /* the first connection ended */
	assert_int_equal(gaps.gaps, 1);
	assert_alive(x);
	assert_int_equal(gaps.events, 1);
	xskd_close(x);
	fake_stop(&d);
}

/* It has been read, and may have been done: only whoever asked can tell what that means. */
static void what_is_not_the_same_twice_is_not_asked_again(void **state)
{
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, die_and_come_back, WAIT_MS);
	struct xskd_program program;

	(void)state;
	assert_int_equal(xskd_load_program(x, "eth0", NULL, &program), -ENOTCONN);
	assert_gone(x);
	assert_alive(x);
	assert_int_equal(d.value, 1);
	xskd_close(x);
	fake_stop(&d);
}

static void a_daemon_that_stays_away_is_not_waited_for_longer_than_the_call(void **state)
{
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, hang_up, 300);
	char aside[120];
	int64_t start = now_ms();

	(void)state;
	snprintf(aside, sizeof(aside), "%s.away", d.path);
	assert_int_equal(rename(d.path, aside), 0);
	assert_int_equal(ask(x), -ENOTCONN);
	assert_in_range(now_ms() - start, 250, 2000);
	assert_non_null(strstr(xskd_error(x), "not come back yet"));
	assert_int_equal(rename(aside, d.path), 0);
	assert_alive(x);
	xskd_close(x);
	fake_stop(&d);
}

static void dispatch_comes_back_without_waiting(void **state)
{
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, die_and_come_back, WAIT_MS);
	struct gaps gaps = { 0 };
	char aside[120];
	int64_t start;

	(void)state;
	assert_int_equal(xskd_watch(x, count_gaps, &gaps), 0);
	snprintf(aside, sizeof(aside), "%s.away", d.path);
	assert_int_equal(rename(d.path, aside), 0);
	shutdown(xskd_fd(x), SHUT_RDWR); /* as if the daemon had */
	assert_int_equal(xskd_dispatch(x), -ENOTCONN);
	start = now_ms();
	assert_int_equal(xskd_dispatch(x), -ENOTCONN);
	assert_in_range(now_ms() - start, 0, 200);
	assert_int_equal(rename(aside, d.path), 0);
	assert_true(xskd_dispatch(x) >= 0);
	while (!gaps.gaps) {
		struct pollfd p = { .fd = xskd_fd(x), .events = POLLIN };

		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		assert_true(xskd_dispatch(x) >= 0);
	}
	xskd_close(x);
	fake_stop(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fd_test(open_says_what_is_wrong),
		fd_test(the_environment_names_the_socket),
		fd_test(open_keeps_its_deadline),
		fd_test(a_call_brings_its_answer),
		fd_test(no_timeout_is_none),
		fd_test(other_replies_are_dropped_with_their_fds),
		fd_test(a_missed_deadline_ends_the_connection),
		fd_test(the_end_of_the_daemon_is_told),
		fd_test(nonsense_ends_the_connection),
		fd_test(statuses_become_errnos),
		fd_test(the_daemons_deadline_is_ours),
		fd_test(fds_arrive_and_surplus_goes),
		fd_test(too_long_a_request_stays_here),
		fd_test(signals_do_not_stretch_a_deadline),
		fd_test(a_child_can_only_close),
		fd_test(events_come_at_any_time),
		fd_test(a_watch_is_asked_for_again),
		fd_test(the_next_daemon_is_asked_again),
		fd_test(what_is_not_the_same_twice_is_not_asked_again),
		fd_test(a_daemon_that_stays_away_is_not_waited_for_longer_than_the_call),
		fd_test(dispatch_comes_back_without_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
