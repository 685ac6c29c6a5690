// SPDX-License-Identifier: Apache-2.0
/* State files that released daemons wrote (tests/golden), and some from daemons that are to come.
 */
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "state.h"

#define FIRST   "0.1.0-2a5901c"
#define BOOT_ID "66d63650-8507-48c1-9891-69644285a162"

static struct state st;
static char dir[] = "/tmp/xskd-golden-XXXXXX";
static Xskd__StateFile *seen[8];
static size_t n_seen;

static int begin_test(void **state)
{
	struct fault fault = FAULT_INIT;
	int err = fds_before(state);

	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
	n_seen = 0;
	st = STATE_INIT;
	if (err || !mkdtemp(dir) || state_open(&st, dir, &fault) < 0)
		return -1;
	/* The boot in which they were written, as if it were now. */
	snprintf(st.boot_id, sizeof(st.boot_id), BOOT_ID);
	return 0;
}

static int end_test(void **state)
{
	char command[64];

	for (size_t i = 0; i < n_seen; i++)
		xskd__state_file__free_unpacked(seen[i], NULL);
	state_done(&st);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) ? -1 : fds_after(state);
}

static size_t read_golden(const char *path, uint8_t *bytes, size_t size)
{
	char whole[256];
	FILE *f;
	size_t n;

	snprintf(whole, sizeof(whole), GOLDEN_DIR "/%s", path);
	f = fopen(whole, "re");
	assert_non_null(f);
	n = fread(bytes, 1, size, f);
	assert_true(n > 4 && n < size);
	fclose(f);
	return n;
}

static void put(enum state_kind kind, const char *name, const uint8_t *bytes, size_t len)
{
	int fd = openat(st.dir[kind], name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

static bool note(void *arg, const char *name, Xskd__StateFile *file)
{
	size_t len = xskd__state_file__get_packed_size(file);
	uint8_t bytes[1024];

	(void)arg;
	(void)name;
	assert_true(len < sizeof(bytes) && n_seen < ARRAY_SIZE(seen));
	xskd__state_file__pack(file, bytes);
	seen[n_seen++] = xskd__state_file__unpack(NULL, len, bytes);
	return true;
}

static const Xskd__StateFile *take(enum state_kind kind, const char *path, const uint8_t *more,
				   size_t n_more)
{
	const char *name = strrchr(path, '/') + 1;
	uint8_t bytes[1024];
	size_t len = read_golden(path, bytes, sizeof(bytes) - n_more);
	uint32_t crc;

	if (n_more) {
		memcpy(bytes + len, more, n_more);
		len += n_more;
		crc = (uint32_t)crc32(0, bytes + 4, (uInt)(len - 4));
		memcpy(bytes, &crc, sizeof(crc));
	}
	put(kind, name, bytes, len);
	assert_int_equal(state_each(&st, kind, note, NULL), 0);
	assert_true(n_seen > 0);
	return seen[n_seen - 1];
}

static void programs_of_the_first(void **state)
{
	const Xskd__StateFile *f = take(STATE_PROGRAMS, FIRST "/programs/101488", NULL, 0);

	(void)state;
	assert_int_equal(f->version, 1);
	assert_int_equal(f->program->id, 101488);
	assert_string_equal(f->program->name, "xsk_redirect");
	assert_string_equal(f->program->interface, "eth0");
	assert_int_equal(f->program->map_entries, 4);
	assert_int_equal(f->program->netns_cookie, 551192);
	assert_int_equal(f->served, 551192); /* its map was given away */
	assert_false(f->program->transient);
	assert_true(f->netns_inode > 0);

	f = take(STATE_PROGRAMS, FIRST "/programs/101490", NULL, 0);
	assert_true(f->program->transient);
	assert_int_equal(f->served, 0);
}

static void check_queue_lease(const Xskd__StateFile *f)
{
	assert_string_equal(f->lease->container, "web-1");
	assert_string_equal(f->lease->interface, "net1");
	assert_string_equal(f->lease->device, "host0");
	assert_int_equal(f->lease->mode, XSKD__LEASE_MODE__LEASE_MODE_QUEUE);
	assert_int_equal(f->lease->n_queues, 2);
	assert_int_equal(f->lease->queues[0], 2);
	assert_int_equal(f->lease->queues[1], 5);
	assert_false(f->lease->all_queues);
	assert_int_equal(f->lease->n_labels, 2);
	assert_int_equal(f->lease->netns_cookie, 551192);
	assert_int_equal(f->lease->program_id, 101490);
}

static void leases_of_the_first(void **state)
{
	const Xskd__StateFile *f = take(STATE_LEASES, FIRST "/leases/c4@eth0", NULL, 0);

	(void)state;
	assert_string_equal(f->lease->container, "c4");
	assert_int_equal(f->lease->mode, XSKD__LEASE_MODE__LEASE_MODE_DEVICE);
	assert_int_equal(f->lease->n_queues, 4);
	assert_true(f->lease->all_queues);
	assert_int_equal(f->lease->program_id, 101488);
	assert_int_equal(f->address.len, 0); /* it did not note that */
	check_queue_lease(take(STATE_LEASES, FIRST "/leases/web-1@net1", NULL, 0));
}

/* Field 900, and field 901 of any depth, of a daemon that is to come. */
static void fields_of_the_future_are_ignored(void **state)
{
	static const uint8_t more[] = { 0xa2, 0x38, 3, 'a', 'b', 'c', 0xa8, 0x38, 7 };

	(void)state;
	check_queue_lease(take(STATE_LEASES, FIRST "/leases/web-1@net1", more, sizeof(more)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(programs_of_the_first, begin_test, end_test),
		cmocka_unit_test_setup_teardown(leases_of_the_first, begin_test, end_test),
		cmocka_unit_test_setup_teardown(fields_of_the_future_are_ignored, begin_test,
						end_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
