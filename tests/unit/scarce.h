/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory, descriptors and files that run out on demand. Put in at link time (tests/unit/meson.build
 * has the list), so that it concerns our own code and what that has protobuf-c allocate, nobody
 * else's.
 */
#ifndef XSKD_TESTS_SCARCE_H
#define XSKD_TESTS_SCARCE_H

#include "base.h"

enum scarce {
	SCARCE_MEMORY, /* malloc() and its like */
	SCARCE_FDS,    /* F_DUPFD_CLOEXEC, openat() */
	SCARCE_FILES,  /* renameat(), write() */
	SCARCE_KINDS,
};

/* scarce_from() - the @nth request for @what from now on fails, once. */
void scarce_from(enum scarce what, unsigned int nth);

/* scarce_pause() - what follows is not counted. */
void scarce_pause(bool paused);

/* scarce_end() - Return: whether it has failed. */
bool scarce_end(void);

#endif
