// SPDX-License-Identifier: Apache-2.0
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#include "fdset.h"
#include "log.h"

#define TABLE 16384

/*
 * Each time that the kernel's table of a process with threads grows, whoever opens a file waits for
 * a grace period: in the loop, everybody. So it grows before there are threads, to what 8,192
 * connections and as many programs need; an entry is 8 bytes.
 */
static void grow_table(rlim_t most)
{
	int last = (int)(most < TABLE ? most : TABLE) - 1,
	    fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, last);

	close_fdp(&fd);
}

/* 8,192 connections and as many programs do not fit the usual soft limit of 1,024. */
void files_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warning("cannot raise the limit of open files: %s, ignoring it",
			    strerror(errno));
	else
		grow_table(limit.rlim_max);
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
