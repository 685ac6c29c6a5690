/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few words that every C file here shares: cleanup attributes and moving a value out of a
 * variable that would clean it up. Depends on libc alone and must stay that way: both the daemon
 * and libxskd include it.
 */
#ifndef XSKD_BASE_H
#define XSKD_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

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

/* Moves an fd or a pointer out, so that the cleanup of its variable finds nothing. */
static inline int steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define steal_ptr(p)                              \
	({                                        \
		__typeof__(p) ptr_ = (p);         \
		__typeof__(*ptr_) taken_ = *ptr_; \
		*ptr_ = NULL;                     \
		taken_;                           \
	})

static inline bool is_power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

#endif
