// SPDX-License-Identifier: Apache-2.0
/* What all calls have in common: from the bytes of a request to the bytes of its reply. */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "audit.h"
#include "method.h"
#include "world.h"

#define CASE(name) XSKD__REQUEST__CALL_##name

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

/* ---- bytes ---- */

static int refused(const void *bytes, size_t len, unsigned int fds)
{
	struct fdset set = FDSET_INIT;
	struct call *call = NULL;
	int err;

	while (fds--)
		assert_true(fdset_add(&set, some_fd()) > 0);
	err = call_new(&w.core, &w.a, bytes, len, &set, &call);
	assert_int_equal(set.n, 0); /* moved, also when it fails */
	assert_null(call);
	return err;
}

static void what_is_no_request_is_refused_with_its_fds(void **state)
{
	uint8_t junk[64];

	(void)state;
	memset(junk, 0xff, sizeof(junk));
	assert_int_equal(refused(junk, sizeof(junk), 3), -EPROTO);
	assert_int_equal(refused("\x08\x01\x52\x7f", 4, PACKET_FDS), -EPROTO); /* ends too early */
	assert_int_equal(refused("\x08", 1, 1), -EPROTO);
}

static void a_request_without_id_is_refused(void **state)
{
	(void)state;
	assert_int_equal(refused("", 0, 1), -EPROTO);
	assert_int_equal(refused("\x52\x00", 2, 1), -EPROTO);         /* GetInfo */
	assert_int_equal(refused("\x08\x00\x52\x00", 4, 1), -EPROTO); /* id 0, GetInfo */
}

static struct answer send_bytes(const struct peer *peer, const void *bytes, size_t len,
				unsigned int fds)
{
	struct fdset set = FDSET_INIT;
	struct call *call;
	int err;

	while (fds--)
		assert_true(fdset_add(&set, some_fd()) > 0);
	call = begin_bytes(&w, peer, bytes, len, &set, &err);
	return call ? finish(call, true) : (struct answer){ .refused = err };
}

static void an_unknown_call_is_unimplemented(void **state)
{
	/* id 7 and field 39, which a newer client may fill in */
	struct answer a = send_bytes(&w.a, "\x08\x07\xba\x02\x00", 5, 2);

	(void)state;
	assert_int_equal(answer_code(&a), XSKD__CODE__UNIMPLEMENTED);
	assert_int_equal(a.m->id, 7);
	assert_non_null(strstr(answer_text(&a), "newer"));
	answer_done(&a);
}

static void a_request_without_call_is_unimplemented(void **state)
{
	struct answer a = send_bytes(&w.admin, "\x08\x07", 2, 0);

	(void)state;
	assert_int_equal(answer_code(&a), XSKD__CODE__UNIMPLEMENTED);
	answer_done(&a);
}

static void unknown_fields_are_ignored(void **state)
{
	/* id 7, GetInfo with a field 15 of its own, and field 1000 of the envelope */
	struct answer a = send_bytes(&w.a, "\x08\x07\x52\x02\x78\x05\xc0\x3e\x01", 9, 0);

	(void)state;
	assert_int_equal(answer_code(&a), XSKD__CODE__OK);
	assert_int_equal(a.m->result_case, XSKD__REPLY__RESULT_GET_INFO);
	answer_done(&a);
}

static void the_last_of_several_calls_counts(void **state)
{
	/* id 7, LoadProgram (admin only), then GetInfo: a oneof */
	struct answer a = send_bytes(&w.a, "\x08\x07\x5a\x06\x0a\x04lo00\x52\x00", 12, 0);

	(void)state;
	assert_int_equal(answer_code(&a), XSKD__CODE__OK);
	assert_int_equal(a.m->result_case, XSKD__REPLY__RESULT_GET_INFO);
	answer_done(&a);
}

static void the_id_comes_back(void **state)
{
	const uint64_t ids[] = { 1, 127, 128, UINT32_MAX, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		Xskd__GetInfoRequest m = EMPTY(get_info_request);
		Xskd__Request request = EMPTY(request);
		struct answer a;

		request.id = ids[i];
		request.call_case = CASE(GET_INFO);
		request.get_info = &m;
		a = ask_request(&w, &w.a, &request, NULL, 0);
		assert_true(a.m->id == ids[i]);
		answer_done(&a);
	}
}

