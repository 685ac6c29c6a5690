// SPDX-License-Identifier: Apache-2.0
/*
 * Each method with each thing that it needs refused, one after the other: whatever failed, the
 * client gets a status that says why, and the daemon, the kernel and the disk are as they were
 * before or as they are after a success.
 */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "scarce.h"
#include "world.h"

#define CASE(name) XSKD__REQUEST__CALL_##name
#define KERNEL     SCARCE_KINDS /* the fake kernel's own calls fail */
#define TRIES_MAX  400

static struct world w;
static int umem, object;
static uint64_t ids[2];
static struct answer held; /* of what went before the call: a client holds it */

enum change {
	CHANGES_NOTHING, /* the state after a success is the one before */
	CHANGES,
	CHANGES_IN_TIME, /* what it could not finish, a sweep does */
	/*
	 * A socket that was bound cannot be unbound: then all of the hand-off has to be forgotten.
	 */
	CHANGES_OR_ENDS,
};

struct scenario {
	const char *name;
	void (*prepare)(void);
	struct answer (*act)(void);
	enum change change;
};

/* ---- the calls ---- */

static void two_phases(void)
{
	world_pods(&w);
	w.core.features.full_handoff = false;
}

static struct answer act_info(void)
{
	Xskd__GetInfoRequest m = EMPTY(get_info_request);

	return ask(&w, &w.a, CASE(GET_INFO), &m, NULL, 0);
}

static struct answer act_load(void)
{
	Xskd__LoadProgramRequest m = EMPTY(load_program_request);

	m.interface = str("eth0");
	m.netns_fd = 1;
	return ask(&w, &w.admin, CASE(LOAD_PROGRAM), &m, &w.pod_a, 1);
}

static struct answer act_load_object(void)
{
	Xskd__LoadProgramRequest m = EMPTY(load_program_request);
	Xskd__Constant c = EMPTY(constant), *list[] = { &c };

	c.name = str("limit");
	m.interface = str("host0");
	m.object_fd = 1;
	m.constants = list;
	m.n_constants = 1;
	return ask(&w, &w.admin, CASE(LOAD_PROGRAM), &m, &object, 1);
}

static struct answer act_unload(void)
{
	Xskd__UnloadProgramRequest m = EMPTY(unload_program_request);

	m.interface = str("host0");
	return ask(&w, &w.admin, CASE(UNLOAD_PROGRAM), &m, NULL, 0);
}

static struct answer act_list_programs(void)
{
	Xskd__ListProgramsRequest m = EMPTY(list_programs_request);

	return ask(&w, &w.admin, CASE(LIST_PROGRAMS), &m, NULL, 0);
}

static struct answer act_get_program(void)
{
	Xskd__GetProgramRequest m = EMPTY(get_program_request);

	m.interface = str("eth0");
	m.netns_fd = 1;
	return ask(&w, &w.admin, CASE(GET_PROGRAM), &m, &w.pod_a, 1);
}

static void prepare_grant(void)
{
	world_load(&w, w.pod_a, "eth0");
}

static struct answer act_grant(void)
{
	Xskd__GrantLeaseRequest m = EMPTY(grant_lease_request);
	Xskd__GrantLeaseRequest__LabelsEntry label, *list[] = { &label };

	xskd__grant_lease_request__labels_entry__init(&label);
	label.key = label.value = str("pod");
	m.container = str("a");
	m.interface = str("eth0");
	m.netns_fd = 1;
	m.labels = list;
	m.n_labels = 1;
	return ask(&w, &w.admin, CASE(GRANT_LEASE), &m, &w.pod_a, 1);
}

static struct answer act_grant_queues(void)
{
	Xskd__GrantLeaseRequest m = EMPTY(grant_lease_request);
	uint32_t queues[] = { 4, 5 };

	m.container = str("a");
	m.interface = str("net1");
	m.device = str("host0");
	m.netns_fd = 1;
	m.queues = queues;
	m.n_queues = 2;
	return ask(&w, &w.admin, CASE(GRANT_LEASE), &m, &w.pod_a, 1);
}

static struct answer act_grant_count(void)
{
	Xskd__GrantLeaseRequest m = EMPTY(grant_lease_request);

	m.container = str("a");
	m.interface = str("net1");
	m.device = str("host0");
	m.netns_fd = 1;
	m.queue_count = 3;
	return ask(&w, &w.admin, CASE(GRANT_LEASE), &m, &w.pod_a, 1);
}

