// SPDX-License-Identifier: Apache-2.0
/* What the daemon was told: flags and the file of --config. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

#define ARGS_MAX 12

static char printed[8192]; /* on stdout and stderr by the last parse() */

/* What the parser prints is caught, for it is half of what a user gets from it. */
static enum options_result parse_list(struct options *o, char **argv, int argc)
{
	FILE *out = tmpfile();
	int kept[] = { dup(STDOUT_FILENO), dup(STDERR_FILENO) };
	enum options_result result;
	size_t n;

	assert_non_null(out);
	fflush(stdout);
	fflush(stderr);
	dup2(fileno(out), STDOUT_FILENO);
	dup2(fileno(out), STDERR_FILENO);
	optind = 0; /* glibc: from the beginning */
	result = options_parse(o, argc, argv);
	fflush(stdout);
	fflush(stderr);
	dup2(kept[0], STDOUT_FILENO);
	dup2(kept[1], STDERR_FILENO);
	close(kept[0]);
	close(kept[1]);
	rewind(out);
	n = fread(printed, 1, sizeof(printed) - 1, out);
	printed[n] = '\0';
	fclose(out);
	return result;
}

#define parse(o, ...)                                                         \
	({                                                                    \
		const char *const words_[] = { "xskd", ##__VA_ARGS__, NULL }; \
		char *argv_[ARGS_MAX] = { NULL };                             \
                                                                              \
		memcpy(argv_, words_, sizeof(words_));                        \
		parse_list(o, argv_, (int)ARRAY_SIZE(words_) - 1);            \
	})

static int json(struct options *o, const char *text)
{
	struct fault fault = FAULT_INIT;
	int err;

	assert_int_equal(parse(o), OPTIONS_RUN); /* the defaults */
	err = options_parse_json(o, text, strlen(text), &fault);
	assert_true(err <= 0);
	assert_true(err == 0 || *fault.text);
	fault_done(&fault);
	return err;
}

static void without_flags_there_are_defaults(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parse(&o), OPTIONS_RUN);
	assert_string_equal(o.run_dir, "/run/xskd");
	assert_string_equal(o.bpf_dir, "/sys/fs/bpf/xskd");
	assert_int_equal(o.log_level, LEVEL_INFO);
	assert_false(o.log_json);
	assert_false(o.two_phase);
	assert_true(o.workers > 0 && o.limits.connections > 0 && o.limits.sockets_per_lease > 0);
	assert_string_equal(printed, "");
}

static void flags_are_taken(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parse(&o, "--run-dir", "/r", "--bpf-dir=/b", "--log-level", "debug",
			       "--log-format=json"),
			 OPTIONS_RUN);
	assert_string_equal(o.run_dir, "/r");
	assert_string_equal(o.bpf_dir, "/b");
	assert_int_equal(o.log_level, LEVEL_DEBUG);
	assert_true(o.log_json);
	assert_int_equal(parse(&o, "--log-level", "error", "--log-level", "warning"), OPTIONS_RUN);
	assert_int_equal(o.log_level, LEVEL_WARNING); /* the last one counts */
}

static void what_is_wrong_is_named(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parse(&o, "--no-such-flag"), OPTIONS_WRONG);
	assert_non_null(strstr(printed, "--help"));
	assert_int_equal(parse(&o, "--run-dir"), OPTIONS_WRONG);
	assert_int_equal(parse(&o, "surplus"), OPTIONS_WRONG);
	assert_non_null(strstr(printed, "surplus"));
	assert_int_equal(parse(&o, "--run-dir", "relative"), OPTIONS_WRONG);
	assert_non_null(strstr(printed, "--run-dir"));
	assert_int_equal(parse(&o, "--run-dir", ""), OPTIONS_WRONG);
	assert_int_equal(parse(&o, "--log-level", "loud"), OPTIONS_WRONG);
	assert_non_null(strstr(printed, "debug"));
	assert_int_equal(parse(&o, "--log-format", "xml"), OPTIONS_WRONG);
	assert_int_equal(parse(&o, "--config", "/no/such/file"), OPTIONS_WRONG);
	assert_non_null(strstr(printed, "/no/such/file"));
	assert_int_equal(parse(&o, "--config", "/tmp"), OPTIONS_WRONG); /* a directory */
}

