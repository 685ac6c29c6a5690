// SPDX-License-Identifier: Apache-2.0
/*
 * A collection as text: see scrape.h. Every series but those of queues is there from the start,
 * also at 0: one that appears with its first event has no increase that an alert could see. A table
 * for each kind of family; their names, labels and meanings are listed in xskd(8) too.
 */
#include <stddef.h>

#include "expose.h"
#include "method.h"
#include "scrape.h"

/* ---- calls ---- */

static const char *name_of_method(uint32_t i)
{
	const struct method *method = method_find((Xskd__Request__CallCase)i);

	return method ? method->name : NULL;
}

static void put_calls(FILE *out, uint32_t method, const char *name, const struct scrape *s)
{
	const struct method_metrics *m = &s->metrics.methods[method];

	for (int code = 0; code < METRICS_CODES; code++) {
		const ProtobufCEnumValue *value =
			protobuf_c_enum_descriptor_get_value(&xskd__code__descriptor, code);

		expose_count(out, "xskd_calls_total",
			     LABELS({ LABEL_METHOD, name }, { LABEL_CODE, value->name }),
			     m->calls[code]);
	}
}

static void put_durations(FILE *out, uint32_t method, const char *name, const struct scrape *s)
{
	const struct method_metrics *m = &s->metrics.methods[method];
	uint64_t sum = 0, all = 0;
	char le[24];

	for (int code = 0; code < METRICS_CODES; code++)
		all += m->calls[code];
	for (size_t i = 0; i < METRICS_BUCKETS; i++) {
		sum += m->within[i];
		snprintf(le, sizeof(le), "%.9g", metrics_bucket_us[i] / 1e6);
		expose_count(out, "xskd_call_duration_seconds_bucket",
			     LABELS({ LABEL_METHOD, name }, { LABEL_LE, le }), sum);
	}
	expose_count(out, "xskd_call_duration_seconds_bucket",
		     LABELS({ LABEL_METHOD, name }, { LABEL_LE, "+Inf" }), all);
	expose_number(out, "xskd_call_duration_seconds_sum", LABELS({ LABEL_METHOD, name }),
		      (double)m->ns / 1e9);
	expose_count(out, "xskd_call_duration_seconds_count", LABELS({ LABEL_METHOD, name }), all);
}

static void render_calls(FILE *out, const struct scrape *s)
{
	expose_family(out, "xskd_calls_total", "counter",
		      "Calls that have ended, by method and code of the answer.");
	put_calls(out, 0, "unknown", s);
	for (uint32_t i = 1; i < METRICS_METHODS; i++) {
		if (name_of_method(i))
			put_calls(out, i, name_of_method(i), s);
	}
	expose_family(out, "xskd_call_duration_seconds", "histogram",
		      "Time from a call's arrival until its reply was sent, waiting for its turn "
		      "included.");
	for (uint32_t i = 1; i < METRICS_METHODS; i++) {
		if (name_of_method(i))
			put_durations(out, i, name_of_method(i), s);
	}
}

/* ---- limits ---- */

static uint64_t limit_value(const struct scrape *s, enum limit limit)
{
	const struct limits *l = &s->limits;
	const uint64_t values[LIMITS] = {
		[LIMIT_CONNECTIONS] = l->connections,
		[LIMIT_CONNECTIONS_PER_NETNS] = l->connections_per_netns,
		[LIMIT_CALLS_IN_FLIGHT] = l->calls_in_flight,
		[LIMIT_CALLS_PER_NETNS] = l->calls_per_netns,
		[LIMIT_CALLS_PER_SECOND] = l->calls_per_second,
		[LIMIT_WORKERS_PER_NETNS] = l->workers_per_netns,
		[LIMIT_CONNECTIONS_WITHOUT_LEASE] = l->connections_without_lease,
		[LIMIT_QUEUED_BYTES] = l->queued_bytes,
		[LIMIT_QUEUED_BYTES_PER_NETNS] = l->queued_bytes_per_netns,
		[LIMIT_FDS_PER_NETNS] = l->fds_per_netns,
		[LIMIT_WATCHERS_PER_NETNS] = l->watchers_per_netns,
		[LIMIT_SOCKETS_PER_LEASE] = l->sockets_per_lease,
		[LIMIT_UMEM_BYTES_PER_LEASE] = l->umem_bytes_per_lease,
		[LIMIT_RING_BYTES_PER_LEASE] = l->ring_bytes_per_lease,
		[LIMIT_OPEN_FILES] = s->usage.max_fds, /* the kernel's */
	};

	return values[limit];
}

