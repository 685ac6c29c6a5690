// SPDX-License-Identifier: Apache-2.0
/* What the pool shall have ready, and how it comes there: one instance after the other. */
#include <errno.h>

#include "log.h"
#include "place.h"
#include "pool.h"

/* Where it is not possible, it is not tried again. */
static void give_up(struct pool *pool, uint64_t recipe, const char *why)
{
	struct recipe *r;

	log_warning("no instances of %s program are kept ready, each LoadProgram makes its own: %s",
		    recipe == RECIPE_DEFAULT ? "the default" : "a custom", why);
	pthread_mutex_lock(&pool->mutex);
	r = recipes_find(&pool->recipes, recipe);
	if (r)
		r->hopeless = true;
	if (recipe == RECIPE_DEFAULT)
		pool->info.size = 0;
	pthread_mutex_unlock(&pool->mutex);
}

static uint32_t count_ready(const struct pool *pool, uint64_t recipe)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < pool->n; i++)
		n += pool->places[i].state == PLACE_READY && pool->places[i].recipe == recipe;
	return n;
}

static int make(struct pool *pool, struct place *p, struct fault *fault)
{
	struct instance_spec spec;
	int err;

	if (!recipes_copy(&pool->recipes, p->recipe, &spec))
		return fault_sys(fault, ENOMEM, "cannot take its recipe");
	err = instance_make(pool->gate, &spec, &p->in, fault);
	spec_done(&spec);
	if (!err)
		err = instance_pin(&p->in, pool->bpf_dir, true, fault);
	if (err < 0)
		return err;
	err = place_park(pool, p, true);
	return err < 0 ? fault_sys(fault, -err, "cannot attach one to a veth") : 0;
}

static void fill(struct pool *pool, struct place *p, uint64_t recipe)
{
	struct fault fault = FAULT_INIT;
	int err;

	p->recipe = recipe;
	err = make(pool, p, &fault);
	if (!err) {
		place_set(pool, p, PLACE_READY);
		return;
	}
	place_discard(pool, p);
	if (fault_is_shortage(err) || err == -EBUSY || err == -EAGAIN || err == -EEXIST)
		log_debug("the pool waits: %s", fault.text);
	else
		give_up(pool, recipe, fault.text);
	fault_done(&fault);
}

/* All custom programs together get as many as the default one. */
static uint32_t share_of(struct pool *pool, const struct recipe *r)
{
	uint32_t n = 0, share;

	if (!recipe_is_wanted(r))
		return 0;
	if (r->id == RECIPE_DEFAULT)
		return pool->info.size;
	for (size_t i = 1; i < RECIPES_MAX; i++)
		n += recipe_is_wanted(&pool->recipes.at[i]);
	share = pool->info.size / n;
	return share ? share : pool->info.size > 0;
}

/* One with fewer queues than some device has is of no use there. */
static bool is_surplus(struct pool *pool, const struct place *p)
{
	const struct recipe *r;

	if (p->state != PLACE_READY)
		return false;
	r = recipes_find(&pool->recipes, p->recipe);
	return !r || p->in.map_entries < r->spec.queues ||
	       count_ready(pool, r->id) > share_of(pool, r);
}

/*
 * Under the mutex: what is to be discarded, or, with a recipe, to be filled. NULL with a recipe:
 * one on a device has to make room.
 */
static struct place *due(struct pool *pool, uint64_t *out_recipe)
{
	struct place *p = place_in(pool, PLACE_SPENT);

	*out_recipe = 0;
	for (uint32_t i = 0; i < pool->n && !p; i++) {
		if (is_surplus(pool, &pool->places[i]))
			p = &pool->places[i];
	}
	if (p)
		return p;
	for (size_t i = 0; i < RECIPES_MAX; i++) {
		const struct recipe *r = &pool->recipes.at[i];

		if (!r->id || count_ready(pool, r->id) >= share_of(pool, r))
			continue;
		*out_recipe = r->id;
		return place_in(pool, PLACE_FREE);
	}
	return NULL;
}

bool pool_wants(struct pool *pool)
{
	uint64_t recipe;
	bool wants;

	pthread_mutex_lock(&pool->mutex);
	wants = due(pool, &recipe) || (recipe && place_in(pool, PLACE_OUT));
	pthread_mutex_unlock(&pool->mutex);
	return wants;
}

void pool_step(struct pool *pool)
{
	uint64_t recipe;
	struct place *p;

	pthread_mutex_lock(&pool->mutex);
	p = due(pool, &recipe);
	if (p)
		p->state = PLACE_BUSY;
	pthread_mutex_unlock(&pool->mutex);
	if (p && !recipe)
		place_discard(pool, p);
	else if (recipe && (p || (p = place_evict(pool))))
		fill(pool, p, recipe);
}
