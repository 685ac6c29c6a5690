// SPDX-License-Identifier: Apache-2.0
/*
 * LD_PRELOAD for the daemon: what somebody would try who has taken it over. On SIGRTMIN the process
 * that gets it, daemon or gate, tries it all, and notes in the file that $XSKD_INTRUDER names,
 * shared with the test, what the kernel answered: one struct for each attempt, ended by one without
 * a name. $XSKD_INTRUDER_DIR is a directory of the test's that is not the daemon's. On SIGRTMIN + 1
 * it tries only what does no harm where it succeeds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define ATTEMPTS_MAX 64

static struct attempt {
	char name[28];
	int err; /* 0: it went through */
} * shared;

static const char *dir;
static pid_t parent; /* of the process that tries: an innocent one */
static size_t n;

static void note(const char *name, long result)
{
	struct attempt a = { .err = result < 0 ? errno : 0 };

	snprintf(a.name, sizeof(a.name), "%s", name);
	if (n < ATTEMPTS_MAX - 1)
		shared[n++] = a;
}

static void note_fd(const char *name, long fd)
{
	note(name, fd);
	if (fd >= 0)
		close((int)fd);
}

static void try_file(const char *name, const char *path, int flags)
{
	note_fd(name, open(path, flags | O_CLOEXEC, 0600));
}

static void try_socket(const char *name, int family, int type, int protocol)
{
	note_fd(name, socket(family, type, protocol));
}

static void try_bpf(const char *name, int command)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	note(name, syscall(SYS_bpf, command, &attr, sizeof(attr)));
}

static void try_own_namespace(void)
{
	int self = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	note("setns", self < 0 ? -1 : setns(self, CLONE_NEWNET));
	if (self >= 0)
		close(self);
}

static void try_namespaces(void)
{
	note("setns-any", setns(0, 0));
	note("unshare-uts", unshare(CLONE_NEWUTS));
	note("unshare-user", unshare(CLONE_NEWUSER));
	note("mount", mount("none", dir, "tmpfs", MS_REMOUNT, NULL));
	note("chroot", chroot(dir));
}

static void try_files(void)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/made", dir);
	try_file("create", path, O_WRONLY | O_CREAT);
	note("mkdir", mkdir(strcat(path, "-dir"), 0700));
	note("chmod", chmod(dir, 0755));
	note("symlink", symlink("/etc/passwd", strcat(path, "-link")));
	try_file("core-pattern", "/proc/sys/kernel/core_pattern", O_WRONLY);
	try_file("passwd-write", "/etc/passwd", O_WRONLY | O_APPEND);
	try_file("passwd-read", "/etc/passwd", O_RDONLY);
	try_file("list-root", "/", O_RDONLY | O_DIRECTORY);
	try_file("parent-memory", "/proc/1/mem", O_RDWR);
}

static void try_processes(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { ~0U, ~0U, 0 }, { 0xff, 0xff, 0 } };
	char *const argv[] = { (char *)"false", NULL };
	char byte;
	const struct iovec here = { &byte, 1 }, there = { NULL, 1 };
	long child = syscall(SYS_fork);

	if (child == 0)
		_exit(0);
	note("fork", child);
	note("execve", execve("/nonexistent", argv, argv));
	note("ptrace", ptrace(PTRACE_SEIZE, parent, 0, 0));
	note("parent-read", process_vm_readv(parent, &here, 1, &there, 1, 0));
	note("userfaultfd", syscall(SYS_userfaultfd, O_CLOEXEC | 1)); /* the daemon has one */
	note("kill", kill(parent, 0));
	note("kill-all", kill(-1, 0));
	note("capset", syscall(SYS_capset, &header, data));
	note("setuid", setuid(12345));
	note("code", mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
				     MAP_FAILED
			     ? -1
			     : 0);
	note("io_uring", syscall(SYS_io_uring_setup, 1, NULL));
	note("perf", syscall(SYS_perf_event_open, NULL, 0, 0, -1, 0));
	note("module", syscall(SYS_init_module, NULL, 0, ""));
	note("keyctl", syscall(SYS_keyctl, 0, -1, 0));
}

static void try_network(void)
{
	const struct sockaddr_in addr = { .sin_family = AF_INET,
					  .sin_port = htons(9),
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	note("connect", connect(tcp, (const struct sockaddr *)&addr, sizeof(addr)));
	note("iptables", setsockopt(tcp, IPPROTO_IP, 64 /* IPT_SO_SET_REPLACE */, NULL, 0));
	if (tcp >= 0)
		close(tcp);
	try_socket("packet", AF_PACKET, SOCK_RAW, 0);
	try_socket("raw", AF_INET, SOCK_RAW, IPPROTO_ICMP);
	try_socket("udp", AF_INET, SOCK_DGRAM, 0);
	try_socket("netfilter", AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
	try_socket("vsock", AF_VSOCK, SOCK_STREAM, 0);
	try_socket("xdp", AF_XDP, SOCK_RAW, 0);
	try_socket("rtnetlink", AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	try_bpf("bpf-map", BPF_MAP_CREATE);
	try_bpf("bpf-attach", BPF_PROG_ATTACH);
	try_bpf("bpf-link", BPF_LINK_CREATE);
	try_bpf("bpf-run", BPF_PROG_TEST_RUN);
	try_bpf("bpf-next-map", BPF_MAP_GET_NEXT_ID);
	try_bpf("bpf-map-by-id", BPF_MAP_GET_FD_BY_ID);
	try_bpf("bpf-program-by-id", BPF_PROG_GET_FD_BY_ID);
}

static void try_all(int number)
{
	int before = errno;

	n = 0;
	parent = getppid();
	try_own_namespace();
	try_network();
	if (number == SIGRTMIN) {
		try_namespaces();
		try_files();
		try_processes();
	}
	shared[n].name[0] = '\0';
	note("done", 0);
	errno = before;
}

__attribute__((constructor)) static void lie_in_wait(void)
{
	const char *path = getenv("XSKD_INTRUDER");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at = fd < 0 ? MAP_FAILED
			  : mmap(NULL, ATTEMPTS_MAX * sizeof(*shared), PROT_READ | PROT_WRITE,
				 MAP_SHARED, fd, 0);

	if (fd >= 0)
		close(fd);
	dir = getenv("XSKD_INTRUDER_DIR");
	if (at == MAP_FAILED || !dir)
		return;
	shared = at;
	signal(SIGRTMIN, try_all);
	signal(SIGRTMIN + 1, try_all);
}
