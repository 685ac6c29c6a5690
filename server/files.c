// SPDX-License-Identifier: Apache-2.0
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#include "fdset.h"
#include "log.h"

/* 8,192 connections and as many programs do not fit the usual soft limit of 1,024. */
void files_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warning("cannot raise the limit of open files: %s, ignoring it",
			    strerror(errno));
}

int files_room(unsigned int n, struct fault *fault)
{
	struct fdset fds = FDSET_INIT;
	int err = 0;

	while (!err && fds.n < n) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		err = fd < 0 ? -errno : 0;
		if (!err && fdset_add(&fds, fd) < 0)
			break; /* more than a set holds: enough */
	}
	fdset_done(&fds);
	return err ? fault_sys(fault, -err,
			       "cannot open %u files more: raise the limit of open files", n)
		   : 0;
}
