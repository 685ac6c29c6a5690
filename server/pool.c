// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "log.h"
#include "netns.h"
#include "pin.h"
#include "place.h"
#include "prime.h"

/*
 * Queues that an instance which waits is made for; more, once a device has had more. A place in an
 * XSKMAP takes 8 bytes, one of the counters 16 for each CPU.
 */
#define QUEUES_MIN 64

/* ---- what waits ---- */

static int keep_fd(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* The fds are the caller's own; the place keeps its. */
static bool lend(const struct instance *in, struct instance *out)
{
	*out = *in;
	out->prog_fd = keep_fd(in->prog_fd);
	out->map_fd = keep_fd(in->map_fd);
	out->counters_fd = in->custom ? -1 : keep_fd(in->counters_fd);
	if (out->prog_fd >= 0 && out->map_fd >= 0 && (in->custom || out->counters_fd >= 0))
		return true;
	instance_done(out);
	return false;
}

static struct place *find_ready(struct pool *pool, uint64_t recipe, uint32_t queues)
{
	for (uint32_t i = 0; i < pool->n; i++) {
		struct place *p = &pool->places[i];

		if (p->state == PLACE_READY && p->recipe == recipe && p->in.map_entries >= queues)
			return p;
	}
	return NULL;
}

/* Return: an instance that waits, and is the caller's alone; or NULL. */
static struct place *seize_ready(struct pool *pool, uint64_t recipe, uint32_t queues)
{
	struct place *p;

	pthread_mutex_lock(&pool->mutex);
	p = recipe ? find_ready(pool, recipe, queues) : NULL;
	if (p)
		p->state = PLACE_BUSY;
	pthread_mutex_unlock(&pool->mutex);
	return p;
}

static bool take(struct pool *pool, uint64_t recipe, uint32_t queues, struct instance *out)
{
	struct place *p;
	bool good = false;

	while (!good && (p = seize_ready(pool, recipe, queues))) {
		p->clean = false;
		if (!lend(&p->in, out)) {
			place_set(pool, p, PLACE_READY); /* no descriptor is left, not its fault */
			break;
		}
		good = pin_hide(pool->bpf_dir, out->id, false) == 0;
		if (!good)
			instance_done(out); /* somebody was at its pins */
		place_set(pool, p, good ? PLACE_TAKEN : PLACE_SPENT);
	}
	pthread_mutex_lock(&pool->mutex);
	*(good ? &pool->info.taken : &pool->info.missed) += 1;
	pthread_mutex_unlock(&pool->mutex);
	return good;
}

int pool_make(struct pool *pool, const struct instance_spec *spec, struct instance *out,
	      bool *out_ready, struct fault *fault)
{
	uint64_t recipe = pool->keeps ? recipes_note(&pool->recipes, spec, false) : 0;
	int err;

	*out_ready = pool->keeps && take(pool, recipe, spec->queues, out);
	if (*out_ready)
		return 0;
	err = instance_make(pool->gate, spec, out, fault);
	if (!err && !recipe && pool->keeps)
		(void)recipes_note(&pool->recipes, spec, true);
	return err;
}

/*
 * Sockets leave the map, as those of a program that is unloaded do; and the next device's counters
 * begin at nothing.
 */
static int scrub(const struct place *p)
{
	for (uint32_t q = 0; q < p->queues; q++) {
		int err;

		if (bpf_map_delete_elem(p->in.map_fd, &q) < 0 && errno != ENOENT)
			return -errno;
		err = instance_reset(p->in.counters_fd, q);
		if (err < 0)
			return err;
	}
	return 0;
}

/* ---- on a client's device, and off it ---- */

/* Return: a place that is the caller's alone, if need be that of one that is on a device. */
static struct place *find_room(struct pool *pool)
{
	struct place *p = place_seize(pool, 0);

	return p ? p : place_evict(pool);
}

/*
 * A custom program is attached nowhere first: there it would have to wait with the lock as well.
 */
static struct place *enter(struct pool *pool, const struct instance *in)
{
	struct place *p = in->custom ? NULL : find_room(pool);

	if (!p)
		return NULL;
	p->recipe = RECIPE_DEFAULT;
	p->clean = false;
	if (lend(in, &p->in) && place_park(pool, p, true) == 0)
		return p;
	place_clear(pool, p);
	return NULL;
}

/* Without a pool nothing stays behind. */
static void leave(struct pool *pool, struct place *p)
{
	pthread_mutex_lock(&pool->turn);
	place_leave(p);
	pthread_mutex_unlock(&pool->turn);
	place_clear(pool, p);
}

int pool_attach(struct pool *pool, struct instance *in, struct netns *ns, const struct device *dev,
		enum instance_mode mode, enum instance_mode *out_granted, struct fault *fault)
{
	struct place *p = place_seize(pool, in->id);
	int err;

	if (!p)
		p = enter(pool, in);
	pthread_mutex_lock(&pool->turn);
	err = instance_attach(in, ns, dev, mode, out_granted, fault);
	pthread_mutex_unlock(&pool->turn);
	if (p)
		p->queues = dev->max_queues;
	if (p && (err || pool->keeps))
		place_set(pool, p, err ? PLACE_TAKEN : PLACE_OUT);
	else if (p)
		leave(pool, p);
	return err;
}

/*
 * One that has no place any more, or was loaded by an earlier daemon, gets one to come off its
 * device quickly, and is thrown away there.
 */
static struct place *adopt(struct pool *pool, uint32_t id)
{
	struct place *p = find_room(pool);

	if (!p)
		return NULL;
	if (instance_open(pool->bpf_dir, id, &p->in) < 0 || !p->in.ifindex ||
	    (p->in.custom && !pool->keeps) || place_park(pool, p, false) < 0) {
		place_clear(pool, p);
		return NULL;
	}
	close_fdp(&p->in.link_fd);
	p->in.link_fd = -1;
	p->recipe = 0;
	p->clean = false;
	return p;
}

/*
 * Return: the place of what is to be removed; NULL: it has none, or somebody else has just removed
 * it. Then whoever forgets it settles it; and as two were at it, it is thrown away.
 */
static struct place *seize_to_remove(struct pool *pool, uint32_t id, bool *out_removed)
{
	struct place *p;

	pthread_mutex_lock(&pool->mutex);
	p = place_of(pool, id);
	*out_removed = p && p->state == PLACE_LEAVING;
	if (*out_removed)
		p->clean = false;
	else if (p)
		p->state = PLACE_BUSY;
	pthread_mutex_unlock(&pool->mutex);
	return *out_removed ? NULL : p;
}

int pool_remove(struct pool *pool, uint32_t id)
{
	bool removed;
	struct place *p = seize_to_remove(pool, id, &removed);
	int err;

	if (removed)
		return 0;
	if (!p)
		p = adopt(pool, id);
	pthread_mutex_lock(&pool->turn);
	err = p ? instance_unpin_link(pool->bpf_dir, id) : instance_unpin(pool->bpf_dir, id);
	pthread_mutex_unlock(&pool->turn);
	if (!p)
		return err;
	p->clean =
		p->clean && pool->keeps && !err && !scrub(p) && !pin_hide(pool->bpf_dir, id, true);
	if (!err && !p->clean)
		err = pin_remove(pool->bpf_dir, id, false);
	if (err || pool->keeps)
		place_set(pool, p, err ? PLACE_OUT : PLACE_LEAVING);
	else
		place_discard(pool, p);
	return err;
}

void pool_mark(struct pool *pool, uint32_t id, bool clean)
{
	struct place *p;

	pthread_mutex_lock(&pool->mutex);
	p = place_of(pool, id);
	if (p)
		p->clean = clean && p->recipe && !p->in.custom;
	pthread_mutex_unlock(&pool->mutex);
}

/* Each place: two workers that removed it at a time may both have given it one. */
void pool_settle(struct pool *pool, uint32_t id, bool clean)
{
	pthread_mutex_lock(&pool->mutex);
	for (uint32_t i = 0; i < pool->n; i++) {
		struct place *p = &pool->places[i];

		if (p->state != PLACE_LEAVING || p->in.id != id)
			continue;
		p->state = clean && p->clean ? PLACE_READY : PLACE_SPENT;
		pool->info.reused += p->state == PLACE_READY;
	}
	pthread_mutex_unlock(&pool->mutex);
}

static uint32_t count(const struct pool *pool, enum place_state state)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < pool->n; i++)
		n += pool->places[i].state == state;
	return n;
}

