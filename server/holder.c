// SPDX-License-Identifier: Apache-2.0
#include "holder.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base.h"

#ifndef SO_PEERPIDFD /* asm/socket.h of 6.5 */
#define SO_PEERPIDFD 77
#endif

static int compare(const void *key, const void *item)
{
	const struct holder_key *a = key, *b = &((const struct holder *)item)->key;

	if (a->pid != b->pid)
		return a->pid < b->pid ? -1 : 1;
	return a->conn < b->conn ? -1 : a->conn > b->conn;
}

void holders_init(struct holders *holders)
{
	holders->all = INDEX_INIT(compare);
	holders->epoll = -1;
}

int holders_open(struct holders *holders)
{
	holders->epoll = epoll_create1(EPOLL_CLOEXEC);
	return holders->epoll < 0 ? -errno : 0;
}

static void holder_free(struct holder *h)
{
	close_fdp(&h->pidfd); /* and out of the set, for nobody else has it */
	free(h);
}

void holders_done(struct holders *holders)
{
	for (size_t i = 0; i < holders->all.n; i++)
		holder_free(holders->all.at[i]);
	index_done(&holders->all);
	close_fdp(&holders->epoll);
	holders->epoll = -1;
}

static bool has_ended(const struct holder *h)
{
	struct pollfd pfd = { .fd = h->pidfd, .events = POLLIN };

	return poll(&pfd, 1, 0) != 0;
}

/*
 * The kernel's own reference to the peer is the safe one, and works from within a container's PID
 * namespace too. Before 6.5 there is the number alone, and if that is another process's by now, we
 * shall look for nothing once: no harm is done.
 */
static int open_peer(int sock, pid_t pid)
{
	socklen_t len = sizeof(int);
	int fd = -1;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) == 0)
		return fd; /* close-on-exec, as every pidfd is */
	return errno == ENOPROTOOPT && pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

static struct holder *add(struct holders *holders, const struct holder_key *key, int pidfd)
{
	struct holder *h = calloc(1, sizeof(*h));
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.ptr = h };

	if (!h) {
		close_fdp(&pidfd);
		return NULL;
	}
	h->key = *key;
	h->pidfd = pidfd;
	if (index_add(&holders->all, &h->key, h) < 0) {
		holder_free(h);
		return NULL;
	}
	if (epoll_ctl(holders->epoll, EPOLL_CTL_ADD, pidfd, &event) < 0) {
		index_remove(&holders->all, &h->key);
		holder_free(h);
		return NULL;
	}
	return h;
}

struct holder *holder_get(struct holders *holders, int sock, pid_t pid, uint64_t conn)
{
	struct holder_key key = { pid, pid ? 0 : conn };
	struct holder *h = index_find(&holders->all, &key);
	int pidfd;

	if (holders->epoll < 0 || sock < 0)
		return NULL;
	/* Its number is somebody else's already, before we were told of its end. */
	if (h && has_ended(h))
		return NULL;
	if (!h) {
		pidfd = open_peer(sock, pid);
		h = pidfd < 0 ? NULL : add(holders, &key, pidfd);
	}
	if (h)
		h->socks++;
	return h;
}

void holder_put(struct holders *holders, struct holder *holder)
{
	if (!holder || --holder->socks)
		return;
	index_remove(&holders->all, &holder->key);
	holder_free(holder);
}

struct holder *holders_ended(struct holders *holders)
{
	struct epoll_event event;

	if (holders->epoll < 0 || epoll_wait(holders->epoll, &event, 1, 0) != 1)
		return NULL;
	return event.data.ptr;
}
