// SPDX-License-Identifier: Apache-2.0
/* Who is told of what, what happens to who does not listen, and what a start may find. */
#include "ask.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static int watch(const struct peer *peer)
{
	Xskd__WatchEventsRequest m = EMPTY(watch_events_request);
	struct answer a = ask(&w, peer, CASE(WATCH_EVENTS), &m, NULL, 0);
	int code = answer_code(&a);

	answer_done(&a);
	return code;
}

static void end_lease(const char *container)
{
	Xskd__RevokeLeaseRequest m = EMPTY(revoke_lease_request);
	struct answer a;

	m.container = str(container);
	a = ask(&w, &w.admin, CASE(REVOKE_LEASE), &m, NULL, 0);
	answer_done(&a);
}

static size_t told(const struct peer *peer, Xskd__EventKind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < w.n_told; i++)
		n += w.told[i].conn == peer->conn && w.told[i].kind == kind;
	return n;
}

static size_t told_at_all(const struct peer *peer)
{
	size_t n = 0;

	for (size_t i = 0; i < w.n_told; i++)
		n += w.told[i].conn == peer->conn;
	return n;
}

static void watchers_hear_of_their_own(void **state)
{
	struct peer stranger = world_peer(&w, fake_netns_new(), false);

	(void)state;
	assert_int_equal(watch(&w.a), XSKD__CODE__OK);
	assert_int_equal(watch(&w.b), XSKD__CODE__OK);
	assert_int_equal(watch(&w.admin), XSKD__CODE__OK);
	assert_int_equal(watch(&stranger), XSKD__CODE__OK);
	world_pods(&w);
	end_lease("a");
	assert_int_equal(told(&w.a, XSKD__EVENT_KIND__EVENT_LEASE_GRANTED), 1);
	assert_int_equal(told(&w.a, XSKD__EVENT_KIND__EVENT_LEASE_REVOKED), 1);
	assert_int_equal(told_at_all(&w.a), 2);
	assert_int_equal(told(&w.b, XSKD__EVENT_KIND__EVENT_LEASE_GRANTED), 1);
	assert_int_equal(told_at_all(&w.b), 1);
	assert_int_equal(told_at_all(&w.admin), 3);
	assert_int_equal(told_at_all(&stranger), 0);
}

static void a_connection_watches_once(void **state)
{
	(void)state;
	assert_int_equal(watch(&w.a), XSKD__CODE__OK);
	assert_int_equal(watch(&w.a), XSKD__CODE__ALREADY_EXISTS);
	world_hang_up(&w, &w.a);
	assert_int_equal(w.core.n_watchers, 0);
	world_pods(&w);
	assert_int_equal(w.n_told, 0);
}

static void changed(int nsid, const struct fake_device *device, bool up)
{
	struct device dev = device->dev;

	dev.up = up;
	core_link_changed(&w.core, nsid, &dev);
}

static void the_link_is_told_when_it_changes(void **state)
{
	int nsid;

	(void)state;
	world_pods(&w);
	assert_int_equal(watch(&w.a), XSKD__CODE__OK);
	assert_int_equal(watch(&w.b), XSKD__CODE__OK);
	assert_int_equal(netns_nsid(w.pod_a, &nsid), 0);
	changed(nsid, w.eth_a, true); /* as it was */
	assert_int_equal(w.n_told, 0);
	changed(nsid, w.eth_a, false);
	changed(nsid, w.eth_a, false);
	assert_int_equal(told(&w.a, XSKD__EVENT_KIND__EVENT_LINK_DOWN), 1);
	changed(nsid, w.eth_a, true);
	assert_int_equal(told(&w.a, XSKD__EVENT_KIND__EVENT_LINK_UP), 1);
	core_link_changed(&w.core, nsid, &(struct device){ .ifindex = 4242 });
	changed(-1, w.eth_a, false); /* a number of the host's */
	assert_int_equal(told_at_all(&w.a), 2);
	changed(-1, w.host0, false); /* queue mode: it is there */
	assert_int_equal(told(&w.b, XSKD__EVENT_KIND__EVENT_LINK_DOWN), 1);
}

