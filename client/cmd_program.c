// SPDX-License-Identifier: Apache-2.0
/* xskctl program ...: XDP programs that xskd has attached to interfaces. */
#include <stdbool.h>
#include <string.h>

#include "ctl.h"

enum {
	OPT_NETNS = COMMAND_OPT,
	OPT_OBJECT,
	OPT_PROGRAM,
	OPT_MAP,
	OPT_SET,
	OPT_MODE,
	OPT_TRANSIENT,
	OPT_FORCE,
};

static const struct column record_columns[] = {
	{ "ID", "id", COLUMN_PLAIN },
	{ "NAME", "name", COLUMN_PLAIN },
	{ "INTERFACE", "interface", COLUMN_PLAIN },
	{ "IFINDEX", "ifindex", COLUMN_PLAIN },
	{ "NETNS COOKIE", "netns_cookie", COLUMN_PLAIN },
	{ "MODE", "mode", COLUMN_PLAIN },
	{ "CUSTOM", "custom", COLUMN_PLAIN },
	{ "MAP", "map", COLUMN_PLAIN },
	{ "MAP ID", "map_id", COLUMN_PLAIN },
	{ "MAP ENTRIES", "map_entries", COLUMN_PLAIN },
	{ "MAP GIVEN", "map_given", COLUMN_PLAIN },
	{ "FROM POOL", "from_pool", COLUMN_PLAIN },
	{ "LINK ID", "link_id", COLUMN_PLAIN },
	{ "TRANSIENT", "transient", COLUMN_PLAIN },
	{ "LEASES", "leases", COLUMN_PLAIN },
	{ "LOADED", "loaded_at", COLUMN_AGE },
};

static const struct column list_columns[] = {
	{ "ID", "id", COLUMN_PLAIN },
	{ "INTERFACE", "interface", COLUMN_PLAIN },
	{ "NETNS", "netns_cookie", COLUMN_PLAIN },
	{ "NAME", "name", COLUMN_PLAIN },
	{ "CUSTOM", "custom", COLUMN_PLAIN },
	{ "MODE", "mode", COLUMN_PLAIN },
	{ "MAP", "map", COLUMN_PLAIN },
	{ "ENTRIES", "map_entries", COLUMN_PLAIN },
	{ "TRANSIENT", "transient", COLUMN_PLAIN },
	{ "LEASES", "leases", COLUMN_PLAIN },
	{ "LOADED", "loaded_at", COLUMN_AGE },
};

static const char *mode_name(enum xskd_xdp_mode mode)
{
	switch (mode) {
	case XSKD_XDP_NATIVE:
		return "native";
	case XSKD_XDP_GENERIC:
		return "generic";
	default: /* not in an answer; or of a newer libxskd */
		return "";
	}
}

static json_t *program_json(const struct xskd_program *p)
{
	json_t *o = json_object();

	output_add(&o, "id", output_number(p->id));
	output_add(&o, "name", output_text(p->name));
	output_add(&o, "interface", output_text(p->interface));
	output_add(&o, "ifindex", output_id(p->ifindex));
	output_add(&o, "netns_cookie", output_id(p->netns_cookie));
	output_add(&o, "mode", output_text(mode_name(p->mode)));
	output_add(&o, "custom", json_boolean(p->custom));
	output_add(&o, "map", output_text(p->map));
	output_add(&o, "map_id", output_id(p->map_id));
	output_add(&o, "map_entries", output_number(p->map_entries));
	output_add(&o, "map_given", json_boolean(p->map_given));
	output_add(&o, "from_pool", json_boolean(p->from_pool));
	output_add(&o, "link_id", output_id(p->link_id));
	output_add(&o, "transient", json_boolean(p->transient));
	output_add(&o, "leases", output_number(p->leases));
	output_add(&o, "loaded_at", output_number(p->loaded_at));
	return o;
}

static int print_program(const struct ctl *ctl, const struct xskd_program *program)
{
	cleanup(json_decrefp) json_t *record = program_json(program);

	return ctl_print_record(ctl, record, record_columns, ARRAY_SIZE(record_columns));
}

/* What the options of `program load` come to, and who owns it. */
struct load {
	struct xskd_load_opts opts;
	struct xskd_constant *constants;
	int netns, object;
};

static void load_donep(struct load *load)
{
	free(load->constants);
	close_fdp(&load->netns);
	close_fdp(&load->object);
}

static int load_option(struct ctl *ctl, struct load *load, int c)
{
	static const char *const modes[] = { "auto", "native", "generic", NULL };
	static const enum xskd_xdp_mode mode_values[] = { XSKD_XDP_AUTO, XSKD_XDP_NATIVE,
							  XSKD_XDP_GENERIC };
	unsigned int mode;

	switch (c) {
	case OPT_NETNS:
		close_fdp(&load->netns);
		load->netns = -1;
		return ctl_open_netns(ctl, optarg, &load->netns);
	case OPT_OBJECT:
		close_fdp(&load->object);
		load->object = -1;
		return ctl_open(ctl, optarg, &load->object);
	case OPT_PROGRAM:
		load->opts.program = optarg;
		return CTL_OK;
	case OPT_MAP:
		load->opts.map = optarg;
		return CTL_OK;
	case OPT_SET:
		if (args_constant(optarg, &load->constants[load->opts.n_constants], ctl->why) < 0)
			return ctl_bad(ctl, "--set", optarg);
		load->opts.n_constants++;
		return CTL_OK;
	case OPT_MODE:
		if (args_choice(optarg, modes, &mode, ctl->why) < 0)
			return ctl_bad(ctl, "--mode", optarg);
		load->opts.mode = mode_values[mode];
		return CTL_OK;
	case OPT_TRANSIENT:
		load->opts.transient = true;
		return CTL_OK;
	default:
		return ctl->stop;
	}
}

