// SPDX-License-Identifier: Apache-2.0
/* Who may use which queues of which interface: see core.h. */
#include <stdio.h>
#include <string.h>

#include "keys.h"
#include "log.h"

struct lease *lease_find(const struct core *core, uint64_t id)
{
	return index_find(&core->leases, &id);
}

struct lease *lease_of(const struct core *core, uint64_t cookie, const char *interface)
{
	return index_find(&core->leases_by_netns,
			  &(struct lease_key){ .cookie = cookie, .interface = interface });
}

struct lease *lease_by_key(const struct core *core, const char *container, const char *interface)
{
	return index_find(&core->leases_by_container,
			  &(struct lease_key){ .container = container, .interface = interface });
}

static struct lease *next(const struct index *ix, const struct lease_key *after)
{
	size_t i = index_after(ix, after);

	return i < ix->n ? ix->at[i] : NULL;
}

struct lease *lease_in(const struct core *core, ino_t inode, const char *interface)
{
	struct lease *l = next(&core->leases_by_pod,
			       &(struct lease_key){ .pod_inode = inode, .interface = interface });

	return l && l->inode == inode && !strcmp(l->m->interface, interface) ? l : NULL;
}

struct lease *lease_next_of_netns(const struct core *core, uint64_t cookie,
				  const struct lease *after)
{
	struct lease *l =
		next(&core->leases_by_netns,
		     &(struct lease_key){ .cookie = cookie,
					  .interface = after ? after->m->interface : "" });

	return l && l->m->netns_cookie == cookie ? l : NULL;
}

struct lease *lease_next_of_container(const struct core *core, const char *container,
				      const struct lease *after)
{
	struct lease *l =
		next(&core->leases_by_container,
		     &(struct lease_key){ .container = container,
					  .interface = after ? after->m->interface : "" });

	return l && !strcmp(l->m->container, container) ? l : NULL;
}

struct lease *lease_next_on_device(const struct core *core, ino_t inode, uint32_t ifindex,
				   const struct lease *after)
{
	struct lease *l =
		next(&core->leases_by_device,
		     &(struct lease_key){
			     .inode = inode, .ifindex = ifindex, .id = after ? after->m->id : 0 });

	return l && l->device_inode == inode && l->m->ifindex == ifindex ? l : NULL;
}

struct lease *lease_next_on_link(const struct core *core, int nsid, uint32_t ifindex,
				 const struct lease *after)
{
	struct lease *l =
		next(&core->leases_by_link, &(struct lease_key){ .nsid = nsid,
								 .ifindex = ifindex,
								 .id = after ? after->m->id : 0 });

	return l && l->device_nsid == nsid && l->m->ifindex == ifindex ? l : NULL;
}

bool lease_has_queue(const struct lease *l, uint32_t queue)
{
	for (size_t i = 0; i < l->m->n_queues; i++) {
		if (l->m->queues[i] == queue)
			return true;
	}
	return false;
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
	bool queue_mode = m->mode == XSKD__LEASE_MODE__LEASE_MODE_QUEUE;
	struct lease *l = calloc(1, sizeof(*l));

	if (!l) {
		xskd__lease__free_unpacked(m, NULL);
		return NULL;
	}
	if (!m->id)
		m->id = ++core->last_id;
	l->m = m;
	l->inode = inode;
	l->nsid = nsid;
	l->device_inode = queue_mode ? core->inode : inode;
	l->device_nsid = l->device_inode == core->inode ? -1 : nsid;
	if (index_reserve(&core->leases, 1) < 0 || keys_add_lease(core, l) < 0) {
		lease_free(l);
		return NULL;
	}
	(void)!index_add(&core->leases, &m->id, l); /* there is room */
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
	core->n_gone -= l->gone;
	keys_remove_lease(core, l);
	index_remove(&core->leases, &id);
	lease_free(l);
}

/* A socket that was passed on outlives its pod; its queue is to be the next one's. */
static void empty_places(const struct core *core, const struct lease *l)
{
	const struct sock *s = NULL;

	while ((s = sock_next_of_lease(core, l->m->id, s))) {
		const struct program *p = program_find(core, s->m->program_id);

		if (p)
			xsk_remove(p->map_fd, s->m->queue);
	}
}

/* A file that stays, of a daemon that ends before it is removed, is found stale by the next. */
void lease_end(struct core *core, struct lease *l, const char *why)
{
	char name[256];

	empty_places(core, l);
	lease_file_name(l->m, name, sizeof(name));
	core->unfile(core->arg, name);
	metrics_count(&core->metrics, TALLY_LEASES_STALE);
	lease_drop(core, l, why);
}

void lease_gone(struct core *core, struct lease *l)
{
	core->n_gone += !l->gone;
	l->gone = true;
}

void lease_back(struct core *core, struct lease *l, uint32_t ifindex)
{
	core->n_gone -= l->gone;
	l->gone = false;
	keys_remove_lease(core, l);
	l->m->ifindex = ifindex;
	(void)!keys_add_lease(core, l); /* it has its places yet */
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
