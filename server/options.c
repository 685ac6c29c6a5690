// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "pool.h"

static const char usage[] =
	"usage: xskd [--run-dir DIR] [--bpf-dir DIR] [--config FILE]\n"
	"            [--log-level error|warning|info|debug] [--log-format text|json]\n"
	"\n"
	"Gives unprivileged programs AF_XDP sockets.\n"
	"\n"
	"  --run-dir DIR      sockets and state (default /run/xskd)\n"
	"  --bpf-dir DIR      pinned programs, on a bpffs that is mounted where it is missing\n"
	"                     (default /sys/fs/bpf/xskd)\n"
	"  --config FILE      JSON, see xskd(8)\n"
	"  --log-level LEVEL  default info\n"
	"  --log-format FORM  text or json, on stderr; default text\n"
	"  --version, --help\n"
	"\n"
	"Exit status: 0 after SIGTERM, 1 when it cannot run, 2 for wrong usage.\n";

static const struct options defaults = {
	.run_dir = "/run/xskd",
	.bpf_dir = "/sys/fs/bpf/xskd",
	.log_level = LEVEL_INFO,
	.sandbox = true,
	.workers = 8,
	.pool = 4,
	.limits = {
		.connections = 8192,
		.connections_per_netns = 256,
		.calls_in_flight = 16,
		.calls_per_netns = 64,
		.calls_per_second = 1000,
		.workers_per_netns = 2,
		.connections_without_lease = 1024,
		.fds_per_netns = 1024,
		.watchers_per_netns = 16,
		.queued_bytes = 256 * 1024,
		.queued_bytes_per_netns = 1024 * 1024,
		.sockets_per_lease = 256,
		.umem_bytes_per_lease = 1024ULL * 1024 * 1024,
		.ring_bytes_per_lease = 64ULL * 1024 * 1024,
		.transient_grace = 60,
		.kept_seconds = 600,
	},
};

/* ---- the file ---- */

/* One row for each number: its key, where it goes, and between what. */
struct number {
	const char *key;
	size_t offset;
	bool wide; /* uint64_t, else uint32_t */
	json_int_t least, most;
};

#define LIMIT(key, field, wide, least, most)                                   \
	{                                                                      \
		key, offsetof(struct options, limits.field), wide, least, most \
	}

static const struct number limit_numbers[] = {
	LIMIT("connections", connections, false, 1, 1000000),
	LIMIT("connectionsPerNetns", connections_per_netns, false, 1, 1000000),
	LIMIT("callsInFlight", calls_in_flight, false, 1, 1024),
	LIMIT("callsPerNetns", calls_per_netns, false, 1, 65536),
	LIMIT("callsPerSecond", calls_per_second, false, 1, 10000000),
	LIMIT("workersPerNetns", workers_per_netns, false, 1, 128),
	LIMIT("connectionsWithoutLease", connections_without_lease, false, 1, 1000000),
	LIMIT("fdsPerNetns", fds_per_netns, false, 1, 1000000),
	LIMIT("watchersPerNetns", watchers_per_netns, false, 1, 1000000),
	LIMIT("queuedBytesPerNetns", queued_bytes_per_netns, false, 65536, 1024 * 1024 * 1024),
	LIMIT("ringBytesPerLease", ring_bytes_per_lease, true, 4096, INT64_MAX),
	LIMIT("queuedBytes", queued_bytes, false, 65536, 64 * 1024 * 1024),
	LIMIT("socketsPerLease", sockets_per_lease, false, 1, 4096),
	LIMIT("umemBytesPerLease", umem_bytes_per_lease, true, 4096, INT64_MAX),
	LIMIT("transientGraceSeconds", transient_grace, false, 1, 86400),
	LIMIT("keptSeconds", kept_seconds, false, 1, 604800),
};

static const struct number top_numbers[] = {
	{ "workers", offsetof(struct options, workers), false, 1, 128 },
	{ "pool", offsetof(struct options, pool), false, 0, POOL_SIZE_MAX },
};

static int wrong(struct fault *fault, const char *key, const char *needs)
{
	return fault_set(fault, XSKD__CODE__INVALID_ARGUMENT, 0, "\"%s\" %s", key, needs);
}

/* Return: 1, the key was one of @rows; 0, it was not. */
static int set_number(struct options *o, const struct number *rows, size_t n, const char *key,
		      const json_t *value, struct fault *fault)
{
	for (size_t i = 0; i < n; i++) {
		json_int_t v = json_integer_value(value);
		char *at = (char *)o + rows[i].offset;

		if (strcmp(rows[i].key, key) != 0)
			continue;
		if (!json_is_integer(value) || v < rows[i].least || v > rows[i].most)
			return fault_set(fault, XSKD__CODE__INVALID_ARGUMENT, 0,
					 "\"%s\" has to be a number from %lld to %lld", key,
					 (long long)rows[i].least, (long long)rows[i].most);
		if (rows[i].wide)
			*(uint64_t *)(void *)at = (uint64_t)v;
		else
			*(uint32_t *)(void *)at = (uint32_t)v;
		return 1;
	}
	return 0;
}

