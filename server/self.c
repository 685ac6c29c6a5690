// SPDX-License-Identifier: Apache-2.0
#include "self.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

void self_open(struct self *self)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	self->started = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
	self->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	self->fds = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void self_done(struct self *self)
{
	close_fdp(&self->statm);
	close_fdp(&self->fds);
	self->statm = self->fds = -1;
}

static bool read_memory(int statm, struct self_usage *out)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), total, resident;
	char text[128];
	ssize_t n = pread(statm, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	if (sscanf(text, "%lu %lu", &total, &resident) != 2)
		return false;
	out->virtual_bytes = total * page;
	out->resident_bytes = resident * page;
	return true;
}

/* The directory stays open and is read anew; the copy of its descriptor is not counted. */
static bool count_fds(int fds, uint64_t *out)
{
	int copy = fcntl(fds, F_DUPFD_CLOEXEC, 3);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	uint64_t n = 0;

	if (!dir) {
		close_fdp(&copy);
		return false;
	}
	rewinddir(dir);
	for (const struct dirent *entry; (entry = readdir(dir));)
		n += entry->d_name[0] != '.';
	closedir(dir);
	*out = n - 1;
	return true;
}

static double seconds(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

void self_read(const struct self *self, struct self_usage *out)
{
	struct rusage usage;
	struct rlimit limit;

	*out = (struct self_usage){ 0 };
	out->has_memory = self->statm >= 0 && read_memory(self->statm, out);
	out->has_fds = self->fds >= 0 && count_fds(self->fds, &out->open_fds);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		out->max_fds = limit.rlim_cur;
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		out->cpu_seconds = seconds(&usage.ru_utime) + seconds(&usage.ru_stime);
}
