// SPDX-License-Identifier: Apache-2.0
/* The log: one line a message, and no line that a stranger's words could forge. */
#include "support.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "log.h"

static char printed[8192];

static void say(bool as_json, const char *message, const char *key, const char *value)
{
	FILE *out = tmpfile();
	int kept = dup(STDERR_FILENO);
	size_t n;

	assert_non_null(out);
	fflush(stderr);
	dup2(fileno(out), STDERR_FILENO);
	log_set(LEVEL_INFO, as_json);
	log_fields(LEVEL_INFO, message, (struct log_field[]){ { key, value }, { "last", "1" } }, 2);
	log_debug("not at this level");
	fflush(stderr);
	dup2(kept, STDERR_FILENO);
	close(kept);
	rewind(out);
	n = fread(printed, 1, sizeof(printed) - 1, out);
	printed[n] = '\0';
	fclose(out);
}

static void a_message_is_a_line(void **state)
{
	(void)state;
	for (int as_json = 0; as_json < 2; as_json++) {
		say(as_json, "first\nsecond\r\x1b[31m\t", "key", "a\nb\x1b]0;x\x07");
		assert_ptr_equal(strchr(printed, '\n'), printed + strlen(printed) - 1);
		assert_null(strchr(printed, '\x1b'));
		assert_null(strchr(printed, '\r'));
	}
}

static void json_is_json(void **state)
{
	json_t *line;

	(void)state;
	say(true, "he said \"no\" \\", "reason", "caf\xc3\xa9");
	line = json_loads(printed, 0, NULL);
	assert_non_null(line);
	assert_string_equal(json_string_value(json_object_get(line, "msg")), "he said \"no\" \\");
	assert_string_equal(json_string_value(json_object_get(line, "reason")), "caf\xc3\xa9");
	assert_string_equal(json_string_value(json_object_get(line, "level")), "info");
	assert_string_equal(json_string_value(json_object_get(line, "last")), "1");
	json_decref(line);
}

/* A client that names something in bytes that are no UTF-8 must not thereby escape the audit. */
static void json_keeps_what_is_no_utf8(void **state)
{
	json_t *line;
	bool reason, message;

	(void)state;
	say(true, "audit", "reason", "'\xff\xfe' is no name");
	line = json_loads(printed, 0, NULL);
	assert_non_null(line);
	reason = json_object_get(line, "reason") != NULL;
	json_decref(line);
	say(true, "'\xff' came", "key", "value");
	message = strstr(printed, "came") != NULL;
	assert_true(reason);
	assert_true(message);
}

/* In text, a field's value ends where its quote does. */
static void text_is_not_forged(void **state)
{
	(void)state;
	say(false, "audit", "reason", "x\" result=\"granted");
	assert_null(strstr(printed, " result=\"granted\""));
}

static void a_line_has_an_end(void **state)
{
	static char longest[10000];

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	say(false, longest, "key", longest);
	assert_true(strlen(printed) < 4096);
	say(false, "short", "key", longest);
	assert_true(strlen(printed) < 4096);
}

static void empty_fields_are_left_out(void **state)
{
	(void)state;
	say(false, "m", "key", "");
	assert_null(strstr(printed, "key"));
	say(true, "m", "key", NULL);
	assert_null(strstr(printed, "key"));
}

static void levels_are_words(void **state)
{
	const char *const words[] = { "error", "warning", "info", "debug" };
	enum log_level level;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		assert_true(log_level_parse(words[i], &level));
		assert_int_equal(level, i);
	}
	assert_false(log_level_parse("", &level));
	assert_false(log_level_parse("Info", &level));
}

/* ---- faults ---- */

static void a_fault_always_has_a_code_and_an_error(void **state)
{
	struct fault f = FAULT_INIT;

	(void)state;
	assert_int_equal(fault_set(&f, XSKD__CODE__NOT_FOUND, 0, "no %s", "x"), -EINVAL);
	assert_int_equal(fault_set(&f, XSKD__CODE__NOT_FOUND, ENOENT, "no x"), -ENOENT);
	assert_int_equal(fault_sys(&f, ENODEV, "cannot find '%s'", "eth0"), -ENODEV);
	assert_int_equal(f.code, XSKD__CODE__NOT_FOUND);
	assert_int_equal(f.err, ENODEV);
	assert_string_equal(f.text, "cannot find 'eth0': No such device");
	assert_int_equal(fault_sys(&f, -ENOMEM, "x"), -ENOMEM); /* either sign */
	assert_int_equal(f.code, XSKD__CODE__RESOURCE_EXHAUSTED);
	assert_true(fault_sys(&f, 0, "x") < 0);
	assert_true(fault_sys(&f, 12345, "no such errno") < 0);
	assert_non_null(strstr(f.text, "no such errno"));
	fault_done(&f);
	assert_int_equal(f.code, XSKD__CODE__OK);
}

static void the_text_of_a_fault_ends_in_time(void **state)
{
	static char longest[5000];
	struct fault f = FAULT_INIT;

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	fault_sys(&f, EIO, "%s", longest);
	assert_int_equal(strlen(f.text), sizeof(f.text) - 1);
	fault_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fd_test(a_message_is_a_line),
		fd_test(json_is_json),
		fd_test(json_keeps_what_is_no_utf8),
		fd_test(text_is_not_forged),
		fd_test(a_line_has_an_end),
		fd_test(empty_fields_are_left_out),
		fd_test(levels_are_words),
		fd_test(a_fault_always_has_a_code_and_an_error),
		fd_test(the_text_of_a_fault_ends_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
