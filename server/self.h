/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This process as the kernel sees it: what client libraries of Prometheus call process_*. The files
 * in /proc are opened once, at start: later the daemon may not be allowed to.
 */
#ifndef XSKD_SELF_H
#define XSKD_SELF_H

#include "base.h"

struct self {
	int statm, fds; /* -1: could not be opened, and what they tell is left out */
	double started; /* seconds since the epoch */
};

struct self_usage {
	bool has_memory, has_fds;
	uint64_t resident_bytes, virtual_bytes, open_fds, max_fds;
	double cpu_seconds;
};

#define SELF_INIT ((struct self){ .statm = -1, .fds = -1 })

void self_open(struct self *self);
/* self_read() - from any thread, but from one at a time. */
void self_read(const struct self *self, struct self_usage *out);
void self_done(struct self *self);

#endif
