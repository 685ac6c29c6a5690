// SPDX-License-Identifier: Apache-2.0
/* Programs, and who gets their maps. */
#include "ask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- programs ---- */

static struct answer load(int netns, const char *interface, Xskd__XdpMode mode)
{
	Xskd__LoadProgramRequest m = EMPTY(load_program_request);

	m.interface = str(interface);
	m.netns_fd = 1;
	m.mode = mode;
	return ask(&w, &w.admin, CASE(LOAD_PROGRAM), &m, &netns, 1);
}

static void a_mode_is_a_contract(void **state)
{
	struct answer a;

	(void)state;
	w.eth_a->native = false;
	assert_int_equal(code_of(load(w.pod_a, "eth0", XSKD__XDP_MODE__XDP_MODE_NATIVE)),
			 XSKD__CODE__UNIMPLEMENTED);
	assert_int_equal(w.core.programs.n, 0);
	a = load(w.pod_a, "eth0", XSKD__XDP_MODE__XDP_MODE_AUTO);
	assert_int_equal(a.m->load_program->program->mode, XSKD__XDP_MODE__XDP_MODE_GENERIC);
	answer_done(&a);
	assert_int_equal(code_of(load(w.pod_b, "eth0", (Xskd__XdpMode)3)),
			 XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(code_of(load(w.pod_b, "eth0", (Xskd__XdpMode)-1)),
			 XSKD__CODE__INVALID_ARGUMENT);
	a = load(w.pod_b, "eth0", XSKD__XDP_MODE__XDP_MODE_AUTO);
	assert_int_equal(a.m->load_program->program->mode, XSKD__XDP_MODE__XDP_MODE_NATIVE);
	answer_done(&a);
}

static void a_program_that_is_there_is_not_replaced(void **state)
{
	(void)state;
	world_load(&w, w.pod_a, "eth0");
	assert_int_equal(code_of(load(w.pod_a, "eth0", 0)), XSKD__CODE__ALREADY_EXISTS);
	w.eth_b->dev.xdp_prog_id = 99;
	w.eth_b->foreign = 1;
	assert_int_equal(code_of(load(w.pod_b, "eth0", 0)), XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(w.core.programs.n, 1);
}

static struct answer unload(uint32_t id, bool force)
{
	Xskd__UnloadProgramRequest m = EMPTY(unload_program_request);

	m.id = id;
	m.force = force;
	return ask(&w, &w.admin, CASE(UNLOAD_PROGRAM), &m, NULL, 0);
}

static void a_program_that_is_in_use_is_unloaded_by_force_alone(void **state)
{
	uint32_t id = world_load(&w, w.pod_a, "eth0");
	struct answer held;

	(void)state;
	world_grant(&w, w.pod_a, "a", "eth0", NULL, NULL, 0);
	held = world_handoff(&w, &w.a, QUEUES(0), false);
	assert_int_equal(answer_code(&held), XSKD__CODE__OK);
	assert_int_equal(code_of(unload(id, false)), XSKD__CODE__FAILED_PRECONDITION);
	assert_int_equal(w.core.programs.n, 1);
	assert_int_equal(code_of(unload(id, true)), XSKD__CODE__OK);
	assert_int_equal(w.core.programs.n, 0);
	assert_int_equal(w.core.socks.n, 0);
	assert_int_equal(code_of(unload(id, true)), XSKD__CODE__NOT_FOUND);
	answer_done(&held);
}

static void a_socket_that_was_closed_does_not_hold_a_program(void **state)
{
	uint32_t id = world_load(&w, w.pod_a, "eth0");

	(void)state;
	world_grant(&w, w.pod_a, "a", "eth0", NULL, NULL, 0);
	assert_int_equal(code_of(world_handoff(&w, &w.a, QUEUES(0), false)), XSKD__CODE__OK);
	assert_int_equal(code_of(unload(id, false)), XSKD__CODE__OK);
}

static void a_program_is_found_by_id_and_by_place(void **state)
{
	Xskd__GetProgramRequest m = EMPTY(get_program_request);
	uint32_t id = world_load(&w, w.pod_a, "eth0"),
		 host = world_load(&w, fake_netns_home(), "host0");
	struct answer a;

	(void)state;
	m.interface = str("eth0");
	m.netns_fd = 1;
	a = ask(&w, &w.admin, CASE(GET_PROGRAM), &m, &w.pod_a, 1);
	assert_int_equal(a.m->get_program->program->id, id);
	answer_done(&a);
	assert_int_equal(code_of(ask(&w, &w.admin, CASE(GET_PROGRAM), &m, &w.pod_b, 1)),
			 XSKD__CODE__NOT_FOUND);
	m.netns_fd = 0;
	assert_int_equal(code_of(ask(&w, &w.admin, CASE(GET_PROGRAM), &m, NULL, 0)),
			 XSKD__CODE__NOT_FOUND);
	m.id = host;
	a = ask(&w, &w.admin, CASE(GET_PROGRAM), &m, NULL, 0);
	assert_string_equal(a.m->get_program->program->interface, "host0");
	answer_done(&a);
}

static void constants_need_an_object(void **state)
{
	Xskd__LoadProgramRequest m = EMPTY(load_program_request);
	Xskd__Constant one = EMPTY(constant), *list[65];
	cleanup(close_fdp) int object = fake_object(8);

	(void)state;
	one.name = str("limit");
	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		list[i] = &one;
	m.interface = str("host0");
	m.constants = list;
	m.n_constants = 1;
	assert_int_equal(code_of(ask(&w, &w.admin, CASE(LOAD_PROGRAM), &m, NULL, 0)),
			 XSKD__CODE__INVALID_ARGUMENT);
	m.object_fd = 1;
	m.n_constants = 65;
	assert_int_equal(code_of(ask(&w, &w.admin, CASE(LOAD_PROGRAM), &m, &object, 1)),
			 XSKD__CODE__INVALID_ARGUMENT);
	m.n_constants = 64;
	assert_int_equal(code_of(ask(&w, &w.admin, CASE(LOAD_PROGRAM), &m, &object, 1)),
			 XSKD__CODE__OK);
}

static void a_half_loaded_program_is_cleared_up_at_the_next_start(void **state)
{
	char *empty = world_print(&w), *after;

	(void)state;
	world_load(&w, w.pod_a, "eth0");
	fake_device_remove(w.eth_a); /* while the daemon was down */
	world_restart(&w);
	assert_int_equal(w.core.programs.n, 0);
	after = world_print(&w);
	assert_string_equal(empty, after);
	free(empty);
	free(after);
}

/* ---- the map ---- */

static struct answer get_map(const struct peer *peer, const char *interface, uint32_t program)
{
	Xskd__GetXskMapRequest m = EMPTY(get_xsk_map_request);

	m.interface = str(interface);
	m.program_id = program;
	return ask(&w, peer, CASE(GET_XSK_MAP), &m, NULL, 0);
}

static void the_map_is_for_who_holds_the_device(void **state)
{
	struct answer a;

	(void)state;
	world_pods(&w);
	assert_int_equal(code_of(get_map(&w.b, "net1", 0)), XSKD__CODE__FAILED_PRECONDITION);
	assert_int_equal(code_of(get_map(&w.b, "eth0", 0)), XSKD__CODE__PERMISSION_DENIED);
	assert_int_equal(code_of(get_map(&w.a, "net1", 0)), XSKD__CODE__PERMISSION_DENIED);
	for (int i = 0; i < 2; i++) { /* again, from the lease that has it */
		a = get_map(&w.a, "eth0", 0);
		assert_int_equal(answer_code(&a), XSKD__CODE__OK);
		assert_int_equal(a.m->get_xsk_map->map_fd, 1);
		assert_int_equal(a.m->get_xsk_map->entries, 4);
		assert_int_equal(fdset_left(&a.fds), 1);
		answer_done(&a);
	}
}

static void a_share_of_the_queues_gives_no_map(void **state)
{
	(void)state;
	world_load(&w, w.pod_a, "eth0");
	world_grant(&w, w.pod_a, "a", "eth0", NULL, QUEUES(0, 1, 2));
	assert_int_equal(code_of(get_map(&w.a, "eth0", 0)), XSKD__CODE__FAILED_PRECONDITION);
}

static void all_queues_of_the_hosts_device_give_no_map(void **state)
{
	(void)state;
	world_load(&w, fake_netns_home(), "host1");
	world_grant(&w, w.pod_a, "a", "net1", "host1", NULL, 0);
	assert_int_equal(code_of(get_map(&w.a, "net1", 0)), XSKD__CODE__FAILED_PRECONDITION);
}

static void programs_are_named_by_administrators_alone(void **state)
{
	uint32_t id = world_load(&w, w.pod_a, "eth0");

	(void)state;
	world_grant(&w, w.pod_a, "a", "eth0", NULL, NULL, 0);
	assert_int_equal(code_of(get_map(&w.a, "eth0", id)), XSKD__CODE__PERMISSION_DENIED);
	assert_int_equal(code_of(get_map(&w.admin, "", id)), XSKD__CODE__OK);
	assert_int_equal(code_of(get_map(&w.admin, "", id + 1)), XSKD__CODE__NOT_FOUND);
}

static void there_is_no_map_without_a_program(void **state)
{
	(void)state;
	world_grant(&w, w.pod_a, "a", "eth0", NULL, NULL, 0);
	assert_int_equal(code_of(get_map(&w.a, "eth0", 0)), XSKD__CODE__FAILED_PRECONDITION);
}

/* The device of a pod that had the map goes on to another pod. */
static void a_map_that_was_given_serves_no_other(void **state)
{
	uint32_t id = world_load(&w, w.pod_a, "eth0");

	(void)state;
	world_grant(&w, w.pod_a, "a", "eth0", NULL, NULL, 0);
	assert_int_equal(code_of(get_map(&w.a, "eth0", 0)), XSKD__CODE__OK);
	assert_int_equal(revoked("a", ""), 1);
	fake_device_remove(w.eth_b);
	fake_device_move(w.eth_a, w.pod_b);
	assert_int_equal(grant_code(w.pod_b, "b", "eth0", "", NULL, 0),
			 XSKD__CODE__FAILED_PRECONDITION);
	world_restart(&w); /* it is known for good */
	assert_int_equal(grant_code(w.pod_b, "b", "eth0", "", NULL, 0),
			 XSKD__CODE__FAILED_PRECONDITION);
	assert_int_equal(code_of(unload(id, false)), XSKD__CODE__OK);
	world_load(&w, w.pod_b, "eth0");
	assert_int_equal(grant_code(w.pod_b, "b", "eth0", "", NULL, 0), XSKD__CODE__OK);
	assert_int_equal(code_of(get_map(&w.b, "eth0", 0)), XSKD__CODE__OK);
}

/* The lease ends while a worker notes that the map is out: too late for a map. */
static void a_lease_that_ends_meanwhile_gives_no_map(void **state)
{
	Xskd__GetXskMapRequest m = EMPTY(get_xsk_map_request);
	struct call *call;

	(void)state;
	world_load(&w, w.pod_a, "eth0");
	world_grant(&w, w.pod_a, "a", "eth0", NULL, NULL, 0);
	m.interface = str("eth0");
	call = begin(&w, &w.a, CASE(GET_XSK_MAP), &m, NULL, 0);
	assert_false(go(call, true));
	assert_int_equal(revoked("a", ""), 1);
	assert_int_not_equal(code_of(finish(call, true)), XSKD__CODE__OK);
}

static void a_lease_needs_a_program_that_is_still_there(void **state)
{
	(void)state;
	world_pods(&w);
	fake_device_remove(w.eth_a);
	core_link_gone(&w.core, 101, w.eth_a->dev.ifindex);
	assert_int_equal(code_of(get_map(&w.a, "eth0", 0)), XSKD__CODE__FAILED_PRECONDITION);
	assert_int_equal(code_of(world_handoff(&w, &w.a, QUEUES(0), false)),
			 XSKD__CODE__FAILED_PRECONDITION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_mode_is_a_contract),
		world_test(a_program_that_is_there_is_not_replaced),
		world_test(a_program_that_is_in_use_is_unloaded_by_force_alone),
		world_test(a_socket_that_was_closed_does_not_hold_a_program),
		world_test(a_program_is_found_by_id_and_by_place),
		world_test(constants_need_an_object),
		world_test(a_half_loaded_program_is_cleared_up_at_the_next_start),
		world_test(the_map_is_for_who_holds_the_device),
		world_test(a_share_of_the_queues_gives_no_map),
		world_test(all_queues_of_the_hosts_device_give_no_map),
		world_test(programs_are_named_by_administrators_alone),
		world_test(there_is_no_map_without_a_program),
		world_test(a_map_that_was_given_serves_no_other),
		world_test(a_lease_that_ends_meanwhile_gives_no_map),
		world_test(a_lease_needs_a_program_that_is_still_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
