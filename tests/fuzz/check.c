// SPDX-License-Identifier: Apache-2.0
#include "check.h"

#include <dirent.h>
#include <unistd.h>

int check_told = STDERR_FILENO;

size_t check_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}
