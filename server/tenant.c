// SPDX-License-Identifier: Apache-2.0
#include "tenant.h"

#define QUANTUM_NS 50000 /* some calls */

/* Packets full of descriptors that nobody asked for come faster than we close them. */
#define CLOSING_MAX PACKET_FDS

enum place { IDLE, FRESH, OLD };

struct key {
	bool stranger;
	uint64_t id; /* cookie of the namespace; of a stranger: uid */
};

struct tenant {
	struct key key;
	uint32_t conns, calls;
	uint32_t this_second; /* calls begun */
	uint32_t bytes, fds;  /* that wait for it to read */
	uint32_t closing;     /* descriptors that it has sent, and that wait to be closed */

	struct conn *open;
	struct tenant *next_due;
	bool due;

	enum place place;
	struct tenant *next; /* in its place */
	struct turn *first, **last;
	int64_t credit_ns;
};

static int compare(const void *a, const void *b)
{
	const struct key *key = a, *other = &((const struct tenant *)b)->key;

	if (key->stranger != other->stranger)
		return key->stranger ? 1 : -1;
	return key->id < other->id ? -1 : key->id > other->id;
}

void tenants_init(struct tenants *tenants, struct core *core)
{
	*tenants = (struct tenants){ .core = core, .by_key = INDEX_INIT(compare) };
}

void tenants_done(struct tenants *tenants)
{
	for (size_t i = 0; i < tenants->by_key.n; i++)
		free(tenants->by_key.at[i]);
	index_done(&tenants->by_key);
}

/*
 * Calls under way outlive their connection, and what was asked this second outlives both, or
 * connecting anew would be a way round the limit.
 */
static void free_when_done(struct tenants *tenants, struct tenant *t)
{
	if (t->conns || t->calls || t->this_second || t->closing || t->due || t->place != IDLE)
		return;
	index_remove(&tenants->by_key, &t->key);
	free(t);
}

void tenants_tick(struct tenants *tenants)
{
	for (size_t i = tenants->by_key.n; i--;) {
		struct tenant *t = tenants->by_key.at[i];

		t->this_second = 0;
		free_when_done(tenants, t);
	}
}

static struct tenant *find(struct tenants *tenants, struct key key)
{
	struct tenant *t = index_find(&tenants->by_key, &key);

	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->key = key;
	t->last = &t->first;
	if (index_add(&tenants->by_key, &t->key, t) == 0)
		return t;
	free(t);
	return NULL;
}

static struct tenant *tenant_of(struct tenants *tenants, const struct peer *peer)
{
	return find(tenants,
		    (struct key){ peer->stranger, peer->stranger ? peer->uid : peer->cookie });
}

struct tenant *tenant_join(struct tenants *tenants, const struct peer *peer, const char **out_why)
{
	const struct limits *limits = &tenants->core->limits;
	struct metrics *metrics = &tenants->core->metrics;
	struct tenant *t;

	if (peer->stranger && tenants->strangers >= limits->connections_without_lease) {
		metrics_limit(metrics, LIMIT_CONNECTIONS_WITHOUT_LEASE);
		*out_why = "namespaces without a lease have too many connections "
			   "(limits.connectionsWithoutLease)";
		return NULL;
	}
	t = tenant_of(tenants, peer);
	if (!t || t->conns >= limits->connections_per_netns) {
		metrics_limit(metrics, LIMIT_CONNECTIONS_PER_NETNS);
		*out_why = peer->stranger ? "its user has too many connections from namespaces "
					    "without a lease (limits.connectionsPerNetns)"
					  : "its network namespace has too many connections "
					    "(limits.connectionsPerNetns): one for each call?";
		return NULL;
	}
	t->conns++;
	t->this_second++; /* it is work, as a call is */
	tenants->strangers += peer->stranger;
	return t;
}

void tenant_leave(struct tenants *tenants, struct tenant *t)
{
	if (!t)
		return;
	t->conns--;
	tenants->strangers -= t->key.stranger;
	free_when_done(tenants, t);
}

struct conn **tenant_conns(struct tenant *t)
{
	return &t->open;
}

void tenant_due(struct tenants *tenants, struct tenant *t)
{
	if (t->due)
		return;
	t->due = true;
	t->next_due = tenants->due;
	tenants->due = t;
}

void tenants_see_to(struct tenants *tenants, void (*fn)(void *arg, struct tenant *t), void *arg)
{
	while (tenants->due) {
		struct tenant *t = tenants->due;

		tenants->due = t->next_due;
		fn(arg, t);
		t->due = false; /* not before: it shall not come again in this round */
		free_when_done(tenants, t);
	}
}

