// SPDX-License-Identifier: Apache-2.0
#include "ask.h"
#include "method.h"
#include "metrics.h"

/* ---- calls ---- */

static uint64_t calls_of(Xskd__Request__CallCase method, Xskd__Code code)
{
	return w.core.metrics.methods[method].calls[code];
}

static void every_method_has_a_place_of_its_own(void **state)
{
	(void)state;
	for (uint32_t i = 1; i < 200; i++) {
		if (method_find((Xskd__Request__CallCase)i))
			assert_true(i < METRICS_METHODS);
	}
	assert_null(method_find((Xskd__Request__CallCase)0));
}

static void a_call_is_counted_under_its_code(void **state)
{
	Xskd__GetXskMapRequest map = EMPTY(get_xsk_map_request);

	(void)state;
	map.interface = str("eth0");
	for (int i = 0; i < 3; i++)
		assert_int_equal(code_of(ask(&w, &w.a, CASE(GET_XSK_MAP), &map, NULL, 0)),
				 XSKD__CODE__PERMISSION_DENIED);
	assert_int_equal(grant_code(w.pod_a, "c", "eth0", "", NULL, 0), XSKD__CODE__OK);
	assert_int_equal(calls_of(CASE(GET_XSK_MAP), XSKD__CODE__PERMISSION_DENIED), 3);
	assert_int_equal(calls_of(CASE(GET_XSK_MAP), XSKD__CODE__OK), 0);
	assert_int_equal(calls_of(CASE(GRANT_LEASE), XSKD__CODE__OK), 1);
	assert_int_equal(w.core.metrics.tallies[TALLY_DENIED], 3);
}

static void an_unknown_call_makes_no_row(void **state)
{
	Xskd__Request request = XSKD__REQUEST__INIT;

	(void)state;
	request.id = 1;
	assert_int_equal(code_of(ask_request(&w, &w.a, &request, NULL, 0)),
			 XSKD__CODE__UNIMPLEMENTED);
	assert_int_equal(calls_of(0, XSKD__CODE__UNIMPLEMENTED), 1);
}

/* ---- the histogram ---- */

static struct timespec ago(int64_t us)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec -= us / 1000000;
	t.tv_nsec -= us % 1000000 * 1000;
	if (t.tv_nsec < 0) {
		t.tv_sec--;
		t.tv_nsec += 1000000000;
	}
	return t;
}

static void a_time_falls_in_the_first_bucket_that_holds_it(void **state)
{
	struct metrics m = { 0 };
	struct timespec began;

	(void)state;
	/* A second is far from the bound on either side, however slow this machine is. */
	began = ago(1500000);
	metrics_call(&m, 18, XSKD__CODE__OK, &began);
	for (size_t i = 0; i < METRICS_BUCKETS; i++)
		assert_int_equal(m.methods[18].within[i], metrics_bucket_us[i] == 2500000);
	assert_in_range(m.methods[18].ns, 1500000000, 2500000000);
}

static void what_takes_longer_than_any_is_in_none(void **state)
{
	struct metrics m = { 0 };
	struct timespec began = ago(60000000);

	(void)state;
	metrics_call(&m, 18, XSKD__CODE__OK, &began);
	for (size_t i = 0; i < METRICS_BUCKETS; i++)
		assert_int_equal(m.methods[18].within[i], 0);
	assert_int_equal(m.methods[18].calls[XSKD__CODE__OK], 1);
}

static void a_clock_that_goes_back_is_no_time(void **state)
{
	struct metrics m = { 0 };
	struct timespec began = ago(-60000000);

	(void)state;
	metrics_call(&m, 18, XSKD__CODE__OK, &began);
	assert_int_equal(m.methods[18].within[0], 1);
	assert_int_equal(m.methods[18].ns, 0);
}

static void bounds_grow(void **state)
{
	(void)state;
	for (size_t i = 1; i < METRICS_BUCKETS; i++)
		assert_true(metrics_bucket_us[i] > metrics_bucket_us[i - 1]);
}

static void what_is_out_of_range_is_counted_all_the_same(void **state)
{
	struct metrics m = { 0 };
	struct timespec began = ago(0);

	(void)state;
	metrics_call(&m, METRICS_METHODS, (Xskd__Code)METRICS_CODES, &began);
	metrics_call(&m, UINT32_MAX, (Xskd__Code)-1, &began);
	assert_int_equal(m.methods[0].calls[XSKD__CODE__UNKNOWN], 2);
}

/* ---- what was found at start ---- */

static void a_restart_is_counted(void **state)
{
	(void)state;
	assert_int_equal(grant_code(w.pod_a, "c", "eth0", "", NULL, 0), XSKD__CODE__OK);
	world_restart(&w);
	assert_int_equal(w.core.metrics.tallies[TALLY_LEASES_RESTORED], 1);
	assert_int_equal(w.core.metrics.tallies[TALLY_LEASES_STALE], 0);
	assert_int_equal(w.core.metrics.tallies[TALLY_FILES_SET_ASIDE], 0);
	assert_int_equal(calls_of(CASE(GRANT_LEASE), XSKD__CODE__OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(every_method_has_a_place_of_its_own),
		world_test(a_call_is_counted_under_its_code),
		world_test(an_unknown_call_makes_no_row),
		world_test(a_time_falls_in_the_first_bucket_that_holds_it),
		world_test(what_takes_longer_than_any_is_in_none),
		world_test(a_clock_that_goes_back_is_no_time),
		world_test(bounds_grow),
		world_test(what_is_out_of_range_is_counted_all_the_same),
		world_test(a_restart_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