/* 64 KiB of empty submessages would be megabytes of memory once decoded. */
static void decoding_has_a_budget(void **state)
{
	static uint8_t bomb[PACKET_MAX];
	uint8_t head[] = { 0x08, 0x07, 0x5a, 0, 0, 0 }; /* id 7, LoadProgram of n bytes */
	size_t at = sizeof(head), len;

	(void)state;
	while (at + 2 <= sizeof(bomb)) {
		bomb[at++] = 0x32; /* constants: an empty one */
		bomb[at++] = 0;
	}
	len = at - sizeof(head);
	head[3] = (uint8_t)(0x80 | (len & 0x7f));
	head[4] = (uint8_t)(0x80 | ((len >> 7) & 0x7f));
	head[5] = (uint8_t)(len >> 14);
	memcpy(bomb, head, sizeof(head));
	assert_int_equal(refused(bomb, at, 2), -EPROTO);
}

/* Unknown fields are kept, each in an allocation of its own. */
static void what_a_pod_calls_needs_little_to_decode(void **state)
{
	static uint8_t packet[PACKET_MAX];
	struct answer a;
	size_t at = 2;

	(void)state;
	memcpy(packet, "\x08\x07", 2);
	for (int i = 0; i < 8000; i++) { /* field 1000 of the envelope */
		memcpy(packet + at, "\xc0\x3e\x01", 3);
		at += 3;
		if (i != 99)
			continue;
		a = send_bytes(&w.a, packet, at, 0);
		assert_int_equal(answer_code(&a), XSKD__CODE__UNIMPLEMENTED);
		answer_done(&a);
	}
	a = send_bytes(&w.a, packet, at, 0);
	assert_int_equal(a.refused, -EPROTO);
}

static void a_packet_full_of_what_a_client_needs_decodes(void **state)
{
	static uint32_t queues[1024];
	Xskd__GrantLeaseRequest m = EMPTY(grant_lease_request);
	struct answer a;

	(void)state;
	for (uint32_t i = 0; i < 1024; i++)
		queues[i] = i;
	m.container = str("c");
	m.interface = str("eth0");
	m.queues = queues;
	m.n_queues = 1024;
	m.netns_fd = 1;
	a = ask(&w, &w.admin, CASE(GRANT_LEASE), &m, &w.pod_a, 1);
	assert_int_equal(answer_code(&a), XSKD__CODE__INVALID_ARGUMENT); /* the device has 4 */
	assert_non_null(strstr(answer_text(&a), "there is no 1023"));
	answer_done(&a);
}

/* ---- fds ---- */

static void fds_that_no_field_names_are_an_error(void **state)
{
	Xskd__GetInfoRequest info = EMPTY(get_info_request);
	Xskd__LoadProgramRequest load = EMPTY(load_program_request);
	cleanup(close_fdp) int object = fake_object(4);
	const int fds[] = { w.pod_a, object, object };
	struct answer a = ask(&w, &w.a, CASE(GET_INFO), &info, fds, 1);

	(void)state;
	assert_int_equal(answer_code(&a), XSKD__CODE__INVALID_ARGUMENT);
	answer_done(&a);
	load.interface = str("eth0");
	load.netns_fd = 1;
	load.object_fd = 2;
	a = ask(&w, &w.admin, CASE(LOAD_PROGRAM), &load, fds, 3);
	assert_int_equal(answer_code(&a), XSKD__CODE__INVALID_ARGUMENT);
	assert_non_null(strstr(answer_text(&a), "named by no field"));
	answer_done(&a);
	a = ask(&w, &w.admin, CASE(LOAD_PROGRAM), &load, fds, 2); /* the connection goes on */
	assert_int_equal(answer_code(&a), XSKD__CODE__OK);
	answer_done(&a);
}

static int load_with(uint32_t netns_place, uint32_t object_place, size_t n)
{
	Xskd__LoadProgramRequest m = EMPTY(load_program_request);
	cleanup(close_fdp) int object = fake_object(4);
	const int fds[] = { w.pod_a, object };
	struct answer a;
	int code;

	m.interface = str("eth0");
	m.netns_fd = netns_place;
	m.object_fd = object_place;
	a = ask(&w, &w.admin, CASE(LOAD_PROGRAM), &m, fds, n);
	code = answer_code(&a);
	assert_true(code == XSKD__CODE__OK || *answer_text(&a));
	answer_done(&a);
	return code;
}

