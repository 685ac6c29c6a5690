// SPDX-License-Identifier: Apache-2.0
#include "sweep.h"

#include <fcntl.h>

#include "instance.h"
#include "log.h"

struct place {
	uint64_t sock;
	uint32_t queue;
	size_t map;
	bool empty;
};

/* A program to be looked at. */
struct candidate {
	uint32_t id;
	bool over; /* transient, and leaving; else only its device has gone, perhaps */
	bool removed;
};

struct sweep {
	int *maps; /* copies: a program may be unloaded while we look */
	uint32_t *programs;
	size_t n_maps;
	struct place *places;
	size_t n_places;
	struct core *core; /* of which the worker reads the directories, that do not change */
	struct candidate *candidates;
	size_t n_candidates;
};

static int find_map(struct sweep *sweep, const struct core *core, uint32_t program, size_t *out)
{
	const struct program *p;

	for (*out = 0; *out < sweep->n_maps; (*out)++) {
		if (sweep->programs[*out] == program)
			return 0;
	}
	p = program_find(core, program);
	sweep->maps[*out] = p ? fcntl(p->map_fd, F_DUPFD_CLOEXEC, 3) : -1;
	if (sweep->maps[*out] < 0)
		return -1;
	sweep->programs[sweep->n_maps++] = program;
	return 0;
}

static void add_sockets(struct sweep *sweep, const struct core *core)
{
	for (size_t i = 0; i < core->socks.n; i++) {
		const struct sock *s = core->socks.at[i];
		struct place *place = &sweep->places[sweep->n_places];

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
static void add_programs(struct sweep *sweep, const struct core *core)
{
	for (size_t i = 0; i < core->programs.n; i++) {
		struct program *p = core->programs.at[i];
		bool over = program_is_over(p) && program_leave(p);

		if (over || (!p->leaving && !p->holds && (!p->m->ifindex || core->recheck)))
			sweep->candidates[sweep->n_candidates++] =
				(struct candidate){ .id = p->m->id, .over = over };
	}
}

struct sweep *sweep_new(struct core *core)
{
	size_t n = core->socks.n;
	struct sweep *sweep = n || core->programs.n ? calloc(1, sizeof(*sweep)) : NULL;

	if (!sweep)
		return NULL;
	sweep->core = core;
	sweep->maps = calloc(n + 1, sizeof(*sweep->maps));
	sweep->programs = calloc(n + 1, sizeof(*sweep->programs));
	sweep->places = calloc(n + 1, sizeof(*sweep->places));
	sweep->candidates = calloc(core->programs.n + 1, sizeof(*sweep->candidates));
	if (sweep->maps && sweep->programs && sweep->places && sweep->candidates) {
		add_sockets(sweep, core);
		add_programs(sweep, core);
		core->recheck -= core->recheck > 0;
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

/* Return: false, it is needed; or it could not be removed, and the next sweep tries again. */
static bool remove_candidate(const struct core *core, const struct candidate *c)
{
	uint32_t ifindex;

	if (!c->over && (instance_ifindex(core->bpf_dir, c->id, &ifindex) < 0 || ifindex))
		return false;
	return program_remove(core, c->id) == 0;
}

void sweep_look(struct sweep *sweep)
{
	for (size_t i = 0; i < sweep->n_places; i++) {
		struct place *place = &sweep->places[i];
		bool held = true;

		if (xsk_held(sweep->core->prober, sweep->maps[place->map], place->queue, &held) ==
		    0)
			place->empty = !held;
	}
	for (size_t i = 0; i < sweep->n_candidates; i++) {
		struct candidate *c = &sweep->candidates[i];

		c->removed = remove_candidate(sweep->core, c);
	}
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
		struct program *p = c->removed ? program_find(core, c->id) : NULL;

		if (!p)
			continue;
		if (c->over)
			log_info("program %u has gone from '%s': it has no lease to serve",
				 p->m->id, p->m->interface);
		else
			log_info("program %u: its device '%s' has gone", p->m->id, p->m->interface);
		if (!c->over)
			metrics_count(&core->metrics, TALLY_PROGRAMS_REMOVED);
		program_drop(core, p);
	}
}

void sweep_free(struct sweep *sweep)
{
	for (size_t i = 0; i < sweep->n_candidates; i++) {
		if (sweep->candidates[i].over)
			program_stay(sweep->core, sweep->candidates[i].id); /* if it is known yet */
	}
	for (size_t i = 0; i < sweep->n_maps; i++)
		close_fdp(&sweep->maps[i]);
	free(sweep->maps);
	free(sweep->programs);
	free(sweep->places);
	free(sweep->candidates);
	free(sweep);
}
