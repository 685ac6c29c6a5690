// SPDX-License-Identifier: Apache-2.0
/* xskctl lease ...: who may use which interface and which queues. */
#include "ctl.h"

enum {
	OPT_CONTAINER = COMMAND_OPT,
	OPT_NETNS,
	OPT_INTERFACE,
	OPT_DEVICE,
	OPT_QUEUES,
	OPT_QUEUE_COUNT,
	OPT_LABEL,
};

static const struct column columns[] = {
	{ "CONTAINER", "container", COLUMN_PLAIN }, { "INTERFACE", "interface", COLUMN_PLAIN },
	{ "DEVICE", "device", COLUMN_PLAIN },       { "MODE", "mode", COLUMN_PLAIN },
	{ "QUEUES", "queues", COLUMN_QUEUES },      { "LINK UP", "link_up", COLUMN_PLAIN },
	{ "NETNS", "netns_cookie", COLUMN_PLAIN },  { "PROGRAM", "program_id", COLUMN_PLAIN },
	{ "SOCKETS", "sockets", COLUMN_PLAIN },     { "UMEM", "umem_bytes", COLUMN_BYTES },
	{ "GRANTED", "granted_at", COLUMN_AGE },    { "LABELS", "labels", COLUMN_PAIRS },
};

static json_t *labels_json(const struct xskd_label *labels, size_t n)
{
	json_t *o = json_object();

	for (size_t i = 0; i < n; i++) {
		/* By way of JSON, as keys too may be no UTF-8. */
		cleanup(json_decrefp) json_t *key = output_text(labels[i].key);

		if (json_is_string(key))
			output_add(&o, json_string_value(key), output_text(labels[i].value));
	}
	return o;
}

static json_t *lease_json(const struct xskd_lease *l)
{
	json_t *o = json_object();

	output_add(&o, "container", output_text(l->container));
	output_add(&o, "interface", output_text(l->interface));
	output_add(&o, "device", output_text(l->device));
	output_add(&o, "mode", json_string(l->queue_mode ? "queue" : "device"));
	output_add(&o, "queues", output_queues(l->queues, l->n_queues));
	output_add(&o, "all_queues", json_boolean(l->all_queues));
	output_add(&o, "link_up", json_boolean(l->link_up));
	output_add(&o, "netns_cookie", output_id(l->netns_cookie));
	output_add(&o, "ifindex", output_id(l->ifindex));
	output_add(&o, "program_id", output_id(l->program_id));
	output_add(&o, "sockets", output_number(l->sockets));
	output_add(&o, "umem_bytes", output_number(l->umem_bytes));
	output_add(&o, "granted_at", output_number(l->granted_at));
	output_add(&o, "labels", labels_json(l->labels, l->n_labels));
	return o;
}

static int print_lease(const struct ctl *ctl, const struct xskd_lease *lease)
{
	cleanup(json_decrefp) json_t *record = lease_json(lease);

	return ctl_print_record(ctl, record, columns, ARRAY_SIZE(columns));
}

/* What the options of `lease grant` and `lease revoke` come to, and who owns it. */
struct grant {
	const char *container, *interface;
	int netns;
	struct xskd_lease_opts opts;
	struct queue_list queues;
	struct xskd_label *labels;
};

static void grant_donep(struct grant *grant)
{
	close_fdp(&grant->netns);
	queue_list_donep(&grant->queues);
	free(grant->labels);
}

static int grant_label(struct ctl *ctl, struct grant *grant)
{
	char *key, *value;

	if (args_pair(optarg, &key, &value, ctl->why) < 0)
		return ctl_bad(ctl, "--label", optarg);
	grant->labels[grant->opts.n_labels++] = (struct xskd_label){ key, value };
	return CTL_OK;
}

static int grant_option(struct ctl *ctl, struct grant *grant, int c)
{
	uint64_t count;

	switch (c) {
	case OPT_CONTAINER:
		grant->container = optarg;
		return CTL_OK;
	case OPT_NETNS:
		close_fdp(&grant->netns);
		grant->netns = -1;
		return ctl_open_netns(ctl, optarg, &grant->netns);
	case OPT_INTERFACE:
		grant->interface = optarg;
		return CTL_OK;
	case OPT_DEVICE:
		grant->opts.device = optarg;
		return CTL_OK;
	case OPT_QUEUES:
		if (args_queues(optarg, &grant->queues, ctl->why) < 0)
			return ctl_bad(ctl, "--queues", optarg);
		return CTL_OK;
	case OPT_QUEUE_COUNT:
		if (args_number(optarg, 1, ARGS_QUEUES_MAX, &count, ctl->why) < 0)
			return ctl_bad(ctl, "--queue-count", optarg);
		grant->opts.queue_count = (uint32_t)count;
		return CTL_OK;
	case OPT_LABEL:
		return grant_label(ctl, grant);
	default:
		return ctl->stop;
	}
}

