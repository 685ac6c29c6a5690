/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XSKD_SDK_PROGRAM_H
#define XSKD_SDK_PROGRAM_H

#include "xskd.h"
#include "xskd.pb-c.h"

/* program_from_pb() - for single answers and lists alike. */
void program_from_pb(struct xskd_program *to, const Xskd__Program *from);

#endif
