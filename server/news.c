// SPDX-License-Identifier: Apache-2.0
/* What the kernel reports of devices and namespaces, and what follows from it: see core.h. */
#include <stdio.h>
#include <string.h>

#include "core.h"

/* ---- leases ---- */

/* Moved away and back, perhaps with another number. */
static bool has_come_back(const struct lease *l, int nsid, const struct device *dev)
{
	if (!l->gone || l->device_nsid != nsid)
		return false;
	return l->address.len ? l->address.len == dev->address.len &&
					!memcmp(l->address.at, dev->address.at, l->address.len)
			      : !strcmp(l->m->device, dev->name);
}

static void tell_changed(struct core *core, const struct lease *l, const char *text)
{
	watch_tell(core, XSKD__EVENT_KIND__EVENT_DEVICE_CHANGED, l, NULL, text);
}

/* The key of the lease, the name that the client has for it, stays. */
static void note_name(struct core *core, struct lease *l, const char *name)
{
	char text[80];

	if (!strcmp(l->m->device, name))
		return;
	snprintf(text, sizeof(text), "the device '%.15s' is called '%.15s' now", l->m->device,
		 name);
	lease_renamed(l, name);
	tell_changed(core, l, text);
}

static void note_mtu(struct core *core, struct lease *l, uint32_t mtu)
{
	uint32_t before = l->mtu;
	char text[80];

	l->mtu = mtu;
	if (!before || !mtu || before == mtu)
		return;
	snprintf(text, sizeof(text), "the MTU is %u now, and was %u", mtu, before);
	tell_changed(core, l, text);
}

static void note_link(struct core *core, struct lease *l, const struct device *dev)
{
	struct program *p = program_find(core, dev->xdp_prog_id);

	if (l->gone) {
		lease_back(core, l, dev->ifindex);
		tell_changed(core, l, "the device is there again: ask for sockets anew");
	}
	note_name(core, l, dev->name);
	note_mtu(core, l, dev->mtu);
	if (p && !p->leaving && l->m->program_id != p->m->id)
		lease_serve(core, l, p);
	if (l->m->link_up == dev->up)
		return;
	l->m->link_up = dev->up;
	watch_tell(core,
		   dev->up ? XSKD__EVENT_KIND__EVENT_LINK_UP : XSKD__EVENT_KIND__EVENT_LINK_DOWN, l,
		   NULL, dev->up ? "link is up" : "link is down");
}

/* ---- programs ---- */

/* It is where @dev is. Of a namespace without a lease the number alone is known. */
static void follow(struct core *core, struct program *p, int nsid, const struct device *dev)
{
	ino_t inode = nsid < 0 ? core->inode : 0;
	uint64_t cookie = nsid < 0 ? core->cookie : 0;

	if (p->nsid == nsid) {
		inode = p->inode;
		cookie = p->m->netns_cookie;
	}
	for (size_t i = 0; i < core->leases.n && !inode; i++) {
		const struct lease *l = core->leases.at[i];

		if (l->nsid != nsid)
			continue;
		inode = l->inode;
		cookie = l->m->netns_cookie;
	}
	program_moved(core, p, inode, nsid, cookie, dev->ifindex, dev->name);
}

void core_link_changed(struct core *core, int nsid, const struct device *dev)
{
	struct program *p = NULL;
	struct lease *l = NULL;

	while ((p = program_next(core, nsid, dev->ifindex, p ? p->m->id : 0))) {
		if (dev->xdp_prog_id != p->m->id)
			program_doubt(core, p);
	}
	p = program_find(core, dev->xdp_prog_id);
	if (p && (p->nsid != nsid || p->m->ifindex != dev->ifindex ||
		  strcmp(p->m->interface, dev->name) != 0))
		follow(core, p, nsid, dev);
	while ((l = lease_next_on_link(core, nsid, dev->ifindex, l))) {
		l->heard++;
		if (!l->gone)
			note_link(core, l, dev);
	}
	for (size_t i = 0; i < core->leases.n && core->n_gone; i++) {
		l = core->leases.at[i];
		if (!has_come_back(l, nsid, dev))
			continue;
		l->heard++;
		note_link(core, l, dev);
	}
}

void core_queues_changed(struct core *core, int nsid, uint32_t ifindex, uint32_t queues)
{
	struct lease *l = NULL;
	char text[64];

	snprintf(text, sizeof(text), "the device has %u queue%s now", queues,
		 queues == 1 ? "" : "s");
	while ((l = lease_next_on_link(core, nsid, ifindex, l))) {
		if (l->gone)
			continue;
		/* A queue that is not the lease's must not be reached through the map. */
		l->m->all_queues = l->m->n_queues >= queues;
		tell_changed(core, l, text);
	}
}

/* Removed or moved to another namespace: either way its bound sockets are dead for good. */
void core_link_gone(struct core *core, int nsid, uint32_t ifindex)
{
	struct program *p;
	struct lease *l = NULL;

	while ((l = lease_next_on_link(core, nsid, ifindex, l))) {
		l->heard++;
		if (l->gone)
			continue;
		lease_gone(core, l);
		sock_drop_all(core, l->m->id, 0, XSKD__EVENT_KIND__EVENT_SOCKET_LOST,
			      "the device was removed or moved: it will not receive again");
		if (l->m->link_up)
			watch_tell(core, XSKD__EVENT_KIND__EVENT_LINK_DOWN, l, NULL,
				   "the device was removed or moved");
		l->m->link_up = false;
	}
	/*
	 * A moved device keeps its program; the news of it, GrantLease or the sweep say where.
	 * Nobody looks here: to open a pin may block.
	 */
	while ((p = program_next(core, nsid, ifindex, 0))) {
		program_moved(core, p, 0, NETNS_UNKNOWN, p->m->netns_cookie, 0, p->m->interface);
		program_doubt(core, p);
	}
}

/*
 * The kernel takes a namespace's number away first and its devices some time later, of which it
 * then has nobody to tell, for news are told by that number; nor does a bpf_link say that it has
 * lost its device. So the programs there are looked at for a while.
 */
void core_netns_gone(struct core *core, int nsid, uint64_t last)
{
	for (size_t i = 0; i < core->programs.n; i++) {
		struct program *p = core->programs.at[i];

		if (p->nsid == nsid)
			program_doubt(core, p);
	}
	for (size_t i = core->leases.n; i--;) {
		struct lease *l = core->leases.at[i];

		if (l->nsid == nsid && l->m->id <= last)
			lease_end(core, l, "its network namespace has gone");
	}
}
