/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a run of the plugin failed: an error of the CNI specification. Functions that can fail answer
 * 0, or -1 with @fail filled in; the text is what `kubectl describe pod` shows, so it says what
 * failed, on what, why and what to do.
 */
#ifndef CNI_FAIL_H
#define CNI_FAIL_H

#include <jansson.h>
#include <xskd.h>

#include "util.h"

/* Of the CNI specification, "Error"; 100 and above are the plugin's own. */
enum fail_code {
	FAIL_VERSION = 1,
	FAIL_KEY = 2,
	FAIL_CONTAINER = 3, /* is not known */
	FAIL_ENVIRONMENT = 4,
	FAIL_IO = 5,
	FAIL_DECODE = 6,
	FAIL_CONFIG = 7,
	FAIL_NETNS = 8, /* as the reference plugins have it */
	FAIL_TRY_AGAIN = 11,
	FAIL_UNAVAILABLE = 50,
	FAIL_DEGRADED = 51,
	FAIL_DEVICE = 100,  /* it is missing, somebody else's, or the host needs it */
	FAIL_NAME = 101,    /* of the interface, taken in the pod */
	FAIL_REFUSED = 102, /* by the daemon or the kernel */
	FAIL_CHANGED = 103, /* CHECK: it is not as ADD left it */
};

struct fail {
	int code; /* 0: nothing failed; of a delegate: its own */
	char msg[1024], details[2048];
};

/* fail_set() - Return: -1. */
printf_like(3, 4) int fail_set(struct fail *fail, int code, const char *fmt, ...);

/* fail_errno() - likewise, with what @err, a negative errno, means behind the text. */
printf_like(4, 5) int fail_errno(struct fail *fail, int code, int err, const char *fmt, ...);

/*
 * fail_xskd() - a call of libxskd answered @err. What another try may mend gets FAIL_TRY_AGAIN.
 */
printf_like(4, 5) int fail_xskd(struct fail *fail, const struct xskd *x, int err, const char *fmt,
				...);

/* fail_print() - as the specification wants it, on stdout. */
void fail_print(const struct fail *fail, const char *cni_version);

#endif
