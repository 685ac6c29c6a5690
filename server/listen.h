/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's two listening sockets and the directories they are in. Pods get the *directory*
 * mounted: a mounted socket file would die with the daemon that made it.
 */
#ifndef XSKD_LISTEN_H
#define XSKD_LISTEN_H

#include "fault.h"

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

/*
 * listen_open() - listening, non-blocking; those that systemd passed are taken over (LISTEN_FDS),
 * by the path that they are bound to.
 */
int listen_open(const char *run_dir, int out[LISTENERS], struct fault *fault) must_check;

/* listen_notify() - tell systemd, where it is there; "READY=1" say. */
void listen_notify(const char *message);

#endif
