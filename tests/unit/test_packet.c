// SPDX-License-Identifier: Apache-2.0
/* packet_recv() against everything that a peer can put into a packet. Each test counts fds. */
#include "../support.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "packet.h"

/* More than any set: the kernel's limit. */
#define SCM_MAX_FD 253

struct pair {
	int a, b;
};

static struct pair pair_new(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	return (struct pair){ fds[0], fds[1] };
}

static void pair_done(struct pair *p)
{
	close(p->a);
	close(p->b);
}

/* Past packet_send(), which would not send such a packet. */
static void send_raw(int sock, const void *buf, size_t len, int fd, size_t n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * SCM_MAX_FD)];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));

		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		for (size_t i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
	}
	assert_int_equal(sendmsg(sock, &msg, MSG_NOSIGNAL), len);
}

static int receive(int sock, size_t size, size_t *out_len, struct fdset *out_fds)
{
	static uint8_t buf[PACKET_MAX];

	return packet_recv(sock, MSG_DONTWAIT, buf, size, out_len, out_fds);
}

/* A refused packet leaves no fd, and the out parameters alone. */
static void assert_refused(int sock, size_t size, int result)
{
	struct fdset fds = FDSET_INIT;
	size_t len = 12345;

	assert_int_equal(receive(sock, size, &len, &fds), result);
	assert_int_equal(len, 12345);
	assert_int_equal(fds.n, 0);
}

