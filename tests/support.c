// SPDX-License-Identifier: Apache-2.0
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void print_fds(void)
{
	char path[64], target[256];

	for (int fd = 0; fd < 1024; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);

		ssize_t n = readlink(path, target, sizeof(target) - 1);

		if (n > 0)
			print_error("fd %d: %.*s\n", fd, (int)n, target);
	}
}

int fds_before(void **state)
{
	int *n = malloc(sizeof(*n));

	if (!n)
		return -1;
	*n = count_fds();
	*state = n;
	return 0;
}

int fds_after(void **state)
{
	int before = *(int *)*state, now = count_fds();

	free(*state);
	if (now == before)
		return 0;
	print_error("%d fds were open before the test, %d after\n", before, now);
	print_fds();
	return -1;
}

int some_fd(void)
{
	int fd = memfd_create("some", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

int is_cloexec(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	return flags >= 0 && (flags & FD_CLOEXEC);
}

int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
