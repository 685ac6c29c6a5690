/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a call failed: the code that the client gets, the text that a person reads, the errno of the
 * system call, the verifier's log. The place that knows most fills it in; everything above passes
 * the negative errno up unchanged.
 */
#ifndef XSKD_FAULT_H
#define XSKD_FAULT_H

#include "base.h"
#include "xskd.pb-c.h"

struct fault {
	Xskd__Code code;
	int err;        /* positive errno, 0 where no system call failed */
	char text[640]; /* what failed, on what, why, what to do */
	char *log;      /* owned; NULL: none */
};

#define FAULT_INIT ((struct fault){ .code = XSKD__CODE__OK })

/* fault_init() - FAULT_INIT for what lies in memory that is not cleared. */
void fault_init(struct fault *f);

/*
 * fault_set() - record a failure; a later one replaces an earlier.
 * @err: positive errno, or 0.
 * Return: always negative: -@err, or -EINVAL with 0; so that a function can end in
 * `return fault_set(...)`.
 */
int fault_set(struct fault *f, Xskd__Code code, int err, const char *fmt, ...) printf_like(4, 5);

/* fault_sys() - a failed system call; the code follows from the errno, its text is appended. */
int fault_sys(struct fault *f, int err, const char *fmt, ...) printf_like(3, 4);

/* fault_is_shortage() - whether @err, negative, says only that something is used up just now. */
bool fault_is_shortage(int err);

/* fault_log() - the verifier's; takes @log over. */
void fault_log(struct fault *f, char *log);

void fault_done(struct fault *f);

#endif