/* Return: CTL_OK, or what the command shall answer; -1: that is ctl->stop. */
static int grant_parse(struct ctl *ctl, int argc, char **argv, const struct option *options,
		       struct grant *out)
{
	int c;

	/* There cannot be more labels than words. */
	out->labels = calloc((size_t)argc + 1, sizeof(*out->labels));
	if (!out->labels)
		return ctl_error(ctl, "no memory");
	while ((c = ctl_option(ctl, argc, argv, options)) != -1) {
		int status = grant_option(ctl, out, c);

		if (c == '?')
			return -1;
		if (status != CTL_OK)
			return status;
	}
	if (optind != argc)
		return ctl_misused(ctl, "unexpected '%s'", argv[optind]);
	if (!out->container)
		return ctl_misused(ctl, "--container is missing");
	out->opts.labels = out->labels;
	out->opts.queues = out->queues.n ? out->queues.queues : NULL;
	out->opts.n_queues = out->queues.n;
	return CTL_OK;
}

int cmd_lease_grant(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{ "container", required_argument, NULL, OPT_CONTAINER },
		{ "netns", required_argument, NULL, OPT_NETNS },
		{ "interface", required_argument, NULL, OPT_INTERFACE },
		{ "device", required_argument, NULL, OPT_DEVICE },
		{ "queues", required_argument, NULL, OPT_QUEUES },
		{ "queue-count", required_argument, NULL, OPT_QUEUE_COUNT },
		{ "label", required_argument, NULL, OPT_LABEL },
		CTL_OPTIONS,
	};
	cleanup(grant_donep) struct grant grant = {
		.opts = XSKD_OPTS(xskd_lease_opts, .device = NULL),
		.netns = -1,
	};
	cleanup(xskd_freep) struct xskd_lease *lease = NULL;
	int err, status = grant_parse(ctl, argc, argv, options, &grant);

	if (status != CTL_OK)
		return status < 0 ? ctl->stop : status;
	if (grant.opts.n_queues && grant.opts.queue_count)
		return ctl_misused(ctl, "--queues and --queue-count exclude each other");
	if (grant.netns < 0)
		return ctl_misused(ctl, "--netns is missing");
	if (!grant.interface)
		return ctl_misused(ctl, "--interface is missing");
	if (ctl_connect(ctl, CTL_ADMIN) != CTL_OK)
		return CTL_UNREACHABLE;
	err = xskd_grant_lease(ctl->x, grant.container, grant.interface, grant.netns, &grant.opts,
			       &lease);
	return err < 0 ? ctl_failed(ctl, err) : print_lease(ctl, lease);
}

int cmd_lease_revoke(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{ "container", required_argument, NULL, OPT_CONTAINER },
		{ "interface", required_argument, NULL, OPT_INTERFACE },
		CTL_OPTIONS,
	};
	static const struct column count[] = { { "REVOKED", "revoked", COLUMN_PLAIN } };
	cleanup(grant_donep) struct grant grant = { .netns = -1 };
	uint32_t revoked = 0;
	int err, status = grant_parse(ctl, argc, argv, options, &grant);

	if (status != CTL_OK)
		return status < 0 ? ctl->stop : status;
	if (ctl_connect(ctl, CTL_ADMIN) != CTL_OK)
		return CTL_UNREACHABLE;
	err = xskd_revoke_lease(ctl->x, grant.container, grant.interface, &revoked);
	if (err < 0)
		return ctl_failed(ctl, err);

	cleanup(json_decrefp) json_t *record = json_object();

	output_add(&record, "revoked", output_number(revoked));
	return ctl_print_record(ctl, record, count, ARRAY_SIZE(count));
}

int cmd_lease_list(struct ctl *ctl, int argc, char **argv)
{
	cleanup(json_decrefp) json_t *rows = json_array();
	cleanup(xskd_freep) struct xskd_lease *leases = NULL;
	size_t n = 0;
	int err;

	if (!ctl_begin(ctl, argc, argv, CTL_ADMIN))
		return ctl->stop;
	err = xskd_list_leases(ctl->x, &leases, &n);
	if (err < 0)
		return ctl_failed(ctl, err);
	for (size_t i = 0; i < n; i++)
		output_append(&rows, lease_json(&leases[i]));
	return ctl_print_list(ctl, rows, columns, ARRAY_SIZE(columns));
}