static void a_device_that_goes_loses_its_sockets(void **state)
{
	struct answer a;
	int nsid;

	(void)state;
	world_pods(&w);
	assert_int_equal(watch(&w.a), XSKD__CODE__OK);
	a = world_handoff(&w, &w.a, QUEUES(0, 3), true);
	assert_int_equal(answer_code(&a), XSKD__CODE__OK);
	assert_int_equal(netns_nsid(w.pod_a, &nsid), 0);
	fake_device_remove(w.eth_a);
	core_link_gone(&w.core, nsid, w.eth_a->dev.ifindex);
	assert_int_equal(told(&w.a, XSKD__EVENT_KIND__EVENT_SOCKET_LOST), 2);
	assert_int_equal(w.told[0].sock, a.m->hand_off_socket->sockets[0]->id);
	assert_int_equal(w.told[0].queue, 0);
	assert_string_equal(w.told[0].container, "a");
	assert_int_equal(w.core.socks.n, 0);
	assert_int_equal(((struct program *)w.core.programs.at[0])->m->ifindex, 0);
	answer_done(&a);
	assert_int_equal(fake_sockets(), 0);
}

static void a_namespace_that_goes_ends_its_leases(void **state)
{
	int nsid;

	(void)state;
	world_pods(&w);
	assert_int_equal(watch(&w.admin), XSKD__CODE__OK);
	assert_int_equal(netns_nsid(w.pod_b, &nsid), 0);
	core_netns_gone(&w.core, nsid + 50, UINT64_MAX);
	assert_int_equal(w.core.leases.n, 2);
	core_netns_gone(&w.core, nsid, UINT64_MAX);
	assert_int_equal(w.core.leases.n, 1);
	assert_int_equal(told(&w.admin, XSKD__EVENT_KIND__EVENT_LEASE_REVOKED), 1);
	world_restart(&w); /* the state file went too */
	assert_int_equal(w.core.leases.n, 1);
}

static void a_released_socket_is_told(void **state)
{
	Xskd__ReleaseSocketRequest m = EMPTY(release_socket_request);
	Xskd__ListSocketsRequest list = EMPTY(list_sockets_request);
	struct answer a, b;
	uint64_t id;

	(void)state;
	world_pods(&w);
	assert_int_equal(watch(&w.a), XSKD__CODE__OK);
	a = world_handoff(&w, &w.a, QUEUES(0, 1), false);
	id = a.m->hand_off_socket->sockets[0]->id;
	m.sockets = &id;
	m.n_sockets = 1;
	b = ask(&w, &w.a, CASE(RELEASE_SOCKET), &m, NULL, 0);
	answer_done(&b);
	assert_int_equal(told(&w.a, XSKD__EVENT_KIND__EVENT_SOCKET_RELEASED), 1);
	answer_done(&a); /* the other is closed, which a list finds out */
	b = ask(&w, &w.a, CASE(LIST_SOCKETS), &list, NULL, 0);
	assert_int_equal(b.m->list_sockets->n_sockets, 0);
	answer_done(&b);
	assert_int_equal(told(&w.a, XSKD__EVENT_KIND__EVENT_SOCKET_RELEASED), 2);
}

/* ---- who cannot be told ---- */

