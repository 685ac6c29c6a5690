/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the connections of one network namespace do together. Each call may hold descriptors of
 * ours, of which there are only so many, so a pod's limits are those of all its connections, also
 * of those that it has closed. Where a tenant may be NULL, that is an administrator: without
 * limits.
 */
#ifndef XSKD_TENANT_H
#define XSKD_TENANT_H

#include "core.h"

struct tenant;

void tenants_init(struct index *tenants);
void tenants_done(struct index *tenants);

/* tenants_tick() - a second has passed. Return: whether somebody had no calls left in it. */
bool tenants_tick(struct index *tenants, const struct limits *limits);

/* tenant_join() - one connection more. Return: NULL, it has too many, or there is no memory. */
struct tenant *tenant_join(struct index *tenants, const struct limits *limits, uint64_t cookie);

/* tenant_is_connected() - whether it has a connection. */
bool tenant_is_connected(const struct index *tenants, uint64_t cookie);

/* tenant_leave() - one less (@t may be NULL); its calls may still be under way. */
void tenant_leave(struct index *tenants, struct tenant *t);

/* tenant_may_call() - whether its packets are to be read (@t may be NULL). */
bool tenant_may_call(const struct tenant *t, const struct limits *limits);

/* tenant_begin() - one call more (@t may be NULL). Counts when a limit is reached with it. */
void tenant_begin(struct tenant *t, struct core *core);

/* tenant_end() - one less (@t may be NULL). Return: whether its connections may be read again now.
 */
bool tenant_end(struct index *tenants, const struct limits *limits, struct tenant *t);

#endif
