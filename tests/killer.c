// SPDX-License-Identifier: Apache-2.0
/*
 * LD_PRELOAD for the daemon and its gate: the end, or a failure, at a chosen point. There is a
 * point before and one behind each system call that changes something which outlives the process:
 * files, pins, maps, links, numbers of namespaces, sockets that others have. What is the process's
 * own (its descriptors, a namespace that it is in, a lock) ends with it wherever it is killed.
 *
 * $XSKD_KILL_AT names a file of four ints, shared with the test. The first, once it is not 0,
 * counts points down, and it happens when it becomes 0; the second counts points up, so that the
 * test learns how many there are; the third says what happens: 0, the daemon and its gate are
 * killed; 1, at a point of the gate's the gate alone; 2, the call is not made and fails with the
 * fourth as its errno, for which only the points before a call count.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { AT, PASSED, WHAT, ERRNO, INTS };
enum { ALL, ALONE, FAIL };

static _Atomic int *shared;
static pid_t daemon_pid;

/* The gate goes with the daemon. */
static void in_child(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

__attribute__((constructor)) static void map_shared(void)
{
	const char *path = getenv("XSKD_KILL_AT");
	int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
	void *at =
		fd < 0 ? MAP_FAILED
		       : mmap(NULL, INTS * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (fd >= 0)
		close(fd);
	if (at == MAP_FAILED)
		return;
	shared = at;
	daemon_pid = getpid();
	pthread_atfork(NULL, NULL, in_child);
}

/* Return: whether it is this one. */
static bool reached(void)
{
	if (!shared || atomic_load(&shared[AT]) == 0)
		return false;
	atomic_fetch_add(&shared[PASSED], 1);
	return atomic_fetch_sub(&shared[AT], 1) == 1;
}

/* Return: true, the call is not to be made. */
static bool before(void)
{
	if (!reached())
		return false;
	if (shared[WHAT] == FAIL) {
		errno = shared[ERRNO];
		return true;
	}
	/* The filters let either kill the daemon, and nobody else. */
	if (shared[WHAT] == ALL || getpid() == daemon_pid)
		kill(daemon_pid, SIGKILL);
	__builtin_trap();
}

static void behind(void)
{
	int saved = errno;

	if (shared && shared[WHAT] != FAIL)
		(void)before();
	errno = saved;
}

static void *find(void **real, const char *name)
{
	if (!*real)
		*real = dlsym(RTLD_NEXT, name);
	return *real;
}

/*
 * Each wrapper: a point, the call, a point; where @counts, else the call alone.
 * NOLINTBEGIN(bugprone-macro-parentheses): a type, and lists that have theirs.
 */
#define WRAP(type, name, parameters, arguments, counts)                     \
	EXPORT type name parameters                                         \
	{                                                                   \
		static void *real;                                          \
		bool points = (counts);                                     \
		type result;                                                \
                                                                            \
		if (points && before())                                     \
			return -1;                                          \
		result = ((type(*) parameters)find(&real, #name))arguments; \
		if (points)                                                 \
			behind();                                           \
		return result;                                              \
	}

/* The log is a file, too. */
static bool is_file(int fd)
{
	struct stat st;

	return fd > STDERR_FILENO && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), true)
WRAP(int, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode), true)
WRAP(int, rmdir, (const char *path), (path), true)
WRAP(int, unlink, (const char *path), (path), true)
WRAP(int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags), true)
WRAP(int, chmod, (const char *path, mode_t mode), (path, mode), true)
WRAP(int, renameat, (int from, const char *a, int to, const char *b), (from, a, to, b), true)
WRAP(int, mount,
     (const char *source, const char *target, const char *type, unsigned long flags,
      const void *data),
     (source, target, type, flags, data), true)
WRAP(ssize_t, write, (int fd, const void *buf, size_t len), (fd, buf, len), is_file(fd))
WRAP(ssize_t, send, (int fd, const void *buf, size_t len, int flags), (fd, buf, len, flags), true)
WRAP(ssize_t, sendto,
     (int fd, const void *buf, size_t len, int flags, const struct sockaddr *to, socklen_t to_len),
     (fd, buf, len, flags, to, to_len), true)
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags), true)
WRAP(int, bind, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len), true)
WRAP(int, listen, (int fd, int backlog), (fd, backlog), true)

#define OPEN(name, parameters, last, arguments)                        \
	EXPORT int name parameters                                     \
	{                                                              \
		static void *real;                                     \
		mode_t mode;                                           \
		va_list args;                                          \
		int fd;                                                \
                                                                       \
		va_start(args, last);                                  \
		mode = (flags & O_CREAT) ? va_arg(args, mode_t) : 0;   \
		va_end(args);                                          \
		if ((flags & O_CREAT) && before())                     \
			return -1;                                     \
		fd = ((int(*) parameters)find(&real, #name))arguments; \
		if (flags & O_CREAT)                                   \
			behind();                                      \
		return fd;                                             \
	}

OPEN(open, (const char *path, int flags, ...), flags, (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), flags, (path, flags, mode))
OPEN(openat, (int dir, const char *path, int flags, ...), flags, (dir, path, flags, mode))
OPEN(openat64, (int dir, const char *path, int flags, ...), flags, (dir, path, flags, mode))

/* NOLINTEND(bugprone-macro-parentheses) */

EXPORT int setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	int result;

	if (level == SOL_XDP && before())
		return -1;
	result = (int)syscall(SYS_setsockopt, fd, level, option, value, len);
	if (level == SOL_XDP)
		behind();
	return result;
}

static bool changes(long number, long command)
{
	return number == SYS_bpf && (command == BPF_MAP_CREATE || command == BPF_PROG_LOAD ||
				     command == BPF_LINK_CREATE || command == BPF_LINK_DETACH ||
				     command == BPF_OBJ_PIN || command == BPF_MAP_UPDATE_ELEM ||
				     command == BPF_MAP_DELETE_ELEM || command == BPF_MAP_FREEZE);
}

/* libbpf's way to bpf(2). */
EXPORT long syscall(long number, ...)
{
	static void *real;
	long a[6], result;
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (changes(number, a[0]) && before())
		return -1;
	result = ((long (*)(long, ...))find(&real, "syscall"))(number, a[0], a[1], a[2], a[3], a[4],
							       a[5]);
	if (changes(number, a[0]))
		behind();
	return result;
}