void pool_info(struct pool *pool, struct pool_info *out)
{
	pthread_mutex_lock(&pool->mutex);
	*out = pool->info;
	out->ready = count(pool, PLACE_READY);
	out->busy = count(pool, PLACE_BUSY);
	pthread_mutex_unlock(&pool->mutex);
	out->busy = out->busy || pool_wants(pool);
}

/* ---- beginning and end ---- */

/* Pairs of devices that stay down: nobody sends anything there. */
static int make_places(struct pool *pool, uint32_t n)
{
	struct netns ns = NETNS_OF(pool->gate, pool->netns_fd);
	uint32_t ifindex = PLACES_IFINDEX;
	int err = 0;

	for (; pool->n < n && !err; pool->n += 2, ifindex += 2) {
		err = netns_add_veth(&ns, ifindex, ifindex + 1);
		pool->places[pool->n].ifindex = ifindex;
		pool->places[pool->n + 1].ifindex = ifindex + 1;
	}
	netns_done(&ns);
	return err;
}

int pool_open(uint32_t size, const char *bpf_dir, struct gate *gate, struct pool **out,
	      struct fault *fault)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	int err;

	if (!pool)
		return fault_sys(fault, ENOMEM, "cannot make the pool of programs");
	pool->bpf_dir = bpf_dir;
	pool->gate = gate;
	pool->netns_fd = -1;
	pool->info.size = size;
	pool->keeps = size > 0;
	pthread_mutex_init(&pool->turn, NULL);
	pthread_mutex_init(&pool->mutex, NULL);
	recipes_init(&pool->recipes, &pool->mutex, QUEUES_MIN);
	for (uint32_t i = 0; i < PLACES_MAX; i++) {
		pool->places[i].link_fd = -1;
		pool->places[i].in = INSTANCE_INIT;
	}
	*out = pool;
	err = pool->netns_fd = netns_new();
	if (err >= 0)
		err = make_places(pool, PLACES(size));
	if (fault_is_shortage(err))
		return fault_sys(fault, -err, "cannot make the pool's network namespace");
	if (err < 0) {
		pool->n = 0;
		pool->info.size = 0;
		log_warning("cannot make a veth pair for the pool (%s): loading and unloading "
			    "programs holds up the node's networking for some 10 ms each; load the "
			    "kernel module veth, and restart xskd",
			    strerrordesc_np(-err));
	}
	return 0;
}

void pool_close(struct pool *pool)
{
	if (!pool)
		return;
	for (uint32_t i = 0; i < pool->n; i++) {
		struct place *p = &pool->places[i];

		if (p->state == PLACE_READY || p->state == PLACE_SPENT)
			place_discard(pool, p);
		place_leave(p);
		instance_done(&p->in);
	}
	close_fdp(&pool->netns_fd);
	recipes_done(&pool->recipes);
	pthread_mutex_destroy(&pool->turn);
	pthread_mutex_destroy(&pool->mutex);
	free(pool);
}
