/* SPDX-License-Identifier: Apache-2.0 */
/* What callers pass in, on its way into a request. */
#ifndef XSKD_SDK_OPTS_H
#define XSKD_SDK_OPTS_H

#include "fdset.h"
#include "xskd.h"

/*
 * opts_take() - copy options of a caller of any age, NULL for none, into ours of @known bytes.
 * What the caller does not know becomes 0; what we do not know must be 0.
 * Return: 0, or -EINVAL with its text in @x (may be NULL).
 */
int opts_take(struct xskd *x, const void *opts, void *out, size_t known) must_check;

/*
 * opts_lend_fd() - send @fd along, 0 or less: none. It stays the caller's: no fdset_done().
 * Return: its place, for the field of the request.
 */
uint32_t opts_lend_fd(struct fdset *set, int fd);

/* opts_text() - for a message that is packed and not freed. */
static inline char *opts_text(const char *text)
{
	return (char *)(uintptr_t)(text ? text : "");
}

/* opts_numbers() - likewise. */
static inline uint32_t *opts_numbers(const uint32_t *numbers)
{
	return (uint32_t *)(uintptr_t)numbers;
}

#endif
