// SPDX-License-Identifier: Apache-2.0
#include "index.h"

#include <errno.h>
#include <string.h>

/* The first place whose item is not less than (or, with @after, greater than) @key. */
static size_t place(const struct index *ix, const void *key, bool after)
{
	size_t low = 0, high = ix->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = ix->compare(key, ix->at[middle]);

		if (order > 0 || (after && order == 0))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

size_t index_after(const struct index *ix, const void *key)
{
	return place(ix, key, true);
}

void *index_find(const struct index *ix, const void *key)
{
	size_t i = place(ix, key, false);

	return i < ix->n && ix->compare(key, ix->at[i]) == 0 ? ix->at[i] : NULL;
}

int index_reserve(struct index *ix, size_t more)
{
	size_t room = ix->room ? ix->room : 8;
	void **at;

	while (room < ix->n + more)
		room *= 2;
	if (room == ix->room)
		return 0;
	at = reallocarray(ix->at, room, sizeof(*at));
	if (!at)
		return -ENOMEM;
	ix->at = at;
	ix->room = room;
	return 0;
}

int index_add(struct index *ix, const void *key, void *item)
{
	int err = index_reserve(ix, 1);
	size_t i = place(ix, key, false);

	if (err < 0)
		return err;
	memmove(ix->at + i + 1, ix->at + i, (ix->n - i) * sizeof(*ix->at));
	ix->at[i] = item;
	ix->n++;
	return 0;
}

void *index_remove(struct index *ix, const void *key)
{
	size_t i = place(ix, key, false);
	void *item;

	if (i == ix->n || ix->compare(key, ix->at[i]) != 0)
		return NULL;
	item = ix->at[i];
	ix->n--;
	memmove(ix->at + i, ix->at + i + 1, (ix->n - i) * sizeof(*ix->at));
	return item;
}

void index_done(struct index *ix)
{
	free(ix->at);
	ix->at = NULL;
	ix->n = ix->room = 0;
}
