// SPDX-License-Identifier: Apache-2.0
/*
 * Lists. They come in pages and leave as one block, which xskd_free() frees: the array first, then
 * what its members point to.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conn.h"
#include "lease.h"
#include "opts.h"
#include "program.h"

/* The pages of a list, all of them. */
struct pages {
	struct reply *page;
	size_t n;
	size_t items;
};

static void pages_done(struct pages *p)
{
	for (size_t i = 0; i < p->n; i++)
		reply_done(&p->page[i]);
	free(p->page);
}

/* Asks for the page after @after. */
typedef int page_fn(struct xskd *x, uint64_t after, struct reply *out, size_t *out_items,
		    uint64_t *out_next);

static int gather(struct xskd *x, page_fn *ask, struct pages *p)
{
	uint64_t after = 0;

	do {
		struct reply *page = realloc(p->page, (p->n + 1) * sizeof(*page));
		uint64_t next = 0;
		size_t items = 0;

		if (!page)
			return conn_fail(x, -ENOMEM, "%m");
		p->page = page;
		page[p->n] = REPLY_INIT;

		int r = ask(x, after, &page[p->n], &items, &next);

		if (r < 0)
			return r;
		p->n++;
		p->items += items;
		/* Else this would go on for ever. */
		if (next && next <= after)
			return conn_garbled(x, "a list that goes in circles");
		after = next;
	} while (after);
	return 0;
}

/* An empty list is a block as well, so that NULL always means failure. */
static void *new_block(struct xskd *x, size_t size)
{
	void *block = calloc(1, size + 1);

	if (!block)
		conn_fail(x, -ENOMEM, "%m");
	return block;
}

void xskd_free(void *block)
{
	free(block);
}

/* ---- Programs ------------------------------------------------------------------------------- */

static int ask_programs(struct xskd *x, uint64_t after, struct reply *out, size_t *out_items,
			uint64_t *out_next)
{
	Xskd__ListProgramsRequest list;
	Xskd__Request req = XSKD__REQUEST__INIT;

	xskd__list_programs_request__init(&list);
	list.after = after;
	req.call_case = XSKD__REQUEST__CALL_LIST_PROGRAMS;
	req.list_programs = &list;

	int r = conn_call(x, &req, NULL, XSKD__REPLY__RESULT_LIST_PROGRAMS, out);

	if (r < 0)
		return r;
	*out_items = out->msg->list_programs->n_programs;
	*out_next = out->msg->list_programs->next;
	return 0;
}

int xskd_list_programs(struct xskd *x, struct xskd_program **out, size_t *out_n)
{
	cleanup(pages_done) struct pages pages = { 0 };
	int r = gather(x, ask_programs, &pages);

	if (r < 0)
		return r;

	struct xskd_program *program = new_block(x, pages.items * sizeof(*program));

	if (!program)
		return -ENOMEM;
	*out = program;
	*out_n = pages.items;
	for (size_t i = 0; i < pages.n; i++) {
		const Xskd__ListProgramsReply *page = pages.page[i].msg->list_programs;

		for (size_t j = 0; j < page->n_programs; j++)
			program_from_pb(program++, page->programs[j]);
	}
	return 0;
}

/* ---- Sockets -------------------------------------------------------------------------------- */

static int ask_sockets(struct xskd *x, uint64_t after, struct reply *out, size_t *out_items,
		       uint64_t *out_next)
{
	Xskd__ListSocketsRequest list;
	Xskd__Request req = XSKD__REQUEST__INIT;

	xskd__list_sockets_request__init(&list);
	list.after = after;
	req.call_case = XSKD__REQUEST__CALL_LIST_SOCKETS;
	req.list_sockets = &list;

	int r = conn_call(x, &req, NULL, XSKD__REPLY__RESULT_LIST_SOCKETS, out);

	if (r < 0)
		return r;
	*out_items = out->msg->list_sockets->n_sockets;
	*out_next = out->msg->list_sockets->next;
	return 0;
}

