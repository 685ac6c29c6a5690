// SPDX-License-Identifier: Apache-2.0
/*
 * What this kernel can do and allows. What can be tried is tried: a configuration says what was
 * built, not what a security module, a lockdown or a missing capability leaves of it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "bpf.h"
#include "doctor.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* uapi/asm-generic/socket.h */
#endif

#define VERSION(major, minor) ((major)*1000 + (minor))

static void judge_version(struct doctor *d)
{
	unsigned int major = 0, minor = 0, version;
	struct utsname name;

	uname(&name);
	(void)!sscanf(name.release, "%u.%u", &major, &minor);
	version = VERSION(major, minor);
	if (version < VERSION(5, 14)) {
		doctor_find(d, DOCTOR_PROBLEM, "kernel.version", name.release,
			    "is older than 5.14: the daemon cannot tell pods apart");
		doctor_advise(d, "Boot a newer one.");
	} else if (version < VERSION(6, 4)) {
		doctor_find(d, DOCTOR_NOTE, "kernel.version", name.release,
			    "does: before 6.4 a hand-off takes two calls, and other programs get "
			    "only unbound sockets");
	} else {
		doctor_find(d, DOCTOR_OK, "kernel.version", name.release,
			    "does all that xskd makes use of%s",
			    version < VERSION(6, 6) ? ", but packets of several frames (6.6)" : "");
	}
}

static void judge_cookie(struct doctor *d)
{
	cleanup(close_fdp) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned long long cookie;
	socklen_t len = sizeof(cookie);

	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) == 0) {
		doctor_find(d, DOCTOR_OK, "kernel.netns-cookie", "network namespaces",
			    "have cookies; this one's is %llu", cookie);
	} else {
		doctor_find(d, DOCTOR_PROBLEM, "kernel.netns-cookie", "network namespaces",
			    "have no cookies (SO_NETNS_COOKIE: %s): the daemon cannot start",
			    strerror(errno));
		doctor_advise(d, "Boot Linux 5.14 or later.");
	}
}

/* ---- trials ---- */

static int try_xdp_socket(void)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static const struct {
	const char *check, *subject;
	int (*run)(void);
	int absent; /* the error of a kernel that was built without */
	const char *option;
} trials[] = {
	{ "kernel.af-xdp", "AF_XDP", try_xdp_socket, -EAFNOSUPPORT, "CONFIG_XDP_SOCKETS" },
	{ "kernel.bpf-program", "XDP programs", bpf_try_program, -ENOSYS, "CONFIG_BPF_SYSCALL" },
	{ "kernel.xskmap", "XSKMAPs", bpf_try_xskmap, -EINVAL, "CONFIG_XDP_SOCKETS" },
};

static void judge_trial(struct doctor *d, size_t i)
{
	int err = trials[i].run();

	if (err == 0) {
		doctor_find(d, DOCTOR_OK, trials[i].check, trials[i].subject, "can be made");
	} else if ((err == -EPERM || err == -EACCES) && !d->root) {
		doctor_blind(d, trials[i].check, trials[i].subject, err);
	} else if (err == trials[i].absent) {
		doctor_find(d, DOCTOR_PROBLEM, trials[i].check, trials[i].subject,
			    "are not known to this kernel: %s", strerror(-err));
		doctor_advise(d, "Boot one with %s=y.", trials[i].option);
	} else if (err == -EPERM || err == -EACCES) {
		doctor_find(d, DOCTOR_PROBLEM, trials[i].check, trials[i].subject,
			    "are forbidden, to root also: %s", strerror(-err));
		doctor_advise(d, "In a container, run it privileged or on the node; else a "
				 "security module forbids it: see the kernel's log.");
	} else {
		doctor_find(d, DOCTOR_PROBLEM, trials[i].check, trials[i].subject,
			    "cannot be made: %s", strerror(-err));
		doctor_advise(d, "See the kernel's log: `dmesg`.");
	}
}

/* ---- settings ---- */

static void judge_btf(struct doctor *d)
{
	if (access("/sys/kernel/btf/vmlinux", R_OK) == 0) {
		doctor_find(d, DOCTOR_OK, "kernel.btf", "BTF", "is there");
		return;
	}
	doctor_find(d, DOCTOR_NOTE, "kernel.btf", "BTF",
		    "is not there: custom programs that need it (CO-RE) do not load; xskd's own "
		    "does");
	doctor_advise(d, "Boot a kernel with CONFIG_DEBUG_INFO_BTF=y if you have such programs.");
}

