// SPDX-License-Identifier: Apache-2.0
/* Programs that go with the last lease that they serve, and what meets a program that is going. */
#include "ask.h"

#include <errno.h>
#include <string.h>

#include "sweep.h"

/* ---- what is asked for ---- */

static struct answer load(const char *interface)
{
	Xskd__LoadProgramRequest m = EMPTY(load_program_request);

	m.interface = str(interface);
	m.transient = true;
	return ask(&w, &w.admin, CASE(LOAD_PROGRAM), &m, NULL, 0);
}

static void init_unload(Xskd__UnloadProgramRequest *m, uint32_t id, bool force)
{
	xskd__unload_program_request__init(m);
	m->id = id;
	m->force = force;
}

static int unload_code(uint32_t id, bool force)
{
	Xskd__UnloadProgramRequest m;

	init_unload(&m, id, force);
	return code_of(ask(&w, &w.admin, CASE(UNLOAD_PROGRAM), &m, NULL, 0));
}

static struct answer map(const struct peer *peer, const char *interface, uint32_t program)
{
	Xskd__GetXskMapRequest m = EMPTY(get_xsk_map_request);

	m.interface = str(interface);
	m.program_id = program;
	return ask(&w, peer, CASE(GET_XSK_MAP), &m, NULL, 0);
}

static uint32_t leases_of(uint32_t id)
{
	Xskd__GetProgramRequest m = EMPTY(get_program_request);
	struct answer a;
	uint32_t n;

	m.id = id;
	a = ask(&w, &w.admin, CASE(GET_PROGRAM), &m, NULL, 0);
	n = a.m->get_program->program->leases;
	answer_done(&a);
	return n;
}

/* A transient program on the host's device, with a lease of "a" on queue 1 and of "b" on queue 2.
 */
static uint32_t shared(void)
{
	uint32_t id = world_load_transient(&w, fake_netns_home(), "host0");

	world_grant(&w, w.pod_a, "a", "net1", "host0", QUEUES(1));
	world_grant(&w, w.pod_b, "b", "net1", "host0", QUEUES(2));
	return id;
}

static void expire(uint32_t id)
{
	program_find(&w.core, id)->spared = 0;
}

static int nsid_of(const char *container)
{
	return lease_by_key(&w.core, container, "net1")->nsid;
}

/* The state that a test must come back to, bare. */
static void assert_nothing_left(void)
{
	char *left;

	while (w.core.leases.n)
		core_netns_gone(&w.core, ((struct lease *)w.core.leases.at[0])->nsid, UINT64_MAX);
	left = world_print(&w);
	assert_null(strstr(left, "program "));
	assert_null(strstr(left, "file "));
	assert_null(strstr(left, "has a program"));
	free(left);
}

/* ---- the end of the last lease ---- */

static void it_goes_with_its_last_lease(void **state)
{
	uint32_t id = shared();

	(void)state;
	assert_int_equal(leases_of(id), 2);
	assert_int_equal(revoked("a", ""), 1);
	assert_int_equal(leases_of(id), 1);
	world_sweep(&w);
	assert_int_equal(w.core.programs.n, 1);
	assert_int_equal(revoked("b", ""), 1);
	assert_int_equal(w.core.programs.n, 0);
	assert_nothing_left();
}

static void others_stay(void **state)
{
	uint32_t id = world_load(&w, fake_netns_home(), "host0");

	(void)state;
	world_grant(&w, w.pod_a, "a", "net1", "host0", QUEUES(1));
	assert_int_equal(revoked("a", ""), 1);
	expire(id);
	world_sweep(&w);
	assert_int_equal(w.core.programs.n, 1);
	assert_int_equal(leases_of(id), 0);
}

/* One call ends several leases, of one program and of several. */
static void all_leases_of_a_container_take_all_its_programs(void **state)
{
	(void)state;
	world_load_transient(&w, fake_netns_home(), "host0");
	world_load_transient(&w, fake_netns_home(), "host1");
	world_load_transient(&w, w.pod_a, "eth0");
	world_grant(&w, w.pod_a, "a", "net1", "host0", QUEUES(1));
	world_grant(&w, w.pod_a, "a", "net2", "host0", QUEUES(2));
	world_grant(&w, w.pod_a, "a", "net3", "host1", QUEUES(0));
	world_grant(&w, w.pod_a, "a", "eth0", NULL, NULL, 0);
	assert_int_equal(revoked("a", ""), 4);
	assert_nothing_left();
}

