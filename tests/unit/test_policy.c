// SPDX-License-Identifier: Apache-2.0
/* Who gets what: leases, maps, sockets. */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "world.h"

#define CASE(name) XSKD__REQUEST__CALL_##name
#define QUEUES(...) \
	(const uint32_t[]){ __VA_ARGS__ }, ARRAY_SIZE(((const uint32_t[]){ __VA_ARGS__ }))

static struct world w;

static int begin_test(void **state)
{
	int err = fds_before(state);

	world_init(&w);
	return err;
}

static int end_test(void **state)
{
	world_done(&w);
	return fds_after(state);
}

#define world_test(f) cmocka_unit_test_setup_teardown(f, begin_test, end_test)

/* The code of an answer that is not looked at further; where it is an error, it says why. */
static int code_of(struct answer a)
{
	int code = answer_code(&a);
	bool says_why = code == XSKD__CODE__OK || *answer_text(&a);

	answer_done(&a);
	assert_true(says_why);
	return code;
}

/* ---- leases ---- */

static struct answer grant(int netns, const char *container, const char *interface,
			   const char *device, const uint32_t *queues, size_t n)
{
	Xskd__GrantLeaseRequest m = EMPTY(grant_lease_request);

	m.container = str(container);
	m.interface = str(interface);
	m.device = str(device);
	m.queues = (uint32_t *)(uintptr_t)queues;
	m.n_queues = n;
	m.netns_fd = 1;
	return ask(&w, &w.admin, CASE(GRANT_LEASE), &m, &netns, 1);
}

static int grant_code(int netns, const char *container, const char *interface, const char *device,
		      const uint32_t *queues, size_t n)
{
	return code_of(grant(netns, container, interface, device, queues, n));
}

static struct answer revoke_leases(const char *container, const char *interface)
{
	Xskd__RevokeLeaseRequest m = EMPTY(revoke_lease_request);

	m.container = str(container);
	m.interface = str(interface);
	return ask(&w, &w.admin, CASE(REVOKE_LEASE), &m, NULL, 0);
}

static void a_lease_of_a_device_has_all_its_queues(void **state)
{
	struct answer a = grant(w.pod_a, "a", "eth0", "", NULL, 0);
	const Xskd__Lease *l = a.m->grant_lease->lease;

	(void)state;
	assert_int_equal(l->mode, XSKD__LEASE_MODE__LEASE_MODE_DEVICE);
	assert_true(l->all_queues);
	assert_int_equal(l->n_queues, 4);
	assert_int_equal(l->netns_cookie, w.a.cookie);
	assert_int_equal(l->ifindex, w.eth_a->dev.ifindex);
	assert_string_equal(l->device, "eth0");
	assert_int_equal(l->program_id, 0);
	assert_true(l->link_up);
	answer_done(&a);
}

static void a_lease_of_queues_is_of_the_hosts_device(void **state)
{
	struct answer a = grant(w.pod_b, "b", "net1", "host0", QUEUES(2, 3));
	const Xskd__Lease *l = a.m->grant_lease->lease;

	(void)state;
	assert_int_equal(l->mode, XSKD__LEASE_MODE__LEASE_MODE_QUEUE);
	assert_false(l->all_queues);
	assert_int_equal(l->n_queues, 2);
	assert_int_equal(l->netns_cookie, w.b.cookie);
	assert_int_equal(l->ifindex, w.host0->dev.ifindex);
	assert_string_equal(l->interface, "net1");
	assert_string_equal(l->device, "host0");
	answer_done(&a);
}

static uint64_t granted_id(struct answer a)
{
	uint64_t id = a.m->grant_lease ? a.m->grant_lease->lease->id : 0;

	answer_done(&a);
	return id;
}

static void granting_the_same_again_answers_with_the_same(void **state)
{
	uint64_t first = granted_id(grant(w.pod_b, "b", "net1", "host0", QUEUES(2, 3)));
	uint64_t whole = granted_id(grant(w.pod_a, "a", "eth0", "", NULL, 0));

	(void)state;
	assert_int_equal(granted_id(grant(w.pod_b, "b", "net1", "host0", QUEUES(2, 3))), first);
	assert_int_equal(granted_id(grant(w.pod_a, "a", "eth0", "", NULL, 0)), whole);
	assert_int_equal(granted_id(grant(w.pod_a, "a", "eth0", "", QUEUES(0, 1, 2, 3))), whole);
	assert_int_equal(w.core.leases.n, 2);
}