static int set_limits(struct options *o, json_t *limits, struct fault *fault)
{
	const char *key;
	json_t *value;

	if (!json_is_object(limits))
		return wrong(fault, "limits", "has to be an object");
	json_object_foreach(limits, key, value) {
		int set =
			set_number(o, limit_numbers, ARRAY_SIZE(limit_numbers), key, value, fault);

		if (set < 0)
			return set;
		if (!set)
			return wrong(fault, key, "in \"limits\" is no limit that xskd knows");
	}
	return 0;
}

static int set_dir(char *out, const char *key, const json_t *value, struct fault *fault)
{
	const char *dir = json_string_value(value);

	if (!dir || *dir != '/' || strlen(dir) >= PATH_MAX)
		return wrong(fault, key, "has to be an absolute path");
	memcpy(out, dir, strlen(dir) + 1);
	return 0;
}

static int set_bool(bool *out, const char *key, const json_t *value, struct fault *fault)
{
	if (!json_is_boolean(value))
		return wrong(fault, key, "has to be true or false");
	*out = json_is_true(value);
	return 0;
}

static bool is_one_of(const char *word, const char *a, const char *b)
{
	return word && (!strcmp(word, a) || !strcmp(word, b));
}

/* "127.0.0.1:9464" or "[::1]:9464": no names, whose addresses somebody else decides on. */
static bool parse_address(struct options *o, const char *text)
{
	char host[sizeof(o->metrics_name)];
	const char *colon = text ? strrchr(text, ':') : NULL;
	char *end = NULL;
	unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
	size_t len = colon ? (size_t)(colon - text) : 0;

	if (!colon || strlen(text) >= sizeof(host) || colon[1] < '1' || colon[1] > '9' || *end ||
	    port > 65535)
		return false;
	snprintf(o->metrics_name, sizeof(o->metrics_name), "%s", text);
	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		snprintf(host, sizeof(host), "%.*s", (int)len - 2, text + 1);
		o->metrics.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
							.sin6_port = htons((uint16_t)port) };
		return inet_pton(AF_INET6, host, &o->metrics.in6.sin6_addr) == 1;
	}
	snprintf(host, sizeof(host), "%.*s", (int)len, text);
	o->metrics.in =
		(struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	return inet_pton(AF_INET, host, &o->metrics.in.sin_addr) == 1;
}

