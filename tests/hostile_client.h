/* SPDX-License-Identifier: Apache-2.0 */
/* What tests/hostile.c attacks with: connections, packets of any shape, descriptors of any kind. */
#ifndef XSKD_TESTS_HOSTILE_CLIENT_H
#define XSKD_TESTS_HOSTILE_CLIENT_H

#include <sys/types.h>

#include "packet.h"
#include "xskd.pb-c.h"

#define FLOOD_FDS 253 /* SCM_MAX_FD */
#define MANY      64

/* A message as its initialiser gives it, which would cast a const away. */
#define EMPTY(name)                                                          \
	({                                                                   \
		__typeof__(*(xskd__##name##__unpack)(NULL, 0, NULL)) empty_; \
		xskd__##name##__init(&empty_);                               \
		empty_;                                                      \
	})

extern const char *client_path;
extern uint8_t bytes[4 * PACKET_MAX]; /* what throw() sends */

/* dial() - a new connection, which waits for nothing longer than 20 ms; -1: none to be had. */
int dial(void);

/* conn() - one of MANY that stay; dialled anew where the daemon has ended it. */
int conn(size_t i);

/* throw() - the first @len of @bytes. Return: whether the kernel took them. */
bool throw(int sock, size_t len, const int *fds, size_t n);

/* pack() - a request, into @bytes. Return: its length. */
size_t pack(Xskd__Request__CallCase which, void *message);

#define ASK(sock, CASE, message, fds, n) \
	throw(sock, pack(XSKD__REQUEST__CALL_##CASE, message), fds, n)

/* hear() - take a reply in. Return: NULL, none came. */
Xskd__Reply *hear(int sock, struct fdset *fds);

/* ignore() - whatever is there. */
void ignore(int sock);

/* memfd() - with all its pages; -1: the seals or the size cannot be had. */
int memfd(off_t size, int seals);

/* odd_fd() - one of 14 kinds of descriptor; -1: this kernel has none, or not for us. */
int odd_fd(unsigned int kind);

#endif
