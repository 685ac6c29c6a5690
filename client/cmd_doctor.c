// SPDX-License-Identifier: Apache-2.0
/* xskctl doctor: what is wrong on this node, and what to do about it. */
#include <stdio.h>
#include <string.h>

#include "doctor.h"

enum {
	OPT_QUIET = COMMAND_OPT,
	OPT_BPF_DIR,
	OPT_CNI_BIN_DIR,
	OPT_CNI_CONF_DIR,
};

/* Return: -1: go on; else what the command shall answer. */
static int take_options(struct doctor *d, int argc, char **argv, bool *quiet)
{
	static const struct option options[] = {
		{ "quiet", no_argument, NULL, OPT_QUIET },
		{ "bpf-dir", required_argument, NULL, OPT_BPF_DIR },
		{ "cni-bin-dir", required_argument, NULL, OPT_CNI_BIN_DIR },
		{ "cni-conf-dir", required_argument, NULL, OPT_CNI_CONF_DIR },
		CTL_OPTIONS,
	};
	int c;

	while ((c = ctl_option(d->ctl, argc, argv, options)) != -1) {
		if (c == OPT_QUIET)
			*quiet = true;
		else if (c == OPT_CNI_BIN_DIR)
			d->cni_bin_dir = optarg;
		else if (c == OPT_CNI_CONF_DIR)
			d->cni_conf_dir = optarg;
		else if (c != OPT_BPF_DIR)
			return d->ctl->stop;
		else if (*optarg != '/' || strlen(optarg) >= PATH_MAX / 2)
			return ctl_misused(d->ctl, "--bpf-dir '%s': want an absolute path", optarg);
		else
			d->bpf_dir_given = strcpy(d->bpf_dir, optarg);
	}
	if (optind != argc)
		return ctl_misused(d->ctl, "unexpected '%s'", argv[optind]);
	return -1;
}

static void look(struct doctor *d)
{
	doctor_daemon(d);
	doctor_process(d);
	doctor_paths(d);
	doctor_kernel(d);
	doctor_pins(d);
	doctor_devices(d);
	doctor_leases(d);
	doctor_cni(d);
	doctor_node(d);
}

static bool is_ok(const json_t *finding)
{
	return !strcmp(json_string_value(json_object_get(finding, "level")), "ok");
}

static void drop_good(json_t *findings)
{
	for (size_t i = json_array_size(findings); i--;) {
		if (is_ok(json_array_get(findings, i)))
			json_array_remove(findings, i);
	}
}

static const char *text_of(const json_t *finding, const char *key)
{
	const char *text = json_string_value(json_object_get(finding, key));

	return text ? text : "";
}

/* One line for each: who greps for a subject shall have the advice too. */
static void print_line(const json_t *finding)
{
	const char *found = text_of(finding, "finding"), *advice = text_of(finding, "advice");
	size_t len = strlen(found);

	printf("%-7s  ", text_of(finding, "level"));
	output_safe(stdout, text_of(finding, "subject"));
	fputs(": ", stdout);
	output_safe(stdout, found);
	if (!len || !strchr(".?", found[len - 1])) /* it may end in another program's words */
		putchar('.');
	if (*advice)
		putchar(' ');
	output_safe(stdout, advice);
	putchar('\n');
}

static void print_lines(const struct doctor *d, bool quiet)
{
	const char *group = "";
	size_t i;
	json_t *finding;

	json_array_foreach(d->findings, i, finding) {
		const char *check = text_of(finding, "check");
		size_t len = strcspn(check, ".") + 1;

		if (!quiet && strncmp(check, group, len) != 0)
			printf("%s%.*s\n", i ? "\n" : "", (int)len - 1, check);
		group = check;
		print_line(finding);
	}
	if (!quiet)
		printf("\nproblems: %u, warnings: %u, notes: %u, ok: %u\n",
		       d->count[DOCTOR_PROBLEM], d->count[DOCTOR_WARNING], d->count[DOCTOR_NOTE],
		       d->count[DOCTOR_OK]);
}

static int report(const struct doctor *d, bool quiet)
{
	int status;

	if (!d->findings)
		return ctl_error(d->ctl, "out of memory");
	if (quiet)
		drop_good(d->findings);
	if (d->ctl->format == OUTPUT_JSON) {
		status = ctl_print_list(d->ctl, d->findings, NULL, 0);
	} else {
		print_lines(d, quiet);
		status = ctl_flush(d->ctl);
	}
	if (status == CTL_OK && (d->count[DOCTOR_PROBLEM] || d->count[DOCTOR_WARNING]))
		status = CTL_FAILED;
	return status;
}

int cmd_doctor(struct ctl *ctl, int argc, char **argv)
{
	struct doctor d = { .ctl = ctl, .findings = json_array(), .root = geteuid() == 0 };
	bool quiet = false;
	int status = take_options(&d, argc, argv, &quiet);

	if (status < 0) {
		d.run_dir = ctl->run_dir ? ctl->run_dir : CTL_RUN_DIR;
		snprintf(d.xskctl, sizeof(d.xskctl), "xskctl%s%.*s",
			 ctl->run_dir ? " --run-dir " : "", PATH_MAX / 2,
			 ctl->run_dir ? ctl->run_dir : "");
		look(&d);
		status = report(&d, quiet);
	}
	xskd_free(d.programs);
	xskd_free(d.leases);
	xskd_free(d.sockets);
	json_decref(d.findings);
	return status;
}