static void the_same_key_with_something_else_is_refused(void **state)
{
	(void)state;
	world_grant(&w, w.pod_b, "b", "net1", "host0", QUEUES(2, 3));
	assert_int_equal(grant_code(w.pod_b, "b", "net1", "host0", QUEUES(2)),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(grant_code(w.pod_b, "b", "net1", "host0", NULL, 0),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(grant_code(w.pod_b, "b", "net1", "host1", QUEUES(0)),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(grant_code(w.pod_a, "b", "net1", "host0", QUEUES(2, 3)),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(w.core.leases.n, 1);
}

static void an_interface_of_a_namespace_has_one_lease(void **state)
{
	(void)state;
	world_grant(&w, w.pod_a, "a", "eth0", NULL, NULL, 0);
	assert_int_equal(grant_code(w.pod_a, "other", "eth0", "", NULL, 0),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(grant_code(w.pod_a, "other", "eth0", "host0", QUEUES(0)),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(grant_code(w.pod_b, "other", "eth0", "", NULL, 0), XSKD__CODE__OK);
}

static void queues_do_not_overlap(void **state)
{
	(void)state;
	world_grant(&w, w.pod_b, "b", "net1", "host0", QUEUES(2, 3));
	assert_int_equal(grant_code(w.pod_a, "a", "net1", "host0", QUEUES(3, 4)),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(grant_code(w.pod_a, "a", "net1", "host0", NULL, 0),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(grant_code(w.pod_a, "a", "net1", "host0", QUEUES(0, 1, 4)),
			 XSKD__CODE__OK);
	assert_int_equal(grant_code(w.pod_a, "a", "net2", "host0", QUEUES(5, 8)),
			 XSKD__CODE__INVALID_ARGUMENT); /* 0 to 7 */
	assert_int_equal(grant_code(w.pod_a, "a", "net2", "host0", QUEUES(5, 7)), XSKD__CODE__OK);
}

static void queues_are_named_in_order_and_once(void **state)
{
	(void)state;
	assert_int_equal(grant_code(w.pod_b, "b", "net1", "host0", QUEUES(3, 2)),
			 XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(grant_code(w.pod_b, "b", "net1", "host0", QUEUES(2, 2)),
			 XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(w.core.leases.n, 0);
}

static void there_is_no_lease_for_the_hosts_namespace(void **state)
{
	Xskd__GrantLeaseRequest m = EMPTY(grant_lease_request);

	(void)state;
	assert_int_equal(grant_code(fake_netns_home(), "h", "host0", "", NULL, 0),
			 XSKD__CODE__INVALID_ARGUMENT);
	m.container = str("h");
	m.interface = str("host0");
	assert_int_equal(code_of(ask(&w, &w.admin, CASE(GRANT_LEASE), &m, NULL, 0)),
			 XSKD__CODE__INVALID_ARGUMENT);
}

static void there_is_no_lease_of_a_device_that_is_not_there(void **state)
{
	(void)state;
	assert_int_equal(grant_code(w.pod_a, "a", "eth7", "", NULL, 0), XSKD__CODE__NOT_FOUND);
	assert_int_equal(grant_code(w.pod_a, "a", "net1", "host7", NULL, 0), XSKD__CODE__NOT_FOUND);
	assert_int_equal(w.core.leases.n, 0);
}

static void labels_have_bounds(void **state)
{
	Xskd__GrantLeaseRequest__LabelsEntry entries[17], *list[17];
	Xskd__GrantLeaseRequest m = EMPTY(grant_lease_request);
	char longest[258];
	struct answer a;

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[257] = '\0';
	m.container = str("a");
	m.interface = str("eth0");
	m.netns_fd = 1;
	m.labels = list;
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		xskd__grant_lease_request__labels_entry__init(&entries[i]);
		entries[i].key = entries[i].value = longest + 1;
		list[i] = &entries[i];
	}
	m.n_labels = 17;
	assert_int_equal(code_of(ask(&w, &w.admin, CASE(GRANT_LEASE), &m, &w.pod_a, 1)),
			 XSKD__CODE__INVALID_ARGUMENT);
	m.n_labels = 16;
	entries[3].value = longest;
	assert_int_equal(code_of(ask(&w, &w.admin, CASE(GRANT_LEASE), &m, &w.pod_a, 1)),
			 XSKD__CODE__INVALID_ARGUMENT);
	entries[3].value = str("");
	entries[3].key = str("");
	assert_int_equal(code_of(ask(&w, &w.admin, CASE(GRANT_LEASE), &m, &w.pod_a, 1)),
			 XSKD__CODE__INVALID_ARGUMENT);
	entries[3].key = str("pod");
	a = ask(&w, &w.admin, CASE(GRANT_LEASE), &m, &w.pod_a, 1);
	assert_int_equal(a.m->grant_lease->lease->n_labels, 16);
	assert_string_equal(a.m->grant_lease->lease->labels[3]->key, "pod");
	answer_done(&a);
}

static uint32_t revoked(const char *container, const char *interface)
{
	struct answer a = revoke_leases(container, interface);
	uint32_t n = a.m->revoke_lease->revoked;

	answer_done(&a);
	return n;
}

static void revoking_takes_what_is_named_and_no_more(void **state)
{
	(void)state;
	world_grant(&w, w.pod_a, "a", "eth0", NULL, NULL, 0);
	world_grant(&w, w.pod_a, "a", "net1", "host0", QUEUES(0));
	world_grant(&w, w.pod_a, "a", "net2", "host0", QUEUES(1));
	world_grant(&w, w.pod_b, "b", "net1", "host0", QUEUES(2));
	assert_int_equal(revoked("a", "net1"), 1);
	assert_int_equal(revoked("a", "net1"), 0);
	assert_int_equal(revoked("nobody", ""), 0);
	assert_int_equal(revoked("a", ""), 2);
	assert_int_equal(w.core.leases.n, 1);
	assert_int_equal(w.core.leases_by_netns.n, 1);
}

static void what_was_revoked_can_be_granted_again(void **state)
{
	(void)state;
	world_grant(&w, w.pod_b, "b", "net1", "host0", QUEUES(2, 3));
	assert_int_equal(revoked("b", ""), 1);
	assert_int_equal(grant_code(w.pod_a, "a", "net1", "host0", QUEUES(3)), XSKD__CODE__OK);
}

static void leases_survive_the_daemon(void **state)
{
	char *before, *after;

	(void)state;
	world_pods(&w);
	before = world_print(&w);
	world_restart(&w);
	after = world_print(&w);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

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

/* ---- hand-off ---- */

static void init_handoff(Xskd__HandOffSocketRequest *m, const char *interface)
{
	xskd__hand_off_socket_request__init(m);
	m->interface = str(interface);
	m->umem_fd = 1;
}

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

/* ---- in two phases ---- */

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
		assert_non_null(program_add(&w.core, message_clone(&p), 1, -1));
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
		world_test(a_lease_of_a_device_has_all_its_queues),
		world_test(a_lease_of_queues_is_of_the_hosts_device),
		world_test(granting_the_same_again_answers_with_the_same),
		world_test(the_same_key_with_something_else_is_refused),
		world_test(an_interface_of_a_namespace_has_one_lease),
		world_test(queues_do_not_overlap),
		world_test(queues_are_named_in_order_and_once),
		world_test(there_is_no_lease_for_the_hosts_namespace),
		world_test(there_is_no_lease_of_a_device_that_is_not_there),
		world_test(labels_have_bounds),
		world_test(revoking_takes_what_is_named_and_no_more),
		world_test(what_was_revoked_can_be_granted_again),
		world_test(leases_survive_the_daemon),
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
		world_test(others_sockets_are_as_unknown_as_none),
		world_test(all_are_released_or_none),
		world_test(releasing_a_kept_socket_drops_the_copy),
		world_test(a_release_takes_nobody_elses_socket_out),
		world_test(two_grants_of_one_interface_at_once),
		world_test(two_grants_of_one_key_at_once),
		world_test(a_revocation_takes_no_later_lease_with_it),
		world_test(lists_show_a_pod_its_own),
		world_test(long_lists_come_in_pages),
		world_test(programs_come_in_pages),
		world_test(statistics_are_of_ones_own_queues),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
