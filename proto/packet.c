// SPDX-License-Identifier: Apache-2.0
#include "packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/*
 * Room for all that the kernel lets a packet have: it would close what does not fit (unix(7)), here
 * and now, and that may block for as long as the sender wants.
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

int packet_take(int sock, int flags, uint8_t *buf, size_t size, size_t *out_len,
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
	ssize_t n;

	n = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
	if (n < 0) {
		if (errno == EAGAIN)
			return PACKET_AGAIN;
		return errno == ECONNRESET ? PACKET_EOF : -errno;
	}

	bool good = take_fds(&msg, out_fds);

	/*
	 * The end of a SEQPACKET connection and a packet of no bytes look alike, but for fds. Both
	 * end the connection: an empty packet is no message.
	 */
	if (n == 0)
		return out_fds->n || (msg.msg_flags & MSG_CTRUNC) ? PACKET_BAD : PACKET_EOF;
	/*
	 * Truncated though there was room: the kernel could not install all fds, as the table is
	 * full (or a security module forbids one). That is not the sender's fault.
	 */
	bool lacks = msg.msg_flags & MSG_CTRUNC;

	if (!good || out_fds->n > PACKET_FDS || (msg.msg_flags & MSG_TRUNC))
		return PACKET_BAD;
	*out_len = (size_t)n;
	return lacks ? PACKET_SHORT : PACKET_OK;
}

int packet_recv(int sock, int flags, uint8_t *buf, size_t size, size_t *out_len,
		struct fdset *out_fds)
{
	struct fdset fds = FDSET_INIT;
	int result = packet_take(sock, flags, buf, size, out_len, &fds);

	if (result == PACKET_OK)
		fdset_move(out_fds, &fds);
	else
		fdset_done(&fds);
	return result;
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