/* Two programs that serve one container, and nobody else. */
static void prepare_transient(void)
{
	world_load_transient(&w, fake_netns_home(), "host0");
	world_load_transient(&w, w.pod_b, "eth0");
	world_grant(&w, w.pod_b, "b", "net1", "host0", (const uint32_t[]){ 2, 3 }, 2);
	world_grant(&w, w.pod_b, "b", "eth0", NULL, NULL, 0);
	held = world_handoff(&w, &w.b, (const uint32_t[]){ 2 }, 1, false);
}

static void prepare_held(void)
{
	world_pods(&w);
	held = world_handoff(&w, &w.b, (const uint32_t[]){ 2, 3 }, 2, false);
	ids[0] = held.m->hand_off_socket->sockets[0]->id;
	ids[1] = held.m->hand_off_socket->sockets[1]->id;
}

static void prepare_kept(void)
{
	world_pods(&w);
	held = world_handoff(&w, &w.b, (const uint32_t[]){ 2, 3 }, 2, true);
	ids[0] = held.m->hand_off_socket->sockets[0]->id;
	ids[1] = held.m->hand_off_socket->sockets[1]->id;
}

static struct answer act_revoke(void)
{
	Xskd__RevokeLeaseRequest m = EMPTY(revoke_lease_request);

	m.container = str("b");
	return ask(&w, &w.admin, CASE(REVOKE_LEASE), &m, NULL, 0);
}

static struct answer act_list_leases(void)
{
	Xskd__ListLeasesRequest m = EMPTY(list_leases_request);

	return ask(&w, &w.a, CASE(LIST_LEASES), &m, NULL, 0);
}

static struct answer act_map(void)
{
	Xskd__GetXskMapRequest m = EMPTY(get_xsk_map_request);

	m.interface = str("eth0");
	return ask(&w, &w.a, CASE(GET_XSK_MAP), &m, NULL, 0);
}

static struct answer handoff(bool keep, bool unbound)
{
	Xskd__HandOffSocketRequest m = EMPTY(hand_off_socket_request);
	uint32_t queues[] = { 1, 3 };

	m.interface = str("eth0");
	m.queues = queues;
	m.n_queues = 2;
	m.umem_fd = !unbound;
	m.keep = keep;
	m.unbound = unbound;
	return ask(&w, &w.a, CASE(HAND_OFF_SOCKET), &m, &umem, unbound ? 0 : 1);
}

static struct answer act_handoff(void)
{
	return handoff(false, false);
}

static struct answer act_keep(void)
{
	return handoff(true, false);
}

static struct answer act_unbound(void)
{
	return handoff(false, true);
}

static struct answer act_resume(void)
{
	Xskd__HandOffSocketRequest m = EMPTY(hand_off_socket_request);
	uint32_t queues[] = { 2, 3 };

	m.interface = str("net1");
	m.queues = queues;
	m.n_queues = 2;
	m.keep = m.only_resume = true;
	return ask(&w, &w.b, CASE(HAND_OFF_SOCKET), &m, NULL, 0);
}

static void prepare_half(void)
{
	two_phases();
	held = world_handoff(&w, &w.b, (const uint32_t[]){ 2, 3 }, 2, false);
	ids[0] = held.m->hand_off_socket->sockets[0]->id;
	ids[1] = held.m->hand_off_socket->sockets[1]->id;
}

static struct answer act_bind(void)
{
	Xskd__BindSocketRequest m = EMPTY(bind_socket_request);

	m.sockets = ids;
	m.n_sockets = 2;
	return ask(&w, &w.b, CASE(BIND_SOCKET), &m, NULL, 0);
}

static struct answer act_release(void)
{
	Xskd__ReleaseSocketRequest m = EMPTY(release_socket_request);

	m.sockets = ids;
	m.n_sockets = 2;
	return ask(&w, &w.b, CASE(RELEASE_SOCKET), &m, NULL, 0);
}

static struct answer act_list_sockets(void)
{
	Xskd__ListSocketsRequest m = EMPTY(list_sockets_request);

	return ask(&w, &w.b, CASE(LIST_SOCKETS), &m, NULL, 0);
}

static struct answer act_stats(void)
{
	Xskd__GetStatsRequest m = EMPTY(get_stats_request);

