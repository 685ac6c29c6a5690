// SPDX-License-Identifier: Apache-2.0
#include "opts.h"

#include <errno.h>
#include <string.h>

#include "conn.h"

int opts_take(struct xskd *x, const void *opts, void *out, size_t known)
{
	size_t size = 0;

	memset(out, 0, known);
	if (!opts)
		return 0;
	memcpy(&size, opts, sizeof(size));
	if (size < sizeof(size))
		return conn_fail(x, -EINVAL, "`sz` of the options is not set: use XSKD_OPTS()");
	for (size_t i = known; i < size; i++)
		if (((const uint8_t *)opts)[i])
			return conn_fail(x, -EINVAL,
					 "an option is set that this libxskd, " XSKD_VERSION
					 ", does not know");
	memcpy(out, opts, size < known ? size : known);
	return 0;
}

uint32_t opts_lend_fd(struct fdset *set, int fd)
{
	if (fd <= 0)
		return 0;
	set->fd[set->n++] = fd;
	return set->n;
}
