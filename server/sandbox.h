/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What daemon and gate give up once they have started: capabilities, by libcap-ng; new privileges;
 * files, by Landlock; system calls, by libseccomp. Whoever takes over the daemon through bytes that
 * a tenant sent is in here.
 */
#ifndef XSKD_SANDBOX_H
#define XSKD_SANDBOX_H

#include "fault.h"

struct sandbox {
	bool off;     /* for debugging: everything stays as it was */
	bool perfmon; /* keep CAP_PERFMON, for custom programs */
	const char *run_dir, *bpf_dir;
};

/*
 * sandbox_check() - whether all capabilities are there that will be needed; first of all, so that
 * the one that is missing is named instead of the first call that fails for it.
 */
int sandbox_check(const struct sandbox *sandbox, struct fault *fault) must_check;

/* sandbox_daemon() - before there are threads; says in the log what is in force. */
int sandbox_daemon(const struct sandbox *sandbox, struct fault *fault) must_check;

/*
 * sandbox_gate() - the gate has the capabilities that the daemon has not, and can open no file at
 * all; before it has threads. sandbox_gate_calls() - after that: it needs to make no more of them.
 */
int sandbox_gate(const struct sandbox *sandbox) must_check;
int sandbox_gate_calls(const struct sandbox *sandbox, pid_t daemon) must_check;

#endif