static void socket_from_pb(struct xskd_held_socket *to, const Xskd__Socket *from)
{
	*to = (struct xskd_held_socket){
		.id = from->id,
		.queue = from->queue,
		.program_id = from->program_id,
		.bound = from->state == XSKD__SOCKET_STATE__SOCKET_BOUND,
		.zero_copy = from->zero_copy,
		.kept = from->kept,
		.need_wakeup = from->need_wakeup,
		.frame_size = from->frame_size,
		.umem_bytes = from->umem_bytes,
		.handed_off_at = from->handed_off_at,
		.pid = from->pid,
		.uid = from->uid,
	};
	snprintf(to->container, sizeof(to->container), "%s", from->container);
	snprintf(to->interface, sizeof(to->interface), "%s", from->interface);
	snprintf(to->device, sizeof(to->device), "%s", from->device);
}

int xskd_list_sockets(struct xskd *x, struct xskd_held_socket **out, size_t *out_n)
{
	cleanup(pages_done) struct pages pages = { 0 };
	int r = gather(x, ask_sockets, &pages);

	if (r < 0)
		return r;

	struct xskd_held_socket *held = new_block(x, pages.items * sizeof(*held));

	if (!held)
		return -ENOMEM;
	*out = held;
	*out_n = pages.items;
	for (size_t i = 0; i < pages.n; i++) {
		const Xskd__ListSocketsReply *page = pages.page[i].msg->list_sockets;

		for (size_t j = 0; j < page->n_sockets; j++)
			socket_from_pb(held++, page->sockets[j]);
	}
	return 0;
}

/* ---- Leases --------------------------------------------------------------------------------- */

static int ask_leases(struct xskd *x, uint64_t after, struct reply *out, size_t *out_items,
		      uint64_t *out_next)
{
	Xskd__ListLeasesRequest list;
	Xskd__Request req = XSKD__REQUEST__INIT;

	xskd__list_leases_request__init(&list);
	list.after = after;
	req.call_case = XSKD__REQUEST__CALL_LIST_LEASES;
	req.list_leases = &list;

	int r = conn_call(x, &req, NULL, XSKD__REPLY__RESULT_LIST_LEASES, out);

	if (r < 0)
		return r;
	*out_items = out->msg->list_leases->n_leases;
	*out_next = out->msg->list_leases->next;
	return 0;
}

/* Where the next label, queue and text go in a block of leases; in this order for alignment. */
struct lease_tail {
	struct xskd_label *labels;
	uint32_t *queues;
	char *texts;
};

static void lease_measure(const Xskd__Lease *l, size_t *labels, size_t *queues, size_t *texts)
{
	*labels += l->n_labels;
	*queues += l->n_queues;
	for (size_t i = 0; i < l->n_labels; i++)
		*texts += strlen(l->labels[i]->key) + strlen(l->labels[i]->value) + 2;
}

static const char *put_text(struct lease_tail *tail, const char *text)
{
	char *at = tail->texts;

	tail->texts = stpcpy(at, text) + 1;
	return at;
}

static void lease_from_pb(struct xskd_lease *to, const Xskd__Lease *from, struct lease_tail *tail)
{
	*to = (struct xskd_lease){
		.queue_mode = from->mode == XSKD__LEASE_MODE__LEASE_MODE_QUEUE,
		.all_queues = from->all_queues,
		.link_up = from->link_up,
		.netns_cookie = from->netns_cookie,
		.ifindex = from->ifindex,
		.program_id = from->program_id,
		.sockets = from->sockets,
		.umem_bytes = from->umem_bytes,
		.granted_at = from->granted_at,
		.queues = tail->queues,
		.n_queues = from->n_queues,
		.labels = tail->labels,
		.n_labels = from->n_labels,
	};
	snprintf(to->container, sizeof(to->container), "%s", from->container);
	snprintf(to->interface, sizeof(to->interface), "%s", from->interface);
	snprintf(to->device, sizeof(to->device), "%s", from->device);
	for (size_t i = 0; i < from->n_queues; i++)
		*tail->queues++ = from->queues[i];
	for (size_t i = 0; i < from->n_labels; i++) {
		tail->labels->key = put_text(tail, from->labels[i]->key);
		tail->labels->value = put_text(tail, from->labels[i]->value);
		tail->labels++;
	}
}