static void each_place_is_named_once_and_there(void **state)
{
	(void)state;
	assert_int_equal(load_with(3, 2, 2), XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(load_with(1, 1, 2), XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(load_with(2, 1, 2), XSKD__CODE__INVALID_ARGUMENT); /* no namespace */
	assert_int_equal(load_with(UINT32_MAX, 0, 1), XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(load_with(1, 0, 0), XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(load_with(1, 2, 2), XSKD__CODE__OK);
}

static void the_most_fds_that_fit_a_packet_are_closed_too(void **state)
{
	Xskd__GetInfoRequest m = EMPTY(get_info_request);
	int fds[PACKET_FDS];
	struct answer a;

	(void)state;
	for (size_t i = 0; i < PACKET_FDS; i++)
		fds[i] = w.pod_a;
	a = ask(&w, &w.a, CASE(GET_INFO), &m, fds, PACKET_FDS);
	assert_int_equal(answer_code(&a), XSKD__CODE__INVALID_ARGUMENT);
	answer_done(&a);
}

/* ---- who may ---- */

/* A request of each call with nothing in it. */
static struct answer ask_empty(const struct peer *peer, Xskd__Request__CallCase which)
{
	/* All messages begin with the same header and are no larger than this. */
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(
		&xskd__request__descriptor, (unsigned int)which);
	const ProtobufCMessageDescriptor *d = f->descriptor;
	cleanup(freep) void *m = calloc(1, d->sizeof_message);

	assert_non_null(m);
	protobuf_c_message_init(d, m);
	return ask(&w, peer, which, m, NULL, 0);
}

static const struct {
	Xskd__Request__CallCase which;
	bool admin, audit;
	int pod_gets; /* of an empty request */
} table[] = {
	{ CASE(GET_INFO), false, false, XSKD__CODE__OK },
	{ CASE(LOAD_PROGRAM), true, true, XSKD__CODE__PERMISSION_DENIED },
	{ CASE(UNLOAD_PROGRAM), true, true, XSKD__CODE__PERMISSION_DENIED },
	{ CASE(LIST_PROGRAMS), true, false, XSKD__CODE__PERMISSION_DENIED },
	{ CASE(GET_PROGRAM), true, false, XSKD__CODE__PERMISSION_DENIED },
	{ CASE(GRANT_LEASE), true, true, XSKD__CODE__PERMISSION_DENIED },
	{ CASE(REVOKE_LEASE), true, true, XSKD__CODE__PERMISSION_DENIED },
	{ CASE(LIST_LEASES), false, false, XSKD__CODE__OK },
	{ CASE(GET_XSK_MAP), false, true, XSKD__CODE__INVALID_ARGUMENT },
	{ CASE(HAND_OFF_SOCKET), false, true, XSKD__CODE__INVALID_ARGUMENT },
	{ CASE(BIND_SOCKET), false, true, XSKD__CODE__INVALID_ARGUMENT },
	{ CASE(RELEASE_SOCKET), false, true, XSKD__CODE__INVALID_ARGUMENT },
	{ CASE(LIST_SOCKETS), false, false, XSKD__CODE__OK },
	{ CASE(GET_STATS), false, false, XSKD__CODE__INVALID_ARGUMENT },
	{ CASE(WATCH_EVENTS), false, false, XSKD__CODE__OK },
};

static void pods_may_what_the_table_says(void **state)
{
	(void)state;
	assert_int_equal(ARRAY_SIZE(table), xskd__request__descriptor.n_fields - 2);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct answer a = ask_empty(&w.a, table[i].which);

		assert_int_equal(answer_code(&a), table[i].pod_gets);
		assert_true(!answer_code(&a) || *answer_text(&a));
		answer_done(&a);
	}
}

static void administrators_are_refused_nothing_for_who_they_are(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct answer a = ask_empty(&w.admin, table[i].which);

		assert_int_not_equal(answer_code(&a), XSKD__CODE__PERMISSION_DENIED);
		assert_int_not_equal(answer_code(&a), XSKD__CODE__UNIMPLEMENTED);
		answer_done(&a);
	}
}

static void each_call_has_its_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct method *m = method_find(table[i].which);

		assert_non_null(m);
		assert_int_equal(m->call, table[i].which);
		assert_int_equal(m->admin, table[i].admin);
		assert_int_equal(m->audit, table[i].audit);
		assert_true(m->undo || !m->steps[0].fn || m->name); /* a name for the log */
	}
	assert_null(method_find(XSKD__REQUEST__CALL__NOT_SET));
}

