// SPDX-License-Identifier: Apache-2.0
/* Who gets which sockets. */
#include "ask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- hand-off ---- */

static struct answer ask_handoff(const struct peer *peer, Xskd__HandOffSocketRequest *m)
{
	cleanup(close_fdp) int umem = world_umem(16 * 4096);

	return ask(&w, peer, CASE(HAND_OFF_SOCKET), m, &umem, m->umem_fd ? 1 : 0);
}

static void a_socket_comes_bound_and_in_the_map(void **state)
{
	Xskd__HandOffSocketRequest m;
	const Xskd__Socket *s;
	struct answer a;

	(void)state;
	world_pods(&w);
	init_handoff(&m, "eth0");
	a = ask_handoff(&w.a, &m);
	assert_int_equal(answer_code(&a), XSKD__CODE__OK);
	assert_int_equal(a.m->hand_off_socket->n_sockets, 1);
	assert_int_equal(a.m->hand_off_socket->ifindex, w.eth_a->dev.ifindex);
	assert_int_equal(a.m->hand_off_socket->umem_fd, 0);
	assert_false(a.m->hand_off_socket->resumed);
	s = a.m->hand_off_socket->sockets[0];
	assert_int_equal(s->socket_fd, 1);
	assert_int_equal(s->queue, 0);
	assert_int_equal(s->state, XSKD__SOCKET_STATE__SOCKET_BOUND);
	assert_int_equal(s->frame_size, 2048);
	assert_int_equal(s->fill_size, 2048);
	assert_int_equal(s->umem_bytes, 16 * 4096);
	assert_true(s->need_wakeup);
	assert_string_equal(s->container, "a");
	assert_int_equal(s->uid, 65534);
	assert_int_equal(fdset_left(&a.fds), 1);
	assert_true(fake_is_bound(a.fds.fd[0]));
	assert_true(fake_is_in_map(a.fds.fd[0], 0));
	answer_done(&a);
	assert_int_equal(fake_sockets(), 0); /* the daemon has no copy */
}

static void several_queues_come_in_the_order_asked_for(void **state)
{
	struct answer a;

	(void)state;
	world_pods(&w);
	a = world_handoff(&w, &w.a, QUEUES(3, 0, 2), false);
	assert_int_equal(a.m->hand_off_socket->n_sockets, 3);
	for (size_t i = 0; i < 3; i++) {
		const Xskd__Socket *s = a.m->hand_off_socket->sockets[i];

		assert_int_equal(s->queue, ((const uint32_t[]){ 3, 0, 2 })[i]);
		assert_int_equal(s->umem_bytes, i ? 0 : 16 * 2048);
		assert_true(fake_is_in_map(a.fds.fd[s->socket_fd - 1], s->queue));
	}
	answer_done(&a);
}

static void a_pod_gets_its_own_queues_alone(void **state)
{
	(void)state;
	world_pods(&w);
	assert_int_equal(code_of(world_handoff(&w, &w.b, QUEUES(2), false)), XSKD__CODE__OK);
	assert_int_equal(code_of(world_handoff(&w, &w.b, QUEUES(1), false)),
			 XSKD__CODE__PERMISSION_DENIED);
	assert_int_equal(code_of(world_handoff(&w, &w.b, QUEUES(2, 4), false)),
			 XSKD__CODE__PERMISSION_DENIED);
	assert_int_equal(code_of(world_handoff(&w, &w.b, QUEUES(UINT32_MAX), false)),
			 XSKD__CODE__PERMISSION_DENIED);
	assert_int_equal(code_of(world_handoff(&w, &w.a, QUEUES(0, 0), false)),
			 XSKD__CODE__INVALID_ARGUMENT);
}

static void a_stranger_gets_nothing(void **state)
{
	int netns = fake_netns_new();
	struct peer stranger = world_peer(&w, netns, false);
	struct answer a;

	(void)state;
	world_pods(&w);
	a = world_handoff(&w, &stranger, QUEUES(0), false);
	assert_int_equal(answer_code(&a), XSKD__CODE__PERMISSION_DENIED);
	assert_non_null(strstr(answer_text(&a), "xskctl lease grant")); /* it says what to do */
	answer_done(&a);
}

