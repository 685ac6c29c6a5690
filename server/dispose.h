/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closing what clients sent, which can be the last close of anything: of a gigabyte of memory, or
 * of a TCP socket, also one that lies in the queue of a socket, which then waits for as long as the
 * client wants (SO_LINGER). Such a wait ends with a signal, and here one comes each millisecond.
 *
 * What waits in a file system (the FLUSH of FUSE) cannot be ended so.
 */
#ifndef XSKD_DISPOSE_H
#define XSKD_DISPOSE_H

#include "fdset.h"

/* dispose() - close them all, on a worker; wake_setup() came before. */
void dispose(struct fdset *fds);

#endif