static void the_fds_of_a_forbidden_call_are_closed(void **state)
{
	Xskd__LoadProgramRequest m = EMPTY(load_program_request);
	cleanup(close_fdp) int object = fake_object(4);
	const int fds[] = { w.pod_a, object };
	struct answer a;

	(void)state;
	m.interface = str("eth0");
	m.netns_fd = 1;
	m.object_fd = 2;
	a = ask(&w, &w.a, CASE(LOAD_PROGRAM), &m, fds, 2);
	assert_int_equal(answer_code(&a), XSKD__CODE__PERMISSION_DENIED);
	assert_int_equal(w.core.programs.n, 0);
	answer_done(&a);
}

/* ---- the audit ---- */

static void what_is_granted_or_denied_leaves_a_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		unsigned int before = audited.n;
		struct answer a = ask_empty(&w.a, table[i].which);

		assert_int_equal(audited.n - before, table[i].audit);
		if (table[i].audit) {
			assert_string_equal(audited.call, method_find(table[i].which)->name);
			assert_string_equal(audited.result, "denied");
			assert_string_equal(audited.peer, "pod");
			assert_string_equal(audited.reason, answer_text(&a));
		}
		answer_done(&a);
	}
	world_pods(&w);
	assert_string_equal(audited.call, "GrantLease");
	assert_string_equal(audited.result, "granted");
	assert_string_equal(audited.subject, "b@net1");
	assert_string_equal(audited.reason, "");
}

static void grant_nothing(struct peer *peer)
{
	struct answer a = ask_empty(peer, CASE(GRANT_LEASE));

	answer_done(&a);
}

/* By process, and not by connection: or who opens many of those floods the log. */
static void who_asks_the_same_again_is_counted(void **state)
{
	struct peer one = w.a, other = w.a;
	unsigned int before = audited.n;

	(void)state;
	other.pid++;
	for (unsigned int i = 0; i < 20; i++, one.conn++)
		grant_nothing(&one);
	assert_int_equal(audited.n - before, 1);
	assert_string_equal(audited.again, "");
	grant_nothing(&other);
	assert_int_equal(audited.n - before, 2);
	audit_flush(w.audit);
	assert_int_equal(audited.n - before, 3);
	assert_string_equal(audited.again, "19");
	assert_string_equal(audited.call, "GrantLease");
	/* Nobody asks for a while. */
	audit_flush(w.audit);
	assert_int_equal(audited.n - before, 3);
	grant_nothing(&one);
	assert_int_equal(audited.n - before, 4);
	assert_string_equal(audited.again, "");
	audit_flush(w.audit);
	assert_int_equal(audited.n - before, 4);
}

/* ---- time ---- */

static struct call *begin_with_timeout(uint32_t ms)
{
	Xskd__GetInfoRequest m = EMPTY(get_info_request);
	Xskd__Request request = EMPTY(request);
	struct fdset none = FDSET_INIT;
	uint8_t buf[64];
	struct call *call;
	int err;

	request.id = 3;
	request.timeout_ms = ms;
	request.call_case = CASE(GET_INFO);
	request.get_info = &m;
	call = begin_bytes(&w, &w.a, buf, xskd__request__pack(&request, buf), &none, &err);
	assert_non_null(call);
	return call;
}

static int code_after(uint32_t timeout_ms, long waited_ms)
{
	struct call *call = begin_with_timeout(timeout_ms);
	struct answer a;
	int code;

	call->began.tv_sec -= waited_ms / 1000;
	call->began.tv_nsec -= waited_ms % 1000 * 1000000;
	a = finish(call, true);
	code = answer_code(&a);
	answer_done(&a);
	return code;
}

static void a_call_whose_turn_comes_too_late_is_not_begun(void **state)
{
	(void)state;
	assert_int_equal(code_after(1000, 0), XSKD__CODE__OK);
	assert_int_equal(code_after(1000, 1100), XSKD__CODE__DEADLINE_EXCEEDED);
	assert_int_equal(code_after(1, 60000), XSKD__CODE__DEADLINE_EXCEEDED);
	assert_int_equal(code_after(0, 86400000), XSKD__CODE__OK);
	assert_int_equal(code_after(UINT32_MAX, 86400000), XSKD__CODE__OK);
}

