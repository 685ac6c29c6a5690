// SPDX-License-Identifier: Apache-2.0
#include "../support.h"

#include <stdlib.h>

#include "output.h"

static const struct column columns[] = {
	{ "NAME", "name", COLUMN_PLAIN },     { "QUEUES", "queues", COLUMN_QUEUES },
	{ "SIZE", "size", COLUMN_BYTES },     { "AGE", "age", COLUMN_AGE },
	{ "LABELS", "labels", COLUMN_PAIRS }, { "UP", "up", COLUMN_PLAIN },
};

/* What @rows or @record (one is NULL) looks like, at 10000 seconds after the epoch. */
static char *printed(enum output_format format, const json_t *rows, const json_t *record)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	if (rows)
		assert_int_equal(output_list(f, format, rows, columns, ARRAY_SIZE(columns), 10000),
				 0);
	else
		assert_int_equal(
			output_record(f, format, record, columns, ARRAY_SIZE(columns), 10000), 0);
	assert_int_equal(fclose(f), 0);
	return text;
}

static json_t *example(void)
{
	static const uint32_t queues[] = { 0, 1, 2, 5 };
	json_t *o = json_object(), *labels = json_object();

	output_add(&labels, "pod", output_text("web\033[31m"));
	output_add(&labels, "uid", output_text("\xc2\x9b\xc3\xa9"));
	output_add(&o, "name", output_text("gr\xc3\xbc\xc3\x9f"));
	output_add(&o, "queues", output_queues(queues, ARRAY_SIZE(queues)));
	output_add(&o, "size", output_number(64 << 20));
	output_add(&o, "age", output_number(10000 - 180));
	output_add(&o, "labels", labels);
	output_add(&o, "up", json_true());
	return o;
}

static void an_empty_list_has_titles(void **state)
{
	cleanup(json_decrefp) json_t *rows = json_array();
	cleanup(freep) char *table = printed(OUTPUT_TABLE, rows, NULL);
	cleanup(freep) char *json = printed(OUTPUT_JSON, rows, NULL);

	(void)state;
	assert_string_equal(table, "NAME  QUEUES  SIZE  AGE  LABELS  UP\n");
	assert_string_equal(json, "[]\n");
}

static void columns_are_aligned(void **state)
{
	cleanup(json_decrefp) json_t *rows = json_array();

	(void)state;
	output_append(&rows, example());
	output_append(&rows, json_object());

	cleanup(freep) char *table = printed(OUTPUT_TABLE, rows, NULL);

	assert_string_equal(
		table,
		"NAME  QUEUES  SIZE    AGE     LABELS               UP\n"
		"gr\xc3\xbc\xc3\x9f  0-2,5   64 MiB  3m ago  pod=web?[31m,uid=?\xc3\xa9  yes\n"
		"-     -       -       -       -                    -\n");
}

static void a_record_has_a_line_each(void **state)
{
	cleanup(json_decrefp) json_t *record = json_object();

	(void)state;
	output_add(&record, "size", output_number(1025));
	output_add(&record, "age", output_number(20000)); /* a clock was set back */

	cleanup(freep) char *table = printed(OUTPUT_TABLE, NULL, record);
	cleanup(freep) char *json = printed(OUTPUT_JSON, NULL, record);

	assert_string_equal(table, "NAME    -\nQUEUES  -\nSIZE    1025 B\nAGE     0s ago\n"
				   "LABELS  -\nUP      -\n");
	assert_string_equal(json, "{\n  \"size\": 1025,\n  \"age\": 20000\n}\n");
}

static void json_is_always_valid(void **state)
{
	cleanup(json_decrefp) json_t *text = output_text("a\xff");
	cleanup(json_decrefp) json_t *none = output_text("");
	cleanup(json_decrefp) json_t *zero = output_id(0);

	(void)state;
	assert_string_equal(json_string_value(text), "a?");
	assert_true(json_is_null(none));
	assert_true(json_is_null(zero));
}

static void one_failure_fails_the_whole(void **state)
{
	json_t *o = json_object();

	(void)state;
	output_add(&o, "a", json_true());
	output_add(&o, "b", NULL);
	assert_null(o);
	output_add(&o, "c", json_integer(1)); /* taken over all the same: no leak */
	assert_null(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_list_has_titles),
		cmocka_unit_test(columns_are_aligned),
		cmocka_unit_test(a_record_has_a_line_each),
		cmocka_unit_test(json_is_always_valid),
		cmocka_unit_test(one_failure_fails_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