static void an_administrator_acts_for_a_container(void **state)
{
	Xskd__HandOffSocketRequest m;
	cleanup(close_fdp) int umem = world_umem(16 * 2048);
	const int fds[] = { umem, w.pod_a, w.pod_b };

	(void)state;
	world_pods(&w);
	init_handoff(&m, "eth0");
	m.container = str("a");
	assert_int_equal(code_of(ask_handoff(&w.admin, &m)), XSKD__CODE__INVALID_ARGUMENT);
	m.netns_fd = 2;
	assert_int_equal(code_of(ask(&w, &w.admin, CASE(HAND_OFF_SOCKET), &m, fds, 2)),
			 XSKD__CODE__OK);
	assert_int_equal(code_of(ask(&w, &w.admin, CASE(HAND_OFF_SOCKET), &m,
				     (const int[]){ umem, w.pod_b }, 2)),
			 XSKD__CODE__INVALID_ARGUMENT); /* another's namespace */
	m.netns_fd = 0;
	m.container = str("c");
	assert_int_equal(code_of(ask_handoff(&w.admin, &m)), XSKD__CODE__NOT_FOUND);
}

/* "admin only" says xskd.proto of both. A stranger's fd is also a stranger's file system to ask. */
static void a_pod_names_neither_container_nor_namespace(void **state)
{
	Xskd__HandOffSocketRequest m;
	cleanup(close_fdp) int umem = world_umem(16 * 2048);
	const int fds[] = { umem, w.pod_a };
	int code;

	(void)state;
	world_pods(&w);
	init_handoff(&m, "eth0");
	m.container = str("a");
	assert_int_equal(code_of(ask_handoff(&w.a, &m)), XSKD__CODE__PERMISSION_DENIED);
	m.container = str("");
	m.netns_fd = 2;
	code = code_of(ask(&w, &w.a, CASE(HAND_OFF_SOCKET), &m, fds, 2));
	assert_int_not_equal(code, XSKD__CODE__OK);
}

static int code_with(void (*change)(Xskd__HandOffSocketRequest *m, uint32_t value), uint32_t value)
{
	Xskd__HandOffSocketRequest m;

	init_handoff(&m, "eth0");
	change(&m, value);
	return code_of(ask_handoff(&w.a, &m));
}

#define CHANGE(field)                                                             \
	static void change_##field(Xskd__HandOffSocketRequest *m, uint32_t value) \
	{                                                                         \
		m->field = value;                                                 \
	}
CHANGE(frame_size)
CHANGE(headroom)
CHANGE(fill_size)
CHANGE(completion_size)
CHANGE(rx_size)
CHANGE(tx_size)

static void change_wish(Xskd__HandOffSocketRequest *m, uint32_t value)
{
	m->zero_copy = (Xskd__ZeroCopy)value;
}

