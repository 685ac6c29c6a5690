// SPDX-License-Identifier: Apache-2.0
#include "hostile_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

const char *client_path;
uint8_t bytes[4 * PACKET_MAX];
static uint64_t last_id;

int dial(void)
{
	const struct timeval patience = { .tv_usec = 20000 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", client_path);
	if (sock < 0)
		return -1;
	(void)setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	(void)setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return sock;
	close(sock);
	return -1;
}

int conn(size_t i)
{
	static int conns[MANY]; /* 0: none */
	char c;

	if (conns[i] > 0 && recv(conns[i], &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
		close_fdp(&conns[i]), conns[i] = 0;
	if (conns[i] <= 0)
		conns[i] = dial();
	return conns[i];
}

bool throw(int sock, size_t len, const int *fds, size_t n)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FLOOD_FDS * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = bytes, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, n * sizeof(int));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) >= 0;
}

size_t pack(Xskd__Request__CallCase which, void *message)
{
	Xskd__Request req = EMPTY(request);

	req.id = ++last_id;
	req.call_case = which;
	req.get_info = message;
	return xskd__request__pack(&req, bytes);
}

Xskd__Reply *hear(int sock, struct fdset *fds)
{
	size_t len;

	*fds = FDSET_INIT;
	if (packet_recv(sock, 0, bytes, PACKET_MAX, &len, fds) != PACKET_OK)
		return NULL;
	return xskd__reply__unpack(NULL, len, bytes);
}

void ignore(int sock)
{
	struct fdset fds;
	size_t len;

	while (packet_recv(sock, MSG_DONTWAIT, bytes, PACKET_MAX, &len, &fds) == PACKET_OK)
		fdset_done(&fds);
}

int memfd(off_t size, int seals)
{
	int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && (fallocate(fd, 0, 0, size) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0))
		return close(fd), -1;
	return fd;
}

int odd_fd(unsigned int kind)
{
	int pair[2];

	switch (kind % 14) {
	case 0:
		return epoll_create1(EPOLL_CLOEXEC);
	case 1:
		return eventfd(0, EFD_CLOEXEC);
	case 2:
		return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	case 3:
		return inotify_init1(IN_CLOEXEC);
	case 4: {
		uint8_t params[256] = { 0 };

		return (int)syscall(SYS_io_uring_setup, 4, params);
	}
	case 5:
		return (int)syscall(SYS_pidfd_open, getpid(), 0);
	case 6:
		return (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1);
	case 7:
		return open("/", O_PATH | O_CLOEXEC);
	case 8:
		return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	case 9:
		return open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	case 10:
		return (int)syscall(SYS_memfd_secret, O_CLOEXEC);
	case 11:
		return memfd(1 << 20, F_SEAL_SHRINK | F_SEAL_GROW);
	case 12:
		return open("/dev/zero", O_RDWR | O_CLOEXEC);
	default:
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
			return -1;
		close(pair[1]);
		return pair[0];
	}
}