/* What was begun is ended: half a hand-off helps nobody. */
static void a_call_that_has_begun_is_not_late(void **state)
{
	Xskd__GrantLeaseRequest m = EMPTY(grant_lease_request);
	struct call *call;
	struct answer a;

	(void)state;
	m.container = str("a");
	m.interface = str("eth0");
	m.netns_fd = 1;
	call = begin(&w, &w.admin, CASE(GRANT_LEASE), &m, &w.pod_a, 1);
	call->req->timeout_ms = 1000;
	assert_false(go(call, true));
	call->began.tv_sec -= 3600;
	a = finish(call, true);
	assert_int_equal(answer_code(&a), XSKD__CODE__OK);
	answer_done(&a);
}

/* ---- replies ---- */

/* Statistics of a map with more queues than fit: as many as the contract says. */
static void the_largest_reply_fits_a_packet(void **state)
{
	Xskd__GetStatsRequest m = EMPTY(get_stats_request);
	struct answer a;

	(void)state;
	w.host0->dev.max_queues = 60000;
	m.program_id = world_load(&w, fake_netns_home(), "host0");
	a = ask(&w, &w.admin, CASE(GET_STATS), &m, NULL, 0);
	assert_int_equal(answer_code(&a), XSKD__CODE__OK);
	assert_int_equal(a.m->get_stats->n_queues, 512);
	answer_done(&a);
}

static void the_log_of_the_verifier_comes_with_the_status(void **state)
{
	Xskd__LoadProgramRequest m = EMPTY(load_program_request);
	cleanup(close_fdp) int object = fake_object(0);
	const int fds[] = { w.pod_a, object };
	struct answer a;

	(void)state;
	m.interface = str("eth0");
	m.netns_fd = 1;
	m.object_fd = 2;
	a = ask(&w, &w.admin, CASE(LOAD_PROGRAM), &m, fds, 2);
	assert_int_equal(answer_code(&a), XSKD__CODE__INVALID_ARGUMENT);
	assert_non_null(strstr(a.m->status->log, "invalid func"));
	assert_int_equal(a.m->status->system_errno, EINVAL);
	answer_done(&a);
}

static void a_reply_that_is_lost_leaves_no_fd(void **state)
{
	const struct {
		Xskd__Request__CallCase which;
		bool map;
	} calls[] = { { CASE(HAND_OFF_SOCKET), false }, { CASE(GET_XSK_MAP), true } };

	(void)state;
	world_pods(&w);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		Xskd__HandOffSocketRequest handoff = EMPTY(hand_off_socket_request);
		Xskd__GetXskMapRequest map = EMPTY(get_xsk_map_request);
		cleanup(close_fdp) int umem = world_umem(64 * 2048);
		struct answer a;

		map.interface = handoff.interface = str("eth0");
		handoff.umem_fd = 1;
		a = finish(begin(&w, &w.a, calls[i].which,
				 calls[i].map ? (void *)&map : (void *)&handoff, &umem,
				 calls[i].map ? 0 : 1),
			   false);
		answer_done(&a);
	}
	assert_int_equal(fake_sockets(), 0);
}

static void info_says_who_one_is(void **state)
{
	Xskd__GetInfoRequest m = EMPTY(get_info_request);
	struct answer a;

	(void)state;
	world_pods(&w);
	a = ask(&w, &w.b, CASE(GET_INFO), &m, NULL, 0);
	assert_false(a.m->get_info->admin);
	assert_int_equal(a.m->get_info->netns_cookie, w.b.cookie);
	assert_int_equal(a.m->get_info->leases, 1);
	assert_int_equal(a.m->get_info->programs, 0);
	assert_true(a.m->get_info->features->full_handoff);
	assert_int_equal(a.m->get_info->limits->packet_bytes, PACKET_MAX);
	answer_done(&a);
	a = ask(&w, &w.admin, CASE(GET_INFO), &m, NULL, 0);
	assert_true(a.m->get_info->admin);
	assert_int_equal(a.m->get_info->leases, 2);
	assert_int_equal(a.m->get_info->programs, 2);
	answer_done(&a);
}

/* ---- shape ---- */

