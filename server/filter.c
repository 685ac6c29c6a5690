// SPDX-License-Identifier: Apache-2.0
#include "filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#ifndef SOL_XDP
#define SOL_XDP 283
#endif
#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif
#define NS_GET_NSTYPE_ 0xb703
#define SOCK_TYPE_MASK 0xf

#define COUNT(...) (sizeof((int[]){ __VA_ARGS__ }) / sizeof(int))
#define CALLS(...)                                                 \
	{                                                          \
		(const int[]){ __VA_ARGS__ }, (COUNT(__VA_ARGS__)) \
	}

struct calls {
	const int *at;
	size_t n;
};

/* What a process with threads is made of, glibc's own calls among it. */
static const struct calls basic = CALLS(
	SCMP_SYS(brk), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(close),
	SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(futex), SCMP_SYS(getpid), SCMP_SYS(getppid),
	SCMP_SYS(gettid), SCMP_SYS(gettimeofday), SCMP_SYS(madvise), SCMP_SYS(munmap),
	SCMP_SYS(nanosleep), SCMP_SYS(recvmsg), SCMP_SYS(restart_syscall), SCMP_SYS(rseq),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sched_yield), SCMP_SYS(sendmsg), SCMP_SYS(sendto), SCMP_SYS(set_robust_list));

/* Files are looked after by Landlock as well; without it, by their owners and the rest of this. */
static const struct calls daemon_calls = CALLS(
	SCMP_SYS(accept4), SCMP_SYS(access), SCMP_SYS(bind), SCMP_SYS(dup), SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(epoll_wait),
	SCMP_SYS(eventfd2), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(fallocate),
	SCMP_SYS(flock), SCMP_SYS(fstat), SCMP_SYS(fstatfs), SCMP_SYS(fsync), SCMP_SYS(ftruncate),
	SCMP_SYS(getcpu), SCMP_SYS(getdents64), SCMP_SYS(getpeername), SCMP_SYS(getrandom),
	SCMP_SYS(getrlimit), SCMP_SYS(getrusage), SCMP_SYS(getsockname), SCMP_SYS(getsockopt),
	SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(listen),
	SCMP_SYS(lseek), SCMP_SYS(membarrier), SCMP_SYS(memfd_create), SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat), SCMP_SYS(mremap), SCMP_SYS(newfstatat), SCMP_SYS(openat),
	SCMP_SYS(pidfd_open), SCMP_SYS(pipe2), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(pread64),
	SCMP_SYS(prlimit64), SCMP_SYS(pwrite64), SCMP_SYS(read), SCMP_SYS(readlink),
	SCMP_SYS(readlinkat), SCMP_SYS(readv), SCMP_SYS(recvfrom), SCMP_SYS(rename),
	SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(rmdir), SCMP_SYS(sched_getaffinity),
	SCMP_SYS(shutdown), SCMP_SYS(sigaltstack), SCMP_SYS(stat), SCMP_SYS(lstat),
	SCMP_SYS(fstatat64), SCMP_SYS(statfs), SCMP_SYS(statx), SCMP_SYS(sysinfo),
	SCMP_SYS(timer_create), SCMP_SYS(timer_delete), SCMP_SYS(timer_settime), SCMP_SYS(umask),
	SCMP_SYS(uname), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(wait4), SCMP_SYS(write),
	SCMP_SYS(writev));

/*
 * Custom programs, maps and pins. The daemon attaches nothing, and looks nothing up by an id: for
 * both there is the gate.
 */
static const struct calls daemon_bpf =
	CALLS(BPF_MAP_CREATE, BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM,
	      BPF_MAP_GET_NEXT_KEY, BPF_MAP_FREEZE, BPF_PROG_LOAD, BPF_PROG_BIND_MAP, BPF_BTF_LOAD,
	      BPF_OBJ_PIN, BPF_OBJ_GET, BPF_OBJ_GET_INFO_BY_FD, BPF_LINK_DETACH, BPF_PROG_TEST_RUN);

static const struct calls gate_bpf =
	CALLS(BPF_MAP_CREATE, BPF_PROG_LOAD, BPF_BTF_LOAD, BPF_LINK_CREATE, BPF_PROG_GET_FD_BY_ID,
	      BPF_LINK_GET_NEXT_ID, BPF_LINK_GET_FD_BY_ID, BPF_OBJ_GET_INFO_BY_FD);

