// SPDX-License-Identifier: Apache-2.0
/*
 * Writes the corpora that fuzzers begin with into directories. For fuzz_request that is a script
 * for each call, and some for what takes several; for fuzz_cni something of each kind. Kept as this
 * program and not as files, so that it follows the protocol.
 */
#include <stdio.h>
#include <string.h>

#include "script.h"
#include "xskd.pb-c.h"

/* A message as its initialiser gives it, which would cast a const away. */
#define EMPTY(name)                                                          \
	({                                                                   \
		__typeof__(*(xskd__##name##__unpack)(NULL, 0, NULL)) empty_; \
		xskd__##name##__init(&empty_);                               \
		empty_;                                                      \
	})

#define ADMIN 0
#define POD_A 1
#define POD_B 2

static uint8_t script[65536];
static size_t len;

static void begin(uint8_t settings)
{
	script[0] = settings;
	len = 1;
}

static void add(uint8_t action, uint8_t peer, Xskd__Request__CallCase which, void *message,
		uint8_t n_fds, uint8_t kinds)
{
	static uint8_t packed[4096];
	Xskd__Request request = EMPTY(request);
	struct record r = { .action = action, .peer = peer, .n_fds = n_fds, .kinds = kinds };

	request.id = 1;
	request.call_case = which;
	request.get_info = message; /* a union of pointers */
	r.len = (uint16_t)xskd__request__pack(&request, packed);
	r.payload = packed;
	len += script_put(script + len, sizeof(script) - len, &r);
}

static void happen(uint8_t action, uint8_t peer, uint8_t arg)
{
	struct record r = { .action = action, .peer = peer, .arg = arg, .payload = script };

	len += script_put(script + len, sizeof(script) - len, &r);
}

static int save(const char *dir, const char *name)
{
	char path[512];
	FILE *file;
	bool good;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "wb");
	if (!file) {
		perror(path);
		return 1;
	}
	good = fwrite(script, 1, len, file) == len;
	return fclose(file) == 0 && good ? 0 : 1;
}

static char *str(const char *s)
{
	return (char *)(uintptr_t)s;
}

/* Each call by each kind of peer, with nothing in it. */
static int seed_empty(const char *dir)
{
	for (unsigned int i = 2; i < xskd__request__descriptor.n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &xskd__request__descriptor.fields[i];
		const ProtobufCMessageDescriptor *d = f->descriptor;
		void *m = calloc(1, d->sizeof_message);

		if (!m)
			return 1;
		protobuf_c_message_init(d, m);
		begin(0);
		for (uint8_t peer = ADMIN; peer <= POD_A; peer++)
			add(SCRIPT_ASK, peer, (Xskd__Request__CallCase)f->id, m, 0, 0);
		free(m);
		if (save(dir, f->name))
			return 1;
	}
	return 0;
}

static int seed_grant(const char *dir)
{
	Xskd__LoadProgramRequest load = EMPTY(load_program_request);
	Xskd__GrantLeaseRequest grant = EMPTY(grant_lease_request);
	Xskd__RevokeLeaseRequest revoke = EMPTY(revoke_lease_request);
	Xskd__GetXskMapRequest map = EMPTY(get_xsk_map_request);
	Xskd__GetStatsRequest stats = EMPTY(get_stats_request);
	Xskd__UnloadProgramRequest unload = EMPTY(unload_program_request);
	uint32_t queues[] = { 0, 1 };

	begin(SCRIPT_EMPTY);
	load.interface = grant.interface = map.interface = stats.interface = str("eth0");
	load.netns_fd = grant.netns_fd = 1;
	grant.container = revoke.container = str("a");
	unload.id = 1;
	unload.force = true;
	add(SCRIPT_ASK, ADMIN, XSKD__REQUEST__CALL_LOAD_PROGRAM, &load, 1, 1);
	add(SCRIPT_ASK, ADMIN, XSKD__REQUEST__CALL_GRANT_LEASE, &grant, 1, 1);
	add(SCRIPT_ASK, POD_A, XSKD__REQUEST__CALL_GET_XSK_MAP, &map, 0, 0);
	add(SCRIPT_ASK, POD_A, XSKD__REQUEST__CALL_GET_STATS, &stats, 0, 0);
	grant.container = str("b");
	grant.device = str("host0");
	grant.queues = queues;
	grant.n_queues = 2;
	add(SCRIPT_BEGIN, ADMIN, XSKD__REQUEST__CALL_GRANT_LEASE, &grant, 1, 2);
	add(SCRIPT_BEGIN, ADMIN, XSKD__REQUEST__CALL_REVOKE_LEASE, &revoke, 0, 0);
	for (uint8_t i = 0; i < 8; i++)
		happen(SCRIPT_STEP, 0, i);
	add(SCRIPT_ASK, ADMIN, XSKD__REQUEST__CALL_UNLOAD_PROGRAM, &unload, 0, 0);
	happen(SCRIPT_RESTART, 0, 0);
	return save(dir, "grant-and-revoke");
}

/* A program that goes with its last lease, while others look for it. */
static int seed_transient(const char *dir)
{
	Xskd__LoadProgramRequest load = EMPTY(load_program_request);
	Xskd__GrantLeaseRequest grant = EMPTY(grant_lease_request);
	Xskd__RevokeLeaseRequest revoke = EMPTY(revoke_lease_request);
	Xskd__UnloadProgramRequest unload = EMPTY(unload_program_request);
	Xskd__ListSocketsRequest sweep = EMPTY(list_sockets_request);

	begin(SCRIPT_EMPTY);
	load.interface = grant.device = unload.interface = str("host0");
	load.transient = true;
	grant.interface = str("net1");
	grant.container = revoke.container = str("a");
	grant.netns_fd = 1;
	grant.queue_count = 3;
	add(SCRIPT_ASK, ADMIN, XSKD__REQUEST__CALL_LOAD_PROGRAM, &load, 0, 0);
	add(SCRIPT_ASK, ADMIN, XSKD__REQUEST__CALL_GRANT_LEASE, &grant, 1, 1);
	add(SCRIPT_BEGIN, ADMIN, XSKD__REQUEST__CALL_REVOKE_LEASE, &revoke, 0, 0);
	happen(SCRIPT_STEP, 0, 0);
	add(SCRIPT_BEGIN, ADMIN, XSKD__REQUEST__CALL_UNLOAD_PROGRAM, &unload, 0, 0);
	grant.container = str("b");
	add(SCRIPT_BEGIN, ADMIN, XSKD__REQUEST__CALL_GRANT_LEASE, &grant, 1, 2);
	for (uint8_t i = 0; i < 12; i++)
		happen(SCRIPT_STEP, 0, i);
	add(SCRIPT_ASK, ADMIN, XSKD__REQUEST__CALL_LOAD_PROGRAM, &load, 0, 0);
	happen(SCRIPT_DEVICE, 0, 3 << 2 | 1); /* the end of b's namespace */
	add(SCRIPT_BEGIN, ADMIN, XSKD__REQUEST__CALL_LIST_SOCKETS, &sweep, 0, 0);
	add(SCRIPT_ASK, ADMIN, XSKD__REQUEST__CALL_LOAD_PROGRAM, &load, 0, 0);
	happen(SCRIPT_RESTART, 0, 0);
	happen(SCRIPT_EXPIRE, 0, 0);
	add(SCRIPT_ASK, ADMIN, XSKD__REQUEST__CALL_LIST_SOCKETS, &sweep, 0, 0);
	return save(dir, "transient");
}

static int seed_object(const char *dir)
{
	Xskd__LoadProgramRequest load = EMPTY(load_program_request);
	Xskd__Constant constant = EMPTY(constant), *list[] = { &constant };

	begin(SCRIPT_EMPTY);
	constant.name = str("limit");
	constant.number = 7;
	load.interface = str("host1");
	load.object_fd = 1;
	load.program = str("xdp");
	load.map = str("xsks_map");
	load.constants = list;
	load.n_constants = 1;
	add(SCRIPT_ASK, ADMIN, XSKD__REQUEST__CALL_LOAD_PROGRAM, &load, 1 | 8, 3);
	add(SCRIPT_ASK, ADMIN, XSKD__REQUEST__CALL_LOAD_PROGRAM, &load, 1, 3);
	return save(dir, "object");
}

static int seed_handoff(const char *dir, const char *name, uint8_t settings, bool keep,
			bool unbound)
{
	Xskd__HandOffSocketRequest m = EMPTY(hand_off_socket_request);
	Xskd__BindSocketRequest bind = EMPTY(bind_socket_request);
	Xskd__ReleaseSocketRequest release = EMPTY(release_socket_request);
	Xskd__ListSocketsRequest list = EMPTY(list_sockets_request);
	Xskd__WatchEventsRequest watch = EMPTY(watch_events_request);
	Xskd__BusyPoll poll = EMPTY(busy_poll);
	uint32_t queues[] = { 2, 3 };
	uint64_t ids[] = { 3, 4 }; /* the leases have 1 and 2 */

	begin(settings);
	poll.timeout_us = 20;
	poll.budget = 64;
	m.interface = str("eth0");
	m.queues = queues;
	m.n_queues = 2;
	m.umem_fd = !unbound;
	m.keep = keep;
	m.unbound = unbound;
	m.busy_poll = &poll;
	m.frame_size = 4096;
	m.headroom = 256;
	bind.sockets = release.sockets = ids;
	bind.n_sockets = release.n_sockets = 2;
	add(SCRIPT_ASK, POD_A, XSKD__REQUEST__CALL_WATCH_EVENTS, &watch, 0, 0);
	add(SCRIPT_ASK, POD_A, XSKD__REQUEST__CALL_HAND_OFF_SOCKET, &m, !unbound, 0);
	add(SCRIPT_ASK, POD_A, XSKD__REQUEST__CALL_BIND_SOCKET, &bind, 0, 0);
	add(SCRIPT_ASK, POD_A, XSKD__REQUEST__CALL_HAND_OFF_SOCKET, &m, !unbound, 0);
	happen(SCRIPT_CLOSE, 0, 0);
	m.interface = str("net1");
	add(SCRIPT_BEGIN, POD_B, XSKD__REQUEST__CALL_HAND_OFF_SOCKET, &m, !unbound, 0);
	happen(SCRIPT_STEP, 0, 0);
	happen(SCRIPT_DEVICE, 0, 4);
	add(SCRIPT_ASK, POD_A, XSKD__REQUEST__CALL_LIST_SOCKETS, &list, 0, 0);
	add(SCRIPT_ASK, POD_A, XSKD__REQUEST__CALL_RELEASE_SOCKET, &release, 0, 0);
	happen(SCRIPT_EXPIRE, 0, 0);
	happen(SCRIPT_HANG_UP, POD_B, 0);
	return save(dir, name);
}

/* A kept hand-off of which the first socket is released, and the rest asked for again. */
static int seed_rest(const char *dir)
{
	Xskd__HandOffSocketRequest m = EMPTY(hand_off_socket_request);
	Xskd__ReleaseSocketRequest release = EMPTY(release_socket_request);
	uint32_t queues[] = { 2, 3 };
	uint64_t id = 3;

	begin(0);
	m.interface = str("eth0");
	m.queues = queues;
	m.n_queues = 2;
	m.umem_fd = 1;
	m.keep = true;
	release.sockets = &id;
	release.n_sockets = 1;
	add(SCRIPT_ASK, POD_A, XSKD__REQUEST__CALL_HAND_OFF_SOCKET, &m, 1, 0);
	add(SCRIPT_ASK, POD_A, XSKD__REQUEST__CALL_RELEASE_SOCKET, &release, 0, 0);
	m.queues = queues + 1;
	m.n_queues = 1;
	add(SCRIPT_ASK, POD_A, XSKD__REQUEST__CALL_HAND_OFF_SOCKET, &m, 1, 0);
	return save(dir, "keep-the-rest");
}

/* ---- for fuzz_cni: a byte of kind (enum kind there), then text ---- */

static int seed_text(const char *dir, const char *name, char kind, const char *text)
{
	len = (size_t)snprintf((char *)script, sizeof(script), "%c%s", kind, text);
	for (size_t i = 1; i < len; i++) {
		if (script[i] == '\'')
			script[i] = '"';
	}
	return save(dir, name);
}

#define CNI_BASE "'cniVersion': '1.1.0', 'name': 'net', 'type': 'xskd-cni', "

static int seed_cni(const char *dir)
{
	return seed_text(dir, "device", 0,
			 "{ " CNI_BASE "'device': '0000:3b:00.0', 'queues': '0-3,7', "
			 "'xdpMode': 'native', 'program': { 'object': '/x.o', 'name': 'f', "
			 "'map': 'm', 'constants': { 'a': 5, 'b': 'hex:0a0b' } }, "
			 "'mac': '02:00:00:00:00:01', 'mtu': 1500, 'channels': 2, 'busyPoll': "
			 "{ 'napiDeferHardIrqs': 2, 'groFlushTimeout': 200000 }, "
			 "'allowInUse': ['eth0'], 'ipam': { 'type': 'host-local' }, 'dns': {}, "
			 "'socketDir': '/s', 'logFile': '/l', 'runtimeConfig': { 'mac': "
			 "'02:00:00:00:00:02', 'mtu': 68, 'deviceID': 'eth1' } }") ||
	       seed_text(dir, "queue", 0,
			 "{ " CNI_BASE "'mode': 'queue', 'device': 'eth0', 'queues': "
			 "{ 'count': 2 }, 'filters': [{ 'flow': 'udp4', 'srcIP': '10.0.0.1', "
			 "'dstIP': 'pod', 'srcPort': 1, 'dstPort': 2, 'queue': 0 }, { 'flow': "
			 "'ether', 'dstMAC': '02:00:00:00:00:01', 'etherType': 35063 }] }") ||
	       seed_text(dir, "args", 1,
			 "IgnoreUnknown=1;K8S_POD_NAME=web;K8S_POD_NAMESPACE=default;"
			 "K8S_POD_UID=1-2") ||
	       seed_text(dir, "record", 2,
			 "{ 'kind': 'moved', 'container': 'c', 'ifname': 'net1', 'netns': '/ns', "
			 "'args': 'K8S_POD_NAME=web', 'path': '/p', 'network': 'net', "
			 "'cookie': 7, 'program': 5, 'queues': [0], 'config': { " CNI_BASE
			 "'device': 'eth0' } }") ||
	       seed_text(dir, "reply", 3, "0123456789abcdef\x08") ||
	       seed_text(dir, "result", 4,
			 "{ " CNI_BASE "'prevResult': { 'interfaces': [{ 'name': 'net1', "
			 "'sandbox': '/ns' }], 'ips': [{ 'address': '10.0.0.2/24' }] }, 'args': "
			 "{ 'ips': [{ 'version': '4', 'address': '10.0.0.5/24', 'interface': 0 }], "
			 "'routes': [{ 'dst': '0.0.0.0/0' }], 'dns': { 'domain': 'x' } } }");
}

static int seed_request(const char *dir)
{
	return seed_empty(dir) || seed_grant(dir) || seed_transient(dir) || seed_object(dir) ||
	       seed_rest(dir) || seed_handoff(dir, "handoff", 0, false, false) ||
	       seed_handoff(dir, "keep", 0, true, false) ||
	       seed_handoff(dir, "unbound", 0, false, true) ||
	       seed_handoff(dir, "two-phases", SCRIPT_TWO_PHASES, false, false) ||
	       seed_handoff(dir, "two-phases-keep", SCRIPT_TWO_PHASES, true, false) ||
	       seed_handoff(dir, "old-kernel", SCRIPT_TWO_PHASES | SCRIPT_OLD_BIND, false, true) ||
	       seed_handoff(dir, "tight", SCRIPT_TIGHT | SCRIPT_ZERO_COPY, false, false);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s REQUEST-DIR CNI-DIR\n", argv[0]);
		return 2;
	}
	return seed_request(argv[1]) || seed_cni(argv[2]);
}
