// SPDX-License-Identifier: Apache-2.0
/* The programs that are attached: see core.h. Loading and attaching them is instance.c's. */
#include <string.h>

#include "core.h"
#include "pin.h"

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
	p->map_fd = map_fd;
	if (index_add(&core->programs, &m->id, p) < 0) {
		program_free(p);
		return NULL;
	}
	return p;
}

void program_moved(struct program *p, ino_t inode, uint64_t cookie, uint32_t ifindex,
		   const char *interface)
{
	char *name = strdup(interface);

	p->inode = inode;
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

void program_file(const struct program *p, Xskd__StateFile *out)
{
	xskd__state_file__init(out);
	out->program = p->m;
	out->netns_inode = p->inode;
	out->served = p->served;
}
