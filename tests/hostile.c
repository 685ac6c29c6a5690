// SPDX-License-Identifier: Apache-2.0
/*
 * A client that means harm:
 *
 *	hostile SOCKET INTERFACE ATTACK [SEED]
 *
 * Makes one attack on the daemon behind SOCKET over and over, until it is ended. Prints "ready"
 * after the first round. `hostile --list` names the attacks. It runs at the lowest priority:
 * what a test measures beside it shall be how the daemon shares itself out, not how the kernel
 * shares the CPUs.
 */
#include "hostile_client.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fuzz/mutate.h"

#define MIB   (1 << 20)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

static const char *interface;

static bool ask_handoff(int sock, int umem, uint32_t ring)
{
	Xskd__HandOffSocketRequest m = EMPTY(hand_off_socket_request);

	m.interface = (char *)(uintptr_t)interface;
	m.umem_fd = 1;
	m.fill_size = m.completion_size = m.rx_size = m.tx_size = ring;
	return ASK(sock, HAND_OFF_SOCKET, &m, &umem, 1);
}

/* ---- bytes ---- */

static void garbage(void)
{
	int sock = dial();
	size_t len = 1 + mutate_random(4096);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)mutate_random(256);
	for (int i = 0; i < 16 && throw(sock, len, NULL, 0); i++)
		len = 1 + mutate_random(4096);
	close(sock);
}

static void huge(void)
{
	int sock = dial();

	(void) throw(sock, PACKET_MAX + 1 + mutate_random(2 * PACKET_MAX), NULL, 0);
	(void) throw(sock, PACKET_MAX, NULL, 0);
	close(sock);
}

static void truncated(void)
{
	Xskd__Request *req = mutate_new();
	int sock = dial();
	size_t len = 0;

	if (req && xskd__request__get_packed_size(req) < sizeof(bytes))
		len = xskd__request__pack(req, bytes);
	xskd__request__free_unpacked(req, NULL);
	while (len > 1 && throw(sock, len, NULL, 0))
		len -= 1 + mutate_random((uint32_t)len - 1);
	close(sock);
}

/* ---- descriptors ---- */

/* Requests that are valid and make no sense, with descriptors of all kinds. */
static void nonsense(void)
{
	int sock = conn(0);

	for (int i = 0; i < 64; i++) {
		Xskd__Request *req = mutate_new();
		struct fdset fds = FDSET_INIT;
		size_t len = 0;

		for (uint32_t n = mutate_random(4); n; n--) {
			int fd = odd_fd(mutate_random(14));

			if (fd >= 0)
				(void)!fdset_add(&fds, fd);
		}
		if (req && xskd__request__get_packed_size(req) <= PACKET_MAX)
			len = xskd__request__pack(req, bytes);
		xskd__request__free_unpacked(req, NULL);
		if (len)
			(void) throw(sock, len, fds.fd, fds.n);
		fdset_done(&fds);
		ignore(sock);
	}
}

/* As UMEM, as a namespace, as an object; the connection itself, too. */
static void odd(void)
{
	Xskd__LoadProgramRequest load = EMPTY(load_program_request);
	Xskd__GrantLeaseRequest grant = EMPTY(grant_lease_request);
	int sock = conn(0);

	load.interface = grant.interface = grant.container = (char *)(uintptr_t)interface;
	load.object_fd = grant.netns_fd = 1;
	for (unsigned int kind = 0; kind < 15; kind++) {
		int fd = kind == 14 ? dup(sock) : odd_fd(kind);

		if (fd < 0)
			continue;
		(void)ask_handoff(sock, fd, 0);
		(void)ASK(sock, LOAD_PROGRAM, &load, &fd, 1);
		(void)ASK(sock, GRANT_LEASE, &grant, &fd, 1);
		close(fd);
		ignore(sock);
	}
}

static void fd_flood(void)
{
	Xskd__GetInfoRequest info = EMPTY(get_info_request);
	int sock = dial(), fds[FLOOD_FDS];

	for (size_t i = 0; i < FLOOD_FDS; i++)
		fds[i] = sock;
	for (size_t n = PACKET_FDS; ASK(sock, GET_INFO, &info, fds, n);)
		n = mutate_random(4) ? PACKET_FDS : FLOOD_FDS;
	close(sock);
}

/* Sockets that keep each other alive in flight: the kernel's collector has to find them. */
static void cycles(void)
{
	Xskd__GetInfoRequest info = EMPTY(get_info_request);
	int sock = dial(), pair[2];

	(void)ASK(sock, GET_INFO, &info, &sock, 1);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0) {
		(void) throw(pair[0], 1, (const int[]){ pair[0], pair[1], sock }, 3);
		(void) throw(pair[1], 1, (const int[]){ pair[0], pair[1], sock }, 3);
		(void)ASK(sock, GET_INFO, &info, pair, 2);
		close(pair[0]);
		close(pair[1]);
	}
	close(sock);
}

/* ---- reading little, connecting much ---- */

static void storm(void)
{
	for (int i = 0; i < 64; i++)
		close(dial());
}

