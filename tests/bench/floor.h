/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that a server can be: what a call is divided by. Packets of 64 bytes each way over
 * SOCK_SEQPACKET, which is what the calls measured here have too, to some ten bytes.
 */
#ifndef XSKD_BENCH_FLOOR_H
#define XSKD_BENCH_FLOOR_H

#include <stdbool.h>
#include <sys/types.h>

enum floor_kind {
	FLOOR_PING,    /* blocking, one client on a socketpair */
	FLOOR_KEEP,    /* the same, and keeps a file: floor_keep() */
	FLOOR_CONNECT, /* blocking: accept, answer once, close */
	FLOOR_EPOLL,   /* any number of clients */
};

struct floor {
	pid_t pid;
	int sock;      /* FLOOR_PING, FLOOR_KEEP: to talk to it */
	char path[96]; /* the others: where it listens */
};

/*
 * floor_start() - on CPU_SERVER. @path: of its socket; not for FLOOR_PING; FLOOR_KEEP: of the file.
 * @fd: what it passes.
 */
void floor_start(struct floor *f, enum floor_kind kind, const char *path, int fd);
void floor_stop(struct floor *f);

int floor_connect(const struct floor *f);

/* floor_call() - one round trip. @with_fd: an fd comes back, and is closed here. */
void floor_call(int sock, bool with_fd);

/*
 * floor_keep() - one round trip with which an fd goes there, upon which the server writes a small
 * file beside its place and renames it. With floor_call() it removes the file.
 */
void floor_keep(int sock, int fd);

#endif
