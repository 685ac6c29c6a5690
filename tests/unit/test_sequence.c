// SPDX-License-Identifier: Apache-2.0
#include "../support.h"

#include <string.h>

#include "sequence.h"

static void nothing_is_lost_of_nothing(void **state)
{
	struct sequence s = { 0 };

	(void)state;
	assert_int_equal(sequence_lost(&s), 0);
}

static void gaps_are_lost(void **state)
{
	struct sequence s = { 0 };

	(void)state;
	for (uint64_t n = 100; n < 1000000; n++) {
		if (n % 1000 != 7)
			sequence_count(&s, n);
	}
	assert_int_equal(s.first, 100);
	assert_int_equal(s.last, 999999);
	assert_int_equal(sequence_lost(&s), 999);
	assert_int_equal(s.duplicated + s.reordered, 0);
}

static void late_ones_are_not_lost(void **state)
{
	static const uint64_t order[] = { 5, 3, 4, 9, 6, 6, 9, 7 };
	struct sequence s = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		sequence_count(&s, order[i]);
	assert_int_equal(s.packets, 8);
	assert_int_equal(s.first, 3);
	assert_int_equal(s.last, 9);
	assert_int_equal(s.duplicated, 2);      /* 6 and 9 */
	assert_int_equal(s.reordered, 4);       /* 3, 4, 6 and 7 */
	assert_int_equal(sequence_lost(&s), 1); /* 8 */
}

static void a_leap_forgets_the_window(void **state)
{
	struct sequence s = { 0 };

	(void)state;
	sequence_count(&s, 1);
	sequence_count(&s, 1 + SEQUENCE_WINDOW); /* the same bit */
	assert_int_equal(s.duplicated, 0);
	assert_int_equal(sequence_lost(&s), SEQUENCE_WINDOW - 1);
	sequence_count(&s, UINT64_MAX);
	assert_int_equal(s.duplicated, 0);
	sequence_count(&s, 0); /* the span is now all there are, and does not overflow */
	assert_int_equal(s.reordered, 1);
}

/* Ethernet, IPv4 with @words of header, UDP to @port, and the number 0x0102030405060708. */
static size_t frame(uint8_t out[128], uint8_t words, uint8_t port)
{
	size_t ip = 14, udp = ip + words * 4U;

	memset(out, 0, 128);
	out[12] = 0x08;
	out[ip] = (uint8_t)(0x40 | words);
	out[ip + 9] = 17;
	out[udp + 3] = port;
	for (uint8_t i = 0; i < 8; i++)
		out[udp + 8 + i] = (uint8_t)(i + 1);
	return udp + 16;
}

static void only_our_packets_count(void **state)
{
	struct sequence s = { 0 };
	uint8_t bytes[128];
	size_t len = frame(bytes, 5, SEQUENCE_PORT);

	(void)state;
	sequence_take(&s, bytes, len);
	assert_int_equal(s.packets, 1);
	assert_true(s.last == 0x0102030405060708);
	len = frame(bytes, 15, SEQUENCE_PORT); /* IP options */
	sequence_take(&s, bytes, len);
	assert_int_equal(s.packets, 2);
	for (size_t shorter = 0; shorter < len; shorter++)
		sequence_take(&s, bytes, shorter);
	sequence_take(&s, bytes, frame(bytes, 4, SEQUENCE_PORT));
	sequence_take(&s, bytes, frame(bytes, 5, 53));
	len = frame(bytes, 5, SEQUENCE_PORT);
	bytes[12] = 0x86;
	sequence_take(&s, bytes, len);
	assert_int_equal(s.packets, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_of_nothing),
		cmocka_unit_test(gaps_are_lost),
		cmocka_unit_test(late_ones_are_not_lost),
		cmocka_unit_test(a_leap_forgets_the_window),
		cmocka_unit_test(only_our_packets_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