static bool is_loopback(const struct options *o)
{
	if (o->metrics.any.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&o->metrics.in6.sin6_addr);
	return ntohl(o->metrics.in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

static int set_metrics(struct options *o, json_t *metrics, struct fault *fault)
{
	const json_t *remote = json_object_get(metrics, "allowRemote");
	const char *key;
	json_t *value;

	if (!json_is_object(metrics))
		return wrong(fault, "metrics", "has to be an object");
	if (remote && !json_is_boolean(remote))
		return wrong(fault, "allowRemote", "in \"metrics\" has to be true or false");
	json_object_foreach(metrics, key, value) {
		if (!strcmp(key, "allowRemote"))
			continue;
		if (strcmp(key, "listen") != 0)
			return wrong(fault, key, "in \"metrics\" is no setting that xskd knows");
		if (!parse_address(o, json_string_value(value)))
			return wrong(fault, key,
				     "in \"metrics\" has to be an address and a port, as "
				     "127.0.0.1:9464 or [::1]:9464");
		if (!is_loopback(o) && !json_is_true(remote))
			return wrong(
				fault, key,
				"in \"metrics\" is no loopback address, and there is no password: "
				"name 127.0.0.1 or [::1], or say \"allowRemote\": true");
	}
	return 0;
}

static int set_key(struct options *o, const char *key, json_t *value, struct fault *fault)
{
	const char *word = json_string_value(value);
	int set = set_number(o, top_numbers, ARRAY_SIZE(top_numbers), key, value, fault);

	if (set)
		return set < 0 ? set : 0;
	if (!strcmp(key, "runDir"))
		return set_dir(o->run_dir, key, value, fault);
	if (!strcmp(key, "bpfDir"))
		return set_dir(o->bpf_dir, key, value, fault);
	if (!strcmp(key, "limits"))
		return set_limits(o, value, fault);
	if (!strcmp(key, "metrics"))
		return set_metrics(o, value, fault);
	if (!strcmp(key, "sandbox"))
		return set_bool(&o->sandbox, key, value, fault);
	if (!strcmp(key, "perfmon"))
		return set_bool(&o->perfmon, key, value, fault);
	if (!strcmp(key, "logLevel"))
		return word && log_level_parse(word, &o->log_level)
			       ? 0
			       : wrong(fault, key, "has to be error, warning, info or debug");
	if (!strcmp(key, "logFormat")) {
		if (!is_one_of(word, "text", "json"))
			return wrong(fault, key, "has to be text or json");
		o->log_json = !strcmp(word, "json");
		return 0;
	}
	if (!strcmp(key, "handOff")) {
		if (!is_one_of(word, "auto", "two-phase"))
			return wrong(fault, key, "has to be auto or two-phase");
		o->two_phase = !strcmp(word, "two-phase");
		return 0;
	}
	return wrong(fault, key, "is no setting that xskd knows");
}

int options_parse_json(struct options *out, const char *text, size_t len, struct fault *fault)
{
	json_error_t error;
	json_t *top = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	const char *key;
	json_t *value;
	int err = 0;

	if (!top)
		return fault_set(fault, XSKD__CODE__INVALID_ARGUMENT, 0, "line %d: %s", error.line,
				 error.text);
	if (!json_is_object(top))
		err = fault_set(fault, XSKD__CODE__INVALID_ARGUMENT, 0,
				"it has to be a JSON object");
	json_object_foreach(top, key, value) {
		if (!err)
			err = set_key(out, key, value, fault);
	}
	json_decref(top);
	return err;
}

#define CONFIG_MAX (1024 * 1024)

static bool read_config(struct options *o, const char *path)
{
	struct fault fault = FAULT_INIT;
	cleanup(freep) char *text = NULL;
	FILE *file = fopen(path, "re");
	size_t len = 0;
	int err;

	if (file)
		text = malloc(CONFIG_MAX);
	if (text)
		len = fread(text, 1, CONFIG_MAX, file);
	if (!text || ferror(file)) {
		fprintf(stderr, "xskd: cannot read %s: %s\n", path, strerror(errno));
		if (file)
			fclose(file);
		return false;
	}
	fclose(file);
	if (len == CONFIG_MAX) {
		fprintf(stderr, "xskd: %s: a configuration has less than %d bytes\n", path,
			CONFIG_MAX);
		return false;
	}
	err = options_parse_json(o, text, len, &fault);
	if (err < 0)
		fprintf(stderr, "xskd: %s: %s\n", path, fault.text);
	return err == 0;
}

/* ---- the command line ---- */

enum {
	RUN_DIR = 256,
	BPF_DIR,
	CONFIG,
	LOG_LEVEL,
	LOG_FORMAT,
	VERSION,
};

static const struct option long_options[] = {
	{ "run-dir", required_argument, NULL, RUN_DIR },
	{ "bpf-dir", required_argument, NULL, BPF_DIR },
	{ "config", required_argument, NULL, CONFIG },
	{ "log-level", required_argument, NULL, LOG_LEVEL },
	{ "log-format", required_argument, NULL, LOG_FORMAT },
	{ "version", no_argument, NULL, VERSION },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* A flag means the same as the key of the file, and is checked by the same code. */
static bool set_flag(struct options *o, const char *flag, const char *key, const char *word)
{
	struct fault fault = FAULT_INIT;
	json_t *value = json_string(word);
	int err = value ? set_key(o, key, value, &fault) : -ENOMEM;

	json_decref(value);
	if (err < 0)
		fprintf(stderr, "xskd: %s %s: %s\n", flag, word, fault.text);
	return err == 0;
}

static bool set_option(struct options *o, int c, const char *arg)
{
	switch (c) {
	case RUN_DIR:
		return set_flag(o, "--run-dir", "runDir", arg);
	case BPF_DIR:
		return set_flag(o, "--bpf-dir", "bpfDir", arg);
	case LOG_LEVEL:
		return set_flag(o, "--log-level", "logLevel", arg);
	case LOG_FORMAT:
		return set_flag(o, "--log-format", "logFormat", arg);
	default:
		return true; /* --config, which was read first */
	}
}

enum options_result options_parse(struct options *out, int argc, char **argv)
{
	int c;

	*out = defaults;
	/* The file first, wherever its flag stands: what is on the command line overrides it. */
	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			return OPTIONS_DONE;
		}
		if (c == VERSION) {
			puts("xskd " XSKD_VERSION);
			return OPTIONS_DONE;
		}
		if (c == '?' || (c == CONFIG && !read_config(out, optarg))) {
			if (c == '?')
				fputs("Try 'xskd --help'.\n", stderr);
			return OPTIONS_WRONG;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "xskd: what is '%s'? Try 'xskd --help'.\n", argv[optind]);
		return OPTIONS_WRONG;
	}
	optind = 1;
	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		if (!set_option(out, c, optarg))
			return OPTIONS_WRONG;
	}
	return OPTIONS_RUN;
}
