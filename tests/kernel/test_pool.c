// SPDX-License-Identifier: Apache-2.0
/* The pool: pool.c and prime.c against the kernel. */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ground.h"
#include "instance.h"
#include "pin.h"
#include "pool.h"
#include "support.h"
#include "wake.h"

#define SIZE  2
#define STEPS 40 /* more than anything here takes */

static const struct instance_spec plain = {
	.object_fd = -1, .program = "", .map = "", .queues = 1
};
static struct pool *pool;

static void open_pool(uint32_t size)
{
	struct fault fault = FAULT_INIT;

	if (pool_open(size, GROUND_BPF, ground.gate, &pool, &fault) < 0)
		fail_msg("%s", fault.text);
}

/* As the daemon does between calls, until there is nothing more to do. */
static struct pool_info settle(void)
{
	struct pool_info info;
	int steps = 0;

	for (; pool_wants(pool); steps++) {
		assert_true(steps < STEPS);
		pool_step(pool);
	}
	pool_info(pool, &info);
	assert_int_equal(info.ready, info.size);
	assert_false(info.busy);
	return info;
}

/* Loads the default program onto a device, as LoadProgram does. Return: its id. */
static uint32_t load(const char *name, uint32_t queues, bool expect_ready)
{
	const struct instance_spec spec = {
		.object_fd = -1, .program = "", .map = "", .queues = queues
	};
	struct instance in = INSTANCE_INIT;
	struct fault fault = FAULT_INIT;
	enum instance_mode granted;
	uint64_t redirected, passed;
	struct device dev;
	uint32_t id;
	bool ready;

	assert_int_equal(device_find(&ground, name, &dev), 0);
	if (pool_make(pool, &spec, &in, &ready, &fault) < 0)
		fail_msg("%s", fault.text);
	assert_int_equal(ready, expect_ready);
	assert_true(in.map_entries >= queues);
	if (!ready)
		assert_int_equal(instance_pin(&in, GROUND_BPF, false, &fault), 0);
	if (pool_attach(pool, &in, &ground, &dev, INSTANCE_NATIVE, &granted, &fault) < 0)
		fail_msg("%s", fault.text);
	assert_int_equal(instance_pin_link(&in, GROUND_BPF, &fault), 0);
	assert_int_equal(device_find(&ground, name, &dev), 0);
	assert_int_equal(dev.xdp_prog_id, in.id);
	/* Whatever it was run on before does not show. */
	for (uint32_t q = 0; q < queues; q++) {
		assert_int_equal(instance_counters(in.counters_fd, q, &redirected, &passed), 0);
		assert_int_equal(redirected + passed, 0);
	}
	id = in.id;
	instance_done(&in);
	return id;
}

static void unload(uint32_t id, bool clean)
{
	pool_mark(pool, id, clean);
	assert_int_equal(pool_remove(pool, id), 0);
	pool_settle(pool, id, true);
}

static uint32_t attached(const char *name)
{
	struct device dev;

	assert_int_equal(device_find(&ground, name, &dev), 0);
	return dev.xdp_prog_id;
}

/* The last user of a program ends behind a grace period. */
static void assert_forgotten(uint32_t id)
{
	for (int i = 0; i < 1000; i++) {
		int fd = bpf_prog_get_fd_by_id(id);

		if (fd < 0) {
			assert_int_equal(errno, ENOENT);
			return;
		}
		close(fd);
		usleep(5000);
	}
	fail_msg("program %u is still there", id);
}

static unsigned int count_pins(void)
{
	DIR *dir = opendir(GROUND_BPF "/programs");
	const struct dirent *entry;
	unsigned int n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		n += *entry->d_name != '.';
	closedir(dir);
	return n;
}

static int set_up(void **state)
{
	struct fault fault = FAULT_INIT;

	if (pin_mount(GROUND_BPF, &fault) < 0)
		fail_msg("%s", fault.text);
	wake_setup();
	ground_veth("pa", "pb", 2);
	return fds_before(state);
}