bool tenant_may_call(const struct tenants *tenants, const struct tenant *t)
{
	const struct limits *limits = &tenants->core->limits;

	return !t ||
	       (t->calls < limits->calls_per_netns && t->this_second < limits->calls_per_second &&
		!tenant_is_sated(tenants, t) && t->closing < CLOSING_MAX);
}

void tenant_begin(struct tenants *tenants, struct tenant *t)
{
	struct core *core = tenants->core;

	if (!t)
		return;
	if (++t->calls == core->limits.calls_per_netns)
		metrics_limit(&core->metrics, LIMIT_CALLS_PER_NETNS);
	if (++t->this_second == core->limits.calls_per_second)
		metrics_limit(&core->metrics, LIMIT_CALLS_PER_SECOND);
}

bool tenant_end(struct tenants *tenants, struct tenant *t)
{
	bool again;

	if (!t)
		return false;
	again = t->calls >= tenants->core->limits.calls_per_netns && t->conns;
	t->calls--;
	free_when_done(tenants, t);
	return again;
}

struct tenant *tenant_leaves(struct tenants *tenants, const struct peer *peer, uint32_t n)
{
	struct tenant *t = peer->admin ? NULL : tenant_of(tenants, peer);

	if (!t)
		return NULL;
	if (t->closing < CLOSING_MAX && t->closing + n >= CLOSING_MAX)
		metrics_limit(&tenants->core->metrics, LIMIT_FDS_PER_NETNS);
	t->closing += n;
	return t;
}

bool tenant_rid(struct tenants *tenants, struct tenant *t, uint32_t n)
{
	bool again;

	if (!t)
		return false;
	again = t->closing >= CLOSING_MAX && t->closing - n < CLOSING_MAX && t->conns;
	t->closing -= n;
	free_when_done(tenants, t);
	return again;
}

void tenant_owes(struct tenant *t, int32_t bytes, int32_t fds)
{
	if (!t)
		return;
	t->bytes += (uint32_t)bytes;
	t->fds += (uint32_t)fds;
}

uint32_t tenant_room(const struct tenants *tenants, const struct tenant *t)
{
	uint32_t most = tenants->core->limits.queued_bytes_per_netns;

	if (!t)
		return UINT32_MAX;
	return t->bytes < most ? most - t->bytes : 0;
}

bool tenant_is_sated(const struct tenants *tenants, const struct tenant *t)
{
	return t && t->fds >= tenants->core->limits.fds_per_netns;
}

/* ---- whose packet is next ---- */

static void append(struct tenants *tenants, struct tenant *t, enum place place)
{
	struct tenant **first = place == FRESH ? &tenants->fresh : &tenants->old;
	struct tenant **last = place == FRESH ? &tenants->last_fresh : &tenants->last_old;

	if (*first)
		(*last)->next = t;
	else
		*first = t;
	*last = t;
	t->next = NULL;
	t->place = place;
}

static struct tenant *pop(struct tenant **first)
{
	struct tenant *t = *first;

	*first = t->next;
	t->place = IDLE;
	return t;
}

void turn_want(struct tenants *tenants, struct tenant *t, struct turn *turn)
{
	if (turn->waits)
		return;
	turn->waits = true;
	turn->next = NULL;
	*t->last = turn;
	t->last = &turn->next;
	tenants->waiting++;
	if (t->place == IDLE) {
		t->credit_ns = QUANTUM_NS;
		append(tenants, t, FRESH);
	}
}

void turn_drop(struct tenants *tenants, struct tenant *t, struct turn *turn)
{
	struct turn **at;

	if (!turn->waits)
		return;
	for (at = &t->first; *at != turn; at = &(*at)->next)
		;
	*at = turn->next;
	if (!*at)
		t->last = at;
	turn->waits = false;
	tenants->waiting--;
}

/* Who comes with little to ask is served at once; who has more than his share waits among those. */
struct turn *turn_next(struct tenants *tenants)
{
	for (;;) {
		struct tenant **first = tenants->fresh ? &tenants->fresh : &tenants->old;
		struct tenant *t = *first;
		struct turn *turn;

		if (!t)
			return NULL;
		turn = t->first;
		if (turn && t->credit_ns > 0) {
			turn_drop(tenants, t, turn);
			return turn;
		}
		if (turn)
			t->credit_ns += QUANTUM_NS;
		/* Also who was fresh and has nothing left: or he would come fresh each time. */
		if (pop(first) && (turn || first == &tenants->fresh))
			append(tenants, t, OLD);
		else
			free_when_done(tenants, t);
	}
}

void turn_took(struct tenant *t, uint64_t ns)
{
	if (t)
		t->credit_ns -= (int64_t)ns;
}
