// SPDX-License-Identifier: Apache-2.0
#include "sweep.h"

#include <fcntl.h>
#include <stdio.h>

#include "instance.h"
#include "log.h"
#include "pin.h"

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
	const struct core *core; /* for its directories, which do not change */
	uint32_t *gone; /* programs that have no device any more, it seems; 0: it has one */
	size_t n_gone;
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

static void add_gone(struct sweep *sweep, const struct core *core)
{
	for (size_t i = 0; i < core->programs.n; i++) {
		const struct program *p = core->programs.at[i];

		if (!p->m->ifindex || core->recheck)
			sweep->gone[sweep->n_gone++] = p->m->id;
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
	sweep->gone = calloc(core->programs.n + 1, sizeof(*sweep->gone));
	if (sweep->maps && sweep->programs && sweep->places && sweep->gone) {
		add_sockets(sweep, core);
		add_gone(sweep, core);
		core->recheck -= core->recheck > 0;
	}
	if (!sweep->n_places && !sweep->n_gone) {
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

/* Return: false, it has its device; or it could not be removed, and the next sweep tries again. */
static bool remove_program(const struct core *core, uint32_t id)
{
	uint32_t ifindex;
	char name[16];

	snprintf(name, sizeof(name), "%u", id);
	if (instance_ifindex(core->bpf_dir, id, &ifindex) < 0 || ifindex)
		return false;
	return instance_unpin(core->bpf_dir, id) == 0 &&
	       state_remove(&core->state, STATE_PROGRAMS, name) == 0;
}

void sweep_look(struct sweep *sweep)
{
	for (size_t i = 0; i < sweep->n_places; i++) {
		struct place *place = &sweep->places[i];
		bool held = true;

		if (xsk_held(sweep->maps[place->map], place->queue, &held) == 0)
			place->empty = !held;
	}
	for (size_t i = 0; i < sweep->n_gone; i++) {
		if (!remove_program(sweep->core, sweep->gone[i]))
			sweep->gone[i] = 0;
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
	for (size_t i = 0; i < sweep->n_gone; i++) {
		struct program *p = program_find(core, sweep->gone[i]);

		if (!p)
			continue;
		log_info("program %u: its device '%s' has gone", p->m->id, p->m->interface);
		program_drop(core, p);
	}
}

void sweep_free(struct sweep *sweep)
{
	for (size_t i = 0; i < sweep->n_maps; i++)
		close_fdp(&sweep->maps[i]);
	free(sweep->maps);
	free(sweep->programs);
	free(sweep->places);
	free(sweep->gone);
	free(sweep);
}