static void help_and_version_end_it(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parse(&o, "--help"), OPTIONS_DONE);
	assert_non_null(strstr(printed, "usage: xskd"));
	assert_non_null(strstr(printed, "--log-format"));
	assert_int_equal(parse(&o, "-h"), OPTIONS_DONE);
	assert_int_equal(parse(&o, "--version"), OPTIONS_DONE);
	assert_string_equal(printed, "xskd " XSKD_VERSION "\n");
}

static void a_path_has_to_fit(void **state)
{
	static char longest[PATH_MAX + 1];
	struct options o;

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[0] = '/';
	longest[PATH_MAX] = '\0';
	assert_int_equal(parse(&o, "--run-dir", longest), OPTIONS_WRONG);
	longest[PATH_MAX - 1] = '\0';
	assert_int_equal(parse(&o, "--run-dir", longest), OPTIONS_RUN);
}

/* ---- the file ---- */

static void each_key_is_taken(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(
		json(&o, "{\"runDir\": \"/r\", \"bpfDir\": \"/b\", \"logLevel\": \"error\","
			 "\"logFormat\": \"json\", \"handOff\": \"two-phase\", \"workers\": 3,"
			 "\"sandbox\": false,"
			 "\"limits\": {\"connections\": 11, \"connectionsPerNetns\": 12,"
			 "\"callsInFlight\": 13, \"callsPerNetns\": 15, \"callsPerSecond\": 16,"
			 "\"workersPerNetns\": 18, \"connectionsWithoutLease\": 19,"
			 "\"fdsPerNetns\": 20, \"watchersPerNetns\": 21,"
			 "\"queuedBytesPerNetns\": 70001, \"ringBytesPerLease\": 5000000001,"
			 "\"queuedBytes\": 70000,"
			 "\"socketsPerLease\": 14, \"umemBytesPerLease\": 5000000000,"
			 "\"transientGraceSeconds\": 17}}"),
		0);
	assert_string_equal(o.run_dir, "/r");
	assert_string_equal(o.bpf_dir, "/b");
	assert_int_equal(o.log_level, LEVEL_ERROR);
	assert_true(o.log_json);
	assert_true(o.two_phase);
	assert_int_equal(o.workers, 3);
	assert_false(o.sandbox);
	assert_false(o.perfmon);
	assert_int_equal(o.limits.connections, 11);
	assert_int_equal(o.limits.connections_per_netns, 12);
	assert_int_equal(o.limits.calls_in_flight, 13);
	assert_int_equal(o.limits.calls_per_netns, 15);
	assert_int_equal(o.limits.calls_per_second, 16);
	assert_int_equal(o.limits.workers_per_netns, 18);
	assert_int_equal(o.limits.connections_without_lease, 19);
	assert_int_equal(o.limits.fds_per_netns, 20);
	assert_int_equal(o.limits.watchers_per_netns, 21);
	assert_int_equal(o.limits.queued_bytes_per_netns, 70001);
	assert_int_equal(o.limits.ring_bytes_per_lease, 5000000001);
	assert_int_equal(o.limits.queued_bytes, 70000);
	assert_int_equal(o.limits.sockets_per_lease, 14);
	assert_int_equal(o.limits.umem_bytes_per_lease, 5000000000);
	assert_int_equal(o.limits.transient_grace, 17);
	assert_int_equal(json(&o, "{}"), 0);
	assert_int_equal(json(&o, "{\"handOff\": \"auto\", \"logFormat\": \"text\"}"), 0);
	assert_false(o.two_phase);
}

