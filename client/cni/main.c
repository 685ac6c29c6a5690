// SPDX-License-Identifier: Apache-2.0
/* xskd-cni: a CNI plugin that gives pods AF_XDP devices and queues. See xskd-cni(8). */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "verbs.h"

#define NEWEST cni_versions[CNI_VERSIONS - 1]

static void print_about(FILE *to)
{
	fprintf(to, "xskd-cni %s: CNI plugin for AF_XDP. CNI versions:", XSKD_VERSION);
	for (size_t i = 0; i < CNI_VERSIONS; i++)
		fprintf(to, " %s", cni_versions[i]);
	fputc('\n', to);
}

static void print_help(void)
{
	print_about(stdout);
	puts("\nContainer runtimes run it, with CNI_COMMAND and others in the environment and a\n"
	     "network configuration on stdin. By hand:\n"
	     "\n"
	     "  xskd-cni reconcile [--socket-dir DIR]  finish what killed runs left half done\n"
	     "  xskd-cni --version\n"
	     "  xskd-cni --help\n"
	     "\n"
	     "See xskd-cni(8).");
}

static int print_json(const json_t *json)
{
	if (!json || json_dumpf(json, stdout, JSON_INDENT(4)) < 0 || putchar('\n') == EOF ||
	    fflush(stdout) != 0) {
		fprintf(stderr, "xskd-cni: cannot write the answer\n");
		return 1;
	}
	return 0;
}

/* Whatever stands in the environment and the configuration: a runtime asks before it knows. */
static int print_versions(const struct conf *conf)
{
	cleanup(json_decrefp) json_t *list = json_array();
	cleanup(json_decrefp) json_t *answer = NULL;

	for (size_t i = 0; i < CNI_VERSIONS; i++)
		json_array_append_new(list, json_string(cni_versions[i]));
	answer = json_pack("{s:s, s:O}", "cniVersion",
			   conf->json ? cni_versions[conf->version] : NEWEST, "supportedVersions",
			   list);
	return print_json(answer);
}

static int run_verb(const struct env *env, const struct conf *conf, json_t **result,
		    struct fail *fail)
{
	if (conf->version < CNI_0_4_0 && env->verb == VERB_CHECK)
		return fail_set(fail, FAIL_VERSION, "CHECK is of CNI version 0.4.0 and later");
	if (conf->version < CNI_1_1_0 && (env->verb == VERB_GC || env->verb == VERB_STATUS))
		return fail_set(fail, FAIL_VERSION, "%s is of CNI version 1.1.0 and later",
				env_verb(env->verb));
	switch (env->verb) {
	case VERB_ADD:
		return verb_add(env, conf, result, fail);
	case VERB_DEL:
		return verb_del(env, conf, fail);
	case VERB_CHECK:
		return verb_check(env, conf, fail);
	case VERB_GC:
		return verb_gc(env, conf, fail);
	default:
		return verb_status(env, conf, fail);
	}
}

static int run(const struct env *env, struct conf *conf, json_t **result, struct fail *fail)
{
	if (conf_read(STDIN_FILENO, env->verb, conf, fail) < 0)
		return -1;
	if (log_open(conf->log_file, env, fail) < 0) {
		/* DEL goes on: a pod must be able to end on a disk that is full. */
		if (env->verb != VERB_DEL)
			return -1;
		log_warning("%s", fail->msg);
		fail->code = 0;
	}
	return run_verb(env, conf, result, fail);
}

static int answer(void)
{
	struct fail fail = { .code = 0 };
	struct conf conf = { .json = NULL };
	cleanup(json_decrefp) json_t *result = NULL;
	struct env env;
	int status = 1;

	if (env_read(&env, &fail) < 0) {
		fail_print(&fail, NEWEST);
		return 1;
	}
	if (env.verb == VERB_VERSION) {
		struct fail ignored;

		if (conf_read(STDIN_FILENO, VERB_VERSION, &conf, &ignored) < 0)
			conf.version = CNI_VERSIONS - 1;
		status = print_versions(&conf);
	} else if (run(&env, &conf, &result, &fail) < 0) {
		fail_print(&fail, conf.json ? cni_versions[conf.version] : NEWEST);
		log_outcome(&fail);
	} else {
		log_outcome(&fail);
		status = env.verb == VERB_ADD ? print_json(result) : 0;
	}
	conf_done(&conf);
	return status;
}

static int reconcile_now(const char *socket_dir)
{
	const struct env env = { .verb = VERB_DEL, .container = "", .ifname = "" };
	struct fail fail = { .code = 0 };

	if (log_open("", &env, &fail) == 0 && reconcile(socket_dir, &fail) == 0)
		return 0;
	fprintf(stderr, "xskd-cni: reconcile: %s\n", fail.msg);
	return 1;
}

static int by_hand(int argc, char **argv)
{
	static const struct option options[] = {
		{ "socket-dir", required_argument, NULL, 's' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *socket_dir = "/run/xskd";
	int c;

	while ((c = getopt_long(argc, argv, "hV", options, NULL)) != -1) {
		if (c == 's') {
			socket_dir = optarg;
		} else if (c == 'V') {
			printf("xskd-cni %s\n", XSKD_VERSION);
			return 0;
		} else if (c == 'h') {
			print_help();
			return 0;
		} else {
			return 2;
		}
	}
	if (optind == argc) {
		print_about(stderr); /* as the reference plugins do */
		return 0;
	}
	if (optind + 1 == argc && !strcmp(argv[optind], "reconcile"))
		return reconcile_now(socket_dir);
	fprintf(stderr, "xskd-cni: what is '%s'? Try --help\n", argv[optind]);
	return 2;
}

/* So that nothing that is opened takes the place of a stream that the runtime left closed. */
static void fill_streams(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char **argv)
{
	fill_streams();
	return getenv("CNI_COMMAND") ? answer() : by_hand(argc, argv);
}
