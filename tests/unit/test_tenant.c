// SPDX-License-Identifier: Apache-2.0
/* Who shares the daemon with whom, and whose packet is read next. */
#include "../support.h"

#include <string.h>

#include "keys.h"
#include "tenant.h"

static struct core core;
static struct tenants tenants;

static int set_up(void **state)
{
	(void)state;
	memset(&core, 0, sizeof(core));
	core.limits = (struct limits){
		.connections_per_netns = 3,
		.connections_without_lease = 4,
		.calls_per_netns = 2,
		.calls_per_second = 100,
		.queued_bytes_per_netns = 1000,
		.fds_per_netns = 10,
	};
	keys_init(&core);
	tenants_init(&tenants, &core);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tenants_done(&tenants);
	return 0;
}

/* A connection from a namespace without a lease, of a user of its own. */
static struct tenant *join(uint64_t cookie, uid_t uid)
{
	const struct peer peer = { .cookie = cookie, .uid = uid, .stranger = true };
	const char *why;

	return tenant_join(&tenants, &peer, &why);
}

static void who_has_no_lease_is_his_user(void **state)
{
	struct tenant *t[5];

	(void)state;
	t[0] = join(1, 1000);
	t[1] = join(2, 1000);
	t[2] = join(3, 1000);
	assert_ptr_equal(t[0], t[1]);
	assert_null(join(4, 1000));
	t[3] = join(1, 1001);
	assert_non_null(t[3]);
	assert_ptr_not_equal(t[3], t[0]);
	assert_null(join(5, 1002)); /* all of them together have four */
	assert_int_equal(core.metrics.limits[LIMIT_CONNECTIONS_PER_NETNS], 1);
	assert_int_equal(core.metrics.limits[LIMIT_CONNECTIONS_WITHOUT_LEASE], 1);
	tenant_leave(&tenants, t[2]);
	t[4] = join(5, 1002);
	assert_non_null(t[4]);
}

static void what_is_owed_counts_for_all_connections(void **state)
{
	struct tenant *t = join(1, 1);

	(void)state;
	assert_true(tenant_may_call(&tenants, t));
	tenant_owes(t, 900, 10);
	assert_int_equal(tenant_room(&tenants, t), 100);
	assert_false(tenant_may_call(&tenants, t));
	tenant_owes(t, 200, -1);
	assert_int_equal(tenant_room(&tenants, t), 0);
	assert_true(tenant_may_call(&tenants, t));
	tenant_begin(&tenants, t);
	tenant_begin(&tenants, t);
	assert_false(tenant_may_call(&tenants, t));
	assert_true(tenant_end(&tenants, t));
	assert_true(tenant_may_call(&tenants, NULL)); /* administrators may */
}

static void what_is_not_closed_yet_counts_too(void **state)
{
	const struct peer peer = { .cookie = 1, .uid = 1, .stranger = true };
	const struct peer admin = { .admin = true };
	struct tenant *t = join(1, 1);

	(void)state;
	assert_ptr_equal(tenant_leaves(&tenants, &peer, PACKET_FDS - 1), t);
	assert_true(tenant_may_call(&tenants, t));
	assert_ptr_equal(tenant_leaves(&tenants, &peer, 2), t);
	assert_false(tenant_may_call(&tenants, t));
	assert_int_equal(core.metrics.limits[LIMIT_FDS_PER_NETNS], 1);
	assert_false(tenant_rid(&tenants, t, 1));
	assert_true(tenant_rid(&tenants, t, 1));
	assert_true(tenant_may_call(&tenants, t));
	/* Its connections may all have ended: it is known for as long as there is something left.
	 */
	tenant_leave(&tenants, t);
	tenants_tick(&tenants);
	assert_ptr_equal(join(1, 1), t);
	tenant_leave(&tenants, t);
	tenants_tick(&tenants);
	assert_false(tenant_rid(&tenants, t, PACKET_FDS - 1));
	assert_int_equal(tenants.by_key.n, 0);
	assert_null(tenant_leaves(&tenants, &admin, 1000));
}

/* Serve one turn, which takes so long. */
static struct turn *serve(struct tenant *of, uint64_t us)
{
	struct turn *turn = turn_next(&tenants);