int cmd_program_load(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{ "netns", required_argument, NULL, OPT_NETNS },
		{ "object", required_argument, NULL, OPT_OBJECT },
		{ "program", required_argument, NULL, OPT_PROGRAM },
		{ "map", required_argument, NULL, OPT_MAP },
		{ "set", required_argument, NULL, OPT_SET },
		{ "mode", required_argument, NULL, OPT_MODE },
		{ "transient", no_argument, NULL, OPT_TRANSIENT },
		CTL_OPTIONS,
	};
	cleanup(load_donep) struct load load = {
		.opts = XSKD_OPTS(xskd_load_opts, .mode = XSKD_XDP_AUTO),
		.netns = -1,
		.object = -1,
	};
	struct xskd_program program;
	int c, err;

	/* There cannot be more constants than words. */
	load.constants = calloc((size_t)argc + 1, sizeof(*load.constants));
	if (!load.constants)
		return ctl_error(ctl, "no memory");
	while ((c = ctl_option(ctl, argc, argv, options)) != -1) {
		int status = load_option(ctl, &load, c);

		if (c == '?' || status != CTL_OK)
			return status;
	}
	if (argc - optind != 1)
		return ctl_misused(ctl, "want one interface");
	load.opts.constants = load.constants;
	load.opts.netns_fd = load.netns < 0 ? 0 : load.netns;
	load.opts.object_fd = load.object < 0 ? 0 : load.object;
	if (ctl_connect(ctl, CTL_ADMIN) != CTL_OK)
		return CTL_UNREACHABLE;
	err = xskd_load_program(ctl->x, argv[optind], &load.opts, &program);
	if (err < 0)
		return ctl_failed(ctl, err);
	return print_program(ctl, &program);
}

int cmd_program_list(struct ctl *ctl, int argc, char **argv)
{
	cleanup(json_decrefp) json_t *rows = json_array();
	cleanup(xskd_freep) struct xskd_program *programs = NULL;
	size_t n = 0;
	int err;

	if (!ctl_begin(ctl, argc, argv, CTL_ADMIN))
		return ctl->stop;
	err = xskd_list_programs(ctl->x, &programs, &n);
	if (err < 0)
		return ctl_failed(ctl, err);
	for (size_t i = 0; i < n; i++)
		output_append(&rows, program_json(&programs[i]));
	return ctl_print_list(ctl, rows, list_columns, ARRAY_SIZE(list_columns));
}

/* Which program `get` and `unload` mean: an id, or an interface of a namespace. */
struct target {
	uint32_t id;
	const char *interface;
	int netns;
	bool force;
};

static void target_donep(struct target *target)
{
	close_fdp(&target->netns);
}

/* Return: CTL_OK, or what the command shall answer; -1: that is ctl->stop. */
static int target_parse(struct ctl *ctl, int argc, char **argv, const struct option *options,
			struct target *out)
{
	const char *word;
	uint64_t id;
	int c;

	while ((c = ctl_option(ctl, argc, argv, options)) != -1) {
		int status = CTL_OK;

		if (c == OPT_NETNS && out->netns < 0)
			status = ctl_open_netns(ctl, optarg, &out->netns);
		else if (c == OPT_NETNS)
			status = ctl_misused(ctl, "--netns is there twice");
		else if (c == OPT_FORCE)
			out->force = true;
		else
			return -1;
		if (status != CTL_OK)
			return status;
	}
	if (argc - optind != 1)
		return ctl_misused(ctl, "want one program id or interface");
	word = argv[optind];
	/*
	 * Interfaces may have numbers for names too; one that is in a namespace is meant as a name.
	 */
	if (out->netns >= 0 || word[strspn(word, "0123456789")])
		out->interface = word;
	else if (args_number(word, 1, UINT32_MAX, &id, ctl->why) < 0)
		return ctl_bad(ctl, "program", word);
	else
		out->id = (uint32_t)id;
	return CTL_OK;
}

int cmd_program_get(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{ "netns", required_argument, NULL, OPT_NETNS },
		CTL_OPTIONS,
	};
	cleanup(target_donep) struct target target = { .netns = -1 };
	struct xskd_program program;
	int err, status = target_parse(ctl, argc, argv, options, &target);

	if (status != CTL_OK)
		return status < 0 ? ctl->stop : status;
	if (ctl_connect(ctl, CTL_ADMIN) != CTL_OK)
		return CTL_UNREACHABLE;
	err = xskd_get_program(ctl->x, target.id, target.interface,
			       target.netns < 0 ? 0 : target.netns, &program);
	if (err < 0)
		return ctl_failed(ctl, err);
	return print_program(ctl, &program);
}

int cmd_program_unload(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{ "netns", required_argument, NULL, OPT_NETNS },
		{ "force", no_argument, NULL, OPT_FORCE },
		CTL_OPTIONS,
	};
	cleanup(target_donep) struct target target = { .netns = -1 };
	int err, status = target_parse(ctl, argc, argv, options, &target);

	if (status != CTL_OK)
		return status < 0 ? ctl->stop : status;
	if (ctl_connect(ctl, CTL_ADMIN) != CTL_OK)
		return CTL_UNREACHABLE;
	err = xskd_unload_program(ctl->x, target.id, target.interface,
				  target.netns < 0 ? 0 : target.netns, target.force);
	return err < 0 ? ctl_failed(ctl, err) : CTL_OK;
}
