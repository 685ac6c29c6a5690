// SPDX-License-Identifier: Apache-2.0
#include "holds.h"

#include <string.h>

#include "check.h"

static void check_leases(const struct core *core)
{
	check(core->leases.n == core->leases_by_netns.n);
	check(core->leases.n == core->leases_by_container.n);
	check(core->leases.n == core->leases_by_pod.n);
	check(core->leases.n == core->leases_by_device.n);
	check(core->leases.n == core->leases_by_link.n);
	for (size_t i = 0; i < core->leases.n; i++) {
		const struct lease *l = core->leases.at[i];
		uint64_t bytes = 0;
		uint32_t n = 0;

		for (size_t j = 0; j < core->socks.n; j++) {
			const struct sock *s = core->socks.at[j];

			n += s->lease == l->m->id;
			bytes += s->lease == l->m->id ? s->m->umem_bytes : 0;
		}
		check(l->m->sockets == n && l->m->umem_bytes == bytes);
		check(l->m->n_queues && l->m->netns_cookie != core->cookie);
		check(i == 0 || ((const struct lease *)core->leases.at[i - 1])->m->id < l->m->id);
		check(lease_of(core, l->m->netns_cookie, l->m->interface) == l);
		check(lease_by_key(core, l->m->container, l->m->interface) == l);
	}
}

/* No queue of a device is leased twice. */
static void check_queues(const struct core *core)
{
	for (size_t i = 0; i < core->leases.n; i++) {
		for (size_t j = 0; j < i; j++) {
			const struct lease *l = core->leases.at[i], *k = core->leases.at[j];

			if (l->m->ifindex != k->m->ifindex || l->device_inode != k->device_inode)
				continue;
			for (size_t q = 0; q < l->m->n_queues; q++)
				check(!lease_has_queue(k, l->m->queues[q]));
		}
	}
}

static unsigned int count_memfds(const struct core *core, uint64_t group)
{
	unsigned int n = 0;

	for (size_t i = 0; i < core->socks.n; i++) {
		const struct sock *s = core->socks.at[i];

		n += s->group == group && s->memfd >= 0;
	}
	return n;
}

static void check_socks(const struct core *core)
{
	for (size_t i = 0; i < core->socks.n; i++) {
		const struct sock *s = core->socks.at[i];
		bool pending = s->m->state == XSKD__SOCKET_STATE__SOCKET_AWAITS_BIND;

		check(i == 0 || ((const struct sock *)core->socks.at[i - 1])->m->id < s->m->id);
		check(lease_find(core, s->lease) && program_find(core, s->m->program_id));
		check((s->fd >= 0) == (pending || s->m->kept));
		check(!s->m->kept || count_memfds(core, s->group) == 1);
		check(s->memfd < 0 || s->m->kept);
	}
}

/* Which leases a program serves is known from both sides; what calls do with it ends with them. */
static void check_programs(const struct core *core, bool under_way)
{
	for (size_t i = 0; i < core->programs.n; i++) {
		const struct program *p = core->programs.at[i];
		uint32_t n = 0;

		for (size_t j = 0; j < core->leases.n; j++)
			n += ((const struct lease *)core->leases.at[j])->m->program_id == p->m->id;
		check(p->m->leases == n);
		check(!p->leaving || !p->holds);
		check(under_way || (!p->leaving && !p->holds));
		check(i == 0 ||
		      ((const struct program *)core->programs.at[i - 1])->m->id < p->m->id);
	}
	for (size_t i = 0; i < core->leases.n; i++) {
		const struct lease *l = core->leases.at[i];

		check(!l->m->program_id || program_find(core, l->m->program_id));
	}
}

void holds_core(const struct world *w, bool under_way)
{
	check_leases(&w->core);
	check_queues(&w->core);
	check_socks(&w->core);
	check_programs(&w->core, under_way);
}

static void check_sockets_are_own(const struct core *core, const struct peer *peer,
				  const Xskd__HandOffSocketReply *r)
{
	check(r->n_sockets);
	for (size_t i = 0; i < r->n_sockets; i++) {
		const struct sock *s = sock_find(core, r->sockets[i]->id);
		const struct lease *l = s ? lease_find(core, s->lease) : NULL;

		check(r->sockets[i]->socket_fd == i + 1 && l);
		check(lease_has_queue(l, r->sockets[i]->queue));
		check(peer->admin || l->m->netns_cookie == peer->cookie);
	}
}

static void check_map_is_own(const struct core *core, const struct peer *peer,
			     const Xskd__GetXskMapReply *r)
{
	const struct program *p = program_find(core, r->program_id);
	bool own = peer->admin;

	check(p && r->map_fd == 1);
	for (size_t i = 0; i < core->leases.n && !own; i++) {
		const struct lease *l = core->leases.at[i];

		own = l->m->netns_cookie == peer->cookie && l->m->all_queues &&
		      l->m->mode == XSKD__LEASE_MODE__LEASE_MODE_DEVICE;
	}
	check(own && (peer->admin || p->served == peer->cookie));
}

