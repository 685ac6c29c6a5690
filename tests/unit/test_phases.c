// SPDX-License-Identifier: Apache-2.0
/* Hand-offs in two phases, as before Linux 6.4. */
#include "ask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct answer bind_these(const struct peer *peer, const uint64_t *ids, size_t n)
{
	Xskd__BindSocketRequest m = EMPTY(bind_socket_request);

	m.sockets = (uint64_t *)(uintptr_t)ids;
	m.n_sockets = n;
	return ask(&w, peer, CASE(BIND_SOCKET), &m, NULL, 0);
}

/* Return: the sockets' fds and ids of a hand-off that is half done. */
static struct answer half(const struct peer *peer, const uint32_t *queues, size_t n, bool keep,
			  uint64_t *ids)
{
	struct answer a = world_handoff(&w, peer, queues, n, keep);

	assert_int_equal(answer_code(&a), XSKD__CODE__OK);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(a.m->hand_off_socket->sockets[i]->state,
				 XSKD__SOCKET_STATE__SOCKET_AWAITS_BIND);
		ids[i] = a.m->hand_off_socket->sockets[i]->id;
	}
	return a;
}

static void begin_two_phase(void)
{
	world_pods(&w);
	w.core.features = (struct xsk_features){ .full_handoff = false };
}

static void the_second_phase_binds_and_inserts(void **state)
{
	struct answer a, b;
	uint64_t ids[2];

	(void)state;
	begin_two_phase();
	a = half(&w.a, QUEUES(2, 1), false, ids);
	assert_false(fake_is_bound(a.fds.fd[0]));
	assert_false(fake_is_in_map(a.fds.fd[0], 2));
	b = bind_these(&w.a, ids, 2);
	assert_int_equal(answer_code(&b), XSKD__CODE__OK);
	assert_int_equal(b.m->bind_socket->n_sockets, 2);
	assert_int_equal(b.m->bind_socket->sockets[0]->state, XSKD__SOCKET_STATE__SOCKET_BOUND);
	assert_true(fake_is_bound(a.fds.fd[0]));
	assert_true(fake_is_in_map(a.fds.fd[0], 2));
	assert_true(fake_is_in_map(a.fds.fd[1], 1));
	answer_done(&b);
	assert_int_equal(code_of(bind_these(&w.a, ids, 2)), XSKD__CODE__NOT_FOUND);
	answer_done(&a);
	assert_int_equal(fake_sockets(), 0);
}

static void only_the_connection_that_asked_may_bind(void **state)
{
	struct peer other = world_peer(&w, w.pod_a, false);
	struct answer a;
	uint64_t id;

	(void)state;
	begin_two_phase();
	a = half(&w.a, QUEUES(0), false, &id);
	assert_int_equal(code_of(bind_these(&other, &id, 1)), XSKD__CODE__NOT_FOUND);
	assert_int_equal(code_of(bind_these(&w.b, &id, 1)), XSKD__CODE__NOT_FOUND);
	assert_int_equal(code_of(bind_these(&w.admin, &id, 1)), XSKD__CODE__NOT_FOUND);
	assert_int_equal(code_of(bind_these(&w.a, &id, 1)), XSKD__CODE__OK);
	answer_done(&a);
}