static void sizes_have_bounds(void **state)
{
	void (*const rings[])(Xskd__HandOffSocketRequest *,
			      uint32_t) = { change_fill_size, change_completion_size,
					    change_rx_size, change_tx_size };
	const uint32_t bad[] = { 3, 2047, 65536, 1U << 31, UINT32_MAX };

	(void)state;
	world_pods(&w);
	for (size_t i = 0; i < ARRAY_SIZE(rings); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(bad); j++)
			assert_int_equal(code_with(rings[i], bad[j]), XSKD__CODE__INVALID_ARGUMENT);
		assert_int_equal(code_with(rings[i], 1), XSKD__CODE__OK);
		assert_int_equal(code_with(rings[i], 32768), XSKD__CODE__OK);
	}
	assert_int_equal(code_with(change_frame_size, 4096), XSKD__CODE__OK);
	assert_int_equal(code_with(change_frame_size, 1), XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(code_with(change_frame_size, 1024), XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(code_with(change_frame_size, 8192), XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(code_with(change_headroom, 2048 - 256 - 64), XSKD__CODE__OK);
	assert_int_equal(code_with(change_headroom, 2048 - 256 - 63), XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(code_with(change_headroom, UINT32_MAX), XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(code_with(change_wish, 3), XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(code_with(change_wish, UINT32_MAX), XSKD__CODE__INVALID_ARGUMENT);
}

static void busy_polling_has_bounds(void **state)
{
	Xskd__BusyPoll poll = EMPTY(busy_poll);
	Xskd__HandOffSocketRequest m;

	(void)state;
	world_pods(&w);
	init_handoff(&m, "eth0");
	m.busy_poll = &poll;
	poll.timeout_us = 1000001;
	assert_int_equal(code_of(ask_handoff(&w.a, &m)), XSKD__CODE__INVALID_ARGUMENT);
	poll.timeout_us = 20;
	poll.budget = 513;
	assert_int_equal(code_of(ask_handoff(&w.a, &m)), XSKD__CODE__INVALID_ARGUMENT);
	poll.budget = 64;
	assert_int_equal(code_of(ask_handoff(&w.a, &m)), XSKD__CODE__OK);
}

static void zero_copy_is_a_contract(void **state)
{
	struct answer a;
	Xskd__HandOffSocketRequest m;

	(void)state;
	world_pods(&w);
	assert_int_equal(code_with(change_wish, XSKD__ZERO_COPY__ZERO_COPY_REQUIRED),
			 XSKD__CODE__UNIMPLEMENTED);
	assert_int_equal(fake_sockets(), 0);
	w.eth_a->zero_copy = true;
	init_handoff(&m, "eth0");
	a = ask_handoff(&w.a, &m);
	assert_true(a.m->hand_off_socket->sockets[0]->zero_copy);
	answer_done(&a);
	m.zero_copy = XSKD__ZERO_COPY__ZERO_COPY_NO;
	a = ask_handoff(&w.a, &m);
	assert_false(a.m->hand_off_socket->sockets[0]->zero_copy);
	answer_done(&a);
}

static void fields_that_contradict_each_other_are_refused(void **state)
{
	Xskd__HandOffSocketRequest m;
	cleanup(close_fdp) int plain = some_fd();

	(void)state;
	world_pods(&w);
	init_handoff(&m, "eth0");
	m.umem_fd = 0;
	assert_int_equal(code_of(ask_handoff(&w.a, &m)), XSKD__CODE__INVALID_ARGUMENT);
	m.umem_fd = 1;
	assert_int_equal(code_of(ask(&w, &w.a, CASE(HAND_OFF_SOCKET), &m, &plain, 1)),
			 XSKD__CODE__INVALID_ARGUMENT); /* not sealed */
	m.unbound = true;
	assert_int_equal(code_of(ask_handoff(&w.a, &m)), XSKD__CODE__INVALID_ARGUMENT);
	m.umem_fd = 0;
	m.keep = true;
	assert_int_equal(code_of(ask_handoff(&w.a, &m)), XSKD__CODE__INVALID_ARGUMENT);
	m.unbound = m.keep = false;
	m.only_resume = true;
	assert_int_equal(code_of(ask_handoff(&w.a, &m)), XSKD__CODE__INVALID_ARGUMENT);
	m.only_resume = false;
	m.umem_fd = 1;
	m.multi_buffer = true;
	w.core.features.multi_buffer = false;
	assert_int_equal(code_of(ask_handoff(&w.a, &m)), XSKD__CODE__UNIMPLEMENTED);
}

static void a_queue_has_one_holder(void **state)
{
	struct peer other = world_peer(&w, w.pod_a, false);
	struct answer first, second;

	(void)state;
	world_pods(&w);
	first = world_handoff(&w, &w.a, QUEUES(1, 2), false);
	assert_int_equal(answer_code(&first), XSKD__CODE__OK);
	assert_int_equal(code_of(world_handoff(&w, &other, QUEUES(2), false)),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(code_of(world_handoff(&w, &other, QUEUES(0, 1), false)),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(fake_sockets(), 2);
	answer_done(&first); /* the process ends */
	second = world_handoff(&w, &other, QUEUES(2), false);
	assert_int_equal(answer_code(&second), XSKD__CODE__OK);
	answer_done(&second);
}

static int handoff_of(const struct peer *peer, const uint32_t *queues, size_t n, uint64_t bytes,
		      struct answer *out)
{
	cleanup(close_fdp) int umem = world_umem(bytes);
	Xskd__HandOffSocketRequest m;

	init_handoff(&m, "eth0");
	m.queues = (uint32_t *)(uintptr_t)queues;
	m.n_queues = n;
	*out = ask(&w, peer, CASE(HAND_OFF_SOCKET), &m, &umem, 1);
	return answer_code(out);
}

static void a_lease_has_so_many_sockets(void **state)
{
	struct answer a[4];

	(void)state;
	world_pods(&w);
	w.core.limits.sockets_per_lease = 3;
	assert_int_equal(handoff_of(&w.a, QUEUES(0, 1, 2, 3), 2048, &a[0]),
			 XSKD__CODE__RESOURCE_EXHAUSTED);
	answer_done(&a[0]);
	assert_int_equal(handoff_of(&w.a, QUEUES(0, 1), 2048, &a[0]), XSKD__CODE__OK);
	assert_int_equal(handoff_of(&w.a, QUEUES(2), 2048, &a[1]), XSKD__CODE__OK);
	assert_int_equal(handoff_of(&w.a, QUEUES(3), 2048, &a[2]), XSKD__CODE__RESOURCE_EXHAUSTED);
	answer_done(&a[2]);
	answer_done(&a[1]);
	assert_int_equal(handoff_of(&w.a, QUEUES(2), 2048, &a[1]), XSKD__CODE__OK);
	answer_done(&a[1]);
	answer_done(&a[0]);
}

static void a_lease_has_so_much_umem(void **state)
{
	struct answer a[3];

	(void)state;
	world_pods(&w);
	w.core.limits.umem_bytes_per_lease = 100 * 2048;
	assert_int_equal(handoff_of(&w.a, QUEUES(0), 101 * 2048, &a[0]),
			 XSKD__CODE__RESOURCE_EXHAUSTED);
	answer_done(&a[0]);
	assert_int_equal(handoff_of(&w.a, QUEUES(0), 60 * 2048, &a[0]), XSKD__CODE__OK);
	assert_int_equal(handoff_of(&w.a, QUEUES(1), 41 * 2048, &a[1]),
			 XSKD__CODE__RESOURCE_EXHAUSTED);
	answer_done(&a[1]);
	assert_int_equal(handoff_of(&w.a, QUEUES(1), 40 * 2048, &a[1]), XSKD__CODE__OK);
	answer_done(&a[0]);
	assert_int_equal(handoff_of(&w.a, QUEUES(0), 60 * 2048, &a[0]), XSKD__CODE__OK);
	answer_done(&a[0]);
	answer_done(&a[1]);
}

/* The UMEM of a hand-off lives as long as one of its sockets does, not only its first. */
static void a_umem_counts_while_one_of_its_sockets_lives(void **state)
{
	struct answer a, b;
	uint32_t place;

	(void)state;
	world_pods(&w);
	w.core.limits.umem_bytes_per_lease = 100 * 2048;
	assert_int_equal(handoff_of(&w.a, QUEUES(0, 1), 60 * 2048, &a), XSKD__CODE__OK);
	place = a.m->hand_off_socket->sockets[0]->socket_fd;
	close(fdset_take(&a.fds, place)); /* that of queue 1 is held on */
	assert_int_equal(handoff_of(&w.a, QUEUES(0), 60 * 2048, &b),
			 XSKD__CODE__RESOURCE_EXHAUSTED);
	answer_done(&b);
	answer_done(&a);
}

static void a_lease_that_ends_meanwhile_takes_its_socket_back(void **state)
{
	cleanup(close_fdp) int umem = world_umem(16 * 2048);
	Xskd__HandOffSocketRequest m;
	struct call *call;

	(void)state;
	world_pods(&w);
	init_handoff(&m, "eth0");
	call = begin(&w, &w.a, CASE(HAND_OFF_SOCKET), &m, &umem, 1);
	assert_false(go(call, true));
	assert_int_equal(revoked("a", ""), 1);
	assert_int_equal(code_of(finish(call, true)), XSKD__CODE__ABORTED);
	assert_int_equal(fake_sockets(), 0);
	assert_int_equal(w.core.socks.n, 0);
}

static void a_device_that_goes_meanwhile_is_told(void **state)
{
	cleanup(close_fdp) int umem = world_umem(16 * 2048);
	Xskd__HandOffSocketRequest m;
	struct call *call;

	(void)state;
	world_pods(&w);
	init_handoff(&m, "eth0");
	call = begin(&w, &w.a, CASE(HAND_OFF_SOCKET), &m, &umem, 1);
	assert_false(go(call, false));
	fake_device_remove(w.eth_a);
	assert_int_equal(code_of(finish(call, true)), XSKD__CODE__NOT_FOUND);
	assert_int_equal(fake_sockets(), 0);
}

/* ---- kept sockets ---- */

static struct answer resume_only(const struct peer *peer, const uint32_t *queues, size_t n)
{
	Xskd__HandOffSocketRequest m;

	init_handoff(&m, "eth0");
	m.umem_fd = 0;
	m.keep = m.only_resume = true;
	m.queues = (uint32_t *)(uintptr_t)queues;
	m.n_queues = n;
	return ask_handoff(peer, &m);
}

static void a_kept_socket_comes_back_to_the_next_process(void **state)
{
	struct peer next = world_peer(&w, w.pod_a, false);
	struct answer a;
	uint64_t id;

	(void)state;
	world_pods(&w);
	assert_int_equal(code_of(resume_only(&w.a, QUEUES(0, 1))), XSKD__CODE__NOT_FOUND);
	a = world_handoff(&w, &w.a, QUEUES(0, 1), true);
	id = a.m->hand_off_socket->sockets[1]->id;
	assert_true(a.m->hand_off_socket->sockets[1]->kept);
	answer_done(&a);
	assert_int_equal(fake_sockets(), 2); /* the daemon's copies */
	a = resume_only(&next, QUEUES(1, 0));
	assert_int_equal(answer_code(&a), XSKD__CODE__OK);
	assert_true(a.m->hand_off_socket->resumed);
	assert_int_equal(a.m->hand_off_socket->n_sockets, 2);
	assert_int_equal(a.m->hand_off_socket->sockets[0]->id, id);
	assert_int_equal(a.m->hand_off_socket->umem_fd, 3);
	assert_int_equal(fdset_left(&a.fds), 3);
	assert_true(fake_is_in_map(a.fds.fd[0], 1));
	answer_done(&a);
	a = world_handoff(&w, &next, QUEUES(0, 1), true); /* with a UMEM that is not needed */
	assert_true(a.m->hand_off_socket->resumed);
	answer_done(&a);
}

static void kept_sockets_come_back_as_they_went(void **state)
{
	(void)state;
	world_pods(&w);
	assert_int_equal(code_of(world_handoff(&w, &w.a, QUEUES(0, 1), true)), XSKD__CODE__OK);
	assert_int_equal(code_of(world_handoff(&w, &w.a, QUEUES(2), true)), XSKD__CODE__OK);
	assert_int_equal(code_of(resume_only(&w.a, QUEUES(0))), XSKD__CODE__NOT_FOUND);
	assert_int_equal(code_of(resume_only(&w.a, QUEUES(1, 2))), XSKD__CODE__NOT_FOUND);
	assert_int_equal(code_of(resume_only(&w.a, QUEUES(0, 1, 2))), XSKD__CODE__NOT_FOUND);
	assert_int_equal(code_of(world_handoff(&w, &w.a, QUEUES(0), true)),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(code_of(resume_only(&w.a, QUEUES(2))), XSKD__CODE__OK);
}

static void a_kept_socket_goes_with_its_lease(void **state)
{
	(void)state;
	world_pods(&w);
	assert_int_equal(code_of(world_handoff(&w, &w.a, QUEUES(0), true)), XSKD__CODE__OK);
	assert_int_equal(fake_sockets(), 1);
	assert_int_equal(revoked("a", "eth0"), 1);
	assert_int_equal(fake_sockets(), 0);
}

/* ---- unbound ---- */

static struct answer ask_unbound(const struct peer *peer, const char *interface)
{
	Xskd__HandOffSocketRequest m;

	init_handoff(&m, interface);
	m.umem_fd = 0;
	m.unbound = true;
	return ask_handoff(peer, &m);
}

static void an_unbound_socket_is_in_the_map_and_tied(void **state)
{
	struct answer a;

	(void)state;
	world_pods(&w);
	a = ask_unbound(&w.a, "eth0");
	assert_int_equal(answer_code(&a), XSKD__CODE__OK);
	assert_int_equal(a.m->hand_off_socket->sockets[0]->state,
			 XSKD__SOCKET_STATE__SOCKET_UNBOUND);
	assert_false(fake_is_bound(a.fds.fd[0]));
	assert_true(fake_is_in_map(a.fds.fd[0], 0));
	answer_done(&a);
}

static void no_unbound_socket_reaches_anothers_queues(void **state)
{
	(void)state;
	world_pods(&w);
	assert_int_equal(code_of(ask_unbound(&w.b, "net1")), XSKD__CODE__FAILED_PRECONDITION);
	world_load(&w, w.pod_b, "eth0");
	world_grant(&w, w.pod_b, "b", "eth0", NULL, QUEUES(1));
	assert_int_equal(code_of(ask_unbound(&w.b, "eth0")), XSKD__CODE__FAILED_PRECONDITION);
	assert_int_equal(fake_sockets(), 0);
}

/* Where SO_BINDTODEVICE does not bind, it goes only where there is nothing else to bind to. */
static void an_old_kernel_gives_unbound_sockets_to_pods_of_one_device(void **state)
{
	(void)state;
	world_pods(&w);
	w.core.features.bind_to_device = false;
	assert_int_equal(code_of(ask_unbound(&w.a, "eth0")), XSKD__CODE__OK);
	fake_device_add(w.pod_a, "eth1", 1);
	assert_int_equal(code_of(ask_unbound(&w.a, "eth0")), XSKD__CODE__FAILED_PRECONDITION);
	assert_int_equal(fake_sockets(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_socket_comes_bound_and_in_the_map),
		world_test(several_queues_come_in_the_order_asked_for),
		world_test(a_pod_gets_its_own_queues_alone),
		world_test(a_stranger_gets_nothing),
		world_test(an_administrator_acts_for_a_container),
		world_test(a_pod_names_neither_container_nor_namespace),
		world_test(sizes_have_bounds),
		world_test(busy_polling_has_bounds),
		world_test(zero_copy_is_a_contract),
		world_test(fields_that_contradict_each_other_are_refused),
		world_test(a_queue_has_one_holder),
		world_test(a_lease_has_so_many_sockets),
		world_test(a_lease_has_so_much_umem),
		world_test(a_umem_counts_while_one_of_its_sockets_lives),
		world_test(a_lease_that_ends_meanwhile_takes_its_socket_back),
		world_test(a_device_that_goes_meanwhile_is_told),
		world_test(a_kept_socket_comes_back_to_the_next_process),
		world_test(kept_sockets_come_back_as_they_went),
		world_test(a_kept_socket_goes_with_its_lease),
		world_test(an_unbound_socket_is_in_the_map_and_tied),
		world_test(no_unbound_socket_reaches_anothers_queues),
		world_test(an_old_kernel_gives_unbound_sockets_to_pods_of_one_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
