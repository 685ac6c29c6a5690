// SPDX-License-Identifier: Apache-2.0
/*
 * LD_PRELOAD for the daemon: SIGKILL at a chosen point. There is a point before and one behind each
 * system call that changes something outside the process. $XSKD_KILL_AT names a file of two ints,
 * shared with the test: the first, once it is not 0, counts points down, and the process dies when
 * it becomes 0; the second counts points up, so that the test learns how many there are. The daemon
 * and its gate count together, and die together.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static _Atomic int *shared;
static pid_t first; /* the daemon; the gate is forked later */

__attribute__((constructor)) static void map_shared(void)
{
	const char *path = getenv("XSKD_KILL_AT");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at = fd < 0 ? MAP_FAILED
			  : mmap(NULL, 2 * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	first = getpid();
	if (fd >= 0)
		close(fd);
	if (at != MAP_FAILED)
		shared = at;
}

static void point(void)
{
	if (!shared || atomic_load(&shared[0]) == 0)
		return;
	atomic_fetch_add(&shared[1], 1);
	if (atomic_fetch_sub(&shared[0], 1) != 1)
		return;
	kill(first, SIGKILL);
	kill(getpid(), SIGKILL);
}

/*
 * Each wrapper: a point, the call, a point.
 * NOLINTBEGIN(bugprone-macro-parentheses): a type, and lists that have theirs.
 */
#define WRAP(type, name, parameters, arguments)                    \
	EXPORT type name parameters                                \
	{                                                          \
		static type(*real) parameters;                     \
		type result;                                       \
                                                                   \
		if (!real)                                         \
			*(void **)&real = dlsym(RTLD_NEXT, #name); \
		point();                                           \
		result = real arguments;                           \
		point();                                           \
		return result;                                     \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(int, rmdir, (const char *path), (path))
WRAP(int, unlink, (const char *path), (path))
WRAP(int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags))
WRAP(int, renameat, (int from, const char *a, int to, const char *b), (from, a, to, b))
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))
WRAP(int, bind, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))

EXPORT int setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	int result;

	if (level == SOL_XDP)
		point();
	result = (int)syscall(SYS_setsockopt, fd, level, option, value, len);
	if (level == SOL_XDP)
		point();
	return result;
}

/* libbpf's way to bpf(2). */
EXPORT long syscall(long number, ...)
{
	static long (*real)(long number, ...);
	long a[6], result;
	bool changes;
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	changes = number == SYS_bpf &&
		  (a[0] == BPF_MAP_CREATE || a[0] == BPF_PROG_LOAD || a[0] == BPF_LINK_CREATE ||
		   a[0] == BPF_LINK_DETACH || a[0] == BPF_OBJ_PIN || a[0] == BPF_MAP_UPDATE_ELEM ||
		   a[0] == BPF_MAP_DELETE_ELEM);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	if (changes)
		point();
	result = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (changes)
		point();
	return result;
}
