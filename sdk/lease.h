/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XSKD_SDK_LEASE_H
#define XSKD_SDK_LEASE_H

#include "xskd.h"
#include "xskd.pb-c.h"

/*
 * leases_from_pb() - an array of @n, in one block for xskd_free(). For single answers and lists
 * alike. NULL: no memory, with its text in @x.
 */
struct xskd_lease *leases_from_pb(struct xskd *x, Xskd__Lease *const *from, size_t n);

#endif
