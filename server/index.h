/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sorted array of pointers: what the daemon keeps its leases, programs and sockets in. Looking
 * up is a binary search, so that a call costs the same with one lease and with a thousand; walking
 * in order gives lists their pages. It does not own what it points to.
 */
#ifndef XSKD_INDEX_H
#define XSKD_INDEX_H

#include "base.h"

struct index {
	int (*compare)(const void *key, const void *item);
	void **at;
	size_t n, room;
};

#define INDEX_INIT(fn) ((struct index){ .compare = (fn) })

/* index_after() - the first place whose item is greater than @key. */
size_t index_after(const struct index *ix, const void *key);

/* index_find() - the item that equals @key, or NULL. */
void *index_find(const struct index *ix, const void *key);

/* index_add() - 0, or -ENOMEM. @key must be the item's own, and not be there yet. */
int index_add(struct index *ix, const void *key, void *item) must_check;

/* index_reserve() - after this, @more calls of index_add() cannot fail. */
int index_reserve(struct index *ix, size_t more) must_check;

/* index_remove() - take the item that equals @key out; Return: it, or NULL. */
void *index_remove(struct index *ix, const void *key);

void index_done(struct index *ix);

#endif