static void it_goes_with_the_namespace_of_its_last_lease(void **state)
{
	(void)state;
	shared();
	core_netns_gone(&w.core, nsid_of("a"), UINT64_MAX);
	world_sweep(&w);
	assert_int_equal(w.core.programs.n, 1);
	core_netns_gone(&w.core, nsid_of("b"), UINT64_MAX);
	assert_int_equal(w.core.programs.n, 1);
	world_sweep(&w);
	assert_nothing_left();
}

/* Its device went home while the daemon was down, and took the program along. */
static void a_lease_found_stale_takes_its_program_at_the_first_sweep(void **state)
{
	(void)state;
	world_load_transient(&w, w.pod_a, "eth0");
	world_grant(&w, w.pod_a, "a", "eth0", NULL, NULL, 0);
	fake_device_move(w.eth_a, fake_netns_home());
	world_restart(&w);
	assert_int_equal(w.core.leases.n, 0);
	assert_int_equal(w.core.programs.n, 1);
	world_sweep(&w);
	assert_nothing_left();
}

/* ---- before the first lease ---- */

static void it_waits_for_its_first_lease(void **state)
{
	uint32_t id = world_load_transient(&w, fake_netns_home(), "host0");

	(void)state;
	world_sweep(&w);
	assert_int_equal(w.core.programs.n, 1);
	world_restart(&w); /* from then on it waits anew */
	assert_true(program_find(&w.core, id)->m->transient);
	world_sweep(&w);
	assert_int_equal(w.core.programs.n, 1);
	expire(id);
	world_sweep(&w);
	assert_nothing_left();
}

static void a_lease_in_time_ends_the_wait(void **state)
{
	uint32_t id = world_load_transient(&w, fake_netns_home(), "host0");

	(void)state;
	world_grant(&w, w.pod_a, "a", "net1", "host0", QUEUES(1));
	world_restart(&w);
	world_sweep(&w);
	assert_int_equal(leases_of(id), 1);
	assert_int_equal(revoked("a", ""), 1);
	assert_nothing_left();
}

/* A lease may come before its program. */
static void leases_that_were_granted_before_count(void **state)
{
	uint32_t id;

	(void)state;
	world_grant(&w, w.pod_a, "a", "net1", "host0", QUEUES(1));
	id = world_load_transient(&w, fake_netns_home(), "host0");
	assert_int_equal(leases_of(id), 1);
	world_restart(&w); /* the lease's file does not name the program */
	assert_int_equal(leases_of(id), 1);
	assert_int_equal(revoked("a", ""), 1);
	assert_nothing_left();
}

static struct call *begin_grant(const char *container, uint32_t *queue)
{
	Xskd__GrantLeaseRequest m = EMPTY(grant_lease_request);

	m.container = str(container);
	m.interface = str("net1");
	m.device = str("host0");
	m.netns_fd = 1;
	m.queues = queue;
	m.n_queues = 1;
	return begin(&w, &w.admin, CASE(GRANT_LEASE), &m,
		     !strcmp(container, "a") ? &w.pod_a : &w.pod_b, 1);
}

static void a_program_that_comes_while_a_lease_is_granted_serves_it(void **state)
{
	uint32_t queue = 1, id;
	struct call *call = begin_grant("a", &queue);

	(void)state;
	assert_false(go(call, true)); /* it has looked: there is none */
	id = world_load_transient(&w, fake_netns_home(), "host0");
	assert_int_equal(code_of(finish(call, true)), XSKD__CODE__OK);
	assert_int_equal(leases_of(id), 1);
}

/* ---- on its way out ---- */

static void one_that_is_leaving_serves_nobody(void **state)
{
	uint32_t id = world_load_transient(&w, w.pod_a, "eth0"), other = shared();
	Xskd__UnloadProgramRequest m, n;
	struct call *first, *second;

	(void)state;
	assert_int_equal(grant_code(w.pod_a, "a", "eth0", "", NULL, 0), XSKD__CODE__OK);
	init_unload(&m, id, true);
	init_unload(&n, other, true);
	first = begin(&w, &w.admin, CASE(UNLOAD_PROGRAM), &m, NULL, 0);
	second = begin(&w, &w.admin, CASE(UNLOAD_PROGRAM), &n, NULL, 0);
	assert_false(go(first, false));
	assert_false(go(second, false));

	assert_int_equal(code_of(world_handoff(&w, &w.a, QUEUES(0), false)),
			 XSKD__CODE__FAILED_PRECONDITION);
	assert_int_equal(code_of(map(&w.a, "eth0", 0)), XSKD__CODE__FAILED_PRECONDITION);
	assert_int_equal(code_of(map(&w.admin, "", id)), XSKD__CODE__UNAVAILABLE);
	assert_int_equal(unload_code(id, true), XSKD__CODE__UNAVAILABLE);
	assert_int_equal(code_of(load("host0")), XSKD__CODE__UNAVAILABLE);
	assert_int_equal(grant_code(w.pod_b, "b", "net2", "host0", QUEUES(5)), XSKD__CODE__OK);
	assert_int_equal(lease_by_key(&w.core, "b", "net2")->m->program_id, 0);
	world_sweep(&w);
	assert_int_equal(w.core.programs.n, 2);

	assert_int_equal(code_of(finish(first, true)), XSKD__CODE__OK);
	assert_int_equal(code_of(finish(second, true)), XSKD__CODE__OK);
	assert_int_equal(w.core.programs.n, 0);
	other = world_load_transient(&w, fake_netns_home(), "host0");
	assert_int_equal(leases_of(other), 3);
}