	turn_took(of, us * 1000);
	return turn;
}

static void turns_go_by_tenant_and_not_by_connection(void **state)
{
	struct tenant *busy = join(1, 1), *good = join(2, 2);
	struct turn of_busy[3] = { 0 }, of_good = { 0 };

	(void)state;
	for (size_t i = 0; i < 3; i++)
		turn_want(&tenants, busy, &of_busy[i]);
	turn_want(&tenants, busy, &of_busy[0]); /* it waits already */
	assert_int_equal(tenants.waiting, 3);
	assert_ptr_equal(serve(busy, 1000), &of_busy[0]);
	turn_want(&tenants, busy, &of_busy[0]);
	/* Who has just come is before who has had more than his share. */
	turn_want(&tenants, good, &of_good);
	assert_ptr_equal(serve(good, 10), &of_good);
	assert_ptr_equal(serve(busy, 1000), &of_busy[1]);
	assert_ptr_equal(serve(busy, 1000), &of_busy[2]);
	assert_ptr_equal(serve(busy, 1000), &of_busy[0]);
	assert_null(turn_next(&tenants));
	assert_int_equal(tenants.waiting, 0);
}

/* Both always have something: who takes ten times as long is served a tenth as often. */
static void turns_go_by_time_and_not_by_packets(void **state)
{
	struct tenant *t[2] = { join(1, 1), join(2, 2) };
	struct turn turns[2] = { 0 };
	unsigned int served[2] = { 0 };

	(void)state;
	for (int i = 0; i < 2200; i++) {
		turn_want(&tenants, t[0], &turns[0]);
		turn_want(&tenants, t[1], &turns[1]);

		size_t who = turn_next(&tenants) == &turns[1];

		turn_took(t[who], who ? 100000 : 10000);
		served[who]++;
	}
	assert_in_range(served[1], 180, 220);
	turn_drop(&tenants, t[0], &turns[0]);
	turn_drop(&tenants, t[1], &turns[1]);
	turn_drop(&tenants, t[1], &turns[1]);
	assert_null(turn_next(&tenants));
}

static void who_goes_is_forgotten_when_nothing_is_left_of_him(void **state)
{
	struct tenant *t = join(1, 1);
	struct turn turn = { 0 };

	(void)state;
	turn_want(&tenants, t, &turn);
	tenant_begin(&tenants, t);
	turn_drop(&tenants, t, &turn);
	tenant_leave(&tenants, t);
	tenants_tick(&tenants);
	assert_int_equal(tenants.by_key.n, 1); /* a call is under way */
	assert_false(tenant_end(&tenants, t));
	assert_int_equal(tenants.by_key.n, 1); /* and he stands in the row */
	assert_null(turn_next(&tenants));
	tenants_tick(&tenants);
	assert_int_equal(tenants.by_key.n, 0);
}

static void note_seen(void *arg, struct tenant *t)
{
	struct tenant ***at = arg;

	*(*at)++ = t;
	tenant_due(&tenants, t); /* is nothing new: it is being seen to */
}

static void who_is_due_is_seen_to_once(void **state)
{
	struct tenant *a = join(1, 1), *b = join(2, 2), *seen[4] = { NULL }, **at = seen;

	(void)state;
	tenant_due(&tenants, a);
	tenant_due(&tenants, b);
	tenant_due(&tenants, a);
	tenant_leave(&tenants, a);
	tenants_tick(&tenants);
	assert_int_equal(tenants.by_key.n, 2); /* it is waited for */
	tenants_see_to(&tenants, note_seen, &at);
	assert_int_equal(at - seen, 2);
	assert_ptr_not_equal(seen[0], seen[1]);
	assert_null(tenants.due);
	assert_int_equal(tenants.by_key.n, 1);
}

#define tenant_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		tenant_test(who_has_no_lease_is_his_user),
		tenant_test(what_is_owed_counts_for_all_connections),
		tenant_test(what_is_not_closed_yet_counts_too),
		tenant_test(turns_go_by_tenant_and_not_by_connection),
		tenant_test(turns_go_by_time_and_not_by_packets),
		tenant_test(who_is_due_is_seen_to_once),
		tenant_test(who_goes_is_forgotten_when_nothing_is_left_of_him),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