struct xskd_lease *leases_from_pb(struct xskd *x, Xskd__Lease *const *from, size_t n)
{
	size_t labels = 0, queues = 0, texts = 0;
	struct xskd_lease *lease;
	struct lease_tail tail;

	for (size_t i = 0; i < n; i++)
		lease_measure(from[i], &labels, &queues, &texts);
	lease = new_block(x, n * sizeof(*lease) + labels * sizeof(*tail.labels) +
				     queues * sizeof(*tail.queues) + texts);
	if (!lease)
		return NULL;
	tail.labels = (struct xskd_label *)(lease + n);
	tail.queues = (uint32_t *)(tail.labels + labels);
	tail.texts = (char *)(tail.queues + queues);
	for (size_t i = 0; i < n; i++)
		lease_from_pb(&lease[i], from[i], &tail);
	return lease;
}

int xskd_list_leases(struct xskd *x, struct xskd_lease **out, size_t *out_n)
{
	cleanup(pages_done) struct pages pages = { 0 };
	int r = gather(x, ask_leases, &pages);

	if (r < 0)
		return r;

	cleanup(freep) Xskd__Lease **all = new_block(x, pages.items * sizeof(*all));
	size_t n = 0;

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < pages.n; i++) {
		const Xskd__ListLeasesReply *page = pages.page[i].msg->list_leases;

		for (size_t j = 0; j < page->n_leases; j++)
			all[n++] = page->leases[j];
	}

	struct xskd_lease *leases = leases_from_pb(x, all, n);

	if (!leases)
		return -ENOMEM;
	*out = leases;
	*out_n = n;
	return 0;
}

/* ---- Counters ------------------------------------------------------------------------------- */

static void stats_from_pb(struct xskd_queue_stats *to, const Xskd__QueueStats *from)
{
	const Xskd__SocketStats *s = from->socket;

	*to = (struct xskd_queue_stats){
		.queue = from->queue,
		.held = from->held,
		.redirected = from->redirected,
		.passed = from->passed,
		.has_socket = s != NULL,
	};
	if (!s)
		return;
	to->rx_dropped = s->rx_dropped;
	to->rx_invalid_descs = s->rx_invalid_descs;
	to->tx_invalid_descs = s->tx_invalid_descs;
	to->rx_ring_full = s->rx_ring_full;
	to->rx_fill_ring_empty_descs = s->rx_fill_ring_empty_descs;
	to->tx_ring_empty_descs = s->tx_ring_empty_descs;
}

int xskd_get_stats(struct xskd *x, const char *interface, uint32_t program,
		   struct xskd_queue_stats **out, size_t *out_n)
{
	cleanup(reply_done) struct reply reply = REPLY_INIT;
	Xskd__GetStatsRequest get;
	Xskd__Request req = XSKD__REQUEST__INIT;

	xskd__get_stats_request__init(&get);
	get.interface = opts_text(interface);
	get.program_id = program;
	req.call_case = XSKD__REQUEST__CALL_GET_STATS;
	req.get_stats = &get;

	int r = conn_call(x, &req, NULL, XSKD__REPLY__RESULT_GET_STATS, &reply);

	if (r < 0)
		return r;

	const Xskd__GetStatsReply *m = reply.msg->get_stats;
	struct xskd_queue_stats *stats = new_block(x, m->n_queues * sizeof(*stats));

	if (!stats)
		return -ENOMEM;
	for (size_t i = 0; i < m->n_queues; i++)
		stats_from_pb(&stats[i], m->queues[i]);
	*out = stats;
	*out_n = m->n_queues;
	return 0;
}
