/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of a command line as values. Pure functions, but for memory: they open nothing, print
 * nothing and know no option by name. Each answers 0, or -EINVAL (-ENOMEM) with the reason in
 * @why, worded to follow the name of the option: "want a number from 0 to 7".
 */
#ifndef CLIENT_ARGS_H
#define CLIENT_ARGS_H

#include <stddef.h>
#include <stdint.h>
#include <xskd.h>

#include "util.h"

#define ARGS_WHY_SIZE   128
#define ARGS_QUEUES_MAX 1024 /* of one lease; bounds what "0-4294967295" may allocate */

/* args_number() - decimal, or hexadecimal after 0x. */
must_check int args_number(const char *text, uint64_t min, uint64_t max, uint64_t *out,
			   char why[ARGS_WHY_SIZE]);

/*
 * args_seconds() - decimal seconds ("0.5") as milliseconds, rounded up: a wait is never cut short.
 */
must_check int args_seconds(const char *text, int *out_ms, char why[ARGS_WHY_SIZE]);

struct queue_list {
	uint32_t *queues; /* each at most once, in the order given */
	size_t n;
};

/* args_queues() - append the queues of "0-3,7" to @list; on failure it stays as it was. */
must_check int args_queues(const char *text, struct queue_list *list, char why[ARGS_WHY_SIZE]);

/* queue_list_donep() - for the cleanup attribute; a zeroed list is an empty one. */
void queue_list_donep(struct queue_list *list);

/*
 * args_pair() - split "KEY=VALUE" at its first '='.
 * @text: is cut in two, so that no copy has an owner.
 */
must_check int args_pair(char *text, char **out_key, char **out_value, char why[ARGS_WHY_SIZE]);

/*
 * args_constant() - "NAME=VALUE" for a variable of .rodata: a decimal or 0x number, or "hex:" and
 * the bytes as they stand in memory.
 * @text: is cut; @out points into it. Bytes are decoded in place, as they take less room.
 */
must_check int args_constant(char *text, struct xskd_constant *out, char why[ARGS_WHY_SIZE]);

/*
 * args_netns() - the path for "--netns X". @out: a path as it is, a bare name below /run/netns;
 * freed by the caller.
 */
must_check int args_netns(const char *text, char **out, char why[ARGS_WHY_SIZE]);

/* args_choice() - the index of @text in @choices, which ends with NULL. */
must_check int args_choice(const char *text, const char *const *choices, unsigned int *out,
			   char why[ARGS_WHY_SIZE]);

#endif
