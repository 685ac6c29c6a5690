// SPDX-License-Identifier: Apache-2.0
#include "packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/*
 * Room for FDSET_MAX fds and not one more: the kernel closes what does not fit and sets
 * MSG_CTRUNC (unix(7)), so that a flood of fds costs us no table slots.
 */
union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(sizeof(int) * FDSET_MAX)];
};

/*
 * Takes in all fds first and judges afterwards: every cmsg has installed its descriptors in our
 * table by now, also those of a packet that will be refused.
 */
static bool take_fds(struct msghdr *msg, struct fdset *fds)
{
	bool good = true;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t bytes = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
			good = false;
			continue;
		}
		for (size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
			if (fdset_add(fds, fd) < 0)
				good = false;
		}
	}
	return good;
}

int packet_recv(int sock, int flags, uint8_t *buf, size_t size, size_t *out_len,
		struct fdset *out_fds)
{
	union control control;
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct fdset fds = FDSET_INIT;
	ssize_t n;

	n = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
	if (n < 0) {
		if (errno == EAGAIN)
			return PACKET_AGAIN;
		return errno == ECONNRESET ? PACKET_EOF : -errno;
	}

	bool good = take_fds(&msg, &fds);

	/*
	 * The end of a SEQPACKET connection and a packet of no bytes look alike, but for fds. Both
	 * end the connection: an empty packet is no message.
	 */
	if (n == 0) {
		bool bad = fds.n || (msg.msg_flags & MSG_CTRUNC);

		fdset_done(&fds);
		return bad ? PACKET_BAD : PACKET_EOF;
	}
	/*
	 * Truncated though there was room: the kernel could not install all fds, as the table is
	 * full (or a security module forbids one). That is not the sender's fault.
	 */
	bool lacks = (msg.msg_flags & MSG_CTRUNC) && fds.n < FDSET_MAX;

	if (!good || (msg.msg_flags & (lacks ? MSG_TRUNC : MSG_TRUNC | MSG_CTRUNC))) {
		fdset_done(&fds);
		return PACKET_BAD;
	}
	if (lacks) {
		fdset_done(&fds);
		*out_len = (size_t)n;
		return PACKET_SHORT;
	}
	*out_len = (size_t)n;
	fdset_move(out_fds, &fds);
	return PACKET_OK;
}

int packet_send(int sock, int flags, const uint8_t *buf, size_t len, const struct fdset *fds)
{
	union control control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (!fds || !fds->n) {
		n = send(sock, buf, len, flags | MSG_NOSIGNAL);
	} else {
		size_t bytes = fds->n * sizeof(int);

		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(bytes);
		memset(&control, 0, msg.msg_controllen);

		struct cmsghdr *c = &control.align;

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(c), fds->fd, bytes);
		n = sendmsg(sock, &msg, flags | MSG_NOSIGNAL);
	}
	if (n >= 0)
		return PACKET_OK;
	if (errno == EAGAIN)
		return PACKET_AGAIN;
	return errno == EPIPE || errno == ECONNRESET ? PACKET_EOF : -errno;
}
