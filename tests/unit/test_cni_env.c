// SPDX-License-Identifier: Apache-2.0
/* The environment of xskd-cni, and how it tells that it failed. */
#include "../support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "env.h"

/* ---- words ---- */

static void containers(void **state)
{
	static const char *const good[] = { "a", "0", "a.b-c_d", "A9", "a..", "0-_." };
	static const char *const bad[] = { "",      ".",   "..",   "-a",  "_a",  "a/b",
					   "a b",   "a\n", "a@b",  "a:b", "a;b", "\xc3",
					   "a\xff", "a%",  "../a", "a\\", "a=b" };
	char longest[ENV_CONTAINER_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(env_is_container(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(env_is_container(bad[i]));
	memset(longest, 'x', sizeof(longest));
	longest[ENV_CONTAINER_MAX] = '\0';
	assert_true(env_is_container(longest));
	longest[ENV_CONTAINER_MAX] = 'x';
	longest[ENV_CONTAINER_MAX + 1] = '\0';
	assert_false(env_is_container(longest));
}

static void ifnames(void **state)
{
	static const char *const good[] = { "eth0", "a", "net1.5", "...", "-x", "123456789012345" };
	static const char *const bad[] = { "",      ".",     "..",    "a/b",
					   "a:b",   "a@b",   "a b",   "a\t",
					   "a\"",   "a'",    "a\\",   "1234567890123456",
					   "\x01x", "a\x7f", "a\xff", "12345678901234567890" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(env_is_ifname(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(env_is_ifname(bad[i]));
}

/* ---- CNI_ARGS ---- */

static int args(struct env *env, const char *text)
{
	struct fail fail = { .code = 0 };
	int err;

	*env = (struct env){ .args = text };
	err = env_args(env, &fail);
	assert_int_equal(err, fail.code ? -1 : 0);
	assert_int_equal(fail.code, err ? FAIL_ENVIRONMENT : 0);
	return err;
}

static void arguments(void **state)
{
	static const char *const bad[] = { "x", "=x", "a=b;c", "a=b;=", ";;x" };
	struct env env;

	(void)state;
	assert_int_equal(args(&env, ""), 0);
	assert_int_equal(args(&env, ";"), 0);
	assert_int_equal(args(&env, "IgnoreUnknown=1;K8S_POD_NAME=web;K8S_POD_NAMESPACE=default;"
				    "K8S_POD_UID=12-34;K8S_POD_INFRA_CONTAINER_ID=x;"),
			 0);
	assert_string_equal(env.pod, "web");
	assert_string_equal(env.namespace, "default");
	assert_string_equal(env.uid, "12-34");
	assert_int_equal(args(&env, ";;K8S_POD_NAME=;;K8S_POD_UID=a=b"), 0);
	assert_string_equal(env.pod, "");
	assert_string_equal(env.uid, "a=b");
	assert_int_equal(args(&env, "K8S_POD_NAME=a;K8S_POD_NAME=b"), 0);
	assert_string_equal(env.pod, "b");
	/* Neither a beginning nor a longer word is the key. */
	assert_int_equal(args(&env, "K8S_POD_NAM=a;K8S_POD_NAME2=b;k8s_pod_name=c"), 0);
	assert_string_equal(env.pod, "");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(args(&env, bad[i]), -1);
}

static int one_argument(struct env *env, const char *key, size_t len)
{
	char text[512];
	int used = snprintf(text, sizeof(text), "%s=", key);

	memset(text + used, 'x', len);
	text[(size_t)used + len] = '\0';
	return args(env, text);
}

static void argument_limits(void **state)
{
	struct env env;

	(void)state;
	assert_int_equal(one_argument(&env, "K8S_POD_NAME", 255), 0);
	assert_int_equal(strlen(env.pod), 255);
	assert_int_equal(one_argument(&env, "K8S_POD_NAME", 256), -1);
	assert_int_equal(one_argument(&env, "K8S_POD_NAMESPACE", 255), 0);
	assert_int_equal(one_argument(&env, "K8S_POD_NAMESPACE", 256), -1);
	assert_int_equal(one_argument(&env, "K8S_POD_UID", 63), 0);
	assert_int_equal(one_argument(&env, "K8S_POD_UID", 64), -1);
	assert_int_equal(one_argument(&env, "OTHER", 400), 0);
}

/* ---- all of it ---- */

static void put(const char *const words[][2], size_t n)
{
	static const char *const names[] = { "CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS",
					     "CNI_IFNAME",  "CNI_ARGS",        "CNI_PATH" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(unsetenv(names[i]), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(setenv(words[i][0], words[i][1], 1), 0);
}

static const char *const whole[][2] = {
	{ "CNI_COMMAND", "ADD" },           { "CNI_CONTAINERID", "c1" },
	{ "CNI_NETNS", "/run/netns/x" },    { "CNI_IFNAME", "net1" },
	{ "CNI_ARGS", "K8S_POD_NAME=web" }, { "CNI_PATH", "/usr/lib/cni" },
};

/* With one word in the place of another. */
static int read_with(const char *name, const char *value, struct env *env, struct fail *fail)
{
	put(whole, ARRAY_SIZE(whole));
	assert_int_equal(setenv(name, value, 1), 0);
	*fail = (struct fail){ .code = 0 };
	return env_read(env, fail);
}

static void read_whole(void **state)
{
	struct fail fail = { .code = 0 };
	struct env env;

	(void)state;
	put(whole, ARRAY_SIZE(whole));
	assert_int_equal(env_read(&env, &fail), 0);
	assert_int_equal(env.verb, VERB_ADD);
	assert_string_equal(env.container, "c1");
	assert_string_equal(env.netns, "/run/netns/x");
	assert_string_equal(env.ifname, "net1");
	assert_string_equal(env.path, "/usr/lib/cni");
	assert_string_equal(env.pod, "web");
}

static void read_verbs(void **state)
{
	static const char *const verbs[] = { "ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION" };
	static const char *const bad[] = { "", "add", "ADD ", "FLY" };
	struct fail fail;
	struct env env;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		assert_int_equal(read_with("CNI_COMMAND", verbs[i], &env, &fail), 0);
		assert_string_equal(env_verb(env.verb), verbs[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(read_with("CNI_COMMAND", bad[i], &env, &fail), -1);
		assert_int_equal(fail.code, FAIL_ENVIRONMENT);
	}
}

static const char *missing(const char *verb, struct fail *fail)
{
	const char *const words[][2] = { { "CNI_COMMAND", verb } };
	struct env env;

	put(words, 1);
	*fail = (struct fail){ .code = 0 };
	if (env_read(&env, fail) == 0)
		return "";
	assert_int_equal(fail->code, FAIL_ENVIRONMENT);
	return fail->msg;
}

/* All that is missing is named at once. */
static void read_missing(void **state)
{
	struct fail fail;

	(void)state;
	assert_string_equal(missing("ADD", &fail), "ADD needs CNI_CONTAINERID, CNI_NETNS, "
						   "CNI_IFNAME in the environment");
	assert_string_equal(missing("CHECK", &fail), "CHECK needs CNI_CONTAINERID, CNI_NETNS, "
						     "CNI_IFNAME in the environment");
	assert_string_equal(missing("DEL", &fail),
			    "DEL needs CNI_CONTAINERID, CNI_IFNAME in the environment");
	assert_string_equal(missing("GC", &fail), "GC needs CNI_PATH in the environment");
	assert_string_equal(missing("STATUS", &fail), "");
	assert_string_equal(missing("VERSION", &fail), "");
}

static void read_bad(void **state)
{
	static const char *const words[][2] = {
		{ "CNI_CONTAINERID", "../x" },   { "CNI_CONTAINERID", "a\nb" },
		{ "CNI_IFNAME", "a/b" },         { "CNI_IFNAME", "1234567890123456" },
		{ "CNI_NETNS", "/run/\x1b[2J" }, { "CNI_ARGS", "x" },
		{ "CNI_ARGS", "a=\x01" },        { "CNI_PATH", "a\x7f" },
	};
	char text[9000];
	struct fail fail;
	struct env env;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		assert_int_equal(read_with(words[i][0], words[i][1], &env, &fail), -1);
		assert_int_equal(fail.code, FAIL_ENVIRONMENT);
		assert_non_null(strstr(fail.msg, words[i][0]));
	}
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	for (size_t i = 1; i < ARRAY_SIZE(whole); i++)
		assert_int_equal(read_with(whole[i][0], text, &env, &fail), -1);
}

/* ---- errors ---- */

/* What fail_print() prints, as JSON. */
static json_t *printed(const struct fail *fail)
{
	char text[16384] = "";
	int out = dup(STDOUT_FILENO), file = memfd_create("out", MFD_CLOEXEC);
	json_error_t why;
	json_t *json;
	ssize_t n;

	assert_true(out >= 0 && file >= 0);
	fflush(stdout);
	assert_true(dup2(file, STDOUT_FILENO) >= 0);
	fail_print(fail, "1.0.0");
	fflush(stdout);
	assert_true(dup2(out, STDOUT_FILENO) >= 0);
	close(out);
	n = pread(file, text, sizeof(text) - 1, 0);
	close(file);
	assert_true(n > 0);
	json = json_loads(text, 0, &why);
	if (!json)
		fail_msg("%s: %s", why.text, text);
	return json;
}

static const char *text_of(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text ? text : "(none)";
}

static void print(void **state)
{
	struct fail fail = { .code = 0 };
	json_t *json;

	(void)state;
	assert_int_equal(fail_set(&fail, FAIL_CONFIG, "what \"%s\"\n", "ä"), -1);
	json = printed(&fail);
	assert_int_equal(json_object_size(json), 3);
	assert_string_equal(text_of(json, "cniVersion"), "1.0.0");
	assert_int_equal(json_integer_value(json_object_get(json, "code")), FAIL_CONFIG);
	assert_string_equal(text_of(json, "msg"), "what \"ä\"\n");
	json_decref(json);

	strcpy(fail.details, "the log");
	json = printed(&fail);
	assert_string_equal(text_of(json, "details"), "the log");
	json_decref(json);
	assert_int_equal(fail_errno(&fail, FAIL_IO, -ENOENT, "no luck"), -1);
	assert_string_equal(fail.msg, "no luck: No such file or directory");
	assert_string_equal(fail.details, ""); /* those of the error before */
}

/* Another program's text may be anything, and ours may be cut in the middle of a character. */
static void print_odd(void **state)
{
	char text[3000];
	struct fail fail = { .code = 0 };
	json_t *json;

	(void)state;
	(void)fail_set(&fail, FAIL_CONFIG, "before \xff\xfe\xc3 behind");
	strcpy(fail.details, "log \x80");
	json = printed(&fail);
	assert_int_equal(json_integer_value(json_object_get(json, "code")), FAIL_CONFIG);
	assert_memory_equal(text_of(json, "msg"), "before ", 7);
	assert_memory_equal(text_of(json, "details"), "log ", 4);
	json_decref(json);

	text[0] = 'x'; /* so that a character of two bytes does not fit at the end */
	for (size_t i = 1; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "ä", 3);
	(void)fail_set(&fail, FAIL_CONFIG, "%s", text + 1);
	assert_int_equal(strlen(fail.msg), sizeof(fail.msg) - 1);
	json = printed(&fail);
	assert_memory_equal(text_of(json, "msg"), "ää", 4);
	assert_in_range(strlen(text_of(json, "msg")), 1000, sizeof(fail.msg) - 1);
	json_decref(json);
	(void)fail_errno(&fail, FAIL_IO, -ENOENT, "%s", text);
	json = printed(&fail);
	assert_memory_equal(text_of(json, "msg"), "xä", 3);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(containers),
		cmocka_unit_test(ifnames),
		cmocka_unit_test(arguments),
		cmocka_unit_test(argument_limits),
		cmocka_unit_test(read_whole),
		cmocka_unit_test(read_verbs),
		cmocka_unit_test(read_missing),
		cmocka_unit_test(read_bad),
		fd_test(print),
		fd_test(print_odd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
