// SPDX-License-Identifier: Apache-2.0
/* State files: whole or not there, and never in the way of a start. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "state.h"

static struct state st;
/* In memory, as /run is: one test makes very many files. */
static char dir[] = "/dev/shm/xskd-state-XXXXXX";

static int begin_test(void **state)
{
	struct fault fault = FAULT_INIT;
	int err = fds_before(state);

	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
	st = STATE_INIT;
	return err || !mkdtemp(dir) ? -1 : state_open(&st, dir, &fault);
}

static int end_test(void **state)
{
	char command[64];

	state_done(&st);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) ? -1 : fds_after(state);
}

#define state_test(f) cmocka_unit_test_setup_teardown(f, begin_test, end_test)

/* ---- what was read ---- */

static char names[16][160];
static size_t n_names;
static int n_bad;
static uint64_t granted_at;

static bool note(void *arg, const char *name, Xskd__StateFile *file)
{
	assert_ptr_equal(arg, &st);
	assert_true(n_names < 16);
	snprintf(names[n_names++], sizeof(names[0]), "%s", name);
	granted_at = file->lease ? file->lease->granted_at : 0;
	return *name != '!';
}

static size_t read_all(enum state_kind kind)
{
	n_names = 0;
	n_bad = state_each(&st, kind, note, &st);
	assert_true(n_bad >= 0);
	return n_names;
}

static int write_lease(const char *name, uint64_t at)
{
	Xskd__StateFile file;
	Xskd__Lease lease;
	struct fault fault = FAULT_INIT;
	int err;

	xskd__state_file__init(&file);
	xskd__lease__init(&lease);
	file.lease = &lease;
	file.nsid = 7;
	lease.granted_at = at;
	lease.container = (char *)(uintptr_t) "c";
	err = state_write(&st, STATE_LEASES, name, &file, &fault);
	assert_true(!err || *fault.text);
	return err;
}

