// SPDX-License-Identifier: Apache-2.0
/* What the gate answers, and what it takes for no request: gate_serve() over a socket pair. */
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gate_serve.h"
#include "netns.h"
#include "packet.h"
#include "support.h"

struct said {
	int served; /* what gate_serve() returned */
	bool replied;
	struct gate_reply reply;
	struct fdset fds;
};

/* Lets a gate serve one packet and the end behind it. @fd: sent @n_fds times. */
static struct said say(const void *buf, size_t len, int fd, unsigned int n_fds)
{
	struct said said = { .fds = FDSET_INIT };
	struct fdset lent = { .n = n_fds };
	int pair[2], home = netns_self();
	size_t got = 0;

	assert_true(home >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	for (unsigned int i = 0; i < n_fds; i++)
		lent.fd[i] = fd;
	assert_int_equal(packet_send(pair[0], 0, buf, len, &lent), PACKET_OK);
	assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
	said.served = gate_serve(pair[1], home);
	close(pair[1]);
	said.replied = packet_recv(pair[0], 0, (uint8_t *)&said.reply, sizeof(said.reply), &got,
				   &said.fds) == PACKET_OK;
	if (said.replied)
		assert_int_equal(got, sizeof(said.reply));
	close(pair[0]);
	close(home);
	return said;
}

static void an_end_is_an_end(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	close(pair[0]);
	assert_int_equal(gate_serve(pair[1], -1), 0);
	close(pair[1]);
}

static void sockets_are_made(void **state)
{
	const struct gate_request req = { .op = GATE_SOCKETS, .kind = GATE_RTNETLINK, .n = 3 };
	struct said said = say(&req, sizeof(req), -1, 0);
	int family = 0;
	socklen_t len = sizeof(family);

	(void)state;
	assert_int_equal(said.served, 0);
	assert_true(said.replied && said.reply.err == 0);
	assert_int_equal(said.fds.n, 3);
	assert_true(is_cloexec(said.fds.fd[0]));
	assert_int_equal(getsockopt(said.fds.fd[2], SOL_SOCKET, SO_DOMAIN, &family, &len), 0);
	assert_int_equal(family, AF_NETLINK);
	fdset_done(&said.fds);
}

static void what_the_kernel_refuses_is_answered(void **state)
{
	struct gate_request sockets = { .op = GATE_SOCKETS, .kind = GATE_RTNETLINK, .n = 1 };
	const struct gate_request link = { .op = GATE_LINK,
					   .ifindex = 1,
					   .flags = XDP_FLAGS_SKB_MODE };
	int fd = some_fd();
	struct said said;

	(void)state;
	said = say(&sockets, sizeof(sockets), fd, 1); /* no namespace */
	assert_int_equal(said.served, 0);
	assert_true(said.replied && said.reply.err < 0);
	assert_int_equal(said.fds.n, 0);
	said = say(&link, sizeof(link), fd, 1); /* no program */
	assert_int_equal(said.served, 0);
	assert_true(said.replied && said.reply.err < 0);
	assert_int_equal(said.fds.n, 0);
	close(fd);
}

/* Each of these ends the gate: no answer, no fd kept. */
static void no_request_is_taken_for_one(void **state)
{
	const struct gate_request good = { .op = GATE_SOCKETS, .kind = GATE_XDP, .n = 1 };
	const struct {
		struct gate_request req;
		size_t len;
		unsigned int n_fds;
	} cases[] = {
		{ good, sizeof(good) - 1, 0 },
		{ good, sizeof(good) + 1, 0 },
		{ good, 1, 0 },
		{ good, sizeof(good), 2 },
		{ good, sizeof(good), PACKET_FDS },
		{ { .op = 0, .n = 1 }, sizeof(good), 0 },
		{ { .op = GATE_HOLDER + 1, .n = 1 }, sizeof(good), 0 },
		{ { .op = UINT32_MAX, .n = 1 }, sizeof(good), 0 },
		{ { .op = GATE_SOCKETS, .kind = GATE_XDP, .n = 0 }, sizeof(good), 0 },
		{ { .op = GATE_SOCKETS, .kind = GATE_XDP, .n = PACKET_FDS + 1 }, sizeof(good), 0 },
		{ { .op = GATE_SOCKETS, .kind = GATE_XDP, .n = UINT32_MAX }, sizeof(good), 0 },
		{ { .op = GATE_SOCKETS, .kind = GATE_RTNETLINK + 1, .n = 1 }, sizeof(good), 0 },
		{ { .op = GATE_LINK, .flags = XDP_FLAGS_DRV_MODE }, sizeof(good), 0 },
		{ { .op = GATE_LINK, .flags = XDP_FLAGS_DRV_MODE }, sizeof(good), 3 },
		{ { .op = GATE_LINK, .flags = 0 }, sizeof(good), 1 },
		{ { .op = GATE_LINK, .flags = XDP_FLAGS_REPLACE }, sizeof(good), 1 },
		{ { .op = GATE_LINK, .flags = XDP_FLAGS_HW_MODE }, sizeof(good), 1 },
		{ { .op = GATE_HOLDER, .program = 1 }, sizeof(good), 1 },
		{ { .op = GATE_PROGRAM, .n = 1 }, sizeof(good), 1 },
	};
	struct {
		struct gate_request req;
		uint8_t more[8];
	} buf;
	int fd = some_fd();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(&buf, 0, sizeof(buf));
		buf.req = cases[i].req;

		struct said said = say(&buf, cases[i].len, fd, cases[i].n_fds);

		if (said.served >= 0 || said.replied || said.fds.n)
			fail_msg("case %zu was served: %d, replied %d", i, said.served,
				 said.replied);
	}
	close(fd);
}

static void an_answer_that_nobody_takes_ends_it(void **state)
{
	const struct gate_request req = { .op = GATE_SOCKETS, .kind = GATE_RTNETLINK, .n = 1 };
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(packet_send(pair[0], 0, (const uint8_t *)&req, sizeof(req), NULL),
			 PACKET_OK);
	assert_int_equal(shutdown(pair[0], SHUT_RD), 0);
	assert_int_equal(gate_serve(pair[1], -1), 0);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fd_test(an_end_is_an_end),
		fd_test(sockets_are_made),
		fd_test(what_the_kernel_refuses_is_answered),
		fd_test(no_request_is_taken_for_one),
		fd_test(an_answer_that_nobody_takes_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