static void judge_jit(struct doctor *d)
{
	const char *name = "net.core.bpf_jit_enable";
	long long value;
	int err = doctor_number("/proc/sys/net/core/bpf_jit_enable", &value);

	if (err == -ENOENT && access("/proc/sys/net/core", F_OK) == 0) {
		doctor_find(d, DOCTOR_NOTE, "kernel.jit", name, "is not in this namespace");
	} else if (err < 0) {
		doctor_blind(d, "kernel.jit", name, err);
	} else if (value == 0) {
		doctor_find(d, DOCTOR_WARNING, "kernel.jit", name,
			    "is 0: each packet is interpreted, some times slower");
		doctor_advise(d, "`sysctl -w %s=1`, and in /etc/sysctl.d.", name);
	} else {
		doctor_find(d, DOCTOR_OK, "kernel.jit", name, "is %lld", value);
	}
}

static void judge_unprivileged(struct doctor *d)
{
	const char *name = "kernel.unprivileged_bpf_disabled";
	long long value;
	int err = doctor_number("/proc/sys/kernel/unprivileged_bpf_disabled", &value);

	if (err < 0) {
		doctor_blind(d, "kernel.unprivileged-bpf", name, err);
	} else if (value == 0) {
		doctor_find(d, DOCTOR_WARNING, "kernel.unprivileged-bpf", name,
			    "is 0: any user may load BPF programs, the usual way to the kernel's "
			    "speculation bugs; xskd exists so that nobody has to");
		doctor_advise(d, "`sysctl -w %s=2`, and in /etc/sysctl.d.", name);
	} else {
		doctor_find(d, DOCTOR_OK, "kernel.unprivileged-bpf", name, "is %lld", value);
	}
}

/* The word in brackets: "none [integrity] confidentiality". */
static void judge_lockdown(struct doctor *d)
{
	const char *subject = "lockdown";
	char text[128], mode[32] = "none";
	int err = doctor_read("/sys/kernel/security/lockdown", text, sizeof(text));

	if (err < 0) {
		if (err != -ENOENT)
			doctor_blind(d, "kernel.lockdown", subject, err);
		return; /* none is built in, or securityfs is not mounted */
	}
	(void)!sscanf(text, "%*[^[][%31[^]]", mode);
	(void)!sscanf(text, "[%31[^]]", mode);
	doctor_find(d, strcmp(mode, "confidentiality") ? DOCTOR_OK : DOCTOR_NOTE, "kernel.lockdown",
		    subject, "is %s: XDP works%s", mode,
		    strcmp(mode, "confidentiality") ? ""
						    : "; custom programs cannot read the kernel's "
						      "memory");
}

static void judge_modules(struct doctor *d)
{
	char text[256];

	if (doctor_read("/sys/kernel/security/lsm", text, sizeof(text)) == 0)
		doctor_find(d, DOCTOR_OK, "kernel.lsm", "security modules", "are %s", text);
}

/* Who pays for maps and programs (since 5.11), and for packet memory. */
static void judge_memcg(struct doctor *d)
{
	const char *subject = "memory cgroups";

	if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0)
		doctor_find(d, DOCTOR_OK, "kernel.memcg", subject,
			    "are of version 2: packet memory counts against its pod, maps against "
			    "the daemon");
	else if (access("/sys/fs/cgroup/memory", F_OK) == 0)
		doctor_find(d, DOCTOR_OK, "kernel.memcg", subject,
			    "are of version 1: packet memory counts against its pod");
	else
		doctor_find(d, DOCTOR_NOTE, "kernel.memcg", subject,
			    "are not mounted: only limits.umemBytesPerLease bounds packet memory");
}

void doctor_kernel(struct doctor *d)
{
	judge_version(d);
	judge_cookie(d);
	for (size_t i = 0; i < ARRAY_SIZE(trials); i++)
		judge_trial(d, i);
	judge_btf(d);
	judge_jit(d);
	judge_unprivileged(d);
	judge_lockdown(d);
	judge_modules(d);
	judge_memcg(d);
}