static const struct calls daemon_ioctl = CALLS((int)FIONBIO, (int)FIOCLEX, SIOCGSKNS, SIOCOUTQ,
					       SIOCETHTOOL, NS_GET_NSTYPE_, (int)UFFDIO_REGISTER);

/* Of these levels alone: no door to netfilter and its like, which CAP_NET_ADMIN would open. */
static const struct calls daemon_sockopt =
	CALLS(SOL_SOCKET, SOL_XDP, SOL_NETLINK, IPPROTO_TCP, IPPROTO_IPV6);

/* None that has signals sent to others. */
static const struct calls daemon_fcntl = CALLS(F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL,
					       F_SETFL, F_GET_SEALS, F_ADD_SEALS);

#ifdef XSKD_SANITIZED
/* LeakSanitizer looks at the threads from a process of its own; symbols come from another program.
 */
static const struct calls sanitizer_calls = CALLS(
	SCMP_SYS(arch_prctl), SCMP_SYS(clone), SCMP_SYS(close_range), SCMP_SYS(dup2),
	SCMP_SYS(dup3), SCMP_SYS(execve), SCMP_SYS(fcntl), SCMP_SYS(fork), SCMP_SYS(fstat),
	SCMP_SYS(getcwd), SCMP_SYS(getdents), SCMP_SYS(getdents64), SCMP_SYS(getpgrp),
	SCMP_SYS(getrandom), SCMP_SYS(getrlimit), SCMP_SYS(getuid), SCMP_SYS(ioctl), SCMP_SYS(kill),
	SCMP_SYS(lseek), SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(mremap), SCMP_SYS(newfstatat),
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(personality), SCMP_SYS(pipe), SCMP_SYS(pipe2),
	SCMP_SYS(poll), SCMP_SYS(prctl), SCMP_SYS(pread64), SCMP_SYS(prlimit64), SCMP_SYS(ptrace),
	SCMP_SYS(read), SCMP_SYS(readlink), SCMP_SYS(sched_getaffinity), SCMP_SYS(set_tid_address),
	SCMP_SYS(setpgid), SCMP_SYS(setsid), SCMP_SYS(sigaltstack), SCMP_SYS(socketpair),
	SCMP_SYS(stat), SCMP_SYS(statfs), SCMP_SYS(statx), SCMP_SYS(sysinfo), SCMP_SYS(tgkill),
	SCMP_SYS(uname), SCMP_SYS(vfork), SCMP_SYS(wait4), SCMP_SYS(waitid), SCMP_SYS(write));
#else
static const struct calls sanitizer_calls = { NULL, 0 };
#endif

/* Rules are alternatives: a call is allowed as soon as one of them is for it. */

#define ALLOW(ctx, call, ...)                                             \
	seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(call),             \
			 sizeof((struct scmp_arg_cmp[]){ __VA_ARGS__ }) / \
				 sizeof(struct scmp_arg_cmp),             \
			 __VA_ARGS__)
#define IS(arg, value) SCMP_CMP32(arg, SCMP_CMP_EQ, (uint32_t)(value), 0U)
#define BITS(arg, mask, value) \
	SCMP_CMP32(arg, SCMP_CMP_MASKED_EQ, (uint32_t)(mask), (uint32_t)(value))

static int allow_all(scmp_filter_ctx ctx, const struct calls *calls)
{
	int err = 0;

	for (size_t i = 0; i < calls->n && !err; i++)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls->at[i], 0);
	return err;
}

/* @call with each of @values as its argument number @arg. */
static int allow_values(scmp_filter_ctx ctx, int call, unsigned int arg, const struct calls *values)
{
	int err = 0;

	for (size_t i = 0; i < values->n && !err; i++)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 1, IS(arg, values->at[i]));
	return err;
}

/* Memory that is not code; signals to oneself alone. */
static int allow_basic(scmp_filter_ctx ctx)
{
	int err = allow_all(ctx, &basic);

	if (!err)
		err = ALLOW(ctx, mmap, BITS(2, PROT_EXEC, 0));
	if (!err)
		err = ALLOW(ctx, mprotect, BITS(2, PROT_EXEC, 0));
	if (!err)
		err = ALLOW(ctx, tgkill, IS(0, getpid()));
	if (!err)
		err = ALLOW(ctx, kill, IS(0, getpid()));
	return err ? err : allow_all(ctx, &sanitizer_calls);
}