	m.interface = str("net1");
	return ask(&w, &w.b, CASE(GET_STATS), &m, NULL, 0);
}

static struct answer act_watch(void)
{
	Xskd__WatchEventsRequest m = EMPTY(watch_events_request);

	return ask(&w, &w.a, CASE(WATCH_EVENTS), &m, NULL, 0);
}

static void prepare_pods(void)
{
	world_pods(&w);
}

static void prepare_nothing(void)
{
}

static const struct scenario scenarios[] = {
	{ "GetInfo", prepare_pods, act_info, CHANGES_NOTHING },
	{ "LoadProgram", prepare_nothing, act_load, CHANGES },
	{ "LoadProgram, object", prepare_nothing, act_load_object, CHANGES },
	{ "UnloadProgram", prepare_pods, act_unload, CHANGES },
	{ "ListPrograms", prepare_pods, act_list_programs, CHANGES_NOTHING },
	{ "GetProgram", prepare_pods, act_get_program, CHANGES_NOTHING },
	{ "GrantLease", prepare_grant, act_grant, CHANGES },
	{ "GrantLease, queues", prepare_pods, act_grant_queues, CHANGES },
	{ "GrantLease, count", prepare_pods, act_grant_count, CHANGES },
	{ "RevokeLease", prepare_held, act_revoke, CHANGES },
	{ "RevokeLease, kept", prepare_kept, act_revoke, CHANGES },
	{ "RevokeLease, transient", prepare_transient, act_revoke, CHANGES_IN_TIME },
	{ "ListLeases", prepare_pods, act_list_leases, CHANGES_NOTHING },
	{ "GetXskMap", prepare_pods, act_map, CHANGES },
	{ "HandOffSocket", prepare_pods, act_handoff, CHANGES },
	{ "HandOffSocket, keep", prepare_pods, act_keep, CHANGES },
	{ "HandOffSocket, unbound", prepare_pods, act_unbound, CHANGES },
	{ "HandOffSocket, resume", prepare_kept, act_resume, CHANGES_NOTHING },
	{ "HandOffSocket, two phases", two_phases, act_handoff, CHANGES },
	{ "BindSocket", prepare_half, act_bind, CHANGES_OR_ENDS },
	{ "ReleaseSocket", prepare_held, act_release, CHANGES },
	{ "ListSockets", prepare_held, act_list_sockets, CHANGES_NOTHING },
	{ "GetStats", prepare_kept, act_stats, CHANGES_NOTHING },
	{ "WatchEvents", prepare_pods, act_watch, CHANGES },
};

/* ---- the trial ---- */

struct trial {
	int code;
	bool has_text, has_failed;
	size_t socks;
	char *before, *after;
};

static void fail_at(int what, unsigned int nth)
{
	scarce_from(what == KERNEL ? SCARCE_MEMORY : (enum scarce)what, what == KERNEL ? 0 : nth);
	fake_kernel_fail(what == KERNEL ? nth : 0, EIO);
}

static void try_one(const struct scenario *s, int what, unsigned int nth, struct trial *out)
{
	struct answer a;

	held = (struct answer){ .refused = 0 };
	world_init(&w);
	s->prepare();
	out->before = world_print(&w);
	fail_at(what, nth);
	a = s->act();
	out->has_failed = scarce_end();
	if (what == KERNEL)
		out->has_failed = fake_kernel_failed();
	fake_kernel_fail(0, 0);
	out->code = answer_code(&a);
	out->has_text = a.refused || *answer_text(&a);
	if (s->change == CHANGES_IN_TIME)
		world_sweep(&w);
	out->after = world_print(&w);
	out->socks = w.core.socks.n;
	answer_done(&a);
	answer_done(&held);
	world_done(&w);
}

static void trial_done(struct trial *t)
{
	free(t->before);
	free(t->after);
}

/* Return: whether all was as it must be. */
static bool judge(const struct scenario *s, int what, unsigned int nth, const struct trial *t,
		  const struct trial *good)
{
	static const char *const names[] = { "memory", "fd", "file", "kernel call" };
	bool as_it_was = !strcmp(t->after, good->before), done = !strcmp(t->after, good->after);
	bool told = t->code == XSKD__CODE__OK || t->has_text;

	if (told && (as_it_was || done || (s->change == CHANGES_OR_ENDS && !t->socks)))
		return true;
	fprintf(stderr,
		"%s, %s %u fails: code %d%s, and left is neither of\n%s--- or\n%s--- but\n%s",
		s->name, names[what], nth, t->code, told ? "" : " without a text", good->before,
		good->after, t->after);
	return false;
}