static void the_second_phase_takes_the_sockets_of_one_hand_off(void **state)
{
	uint64_t ids[64] = { 0 }, other;
	struct answer a, b;

	(void)state;
	begin_two_phase();
	a = half(&w.a, QUEUES(0, 1), false, ids);
	b = half(&w.a, QUEUES(2), false, &other);
	assert_int_equal(code_of(bind_these(&w.a, NULL, 0)), XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(code_of(bind_these(&w.a, ids, 64)), XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(code_of(bind_these(&w.a, (const uint64_t[]){ ids[0], other }, 2)),
			 XSKD__CODE__INVALID_ARGUMENT);
	assert_int_not_equal(code_of(bind_these(&w.a, (const uint64_t[]){ ids[0], 999 }, 2)),
			     XSKD__CODE__OK);
	assert_int_equal(code_of(bind_these(&w.a, ids, 2)), XSKD__CODE__OK);
	answer_done(&a);
	answer_done(&b);
}

/* "All those of one hand-off": what does not name them all once must not spoil them. */
static void a_wrong_second_phase_can_be_made_good(void **state)
{
	uint64_t ids[2];
	struct answer a;

	(void)state;
	begin_two_phase();
	a = half(&w.a, QUEUES(0, 1), false, ids);
	assert_int_not_equal(code_of(bind_these(&w.a, (const uint64_t[]){ ids[0], ids[0] }, 2)),
			     XSKD__CODE__OK);
	assert_int_not_equal(code_of(bind_these(&w.a, &ids[1], 1)), XSKD__CODE__OK);
	assert_int_not_equal(code_of(bind_these(&w.a, &ids[0], 1)), XSKD__CODE__OK);
	assert_int_equal(code_of(bind_these(&w.a, ids, 2)), XSKD__CODE__OK);
	answer_done(&a);
}

static void a_socket_that_is_not_bound_in_time_is_forgotten(void **state)
{
	struct answer a;
	uint64_t id;

	(void)state;
	begin_two_phase();
	a = half(&w.a, QUEUES(0), false, &id);
	sock_drop_pending(&w.core, 0);
	assert_int_equal(w.core.socks.n, 1);
	((struct sock *)w.core.socks.at[0])->deadline = 0;
	sock_drop_pending(&w.core, 0);
	assert_int_equal(w.core.socks.n, 0);
	assert_int_equal(code_of(bind_these(&w.a, &id, 1)), XSKD__CODE__NOT_FOUND);
	answer_done(&a);
	assert_int_equal(fake_sockets(), 0);
}

static void a_socket_that_awaits_its_bind_goes_with_its_connection(void **state)
{
	struct answer a;
	uint64_t id;

	(void)state;
	begin_two_phase();
	answer_done(&(struct answer){ .m = NULL });
	a = half(&w.a, QUEUES(0), false, &id);
	answer_done(&a);
	world_hang_up(&w, &w.b);
	assert_int_equal(fake_sockets(), 1);
	world_hang_up(&w, &w.a);
	assert_int_equal(fake_sockets(), 0);
}

static void a_queue_that_awaits_its_bind_is_taken(void **state)
{
	struct peer other = world_peer(&w, w.pod_a, false);
	struct answer a;
	uint64_t id;

	(void)state;
	begin_two_phase();
	a = half(&w.a, QUEUES(0), false, &id);
	assert_int_equal(code_of(world_handoff(&w, &other, QUEUES(0), false)),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(code_of(bind_these(&w.a, &id, 1)), XSKD__CODE__OK);
	answer_done(&a);
}

/* What another process is still at cannot be resumed: it would never be bound by who gets it. */
/* Nobody could map the rings of a bound socket again. */
static void nothing_is_kept_where_it_cannot_be_resumed(void **state)
{
	struct answer a;

	(void)state;
	begin_two_phase();
	a = world_handoff(&w, &w.a, QUEUES(0), true);
	assert_int_equal(code_of(a), XSKD__CODE__UNIMPLEMENTED);
}

/* The bind of a new socket proves that the old one of the queue has ended. */
static void the_ledger_has_one_socket_for_a_queue(void **state)
{
	struct answer a;
	uint64_t id;

	(void)state;
	begin_two_phase();
	for (int i = 0; i < 3; i++) {
		a = half(&w.a, QUEUES(0), false, &id);
		assert_int_equal(code_of(bind_these(&w.a, &id, 1)), XSKD__CODE__OK);
		if (i < 2)
			answer_done(&a);
	}
	assert_int_equal(w.core.socks.n, 1);
	answer_done(&a);
}

static void a_lease_that_ends_before_the_second_phase_binds_nothing(void **state)
{
	struct answer a;
	uint64_t id;

	(void)state;
	begin_two_phase();
	a = half(&w.a, QUEUES(0), false, &id);
	assert_int_equal(revoked("a", ""), 1);
	assert_int_equal(code_of(bind_these(&w.a, &id, 1)), XSKD__CODE__NOT_FOUND);
	assert_false(fake_is_bound(a.fds.fd[0]));
	answer_done(&a);
}

static void a_lease_that_ends_during_the_second_phase_is_not_in_the_map(void **state)
{
	Xskd__BindSocketRequest m = EMPTY(bind_socket_request);
	struct answer a;
	struct call *call;
	uint64_t id;

	(void)state;
	begin_two_phase();
	a = half(&w.a, QUEUES(0), false, &id);
	m.sockets = &id;
	m.n_sockets = 1;
	call = begin(&w, &w.a, CASE(BIND_SOCKET), &m, NULL, 0);
	assert_false(go(call, true));
	assert_int_equal(revoked("a", ""), 1);
	assert_int_equal(code_of(finish(call, true)), XSKD__CODE__ABORTED);
	assert_false(fake_is_in_map(a.fds.fd[0], 0));
	answer_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(the_second_phase_binds_and_inserts),
		world_test(only_the_connection_that_asked_may_bind),
		world_test(the_second_phase_takes_the_sockets_of_one_hand_off),
		world_test(a_wrong_second_phase_can_be_made_good),
		world_test(a_socket_that_is_not_bound_in_time_is_forgotten),
		world_test(a_socket_that_awaits_its_bind_goes_with_its_connection),
		world_test(a_queue_that_awaits_its_bind_is_taken),
		world_test(nothing_is_kept_where_it_cannot_be_resumed),
		world_test(the_ledger_has_one_socket_for_a_queue),
		world_test(a_lease_that_ends_before_the_second_phase_binds_nothing),
		world_test(a_lease_that_ends_during_the_second_phase_is_not_in_the_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
