/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cleanup attributes for the programs of this folder. proto/base.h has the same words for both ends
 * of the wire, but a user of libxskd sees <xskd.h> and nothing else of ours.
 */
#ifndef CLIENT_UTIL_H
#define CLIENT_UTIL_H

#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a)          (sizeof(a) / sizeof((a)[0]))
#define must_check             __attribute__((warn_unused_result))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))

/* Calls fn(&variable) when the variable leaves its scope. Always initialise such a variable. */
#define cleanup(fn) __attribute__((cleanup(fn)))

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void close_fdp(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* Moves an fd out, so that the cleanup of its variable finds nothing. */
static inline int steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#endif