static bool try_all(const struct scenario *s, int what)
{
	struct trial good, t;
	bool all_good = true, more = true;

	try_one(s, what, 0, &good);
	all_good = good.code == XSKD__CODE__OK && !good.has_failed &&
		   (s->change != CHANGES_NOTHING) == (strcmp(good.before, good.after) != 0);
	if (!all_good)
		fprintf(stderr, "%s does not succeed: %d\n%s---\n%s", s->name, good.code,
			good.before, good.after);
	for (unsigned int nth = 1; more && all_good; nth++) {
		try_one(s, what, nth, &t);
		more = t.has_failed && nth < TRIES_MAX;
		all_good = judge(s, what, nth, &t, &good) &&
			   (t.has_failed || t.code == XSKD__CODE__OK) && nth < TRIES_MAX;
		trial_done(&t);
	}
	trial_done(&good);
	return all_good;
}

static void try_scenarios(int what)
{
	unsigned int bad = 0;

	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++)
		bad += !try_all(&scenarios[i], what);
	assert_int_equal(bad, 0);
}

/* ---- the start over what is there ---- */

/*
 * Return: whether something was refused. Then the daemon has either not started, or started as
 * ever; in both cases the next one finds all that was there.
 */
static bool start_short_of(int what, unsigned int nth, const char *good, bool *out_right)
{
	struct fault fault = FAULT_INIT;
	bool has_failed, told;
	char *after;
	int err;

	world_init(&w);
	prepare_held();
	answer_done(&held);
	world_restart(&w);
	fail_at(what, nth);
	err = world_try_restart(&w, &fault);
	has_failed = scarce_end();
	if (what == KERNEL)
		has_failed = fake_kernel_failed();
	fake_kernel_fail(0, 0);
	told = err == 0 || *fault.text;
	fault_done(&fault);
	world_restart(&w);
	after = world_print(&w);
	*out_right = told && !strcmp(after, good);
	if (!*out_right)
		fprintf(stderr, "start, %d %u fails: %d, and then there is\n%s--- not\n%s", what,
			nth, err, after, good);
	free(after);
	world_done(&w);
	return has_failed;
}

static void try_start(int what)
{
	bool right = true, more = true;
	unsigned int nth = 1;
	char *good;

	world_init(&w);
	prepare_held();
	answer_done(&held);
	world_restart(&w);
	good = world_print(&w);
	world_done(&w);
	for (; more && right && nth < TRIES_MAX; nth++)
		more = start_short_of(what, nth, good, &right);
	free(good);
	assert_true(right);
	assert_int_not_equal(nth, TRIES_MAX);
	assert_true(nth > 2);
}

static void a_start_without_memory_loses_nothing(void **state)
{
	(void)state;
	try_start(SCARCE_MEMORY);
}

static void a_start_without_descriptors_loses_nothing(void **state)
{
	(void)state;
	try_start(SCARCE_FDS);
}

static void any_kernel_call_may_fail(void **state)
{
	(void)state;
	try_scenarios(KERNEL);
}

static void memory_may_run_out_anywhere(void **state)
{
	(void)state;
	try_scenarios(SCARCE_MEMORY);
}

static void descriptors_may_run_out_anywhere(void **state)
{
	(void)state;
	try_scenarios(SCARCE_FDS);
}

static void the_disk_may_fail_anywhere(void **state)
{
	(void)state;
	try_scenarios(SCARCE_FILES);
}

static int begin_test(void **state)
{
	int err = fds_before(state);

	umem = world_umem(16 * 2048);
	object = fake_object(4);
	world_outside = scarce_pause;
	return err;
}

static int end_test(void **state)
{
	close(umem);
	close(object);
	return fds_after(state);
}

#define scarce_test(f) cmocka_unit_test_setup_teardown(f, begin_test, end_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		scarce_test(any_kernel_call_may_fail),
		scarce_test(memory_may_run_out_anywhere),
		scarce_test(descriptors_may_run_out_anywhere),
		scarce_test(the_disk_may_fail_anywhere),
		scarce_test(a_start_without_memory_loses_nothing),
		scarce_test(a_start_without_descriptors_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