static bool exists(const char *name)
{
	return faccessat(st.dir[STATE_LEASES], name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void put(const char *name, const void *bytes, size_t len)
{
	int fd = openat(st.dir[STATE_LEASES], name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

static size_t get(const char *name, uint8_t *bytes, size_t size)
{
	int fd = openat(st.dir[STATE_LEASES], name, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, bytes, size);

	assert_true(n > 0);
	close(fd);
	return (size_t)n;
}

/* A good file but for what @change does to it. */
static void put_changed(const char *name, void (*change)(Xskd__StateFile *file))
{
	uint8_t bytes[4096];
	Xskd__StateFile *file;
	uint32_t crc;
	size_t len;

	assert_int_equal(write_lease(name, 1), 0);
	len = get(name, bytes, sizeof(bytes));
	file = xskd__state_file__unpack(NULL, len - sizeof(crc), bytes + sizeof(crc));
	assert_non_null(file);
	change(file);
	len = xskd__state_file__pack(file, bytes + sizeof(crc));
	crc = (uint32_t)crc32(0, bytes + sizeof(crc), (uInt)len);
	memcpy(bytes, &crc, sizeof(crc));
	put(name, bytes, len + sizeof(crc));
	xskd__state_file__free_unpacked(file, NULL);
}

/* ---- the tests ---- */

static void what_was_written_is_read(void **state)
{
	(void)state;
	assert_int_equal(read_all(STATE_LEASES), 0);
	assert_int_equal(write_lease("c@eth0", 42), 0);
	assert_int_equal(read_all(STATE_LEASES), 1);
	assert_string_equal(names[0], "c@eth0");
	assert_int_equal(granted_at, 42);
	assert_int_equal(read_all(STATE_PROGRAMS), 0);
	assert_int_equal(write_lease("c@eth0", 43), 0); /* replaces it */
	assert_int_equal(read_all(STATE_LEASES), 1);
	assert_int_equal(granted_at, 43);
	assert_int_equal(write_lease("d@eth0", 44), 0);
	assert_int_equal(read_all(STATE_LEASES), 2);
}

static void what_was_removed_is_gone(void **state)
{
	(void)state;
	assert_int_equal(write_lease("c@eth0", 42), 0);
	assert_int_equal(state_remove(&st, STATE_LEASES, "c@eth0"), 0);
	assert_int_equal(read_all(STATE_LEASES), 0);
	assert_int_equal(state_remove(&st, STATE_LEASES, "c@eth0"), 0); /* as good as done */
}

static void nobody_else_reads_them(void **state)
{
	struct stat stat;

	(void)state;
	assert_int_equal(write_lease("c@eth0", 42), 0);
	assert_int_equal(fstatat(st.dir[STATE_LEASES], "c@eth0", &stat, 0), 0);
	assert_int_equal(stat.st_mode & 07777, 0600);
	assert_int_equal(fstat(st.dir[STATE_LEASES], &stat), 0);
	assert_int_equal(stat.st_mode & 0077, 0);
}

static void a_file_that_was_cut_is_set_aside(void **state)
{
	uint8_t bytes[4096];
	size_t len;

	(void)state;
	assert_int_equal(write_lease("whole", 42), 0);
	len = get("whole", bytes, sizeof(bytes));
	for (size_t cut = 0; cut < len; cut++) {
		put("cut", bytes, cut);
		assert_int_equal(read_all(STATE_LEASES), 1);
		assert_string_equal(names[0], "whole");
		assert_false(exists("cut"));
		assert_true(exists(".bad-cut"));
		assert_int_equal(n_bad, 1);
	}
}

static void a_file_with_a_wrong_bit_is_set_aside(void **state)
{
	uint8_t bytes[4096];
	size_t len;

	(void)state;
	assert_int_equal(write_lease("good", 42), 0);
	len = get("good", bytes, sizeof(bytes));
	for (size_t bit = 0; bit < len * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		put("wrong", bytes, len);
		assert_int_equal(read_all(STATE_LEASES), 1);
		assert_false(exists("wrong"));
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(exists(".bad-wrong"));
	assert_int_equal(read_all(STATE_LEASES), 1); /* and is not looked at again */
	assert_int_equal(n_bad, 0);
}

static void change_version(Xskd__StateFile *file)
{
	file->version = 2;
}

static void change_boot_id(Xskd__StateFile *file)
{
	file->boot_id[0] = file->boot_id[0] == '0' ? '1' : '0';
}

static void a_newer_version_waits_for_its_daemon(void **state)
{
	(void)state;
	put_changed("newer", change_version);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(read_all(STATE_LEASES), 0);
		assert_int_equal(n_bad, i == 0);
		assert_false(exists("newer"));
		assert_true(exists(".later-newer"));
		assert_true(state_is_later(&st, STATE_LEASES, "newer"));
		assert_false(state_is_later(&st, STATE_PROGRAMS, "newer"));
	}
	st.version = 2;
	assert_int_equal(read_all(STATE_LEASES), 1);
	assert_string_equal(names[0], "newer");
	assert_true(exists("newer"));
	assert_false(state_is_later(&st, STATE_LEASES, "newer"));
}

static void what_was_written_since_stands(void **state)
{
	(void)state;
	put_changed("c@eth0", change_version);
	assert_int_equal(read_all(STATE_LEASES), 0);
	assert_int_equal(write_lease("c@eth0", 42), 0);
	st.version = 2;
	assert_int_equal(read_all(STATE_LEASES), 1);
	assert_int_equal(granted_at, 42);
	assert_false(exists(".later-c@eth0"));
}

static void what_was_removed_since_does_not_come_back(void **state)
{
	(void)state;
	put_changed("c@eth0", change_version);
	assert_int_equal(read_all(STATE_LEASES), 0);
	assert_int_equal(state_remove(&st, STATE_LEASES, "c@eth0"), 0);
	st.version = 2;
	assert_int_equal(read_all(STATE_LEASES), 0);
}

static void what_is_not_what_its_name_says_is_set_aside(void **state)
{
	(void)state;
	assert_int_equal(write_lease("!", 1), 0); /* see note() */
	assert_int_equal(read_all(STATE_LEASES), 1);
	assert_int_equal(n_bad, 1);
	assert_true(exists(".bad-!"));
	assert_int_equal(read_all(STATE_LEASES), 0);
}

static void what_stands_where_a_directory_should_is_set_aside(void **state)
{
	struct fault fault = FAULT_INIT;
	char path[64];

	(void)state;
	state_done(&st);
	snprintf(path, sizeof(path), "%s/state/leases", dir);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(symlink("/etc", path), 0);
	snprintf(path, sizeof(path), "%s/state/programs", dir);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	st = STATE_INIT;
	assert_int_equal(state_open(&st, dir, &fault), 0);
	assert_int_equal(write_lease("c@eth0", 42), 0);
	assert_int_equal(read_all(STATE_LEASES), 1);
	assert_int_equal(access("/etc/c@eth0", F_OK), -1);
}

static void junk_in_any_number_is_no_hindrance(void **state)
{
	char name[16];

	(void)state;
	for (unsigned int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "%u", i);
		put(name, name, strlen(name));
	}
	assert_int_equal(mkdirat(st.dir[STATE_LEASES], ".new-x", 0700), 0);
	assert_int_equal(write_lease("c@eth0", 42), 0);
	assert_int_equal(read_all(STATE_LEASES), 1);
	assert_int_equal(n_bad, 100001);
	assert_int_equal(write_lease("x", 43), 0);
	assert_int_equal(read_all(STATE_LEASES), 2);
	assert_int_equal(n_bad, 0);
}

static void what_an_earlier_boot_left_is_removed(void **state)
{
	(void)state;
	put_changed("old", change_boot_id);
	assert_int_equal(read_all(STATE_LEASES), 0);
	assert_false(exists("old"));
	assert_false(exists(".bad-old"));
	assert_int_equal(n_bad, 0);
}

static void what_was_half_written_is_removed(void **state)
{
	(void)state;
	put(".new-c@eth0", "half", 4);
	assert_int_equal(write_lease("d@eth0", 1), 0);
	assert_int_equal(read_all(STATE_LEASES), 1);
	assert_false(exists(".new-c@eth0"));
	put(".new-d@eth0", "half", 4); /* and is no hindrance to the next write */
	assert_int_equal(write_lease("d@eth0", 2), 0);
	assert_int_equal(read_all(STATE_LEASES), 1);
	assert_int_equal(granted_at, 2);
}

static void a_file_that_is_too_large_is_set_aside(void **state)
{
	int fd;

	(void)state;
	put("large", "x", 1);
	fd = openat(st.dir[STATE_LEASES], "large", O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0); /* not a byte of memory for it */
	close(fd);
	assert_int_equal(read_all(STATE_LEASES), 0);
	assert_true(exists(".bad-large"));
}

static void what_is_no_file_is_not_followed(void **state)
{
	(void)state;
	assert_int_equal(write_lease("real", 42), 0);
	assert_int_equal(symlinkat("real", st.dir[STATE_LEASES], "link"), 0);
	assert_int_equal(mkdirat(st.dir[STATE_LEASES], "directory", 0700), 0);
	assert_int_equal(read_all(STATE_LEASES), 1);
	assert_string_equal(names[0], "real");
	assert_int_equal(n_bad, 2);
	assert_int_equal(read_all(STATE_LEASES), 1);
}

/* A fifo without a writer would hold up the start for ever. */
static void a_fifo_does_not_block(void **state)
{
	pid_t pid;
	int status;

	(void)state;
	assert_int_equal(mkfifoat(st.dir[STATE_LEASES], "fifo", 0600), 0);
	pid = fork();
	if (pid == 0) {
		alarm(3);
		_exit(read_all(STATE_LEASES) != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_link_in_the_way_of_a_write_is_not_followed(void **state)
{
	(void)state;
	put("victim", "precious", 8);
	assert_int_equal(symlinkat("victim", st.dir[STATE_LEASES], ".new-c@eth0"), 0);
	assert_true(write_lease("c@eth0", 1) < 0);
	assert_int_equal(unlinkat(st.dir[STATE_LEASES], "victim", 0), 0);
}

static void the_longest_name_of_a_lease_can_be_written(void **state)
{
	char name[300];

	(void)state;
	memset(name, 'x', sizeof(name));
	name[128 + 1 + 15] = '\0';
	assert_int_equal(write_lease(name, 1), 0);
	assert_int_equal(read_all(STATE_LEASES), 1);
	name[128 + 1 + 15] = 'x';
	name[299] = '\0';
	assert_int_equal(write_lease(name, 1), -ENAMETOOLONG);
}

static void an_empty_place_is_made(void **state)
{
	struct state again = STATE_INIT;
	struct fault fault = FAULT_INIT;

	(void)state;
	assert_int_equal(state_open(&again, dir, &fault), 0);
	assert_string_equal(again.boot_id, st.boot_id);
	assert_int_equal(strlen(again.boot_id), 36);
	state_done(&again);
	again = STATE_INIT;
	assert_true(state_open(&again, "/nowhere/at/all", &fault) < 0);
	assert_non_null(strstr(fault.text, "/nowhere/at/all"));
	state_done(&again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		state_test(what_was_written_is_read),
		state_test(what_was_removed_is_gone),
		state_test(nobody_else_reads_them),
		state_test(a_file_that_was_cut_is_set_aside),
		state_test(a_file_with_a_wrong_bit_is_set_aside),
		state_test(a_newer_version_waits_for_its_daemon),
		state_test(what_was_written_since_stands),
		state_test(what_was_removed_since_does_not_come_back),
		state_test(what_is_not_what_its_name_says_is_set_aside),
		state_test(what_stands_where_a_directory_should_is_set_aside),
		state_test(junk_in_any_number_is_no_hindrance),
		state_test(what_an_earlier_boot_left_is_removed),
		state_test(what_was_half_written_is_removed),
		state_test(a_file_that_is_too_large_is_set_aside),
		state_test(what_is_no_file_is_not_followed),
		state_test(a_link_in_the_way_of_a_write_is_not_followed),
		state_test(the_longest_name_of_a_lease_can_be_written),
		state_test(an_empty_place_is_made),
		state_test(a_fifo_does_not_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
