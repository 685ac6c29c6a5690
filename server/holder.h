/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes that sockets were handed to. The kernel tells nobody that a socket was closed, but
 * it does tell when a process has ended, SIGKILL or not: so there is a pidfd of each, and all of
 * them are in one epoll set, which the loop waits for.
 *
 * A holder is a hint of when to look, never a proof: a child or another process may have the
 * sockets too. What is true is in the map (sweep.h).
 */
#ifndef XSKD_HOLDER_H
#define XSKD_HOLDER_H

#include <sys/types.h>

#include "index.h"

struct holder {
	/* Two connections of a process have one holder, unless we cannot see its pid. */
	struct holder_key {
		pid_t pid;     /* 0: it is not in our PID namespace */
		uint64_t conn; /* then this tells it apart; else 0 */
	} key;
	int pidfd;
	uint32_t socks; /* of the ledger: it goes with the last of them */
};

struct holders {
	struct index all;
	int epoll; /* readable: holders_ended() has something to say; -1: there are none */
};

void holders_init(struct holders *holders);
int holders_open(struct holders *holders) must_check;
void holders_done(struct holders *holders);

/*
 * holder_get() - the process that made the connection @sock, for one socket more. Return: NULL, it
 * cannot be watched, which only means that its end is noticed later.
 */
struct holder *holder_get(struct holders *holders, int sock, pid_t pid, uint64_t conn);
/* holder_put() - one socket less; @holder may be NULL. */
void holder_put(struct holders *holders, struct holder *holder);

/* holders_ended() - one whose process has ended, which is not told again; NULL: no more. */
struct holder *holders_ended(struct holders *holders);

#endif
