/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small set of file descriptors that owns them: whoever drops the set closes what nobody took.
 * So a descriptor that came in a packet cannot leak, whichever way the packet's handling ends.
 */
#ifndef XSKD_FDSET_H
#define XSKD_FDSET_H

#include "base.h"

#define FDSET_MAX 253 /* as many as the kernel lets a packet have (SCM_MAX_FD) */

struct fdset {
	unsigned int n;
	int fd[FDSET_MAX]; /* -1: taken */
};

#define FDSET_INIT ((struct fdset){ .n = 0 })

/*
 * fdset_add() - give an fd to the set.
 * Return: its place, counted from 1. The set owns @fd from now on; when it is full, @fd is closed
 * and the answer is -EMFILE.
 */
int fdset_add(struct fdset *set, int fd) must_check;

/*
 * fdset_take() - take the fd at @place (counted from 1) out of the set; the caller owns it.
 * Return: the fd; -EBADF where there is none (any more).
 */
int fdset_take(struct fdset *set, uint32_t place) must_check;

/* fdset_left() - how many fds nobody has taken. */
unsigned int fdset_left(const struct fdset *set);

/* fdset_move() - everything that is left in @from becomes @to, which must be empty. */
void fdset_move(struct fdset *to, struct fdset *from);

/* fdset_done() - close what is left. The set is empty and usable afterwards. */
void fdset_done(struct fdset *set);

#endif