static void bytes_and_fds_arrive(void **state)
{
	struct pair p = pair_new();
	struct fdset sent = FDSET_INIT, got = FDSET_INIT;
	struct stat here, there;
	uint8_t buf[16] = { 0 };
	size_t len = 0;

	(void)state;
	assert_int_equal(fdset_add(&sent, some_fd()), 1);
	assert_int_equal(fdset_add(&sent, some_fd()), 2);
	assert_int_equal(packet_send(p.a, 0, (const uint8_t *)"hello", 5, &sent), PACKET_OK);
	assert_int_equal(packet_recv(p.b, 0, buf, sizeof(buf), &len, &got), PACKET_OK);
	assert_int_equal(len, 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(got.n, 2);
	for (int i = 0; i < 2; i++) {
		assert_true(is_cloexec(got.fd[i]));
		assert_int_equal(fstat(sent.fd[i], &here), 0);
		assert_int_equal(fstat(got.fd[i], &there), 0);
		assert_int_equal(here.st_ino, there.st_ino);
	}
	fdset_done(&sent);
	fdset_done(&got);
	pair_done(&p);
}

static void packets_keep_their_borders(void **state)
{
	struct pair p = pair_new();
	struct fdset fds = FDSET_INIT;
	size_t len = 0;

	(void)state;
	send_raw(p.a, "one", 3, -1, 0);
	send_raw(p.a, "three", 5, p.a, 1);
	assert_int_equal(receive(p.b, PACKET_MAX, &len, &fds), PACKET_OK);
	assert_int_equal(len, 3);
	assert_int_equal(fds.n, 0);
	assert_int_equal(receive(p.b, PACKET_MAX, &len, &fds), PACKET_OK);
	assert_int_equal(len, 5);
	assert_int_equal(fds.n, 1);
	fdset_done(&fds);
	pair_done(&p);
}

static void nothing_there_is_no_error(void **state)
{
	struct pair p = pair_new();

	(void)state;
	assert_refused(p.b, PACKET_MAX, PACKET_AGAIN);
	pair_done(&p);
}

static void a_full_socket_is_no_error(void **state)
{
	struct pair p = pair_new();
	static const uint8_t buf[PACKET_MAX];
	int r = PACKET_OK;

	(void)state;
	for (int i = 0; i < 1000 && r == PACKET_OK; i++)
		r = packet_send(p.a, MSG_DONTWAIT, buf, sizeof(buf), NULL);
	assert_int_equal(r, PACKET_AGAIN);
	pair_done(&p);
}

static void a_closed_peer_is_the_end(void **state)
{
	struct pair p = pair_new();

	(void)state;
	send_raw(p.a, "x", 1, -1, 0);
	close(p.a);

	struct fdset fds = FDSET_INIT;
	size_t len = 0;

	/* What it said before counts. */
	assert_int_equal(receive(p.b, PACKET_MAX, &len, &fds), PACKET_OK);
	assert_refused(p.b, PACKET_MAX, PACKET_EOF);
	/* And no SIGPIPE. */
	assert_int_equal(packet_send(p.b, 0, (const uint8_t *)"x", 1, NULL), PACKET_EOF);
	close(p.b);
}

static void a_peer_that_left_packets_unread_is_the_end(void **state)
{
	struct pair p = pair_new();

	(void)state;
	send_raw(p.b, "unread", 6, p.b, 1);
	close(p.a);
	assert_refused(p.b, PACKET_MAX, PACKET_EOF);
	close(p.b);
}

static void the_largest_packet_is_good(void **state)
{
	struct pair p = pair_new();
	static const uint8_t buf[PACKET_MAX];
	struct fdset fds = FDSET_INIT;
	size_t len = 0;

	(void)state;
	send_raw(p.a, buf, sizeof(buf), p.a, PACKET_FDS);
	assert_int_equal(receive(p.b, PACKET_MAX, &len, &fds), PACKET_OK);
	assert_int_equal(len, PACKET_MAX);
	assert_int_equal(fds.n, PACKET_FDS);
	fdset_done(&fds);
	pair_done(&p);
}

static void a_longer_packet_is_bad(void **state)
{
	struct pair p = pair_new();
	static const uint8_t buf[PACKET_MAX + 1];

	(void)state;
	send_raw(p.a, buf, sizeof(buf), p.a, 2);
	assert_refused(p.b, PACKET_MAX, PACKET_BAD);
	send_raw(p.a, buf, 9, p.a, 2);
	assert_refused(p.b, 8, PACKET_BAD);
	pair_done(&p);
}

static void more_fds_than_a_set_holds_are_bad(void **state)
{
	struct pair p = pair_new();

	(void)state;
	send_raw(p.a, "x", 1, p.a, PACKET_FDS + 1);
	assert_refused(p.b, PACKET_MAX, PACKET_BAD);
	send_raw(p.a, "x", 1, p.a, SCM_MAX_FD);
	assert_refused(p.b, PACKET_MAX, PACKET_BAD);
	pair_done(&p);
}

/* Valgrind answers setrlimit(2) by itself; the kernel, which has to find no room, does not hear of
 * it. */
static bool in_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

static void fds_that_find_no_room_are_told(void **state)
{
	struct pair p = pair_new();
	struct fdset fds = FDSET_INIT;
	struct rlimit before, few;
	size_t len = 0;
	int next = dup(p.a);

	(void)state;
	close(next);
	if (in_valgrind()) {
		pair_done(&p);
		skip();
	}
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	for (rlim_t room = 0; room < 3; room++) {
		few.rlim_cur = (rlim_t)next + room;
		send_raw(p.a, "abc", 3, p.a, 3);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		assert_int_equal(receive(p.b, PACKET_MAX, &len, &fds), PACKET_SHORT);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		assert_int_equal(len, 3);
		assert_int_equal(fds.n, 0);
	}
	send_raw(p.a, "abc", 3, p.a, 3);
	assert_int_equal(receive(p.b, PACKET_MAX, &len, &fds), PACKET_OK);
	fdset_done(&fds);
	pair_done(&p);
}

static void an_empty_packet_is_the_end(void **state)
{
	struct pair p = pair_new();

	(void)state;
	send_raw(p.a, "", 0, -1, 0);
	assert_refused(p.b, PACKET_MAX, PACKET_EOF);
	pair_done(&p);
}

static void an_empty_packet_with_fds_is_bad(void **state)
{
	struct pair p = pair_new();

	(void)state;
	send_raw(p.a, "", 0, p.a, 1);
	assert_refused(p.b, PACKET_MAX, PACKET_BAD);
	send_raw(p.a, "", 0, p.a, SCM_MAX_FD);
	assert_refused(p.b, PACKET_MAX, PACKET_BAD);
	pair_done(&p);
}

static void what_is_no_fd_is_bad(void **state)
{
	struct pair p = pair_new();
	int on = 1;

	(void)state;
	assert_int_equal(setsockopt(p.b, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	send_raw(p.a, "x", 1, -1, 0);
	assert_refused(p.b, PACKET_MAX, PACKET_BAD);
	send_raw(p.a, "x", 1, p.a, 3);
	assert_refused(p.b, PACKET_MAX, PACKET_BAD);
	pair_done(&p);
}

static void a_bad_fd_is_not_sent(void **state)
{
	struct pair p = pair_new();
	struct fdset fds = { .n = 1, .fd = { -1 } };

	(void)state;
	assert_int_equal(packet_send(p.a, 0, (const uint8_t *)"x", 1, &fds), -EBADF);
	assert_refused(p.b, PACKET_MAX, PACKET_AGAIN);
	pair_done(&p);
}

static void what_is_no_socket_is_an_error(void **state)
{
	int fd = some_fd();

	(void)state;
	assert_refused(fd, PACKET_MAX, -ENOTSOCK);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fd_test(bytes_and_fds_arrive),
		fd_test(packets_keep_their_borders),
		fd_test(nothing_there_is_no_error),
		fd_test(a_full_socket_is_no_error),
		fd_test(a_closed_peer_is_the_end),
		fd_test(a_peer_that_left_packets_unread_is_the_end),
		fd_test(the_largest_packet_is_good),
		fd_test(a_longer_packet_is_bad),
		fd_test(more_fds_than_a_set_holds_are_bad),
		fd_test(fds_that_find_no_room_are_told),
		fd_test(an_empty_packet_is_the_end),
		fd_test(an_empty_packet_with_fds_is_bad),
		fd_test(what_is_no_fd_is_bad),
		fd_test(a_bad_fd_is_not_sent),
		fd_test(what_is_no_socket_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
