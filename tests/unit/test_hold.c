// SPDX-License-Identifier: Apache-2.0
/* Who holds the loop, and who only waits for a machine that has no time. */
#include "support.h"

#include "hold.h"

#define MS 1000000

static enum hold_verdict judge(uint64_t clock, uint64_t cpu, uint64_t waited, uint64_t switches,
			       uint64_t faults)
{
	const struct hold_sample from = { 500 * MS, 20 * MS, 7 * MS, 100, 3 };
	const struct hold_sample to = { 500 * MS + clock, 20 * MS + cpu, 7 * MS + waited,
					100 + switches, 3 + faults };

	return hold_judge(&from, &to, MS, 1);
}

static void a_millisecond_is_nothing(void **state)
{
	(void)state;
	assert_int_equal(judge(MS, MS, 0, 0, 0), HOLD_NOT);
	assert_int_equal(judge(MS, 0, 0, 1, 0), HOLD_NOT);
}

static void who_computes_is_busy(void **state)
{
	(void)state;
	assert_int_equal(judge(2 * MS, 2 * MS - 1, 0, 0, 0), HOLD_BUSY);
	assert_int_equal(judge(20 * MS, 2 * MS, 18 * MS, 0, 0), HOLD_BUSY);
}

static void who_sleeps_is_asleep(void **state)
{
	(void)state;
	assert_int_equal(judge(200 * MS, MS / 10, 0, 1, 0), HOLD_ASLEEP);
	assert_int_equal(judge(200 * MS, MS / 10, 90 * MS, 1, 0), HOLD_ASLEEP);
}

static void who_has_no_cpu_is_neither(void **state)
{
	(void)state;
	assert_int_equal(judge(200 * MS, MS / 10, 200 * MS - MS / 10, 0, 0), HOLD_NOT);
	/* ... though he slept, but for somebody who had none, either */
	assert_int_equal(judge(200 * MS, MS / 10, 150 * MS, 1, 0), HOLD_NOT);
	/* the hypervisor had others to run */
	assert_int_equal(judge(200 * MS, MS / 10, 0, 0, 0), HOLD_NOT);
}

static void who_waits_for_his_own_code_is_neither(void **state)
{
	(void)state;
	assert_int_equal(judge(20 * MS, MS / 10, 0, 2, 1), HOLD_NOT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_millisecond_is_nothing),
		cmocka_unit_test(who_computes_is_busy),
		cmocka_unit_test(who_sleeps_is_asleep),
		cmocka_unit_test(who_has_no_cpu_is_neither),
		cmocka_unit_test(who_waits_for_his_own_code_is_neither),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