static int tear_down(void **state)
{
	pool_close(pool);
	pool = NULL;
	assert_int_equal(count_pins(), 0);
	ground_delete("pa");
	return fds_after(state);
}

static void it_fills_itself(void **state)
{
	struct pool_info info;

	(void)state;
	open_pool(SIZE);
	pool_info(pool, &info);
	assert_int_equal(info.size, SIZE);
	assert_int_equal(info.ready, 0);
	settle();
	assert_int_equal(count_pins(), SIZE);
}

static void an_instance_serves_one_device_after_the_other(void **state)
{
	struct pool_info info;
	uint32_t id;

	(void)state;
	open_pool(1);
	settle();
	id = load("pa", 2, true);
	unload(id, true);
	assert_int_equal(attached("pa"), 0);
	assert_int_equal(load("pb", 2, true), id);
	unload(id, true);
	assert_int_equal(attached("pb"), 0);
	info = settle();
	assert_int_equal(info.taken, 2);
	assert_int_equal(info.missed, 0);
	assert_int_equal(info.reused, 2);
}

static void what_it_counted_on_one_device_is_forgotten_on_the_next(void **state)
{
	int sender = ground_packet_socket("pb");
	uint64_t redirected = 0, passed = 0;
	uint32_t id;
	int fd;

	(void)state;
	open_pool(1);
	settle();
	id = load("pa", 2, true);
	ground_send(sender, 10);
	close(sender);
	fd = instance_open_counters(GROUND_BPF, id);
	assert_true(fd >= 0);
	for (uint32_t q = 0; q < 2 && !passed; q++)
		assert_int_equal(instance_counters(fd, q, &redirected, &passed), 0);
	close(fd);
	assert_int_equal(passed, 10);
	unload(id, true);
	assert_int_equal(load("pa", 2, true), id); /* looks itself */
	unload(id, true);
}

static void one_whose_map_is_out_is_thrown_away(void **state)
{
	struct pool_info info;
	uint32_t id, other;

	(void)state;
	open_pool(1);
	settle();
	id = load("pa", 2, true);
	unload(id, false);
	info = settle();
	assert_int_equal(info.reused, 0);
	assert_forgotten(id);
	other = load("pa", 2, true);
	assert_int_not_equal(other, id);
	unload(other, true);
}

static void an_empty_pool_is_no_hindrance(void **state)
{
	struct pool_info info;
	uint32_t id, other;

	(void)state;
	open_pool(1);
	id = load("pa", 2, false);
	settle();
	other = load("pb", 2, true);
	unload(id, true);
	unload(other, true);
	assert_int_equal(attached("pa"), 0);
	info = settle();
	assert_int_equal(info.taken, 1);
	assert_int_equal(info.missed, 1);
	assert_int_equal(info.reused, 2); /* as good as any other */
}

static void a_pool_of_none_does_all_the_same(void **state)
{
	struct pool_info info;
	uint32_t id;

	(void)state;
	open_pool(0);
	assert_false(pool_wants(pool));
	id = load("pa", 2, false);
	unload(id, true);
	assert_int_equal(attached("pa"), 0);
	assert_forgotten(id);
	pool_info(pool, &info);
	assert_int_equal(info.missed, 0);
}

static void a_device_with_more_queues_gets_instances_with_more(void **state)
{
	uint32_t id;

	(void)state;
	open_pool(1);
	settle();
	id = load("pa", 100, false);
	unload(id, true);
	settle();
	id = load("pa", 100, true);
	unload(id, true);
	settle();
}

/* More are on devices than there are places: those make room, and come off as well. */
static void programs_on_devices_make_room(void **state)
{
	uint32_t ids[12];
	char name[8];

	(void)state;
	open_pool(1);
	for (int i = 0; i < 12; i++) {
		ground_run("ip link add r%d type veth peer name s%d", i, i);
		settle();
		snprintf(name, sizeof(name), "r%d", i);
		ids[i] = load(name, 1, true);
	}
	for (int i = 0; i < 12; i++) {
		unload(ids[i], true);
		snprintf(name, sizeof(name), "r%d", i);
		assert_int_equal(attached(name), 0);
		ground_run("ip link del r%d", i);
	}
	settle();
}