static void half_closed(void)
{
	Xskd__GetInfoRequest info = EMPTY(get_info_request);

	for (size_t i = 0; i < MANY; i++) {
		int sock = conn(i);

		(void)ASK(sock, GET_INFO, &info, NULL, 0);
		(void)shutdown(sock, mutate_random(2) ? SHUT_WR : SHUT_RD);
	}
}

/* Asks for what is largest, on all its connections, and never reads. */
static void deaf(void)
{
	Xskd__ListLeasesRequest leases = EMPTY(list_leases_request);
	Xskd__ListSocketsRequest sockets = EMPTY(list_sockets_request);

	for (size_t i = 0; i < MANY; i++) {
		int sock = conn(i);

		for (int n = 0; n < 64; n++) {
			if (!ASK(sock, LIST_LEASES, &leases, NULL, 0) ||
			    !ASK(sock, LIST_SOCKETS, &sockets, NULL, 0))
				break;
		}
	}
}

/* As before, and each reply brings a descriptor. */
static void deaf_to_maps(void)
{
	Xskd__GetXskMapRequest map = EMPTY(get_xsk_map_request);

	map.interface = (char *)(uintptr_t)interface;
	for (size_t i = 0; i < MANY; i++) {
		for (int n = 0; n < 64 && ASK(conn(i), GET_XSK_MAP, &map, NULL, 0); n++)
			;
	}
}

/* A packet now and then, of what it asks for all the time. */
static void slow(void)
{
	Xskd__ListLeasesRequest leases = EMPTY(list_leases_request);

	for (size_t i = 0; i < MANY; i++) {
		int sock = conn(i);
		struct fdset fds;

		for (int n = 0; n < 16 && ASK(sock, LIST_LEASES, &leases, NULL, 0); n++)
			;
		xskd__reply__free_unpacked(hear(sock, &fds), NULL);
		fdset_done(&fds);
	}
}

/* Watches by all connections, reads by none, and makes events happen. */
static void watch(void)
{
	Xskd__WatchEventsRequest w = EMPTY(watch_events_request);
	int sock = dial(), umem = memfd(MIB, SEALS);

	for (size_t i = 0; i < MANY; i++)
		(void)ASK(conn(i), WATCH_EVENTS, &w, NULL, 0);
	for (int i = 0; i < 64 && ask_handoff(sock, umem, 0); i++) {
		Xskd__ReleaseSocketRequest release = EMPTY(release_socket_request);
		struct fdset fds;
		Xskd__Reply *r = hear(sock, &fds);

		if (r && r->result_case == XSKD__REPLY__RESULT_HAND_OFF_SOCKET) {
			release.n_sockets = 1;
			release.sockets = &r->hand_off_socket->sockets[0]->id;
			(void)ASK(sock, RELEASE_SOCKET, &release, NULL, 0);
		}
		xskd__reply__free_unpacked(r, NULL);
		fdset_done(&fds);
		ignore(sock);
	}
	close(umem);
	close(sock);
}

/* ---- calls ---- */

static void lists(void)
{
	Xskd__ListLeasesRequest leases = EMPTY(list_leases_request);
	Xskd__ListSocketsRequest sockets = EMPTY(list_sockets_request);
	Xskd__GetStatsRequest stats = EMPTY(get_stats_request);

	stats.interface = (char *)(uintptr_t)interface;
	for (size_t i = 0; i < MANY; i++) {
		int sock = conn(i);

		leases.after = sockets.after = mutate_random(2) ? mutate_random(UINT32_MAX) : 0;
		(void)ASK(sock, LIST_LEASES, &leases, NULL, 0);
		(void)ASK(sock, LIST_SOCKETS, &sockets, NULL, 0);
		(void)ASK(sock, GET_STATS, &stats, NULL, 0);
		ignore(sock);
	}
}

static void deadlines(void)
{
	static const uint32_t timeouts[] = { 1, INT32_MAX, (uint32_t)INT32_MAX + 1, UINT32_MAX };
	Xskd__Request req = EMPTY(request);
	Xskd__GetStatsRequest stats = EMPTY(get_stats_request);

	stats.interface = (char *)(uintptr_t)interface;
	req.call_case = XSKD__REQUEST__CALL_GET_STATS;
	req.get_stats = &stats;
	for (size_t i = 0; i < MANY; i++) {
		int sock = conn(0);

		req.id = UINT64_MAX - i % 2; /* others with that id are under way */
		req.timeout_ms = timeouts[i % 4];
		(void) throw(sock, xskd__request__pack(&req, bytes), NULL, 0);
		ignore(sock);
	}
}

static void deface(void)
{
	Xskd__GetXskMapRequest map = EMPTY(get_xsk_map_request);
	union bpf_attr attr = { 0 };
	int sock = conn(0);
	uint32_t key = 0;
	struct fdset fds;

	map.interface = (char *)(uintptr_t)interface;
	if (!ASK(sock, GET_XSK_MAP, &map, NULL, 0))
		return;
	xskd__reply__free_unpacked(hear(sock, &fds), NULL);
	if (fds.n) {
		attr.map_fd = (uint32_t)fds.fd[0];
		attr.key = attr.value = (uint64_t)(uintptr_t)&key;
		(void)syscall(SYS_bpf, BPF_MAP_DELETE_ELEM, &attr, sizeof(attr));
		(void)syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr));
		(void)syscall(SYS_bpf, BPF_MAP_FREEZE, &attr, sizeof(attr));
	}
	fdset_done(&fds);
}

