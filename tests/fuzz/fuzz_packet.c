// SPDX-License-Identifier: Apache-2.0
/*
 * Anything that a peer can do to one packet: its bytes, its cmsgs, its fds, by way of a real
 * socket.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "check.h"
#include "packet.h"

#define MOST 128 /* fds in a packet: more than a receiver takes, fewer than the kernel does */

/* @split: two control messages instead of one; @credentials: one that carries no fds, too. */
static ssize_t send_raw(int sock, const uint8_t *buf, size_t len, size_t n_fds, bool split,
			bool credentials)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * MOST) + CMSG_SPACE(sizeof(int) * MOST) +
			 CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control };
	struct ucred cred = { .pid = getpid(), .uid = getuid(), .gid = getgid() };
	size_t parts[] = { split ? n_fds / 2 : n_fds, split ? n_fds - n_fds / 2 : 0 };
	int fds[MOST];
	char *at = control.buf;

	memset(&control, 0, sizeof(control));
	for (size_t i = 0; i < MOST; i++)
		fds[i] = (int)(i % 3);
	for (size_t i = 0; i < 2; i++) {
		struct cmsghdr *c = (struct cmsghdr *)(void *)at;

		if (!parts[i])
			continue;
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(parts[i] * sizeof(int));
		memcpy(CMSG_DATA(c), fds, parts[i] * sizeof(int));
		at += CMSG_SPACE(parts[i] * sizeof(int));
	}
	if (credentials) {
		struct cmsghdr *c = (struct cmsghdr *)(void *)at;

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_CREDENTIALS;
		c->cmsg_len = CMSG_LEN(sizeof(cred));
		memcpy(CMSG_DATA(c), &cred, sizeof(cred));
		at += CMSG_SPACE(sizeof(cred));
	}
	msg.msg_controllen = (size_t)(at - control.buf);
	if (!msg.msg_controllen)
		msg.msg_control = NULL;
	return sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Five bytes: how many fds, how they are sent, the receiver's room; then the packet. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t in[PACKET_MAX];
	size_t before = check_fds(), len = 0, room;
	struct fdset fds = FDSET_INIT;
	const int on = 1;
	int ends[2], result;
	bool sent;

	if (size < 5 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return 0;
	room = (size_t)(data[2] | data[3] << 8) + 1;
	if (data[1] & 4) /* what a receiver that asked for credentials gets with each packet */
		(void)setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	sent = send_raw(ends[0], data + 5, size - 5, data[0] % MOST, data[1] & 1, data[1] & 2) >= 0;
	if (!sent || (data[1] & 8))
		close(steal_fd(&ends[0]));
	result = packet_recv(ends[1], MSG_DONTWAIT, in, room, &len, &fds);
	check(result == PACKET_OK || !fds.n);
	if (result == PACKET_OK) {
		check(sent && len == size - 5 && !memcmp(in, data + 5, len));
		check(fdset_left(&fds) == data[0] % MOST);
		for (unsigned int i = 0; i < fds.n; i++)
			check(fcntl(fds.fd[i], F_GETFD) & FD_CLOEXEC);
		if (packet_send(ends[1], MSG_DONTWAIT, in, len, &fds) == PACKET_OK &&
		    ends[0] >= 0) {
			fdset_done(&fds);
			check(packet_recv(ends[0], MSG_DONTWAIT, in, sizeof(in), &len, &fds) ==
			      PACKET_OK);
		}
	}
	fdset_done(&fds);
	close_fdp(&ends[0]);
	close_fdp(&ends[1]);
	check(check_fds() == before);
	return 0;
}
