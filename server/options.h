/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon was told: flags, and the JSON file of --config. Flags win. */
#ifndef XSKD_OPTIONS_H
#define XSKD_OPTIONS_H

#include <limits.h>
#include <netinet/in.h>

#include "core.h"
#include "log.h"

struct options {
	char run_dir[PATH_MAX];
	char bpf_dir[PATH_MAX];
	enum log_level log_level;
	bool log_json;
	bool two_phase;   /* do without full hand-off, as on kernels before 6.4 */
	bool sandbox;     /* give up what is not needed after the start */
	bool perfmon;     /* but for CAP_PERFMON, that custom programs may need */
	uint32_t workers; /* threads for what blocks */
	uint32_t pool;    /* instances of the default program that wait */
	struct limits limits;
	/* Where metrics are told by TCP, beside the Unix socket; AF_UNSPEC: nowhere. */
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} metrics;
	char metrics_name[64]; /* the same in words */
};

enum options_result {
	OPTIONS_RUN,   /* go on */
	OPTIONS_DONE,  /* --help or --version: exit 0 */
	OPTIONS_WRONG, /* said why on stderr: exit 2 */
};

/* options_parse() - from the command line and the file that it names. */
enum options_result options_parse(struct options *out, int argc, char **argv);

/* options_parse_json() - a configuration's text. Return: 0, or negative with @fault's text. */
int options_parse_json(struct options *out, const char *text, size_t len,
		       struct fault *fault) must_check;

#endif