static int allow_sockets(scmp_filter_ctx ctx)
{
	const int inet[] = { AF_INET, AF_INET6 };
	int err = ALLOW(ctx, socket, IS(0, AF_UNIX));

	if (!err)
		err = ALLOW(ctx, socket, IS(0, AF_NETLINK), IS(2, NETLINK_ROUTE));
	for (size_t i = 0; i < ARRAY_SIZE(inet) && !err; i++)
		err = ALLOW(ctx, socket, IS(0, inet[i]), BITS(1, SOCK_TYPE_MASK, SOCK_STREAM),
			    IS(2, 0));
	return err ? err : allow_values(ctx, SCMP_SYS(setsockopt), 1, &daemon_sockopt);
}

/*
 * Threads, but no processes and no namespaces. glibc falls back to clone(2), whose flags can be
 * seen here, when there is no clone3(2).
 */
static int allow_threads(scmp_filter_ctx ctx)
{
	const int namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
			       CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
	int err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

	if (!err)
		err = ALLOW(ctx, clone, BITS(0, CLONE_THREAD | namespaces, CLONE_THREAD));
	if (!err)
		err = ALLOW(ctx, prctl, IS(0, PR_SET_NAME));
	/* Of the calling thread alone: see slice.h. */
	if (!err)
		err = ALLOW(ctx, sched_getattr, IS(0, 0));
	if (!err)
		err = ALLOW(ctx, sched_setattr, IS(0, 0));
	return err;
}

static int allow_daemon(scmp_filter_ctx ctx, pid_t nobody)
{
	int err = allow_basic(ctx);

	(void)nobody;
	if (!err)
		err = allow_all(ctx, &daemon_calls);
	if (!err)
		err = allow_sockets(ctx);
	if (!err)
		err = allow_threads(ctx);
	if (!err)
		err = allow_values(ctx, SCMP_SYS(bpf), 0, &daemon_bpf);
	if (!err)
		err = allow_values(ctx, SCMP_SYS(ioctl), 1, &daemon_ioctl);
	if (!err)
		err = allow_values(ctx, SCMP_SYS(fcntl), 1, &daemon_fcntl);
	if (!err)
		err = ALLOW(ctx, process_vm_readv, IS(0, getpid()));
	return err;
}

static int allow_gate(scmp_filter_ctx ctx, pid_t daemon)
{
	int err = allow_basic(ctx);

	if (!err)
		err = ALLOW(ctx, setns, IS(1, CLONE_NEWNET));
	if (!err)
		err = ALLOW(ctx, socket, IS(0, AF_XDP));
	if (!err)
		err = ALLOW(ctx, socket, IS(0, AF_NETLINK), IS(2, NETLINK_ROUTE));
	if (!err)
		err = allow_values(ctx, SCMP_SYS(bpf), 0, &gate_bpf);
	if (!err)
		err = ALLOW(ctx, fcntl, IS(1, F_DUPFD_CLOEXEC)); /* libbpf's, of fds below 3 */
	if (!err)
		err = ALLOW(ctx, write, IS(0, STDERR_FILENO));
	if (!err) /* as the log asks whether its reader takes something */
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(poll), 0);
	if (!err)
		err = ALLOW(ctx, kill, IS(0, daemon));
	return err;
}

struct loading {
	int (*allow)(scmp_filter_ctx ctx, pid_t pid);
	pid_t pid;
	int err;
};

static void *build_and_load(void *arg)
{
	struct loading *l = arg;
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int err = ctx ? 0 : -ENOMEM;

	if (!err)
		err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!err)
		err = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!err) {
		/* A tree instead of a list of some hundred comparisons; refusals are logged. */
		(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
		(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1);
		err = l->allow(ctx, l->pid);
	}
	if (!err)
		err = seccomp_load(ctx);
	seccomp_release(ctx);
	l->err = err;
	return NULL;
}

/*
 * libseccomp makes some thousand little pieces of a filter. malloc keeps those that are freed with
 * their thread, all over the heap, whose pages it could not give back: so that is a thread which
 * ends. The filter is for all threads (SCMP_FLTATR_CTL_TSYNC).
 */
static int load(int (*allow)(scmp_filter_ctx ctx, pid_t pid), pid_t pid)
{
	struct loading l = { .allow = allow, .pid = pid };
	pthread_t thread;
	int err = pthread_create(&thread, NULL, build_and_load, &l);

	if (err)
		return -err;
	pthread_join(thread, NULL);
	return l.err;
}

int filter_daemon(void)
{
	return load(allow_daemon, 0);
}

int filter_gate(pid_t daemon)
{
	return load(allow_gate, daemon);
}
