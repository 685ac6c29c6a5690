// SPDX-License-Identifier: Apache-2.0
/* Who may use which queues of which interface: see core.h. */
#include <stdio.h>
#include <string.h>

#include "core.h"
#include "log.h"

int lease_compare(const void *key, const void *item)
{
	const struct lease_key *k = key;
	const struct lease *l = item;

	if (k->cookie != l->m->netns_cookie)
		return k->cookie < l->m->netns_cookie ? -1 : 1;
	return strcmp(k->interface, l->m->interface);
}

struct lease *lease_find(const struct core *core, uint64_t id)
{
	return index_find(&core->leases, &id);
}

struct lease *lease_of(const struct core *core, uint64_t cookie, const char *interface)
{
	return index_find(&core->leases_by_netns, &(struct lease_key){ cookie, interface });
}

struct lease *lease_by_key(const struct core *core, const char *container, const char *interface)
{
	for (size_t i = 0; i < core->leases.n; i++) {
		struct lease *l = core->leases.at[i];

		if (!strcmp(l->m->container, container) && !strcmp(l->m->interface, interface))
			return l;
	}
	return NULL;
}

bool lease_has_queue(const struct lease *l, uint32_t queue)
{
	for (size_t i = 0; i < l->m->n_queues; i++) {
		if (l->m->queues[i] == queue)
			return true;
	}
	return false;
}

ino_t lease_inode(const struct core *core, const struct lease *l)
{
	return l->m->mode == XSKD__LEASE_MODE__LEASE_MODE_QUEUE ? core->inode : l->inode;
}

static void lease_free(struct lease *l)
{
	xskd__lease__free_unpacked(l->m, NULL);
	free(l);
}

static void count_lease(struct core *core, const struct lease *l, int32_t more)
{
	struct program *p = program_find(core, l->m->program_id);

	if (!p)
		return;
	p->m->leases += (uint32_t)more;
	p->spared = 0; /* what it waited for has come */
}

void lease_serve(struct core *core, struct lease *l, const struct program *p)
{
	count_lease(core, l, -1);
	l->m->program_id = p ? p->m->id : 0;
	count_lease(core, l, 1);
}

struct lease *lease_add(struct core *core, Xskd__Lease *m, ino_t inode, int nsid)
{
	struct lease *l = calloc(1, sizeof(*l));

	if (!l || index_reserve(&core->leases, 1) < 0 ||
	    index_reserve(&core->leases_by_netns, 1) < 0) {
		xskd__lease__free_unpacked(m, NULL);
		free(l);
		return NULL;
	}
	if (!m->id)
		m->id = ++core->last_id;
	l->m = m;
	l->inode = inode;
	l->nsid = nsid;
	/* Cannot fail: there is room. */
	(void)!index_add(&core->leases, &m->id, l);
	(void)!index_add(&core->leases_by_netns,
			 &(struct lease_key){ m->netns_cookie, m->interface }, l);
	count_lease(core, l, 1);
	return l;
}

void lease_drop(struct core *core, struct lease *l, const char *why)
{
	uint64_t id = l->m->id;

	sock_drop_all(core, id, 0, XSKD__EVENT_KIND__EVENT_UNKNOWN, NULL);
	watch_tell(core, XSKD__EVENT_KIND__EVENT_LEASE_REVOKED, l, NULL, why);
	log_info("lease of '%s' on '%s' has ended: %s", l->m->container, l->m->interface, why);
	count_lease(core, l, -1);
	index_remove(&core->leases, &id);
	index_remove(&core->leases_by_netns,
		     &(struct lease_key){ l->m->netns_cookie, l->m->interface });
	lease_free(l);
}

/* A socket that was passed on outlives its pod; its queue is to be the next one's. */
static void empty_places(const struct core *core, const struct lease *l)
{
	for (size_t i = 0; i < core->socks.n; i++) {
		const struct sock *s = core->socks.at[i];
		const struct program *p = program_find(core, s->m->program_id);

		if (s->lease == l->m->id && p)
			xsk_remove(p->map_fd, s->m->queue);
	}
}

/* Its file first: what cannot be removed now is found stale at the next start. */
void lease_end(struct core *core, struct lease *l, const char *why)
{
	char name[256];

	empty_places(core, l);
	lease_file_name(l->m, name, sizeof(name));
	(void)!state_remove(&core->state, STATE_LEASES, name);
	metrics_count(&core->metrics, TALLY_LEASES_STALE);
	lease_drop(core, l, why);
}

void lease_renamed(struct lease *l, const char *device)
{
	char *name = strdup(device);

	if (!name)
		return; /* the old name is better than none */
	if (l->m->device != protobuf_c_empty_string)
		free(l->m->device);
	l->m->device = name;
}

void lease_file(const struct lease *l, Xskd__StateFile *out)
{
	xskd__state_file__init(out);
	out->lease = l->m;
	out->netns_inode = l->inode;
	out->nsid = l->nsid;
	out->address.len = l->address.len;
	out->address.data = (uint8_t *)(uintptr_t)l->address.at;
}

/* Both parts were checked to have no slash and no leading dot when the lease was granted. */
void lease_file_name(const Xskd__Lease *m, char *out, size_t size)
{
	snprintf(out, size, "%s@%s", m->container, m->interface);
}
