// SPDX-License-Identifier: Apache-2.0
/* Sockets that were handed out: releasing them, listing them, calls that meet. */
#include "ask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- releasing ---- */

static struct answer release(const struct peer *peer, const uint64_t *ids, size_t n)
{
	Xskd__ReleaseSocketRequest m = EMPTY(release_socket_request);

	m.sockets = (uint64_t *)(uintptr_t)ids;
	m.n_sockets = n;
	return ask(&w, peer, CASE(RELEASE_SOCKET), &m, NULL, 0);
}

static void others_sockets_are_as_unknown_as_none(void **state)
{
	struct answer a, mine, none;
	uint64_t id;

	(void)state;
	world_pods(&w);
	a = world_handoff(&w, &w.a, QUEUES(0), false);
	id = a.m->hand_off_socket->sockets[0]->id;
	mine = release(&w.b, &id, 1);
	none = release(&w.b, (const uint64_t[]){ 12345 }, 1);
	assert_int_equal(answer_code(&mine), XSKD__CODE__NOT_FOUND);
	assert_int_equal(answer_code(&none), XSKD__CODE__NOT_FOUND);
	assert_int_equal(mine.m->status->system_errno, none.m->status->system_errno);
	answer_done(&mine);
	answer_done(&none);
	assert_true(fake_is_in_map(a.fds.fd[0], 0));
	assert_int_equal(code_of(release(&w.a, NULL, 0)), XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(code_of(release(&w.a, (const uint64_t[]){ id, id }, 2)), XSKD__CODE__OK);
	assert_false(fake_is_in_map(a.fds.fd[0], 0));
	assert_int_equal(w.core.socks.n, 0);
	assert_int_equal(code_of(release(&w.a, &id, 1)), XSKD__CODE__NOT_FOUND);
	answer_done(&a);
}

static void all_are_released_or_none(void **state)
{
	struct answer a, b;
	uint64_t ids[2];

	(void)state;
	world_pods(&w);
	a = world_handoff(&w, &w.a, QUEUES(0), false);
	b = world_handoff(&w, &w.b, QUEUES(2), false);
	ids[0] = a.m->hand_off_socket->sockets[0]->id;
	ids[1] = b.m->hand_off_socket->sockets[0]->id;
	assert_int_equal(code_of(release(&w.a, ids, 2)), XSKD__CODE__NOT_FOUND);
	assert_int_equal(w.core.socks.n, 2);
	assert_true(fake_is_in_map(a.fds.fd[0], 0));
	assert_int_equal(code_of(release(&w.admin, ids, 2)), XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(w.core.socks.n, 2); /* one lease a call: they are in different lanes */
	assert_int_equal(code_of(release(&w.admin, &ids[0], 1)), XSKD__CODE__OK);
	assert_int_equal(code_of(release(&w.admin, &ids[1], 1)), XSKD__CODE__OK);
	assert_int_equal(w.core.socks.n, 0);
	answer_done(&a);
	answer_done(&b);
}

static void releasing_a_kept_socket_drops_the_copy(void **state)
{
	struct answer a;
	uint64_t id;

	(void)state;
	world_pods(&w);
	a = world_handoff(&w, &w.a, QUEUES(0), true);
	id = a.m->hand_off_socket->sockets[0]->id;
	answer_done(&a);
	assert_int_equal(fake_sockets(), 1);
	assert_int_equal(code_of(release(&w.a, &id, 1)), XSKD__CODE__OK);
	assert_int_equal(fake_sockets(), 0);
}

/* The holder closed its socket, and another took the queue while a worker is at the release. */
static void a_release_takes_nobody_elses_socket_out(void **state)
{
	Xskd__ReleaseSocketRequest m = EMPTY(release_socket_request);
	cleanup(close_fdp) int umem = world_umem(16 * 2048);
	struct call *release_call, *handoff_call;
	Xskd__HandOffSocketRequest h;
	struct answer a, b;
	uint64_t id;

	(void)state;
	world_pods(&w);
	a = world_handoff(&w, &w.a, QUEUES(0), false);
	id = a.m->hand_off_socket->sockets[0]->id;
	answer_done(&a);
	m.sockets = &id;
	m.n_sockets = 1;
	release_call = begin(&w, &w.a, CASE(RELEASE_SOCKET), &m, NULL, 0);
	init_handoff(&h, "eth0");
	handoff_call = begin(&w, &w.a, CASE(HAND_OFF_SOCKET), &h, &umem, 1);
	if (*release_call->lane && !strcmp(release_call->lane, handoff_call->lane)) {
		/* One waits for the other: it cannot happen. */
		assert_int_equal(code_of(finish(release_call, true)), XSKD__CODE__OK);
		assert_int_equal(code_of(finish(handoff_call, true)), XSKD__CODE__OK);
		return;
	}
	assert_false(go(release_call, false));
	b = finish(handoff_call, true);
	assert_int_equal(answer_code(&b), XSKD__CODE__OK);
	assert_int_equal(code_of(finish(release_call, true)), XSKD__CODE__OK);
	assert_true(fake_is_in_map(b.fds.fd[0], 0));
	answer_done(&b);
}

/* ---- calls at once ---- */

/*
 * Two grants of one key, or of one namespace's interface, that are in different lanes because their
 * devices differ: one of them has to be refused, for a lease is told by these.
 */
static void two_grants_at_once(const char *one, const char *other)
{
	Xskd__GrantLeaseRequest m = EMPTY(grant_lease_request);
	struct call *first, *second;
	int codes[2];

	m.container = str(one);
	m.interface = str("eth0");
	m.netns_fd = 1;
	first = begin(&w, &w.admin, CASE(GRANT_LEASE), &m, &w.pod_a, 1);
	m.container = str(other);
	m.device = str("host0");
	second = begin(&w, &w.admin, CASE(GRANT_LEASE), &m, &w.pod_a, 1);
	if (strcmp(first->lane, second->lane) != 0) {
		assert_false(go(first, true));
		assert_false(go(second, true));
		assert_false(go(first, true));
		assert_false(go(second, true));
	}
	codes[0] = code_of(finish(first, true));
	codes[1] = code_of(finish(second, true));
	assert_int_equal(w.core.leases.n, 1);
	assert_int_equal(w.core.leases_by_netns.n, 1);
	assert_int_equal((codes[0] == XSKD__CODE__OK) + (codes[1] == XSKD__CODE__OK), 1);
	assert_int_equal(codes[0] + codes[1], XSKD__CODE__ALREADY_EXISTS);
	world_restart(&w); /* the one that was refused did not take the other's file with it */
	assert_int_equal(w.core.leases.n, 1);
}

static void two_grants_of_one_interface_at_once(void **state)
{
	(void)state;
	two_grants_at_once("a", "b");
}

static void two_grants_of_one_key_at_once(void **state)
{
	(void)state;
	two_grants_at_once("a", "a");
}

/*
 * All leases of a container are revoked, and one is granted anew before a worker has come to that.
 */
static void a_revocation_takes_no_later_lease_with_it(void **state)
{
	Xskd__RevokeLeaseRequest r = EMPTY(revoke_lease_request);
	Xskd__GrantLeaseRequest g = EMPTY(grant_lease_request);
	struct call *revoke_call, *grant_call;

	(void)state;
	world_grant(&w, w.pod_a, "a", "eth0", NULL, NULL, 0);
	r.container = str("a");
	revoke_call = begin(&w, &w.admin, CASE(REVOKE_LEASE), &r, NULL, 0);
	g.container = str("a");
	g.interface = str("eth0");
	g.netns_fd = 1;
	grant_call = begin(&w, &w.admin, CASE(GRANT_LEASE), &g, &w.pod_a, 1);
	assert_false(go(revoke_call, false));
	if (strcmp(revoke_call->lane, grant_call->lane) != 0) {
		assert_int_equal(code_of(finish(grant_call, true)), XSKD__CODE__OK);
		assert_int_equal(code_of(finish(revoke_call, true)), XSKD__CODE__OK);
	} else {
		assert_int_equal(code_of(finish(revoke_call, true)), XSKD__CODE__OK);
		assert_int_equal(code_of(finish(grant_call, true)), XSKD__CODE__OK);
	}
	assert_int_equal(w.core.leases.n, 1);
	world_restart(&w);
	assert_int_equal(w.core.leases.n, 1);
}

/*
 * A hand-off is at its socket when its lease ends and the queue goes to another pod, whose calls
 * wait for nobody's: the place in the map is the next one's only when the first is done with it.
 */
static void a_hand_off_that_ends_late_takes_nobody_elses_socket_out(void **state)
{
	Xskd__RevokeLeaseRequest r = EMPTY(revoke_lease_request);
	cleanup(close_fdp) int umem = world_umem(16 * 2048);
	Xskd__HandOffSocketRequest h;
	struct call *late, *next;
	struct answer a;

	(void)state;
	world_pods(&w);
	init_handoff(&h, "net1");
	h.queues = (uint32_t[]){ 2 };
	h.n_queues = 1;
	late = begin(&w, &w.b, CASE(HAND_OFF_SOCKET), &h, &umem, 1);
	assert_false(go(late, true));
	r.container = str("b");
	assert_int_equal(code_of(ask(&w, &w.admin, CASE(REVOKE_LEASE), &r, NULL, 0)),
			 XSKD__CODE__OK);
	world_grant(&w, w.pod_a, "a", "net1", "host0", QUEUES(2));
	next = begin(&w, &w.a, CASE(HAND_OFF_SOCKET), &h, &umem, 1);
	assert_string_not_equal(late->lane, next->lane);
	assert_false(go(next, true));
	assert_false(go(next, true));
	assert_int_equal(code_of(finish(late, true)), XSKD__CODE__ABORTED);
	a = finish(next, true);
	assert_int_equal(answer_code(&a), XSKD__CODE__OK);
	assert_true(fake_is_in_map(a.fds.fd[0], 2));
	answer_done(&a);

	/* It does not wait for ever either. */
	late = begin(&w, &w.a, CASE(HAND_OFF_SOCKET), &h, &umem, 1);
	assert_false(go(late, true));
	next = begin(&w, &w.a, CASE(HAND_OFF_SOCKET), &h, &umem, 1);
	assert_int_equal(code_of(finish(next, true)), XSKD__CODE__UNAVAILABLE);
	assert_int_equal(code_of(finish(late, true)), XSKD__CODE__OK);
}

/* ---- lists and statistics ---- */

static size_t count_leases(const struct peer *peer)
{
	Xskd__ListLeasesRequest m = EMPTY(list_leases_request);
	size_t n = 0;

	do {
		struct answer a = ask(&w, peer, CASE(LIST_LEASES), &m, NULL, 0);

		assert_int_equal(answer_code(&a), XSKD__CODE__OK);
		for (size_t i = 0; i < a.m->list_leases->n_leases; i++)
			assert_true(peer->admin ||
				    a.m->list_leases->leases[i]->netns_cookie == peer->cookie);
		n += a.m->list_leases->n_leases;
		assert_true(!a.m->list_leases->next || a.m->list_leases->next > m.after);
		m.after = a.m->list_leases->next;
		answer_done(&a);
	} while (m.after);
	return n;
}

static size_t count_sockets(const struct peer *peer)
{
	Xskd__ListSocketsRequest m = EMPTY(list_sockets_request);
	struct answer a = ask(&w, peer, CASE(LIST_SOCKETS), &m, NULL, 0);
	size_t n = a.m->list_sockets->n_sockets;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(a.m->list_sockets->sockets[i]->socket_fd, 0);
	answer_done(&a);
	return n;
}

static void lists_show_a_pod_its_own(void **state)
{
	struct peer stranger = world_peer(&w, fake_netns_new(), false);
	struct answer a, b;

	(void)state;
	world_pods(&w);
	a = world_handoff(&w, &w.a, QUEUES(0, 1, 2), false);
	b = world_handoff(&w, &w.b, QUEUES(2, 3), false);
	assert_int_equal(count_leases(&w.a), 1);
	assert_int_equal(count_leases(&w.b), 1);
	assert_int_equal(count_leases(&w.admin), 2);
	assert_int_equal(count_leases(&stranger), 0);
	assert_int_equal(count_sockets(&w.a), 3);
	assert_int_equal(count_sockets(&w.b), 2);
	assert_int_equal(count_sockets(&w.admin), 5);
	assert_int_equal(count_sockets(&stranger), 0);
	answer_done(&a); /* closed by its holder: a list finds out */
	assert_int_equal(count_sockets(&w.admin), 2);
	answer_done(&b);
}

static void long_lists_come_in_pages(void **state)
{
	uint32_t queues[1000];
	size_t n = 0;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(queues); i++)
		queues[i] = i;
	for (int i = 0; i < 100; i++) {
		struct lease *l;
		Xskd__Lease m = EMPTY(lease);
		char name[16];

		snprintf(name, sizeof(name), "net%d", i);
		m.container = str("a");
		m.interface = name;
		m.device = str("host0");
		m.netns_cookie = i % 2 ? w.a.cookie : w.b.cookie;
		m.queues = queues;
		m.n_queues = ARRAY_SIZE(queues);
		l = lease_add(&w.core, message_clone(&m), 1, 1);
		assert_non_null(l);
		n++;
	}
	assert_int_equal(count_leases(&w.admin), n);
	assert_int_equal(count_leases(&w.a), n / 2);
}

static void programs_come_in_pages(void **state)
{
	Xskd__ListProgramsRequest m = EMPTY(list_programs_request);
	size_t n = 0, pages = 0;
	char name[64];

	(void)state;
	memset(name, 'x', sizeof(name));
	name[63] = '\0';
	for (uint32_t i = 1; i <= 2000; i++) {
		Xskd__Program p = EMPTY(program);

		p.id = i * 1000;
		p.name = name;
		assert_non_null(program_add(&w.core, message_clone(&p), 1, -1, -1));
	}
	do {
		struct answer a = ask(&w, &w.admin, CASE(LIST_PROGRAMS), &m, NULL, 0);

		n += a.m->list_programs->n_programs;
		m.after = a.m->list_programs->next;
		answer_done(&a);
		pages++;
	} while (m.after);
	assert_int_equal(n, 2000);
	assert_true(pages > 2);
	m.after = UINT64_MAX;
	assert_int_equal(code_of(ask(&w, &w.admin, CASE(LIST_PROGRAMS), &m, NULL, 0)),
			 XSKD__CODE__OK);
}

static void statistics_are_of_ones_own_queues(void **state)
{
	Xskd__GetStatsRequest m = EMPTY(get_stats_request);
	struct answer held, kept, a;

	(void)state;
	world_pods(&w);
	held = world_handoff(&w, &w.b, QUEUES(3), false);
	kept = world_handoff(&w, &w.b, QUEUES(2), true);
	m.interface = str("net1");
	a = ask(&w, &w.b, CASE(GET_STATS), &m, NULL, 0);
	assert_int_equal(a.m->get_stats->n_queues, 2);
	assert_int_equal(a.m->get_stats->queues[0]->queue, 2);
	assert_int_equal(a.m->get_stats->queues[0]->redirected, 1002);
	assert_true(a.m->get_stats->queues[0]->held);
	assert_int_equal(a.m->get_stats->queues[0]->socket->rx_dropped, 7);
	assert_true(a.m->get_stats->queues[1]->held);
	assert_null(a.m->get_stats->queues[1]->socket); /* the holder can ask for itself */
	answer_done(&a);
	assert_int_equal(code_of(ask(&w, &w.a, CASE(GET_STATS), &m, NULL, 0)),
			 XSKD__CODE__PERMISSION_DENIED);
	m.program_id = 2;
	assert_int_equal(code_of(ask(&w, &w.b, CASE(GET_STATS), &m, NULL, 0)),
			 XSKD__CODE__PERMISSION_DENIED);
	a = ask(&w, &w.admin, CASE(GET_STATS), &m, NULL, 0);
	assert_int_equal(a.m->get_stats->n_queues, 8);
	answer_done(&a);
	answer_done(&held);
	answer_done(&kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(others_sockets_are_as_unknown_as_none),
		world_test(all_are_released_or_none),
		world_test(releasing_a_kept_socket_drops_the_copy),
		world_test(a_release_takes_nobody_elses_socket_out),
		world_test(two_grants_of_one_interface_at_once),
		world_test(two_grants_of_one_key_at_once),
		world_test(a_revocation_takes_no_later_lease_with_it),
		world_test(a_hand_off_that_ends_late_takes_nobody_elses_socket_out),
		world_test(lists_show_a_pod_its_own),
		world_test(long_lists_come_in_pages),
		world_test(programs_come_in_pages),
		world_test(statistics_are_of_ones_own_queues),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
