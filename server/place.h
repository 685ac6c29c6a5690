/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the pool: the devices at which instances wait. For pool.c and stock.c alone. */
#ifndef XSKD_PLACE_H
#define XSKD_PLACE_H

#include <pthread.h>

#include "pool.h"
#include "recipe.h"

/* Of those on devices, so many keep their place at least. */
#define PLACES_OUT 4
/* Of the default program, of others, and those. The kernel's dispatcher takes 48 programs. */
#define PLACES(size) (2 * (size) + PLACES_OUT)
#define PLACES_MAX   PLACES(POOL_SIZE_MAX)

/*
 * From here on. A bpf_link tells its device by the index alone, and not the namespace: a link that
 * is here must not be taken for one on somebody's device.
 */
#define PLACES_IFINDEX 0x70000000

enum place_state {
	PLACE_FREE,
	PLACE_READY,   /* waits */
	PLACE_TAKEN,   /* is about to go on a device */
	PLACE_OUT,     /* is on one as well */
	PLACE_LEAVING, /* has come off, but is not settled */
	PLACE_SPENT,   /* to be thrown away */
	PLACE_BUSY,    /* a worker is at it */
};

struct place {
	uint32_t ifindex;
	enum place_state state;
	int link_fd;        /* by which it is attached here */
	uint64_t recipe;    /* that it was made by; 0: it is not known */
	struct instance in; /* but for a link */
	uint32_t queues;    /* of the device that it is on: sockets can only be there */
	bool clean;
};

struct pool {
	const char *bpf_dir;
	struct gate *gate;
	int netns_fd;          /* where the places are */
	pthread_mutex_t turn;  /* to attach or to detach; held while the kernel waits */
	pthread_mutex_t mutex; /* of all below; never held for long */
	struct recipes recipes;
	bool keeps; /* instances that wait, and places of those on devices */
	uint32_t n;
	struct place places[PLACES_MAX];
	struct pool_info info;
};

/* Under the mutex: the first in a state; that of an instance that others know by its id; or NULL.
 */
struct place *place_in(struct pool *pool, enum place_state state);
struct place *place_of(struct pool *pool, uint32_t id);

/* place_seize() - the caller's alone from now on; NULL: none. @id: 0 is the first that is free. */
struct place *place_seize(struct pool *pool, uint32_t id);

void place_set(struct pool *pool, struct place *p, enum place_state state);

/* place_evict() - the same, of one whose instance is on a device as well; NULL: none is. */
struct place *place_evict(struct pool *pool);

/*
 * place_park() - attach its instance to it. @alone: that is attached nowhere else, and will count
 * from nothing.
 */
int place_park(struct pool *pool, struct place *p, bool alone) must_check;

/* place_leave() - detach it, in one's turn. It is on another device as well, or primed. */
void place_leave(struct place *p);

/* place_clear() - its instance goes, without its pins. */
void place_clear(struct pool *pool, struct place *p);

/* place_discard() - its instance goes for good: it is attached nowhere else. */
void place_discard(struct pool *pool, struct place *p);

#endif
