// SPDX-License-Identifier: Apache-2.0
#include "keys.h"

#include <errno.h>
#include <string.h>

static int order(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int order_of(int a, int b, int c)
{
	return a ? a : b ? b : c;
}

/* ---- leases ---- */

static int by_netns(const void *key, const void *item)
{
	const struct lease_key *k = key;
	const struct lease *l = item;

	return order_of(order(k->cookie, l->m->netns_cookie), strcmp(k->interface, l->m->interface),
			0);
}

static int by_container(const void *key, const void *item)
{
	const struct lease_key *k = key;
	const struct lease *l = item;

	return order_of(strcmp(k->container, l->m->container),
			strcmp(k->interface, l->m->interface), 0);
}

static int by_pod(const void *key, const void *item)
{
	const struct lease_key *k = key;
	const struct lease *l = item;

	return order_of(order(k->pod_inode, l->inode), strcmp(k->interface, l->m->interface),
			order(k->id, l->m->id));
}

static int by_device(const void *key, const void *item)
{
	const struct lease_key *k = key;
	const struct lease *l = item;

	return order_of(order(k->inode, l->device_inode), order(k->ifindex, l->m->ifindex),
			order(k->id, l->m->id));
}

/* Numbers of namespaces begin with -1, which is the daemon's own. */
static uint64_t number(int nsid)
{
	return (uint64_t)((int64_t)nsid - INT32_MIN);
}

static int by_link(const void *key, const void *item)
{
	const struct lease_key *k = key;
	const struct lease *l = item;

	return order_of(order(number(k->nsid), number(l->device_nsid)),
			order(k->ifindex, l->m->ifindex), order(k->id, l->m->id));
}

/* ---- programs ---- */

static int by_name(const void *key, const void *item)
{
	const struct program_key *k = key;
	const struct program *p = item;

	return order_of(order(k->inode, p->inode), strcmp(k->interface, p->m->interface),
			order(k->id, p->m->id));
}

static int program_by_link(const void *key, const void *item)
{
	const struct program_key *k = key;
	const struct program *p = item;

	return order_of(order(number(k->nsid), number(p->nsid)), order(k->ifindex, p->m->ifindex),
			order(k->id, p->m->id));
}

/* ---- sockets ---- */

static int by_place(const void *key, const void *item)
{
	const struct sock_key *k = key;
	const struct sock *s = item;

	return order_of(order(k->program, s->m->program_id), order(k->queue, s->m->queue),
			order(k->id, s->m->id));
}

static int by_lease(const void *key, const void *item)
{
	const struct sock_key *k = key;
	const struct sock *s = item;

	return order_of(order(k->lease, s->lease), order(k->id, s->m->id), 0);
}

static int by_conn(const void *key, const void *item)
{
	const struct sock_key *k = key;
	const struct sock *s = item;

	return order_of(order(k->conn, s->conn), order(k->id, s->m->id), 0);
}

/* ---- all of them ---- */

void keys_init(struct core *core)
{
	core->leases_by_netns = INDEX_INIT(by_netns);
	core->leases_by_container = INDEX_INIT(by_container);
	core->leases_by_pod = INDEX_INIT(by_pod);
	core->leases_by_device = INDEX_INIT(by_device);
	core->leases_by_link = INDEX_INIT(by_link);
	core->programs_by_name = INDEX_INIT(by_name);
	core->programs_by_link = INDEX_INIT(program_by_link);
	core->socks_by_place = INDEX_INIT(by_place);
	core->socks_by_lease = INDEX_INIT(by_lease);
	core->socks_by_conn = INDEX_INIT(by_conn);
}

#define LEASE_INDEXES(core)                                                                     \
	{                                                                                       \
		&(core)->leases_by_netns, &(core)->leases_by_container, &(core)->leases_by_pod, \
			&(core)->leases_by_device, &(core)->leases_by_link                      \
	}
#define PROGRAM_INDEXES(core)                                        \
	{                                                            \
		&(core)->programs_by_name, &(core)->programs_by_link \
	}
#define SOCK_INDEXES(core)                                                               \
	{                                                                                \
		&(core)->socks_by_place, &(core)->socks_by_lease, &(core)->socks_by_conn \
	}

void keys_done(struct core *core)
{
	struct index *const leases[] = LEASE_INDEXES(core);
	struct index *const programs[] = PROGRAM_INDEXES(core);
	struct index *const socks[] = SOCK_INDEXES(core);

	for (size_t i = 0; i < ARRAY_SIZE(leases); i++)
		index_done(leases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		index_done(programs[i]);
	for (size_t i = 0; i < ARRAY_SIZE(socks); i++)
		index_done(socks[i]);
}

static int add(struct index *const *all, size_t n, const void *key, void *item)
{
	for (size_t i = 0; i < n; i++) {
		if (index_reserve(all[i], 1) < 0)
			return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++)
		(void)!index_add(all[i], key, item); /* there is room */
	return 0;
}

static void take(struct index *const *all, size_t n, const void *key)
{
	for (size_t i = 0; i < n; i++)
		index_remove(all[i], key);
}

static struct lease_key key_of_lease(const struct lease *l)
{
	return (struct lease_key){
		.cookie = l->m->netns_cookie,
		.container = l->m->container,
		.interface = l->m->interface,
		.pod_inode = l->inode,
		.inode = l->device_inode,
		.nsid = l->device_nsid,
		.ifindex = l->m->ifindex,
		.id = l->m->id,
	};
}

int keys_add_lease(struct core *core, struct lease *l)
{
	struct index *const all[] = LEASE_INDEXES(core);
	const struct lease_key key = key_of_lease(l);

	return add(all, ARRAY_SIZE(all), &key, l);
}

void keys_remove_lease(struct core *core, const struct lease *l)
{
	struct index *const all[] = LEASE_INDEXES(core);
	const struct lease_key key = key_of_lease(l);

	take(all, ARRAY_SIZE(all), &key);
}

static struct program_key key_of_program(const struct program *p)
{
	return (struct program_key){
		.inode = p->inode,
		.interface = p->m->interface,
		.nsid = p->nsid,
		.ifindex = p->m->ifindex,
		.id = p->m->id,
	};
}

int keys_add_program(struct core *core, struct program *p)
{
	struct index *const all[] = PROGRAM_INDEXES(core);
	const struct program_key key = key_of_program(p);

	return add(all, ARRAY_SIZE(all), &key, p);
}

void keys_remove_program(struct core *core, const struct program *p)
{
	struct index *const all[] = PROGRAM_INDEXES(core);
	const struct program_key key = key_of_program(p);

	take(all, ARRAY_SIZE(all), &key);
}

static struct sock_key key_of_sock(const struct sock *s)
{
	return (struct sock_key){
		.program = s->m->program_id,
		.queue = s->m->queue,
		.lease = s->lease,
		.conn = s->conn,
		.id = s->m->id,
	};
}

int keys_add_sock(struct core *core, struct sock *s)
{
	struct index *const all[] = SOCK_INDEXES(core);
	const struct sock_key key = key_of_sock(s);

	return add(all, ARRAY_SIZE(all), &key, s);
}

void keys_remove_sock(struct core *core, const struct sock *s)
{
	struct index *const all[] = SOCK_INDEXES(core);
	const struct sock_key key = key_of_sock(s);

	take(all, ARRAY_SIZE(all), &key);
}
