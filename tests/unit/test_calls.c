// SPDX-License-Identifier: Apache-2.0
/* What the calls of libxskd put into requests and take out of replies. */
#include "../support.h"

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fake_daemon.h"
#include "xskd.h"

static struct xskd *open_to(struct fake_daemon *d, fake_script *script)
{
	struct xskd *x = NULL;

	fake_start(d, script);
	assert_int_equal(xskd_open(d->path, 5000, &x), 0);
	return x;
}

static char *text(const char *s)
{
	return (char *)(uintptr_t)s;
}

/* ---- Lists ---------------------------------------------------------------------------------- */

#define PAGES 3

static void send_leases(int conn, uint64_t id, uint64_t after, bool circular)
{
	Xskd__Lease leases[2], *pointers[2] = { &leases[0], &leases[1] };
	Xskd__Lease__LabelsEntry label, *labels[1] = { &label };
	uint32_t queues[] = { (uint32_t)after, 77 };
	Xskd__Reply reply = XSKD__REPLY__INIT;
	Xskd__ListLeasesReply page = XSKD__LIST_LEASES_REPLY__INIT;

	xskd__lease__labels_entry__init(&label);
	label.key = text("pod");
	label.value = text("a-pod");
	xskd__lease__init(&leases[0]);
	leases[0].container = text("first");
	leases[0].n_queues = 2;
	leases[0].queues = queues;
	leases[0].n_labels = 1;
	leases[0].labels = labels;
	leases[0].mode = XSKD__LEASE_MODE__LEASE_MODE_QUEUE;
	xskd__lease__init(&leases[1]);
	/* Longer than any that is good. */
	leases[1].interface = text("0123456789abcdef-and-more");
	page.n_leases = 2;
	page.leases = pointers;
	page.next = circular ? 5 : after + 1 < PAGES ? after + 1 : 0;
	reply.id = id;
	reply.result_case = XSKD__REPLY__RESULT_LIST_LEASES;
	reply.list_leases = &page;
	fake_send(conn, &reply, NULL);
}

static void list_leases(struct fake_daemon *d, int conn, int nth)
{
	struct fdset fds = FDSET_INIT;
	Xskd__Request *req;

	(void)nth;
	while ((req = fake_receive(conn, &fds))) {
		assert(req->call_case == XSKD__REQUEST__CALL_LIST_LEASES);
		send_leases(conn, req->id, req->list_leases->after, d->value);
		xskd__request__free_unpacked(req, NULL);
	}
}

static void pages_become_one_list(void **state)
{
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, list_leases);
	struct xskd_lease *leases = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(xskd_list_leases(x, &leases, &n), 0);
	assert_int_equal(n, 2 * PAGES);
	for (size_t i = 0; i < n; i += 2) {
		assert_string_equal(leases[i].container, "first");
		assert_true(leases[i].queue_mode);
		assert_int_equal(leases[i].n_queues, 2);
		assert_int_equal(leases[i].queues[0], i / 2);
		assert_int_equal(leases[i].queues[1], 77);
		assert_int_equal(leases[i].n_labels, 1);
		assert_string_equal(leases[i].labels[0].key, "pod");
		assert_string_equal(leases[i].labels[0].value, "a-pod");
		assert_string_equal(leases[i + 1].interface, "0123456789abcde");
		assert_int_equal(leases[i + 1].n_labels, 0);
	}
	xskd_free(leases);
	xskd_free(NULL);
	xskd_close(x);
	fake_stop(&d);
}

static void a_list_in_circles_is_refused(void **state)
{
	struct fake_daemon d = { .value = 1 };
	struct xskd *x = open_to(&d, list_leases);
	struct xskd_lease *leases = NULL;
	size_t n = 99;

	(void)state;
	assert_int_equal(xskd_list_leases(x, &leases, &n), -EPROTO);
	assert_null(leases);
	assert_int_equal(n, 99);
	xskd_close(x);
	fake_stop(&d);
}

/* ---- A lease -------------------------------------------------------------------------------- */

