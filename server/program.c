// SPDX-License-Identifier: Apache-2.0
/* The programs that are attached: see core.h. Loading and attaching them is instance.c's. */
#include <stdio.h>
#include <string.h>

#include "core.h"
#include "instance.h"

struct program *program_find(const struct core *core, uint32_t id)
{
	return index_find(&core->programs, &id);
}

struct program *program_at(const struct core *core, ino_t inode, const char *interface)
{
	for (size_t i = 0; i < core->programs.n; i++) {
		struct program *p = core->programs.at[i];

		if (p->inode == inode && p->m->ifindex && !strcmp(p->m->interface, interface))
			return p;
	}
	return NULL;
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

struct program *program_add(struct core *core, Xskd__Program *m, ino_t inode, int map_fd)
{
	struct program *p = calloc(1, sizeof(*p));

	if (!p) {
		close_fdp(&map_fd);
		xskd__program__free_unpacked(m, NULL);
		return NULL;
	}
	p->m = m;
	p->inode = inode;
	p->nsid = -1;
	p->map_fd = map_fd;
	/* Loaded or found by a new daemon: either way, whoever loaded it may be about to use it. */
	p->spared = seconds() + core->limits.transient_grace + 1; /* of a second that has begun */
	if (index_add(&core->programs, &m->id, p) < 0) {
		program_free(p);
		return NULL;
	}
	return p;
}

void program_moved(struct program *p, ino_t inode, int nsid, uint64_t cookie, uint32_t ifindex,
		   const char *interface)
{
	char *name = strdup(interface);

	p->inode = inode;
	p->nsid = nsid;
	p->m->netns_cookie = cookie;
	p->m->ifindex = ifindex;
	if (!name)
		return; /* the old name is better than none */
	if (p->m->interface != protobuf_c_empty_string)
		free(p->m->interface);
	p->m->interface = name;
}

void program_drop(struct core *core, struct program *p)
{
	uint32_t id = p->m->id;

	sock_drop_all(core, 0, id, XSKD__EVENT_KIND__EVENT_SOCKET_LOST,
		      "its XDP program was unloaded");
	for (size_t i = 0; i < core->leases.n; i++) {
		struct lease *l = core->leases.at[i];

		if (l->m->program_id == id)
			l->m->program_id = 0;
	}
	index_remove(&core->programs, &id);
	program_free(p);
}

void program_doubt(struct core *core, struct program *p)
{
	p->doubt = 1;
	core->look(core->arg);
}

void program_serve(struct core *core, const struct program *p)
{
	for (size_t i = 0; i < core->leases.n; i++) {
		struct lease *l = core->leases.at[i];

		if (lease_inode(core, l) == p->inode && l->m->ifindex == p->m->ifindex)
			lease_serve(core, l, p);
	}
}

bool program_leave(struct program *p)
{
	if (p->leaving || p->holds)
		return false;
	p->leaving = true;
	return true;
}

void program_stay(struct core *core, uint32_t id)
{
	struct program *p = program_find(core, id);

	if (!p)
		return;
	p->leaving = false;
	program_serve(core, p); /* what was granted meanwhile passed it by */
}

/* The pins first: a state file without them is one of a program that was half unloaded. */
int program_remove(const struct core *core, uint32_t id)
{
	char name[16];
	int err = instance_unpin(core->bpf_dir, id);

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