/* A socket receives through it: it was not unloaded after all. */
static void one_that_stays_serves_all_again(void **state)
{
	uint32_t id = shared();
	struct answer held = world_handoff(&w, &w.b, QUEUES(2), false);
	Xskd__UnloadProgramRequest m;
	struct call *call;

	(void)state;
	init_unload(&m, id, false);
	call = begin(&w, &w.admin, CASE(UNLOAD_PROGRAM), &m, NULL, 0);
	assert_false(go(call, false));
	assert_int_equal(grant_code(w.pod_a, "a", "net2", "host0", QUEUES(5)), XSKD__CODE__OK);
	assert_int_equal(code_of(finish(call, true)), XSKD__CODE__FAILED_PRECONDITION);
	assert_int_equal(leases_of(id), 3);
	assert_int_equal(lease_by_key(&w.core, "a", "net2")->m->program_id, id);
	assert_int_equal(code_of(map(&w.admin, "", id)), XSKD__CODE__OK);
	answer_done(&held);
	assert_int_equal(unload_code(id, false), XSKD__CODE__OK);
}

/* The end of a program that another call unloads is that call's affair. */
static void a_revocation_leaves_one_alone_that_is_leaving(void **state)
{
	uint32_t id = shared();
	Xskd__UnloadProgramRequest m;
	struct call *call;

	(void)state;
	init_unload(&m, id, true);
	call = begin(&w, &w.admin, CASE(UNLOAD_PROGRAM), &m, NULL, 0);
	assert_false(go(call, false));
	assert_int_equal(revoked("a", ""), 1);
	assert_int_equal(revoked("b", ""), 1);
	assert_int_equal(w.core.programs.n, 1);
	assert_int_equal(code_of(finish(call, true)), XSKD__CODE__OK);
	assert_nothing_left();
}

static void a_hand_off_that_meets_the_end_is_aborted(void **state)
{
	cleanup(close_fdp) int umem = world_umem(16 * 2048);
	uint32_t id = shared(), queue = 2;
	Xskd__HandOffSocketRequest h;
	Xskd__UnloadProgramRequest m;
	struct call *handoff, *unload;

	(void)state;
	init_handoff(&h, "net1");
	h.queues = &queue;
	h.n_queues = 1;
	handoff = begin(&w, &w.b, CASE(HAND_OFF_SOCKET), &h, &umem, 1);
	assert_false(go(handoff, true));
	init_unload(&m, id, true);
	unload = begin(&w, &w.admin, CASE(UNLOAD_PROGRAM), &m, NULL, 0);
	assert_false(go(unload, false));
	assert_int_equal(code_of(finish(handoff, true)), XSKD__CODE__ABORTED);
	assert_int_equal(code_of(finish(unload, true)), XSKD__CODE__OK);
	assert_int_equal(w.core.socks.n, 0);
	assert_int_equal(fake_sockets(), 0);
}

/* ---- what must not be interrupted ---- */

/* Its state file is being written: removed meanwhile, it would come back. */
static void one_that_is_being_leased_stays(void **state)
{
	uint32_t id = world_load_transient(&w, fake_netns_home(), "host0"), queue = 1;
	struct call *call = begin_grant("a", &queue);

	(void)state;
	assert_false(go(call, true));
	assert_false(go(call, false));
	expire(id);
	world_sweep(&w);
	assert_int_equal(unload_code(id, true), XSKD__CODE__UNAVAILABLE);
	assert_int_equal(code_of(finish(call, true)), XSKD__CODE__OK);
	assert_int_equal(leases_of(id), 1);
	assert_int_equal(revoked("a", ""), 1);
	assert_nothing_left();
}