/* ---- sockets and their memory ---- */

static _Atomic int punched = -1;

static void *punch(void *arg)
{
	(void)arg;
	for (;;) {
		int fd = atomic_load(&punched);

		if (fd >= 0)
			(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					(off_t)mutate_random(MIB / 4096) * 4096, 4096);
	}
	return NULL;
}

/* Holes, while the daemon checks and registers. */
static void holes(void)
{
	static pthread_t thread;
	int sock = conn(0), fd = memfd(MIB, SEALS);
	struct fdset fds;

	if (!thread && pthread_create(&thread, NULL, punch, NULL) != 0)
		exit(1);
	atomic_store(&punched, fd);
	if (ask_handoff(sock, fd, 64)) {
		xskd__reply__free_unpacked(hear(sock, &fds), NULL);
		fdset_done(&fds);
	}
	atomic_store(&punched, -1);
	close(fd);
}

static void bad_memory(void)
{
	static const int seals[] = { 0, F_SEAL_GROW, SEALS | F_SEAL_FUTURE_WRITE,
				     SEALS | F_SEAL_WRITE, SEALS | F_SEAL_SEAL };
	int sock = conn(0);

	for (size_t i = 0; i < sizeof(seals) / sizeof(*seals); i++) {
		int fd = memfd(MIB, seals[i]);

		(void)ask_handoff(sock, fd, 64);
		(void)!ftruncate(fd, 4096);
		close(fd);
		fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
		if (fd >= 0) {
			(void)!ftruncate(fd, 1L << 40);
			(void)fcntl(fd, F_ADD_SEALS, SEALS);
			(void)ask_handoff(sock, fd, 64);
			close(fd);
		}
		ignore(sock);
	}
}

/* Gives the socket up but keeps it open: the next hand-off waits a second for its queue. */
static void queues(void)
{
	Xskd__ReleaseSocketRequest release = EMPTY(release_socket_request);
	int umem = memfd(MIB, SEALS);
	struct fdset held = FDSET_INIT, fds;

	for (size_t i = 0; i < MANY; i++) {
		int sock = conn(i);
		Xskd__Reply *r;

		if (!ask_handoff(sock, umem, 64))
			continue;
		r = hear(sock, &fds);
		if (r && r->result_case == XSKD__REPLY__RESULT_HAND_OFF_SOCKET) {
			release.n_sockets = 1;
			release.sockets = &r->hand_off_socket->sockets[0]->id;
			(void)ASK(sock, RELEASE_SOCKET, &release, NULL, 0);
			fdset_done(&held);
			fdset_move(&held, &fds);
		}
		xskd__reply__free_unpacked(r, NULL);
		fdset_done(&fds);
	}
	fdset_done(&held);
	close(umem);
}

static void big(void)
{
	int sock = conn(0), umem = memfd(64 * MIB, SEALS);
	struct fdset fds;

	(void)ask_handoff(sock, umem, 32768);
	close(umem);
	xskd__reply__free_unpacked(hear(sock, &fds), NULL);
	fdset_done(&fds);
}

/* ---- all of them ---- */

static const struct {
	const char *name;
	void (*round)(void);
} attacks[] = {
	{ "garbage", garbage },
	{ "huge", huge },
	{ "truncated", truncated },
	{ "nonsense", nonsense },
	{ "odd-fds", odd },
	{ "fd-flood", fd_flood },
	{ "cycles", cycles },
	{ "storm", storm },
	{ "half-closed", half_closed },
	{ "deaf", deaf },
	{ "slow", slow },
	{ "watch", watch },
	{ "deaf-to-maps", deaf_to_maps },
	{ "lists", lists },
	{ "deadlines", deadlines },
	{ "deface", deface },
	{ "holes", holes },
	{ "bad-memory", bad_memory },
	{ "queues", queues },
	{ "big", big },
};

int main(int argc, char **argv)
{
	void (*round)(void) = NULL;

	if (argc == 2 && !strcmp(argv[1], "--list")) {
		for (size_t i = 0; i < sizeof(attacks) / sizeof(*attacks); i++)
			puts(attacks[i].name);
		return 0;
	}
	for (size_t i = 0; argc >= 4 && i < sizeof(attacks) / sizeof(*attacks); i++) {
		if (!strcmp(attacks[i].name, argv[3]))
			round = attacks[i].round;
	}
	if (!round) {
		fputs("usage: hostile SOCKET INTERFACE ATTACK [SEED] | --list\n", stderr);
		return 2;
	}
	client_path = argv[1];
	interface = argv[2];
	mutate_seed(argc > 4 ? (unsigned int)atoi(argv[4]) : 1);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)setpriority(PRIO_PROCESS, 0, 19);
	round();
	puts("ready");
	fflush(stdout);
	for (;;)
		round();
}
