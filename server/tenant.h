/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods as those who share the daemon: what the connections of one network namespace have and do
 * together, and whose packet is read next. A pod's limits are those of all its connections, also of
 * those that it has closed, for calls under way hold descriptors of ours.
 *
 * To make a namespace costs nothing where user namespaces are allowed. So a namespace that holds no
 * lease is nobody by itself: all of those are reckoned by the user whose processes are in them.
 *
 * Where a tenant may be NULL, that is an administrator: without limits, and never waiting.
 */
#ifndef XSKD_TENANT_H
#define XSKD_TENANT_H

#include "call.h"

struct conn;
struct tenant;

/* In a connection that has a packet to be read. */
struct turn {
	struct turn *next;
	bool waits;
};

struct tenants {
	struct core *core;
	struct index by_key;
	struct tenant *fresh, *last_fresh, *old, *last_old; /* that have packets to be read */
	uint32_t waiting;                                   /* turns of these */
	struct tenant *due;                                 /* tenant_due() */
	uint32_t strangers; /* connections from namespaces without a lease */
};

void tenants_init(struct tenants *tenants, struct core *core);
void tenants_done(struct tenants *tenants);

/* tenants_tick() - a second has passed. */
void tenants_tick(struct tenants *tenants);

/*
 * tenant_join() - one connection more. Return: NULL, it has too many, or there is no memory;
 * @out_why: what to log.
 */
struct tenant *tenant_join(struct tenants *tenants, const struct peer *peer, const char **out_why);

/* tenant_leave() - one less (@t may be NULL); its calls may still be under way. */
void tenant_leave(struct tenants *tenants, struct tenant *t);

/* tenant_conns() - its open connections, whose list it is. */
struct conn **tenant_conns(struct tenant *t);

/* tenant_due() - its connections are to be seen to; tenants_see_to() - call @fn for those once. */
void tenant_due(struct tenants *tenants, struct tenant *t);
void tenants_see_to(struct tenants *tenants, void (*fn)(void *arg, struct tenant *t), void *arg);

/* tenant_may_call() - whether its packets are to be read (@t may be NULL). */
bool tenant_may_call(const struct tenants *tenants, const struct tenant *t);

/* tenant_begin() - one call more (@t may be NULL). */
void tenant_begin(struct tenants *tenants, struct tenant *t);

/*
 * tenant_end() - one less (@t may be NULL). Return: whether its connections may be read again now.
 */
bool tenant_end(struct tenants *tenants, struct tenant *t);

/*
 * tenant_leaves() - @n descriptors that it has sent are to be closed: it has not so many more to
 * send meanwhile. Return: NULL for an administrator, or without memory.
 */
struct tenant *tenant_leaves(struct tenants *tenants, const struct peer *peer, uint32_t n);

/* tenant_rid() - they are (@t may be NULL). Return: as tenant_end(). */
bool tenant_rid(struct tenants *tenants, struct tenant *t, uint32_t n);

/* tenant_owes() - its connections have so many bytes and descriptors more, or less, to take. */
void tenant_owes(struct tenant *t, int32_t bytes, int32_t fds);

/* tenant_room() - bytes that may wait for it still. */
uint32_t tenant_room(const struct tenants *tenants, const struct tenant *t);

/* tenant_is_sated() - it has as many descriptors to take as it may. */
bool tenant_is_sated(const struct tenants *tenants, const struct tenant *t);

/* ---- whose packet is next ---- */

/*
 * Tenants are served in turn, by the time that they take and not by packets, who has just come
 * before who goes on and on: what fq_codel(8) does to flows.
 */

/* turn_want() - the connection has a packet, and will wait. */
void turn_want(struct tenants *tenants, struct tenant *t, struct turn *turn);

/* turn_drop() - it waits no longer, if it did. */
void turn_drop(struct tenants *tenants, struct tenant *t, struct turn *turn);

/* turns_are() - somebody waits, or has until now: turn_next() has something to do. */
static inline bool turns_are(const struct tenants *tenants)
{
	return tenants->fresh || tenants->old;
}

/* turn_next() - the next one, that waits no longer; NULL: nobody does. */
struct turn *turn_next(struct tenants *tenants);

/* turn_took() - (@t may be NULL) it took so long. */
void turn_took(struct tenant *t, uint64_t ns);

#endif
