// SPDX-License-Identifier: Apache-2.0
/*
 * What is in the state directory when the daemon starts: files that another version wrote, or a
 * disk that lies. The check sum is made right, or nothing behind it would ever be reached.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "check.h"
#include "mutate.h"
#include "world.h"

static struct world w;
static int umem;

static void put_file(enum state_kind kind, const char *name, const uint8_t *data, size_t size)
{
	int fd = openat(w.core.state.dir[kind], name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0600);
	uint32_t crc = (uint32_t)crc32(0, data, (uInt)size);

	check(fd >= 0 && write(fd, &crc, sizeof(crc)) == sizeof(crc) &&
	      write(fd, data, size) == (ssize_t)size);
	close(fd);
}

/* Version, boot id and name are made to fit, as seldom as libFuzzer would guess them. */
static void put_fitting(enum state_kind kind, const char *number, const uint8_t *data, size_t size)
{
	Xskd__StateFile *file = xskd__state_file__unpack(NULL, size, data);
	struct fault fault = FAULT_INIT;
	char name[256];

	snprintf(name, sizeof(name), "%s", number);
	if (file && kind == STATE_PROGRAMS && file->program)
		snprintf(name, sizeof(name), "%u", file->program->id);
	if (file && kind == STATE_SOCKETS && file->socket)
		snprintf(name, sizeof(name), "%lu", file->socket->id);
	if (file && kind == STATE_LEASES && file->lease && !strchr(file->lease->container, '/') &&
	    !strchr(file->lease->interface, '/'))
		lease_file_name(file->lease, name, sizeof(name));

	if (!file) {
		put_file(kind, name, data, size);
		return;
	}
	if (file->boot_id != protobuf_c_empty_string)
		free(file->boot_id);
	if (state_write(&w.core.state, kind, name, file, &fault) < 0)
		fault_done(&fault);
	file->boot_id = (char *)(uintptr_t)protobuf_c_empty_string;
	xskd__state_file__free_unpacked(file, NULL);
}

/* The requests that a daemon could trip over what it has just read with. */
static void use(void)
{
	const struct peer *const peers[] = { &w.admin, &w.a, &w.b };
	Xskd__HandOffSocketRequest handoff = EMPTY(hand_off_socket_request);
	Xskd__RevokeLeaseRequest revoke = EMPTY(revoke_lease_request);
	Xskd__ListLeasesRequest leases = EMPTY(list_leases_request);
	Xskd__ListSocketsRequest sockets = EMPTY(list_sockets_request);
	Xskd__GetXskMapRequest map = EMPTY(get_xsk_map_request);
	struct answer a;

	handoff.interface = map.interface = (char *)(uintptr_t) "eth0";
	handoff.umem_fd = 1;
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		a = ask(&w, peers[i], XSKD__REQUEST__CALL_LIST_LEASES, &leases, NULL, 0);
		answer_done(&a);
		a = ask(&w, peers[i], XSKD__REQUEST__CALL_LIST_SOCKETS, &sockets, NULL, 0);
		answer_done(&a);
		a = ask(&w, peers[i], XSKD__REQUEST__CALL_HAND_OFF_SOCKET, &handoff, &umem, 1);
		answer_done(&a);
		a = ask(&w, peers[i], XSKD__REQUEST__CALL_GET_XSK_MAP, &map, NULL, 0);
		answer_done(&a);
	}
	revoke.container = (char *)(uintptr_t) "a";
	a = ask(&w, &w.admin, XSKD__REQUEST__CALL_REVOKE_LEASE, &revoke, NULL, 0);
	answer_done(&a);
	core_netns_gone(&w.core, 102, UINT64_MAX);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	(void)setenv("TMPDIR", "/dev/shm", 0);
	umem = world_umem(16 * 2048);
	return 0;
}

static enum state_kind kind_of(uint8_t byte)
{
	return byte & 4 ? STATE_SOCKETS : byte & 1 ? STATE_LEASES : STATE_PROGRAMS;
}

/* A byte of settings, then files: a byte of kind, two of length, the file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t before = check_fds();
	char name[8];

	if (!size)
		return 0;
	world_init(&w);
	if (*data & 1)
		world_pods(&w);
	data++;
	size--;
	for (unsigned int i = 0; i < 8 && size >= 3; i++) {
		size_t len = (size_t)(data[1] | data[2] << 8);

		if (len > size - 3)
			len = size - 3;
		snprintf(name, sizeof(name), "%u", i);
		(data[0] & 2 ? put_file : put_fitting)(kind_of(data[0]), name, data + 3, len);
		data += 3 + len;
		size -= 3 + len;
	}
	world_restart(&w);
	use();
	world_restart(&w);
	world_done(&w);
	check(check_fds() == before);
	return 0;
}

/* ---- mutation ---- */

static Xskd__StateFile *new_file(void)
{
	Xskd__StateFile *file = malloc(sizeof(*file));

	check(file);
	xskd__state_file__init(file);
	return file;
}

/* One file of the input is changed or, with @fresh, a new one made. Return: its new length. */
static size_t put_mutated(uint8_t *at, size_t room, const uint8_t *old, size_t len, uint8_t kind,
			  bool fresh)
{
	Xskd__StateFile *file = fresh ? new_file() : xskd__state_file__unpack(NULL, len, old);
	size_t packed;

	if (!file)
		file = new_file();
	for (uint32_t i = 1 + mutate_random(fresh ? 12 : 4); i; i--)
		mutate_message(&file->base);
	packed = xskd__state_file__get_packed_size(file);
	if (packed + 3 > room || packed > UINT16_MAX) {
		xskd__state_file__free_unpacked(file, NULL);
		return 0;
	}
	at[0] = kind;
	at[1] = (uint8_t)packed;
	at[2] = (uint8_t)(packed >> 8);
	xskd__state_file__pack(file, at + 3);
	xskd__state_file__free_unpacked(file, NULL);
	return packed + 3;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	static uint8_t out[1 << 20];
	size_t at = 1, n = 1, target;

	mutate_seed(seed);
	if (!size || max > sizeof(out) || mutate_random(20) == 0)
		return LLVMFuzzerMutate(data, size, max);
	target = mutate_random(4);
	out[0] = (uint8_t)mutate_random(2);
	for (size_t i = 0; at + 3 <= size; i++) {
		size_t len = (size_t)(data[at + 1] | data[at + 2] << 8);

		if (len > size - at - 3)
			len = size - at - 3;
		if (i == target) {
			n += put_mutated(out + n, max - n, data + at + 3, len, data[at], false);
			target = SIZE_MAX;
		} else if (n + 3 + len <= max) {
			memcpy(out + n, data + at, 3 + len);
			n += 3 + len;
		}
		at += 3 + len;
	}
	if (target != SIZE_MAX)
		n += put_mutated(out + n, max - n, NULL, 0,
				 (uint8_t)(mutate_random(3) ? mutate_random(2) : 4), true);
	memcpy(data, out, n);
	return n;
}