static void a_grant_that_fails_lets_it_go(void **state)
{
	uint32_t id = shared(), queue = 1;
	struct call *call = begin_grant("a", &queue);

	(void)state;
	assert_int_equal(code_of(finish(call, true)), XSKD__CODE__OK); /* there already */
	queue = 2;
	call = begin_grant("a", &queue);
	assert_int_equal(code_of(finish(call, true)), XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(grant_code(w.pod_a, "c", "net2", "host0", QUEUES(2)),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(unload_code(id, true), XSKD__CODE__OK);
}

static void a_map_that_is_being_given_keeps_it_until_the_sweep(void **state)
{
	Xskd__GetXskMapRequest m = EMPTY(get_xsk_map_request);
	struct call *call;

	(void)state;
	world_load_transient(&w, w.pod_a, "eth0");
	world_grant(&w, w.pod_a, "a", "eth0", NULL, NULL, 0);
	m.interface = str("eth0");
	call = begin(&w, &w.a, CASE(GET_XSK_MAP), &m, NULL, 0);
	assert_false(go(call, false));
	assert_int_equal(revoked("a", ""), 1);
	assert_int_equal(w.core.programs.n, 1);
	assert_int_equal(code_of(finish(call, true)), XSKD__CODE__ABORTED);
	world_sweep(&w);
	assert_nothing_left();
}

/* ---- failures ---- */

static void what_cannot_be_removed_is_removed_by_a_sweep(void **state)
{
	uint32_t id = shared();

	(void)state;
	assert_int_equal(revoked("a", ""), 1);
	fake_kernel_fail(1, EIO);
	assert_int_not_equal(code_of(revoke_leases("b", "")), XSKD__CODE__OK);
	assert_int_equal(w.core.leases.n, 0); /* the lease has ended all the same */
	assert_int_equal(leases_of(id), 0);
	fake_kernel_fail(1, EIO);
	world_sweep(&w);
	assert_int_equal(w.core.programs.n, 1);
	world_sweep(&w);
	assert_nothing_left();
}

/* The worker had no memory to begin. */
static void a_sweep_that_is_not_run_changes_nothing(void **state)
{
	uint32_t id = world_load_transient(&w, fake_netns_home(), "host0");
	struct sweep *sweep;

	(void)state;
	expire(id);
	sweep = sweep_new(&w.core, SWEEP_ALL);
	assert_non_null(sweep);
	assert_int_equal(grant_code(w.pod_a, "a", "net1", "host0", QUEUES(1)), XSKD__CODE__OK);
	assert_int_equal(leases_of(id), 0);
	sweep_free(sweep);
	assert_int_equal(leases_of(id), 1);
	assert_int_equal(revoked("a", ""), 1);
	assert_nothing_left();
}

/* A pod may ask for it, and what it waits for then are its own workers. */
static void a_look_at_sockets_leaves_programs_alone_and_is_not_due_again(void **state)
{
	uint32_t id = world_load_transient(&w, fake_netns_home(), "host0");
	struct sweep *sweep;
	struct answer a;

	(void)state;
	world_load(&w, w.pod_a, "eth0");
	world_grant(&w, w.pod_a, "a", "eth0", NULL, NULL, 0);
	a = world_handoff(&w, &w.a, QUEUES(0), false);
	expire(id);
	memset(&w.core.swept, 0, sizeof(w.core.swept));
	assert_true(sweep_due(&w.core));
	sweep = sweep_new(&w.core, SWEEP_SOCKETS);
	assert_non_null(sweep);
	assert_false(sweep_due(&w.core)); /* already now, and not when it has ended */
	assert_false(program_find(&w.core, id)->leaving);
	sweep_free(sweep);
	answer_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(it_goes_with_its_last_lease),
		world_test(others_stay),
		world_test(all_leases_of_a_container_take_all_its_programs),
		world_test(it_goes_with_the_namespace_of_its_last_lease),
		world_test(a_lease_found_stale_takes_its_program_at_the_first_sweep),
		world_test(it_waits_for_its_first_lease),
		world_test(a_lease_in_time_ends_the_wait),
		world_test(leases_that_were_granted_before_count),
		world_test(a_program_that_comes_while_a_lease_is_granted_serves_it),
		world_test(one_that_is_leaving_serves_nobody),
		world_test(one_that_stays_serves_all_again),
		world_test(a_revocation_leaves_one_alone_that_is_leaving),
		world_test(a_hand_off_that_meets_the_end_is_aborted),
		world_test(one_that_is_being_leased_stays),
		world_test(a_grant_that_fails_lets_it_go),
		world_test(a_map_that_is_being_given_keeps_it_until_the_sweep),
		world_test(what_cannot_be_removed_is_removed_by_a_sweep),
		world_test(a_sweep_that_is_not_run_changes_nothing),
		world_test(a_look_at_sockets_leaves_programs_alone_and_is_not_due_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
