// SPDX-License-Identifier: Apache-2.0
/* The programs that are attached: see core.h. Loading and attaching them is instance.c's. */
#include <stdio.h>
#include <string.h>

#include "core.h"
#include "instance.h"
#include "keys.h"
#include "pool.h"

struct program *program_find(const struct core *core, uint32_t id)
{
	return index_find(&core->programs, &id);
}

struct program *program_at(const struct core *core, ino_t inode, const char *interface)
{
	const struct index *ix = &core->programs_by_name;
	const struct program_key key = { .inode = inode, .interface = interface };

	for (size_t i = index_after(ix, &key); i < ix->n; i++) {
		struct program *p = ix->at[i];

		if (p->inode != inode || strcmp(p->m->interface, interface) != 0)
			break;
		if (p->m->ifindex)
			return p;
	}
	return NULL;
}

struct program *program_next(const struct core *core, int nsid, uint32_t ifindex, uint32_t after)
{
	const struct index *ix = &core->programs_by_link;
	size_t i = index_after(
		ix, &(struct program_key){ .nsid = nsid, .ifindex = ifindex, .id = after });
	struct program *p = i < ix->n ? ix->at[i] : NULL;

	return p && p->nsid == nsid && p->m->ifindex == ifindex ? p : NULL;
}

static time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

bool program_is_over(const struct program *p)
{
	return p->m->transient && !p->m->leases && p->spared <= seconds();
}

static void program_free(struct program *p)
{
	close_fdp(&p->map_fd);
	xskd__program__free_unpacked(p->m, NULL);
	free(p);
}

struct program *program_add(struct core *core, Xskd__Program *m, ino_t inode, int nsid, int map_fd)
{
	struct program *p = calloc(1, sizeof(*p));

	if (!p) {
		close_fdp(&map_fd);
		xskd__program__free_unpacked(m, NULL);
		return NULL;
	}
	p->m = m;
	p->inode = inode;
	p->nsid = nsid;
	p->map_fd = map_fd;
	/* Loaded or found by a new daemon: either way, whoever loaded it may be about to use it. */
	p->spared = seconds() + core->limits.transient_grace + 1; /* of a second that has begun */
	if (index_reserve(&core->programs, 1) < 0 || keys_add_program(core, p) < 0) {
		program_free(p);
		return NULL;
	}
	(void)!index_add(&core->programs, &m->id, p); /* there is room */
	return p;
}

/* An older daemon did not note it, and made its maps no larger. */
uint32_t program_queues(const struct program *p)
{
	return p->m->queues ? p->m->queues : p->m->map_entries;
}

void program_moved(struct core *core, struct program *p, ino_t inode, int nsid, uint64_t cookie,
		   uint32_t ifindex, const char *interface)
{
	char *name = strdup(interface);

	keys_remove_program(core, p);
	p->inode = inode;
	p->nsid = nsid;
	p->m->netns_cookie = cookie;
	p->m->ifindex = ifindex;
	/* Without memory the old name is better than none. */
	if (name && p->m->interface != protobuf_c_empty_string)
		free(p->m->interface);
	if (name)
		p->m->interface = name;
	(void)!keys_add_program(core, p); /* it has its places yet */
}

/* Those on its device, nearly always; it may have been moved since. */
static void leave_leases(struct core *core, struct program *p)
{
	struct lease *l = NULL;

	while (p->m->leases && (l = lease_next_on_device(core, p->inode, p->m->ifindex, l))) {
		if (l->m->program_id == p->m->id)
			lease_serve(core, l, NULL);
	}
	for (size_t i = 0; i < core->leases.n && p->m->leases; i++) {
		l = core->leases.at[i];
		if (l->m->program_id == p->m->id)
			lease_serve(core, l, NULL);
	}
}

void program_drop(struct core *core, struct program *p, bool alone)
{
	uint32_t id = p->m->id;

	sock_drop_all(core, 0, id, XSKD__EVENT_KIND__EVENT_SOCKET_LOST,
		      "its XDP program was unloaded");
	leave_leases(core, p);
	keys_remove_program(core, p);
	index_remove(&core->programs, &id);
	program_free(p);
	if (core->pool) {
		/* From now on its id may be another program's. */
		pool_settle(core->pool, id, alone);
		core->refill(core->arg);
	}
}

void program_forget(struct core *core, uint32_t id, bool alone)
{
	struct program *p = program_find(core, id);

	if (p)
		program_drop(core, p, alone);
	else if (core->pool)
		pool_settle(core->pool, id, false);
}

void program_doubt(struct core *core, struct program *p)
{
	p->doubt = 1;
	core->look(core->arg);
}

void program_serve(struct core *core, const struct program *p)
{
	struct lease *l = NULL;

	while ((l = lease_next_on_device(core, p->inode, p->m->ifindex, l)))
		lease_serve(core, l, p);
}

/*
 * Whoever has the map could reach the sockets of the next device; a hand-off under way is about to
 * put one there; and a sweep under way may take it for one that has lost its device.
 */
bool program_leave(struct core *core, struct program *p)
{
	if (p->leaving || p->holds)
		return false;
	p->leaving = true;
	if (core->pool)
		pool_mark(core->pool, p->m->id, !p->lent && !sock_claimed(core, p->m->id));
	return true;
}

void program_stay(struct core *core, uint32_t id)
{
	struct program *p = program_find(core, id);

	if (!p)
		return;
	p->leaving = false;
	if (core->pool)
		pool_mark(core->pool, id, false);
	program_serve(core, p); /* what was granted meanwhile passed it by */
}

/* The pins first: a state file without them is one of a program that was half unloaded. */
int program_remove(const struct core *core, uint32_t id)
{
	char name[16];
	int err = core->pool ? pool_remove(core->pool, id) : instance_unpin(core->bpf_dir, id);

	snprintf(name, sizeof(name), "%u", id);
	return err ? err : state_remove(&core->state, STATE_PROGRAMS, name);
}

uint32_t program_hold(struct program *p)
{
	p->holds++;
	return p->m->id;
}

void program_release(const struct core *core, uint32_t id)
{
	struct program *p = program_find(core, id);

	if (p)
		p->holds--;
}

void program_file(const struct program *p, Xskd__StateFile *out)
{
	xskd__state_file__init(out);
	out->program = p->m;
	out->netns_inode = p->inode;
	out->served = p->served;
	out->nsid = p->nsid;
}
