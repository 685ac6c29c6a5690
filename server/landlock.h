/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock: the files that a process may touch, whatever it is and whoever owns them. What this
 * kernel has of it is used; rulesets grew from Linux 5.13 on.
 */
#ifndef XSKD_LANDLOCK_H
#define XSKD_LANDLOCK_H

#include "base.h"

/* What may be done below a path. */
enum landlock_may {
	LANDLOCK_READ,
	LANDLOCK_WRITE, /* read as well, and make and remove files, directories and sockets */
	LANDLOCK_RUN,   /* read as well, and execute */
};

struct landlock_rule {
	const char *path; /* one that is not there is left out */
	enum landlock_may may;
};

/*
 * landlock_enter() - for this thread and all that it starts, for good.
 * @abstract: Unix sockets without a path may be spoken to.
 * Return: the version (ABI) that was used; 0: this kernel has none; or a negative errno.
 */
int landlock_enter(const struct landlock_rule *rules, size_t n, bool abstract) must_check;

#endif