static void a_device_that_goes_is_none_to_come_off(void **state)
{
	uint32_t id;

	(void)state;
	open_pool(1);
	settle();
	ground_run("ip link add gone type veth peer name gone2");
	id = load("gone", 1, true);
	ground_delete("gone");
	unload(id, true);
	settle();
	assert_int_equal(load("pa", 1, true), id);
	unload(id, true);
}

static void a_failed_load_leaves_the_instance_ready(void **state)
{
	struct instance in = INSTANCE_INIT;
	struct fault fault = FAULT_INIT;
	enum instance_mode granted;
	struct device dev;
	bool ready;
	uint32_t id;

	(void)state;
	open_pool(1);
	settle();
	assert_int_equal(device_find(&ground, "pa", &dev), 0);
	dev.ifindex = 9999;
	assert_int_equal(pool_make(pool, &plain, &in, &ready, &fault), 0);
	id = in.id;
	assert_true(pool_attach(pool, &in, &ground, &dev, INSTANCE_NATIVE, &granted, &fault) < 0);
	instance_done(&in);
	unload(id, true);
	assert_int_equal(load("pa", 1, true), id);
	unload(id, true);
}

/* Return: the limit as it was; until it is that again there is no descriptor left. */
static struct rlimit take_all_fds(void)
{
	struct rlimit before, none;
	int next = dup(STDERR_FILENO);

	assert_true(next >= 0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ .rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	return before;
}

static void without_descriptors_nothing_is_taken_for_gone(void **state)
{
	struct instance in = INSTANCE_INIT;
	struct fault fault = FAULT_INIT;
	struct rlimit before;
	uint32_t id;
	bool ready;

	(void)state;
	open_pool(SIZE);
	settle();
	before = take_all_fds();
	assert_true(pool_make(pool, &plain, &in, &ready, &fault) < 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	fault_done(&fault);
	assert_false(pool_wants(pool)); /* it threw none away */
	id = load("pa", 1, true);
	settle();

	before = take_all_fds();
	pool_mark(pool, id, true);
	assert_int_equal(pool_remove(pool, id), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(attached("pa"), id);
	unload(id, true);
	assert_int_equal(attached("pa"), 0);
}

static void pins_of_a_daemon_that_was_killed_are_removed(void **state)
{
	struct instance in = INSTANCE_INIT;
	struct fault fault = FAULT_INIT;

	(void)state;
	assert_int_equal(instance_make(ground.gate, &plain, &in, &fault), 0);
	assert_int_equal(instance_pin(&in, GROUND_BPF, false, &fault), 0);
	assert_int_equal(pin_hide(GROUND_BPF, in.id, true), 0);
	instance_done(&in);
	assert_int_equal(count_pins(), 1);
	assert_int_equal(pin_remove_hidden(GROUND_BPF), 0);
	assert_int_equal(count_pins(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_fills_itself),
		TEST(an_instance_serves_one_device_after_the_other),
		TEST(what_it_counted_on_one_device_is_forgotten_on_the_next),
		TEST(one_whose_map_is_out_is_thrown_away),
		TEST(an_empty_pool_is_no_hindrance),
		TEST(a_pool_of_none_does_all_the_same),
		TEST(a_device_with_more_queues_gets_instances_with_more),
		TEST(programs_on_devices_make_room),
		TEST(a_device_that_goes_is_none_to_come_off),
		TEST(without_descriptors_nothing_is_taken_for_gone),
		TEST(a_failed_load_leaves_the_instance_ready),
		TEST(pins_of_a_daemon_that_was_killed_are_removed),
	};

	ground_enter();
	instance_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
