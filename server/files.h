/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's table of file descriptors: how large it may be, and whether there is room in it. */
#ifndef XSKD_FILES_H
#define XSKD_FILES_H

#include "fault.h"

/* files_raise() - the soft limit to the hard one; where that is refused, it stays as it is. */
void files_raise(void);

/* files_room() - see that @n more can be opened. */
int files_room(unsigned int n, struct fault *fault) must_check;

#endif