static void render_limits(FILE *out, const struct scrape *s)
{
	expose_family(out, "xskd_limit", "gauge",
		      "Limits as configured; in bytes where the name says so.");
	for (enum limit i = 0; i < LIMITS; i++)
		expose_count(out, "xskd_limit", LABELS({ LABEL_LIMIT, metrics_limit_name(i) }),
			     limit_value(s, i));
	expose_family(out, "xskd_limit_hits_total", "counter",
		      "Times that a limit refused something, or made a client wait.");
	for (enum limit i = 0; i < LIMITS; i++)
		expose_count(out, "xskd_limit_hits_total",
			     LABELS({ LABEL_LIMIT, metrics_limit_name(i) }), s->metrics.limits[i]);
}

/* ---- what there is, and what has happened ---- */

/* A row without a help text is another sample of the family above it. */
struct row {
	unsigned int at; /* enum tally, enum gauge, or a place in an array */
	const char *name, *help;
	struct label labels[3];
};

static const struct row gauges[] = {
	{ GAUGE_CONNECTIONS_ADMIN,
	  "xskd_connections",
	  "Clients connected, by socket.",
	  { { LABEL_SOCKET, "admin" } } },
	{ GAUGE_CONNECTIONS_POD, "xskd_connections", NULL, { { LABEL_SOCKET, "pod" } } },
	{ GAUGE_WATCHERS, "xskd_watchers", "Connections that are told of events.", { { 0 } } },
	{ GAUGE_LEASES_DEVICE,
	  "xskd_leases",
	  "Leases: of a device in the pod, or of queues of a device of the host.",
	  { { LABEL_MODE, "device" } } },
	{ GAUGE_LEASES_QUEUE, "xskd_leases", NULL, { { LABEL_MODE, "queue" } } },
	{ GAUGE_LEASED_QUEUES, "xskd_leased_queues", "Queues of all leases.", { { 0 } } },
	{ GAUGE_PROGRAMS_NATIVE,
	  "xskd_programs",
	  "XDP programs attached.",
	  { { LABEL_MODE, "native" }, { LABEL_KIND, "default" } } },
	{ GAUGE_PROGRAMS_NATIVE_CUSTOM,
	  "xskd_programs",
	  NULL,
	  { { LABEL_MODE, "native" }, { LABEL_KIND, "custom" } } },
	{ GAUGE_PROGRAMS_GENERIC,
	  "xskd_programs",
	  NULL,
	  { { LABEL_MODE, "generic" }, { LABEL_KIND, "default" } } },
	{ GAUGE_PROGRAMS_GENERIC_CUSTOM,
	  "xskd_programs",
	  NULL,
	  { { LABEL_MODE, "generic" }, { LABEL_KIND, "custom" } } },
	{ GAUGE_SOCKETS_HELD,
	  "xskd_sockets",
	  "AF_XDP sockets handed out: held by their client alone, kept by the daemon too, or not bound yet.",
	  { { LABEL_STATE, "held" } } },
	{ GAUGE_SOCKETS_KEPT, "xskd_sockets", NULL, { { LABEL_STATE, "kept" } } },
	{ GAUGE_SOCKETS_AWAIT_BIND, "xskd_sockets", NULL, { { LABEL_STATE, "awaits_bind" } } },
	{ GAUGE_UMEM_BYTES,
	  "xskd_umem_bytes",
	  "Packet memory of these sockets; not of those that an earlier daemon handed out.",
	  { { 0 } } },
	{ GAUGE_POOL_SIZE,
	  "xskd_pool_size",
	  "Instances of the default program that shall wait for a LoadProgram; 0: there is no pool.",
	  { { 0 } } },
	{ GAUGE_POOL_READY,
	  "xskd_pool_ready",
	  "Instances of programs that wait, custom ones that are loaded repeatedly included.",
	  { { 0 } } },
};

