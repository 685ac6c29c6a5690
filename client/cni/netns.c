// SPDX-License-Identifier: Apache-2.0
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* uapi/asm-generic/socket.h */
#endif

#define OWN "/proc/self/ns/net"

int netns_open(const char *path, int *out_fd, struct fail *fail)
{
	cleanup(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat theirs, own;

	if (fd < 0)
		return fail_errno(fail, FAIL_NETNS, -errno,
				  "cannot open the network namespace '%.256s'", path);
	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return fail_set(fail, FAIL_NETNS, "'%.256s' is no network namespace", path);
	if (fstat(fd, &theirs) < 0 || stat(OWN, &own) < 0)
		return fail_errno(fail, FAIL_NETNS, -errno, "cannot look at '%.256s'", path);
	if (theirs.st_ino == own.st_ino)
		return fail_set(
			fail, FAIL_NETNS,
			"'%.256s' is the host's own network namespace: an xskd network is for "
			"pods that have one (hostNetwork: false)",
			path);
	*out_fd = steal_fd(&fd);
	return 0;
}

int netns_visit(int netns, int (*fn)(void *arg), void *arg)
{
	cleanup(close_fdp) int home = open(OWN, O_RDONLY | O_CLOEXEC);
	int answer;

	if (home < 0 || setns(netns, CLONE_NEWNET) < 0)
		return -errno;
	answer = fn(arg);
	if (setns(home, CLONE_NEWNET) < 0)
		abort(); /* to go on would be to change a stranger's devices */
	return answer;
}

int netns_cookie(int sock, uint64_t *out)
{
	socklen_t len = sizeof(*out);

	return getsockopt(sock, SOL_SOCKET, SO_NETNS_COOKIE, out, &len) < 0 ? -errno : 0;
}

int netns_enable_ipv6(void *ifname)
{
	cleanup(close_fdp) int fd = -1;
	char path[96];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6",
		 (const char *)ifname);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -EAFNOSUPPORT : -errno; /* a kernel without IPv6 */
	return write(fd, "0", 1) < 0 ? -errno : 0;
}
