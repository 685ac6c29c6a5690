/* SPDX-License-Identifier: Apache-2.0 */
/* Attaching an XDP program by system calls alone: the floor of LoadProgram. */
#ifndef XSKD_BENCH_ATTACH_H
#define XSKD_BENCH_ATTACH_H

#include <stdint.h>

/* attach_pass() - a new program of two instructions. */
int attach_pass(void);

/* attach_redirect() - a new program that gives packets to the sockets in @map. */
int attach_redirect(int map);

/* attach_link() - in native mode. Return: the link; closed, it detaches. */
int attach_link(int prog, uint32_t ifindex);

/* attach_end() - detach, then close @link: the detachment has been done when this returns. */
void attach_end(int link);

#endif
