// SPDX-License-Identifier: Apache-2.0
#include "sweep.h"

#include <fcntl.h>

struct place {
	uint64_t sock;
	uint32_t queue;
	size_t map;
	bool empty;
};

struct sweep {
	int *maps; /* copies: a program may be unloaded while we look */
	uint32_t *programs;
	size_t n_maps;
	struct place *places;
	size_t n_places;
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

struct sweep *sweep_new(const struct core *core)
{
	size_t n = core->socks.n;
	struct sweep *sweep = n ? calloc(1, sizeof(*sweep)) : NULL;

	if (!sweep)
		return NULL;
	sweep->maps = calloc(n, sizeof(*sweep->maps));
	sweep->programs = calloc(n, sizeof(*sweep->programs));
	sweep->places = calloc(n, sizeof(*sweep->places));
	for (size_t i = 0; i < n && sweep->maps && sweep->programs && sweep->places; i++) {
		const struct sock *s = core->socks.at[i];
		struct place *place = &sweep->places[sweep->n_places];

		if (s->m->state == XSKD__SOCKET_STATE__SOCKET_AWAITS_BIND || s->fd >= 0 ||
		    find_map(sweep, core, s->m->program_id, &place->map) < 0)
			continue;
		place->sock = s->m->id;
		place->queue = s->m->queue;
		sweep->n_places++;
	}
	if (!sweep->n_places) {
		sweep_free(sweep);
		return NULL;
	}
	return sweep;
}

void sweep_look(struct sweep *sweep)
{
	for (size_t i = 0; i < sweep->n_places; i++) {
		struct place *place = &sweep->places[i];
		bool held = true;

		if (xsk_held(sweep->maps[place->map], place->queue, &held) == 0)
			place->empty = !held;
	}
}

void sweep_note(struct core *core, const struct sweep *sweep)
{
	for (size_t i = 0; i < sweep->n_places; i++) {
		struct sock *s =
			sweep->places[i].empty ? sock_find(core, sweep->places[i].sock) : NULL;

		if (s)
			sock_drop(core, s, XSKD__EVENT_KIND__EVENT_SOCKET_RELEASED,
				  "closed by its holder");
	}
}

void sweep_free(struct sweep *sweep)
{
	for (size_t i = 0; i < sweep->n_maps; i++)
		close_fdp(&sweep->maps[i]);
	free(sweep->maps);
	free(sweep->programs);
	free(sweep->places);
	free(sweep);
}
