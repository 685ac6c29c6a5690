/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon's answers mean as errnos. <xskd.h> lists them for the user. */
#ifndef XSKD_SDK_STATUS_H
#define XSKD_SDK_STATUS_H

#include "xskd.pb-c.h"

/* status_errno() - Return: the negative errno of a status; 0 for OK. */
int status_errno(const Xskd__Status *status);

#endif
