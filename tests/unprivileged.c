// SPDX-License-Identifier: Apache-2.0
/*
 * Starts a program as a pod under the restricted Pod Security Standard runs it, and more strictly:
 *
 *	unprivileged [--kill] -- PROGRAM [ARG]...
 *
 * As uid and gid 65534 without other groups, no capability in any set, no_new_privs, and under a
 * seccomp filter: bpf(2), io_uring_setup(2) (which makes sockets behind a filter's back) and
 * socket(AF_XDP) fail with EPERM, as under the default profiles of container runtimes; with --kill
 * they end the program by SIGSYS, so that it cannot have called them and gone on.
 */
#include <err.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY 65534

#ifndef AF_XDP
#define AF_XDP 44
#endif

/* Every set, while there is still CAP_SETPCAP for the bounding one. */
static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		err(1, "ambient capabilities");
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap) < 0)
			err(1, "bounding capability %lu", cap);
	}
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0)
		err(1, "uid %d", NOBODY);
	if (syscall(SYS_capset, &header, none) < 0)
		err(1, "capabilities");
}

static void filter(uint32_t action)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r;

	if (!ctx)
		errx(1, "no memory for a seccomp filter");
	r = seccomp_rule_add(ctx, action, SCMP_SYS(bpf), 0);
	if (r == 0)
		r = seccomp_rule_add(ctx, action, SCMP_SYS(io_uring_setup), 0);
	if (r == 0)
		r = seccomp_rule_add(ctx, action, SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_EQ, AF_XDP, 0));
	if (r == 0)
		r = seccomp_load(ctx); /* sets no_new_privs too */
	if (r < 0)
		errx(1, "seccomp filter: %s", strerror(-r));
	seccomp_release(ctx);
}

int main(int argc, char **argv)
{
	uint32_t action = SCMP_ACT_ERRNO(EPERM);
	int at = 1;

	if (at < argc && strcmp(argv[at], "--kill") == 0) {
		action = SCMP_ACT_KILL_PROCESS;
		at++;
	}
	if (at + 1 >= argc || strcmp(argv[at], "--") != 0) {
		fputs("usage: unprivileged [--kill] -- PROGRAM [ARG]...\n", stderr);
		return 2;
	}
	at++;
	drop_capabilities();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		err(1, "no_new_privs");
	filter(action);
	execvp(argv[at], argv + at);
	err(errno == ENOENT ? 127 : 126, "%s", argv[at]);
}
