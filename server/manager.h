/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager that started the daemon, where one did: sd_notify(3), sd_listen_fds(3) and
 * the store in which it keeps descriptors for the next start. The protocol is a datagram with some
 * words, and three variables of the environment: less than a library's calls would take.
 */
#ifndef XSKD_MANAGER_H
#define XSKD_MANAGER_H

#include <sys/socket.h>
#include <sys/un.h>

#include "fault.h"

/* A descriptor that it passed. */
struct passed {
	int fd; /* -1: taken */
	const char *name;
};

struct manager {
	struct sockaddr_un address;
	socklen_t len; /* of the address; 0: nobody wants to be told */
	struct passed *passed;
	size_t n;
	char *names; /* of which the passed ones have theirs */
};

/*
 * manager_init() - from the environment. Takes over all descriptors that were passed to this
 * process, close-on-exec; what is wrong with them is logged, and they are not there then.
 */
void manager_init(struct manager *m);

/* manager_done() - closes what nobody has taken. */
void manager_done(struct manager *m);

/*
 * manager_take() - the first that @fits says yes to; the caller's from then on. -1: there is none.
 */
int manager_take(struct manager *m, bool (*fits)(int fd, const char *name, const void *arg),
		 const void *arg) must_check;

/*
 * manager_tell() - from any thread. @fd: goes with it; -1: none. @wait_ms: so long at most until
 * the manager has room for it; 0: does not block. Return: 0, also where there is nobody to be told.
 */
int manager_tell(const struct manager *m, const char *text, int fd, int wait_ms) must_check;

/* manager_say() - the same without a descriptor; a failure is logged. "READY=1" say. */
void manager_say(const struct manager *m, const char *text);

#endif
