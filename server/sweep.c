// SPDX-License-Identifier: Apache-2.0
#include "sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "instance.h"
#include "log.h"
#include "netns.h"
#include "pool.h"

/*
 * Looks at 0, 10, 20, 40, 80 ms: a process that ends closes its connection before or after its
 * sockets, and each of those takes the kernel some 10 ms. A namespace takes longer: see
 * core_netns_gone().
 */
#define SOCK_LOOKS    5
#define PROGRAM_LOOKS 10
#define DELAY_MAX     1000 /* ms; what there is to be seen later than that, the next tick sees */

struct place {
	uint64_t sock;
	uint32_t queue;
	size_t map;
	bool empty;
};

/* A program to be looked at. */
struct candidate {
	uint32_t id, ifindex;
	int nsid;
	uint32_t now; /* where its link is, wherever that is; 0: nowhere, or not looked at */
	bool over;    /* transient, and leaving; else only its device has gone, perhaps */
	bool removed;
	bool detached;    /* ... by somebody else, for its device is there */
	uint32_t foreign; /* what is attached there now; 0: nothing */
};

struct sweep {
	int *maps; /* copies: a program may be unloaded while we look */
	size_t n_maps;
	uint32_t program; /* whose the last of them is */
	struct place *places;
	size_t n_places;
	struct core *core; /* of which the worker reads the directories, that do not change */
	struct candidate *candidates;
	size_t n_candidates;
};

/* Sockets come by their places, so it is the last program's map, or a new one. */
static int find_map(struct sweep *sweep, const struct core *core, uint32_t program, size_t *out)
{
	const struct program *p;
	int map;

	if (!sweep->n_maps || sweep->program != program) {
		p = program_find(core, program);
		map = p ? fcntl(p->map_fd, F_DUPFD_CLOEXEC, 3) : -1;
		if (map < 0)
			return -1;
		sweep->program = program;
		sweep->maps[sweep->n_maps++] = map;
	}
	*out = sweep->n_maps - 1;
	return 0;
}

/* What is looked at now is looked at in vain at most so many times. */
static unsigned int doubt_less(unsigned int doubt, unsigned int looks)
{
	return doubt && doubt < looks ? doubt + 1 : 0;
}

static void add_sockets(struct sweep *sweep, const struct core *core, bool all)
{
	for (size_t i = 0; i < core->socks_by_place.n; i++) {
		struct sock *s = core->socks_by_place.at[i];
		struct place *place = &sweep->places[sweep->n_places];

		if (!all && !s->doubt)
			continue;
		s->doubt = doubt_less(s->doubt, SOCK_LOOKS);
		if (s->m->state == XSKD__SOCKET_STATE__SOCKET_AWAITS_BIND || s->fd >= 0 ||
		    find_map(sweep, core, s->m->program_id, &place->map) < 0)
			continue;
		place->sock = s->m->id;
		place->queue = s->m->queue;
		sweep->n_places++;
	}
}

/*
 * One that is over must get no lease while the worker is at it, so it is leaving; one without a
 * device gets none anyway.
 */
static void add_programs(struct sweep *sweep, struct core *core, bool all)
{
	for (size_t i = 0; i < core->programs.n; i++) {
		struct program *p = core->programs.at[i];
		bool over = program_is_over(p) && program_leave(core, p);

		if (!all && !over && !p->doubt)
			continue;
		p->doubt = doubt_less(p->doubt, PROGRAM_LOOKS);
		if (over || (!p->leaving && !p->holds))
			sweep->candidates[sweep->n_candidates++] = (struct candidate){
				.id = p->m->id,
				.ifindex = p->m->ifindex,
				.nsid = p->nsid,
				.over = over,
			};
	}
}

static int delay_of(unsigned int doubt)
{
	int delay = doubt > 1 ? 5 << (doubt - 1) : 0;

	return delay < DELAY_MAX ? delay : DELAY_MAX;
}

int sweep_delay(const struct core *core)
{
	int least = -1;

	for (size_t i = 0; i < core->socks.n; i++) {
		const struct sock *s = core->socks.at[i];

		if (s->doubt && (least < 0 || delay_of(s->doubt) < least))
			least = delay_of(s->doubt);
	}
	for (size_t i = 0; i < core->programs.n; i++) {
		const struct program *p = core->programs.at[i];

		if (p->doubt && (least < 0 || delay_of(p->doubt) < least))
			least = delay_of(p->doubt);
	}
	return least;
}

struct sweep *sweep_new(struct core *core, enum sweep_what what)
{
	size_t n = core->socks.n;
	struct sweep *sweep = n || core->programs.n ? calloc(1, sizeof(*sweep)) : NULL;

