/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What instances were made from lately: the default program, and some objects of administrators',
 * of which a copy is kept. One that is loaded again is worth keeping ready for a third time.
 */
#ifndef XSKD_RECIPE_H
#define XSKD_RECIPE_H

#include <pthread.h>

#include "instance.h"

#define RECIPES_MAX    4
#define RECIPE_DEFAULT 1 /* is always there, and the first */

struct recipe {
	uint64_t id; /* never used again; 0: there is none */
	uint32_t loads;
	bool hopeless;             /* it cannot be kept ready */
	uint64_t used;             /* counts up: the least was not asked for for the longest time */
	struct instance_spec spec; /* with memory and an fd of its own */
};

struct recipes {
	pthread_mutex_t reading; /* held while objects are compared: for workers alone */
	pthread_mutex_t *mutex;  /* borrowed; of all below, never held for long */
	uint64_t last_id, clock;
	struct recipe at[RECIPES_MAX];
};

void recipes_init(struct recipes *recipes, pthread_mutex_t *mutex, uint32_t queues);
void recipes_done(struct recipes *recipes);

/*
 * recipes_note() - somebody loads that. Blocks: compares it with what is known.
 * @add: make a copy where it is not.
 * Return: its recipe's id; 0: it has none.
 */
uint64_t recipes_note(struct recipes *recipes, const struct instance_spec *spec, bool add);

/* recipes_find() - under the mutex; NULL: it has been replaced. */
struct recipe *recipes_find(struct recipes *recipes, uint64_t id);

/* recipe_is_wanted() - whether instances of it are to be kept ready. */
bool recipe_is_wanted(const struct recipe *recipe);

/*
 * recipes_copy() - to make an instance of it whatever happens to the table; blocks. The caller ends
 * it with spec_done().
 */
bool recipes_copy(struct recipes *recipes, uint64_t id, struct instance_spec *out) must_check;

void spec_done(struct instance_spec *spec);

#endif