static unsigned int fds_promised(const Xskd__Reply *m)
{
	switch (m->result_case) {
	case XSKD__REPLY__RESULT_HAND_OFF_SOCKET:
		return (unsigned int)m->hand_off_socket->n_sockets +
		       (m->hand_off_socket->umem_fd > 0);
	case XSKD__REPLY__RESULT_GET_XSK_MAP:
		return 1;
	default:
		return 0;
	}
}

void holds_answer(struct world *w, const struct peer *peer, const struct answer *a)
{
	const Xskd__Reply *m = a->m;

	check(fdset_left(&a->fds) == fds_promised(m));
	if (m->status) {
		check(m->status->code != XSKD__CODE__OK && *m->status->message);
		check(m->result_case == XSKD__REPLY__RESULT__NOT_SET);
		return;
	}
	check(m->result_case != XSKD__REPLY__RESULT__NOT_SET);
	if (m->result_case == XSKD__REPLY__RESULT_HAND_OFF_SOCKET)
		check_sockets_are_own(&w->core, peer, m->hand_off_socket);
	if (m->result_case == XSKD__REPLY__RESULT_GET_XSK_MAP)
		check_map_is_own(&w->core, peer, m->get_xsk_map);
	if (m->result_case == XSKD__REPLY__RESULT_LIST_LEASES && !peer->admin) {
		for (size_t i = 0; i < m->list_leases->n_leases; i++)
			check(m->list_leases->leases[i]->netns_cookie == peer->cookie);
	}
	if (m->result_case == XSKD__REPLY__RESULT_LIST_SOCKETS && !peer->admin) {
		for (size_t i = 0; i < m->list_sockets->n_sockets; i++) {
			const struct sock *s = sock_find(&w->core, m->list_sockets->sockets[i]->id);

			check(s && lease_find(&w->core, s->lease)->m->netns_cookie == peer->cookie);
		}
	}
}

/*
 * What grants or denies leaves a line that says what and why; equal ones are only counted at first.
 */
void holds_audit(const struct method *method, unsigned int before, const struct answer *a)
{
	bool said = audited.n != before;

	check(!said || (*audited.call && *audited.result));
	check(!said || method);
	if (said && a->m && a->m->status && !strcmp(audited.call, method->name))
		check(!strcmp(audited.result, "denied") || !*audited.reason);
}

/* ---- lists ---- */

/*
 * All pages of a list have all items, each once, in order: ids ascend, and each page begins behind
 * the one before. The three lists are alike in their bytes: items, and where to go on.
 */
struct page {
	const uint64_t *next;
	size_t n;
};

static struct page page_of(const Xskd__Reply *m)
{
	switch (m->result_case) {
	case XSKD__REPLY__RESULT_LIST_PROGRAMS:
		return (struct page){ &m->list_programs->next, m->list_programs->n_programs };
	case XSKD__REPLY__RESULT_LIST_LEASES:
		return (struct page){ &m->list_leases->next, m->list_leases->n_leases };
	case XSKD__REPLY__RESULT_LIST_SOCKETS:
		return (struct page){ &m->list_sockets->next, m->list_sockets->n_sockets };
	default:
		return (struct page){ NULL, 0 };
	}
}

static uint64_t id_of(const Xskd__Reply *m, size_t i)
{
	switch (m->result_case) {
	case XSKD__REPLY__RESULT_LIST_PROGRAMS:
		return m->list_programs->programs[i]->id;
	case XSKD__REPLY__RESULT_LIST_LEASES:
		return m->list_leases->leases[i]->id;
	default:
		return m->list_sockets->sockets[i]->id;
	}
}

/* @after: the field of @message that says where to go on. */
static size_t count_listed(struct world *w, Xskd__Request__CallCase call, void *message,
			   uint64_t *after)
{
	uint64_t last = 0;
	size_t n = 0;

	for (*after = 0;;) {
		struct answer a = ask(w, &w->admin, call, message, NULL, 0);
		struct page page = { NULL, 0 };

		check(answer_code(&a) == XSKD__CODE__OK);
		page = page_of(a.m);
		check(page.next && (page.n || !*page.next));
		for (size_t i = 0; i < page.n; i++) {
			check(id_of(a.m, i) > last);
			last = id_of(a.m, i);
		}
		n += page.n;
		*after = *page.next;
		check(!*after || *after == last);
		answer_done(&a);
		if (!*after)
			return n;
	}
}

void holds_lists(struct world *w)
{
	Xskd__ListProgramsRequest programs;
	Xskd__ListLeasesRequest leases;
	Xskd__ListSocketsRequest sockets;
	size_t n;

	xskd__list_programs_request__init(&programs);
	xskd__list_leases_request__init(&leases);
	xskd__list_sockets_request__init(&sockets);
	/* Each page looks for sockets that have ended first, so the second time all are found. */
	(void)count_listed(w, XSKD__REQUEST__CALL_LIST_SOCKETS, &sockets, &sockets.after);
	n = count_listed(w, XSKD__REQUEST__CALL_LIST_SOCKETS, &sockets, &sockets.after);
	check(n == w->core.socks.n);
	n = count_listed(w, XSKD__REQUEST__CALL_LIST_PROGRAMS, &programs, &programs.after);
	check(n == w->core.programs.n);
	n = count_listed(w, XSKD__REQUEST__CALL_LIST_LEASES, &leases, &leases.after);
	check(n == w->core.leases.n);
}
