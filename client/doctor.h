/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What xskctl doctor knows of a node, and what it finds. Each doctor_NOUN.c looks at one thing and
 * says what it found; it changes nothing, and what it tries is gone when it returns.
 */
#ifndef CLIENT_DOCTOR_H
#define CLIENT_DOCTOR_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "ctl.h"

enum doctor_level {
	DOCTOR_OK,
	DOCTOR_NOTE,    /* good to know; nothing is wrong */
	DOCTOR_WARNING, /* works, but not as it should, or not for long */
	DOCTOR_PROBLEM, /* something does not work */
	DOCTOR_LEVELS,
};

struct doctor {
	struct ctl *ctl;
	json_t *findings; /* an array; NULL: there was no memory */
	unsigned int count[DOCTOR_LEVELS];

	const char *run_dir, *cni_bin_dir, *cni_conf_dir;
	char bpf_dir[PATH_MAX];
	char xskctl[PATH_MAX]; /* in commands to copy: it, and how it finds this daemon */
	bool bpf_dir_given, root;

	pid_t pid;  /* the daemon's; 0: not known */
	bool asked; /* the daemon has answered, and what follows is known */
	struct xskd_info info;
	struct xskd_program *programs;
	struct xskd_lease *leases;
	struct xskd_held_socket *sockets;
	size_t n_programs, n_leases, n_sockets;
};

/*
 * doctor_find() - say something.
 * @check: for machines, GROUP.WHAT, the same in every version.
 * @subject: what it is about: a device, a file, "daemon".
 * @fmt: the finding, without a full stop.
 */
printf_like(5, 6) void doctor_find(struct doctor *d, enum doctor_level level, const char *check,
				   const char *subject, const char *fmt, ...);

/* doctor_advise() - what to do about the last finding: whole sentences, commands in `...`. */
printf_like(2, 3) void doctor_advise(struct doctor *d, const char *fmt, ...);

/* doctor_blind() - this could not be looked at, for want of privilege. */
void doctor_blind(struct doctor *d, const char *check, const char *subject, int err);

/* doctor_read() - the beginning of a file, as text without its last newline. Return: 0 or -errno.
 */
must_check int doctor_read(const char *path, char *out, size_t size);

/* doctor_number() - likewise, the first number of it. */
must_check int doctor_number(const char *path, long long *out);

/* doctor_program() - the one with this id, or NULL. */
const struct xskd_program *doctor_program(const struct doctor *d, uint32_t id);

/* The parts, in the order in which they look. */
void doctor_daemon(struct doctor *d);
void doctor_process(struct doctor *d);
void doctor_paths(struct doctor *d);
void doctor_kernel(struct doctor *d);
void doctor_pins(struct doctor *d);
void doctor_devices(struct doctor *d);
void doctor_leases(struct doctor *d);
void doctor_cni(struct doctor *d);
void doctor_node(struct doctor *d);

#endif