	if (!sweep)
		return NULL;
	if (what == SWEEP_SOCKETS)
		clock_gettime(CLOCK_MONOTONIC, &core->swept);
	sweep->core = core;
	sweep->maps = calloc(n + 1, sizeof(*sweep->maps));
	sweep->places = calloc(n + 1, sizeof(*sweep->places));
	sweep->candidates = calloc(core->programs.n + 1, sizeof(*sweep->candidates));
	if (sweep->maps && sweep->places && sweep->candidates) {
		add_sockets(sweep, core, what != SWEEP_DOUBTFUL);
		/* Who asks for sockets may wait for a worker of his, and programs not for him. */
		if (what != SWEEP_SOCKETS)
			add_programs(sweep, core, what == SWEEP_ALL);
	}
	if (!sweep->n_places && !sweep->n_candidates) {
		sweep_free(sweep);
		return NULL;
	}
	return sweep;
}

bool sweep_due(const struct core *core)
{
	struct timespec now;
	int64_t ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (now.tv_sec - core->swept.tv_sec) * 1000 +
	     (now.tv_nsec - core->swept.tv_nsec) / 1000000;
	return ms >= 100;
}

/*
 * A link that was detached looks like one whose device has gone, and a pin that was removed has
 * detached it: either way it is the device that tells what happened.
 */
static bool is_attached(const struct core *core, struct candidate *c)
{
	struct device dev;
	int err = instance_ifindex(core->bpf_dir, c->id, &c->now);

	if (c->now || (err < 0 && err != -ENOENT))
		return true;
	c->detached = c->ifindex && c->nsid != NETNS_UNKNOWN &&
		      device_find_at(c->nsid, c->ifindex, &dev) == 0 && dev.xdp_prog_id != c->id;
	c->foreign = c->detached ? dev.xdp_prog_id : 0;
	return false;
}

/* Return: false, it is needed; or it could not be removed, and the next sweep tries again. */
static bool remove_candidate(const struct core *core, struct candidate *c)
{
	if (!c->over && is_attached(core, c))
		return false;
	return program_remove(core, c->id) == 0;
}

/* A thousand of them take their time. */
static void close_maps(struct sweep *sweep)
{
	for (size_t i = 0; i < sweep->n_maps; i++)
		close_fdp(&sweep->maps[i]);
	sweep->n_maps = 0;
}

void sweep_look(struct sweep *sweep)
{
	for (size_t i = 0; i < sweep->n_places; i++) {
		struct place *place = &sweep->places[i];
		bool held = true;

		if (xsk_held(&sweep->core->prober, sweep->maps[place->map], place->queue, &held) ==
		    0)
			place->empty = !held;
	}
	for (size_t i = 0; i < sweep->n_candidates; i++) {
		struct candidate *c = &sweep->candidates[i];

		c->removed = remove_candidate(sweep->core, c);
	}
	close_maps(sweep);
}

static void note_end(struct core *core, const struct program *p, const struct candidate *c)
{
	char why[128] = "its XDP program was detached by somebody else";

	if (c->foreign)
		snprintf(why, sizeof(why),
			 "its XDP program was detached by somebody else, program %u is there now",
			 c->foreign);
	if (c->over)
		log_info("program %u has gone from '%s': it has no lease to serve", p->m->id,
			 p->m->interface);
	else if (c->detached)
		log_warning("program %u of '%s': %s: clearing up after it", p->m->id,
			    p->m->interface, why);
	else
		log_info("program %u: its device '%s' has gone", p->m->id, p->m->interface);
	for (size_t i = 0; i < core->leases.n && c->detached; i++) {
		const struct lease *l = core->leases.at[i];

		if (l->m->program_id == c->id)
			watch_tell(core, XSKD__EVENT_KIND__EVENT_PROGRAM_LOST, l, NULL, why);
	}
	if (!c->over)
		metrics_count(&core->metrics, TALLY_PROGRAMS_REMOVED);
}

void sweep_note(struct core *core, const struct sweep *sweep)
{
	clock_gettime(CLOCK_MONOTONIC, &core->swept);
	for (size_t i = 0; i < sweep->n_places; i++) {
		struct sock *s =
			sweep->places[i].empty ? sock_find(core, sweep->places[i].sock) : NULL;

		if (s)
			sock_drop(core, s, XSKD__EVENT_KIND__EVENT_SOCKET_RELEASED,
				  "closed by its holder");
	}
	for (size_t i = 0; i < sweep->n_candidates; i++) {
		const struct candidate *c = &sweep->candidates[i];
		struct program *p = program_find(core, c->id);

		/* Somebody else is taking it away, and has detached it: he will say so. */
		if (p && p->leaving && !c->over)
			continue;
		if (p && c->removed)
			note_end(core, p, c);
		if (c->removed)
			program_forget(core, c->id, false);
		else if (p && c->now && p->nsid == NETNS_UNKNOWN)
			program_moved(core, p, p->inode, p->nsid, p->m->netns_cookie, c->now,
				      p->m->interface);
	}
}

void sweep_free(struct sweep *sweep)
{
	for (size_t i = 0; i < sweep->n_candidates; i++) {
		if (sweep->candidates[i].over)
			program_stay(sweep->core, sweep->candidates[i].id); /* if it is known yet */
	}
	close_maps(sweep);
	free(sweep->maps);
	free(sweep->places);
	free(sweep->candidates);
	free(sweep);
}