static const struct row tallies[] = {
	{ TALLY_ACCEPTED_ADMIN,
	  "xskd_connections_accepted_total",
	  "Connections accepted.",
	  { { LABEL_SOCKET, "admin" } } },
	{ TALLY_ACCEPTED_POD,
	  "xskd_connections_accepted_total",
	  NULL,
	  { { LABEL_SOCKET, "pod" } } },
	{ TALLY_TURNED_AWAY_ADMIN,
	  "xskd_connections_refused_total",
	  "Connections closed at once: a limit, or nobody who may use that socket.",
	  { { LABEL_SOCKET, "admin" } } },
	{ TALLY_TURNED_AWAY_POD,
	  "xskd_connections_refused_total",
	  NULL,
	  { { LABEL_SOCKET, "pod" } } },
	{ TALLY_MALFORMED,
	  "xskd_malformed_packets_total",
	  "Packets that were no request; each ended its connection.",
	  { { 0 } } },
	{ TALLY_DENIED,
	  "xskd_denied_calls_total",
	  "Failed calls that leave an audit line: those that would have granted, handed out or taken away.",
	  { { 0 } } },
	{ TALLY_EVENTS_SENT,
	  "xskd_events_sent_total",
	  "Events sent to those who watch.",
	  { { 0 } } },
	{ TALLY_EVENTS_DROPPED,
	  "xskd_events_dropped_total",
	  "Events that a watcher did not get, for its connection had to be ended.",
	  { { 0 } } },
	{ TALLY_FILES_SET_ASIDE,
	  "xskd_reconciled_total",
	  "What was found at start, and what was found to have gone since.",
	  { { LABEL_WHAT, "state_file_set_aside" } } },
	{ TALLY_PROGRAMS_RESTORED,
	  "xskd_reconciled_total",
	  NULL,
	  { { LABEL_WHAT, "program_restored" } } },
	{ TALLY_PROGRAMS_REMOVED,
	  "xskd_reconciled_total",
	  NULL,
	  { { LABEL_WHAT, "program_removed" } } },
	{ TALLY_LEASES_RESTORED,
	  "xskd_reconciled_total",
	  NULL,
	  { { LABEL_WHAT, "lease_restored" } } },
	{ TALLY_LEASES_STALE, "xskd_reconciled_total", NULL, { { LABEL_WHAT, "lease_stale" } } },
	{ TALLY_SOCKETS_FOUND, "xskd_reconciled_total", NULL, { { LABEL_WHAT, "socket_found" } } },
};

static const struct row pool[] = {
	{ POOL_TAKEN,
	  "xskd_pool_loads_total",
	  "LoadPrograms that found an instance waiting, and that had to make one.",
	  { { LABEL_WHAT, "taken" } } },
	{ POOL_MISSED, "xskd_pool_loads_total", NULL, { { LABEL_WHAT, "missed" } } },
	{ POOL_REUSED,
	  "xskd_pool_reused_total",
	  "Instances that waited again after an UnloadProgram.",
	  { { 0 } } },
};

static const struct row pods[] = {
	{ METRICS_REDIRECTED,
	  "xskd_pod_redirected_packets_total",
	  "Packets that default programs on devices in pods gave to sockets; not those between the last scrape and a program's end.",
	  { { 0 } } },
	{ METRICS_PASSED,
	  "xskd_pod_passed_packets_total",
	  "Packets that default programs on devices in pods left to the network stack, as there was no socket.",
	  { { 0 } } },
};

#define OF_KEPT                                                                           \
	" Of sockets that the daemon keeps a copy of (XDP_STATISTICS); the others' only " \
	"their holders can read."

static const struct row kept[] = {
	{ METRICS_RX_DROPPED,
	  "xskd_kept_socket_rx_dropped_total",
	  "Packets dropped for other reasons than a full ring." OF_KEPT,
	  { { 0 } } },
	{ METRICS_RX_RING_FULL,
	  "xskd_kept_socket_rx_ring_full_total",
	  "Packets dropped because the RX ring was full." OF_KEPT,
	  { { 0 } } },
	{ METRICS_FILL_RING_EMPTY,
	  "xskd_kept_socket_fill_ring_empty_total",
	  "Times that no frame was in the fill ring for a packet." OF_KEPT,
	  { { 0 } } },
	{ METRICS_RX_INVALID,
	  "xskd_kept_socket_rx_invalid_descs_total",
	  "Descriptors in the fill ring that were invalid." OF_KEPT,
	  { { 0 } } },
	{ METRICS_TX_INVALID,
	  "xskd_kept_socket_tx_invalid_descs_total",
	  "Descriptors in the TX ring that were invalid." OF_KEPT,
	  { { 0 } } },
	{ METRICS_TX_RING_EMPTY,
	  "xskd_kept_socket_tx_ring_empty_total",
	  "Times that the TX ring was empty." OF_KEPT,
	  { { 0 } } },
};