/* `value`: whether the answer is whole. */
static void grant(struct fake_daemon *d, int conn, int nth)
{
	struct fdset fds = FDSET_INIT;
	Xskd__Request *req;

	(void)nth;
	while ((req = fake_receive(conn, &fds))) {
		const Xskd__GrantLeaseRequest *g = req->grant_lease;
		Xskd__Lease__LabelsEntry label, *labels[] = { &label };
		Xskd__GrantLeaseReply m = XSKD__GRANT_LEASE_REPLY__INIT;
		Xskd__Reply reply = XSKD__REPLY__INIT;
		uint32_t queues[] = { 1, 2, 5 };
		Xskd__Lease lease;

		assert(req->call_case == XSKD__REQUEST__CALL_GRANT_LEASE);
		assert(fds.n == 1 && g->netns_fd == 1 && g->queue_count == 3 && !g->n_queues);
		fdset_done(&fds);
		xskd__lease__labels_entry__init(&label);
		label.key = text("pod");
		label.value = text("a-pod");
		xskd__lease__init(&lease);
		lease.container = g->container;
		lease.interface = g->interface;
		lease.queues = queues;
		lease.n_queues = ARRAY_SIZE(queues);
		lease.labels = labels;
		lease.n_labels = 1;
		lease.program_id = 77;
		m.lease = d->value ? &lease : NULL;
		reply.id = req->id;
		reply.result_case = XSKD__REPLY__RESULT_GRANT_LEASE;
		reply.grant_lease = &m;
		fake_send(conn, &reply, NULL);
		xskd__request__free_unpacked(req, NULL);
	}
}

static void a_grant_answers_with_its_lease(void **state)
{
	struct xskd_lease_opts o = XSKD_OPTS(xskd_lease_opts, .queue_count = 3);
	struct fake_daemon d = { .value = 1 };
	struct xskd *x = open_to(&d, grant);
	struct xskd_lease *lease = NULL;
	int netns = some_fd();

	(void)state;
	assert_int_equal(xskd_grant_lease(x, "c", "eth0", netns, &o, NULL), 0);
	assert_int_equal(xskd_grant_lease(x, "c", "eth0", netns, &o, &lease), 0);
	assert_string_equal(lease->container, "c");
	assert_string_equal(lease->interface, "eth0");
	assert_int_equal(lease->program_id, 77);
	assert_int_equal(lease->n_queues, 3);
	assert_int_equal(lease->queues[2], 5);
	assert_int_equal(lease->n_labels, 1);
	assert_string_equal(lease->labels[0].value, "a-pod");
	xskd_free(lease);
	close(netns);
	xskd_close(x);
	fake_stop(&d);
}

static void a_grant_without_a_lease_is_garbled(void **state)
{
	struct xskd_lease_opts o = XSKD_OPTS(xskd_lease_opts, .queue_count = 3);
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, grant);
	struct xskd_lease *lease = NULL;
	int netns = some_fd();

	(void)state;
	assert_int_equal(xskd_grant_lease(x, "c", "eth0", netns, &o, &lease), -EPROTO);
	assert_null(lease);
	close(netns);
	xskd_close(x);
	fake_stop(&d);
}

/* ---- Options -------------------------------------------------------------------------------- */

static void refuse_hand_off(struct fake_daemon *d, int conn, int nth)
{
	struct fdset fds = FDSET_INIT;
	Xskd__Request *req;

	(void)nth;
	while ((req = fake_receive(conn, &fds))) {
		assert(req->call_case == XSKD__REQUEST__CALL_HAND_OFF_SOCKET);
		d->value++;
		fake_status(conn, req->id, XSKD__CODE__ALREADY_EXISTS, 0, "taken");
		xskd__request__free_unpacked(req, NULL);
		fdset_done(&fds);
	}
}

static void options_may_be_older_or_newer(void **state)
{
	/* A caller that was compiled with a later header. */
	struct {
		struct xskd_handoff_opts o;
		uint64_t later;
	} newer = { .o = { .sz = sizeof(newer) } };
	struct xskd_handoff_opts o = XSKD_OPTS(xskd_handoff_opts, .frames = 2);
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, refuse_hand_off);
	struct xskd_handoff *h = NULL;

	(void)state;
	assert_int_equal(xskd_hand_off(x, "eth0", &newer.o, &h), -EEXIST);
	newer.later = 1;
	assert_int_equal(xskd_hand_off(x, "eth0", &newer.o, &h), -EINVAL);
	/* An earlier one, which has no frame_size: what lies behind is not read. */
	o.sz = offsetof(struct xskd_handoff_opts, frame_size);
	o.frame_size = 12345;
	assert_int_equal(xskd_hand_off(x, "eth0", &o, &h), -EEXIST);
	o.sz = sizeof(o);
	assert_int_equal(xskd_hand_off(x, "eth0", &o, &h), -EINVAL);
	o.sz = 0;
	assert_int_equal(xskd_hand_off(x, "eth0", &o, &h), -EINVAL);
	assert_null(h);
	xskd_close(x);
	fake_stop(&d);
	assert_int_equal(d.value, 2);
}