static void numbers_have_bounds(void **state)
{
	const struct {
		const char *key;
		long long least, most;
		bool in_limits;
	} rows[] = {
		{ "workers", 1, 128, false },
		{ "connections", 1, 1000000, true },
		{ "connectionsPerNetns", 1, 1000000, true },
		{ "callsInFlight", 1, 1024, true },
		{ "callsPerNetns", 1, 65536, true },
		{ "callsPerSecond", 1, 10000000, true },
		{ "workersPerNetns", 1, 128, true },
		{ "connectionsWithoutLease", 1, 1000000, true },
		{ "fdsPerNetns", 1, 1000000, true },
		{ "watchersPerNetns", 1, 1000000, true },
		{ "queuedBytesPerNetns", 65536, 1024 * 1024 * 1024, true },
		{ "ringBytesPerLease", 4096, INT64_MAX, true },
		{ "queuedBytes", 65536, 64 * 1024 * 1024, true },
		{ "socketsPerLease", 1, 4096, true },
		{ "umemBytesPerLease", 4096, INT64_MAX, true },
		{ "transientGraceSeconds", 1, 86400, true },
	};
	struct options o;
	char text[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *form = rows[i].in_limits ? "{\"limits\":{\"%s\":%s}}" : "{\"%s\":%s}";
		char values[9][32];

		snprintf(values[0], 32, "%lld", rows[i].least);
		snprintf(values[1], 32, "%lld", rows[i].most);
		snprintf(values[2], 32, "%lld", rows[i].least - 1);
		snprintf(values[3], 32, "%llu", (unsigned long long)rows[i].most + 1);
		strcpy(values[4], "-1");
		strcpy(values[5], "1.5");
		strcpy(values[6], "\"1\"");
		strcpy(values[7], "null");
		strcpy(values[8], "99999999999999999999");
		for (size_t j = 0; j < ARRAY_SIZE(values); j++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			snprintf(text, sizeof(text), form, rows[i].key, values[j]);
#pragma GCC diagnostic pop
			assert_int_equal(json(&o, text) == 0, j < 2);
		}
	}
}

static void what_is_wrong_in_the_file_is_an_error(void **state)
{
	const char *const bad[] = {
		"",
		"{",
		"[]",
		"null",
		"\"text\"",
		"{} {}",
		"{\"workers\": 1,}",
		"{\"workers\": 1, \"workers\": 2}",
		"{\"limits\": {\"connections\": 1, \"connections\": 1}}",
		"{\"unknown\": 1}",
		"{\"WORKERS\": 1}",
		"{\"\": 1}",
		"{\"limits\": {\"unknown\": 1}}",
		"{\"limits\": {\"workers\": 1}}",
		"{\"connections\": 1}",
		"{\"limits\": []}",
		"{\"limits\": 1}",
		"{\"runDir\": 1}",
		"{\"runDir\": \"relative\"}",
		"{\"runDir\": \"\"}",
		"{\"runDir\": \"/a\\u0000b\"}",
		"{\"runDir\": null}",
		"{\"bpfDir\": {}}",
		"{\"logLevel\": \"INFO\"}",
		"{\"logLevel\": 1}",
		"{\"logFormat\": true}",
		"{\"handOff\": \"one-phase\"}",
		"{\"handOff\": 1}",
		"{\"sandbox\": \"false\"}",
		"{\"sandbox\": 0}",
		"{\"perfmon\": null}",
		"{\"runDir\": \"/\xff\"}",
	};
	struct options o;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(json(&o, bad[i]) < 0);
}

