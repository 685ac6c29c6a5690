// SPDX-License-Identifier: Apache-2.0
/* xskctl socket list, xskctl stats: sockets handed out, and what went through their queues. */
#include <stdbool.h>

#include "ctl.h"

enum {
	OPT_PROGRAM = COMMAND_OPT,
};

/* A counter of a socket of which the daemon has no copy is unknown: null, not 0. */
static json_t *counter(const struct xskd_queue_stats *s, uint64_t n)
{
	return s->has_socket ? output_number(n) : json_null();
}

/*
 * What a socket lost. The daemon can ask the kernel only about a socket of which it keeps a copy;
 * of the others the holder alone can know. Stays zeroed, has_socket false, where it is not known.
 */
static void find_stats(struct ctl *ctl, const struct xskd_held_socket *s, bool admin,
		       struct xskd_queue_stats *out)
{
	cleanup(xskd_freep) struct xskd_queue_stats *stats = NULL;
	size_t n = 0;

	/* An administrator sees sockets of many namespaces, with the same interface in each. */
	if (!s->kept || xskd_get_stats(ctl->x, admin ? NULL : s->interface,
				       admin ? s->program_id : 0, &stats, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		if (stats[i].queue == s->queue)
			*out = stats[i];
	}
}

static json_t *socket_json(const struct xskd_held_socket *s, const struct xskd_queue_stats *stats)
{
	const char *mode = !s->bound ? "unbound" : s->zero_copy ? "zero-copy" : "copy";
	json_t *o = json_object();

	output_add(&o, "id", output_number(s->id));
	output_add(&o, "container", output_text(s->container));
	output_add(&o, "interface", output_text(s->interface));
	output_add(&o, "device", output_text(s->device));
	output_add(&o, "queue", output_number(s->queue));
	output_add(&o, "program_id", output_id(s->program_id));
	output_add(&o, "mode", json_string(mode));
	output_add(&o, "kept", json_boolean(s->kept));
	output_add(&o, "need_wakeup", json_boolean(s->need_wakeup));
	output_add(&o, "frame_size", output_number(s->frame_size));
	output_add(&o, "umem_bytes", output_number(s->umem_bytes));
	output_add(&o, "handed_off_at", output_number(s->handed_off_at));
	output_add(&o, "pid", json_integer(s->pid));
	output_add(&o, "uid", output_number(s->uid));
	output_add(&o, "rx_dropped", counter(stats, stats->rx_dropped));
	output_add(&o, "rx_ring_full", counter(stats, stats->rx_ring_full));
	output_add(&o, "fill_ring_empty", counter(stats, stats->rx_fill_ring_empty_descs));
	return o;
}

static json_t *sockets_json(struct ctl *ctl, const struct xskd_held_socket *sockets, size_t n)
{
	json_t *rows = json_array();
	struct xskd_info info;
	bool admin = xskd_get_info(ctl->x, &info) == 0 && info.admin;

	for (size_t i = 0; i < n; i++) {
		struct xskd_queue_stats stats = { 0 };

		find_stats(ctl, &sockets[i], admin, &stats);
		output_append(&rows, socket_json(&sockets[i], &stats));
	}
	return rows;
}

int cmd_socket_list(struct ctl *ctl, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "ID", "id", COLUMN_PLAIN },
		{ "CONTAINER", "container", COLUMN_PLAIN },
		{ "INTERFACE", "interface", COLUMN_PLAIN },
		{ "DEVICE", "device", COLUMN_PLAIN },
		{ "QUEUE", "queue", COLUMN_PLAIN },
		{ "MODE", "mode", COLUMN_PLAIN },
		{ "KEPT", "kept", COLUMN_PLAIN },
		{ "UMEM", "umem_bytes", COLUMN_BYTES },
		{ "PID", "pid", COLUMN_PLAIN },
		{ "UID", "uid", COLUMN_PLAIN },
		{ "SINCE", "handed_off_at", COLUMN_AGE },
		{ "DROPPED", "rx_dropped", COLUMN_PLAIN },
		{ "RING FULL", "rx_ring_full", COLUMN_PLAIN },
	};
	cleanup(xskd_freep) struct xskd_held_socket *sockets = NULL;
	size_t n = 0;
	int err;

	if (!ctl_begin(ctl, argc, argv, CTL_ADMIN))
		return ctl->stop;
	err = xskd_list_sockets(ctl->x, &sockets, &n);
	if (err < 0)
		return ctl_failed(ctl, err);

	cleanup(json_decrefp) json_t *rows = sockets_json(ctl, sockets, n);

	return ctl_print_list(ctl, rows, columns, ARRAY_SIZE(columns));
}

static json_t *stats_json(const struct xskd_queue_stats *s)
{
	json_t *o = json_object();

	output_add(&o, "queue", output_number(s->queue));
	output_add(&o, "held", json_boolean(s->held));
	output_add(&o, "redirected", output_number(s->redirected));
	output_add(&o, "passed", output_number(s->passed));
	output_add(&o, "rx_dropped", counter(s, s->rx_dropped));
	output_add(&o, "rx_ring_full", counter(s, s->rx_ring_full));
	output_add(&o, "fill_ring_empty", counter(s, s->rx_fill_ring_empty_descs));
	output_add(&o, "rx_invalid_descs", counter(s, s->rx_invalid_descs));
	output_add(&o, "tx_invalid_descs", counter(s, s->tx_invalid_descs));
	output_add(&o, "tx_ring_empty", counter(s, s->tx_ring_empty_descs));
	return o;
}

static int print_stats(struct ctl *ctl, const char *interface, uint32_t program)
{
	static const struct column columns[] = {
		{ "QUEUE", "queue", COLUMN_PLAIN },
		{ "HELD", "held", COLUMN_PLAIN },
		{ "REDIRECTED", "redirected", COLUMN_PLAIN },
		{ "PASSED", "passed", COLUMN_PLAIN },
		{ "RX DROPPED", "rx_dropped", COLUMN_PLAIN },
		{ "RX RING FULL", "rx_ring_full", COLUMN_PLAIN },
		{ "FILL RING EMPTY", "fill_ring_empty", COLUMN_PLAIN },
	};
	cleanup(json_decrefp) json_t *rows = json_array();
	cleanup(xskd_freep) struct xskd_queue_stats *stats = NULL;
	size_t n = 0;
	int err = xskd_get_stats(ctl->x, interface, program, &stats, &n);

	if (err < 0)
		return ctl_failed(ctl, err);
	for (size_t i = 0; i < n; i++)
		output_append(&rows, stats_json(&stats[i]));
	return ctl_print_list(ctl, rows, columns, ARRAY_SIZE(columns));
}

int cmd_stats(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{ "program", required_argument, NULL, OPT_PROGRAM },
		CTL_OPTIONS,
	};
	uint64_t program = 0;
	int c;

	while ((c = ctl_option(ctl, argc, argv, options)) != -1) {
		if (c != OPT_PROGRAM)
			return ctl->stop;
		if (args_number(optarg, 1, UINT32_MAX, &program, ctl->why) < 0)
			return ctl_bad(ctl, "--program", optarg);
	}
	if (argc - optind != (program ? 0 : 1))
		return ctl_misused(ctl, "want one interface, or --program ID");
	/* An interface is one of the caller's own lease; programs are the administrator's. */
	if (ctl_connect(ctl, program ? CTL_ADMIN : CTL_POD) != CTL_OK)
		return CTL_UNREACHABLE;
	return print_stats(ctl, program ? NULL : argv[optind], (uint32_t)program);
}
