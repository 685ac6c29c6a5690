// SPDX-License-Identifier: Apache-2.0
/* The sorted array that everything in the daemon is looked up in. */
#include "support.h"

#include "index.h"

static int compare(const void *key, const void *item)
{
	int a = *(const int *)key, b = *(const int *)item;

	return a < b ? -1 : a > b;
}

static void fill(struct index *ix, int *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(index_add(ix, &items[i], &items[i]), 0);
}

static void assert_sorted(const struct index *ix)
{
	for (size_t i = 1; i < ix->n; i++)
		assert_true(*(int *)ix->at[i - 1] < *(int *)ix->at[i]);
}

static void an_empty_one_has_nothing(void **state)
{
	struct index ix = INDEX_INIT(compare);
	int key = 1;

	(void)state;
	assert_null(index_find(&ix, &key));
	assert_null(index_remove(&ix, &key));
	assert_int_equal(index_after(&ix, &key), 0);
	index_done(&ix);
}

static void any_order_becomes_sorted(void **state)
{
	struct index ix = INDEX_INIT(compare);
	int items[] = { 5, 1, 9, 3, 7, 2, 8, 4, 6, 0, 11, 10 };

	(void)state;
	fill(&ix, items, ARRAY_SIZE(items));
	assert_int_equal(ix.n, ARRAY_SIZE(items));
	assert_sorted(&ix);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		assert_ptr_equal(index_find(&ix, &items[i]), &items[i]);
	index_done(&ix);
	assert_int_equal(ix.n, 0);
}

static void after_is_the_first_that_is_greater(void **state)
{
	struct index ix = INDEX_INIT(compare);
	int items[] = { 10, 20, 30 };
	const struct {
		int key;
		size_t place;
	} cases[] = { { 9, 0 }, { 10, 1 }, { 11, 1 }, { 20, 2 }, { 29, 2 }, { 30, 3 }, { 31, 3 } };

	(void)state;
	fill(&ix, items, ARRAY_SIZE(items));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(index_after(&ix, &cases[i].key), cases[i].place);
	index_done(&ix);
}

static void what_is_removed_is_gone_and_nothing_else(void **state)
{
	struct index ix = INDEX_INIT(compare);
	int items[] = { 1, 2, 3, 4, 5 }, first = 1, middle = 3, last = 5, none = 6;

	(void)state;
	fill(&ix, items, ARRAY_SIZE(items));
	assert_ptr_equal(index_remove(&ix, &middle), &items[2]);
	assert_null(index_remove(&ix, &middle));
	assert_null(index_remove(&ix, &none));
	assert_ptr_equal(index_remove(&ix, &last), &items[4]);
	assert_ptr_equal(index_remove(&ix, &first), &items[0]);
	assert_int_equal(ix.n, 2);
	assert_ptr_equal(ix.at[0], &items[1]);
	assert_ptr_equal(ix.at[1], &items[3]);
	index_done(&ix);
}

static void it_grows(void **state)
{
	struct index ix = INDEX_INIT(compare);
	static int items[5000];

	(void)state;
	for (int i = 0; i < 5000; i++)
		items[i] = (i * 7919) % 5000; /* a prime: each number once, in no order */
	fill(&ix, items, ARRAY_SIZE(items));
	assert_int_equal(ix.n, 5000);
	assert_sorted(&ix);
	index_done(&ix);
}

static void what_was_reserved_needs_no_more_memory(void **state)
{
	struct index ix = INDEX_INIT(compare);
	int items[100];
	void **at;

	(void)state;
	assert_int_equal(index_reserve(&ix, 100), 0);
	at = ix.at;
	for (int i = 0; i < 100; i++) {
		items[i] = i;
		assert_int_equal(index_add(&ix, &items[i], &items[i]), 0);
		assert_ptr_equal(ix.at, at);
	}
	index_done(&ix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fd_test(an_empty_one_has_nothing),
		fd_test(any_order_becomes_sorted),
		fd_test(after_is_the_first_that_is_greater),
		fd_test(what_is_removed_is_gone_and_nothing_else),
		fd_test(it_grows),
		fd_test(what_was_reserved_needs_no_more_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
