// SPDX-License-Identifier: Apache-2.0
#include "tenant.h"

struct tenant {
	uint64_t cookie;
	uint32_t conns, calls;
	uint32_t this_second; /* calls begun */
};

static int compare(const void *key, const void *item)
{
	uint64_t cookie = *(const uint64_t *)key, other = ((const struct tenant *)item)->cookie;

	return cookie < other ? -1 : cookie > other;
}

void tenants_init(struct index *tenants)
{
	*tenants = INDEX_INIT(compare);
}

void tenants_done(struct index *tenants)
{
	for (size_t i = 0; i < tenants->n; i++)
		free(tenants->at[i]);
	index_done(tenants);
}

/*
 * Calls under way outlive their connection, and what was asked this second outlives both, or
 * connecting anew would be a way round the limit.
 */
static void free_when_done(struct index *tenants, struct tenant *t)
{
	if (t->conns || t->calls || t->this_second)
		return;
	index_remove(tenants, &t->cookie);
	free(t);
}

bool tenants_tick(struct index *tenants, const struct limits *limits)
{
	bool any_full = false;

	for (size_t i = tenants->n; i--;) {
		struct tenant *t = tenants->at[i];

		any_full |= t->this_second >= limits->calls_per_second;
		t->this_second = 0;
		free_when_done(tenants, t);
	}
	return any_full;
}

struct tenant *tenant_join(struct index *tenants, const struct limits *limits, uint64_t cookie)
{
	struct tenant *t = index_find(tenants, &cookie);

	if (!t) {
		t = calloc(1, sizeof(*t));
		if (!t)
			return NULL;
		t->cookie = cookie;
		if (index_add(tenants, &t->cookie, t) < 0) {
			free(t);
			return NULL;
		}
	}
	if (t->conns >= limits->connections_per_netns)
		return NULL;
	t->conns++;
	return t;
}

bool tenant_is_connected(const struct index *tenants, uint64_t cookie)
{
	const struct tenant *t = index_find(tenants, &cookie);

	return t && t->conns;
}

void tenant_leave(struct index *tenants, struct tenant *t)
{
	if (!t)
		return;
	t->conns--;
	free_when_done(tenants, t);
}

bool tenant_may_call(const struct tenant *t, const struct limits *limits)
{
	return !t ||
	       (t->calls < limits->calls_per_netns && t->this_second < limits->calls_per_second);
}

void tenant_begin(struct tenant *t, struct core *core)
{
	if (!t)
		return;
	if (++t->calls == core->limits.calls_per_netns)
		metrics_limit(&core->metrics, LIMIT_CALLS_PER_NETNS);
	if (++t->this_second == core->limits.calls_per_second)
		metrics_limit(&core->metrics, LIMIT_CALLS_PER_SECOND);
}

bool tenant_end(struct index *tenants, const struct limits *limits, struct tenant *t)
{
	bool again;

	if (!t)
		return false;
	again = t->calls >= limits->calls_per_netns && t->conns;
	t->calls--;
	free_when_done(tenants, t);
	return again;
}