static void names_of_interfaces_are_what_the_kernel_takes(void **state)
{
	const char *const bad[] = {
		"",    ".",    "..",   "a/b",  "a:b",         "a b", "a\tb", "0123456789abcdef",
		"a'b", "a\"b", "a\\b", "\x80", "caf\xc3\xa9", "a\nb"
	};
	Xskd__GetProgramRequest m = EMPTY(get_program_request);
	struct answer a;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		m.interface = str(bad[i]);
		a = ask(&w, &w.admin, CASE(GET_PROGRAM), &m, NULL, 0);
		assert_int_equal(answer_code(&a), XSKD__CODE__INVALID_ARGUMENT);
		answer_done(&a);
	}
	m.interface = str("0123456789abcde");
	a = ask(&w, &w.admin, CASE(GET_PROGRAM), &m, NULL, 0);
	assert_int_equal(answer_code(&a), XSKD__CODE__NOT_FOUND);
	answer_done(&a);
}

static int grant_code(const char *container)
{
	Xskd__GrantLeaseRequest m = EMPTY(grant_lease_request);
	struct answer a;
	int code;

	m.container = str(container);
	m.interface = str("eth0");
	m.netns_fd = 1;
	a = ask(&w, &w.admin, CASE(GRANT_LEASE), &m, &w.pod_a, 1);
	code = answer_code(&a);
	answer_done(&a);
	return code;
}

/* A container's id becomes part of a file's name. */
static void ids_of_containers_can_be_names_of_files(void **state)
{
	const char *const bad[] = { "",    ".",   "..",  ".new-x", "../../etc/passwd",
				    "a/b", "a b", "a@b", "a\nb" };
	char longest[130];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(grant_code(bad[i]), XSKD__CODE__INVALID_ARGUMENT);
	memset(longest, 'x', sizeof(longest));
	longest[129] = '\0';
	assert_int_equal(grant_code(longest), XSKD__CODE__INVALID_ARGUMENT);
	longest[128] = '\0';
	assert_int_equal(grant_code(longest), XSKD__CODE__OK);
}

/* Strings of protobuf are UTF-8, and clients in other languages refuse a reply that is not. */
static bool is_utf8(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	while (*p) {
		int more = *p < 0x80 ? 0 : *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : *p >= 0xc2 ? 1 : -1;

		if (more < 0)
			return false;
		for (p++; more--; p++) {
			if ((*p & 0xc0) != 0x80)
				return false;
		}
	}
	return true;
}

static void a_status_is_utf8_whatever_was_asked(void **state)
{
	/* 31 letters, then one of two bytes: cut at 32 bytes, its first half is left */
	const char *const names[] = { "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xc3\xa9 and more",
				      "\xff\xfe", "caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		Xskd__GetXskMapRequest m = EMPTY(get_xsk_map_request);
		struct answer a;
		bool good;

		m.interface = str(names[i]);
		a = ask(&w, &w.a, CASE(GET_XSK_MAP), &m, NULL, 0);
		assert_int_equal(answer_code(&a), XSKD__CODE__INVALID_ARGUMENT);
		good = is_utf8(answer_text(&a));
		answer_done(&a);
		assert_true(good);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(what_is_no_request_is_refused_with_its_fds),
		world_test(a_request_without_id_is_refused),
		world_test(an_unknown_call_is_unimplemented),
		world_test(a_request_without_call_is_unimplemented),
		world_test(unknown_fields_are_ignored),
		world_test(the_last_of_several_calls_counts),
		world_test(the_id_comes_back),
		world_test(decoding_has_a_budget),
		world_test(what_a_pod_calls_needs_little_to_decode),
		world_test(a_packet_full_of_what_a_client_needs_decodes),
		world_test(fds_that_no_field_names_are_an_error),
		world_test(each_place_is_named_once_and_there),
		world_test(the_most_fds_that_fit_a_packet_are_closed_too),
		world_test(pods_may_what_the_table_says),
		world_test(administrators_are_refused_nothing_for_who_they_are),
		world_test(each_call_has_its_row),
		world_test(the_fds_of_a_forbidden_call_are_closed),
		world_test(what_is_granted_or_denied_leaves_a_line),
		world_test(who_asks_the_same_again_is_counted),
		world_test(a_call_whose_turn_comes_too_late_is_not_begun),
		world_test(a_call_that_has_begun_is_not_late),
		world_test(the_largest_reply_fits_a_packet),
		world_test(the_log_of_the_verifier_comes_with_the_status),
		world_test(a_reply_that_is_lost_leaves_no_fd),
		world_test(info_says_who_one_is),
		world_test(names_of_interfaces_are_what_the_kernel_takes),
		world_test(ids_of_containers_can_be_names_of_files),
		world_test(a_status_is_utf8_whatever_was_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
