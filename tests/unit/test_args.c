// SPDX-License-Identifier: Apache-2.0
#include "../support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"

static void numbers(void **state)
{
	static const char *const bad[] = { "",
					   " 1",
					   "+1",
					   "-1",
					   "1 ",
					   "0x",
					   "0xg",
					   "1.5",
					   "101",
					   "0x100",
					   "99999999999999999999" };
	char why[ARGS_WHY_SIZE] = "";
	uint64_t n = 0;

	(void)state;
	assert_int_equal(args_number("100", 0, 100, &n, why), 0);
	assert_int_equal(n, 100);
	assert_int_equal(args_number("0x1F", 0, 100, &n, why), 0);
	assert_int_equal(n, 31);
	assert_int_equal(args_number("010", 0, 100, &n, why), 0); /* not octal */
	assert_int_equal(n, 10);
	assert_int_equal(args_number("18446744073709551615", 0, UINT64_MAX, &n, why), 0);
	assert_true(n == UINT64_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(args_number(bad[i], 0, 100, &n, why), -EINVAL);
	assert_true(n == UINT64_MAX);
	assert_string_equal(why, "want a number from 0 to 100");
	assert_int_equal(args_number("4", 5, 6, &n, why), -EINVAL);
}

static void seconds(void **state)
{
	static const char *const bad[] = { "",      "-1", "inf", "nan", "1e3",       "0x1",
					   "1.2.3", ".",  " 1",  "1s",  "9999999999" };
	char why[ARGS_WHY_SIZE];
	int ms = -5;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(args_seconds(bad[i], &ms, why), -EINVAL);
	assert_int_equal(ms, -5);
	assert_int_equal(args_seconds("2", &ms, why), 0);
	assert_int_equal(ms, 2000);
	assert_int_equal(args_seconds(".5", &ms, why), 0);
	assert_int_equal(ms, 500);
	assert_int_equal(args_seconds("0.0001", &ms, why), 0); /* 0 would mean something else */
	assert_int_equal(ms, 1);
	assert_int_equal(args_seconds("0", &ms, why), 0);
	assert_int_equal(ms, 0);
}

static void queues(void **state)
{
	static const char *const bad[] = {
		"",  ",",   "1,",    ",1",         "1-", "-1",   "3-1",
		"a", "1,1", "0-2,1", "4294967296", "5 ", "1--2", "0-1024"
	};
	static const uint32_t want[] = { 0, 1, 2, 3, 7, 9 };
	cleanup(queue_list_donep) struct queue_list list = { 0 };
	char why[ARGS_WHY_SIZE];

	(void)state;
	assert_int_equal(args_queues("0-3,7", &list, why), 0);
	assert_int_equal(args_queues("9", &list, why), 0);
	assert_int_equal(args_queues("9", &list, why), -EINVAL);
	assert_string_equal(why, "names queue 9 twice");
	assert_int_equal(args_queues("10,8-11", &list, why), -EINVAL);
	assert_int_equal(list.n, ARRAY_SIZE(want));
	assert_memory_equal(list.queues, want, sizeof(want));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cleanup(queue_list_donep) struct queue_list none = { 0 };

		assert_int_equal(args_queues(bad[i], &none, why), -EINVAL);
		assert_int_equal(none.n, 0);
	}
	/* As long as it is legal it must end at once, whatever the numbers. */
	assert_int_equal(args_queues("0-4294967295", &list, why), -EINVAL);
	assert_int_equal(args_queues("4294967295", &list, why), 0);
}

static void pairs(void **state)
{
	char plain[] = "pod=web=1", empty[] = "pod=", no_key[] = "=x", no_value[] = "pod";
	char why[ARGS_WHY_SIZE];
	char *key = NULL, *value = NULL;

	(void)state;
	assert_int_equal(args_pair(plain, &key, &value, why), 0);
	assert_string_equal(key, "pod");
	assert_string_equal(value, "web=1");
	assert_int_equal(args_pair(empty, &key, &value, why), 0);
	assert_string_equal(value, "");
	assert_int_equal(args_pair(no_key, &key, &value, why), -EINVAL);
	assert_int_equal(args_pair(no_value, &key, &value, why), -EINVAL);
}

static int constant(const char *text, struct xskd_constant *out, char copy[64])
{
	char why[ARGS_WHY_SIZE];

	strcpy(copy, text);
	return args_constant(copy, out, why);
}

static void constants(void **state)
{
	static const char *const bad[] = { "x",
					   "x=",
					   "=1",
					   "x=y",
					   "x=1 ",
					   "x=-",
					   "x=hex:",
					   "x=hex:0",
					   "x=hex:zz",
					   "x=--1",
					   "x=-9223372036854775809",
					   "x=18446744073709551616" };
	static const uint8_t bytes[] = { 0x0a, 0xff, 0x00 };
	struct xskd_constant c = { 0 };
	char copy[64];

	(void)state;
	assert_int_equal(constant("x=12", &c, copy), 0);
	assert_string_equal(c.name, "x");
	assert_null(c.value);
	assert_true(c.number == 12);
	assert_int_equal(constant("x=-9223372036854775808", &c, copy), 0);
	assert_true(c.number == INT64_MIN);
	assert_int_equal(constant("x=0xffffffffffffffff", &c, copy), 0);
	assert_true(c.number == -1);
	assert_int_equal(constant("mac=hex:0AfF00", &c, copy), 0);
	assert_int_equal(c.size, sizeof(bytes));
	assert_memory_equal(c.value, bytes, sizeof(bytes));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(constant(bad[i], &c, copy), -EINVAL);
}

static void namespaces(void **state)
{
	static const char *const texts[][2] = {
		{ "web", "/run/netns/web" },
		{ "/proc/1/ns/net", "/proc/1/ns/net" },
		{ "./x", "./x" },
	};
	char why[ARGS_WHY_SIZE];
	char *path = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(args_netns(texts[i][0], &path, why), 0);
		assert_string_equal(path, texts[i][1]);
		free(path);
	}
	assert_int_equal(args_netns("", &path, why), -EINVAL);
	assert_int_equal(args_netns("..", &path, why), -EINVAL);
}

static void choices(void **state)
{
	static const char *const words[] = { "native", "generic", NULL };
	char why[ARGS_WHY_SIZE];
	unsigned int i = 7;

	(void)state;
	assert_int_equal(args_choice("nat", words, &i, why), -EINVAL);
	assert_string_equal(why, "want one of native, generic");
	assert_int_equal(i, 7);
	assert_int_equal(args_choice("generic", words, &i, why), 0);
	assert_int_equal(i, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),   cmocka_unit_test(seconds),
		cmocka_unit_test(queues),    cmocka_unit_test(pairs),
		cmocka_unit_test(constants), cmocka_unit_test(namespaces),
		cmocka_unit_test(choices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
