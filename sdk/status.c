// SPDX-License-Identifier: Apache-2.0
#include "status.h"

#include <errno.h>

#include "base.h"
#include "xskd.h"

/*
 * The code decides. Where it leaves room, the daemon's errno does: a refused zero-copy bind and a
 * missing program are both FAILED_PRECONDITION, but only one of them is worth another attempt.
 */
static const struct {
	const char *name;
	int error; /* 0: that of the failed system call */
} table[] = {
	[XSKD__CODE__OK] = { "OK", 0 },
	[XSKD__CODE__CANCELLED] = { "CANCELLED", -ECANCELED },
	[XSKD__CODE__UNKNOWN] = { "UNKNOWN", 0 },
	[XSKD__CODE__INVALID_ARGUMENT] = { "INVALID_ARGUMENT", -EINVAL },
	[XSKD__CODE__DEADLINE_EXCEEDED] = { "DEADLINE_EXCEEDED", -ETIMEDOUT },
	[XSKD__CODE__NOT_FOUND] = { "NOT_FOUND", -ENOENT },
	[XSKD__CODE__ALREADY_EXISTS] = { "ALREADY_EXISTS", -EEXIST },
	[XSKD__CODE__PERMISSION_DENIED] = { "PERMISSION_DENIED", -EACCES },
	[XSKD__CODE__RESOURCE_EXHAUSTED] = { "RESOURCE_EXHAUSTED", -EDQUOT },
	[XSKD__CODE__FAILED_PRECONDITION] = { "FAILED_PRECONDITION", -EBUSY },
	[XSKD__CODE__ABORTED] = { "ABORTED", -EBUSY },
	[XSKD__CODE__OUT_OF_RANGE] = { "OUT_OF_RANGE", -EINVAL },
	[XSKD__CODE__UNIMPLEMENTED] = { "UNIMPLEMENTED", -EOPNOTSUPP },
	[XSKD__CODE__INTERNAL] = { "INTERNAL", 0 },
	[XSKD__CODE__UNAVAILABLE] = { "UNAVAILABLE", -EAGAIN },
};

int status_errno(const Xskd__Status *status)
{
	if (!status || status->code == XSKD__CODE__OK)
		return 0;

	int sys = status->system_errno;
	int error = 0;

	if ((size_t)status->code < ARRAY_SIZE(table))
		error = table[status->code].error;
	if (status->code == XSKD__CODE__PERMISSION_DENIED && sys == EPERM)
		return -EPERM;
	if (status->code == XSKD__CODE__FAILED_PRECONDITION && sys == EOPNOTSUPP)
		return -EOPNOTSUPP;
	if (error)
		return error;
	/* No larger number is an errno (the kernel's MAX_ERRNO). */
	return sys > 0 && sys < 4096 ? -sys : -EIO;
}

const char *xskd_status_name(int status)
{
	if (status < 0 || (size_t)status >= ARRAY_SIZE(table))
		status = XSKD__CODE__UNKNOWN;
	return table[status].name;
}
