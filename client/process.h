/* SPDX-License-Identifier: Apache-2.0 */
/* Who this process is and what it may do, as the kernel tells in /proc/self/status. */
#ifndef CLIENT_PROCESS_H
#define CLIENT_PROCESS_H

#include <jansson.h>

/*
 * process_add() - add uid, capabilities (how many are effective), cap_eff (which, in hexadecimal),
 * no_new_privs and seccomp (none, strict or filter) to an object. Without /proc the uid alone.
 */
void process_add(json_t **to);

#endif
