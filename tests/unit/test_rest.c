// SPDX-License-Identifier: Apache-2.0
/* Memory that is given back at the end of the start: that it goes, and that nothing else does. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rest.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OTHER_MALLOC
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OTHER_MALLOC
#endif

#define PIECES 8192
#define PIECE  512

struct memory {
	long resident, of_files; /* KiB */
};

static struct memory look(void)
{
	long page = sysconf(_SC_PAGESIZE) / 1024, size, resident, shared;
	FILE *f = fopen("/proc/self/statm", "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld %ld %ld", &size, &resident, &shared), 3);
	fclose(f);
	return (struct memory){ resident * page, shared * page };
}

/* Of these two tests' memory most is its own, and its malloc another. */
static void not_under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	if (preload && strstr(preload, "vgpreload"))
		skip();
}

static int data[4096] = { 1, 2, 3 }, bss[4096];

static void what_was_written_stays(void **state)
{
	(void)state;
	data[1] = 20;
	data[4095] = 30;
	bss[7] = 40;
	rest_begin();
	assert_int_equal(data[0], 1);
	assert_int_equal(data[1], 20);
	assert_int_equal(data[4095], 30);
	assert_int_equal(bss[7], 40);
}

static void program_and_libraries_leave(void **state)
{
	struct memory before, after;

	(void)state;
	not_under_valgrind();
	look(); /* what it needs itself is there now */
	before = look();
	rest_begin();
	after = look();
	assert_true(after.of_files < before.of_files * 3 / 4);
}

/* One piece at the end stays, so that the heap cannot simply be cut off. */
static void free_heap_leaves(void **state)
{
#ifndef OTHER_MALLOC
	static char *piece[PIECES];
	struct memory before, after;

	not_under_valgrind();
	for (size_t i = 0; i < PIECES; i++) {
		piece[i] = malloc(PIECE);
		assert_non_null(piece[i]);
		memset(piece[i], 1, PIECE);
	}
	for (size_t i = 0; i + 1 < PIECES; i++)
		free(piece[i]);
	before = look();
	rest_begin();
	after = look();
	assert_true(before.resident - after.resident > PIECES * PIECE / 1024 / 2);
	assert_int_equal(piece[PIECES - 1][PIECE - 1], 1);
	free(piece[PIECES - 1]);
#endif
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_stays),
		cmocka_unit_test(program_and_libraries_leave),
		cmocka_unit_test(free_heap_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