static void render_rows(FILE *out, const struct row *rows, size_t n, const char *type,
			const uint64_t *values)
{
	for (size_t i = 0; i < n; i++) {
		if (rows[i].help)
			expose_family(out, rows[i].name, type, rows[i].help);
		expose_count(out, rows[i].name, rows[i].labels, values[rows[i].at]);
	}
}

/* ---- queues of the host's devices ---- */

static void put_queues(FILE *out, const char *name, const struct scraped_program *p, size_t offset)
{
	char queue[16];

	for (uint32_t q = 0; q < p->queues; q++) {
		snprintf(queue, sizeof(queue), "%u", q);
		expose_count(out, name, LABELS({ LABEL_DEVICE, p->device }, { LABEL_QUEUE, queue }),
			     *(const uint64_t *)(const void *)((const char *)&p->each[q] + offset));
	}
}

static void put_programs(FILE *out, const struct scrape *s, const char *name, const char *help,
			 size_t offset)
{
	expose_family(out, name, "counter", help);
	for (size_t i = 0; i < s->n_programs; i++) {
		if (*s->programs[i].device && s->programs[i].each)
			put_queues(out, name, &s->programs[i], offset);
	}
}

static void render_queues(FILE *out, const struct scrape *s)
{
	put_programs(out, s, "xskd_queue_redirected_packets_total",
		     "Packets that the default program on a device of the host gave to the queue's "
		     "socket. What that could not take is in XDP_STATISTICS of the socket.",
		     offsetof(struct verdicts, redirected));
	put_programs(out, s, "xskd_queue_passed_packets_total",
		     "Packets that the default program on a device of the host left to the network "
		     "stack, as the queue has no socket.",
		     offsetof(struct verdicts, passed));
}

/* ---- the daemon ---- */

static void put_one(FILE *out, const char *name, const char *type, const char *help, double value)
{
	expose_family(out, name, type, help);
	expose_number(out, name, NULL, value);
}

static void render_process(FILE *out, const struct scrape *s)
{
	const struct self_usage *usage = &s->usage;

	put_one(out, "xskd_starts_total", "counter",
		"Daemons that were started here since the node's boot, this one's among them.",
		(double)s->starts);
	put_one(out, "process_start_time_seconds", "gauge",
		"When the daemon started, in seconds since the epoch.", s->self->started);
	put_one(out, "process_cpu_seconds_total", "counter", "CPU time, of user and system.",
		usage->cpu_seconds);
	put_one(out, "process_max_fds", "gauge", "How many file descriptors may be open.",
		(double)usage->max_fds);
	if (usage->has_fds)
		put_one(out, "process_open_fds", "gauge", "How many file descriptors are open.",
			(double)usage->open_fds);
	if (!usage->has_memory)
		return;
	put_one(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
		(double)usage->resident_bytes);
	put_one(out, "process_virtual_memory_bytes", "gauge", "Virtual memory.",
		(double)usage->virtual_bytes);
}

static void render_features(FILE *out, const struct scrape *s)
{
	static const char name[] = "xskd_feature";

	expose_family(out, "xskd_build_info", "gauge", "1; the version is the label.");
	expose_count(out, "xskd_build_info", LABELS({ LABEL_VERSION, XSKD_VERSION }), 1);
	expose_family(out, name, "gauge", "Whether this kernel offers it.");
	expose_count(out, name, LABELS({ LABEL_FEATURE, "full_handoff" }),
		     s->features.full_handoff);
	expose_count(out, name, LABELS({ LABEL_FEATURE, "bind_to_device" }),
		     s->features.bind_to_device);
	expose_count(out, name, LABELS({ LABEL_FEATURE, "multi_buffer" }),
		     s->features.multi_buffer);
}

void scrape_render(const struct scrape *s, FILE *out)
{
	render_features(out, s);
	render_calls(out, s);
	render_limits(out, s);
	render_rows(out, gauges, ARRAY_SIZE(gauges), "gauge", s->gauges);
	render_rows(out, tallies, ARRAY_SIZE(tallies), "counter", s->metrics.tallies);
	render_rows(out, pool, ARRAY_SIZE(pool), "counter", s->pool);
	render_queues(out, s);
	render_rows(out, pods, ARRAY_SIZE(pods), "counter", s->metrics.pods);
	render_rows(out, kept, ARRAY_SIZE(kept), "counter", s->metrics.kept);
	render_process(out, s);
}