static void deep_nesting_is_no_danger(void **state)
{
	static char text[200000];
	struct options o;

	(void)state;
	memset(text, '[', sizeof(text) - 1);
	assert_true(json(&o, text) < 0);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void metrics_are_told_on_loopback(void **state)
{
	static const char *const good[] = { "127.0.0.1:9464", "127.255.0.9:1", "[::1]:65535" };
	static const char *const bad[] = {
		"",
		"9464",
		":9464",
		"localhost:9464",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:0",
		"127.0.0.1:-1",
		"127.0.0.1:65536",
		"127.0.0.1: 1",
		"127.0.0.1:1x",
		"::1:9464",
		"[::1]",
		"[]:9464",
		"[::1:9464",
		"[127.0.0.1]:1",
		"0.0.0.0:9464",
		"[::]:9464",
		"10.0.0.1:9464",
		"128.0.0.1:1",
		"[::ffff:127.0.0.1]:1",
		"127.0.0.1:99999999999999999999",
	};
	struct options o;
	char text[160];

	(void)state;
	assert_int_equal(parse(&o), OPTIONS_RUN);
	assert_int_equal(o.metrics.any.sa_family, AF_UNSPEC);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		snprintf(text, sizeof(text), "{\"metrics\": {\"listen\": \"%s\"}}", good[i]);
		assert_int_equal(json(&o, text), 0);
		assert_string_equal(o.metrics_name, good[i]);
		assert_true(o.metrics.in.sin_port);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(text, sizeof(text), "{\"metrics\": {\"listen\": \"%s\"}}", bad[i]);
		assert_true(json(&o, text) < 0);
	}
	assert_true(json(&o, "{\"metrics\": {\"listen\": 9464}}") < 0);
	assert_true(json(&o, "{\"metrics\": {\"lisent\": \"127.0.0.1:1\"}}") < 0);
	assert_true(json(&o, "{\"metrics\": \"127.0.0.1:1\"}") < 0);
}

static void metrics_are_told_to_others_if_that_is_said(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(
		json(&o, "{\"metrics\": {\"listen\": \"0.0.0.0:1\", \"allowRemote\": true}}"), 0);
	assert_int_equal(o.metrics.any.sa_family, AF_INET);
	assert_int_equal(json(&o, "{\"metrics\": {\"allowRemote\": true, \"listen\": \"[::]:1\"}}"),
			 0);
	assert_int_equal(o.metrics.any.sa_family, AF_INET6);
	assert_true(json(&o, "{\"metrics\": {\"listen\": \"[::]:1\", \"allowRemote\": false}}") <
		    0);
	assert_true(json(&o, "{\"metrics\": {\"allowRemote\": 1}}") < 0);
}

static void flags_win_over_the_file(void **state)
{
	char path[] = "/tmp/xskd-config-XXXXXX";
	struct options o;

	(void)state;
	close(mkstemp(path));
	write_file(path, "{\"runDir\": \"/file\", \"bpfDir\": \"/file\", \"logLevel\": \"error\"}");
	assert_int_equal(parse(&o, "--run-dir", "/flag", "--config", path, "--log-level", "debug"),
			 OPTIONS_RUN);
	assert_string_equal(o.run_dir, "/flag");
	assert_string_equal(o.bpf_dir, "/file");
	assert_int_equal(o.log_level, LEVEL_DEBUG);
	write_file(path, "{\"runDir\": ");
	assert_int_equal(parse(&o, "--config", path), OPTIONS_WRONG);
	assert_non_null(strstr(printed, path)); /* and where in it */
	assert_non_null(strstr(printed, "line 1"));
	write_file(path, "{\"wrokers\": 1}");
	assert_int_equal(parse(&o, "--config", path), OPTIONS_WRONG);
	assert_non_null(strstr(printed, "wrokers"));
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fd_test(without_flags_there_are_defaults),
		fd_test(flags_are_taken),
		fd_test(what_is_wrong_is_named),
		fd_test(help_and_version_end_it),
		fd_test(a_path_has_to_fit),
		fd_test(each_key_is_taken),
		fd_test(numbers_have_bounds),
		fd_test(what_is_wrong_in_the_file_is_an_error),
		fd_test(deep_nesting_is_no_danger),
		fd_test(metrics_are_told_on_loopback),
		fd_test(metrics_are_told_to_others_if_that_is_said),
		fd_test(flags_win_over_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
