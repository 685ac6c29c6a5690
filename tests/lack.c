// SPDX-License-Identifier: Apache-2.0
/*
 * LD_PRELOAD for the daemon: what a machine can lack without being asked, on demand. $XSKD_LACK
 * names a file of numbers that is shared with the test:
 *
 *	clock    seconds by which the wall clock is wrong; the monotonic clock is not touched
 *	accept   errno with which accept4(2) fails; 0: it works
 *	accepted how often it was called
 *	memory   so many more allocations succeed, then one fails; 0: all succeed
 *	lacked   how many have failed
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

struct shared {
	_Atomic int64_t clock, accept, accepted, memory, lacked;
};

static struct shared *shared;

__attribute__((constructor)) static void map_shared(void)
{
	const char *path = getenv("XSKD_LACK");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at = fd < 0 ? MAP_FAILED
			  : mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (fd >= 0)
		close(fd);
	if (at != MAP_FAILED)
		shared = at;
}

/* ---- the clock ---- */

EXPORT int clock_gettime(clockid_t clock, struct timespec *out)
{
	static int (*real)(clockid_t clock, struct timespec * out);
	int err;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
	err = real(clock, out);
	if (!err && shared && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		out->tv_sec += shared->clock;
	return err;
}

EXPORT time_t time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (out)
		*out = now.tv_sec;
	return now.tv_sec;
}

EXPORT int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	out->tv_sec = now.tv_sec;
	out->tv_usec = now.tv_nsec / 1000;
	return 0;
}

/* ---- accept ---- */

EXPORT int accept4(int fd, struct sockaddr *restrict addr, socklen_t *restrict len, int flags)
{
	static int (*real)(int fd, struct sockaddr *addr, socklen_t *len, int flags);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "accept4");
	if (shared) {
		shared->accepted++;
		errno = (int)shared->accept;
		if (errno)
			return -1;
	}
	return real(fd, addr, len, flags);
}

/* ---- memory; not with AddressSanitizer, which has these functions for itself ---- */

#ifndef NO_MEMORY
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

static int lacks(void)
{
	if (!shared || shared->memory == 0 || atomic_fetch_sub(&shared->memory, 1) != 1)
		return 0;
	shared->lacked++;
	errno = ENOMEM;
	return 1;
}

EXPORT void *malloc(size_t size)
{
	return lacks() ? NULL : __libc_malloc(size);
}

EXPORT void *calloc(size_t n, size_t size)
{
	return lacks() ? NULL : __libc_calloc(n, size);
}

EXPORT void *realloc(void *p, size_t size)
{
	return lacks() ? NULL : __libc_realloc(p, size);
}
#endif
