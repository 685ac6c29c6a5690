// SPDX-License-Identifier: Apache-2.0
#include "place.h"

#include <linux/if_link.h>

#include "gate.h"
#include "log.h"
#include "pin.h"
#include "prime.h"

struct place *place_in(struct pool *pool, enum place_state state)
{
	for (uint32_t i = 0; i < pool->n; i++) {
		if (pool->places[i].state == state)
			return &pool->places[i];
	}
	return NULL;
}

struct place *place_of(struct pool *pool, uint32_t id)
{
	for (uint32_t i = 0; i < pool->n; i++) {
		struct place *p = &pool->places[i];

		/* The state first: what is in a place that a worker is at is his alone. */
		if (p->state >= PLACE_TAKEN && p->state <= PLACE_LEAVING && p->in.id == id)
			return p;
	}
	return NULL;
}

struct place *place_seize(struct pool *pool, uint32_t id)
{
	struct place *p;

	pthread_mutex_lock(&pool->mutex);
	p = id ? place_of(pool, id) : place_in(pool, PLACE_FREE);
	if (p)
		p->state = PLACE_BUSY;
	pthread_mutex_unlock(&pool->mutex);
	return p;
}

void place_set(struct pool *pool, struct place *p, enum place_state state)
{
	pthread_mutex_lock(&pool->mutex);
	p->state = state;
	pthread_mutex_unlock(&pool->mutex);
}

struct place *place_evict(struct pool *pool)
{
	struct place *p;

	pthread_mutex_lock(&pool->mutex);
	p = place_in(pool, PLACE_OUT);
	if (p)
		p->state = PLACE_BUSY;
	pthread_mutex_unlock(&pool->mutex);
	if (!p)
		return NULL;
	pthread_mutex_lock(&pool->turn);
	place_leave(p);
	pthread_mutex_unlock(&pool->turn);
	instance_done(&p->in);
	return p;
}

/*
 * The devices here are down, and a driver does nothing for one that is: so the program is run for a
 * moment alone. While it runs, no grace period ends, and that of a device that is up may wait for
 * some. A custom program may do something when it is run; it is attached as ever.
 */
static void turn_begin(struct pool *pool, struct prime *prime, const struct instance *in,
		       bool alone)
{
	pthread_mutex_lock(&pool->turn);
	*prime = (struct prime){ 0 };
	if (alone && in->counters_fd >= 0)
		prime_begin(prime, in->prog_fd, in->counters_fd);
}

static void turn_end(struct pool *pool, struct prime *prime)
{
	prime_end(prime);
	pthread_mutex_unlock(&pool->turn);
}

int place_park(struct pool *pool, struct place *p, bool alone)
{
	struct prime prime;
	int err, reset;

	turn_begin(pool, &prime, &p->in, alone);
	p->link_fd = gate_link(pool->gate, pool->netns_fd, p->in.prog_fd, p->ifindex,
			       XDP_FLAGS_DRV_MODE);
	turn_end(pool, &prime);
	err = p->link_fd < 0 ? p->link_fd : 0;
	/* It has counted what it was run on. */
	reset = alone && p->in.counters_fd >= 0 ? instance_reset(p->in.counters_fd, 0) : 0;
	return err ? err : reset;
}

void place_leave(struct place *p)
{
	close_fdp(&p->link_fd);
	p->link_fd = -1;
}

void place_clear(struct pool *pool, struct place *p)
{
	place_leave(p);
	instance_done(&p->in);
	place_set(pool, p, PLACE_FREE);
}

void place_discard(struct pool *pool, struct place *p)
{
	uint32_t id = p->in.id;
	struct prime prime;

	turn_begin(pool, &prime, &p->in, true);
	place_leave(p);
	turn_end(pool, &prime);
	/* It may be pinned in either way, or in none. */
	if (id &&
	    (pin_remove(pool->bpf_dir, id, true) < 0 || pin_remove(pool->bpf_dir, id, false) < 0))
		log_warning("cannot remove the pins of program %u, ignoring them", id);
	place_clear(pool, p);
}