/* In a process of its own, since memory is at stake. */
static int survives(void (*what)(void))
{
	static const int deadly[] = { SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE };
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		/* cmocka's handler would go on with the next test, in two processes. */
		for (size_t i = 0; i < ARRAY_SIZE(deadly); i++)
			signal(deadly[i], SIG_DFL);
		fclose(stderr);
		what();
		world_done(&w);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void begin_broken(struct answer *a)
{
	world_pods(&w);
	w.core.features = (struct xsk_features){ .full_handoff = false };
	assert_int_equal(watch(&w.a), XSKD__CODE__OK);
	*a = world_handoff(&w, &w.a, QUEUES(0, 1, 2), false);
	assert_int_equal(answer_code(a), XSKD__CODE__OK);
	w.broken = w.a.conn;
}

static void lose_device(void)
{
	core_link_gone(&w.core, 101, w.eth_a->dev.ifindex);
	world_close_gone(&w);
	assert_int_equal(w.core.n_watchers, 0);
}

static void release_one(void)
{
	Xskd__ReleaseSocketRequest m = EMPTY(release_socket_request);
	struct peer other = world_peer(&w, w.pod_a, false);
	uint64_t id = ((struct sock *)w.core.socks.at[1])->m->id;
	struct answer a;

	m.sockets = &id;
	m.n_sockets = 1;
	a = ask(&w, &other, CASE(RELEASE_SOCKET), &m, NULL, 0);
	answer_done(&a);
}

static void unload_program(void)
{
	Xskd__UnloadProgramRequest m = EMPTY(unload_program_request);
	struct answer a;

	m.id = ((struct program *)w.core.programs.at[0])->m->id;
	m.force = true;
	a = ask(&w, &w.admin, CASE(UNLOAD_PROGRAM), &m, NULL, 0);
	answer_done(&a);
}

static void revoke_lease(void)
{
	end_lease("a");
}

static void who_is_gone_when_told_harms_nobody(void **state)
{
	void (*const causes[])(void) = { lose_device, release_one, unload_program, revoke_lease };
	bool survived[ARRAY_SIZE(causes)];
	struct answer a;

	(void)state;
	begin_broken(&a);
	for (size_t i = 0; i < ARRAY_SIZE(causes); i++)
		survived[i] = survives(causes[i]);
	answer_done(&a);
	for (size_t i = 0; i < ARRAY_SIZE(causes); i++)
		assert_true(survived[i]);
}

/*
 * The array of watchers loses an entry while it is walked: the next one must be told all the same.
 */
static void who_comes_after_one_who_is_gone_is_told(void **state)
{
	struct peer other = world_peer(&w, w.pod_a, false);

	(void)state;
	world_pods(&w);
	assert_int_equal(watch(&w.a), XSKD__CODE__OK);
	assert_int_equal(watch(&other), XSKD__CODE__OK);
	assert_int_equal(watch(&w.admin), XSKD__CODE__OK);
	w.broken = w.a.conn;
	end_lease("a");
	assert_int_equal(told_at_all(&other), 1);
	assert_int_equal(told_at_all(&w.admin), 1);
}

/* ---- half of a kept hand-off ---- */

static void resume_the_rest(void)
{
	struct answer a = world_handoff(&w, &w.a, QUEUES(1), true);

	answer_done(&a);
}

/* The UMEM is kept with the first socket of a hand-off, which can be released before the others. */
static void the_rest_of_a_kept_hand_off_is_no_danger(void **state)
{
	Xskd__ReleaseSocketRequest m = EMPTY(release_socket_request);
	struct answer a, b;
	uint64_t id;

	(void)state;
	world_pods(&w);
	a = world_handoff(&w, &w.a, QUEUES(0, 1), true);
	id = a.m->hand_off_socket->sockets[0]->id;
	m.sockets = &id;
	m.n_sockets = 1;
	b = ask(&w, &w.a, CASE(RELEASE_SOCKET), &m, NULL, 0);
	assert_int_equal(answer_code(&b), XSKD__CODE__OK);
	answer_done(&b);
	answer_done(&a);
	assert_true(survives(resume_the_rest));
}

/* ---- what a start may find ---- */

/* A second file for what the first one of its kind says. */
static void copy_file(enum state_kind kind, const char *name, void (*change)(Xskd__StateFile *file))
{
	struct fault fault = FAULT_INIT;
	Xskd__StateFile file;

	if (kind == STATE_LEASES)
		lease_file(w.core.leases.at[0], &file);
	else
		program_file(w.core.programs.at[0], &file);
	change(&file);
	assert_int_equal(state_write(&w.core.state, kind, name, &file, &fault), 0);
}

static void change_nothing(Xskd__StateFile *file)
{
	(void)file;
}

static void take_queues(Xskd__StateFile *file)
{
	file->lease->n_queues = 0;
}

static void restart_and_use(void)
{
	struct answer a;

	world_restart(&w);
	a = world_handoff(&w, &w.a, NULL, 0, false);
	answer_done(&a);
	end_lease("a");
	a = world_handoff(&w, &w.a, NULL, 0, false);
	answer_done(&a);
}

static void one_program_in_two_files_is_no_danger(void **state)
{
	(void)state;
	world_pods(&w);
	copy_file(STATE_PROGRAMS, "77", change_nothing);
	assert_true(survives(restart_and_use));
}

static void one_lease_in_two_files_is_no_danger(void **state)
{
	(void)state;
	world_pods(&w);
	copy_file(STATE_LEASES, "other@eth0", change_nothing);
	assert_true(survives(restart_and_use));
}

static void a_lease_without_queues_is_no_danger(void **state)
{
	size_t n;

	(void)state;
	world_pods(&w);
	n = ((struct lease *)w.core.leases.at[0])->m->n_queues;
	copy_file(STATE_LEASES, "a@eth0", take_queues);
	((struct lease *)w.core.leases.at[0])->m->n_queues = n; /* which frees them, too */
	assert_true(survives(restart_and_use));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(watchers_hear_of_their_own),
		world_test(a_connection_watches_once),
		world_test(the_link_is_told_when_it_changes),
		world_test(a_device_that_goes_loses_its_sockets),
		world_test(a_namespace_that_goes_ends_its_leases),
		world_test(a_released_socket_is_told),
		world_test(who_is_gone_when_told_harms_nobody),
		world_test(who_comes_after_one_who_is_gone_is_told),
		world_test(the_rest_of_a_kept_hand_off_is_no_danger),
		world_test(one_program_in_two_files_is_no_danger),
		world_test(one_lease_in_two_files_is_no_danger),
		world_test(a_lease_without_queues_is_no_danger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