static void senseless_options_stay_here(void **state)
{
	const uint32_t queues[64] = { 0 };
	const struct xskd_handoff_opts cases[] = {
		XSKD_OPTS(xskd_handoff_opts, .rx_size = 3),
		XSKD_OPTS(xskd_handoff_opts, .frame_size = 1024),
		XSKD_OPTS(xskd_handoff_opts, .n_queues = 64, .queues = queues),
		XSKD_OPTS(xskd_handoff_opts, .n_queues = 2),
		XSKD_OPTS(xskd_handoff_opts, .fill_size = 1U << 31, .tx_size = 1U << 31),
	};
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, refuse_hand_off);
	struct xskd_handoff *h = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(xskd_hand_off(x, "eth0", &cases[i], &h), -EINVAL);
		assert_string_not_equal(xskd_error(x), "");
	}
	xskd_close(x);
	fake_stop(&d);
	assert_int_equal(d.value, 0);
}

/* ---- Hand-off ------------------------------------------------------------------------------- */

/* What the daemon relies on. */
static void check_umem(int fd, off_t size)
{
	struct stat st;

	assert(fcntl(fd, F_GET_SEALS) != -1);
	assert((fcntl(fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) ==
	       (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
	assert(fstat(fd, &st) == 0);
	assert(st.st_size == size);
	assert(st.st_blocks * 512 >= st.st_size);
}

/* Fds that are no AF_XDP sockets, and as many as `value` says. */
static void hand_off_wrongly(struct fake_daemon *d, int conn, int nth)
{
	struct fdset fds = FDSET_INIT;
	Xskd__Request *req = fake_receive(conn, &fds);
	const Xskd__HandOffSocketRequest *ask = req->hand_off_socket;
	Xskd__Reply reply = XSKD__REPLY__INIT;
	Xskd__HandOffSocketReply m = XSKD__HAND_OFF_SOCKET_REPLY__INIT;
	Xskd__Socket sockets[3], *pointers[3];

	(void)nth;
	assert(req->call_case == XSKD__REQUEST__CALL_HAND_OFF_SOCKET);
	assert(ask->n_queues == 2 && ask->queues[0] == 4 && ask->queues[1] == 6);
	assert(strcmp(ask->interface, "eth0") == 0 && ask->rx_size == 2048);
	assert(fds.n == 1 && ask->umem_fd == 1 && ask->netns_fd == 0);
	check_umem(fds.fd[0], 2 * 2 * 2048 * 2048);
	for (uint32_t i = 0; i < 3; i++) {
		xskd__socket__init(&sockets[i]);
		sockets[i].id = i + 1;
		sockets[i].socket_fd = i + 1;
		sockets[i].frame_size = 2048;
		sockets[i].fill_size = sockets[i].completion_size = 2048;
		sockets[i].rx_size = sockets[i].tx_size = 2048;
		pointers[i] = &sockets[i];
	}
	fdset_done(&fds);
	for (int i = 0; i < (d->value & 3); i++)
		fds.fd[fds.n++] = conn;
	m.n_sockets = (size_t)d->value >> 2;
	m.sockets = pointers;
	reply.id = req->id;
	reply.result_case = XSKD__REPLY__RESULT_HAND_OFF_SOCKET;
	reply.hand_off_socket = &m;
	fake_send(conn, &reply, &fds);
	xskd__request__free_unpacked(req, NULL);
	fake_id(conn);
}

static void a_wrong_hand_off_leaves_nothing(void **state)
{
	static const struct {
		int sockets, fds, error;
	} cases[] = {
		{ 2, 2, -EOPNOTSUPP }, /* mapping rings of a Unix socket */
		{ 1, 1, -EPROTO },     { 3, 3, -EPROTO }, { 0, 3, -EPROTO }, { 2, 0, -EPROTO },
	};
	const uint32_t queues[] = { 4, 6 };
	struct xskd_handoff_opts o = XSKD_OPTS(xskd_handoff_opts, .queues = queues, .n_queues = 2);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fake_daemon d = { .value = cases[i].sockets << 2 | cases[i].fds };
		struct xskd *x = open_to(&d, hand_off_wrongly);
		struct xskd_handoff *h = NULL;

		assert_int_equal(xskd_hand_off(x, "eth0", &o, &h), cases[i].error);
		assert_null(h);
		assert_string_not_equal(xskd_error(x), "");
		xskd_close(x);
		fake_stop(&d);
	}
}

static void fds_go_out_as_they_came(void **state)
{
	const uint32_t queues[] = { 4, 6 };
	struct xskd_handoff_opts o = XSKD_OPTS(xskd_handoff_opts, .queues = queues, .n_queues = 2);
	struct fake_daemon d = { .value = 2 << 2 | 2 };
	struct xskd *x = open_to(&d, hand_off_wrongly);
	int fds[2] = { -1, -1 }, umem = -1;

	(void)state;
	assert_int_equal(xskd_hand_off_fds(x, "eth0", &o, false, fds, &umem), 0);
	for (int i = 0; i < 2; i++) {
		assert_true(is_cloexec(fds[i]));
	}
	assert_true(is_cloexec(umem));

	/* They stay ours when they cannot be adopted. */
	struct xskd_handoff *h = NULL;

	assert_int_equal(xskd_adopt(fds, umem, &o, &h), -EOPNOTSUPP);
	assert_null(h);
	close(fds[0]);
	close(fds[1]);
	close(umem);
	xskd_close(x);
	fake_stop(&d);
}

/* The first question is whether there is something to resume, and brings no memory. */
static void refuse_to_resume(struct fake_daemon *d, int conn, int nth)
{
	struct fdset fds = FDSET_INIT;
	Xskd__Request *req;

	(void)nth;
	while ((req = fake_receive(conn, &fds))) {
		const Xskd__HandOffSocketRequest *ask = req->hand_off_socket;

		assert(ask->keep);
		assert(ask->only_resume == (d->value == 0));
		assert(fds.n == (d->value == 0 ? 0 : 1));
		d->value++;
		fake_status(conn, req->id, XSKD__CODE__NOT_FOUND, 0, "none");
		xskd__request__free_unpacked(req, NULL);
		fdset_done(&fds);
	}
}

static void keep_asks_for_kept_sockets_first(void **state)
{
	struct xskd_handoff_opts o = XSKD_OPTS(xskd_handoff_opts, .keep = true);
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, refuse_to_resume);
	struct xskd_handoff *h = NULL;

	(void)state;
	assert_int_equal(xskd_hand_off(x, "eth0", &o, &h), -ENOENT);
	xskd_close(x);
	fake_stop(&d);
	assert_int_equal(d.value, 2);
}

/* ---- Fds that are lent ---------------------------------------------------------------------- */

static void load(struct fake_daemon *d, int conn, int nth)
{
	struct fdset fds = FDSET_INIT;
	Xskd__Request *req = fake_receive(conn, &fds);
	const Xskd__LoadProgramRequest *l = req->load_program;
	Xskd__Reply reply = XSKD__REPLY__INIT;
	Xskd__LoadProgramReply m = XSKD__LOAD_PROGRAM_REPLY__INIT;
	Xskd__Program program;

	(void)d;
	(void)nth;
	assert(req->call_case == XSKD__REQUEST__CALL_LOAD_PROGRAM);
	assert(fds.n == 2 && l->netns_fd == 1 && l->object_fd == 2);
	assert(l->n_constants == 2 && strcmp(l->constants[0]->name, "port") == 0);
	assert(l->constants[0]->value.len == 2 && l->constants[1]->number == -5);
	assert(l->transient);
	fdset_done(&fds);
	xskd__program__init(&program);
	program.id = 12;
	program.name = text("xdp_pass");
	program.mode = XSKD__XDP_MODE__XDP_MODE_NATIVE;
	program.transient = true;
	program.leases = 3;
	m.program = &program;
	reply.id = req->id;
	reply.result_case = XSKD__REPLY__RESULT_LOAD_PROGRAM;
	reply.load_program = &m;
	fake_send(conn, &reply, NULL);
	xskd__request__free_unpacked(req, NULL);
	fake_id(conn);
}

static void lent_fds_come_back(void **state)
{
	const struct xskd_constant constants[] = {
		{ .name = "port", .value = "\x12\x34", .size = 2 },
		{ .name = "delta", .number = -5 },
	};
	struct xskd_load_opts o = XSKD_OPTS(
		xskd_load_opts, .netns_fd = some_fd(), .object_fd = some_fd(),
		.constants = constants, .n_constants = ARRAY_SIZE(constants), .transient = true);
	struct fake_daemon d = { 0 };
	struct xskd *x = open_to(&d, load);
	struct xskd_program program;

	(void)state;
	assert_int_equal(xskd_load_program(x, "eth0", &o, &program), 0);
	assert_int_equal(program.id, 12);
	assert_string_equal(program.name, "xdp_pass");
	assert_int_equal(program.mode, XSKD_XDP_NATIVE);
	assert_true(program.transient);
	assert_int_equal(program.leases, 3);
	assert_int_equal(close(o.netns_fd), 0);
	assert_int_equal(close(o.object_fd), 0);
	xskd_close(x);
	fake_stop(&d);
}

/* ---- What has happened ---------------------------------------------------------------------- */

/* First a daemon that is too old to tell, then one with more limits than we have room for. */
static void tell_activity(struct fake_daemon *d, int conn, int nth)
{
	Xskd__LimitHits hits, *many[40];
	Xskd__Activity activity = XSKD__ACTIVITY__INIT;
	Xskd__GetInfoReply info;
	Xskd__Reply reply = XSKD__REPLY__INIT;

	(void)d;
	(void)nth;
	xskd__limit_hits__init(&hits);
	xskd__get_info_reply__init(&info);
	hits.limit = text("a_name_that_is_longer_than_any_that_there_is");
	hits.hits = 3;
	for (size_t i = 0; i < 40; i++)
		many[i] = &hits;
	activity.calls = 7;
	activity.sockets_found = 9;
	activity.n_limits_hit = 40;
	activity.limits_hit = many;
	reply.result_case = XSKD__REPLY__RESULT_GET_INFO;
	reply.get_info = &info;
	info.admin = true;
	for (int i = 0; (reply.id = fake_id(conn)); i++) {
		info.activity = i ? &activity : NULL;
		fake_send(conn, &reply, NULL);
	}
}

static void activity_is_told(void **state)
{
	struct xskd_activity a = XSKD_OPTS(xskd_activity, .calls = 1), small = { 0 };
	struct fake_daemon d;
	struct xskd *x = open_to(&d, tell_activity);

	(void)state;
	assert_int_equal(xskd_get_activity(x, &a), 0);
	assert_int_equal(a.sz, sizeof(a));
	assert_int_equal(a.calls, 0);
	assert_int_equal(a.n_limits, 0);
	assert_int_equal(xskd_get_activity(x, &a), 0);
	assert_int_equal(a.calls, 7);
	assert_int_equal(a.sockets_found, 9);
	assert_int_equal(a.n_limits, 24);
	assert_int_equal(a.limits[23].hits, 3);
	assert_int_equal(strlen(a.limits[23].limit), sizeof(a.limits[23].limit) - 1);

	/* One that was compiled when there was only the first number. */
	small.sz = offsetof(struct xskd_activity, failed_calls);
	small.failed_calls = 42;
	assert_int_equal(xskd_get_activity(x, &small), 0);
	assert_int_equal(small.calls, 7);
	assert_int_equal(small.failed_calls, 42);
	small.sz = 0;
	assert_int_equal(xskd_get_activity(x, &small), -EINVAL);
	assert_non_null(strstr(xskd_error(x), "XSKD_OPTS"));
	xskd_close(x);
	fake_stop(&d);
}

static void answer_as_to_a_pod(struct fake_daemon *d, int conn, int nth)
{
	uint64_t id;

	(void)d;
	(void)nth;
	while ((id = fake_id(conn)))
		fake_info(conn, id);
}

static void activity_is_not_told_to_pods(void **state)
{
	struct xskd_activity a = XSKD_OPTS(xskd_activity);
	struct fake_daemon d;
	struct xskd *x = open_to(&d, answer_as_to_a_pod);

	(void)state;
	assert_int_equal(xskd_get_activity(x, &a), -EPERM);
	xskd_close(x);
	fake_stop(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fd_test(pages_become_one_list),
		fd_test(a_list_in_circles_is_refused),
		fd_test(a_grant_answers_with_its_lease),
		fd_test(a_grant_without_a_lease_is_garbled),
		fd_test(options_may_be_older_or_newer),
		fd_test(senseless_options_stay_here),
		fd_test(a_wrong_hand_off_leaves_nothing),
		fd_test(fds_go_out_as_they_came),
		fd_test(keep_asks_for_kept_sockets_first),
		fd_test(lent_fds_come_back),
		fd_test(activity_is_told),
		fd_test(activity_is_not_told_to_pods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
