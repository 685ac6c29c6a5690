/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's two listening sockets and the directories they are in. Pods get the *directory*
 * mounted: a mounted socket file would die with the daemon that made it.
 */
#ifndef XSKD_LISTEN_H
#define XSKD_LISTEN_H

#include <sys/socket.h>

#include "fault.h"
#include "manager.h"

enum listener {
	LISTEN_ADMIN,
	LISTEN_POD,
	LISTENERS,
};

/*
 * listen_dirs() - make the run directory and lock it. @out_lock: held as long as it is open;
 * another daemon on the same directory is refused.
 */
int listen_dirs(const char *run_dir, int *out_lock, struct fault *fault) must_check;

/* listen_lock() - the same for any directory that only one daemon may use. */
int listen_lock(const char *dir, const char *flag, int *out_lock, struct fault *fault) must_check;

/* listen_unix() - on a path that nobody else listens on any more. @type: SOCK_SEQPACKET, ... */
int listen_unix(const char *path, int type, mode_t umask, int *out, struct fault *fault) must_check;

/* listen_tcp() - @name: the address in words. */
int listen_tcp(const struct sockaddr *addr, const char *name, int *out,
	       struct fault *fault) must_check;

/*
 * listen_open() - listening, non-blocking; those that the service manager passed are taken over, by
 * the path that they are bound to.
 */
int listen_open(struct manager *manager, const char *run_dir, int out[LISTENERS],
		struct fault *fault) must_check;

#endif
