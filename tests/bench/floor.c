// SPDX-License-Identifier: Apache-2.0
#include "floor.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rows.h"

#define PACKET 64

/* The first byte of a request. */
enum { PLAIN, WITH_FD };

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(sizeof(int))];
};

static ssize_t send_fd(int sock, uint8_t *buf, size_t len, int fd)
{
	union control control = { 0 };
	struct iovec iov = { buf, len };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(sock, &msg, MSG_NOSIGNAL);
}

/* @got: as recvmsg() answers. Return: the fd, or -1 where the packet had none. */
static int take_fd(int sock, uint8_t *buf, size_t len, ssize_t *got)
{
	union control control;
	struct iovec iov = { buf, len };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	int fd = -1;

	*got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static int receive_fd(int sock, uint8_t *buf, size_t len)
{
	ssize_t got;
	int fd = take_fd(sock, buf, len, &got);

	CHECK(got == PACKET && fd >= 0);
	return fd;
}

/* ---- servers ---- */

/* Return: false, the client has gone. */
static bool answer(int sock, int fd)
{
	uint8_t buf[256];
	ssize_t n = read(sock, buf, sizeof(buf));

	if (n <= 0)
		return false;
	if (buf[0] == WITH_FD)
		n = send_fd(sock, buf, (size_t)n, fd);
	else
		n = write(sock, buf, (size_t)n);
	return n > 0;
}

/*
 * What a daemon does at the least that is to know of something after it was killed: with an fd
 * comes what is to be kept, and without one it is forgotten.
 */
static bool keep(int sock, const char *path)
{
	uint8_t buf[PACKET] = { 0 };
	char aside[112];
	ssize_t got;
	int file, fd = take_fd(sock, buf, sizeof(buf), &got);

	if (got <= 0)
		return false;
	if (fd < 0) {
		CHECK(unlink(path) == 0);
		return write(sock, buf, PACKET) > 0;
	}
	close(fd);
	snprintf(aside, sizeof(aside), "%s.new", path);
	file = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(file >= 0 && write(file, buf, PACKET) == PACKET && close(file) == 0);
	CHECK(rename(aside, path) == 0);
	return write(sock, buf, PACKET) > 0;
}

static void serve_connects(int listener, int fd)
{
	for (;;) {
		int sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		CHECK(sock >= 0);
		(void)answer(sock, fd);
		close(sock);
	}
}

static void watch(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

static void serve_many(int listener, int fd)
{
	struct epoll_event event[64];
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	watch(epoll, listener);
	for (;;) {
		int n = epoll_wait(epoll, event, 64, -1);

		for (int i = 0; i < n; i++) {
			int sock = event[i].data.fd;

			if (sock == listener)
				watch(epoll, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
			else if (!answer(sock, fd))
				close(sock);
		}
	}
}

static int listen_at(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	CHECK(listen(listener, 1024) == 0);
	return listener;
}

void floor_start(struct floor *f, enum floor_kind kind, const char *path, int fd)
{
	int pair[2] = { -1, -1 };

	memset(f, 0, sizeof(*f));
	if (kind == FLOOR_PING || kind == FLOOR_KEEP) {
		CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	} else {
		snprintf(f->path, sizeof(f->path), "%s", path);
		pair[1] = listen_at(path);
	}
	f->sock = pair[0];
	f->pid = fork();
	CHECK(f->pid >= 0);
	if (f->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin_to(CPU_SERVER);
		if (kind == FLOOR_CONNECT)
			serve_connects(pair[1], fd);
		if (kind == FLOOR_EPOLL)
			serve_many(pair[1], fd);
		while (kind == FLOOR_KEEP ? keep(pair[1], path) : answer(pair[1], fd))
			;
		_exit(0);
	}
	close(pair[1]);
}

void floor_stop(struct floor *f)
{
	if (f->sock >= 0)
		close(f->sock);
	kill(f->pid, SIGKILL);
	CHECK(waitpid(f->pid, NULL, 0) == f->pid);
	if (*f->path)
		unlink(f->path);
}

/* ---- client ---- */

int floor_connect(const struct floor *f)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	memcpy(addr.sun_path, f->path, sizeof(f->path));
	CHECK(sock >= 0 && connect(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	return sock;
}

void floor_call(int sock, bool with_fd)
{
	uint8_t buf[PACKET] = { with_fd ? WITH_FD : PLAIN };

	CHECK(write(sock, buf, sizeof(buf)) == PACKET);
	if (with_fd)
		close(receive_fd(sock, buf, sizeof(buf)));
	else
		CHECK(read(sock, buf, sizeof(buf)) == PACKET);
}

void floor_keep(int sock, int fd)
{
	uint8_t buf[PACKET] = { 0 };

	CHECK(send_fd(sock, buf, sizeof(buf), fd) == PACKET);
	CHECK(read(sock, buf, sizeof(buf)) == PACKET);
}
