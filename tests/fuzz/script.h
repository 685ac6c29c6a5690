/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fuzz_request reads: a byte of settings, then records. A record is a request on its way to
 * the daemon, or something else that happens in its world; every sequence of bytes is a script, so
 * that libFuzzer may do to it what it likes.
 */
#ifndef XSKD_FUZZ_SCRIPT_H
#define XSKD_FUZZ_SCRIPT_H

#include "base.h"

/* Settings. */
#define SCRIPT_TWO_PHASES (1 << 0)
#define SCRIPT_OLD_BIND   (1 << 1) /* bind does not honour SO_BINDTODEVICE */
#define SCRIPT_EMPTY      (1 << 2) /* no programs and leases to begin with */
#define SCRIPT_ZERO_COPY  (1 << 3)
#define SCRIPT_TIGHT      (1 << 4) /* low limits */

enum script_action {
	SCRIPT_ASK,     /* a request, answered before the next record */
	SCRIPT_BEGIN,   /* a request that is only taken in */
	SCRIPT_STEP,    /* the next step of such a one; which: arg */
	SCRIPT_HANG_UP, /* the peer's connection ends; the next request comes on a new one */
	SCRIPT_BREAK,   /* the peer reads no more: the next event for it ends it */
	SCRIPT_CLOSE,   /* clients close one of the fds that they were given; which: arg */
	SCRIPT_DEVICE,  /* a device comes to harm; which and how: arg */
	SCRIPT_EXPIRE,  /* the time for BindSocket, or for a program's first lease, is over */
	SCRIPT_FAIL,    /* one of the kernel's next calls fails; which: arg */
	SCRIPT_RESTART, /* the daemon is killed and started */
	SCRIPT_ACTIONS,
};

#define SCRIPT_PEERS  5
#define SCRIPT_HEADER 7

struct record {
	uint8_t action;
	uint8_t peer;
	uint8_t n_fds; /* at most 7; with 8 added: of the other four kinds */
	uint8_t kinds; /* two bits for each */
	uint8_t arg;
	uint16_t len;
	const uint8_t *payload;
};

/* script_next() - Return: false at the end of the script. */
bool script_next(const uint8_t **at, size_t *left, struct record *out);

/* script_put() - Return: the bytes that it took, 0 if there was no room. */
size_t script_put(uint8_t *at, size_t room, const struct record *r);

#endif
