// SPDX-License-Identifier: Apache-2.0
#include "fdset.h"

#include <errno.h>

int fdset_add(struct fdset *set, int fd)
{
	if (set->n == FDSET_MAX) {
		close(fd);
		return -EMFILE;
	}
	set->fd[set->n++] = fd;
	return (int)set->n;
}

int fdset_take(struct fdset *set, uint32_t place)
{
	if (place == 0 || place > set->n || set->fd[place - 1] < 0)
		return -EBADF;
	return steal_fd(&set->fd[place - 1]);
}

unsigned int fdset_left(const struct fdset *set)
{
	unsigned int left = 0;

	for (unsigned int i = 0; i < set->n; i++)
		left += set->fd[i] >= 0;
	return left;
}

void fdset_move(struct fdset *to, struct fdset *from)
{
	to->n = from->n;
	for (unsigned int i = 0; i < from->n; i++)
		to->fd[i] = from->fd[i];
	from->n = 0;
}

void fdset_done(struct fdset *set)
{
	for (unsigned int i = 0; i < set->n; i++)
		close_fdp(&set->fd[i]);
	set->n = 0;
}
