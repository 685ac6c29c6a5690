// SPDX-License-Identifier: Apache-2.0
/*
 * LD_PRELOAD for the daemon and its gate: a machine that takes its time, where it is told to. Each
 * kind of system call that may block has a row in the file that $XSKD_SLOW names, which is shared
 * with the test:
 *
 *	ms       so long each of them takes longer
 *	made     how many were made
 *	on_loop  how many of those by the daemon's first thread, which runs the loop
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* In the order in which tests/e2e/slowness.py has their names. */
enum kind {
	LOAD,
	ATTACH,
	PIN,
	OPEN_PIN,
	UNPIN,
	UMEM,
	BIND,
	CLOSE,
	SETNS,
	WRITE_STATE,
	RENAME_STATE,
	REMOVE_STATE,
	LOOK_UP,
	TELL,
	ACCEPT,
	KINDS
};

struct row {
	_Atomic int64_t ms, made, on_loop;
};

static struct row *shared;
static pid_t daemon_pid;

__attribute__((constructor)) static void map_shared(void)
{
	const char *path = getenv("XSKD_SLOW");
	int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
	void *at = fd < 0 ? MAP_FAILED
			  : mmap(NULL, KINDS * sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED,
				 fd, 0);

	if (fd >= 0)
		syscall(SYS_close, fd);
	if (at == MAP_FAILED)
		return;
	shared = at;
	daemon_pid = getpid();
}

static void slow(enum kind kind)
{
	struct row *row = shared ? &shared[kind] : NULL;
	int64_t ms = row ? atomic_load(&row->ms) : 0;
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };

	if (!row)
		return;
	atomic_fetch_add(&row->made, 1);
	if (gettid() == daemon_pid)
		atomic_fetch_add(&row->on_loop, 1);
	while (ms && clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

static void *find(void **real, const char *name)
{
	if (!*real)
		*real = dlsym(RTLD_NEXT, name);
	return *real;
}

/* NOLINTBEGIN(bugprone-macro-parentheses): a type, and lists that have theirs. */
#define WRAP(kind, type, name, parameters, arguments, counts)             \
	EXPORT type name parameters                                       \
	{                                                                 \
		static void *real;                                        \
                                                                          \
		if (counts)                                               \
			slow(kind);                                       \
		return ((type(*) parameters)find(&real, #name))arguments; \
	}

static bool is_of(int fd, int wanted)
{
	socklen_t len = sizeof(int);
	int domain = 0, saved = errno;
	bool is = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == wanted;

	errno = saved;
	return is;
}

WRAP(UNPIN, int, unlink, (const char *path), (path), true)
WRAP(UNPIN, int, rmdir, (const char *path), (path), true)
WRAP(PIN, int, mkdir, (const char *path, mode_t mode), (path, mode), true)
WRAP(REMOVE_STATE, int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags), true)
WRAP(RENAME_STATE, int, renameat, (int from, const char *a, int to, const char *b),
     (from, a, to, b), true)
WRAP(BIND, int, bind, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len),
     addr->sa_family == AF_XDP)
WRAP(CLOSE, int, close, (int fd), (fd), is_of(fd, AF_XDP))
WRAP(SETNS, int, setns, (int fd, int type), (fd, type), true)
/* What is sent to an address goes to the service manager. */
WRAP(LOOK_UP, ssize_t, send, (int fd, const void *buf, size_t len, int flags),
     (fd, buf, len, flags), is_of(fd, AF_NETLINK))
WRAP(TELL, ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags),
     msg->msg_name)
WRAP(UMEM, int, setsockopt, (int fd, int level, int option, const void *value, socklen_t len),
     (fd, level, option, value, len), level == SOL_XDP && option == XDP_UMEM_REG)
WRAP(ACCEPT, int, accept4, (int fd, struct sockaddr *addr, socklen_t *len, int flags),
     (fd, addr, len, flags), true)
/* NOLINTEND(bugprone-macro-parentheses) */

EXPORT int openat64(int dir, const char *path, int flags, ...)
{
	static void *real;
	mode_t mode;
	va_list args;

	va_start(args, flags);
	mode = (flags & O_CREAT) ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (flags & O_CREAT)
		slow(WRITE_STATE);
	return ((int (*)(int, const char *, int, ...))find(&real, "openat64"))(dir, path, flags,
									       mode);
}

static int kind_of(long number, long command)
{
	if (number != SYS_bpf)
		return -1;
	switch (command) {
	case BPF_PROG_LOAD:
		return LOAD;
	case BPF_LINK_CREATE:
		return ATTACH;
	case BPF_OBJ_PIN:
		return PIN;
	case BPF_OBJ_GET:
		return OPEN_PIN;
	case BPF_LINK_DETACH:
		return UNPIN;
	default:
		return -1;
	}
}

/* libbpf's way to bpf(2). */
EXPORT long syscall(long number, ...)
{
	static void *real;
	va_list args;
	long a[6];
	int kind;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	kind = kind_of(number, a[0]);
	if (kind >= 0)
		slow((enum kind)kind);
	return ((long (*)(long, ...))find(&real, "syscall"))(number, a[0], a[1], a[2], a[3], a[4],
							     a[5]);
}
