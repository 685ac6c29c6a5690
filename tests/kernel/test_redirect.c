// SPDX-License-Identifier: Apache-2.0
/* The default program in the kernel: by BPF_PROG_TEST_RUN, and on a veth with traffic. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ground.h"
#include "instance.h"
#include "support.h"
#include "xsk.h"

static struct instance make(uint32_t queues)
{
	struct instance_spec spec = { .object_fd = -1, .program = "", .map = "", .queues = queues };
	struct instance in = INSTANCE_INIT;
	struct fault fault = FAULT_INIT;

	if (instance_make(ground.gate, &spec, &in, &fault) < 0)
		fail_msg("%s", fault.text);
	return in;
}

static uint32_t run_once(const struct instance *in)
{
	uint8_t frame[64] = { 0 };

	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame));
	assert_int_equal(bpf_prog_test_run_opts(in->prog_fd, &opts), 0);
	return opts.retval;
}

static void passes_where_no_socket_is(void **state)
{
	struct instance in = make(4);
	uint64_t redirected, passed;

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_int_equal(run_once(&in), XDP_PASS);
	assert_int_equal(instance_counters(in.counters_fd, 0, &redirected, &passed), 0);
	assert_int_equal(redirected, 0);
	assert_int_equal(passed, 5);
	instance_done(&in);
}

static void redirects_to_the_socket_of_the_queue(void **state)
{
	struct instance in = make(4);
	uint64_t redirected, passed;
	uint32_t queue = 0;
	int sock = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0), entries = 4;

	(void)state;
	assert_int_equal(setsockopt(sock, SOL_XDP, XDP_RX_RING, &entries, sizeof(entries)), 0);
	assert_int_equal(bpf_map_update_elem(in.map_fd, &queue, &sock, BPF_NOEXIST), 0);
	assert_int_equal(run_once(&in), XDP_REDIRECT);
	close(sock); /* its entry goes with it */
	assert_int_equal(run_once(&in), XDP_PASS);
	assert_int_equal(instance_counters(in.counters_fd, 0, &redirected, &passed), 0);
	assert_int_equal(redirected, 1);
	assert_int_equal(passed, 1);
	instance_done(&in);
}

static void maps_are_as_large_as_asked(void **state)
{
	struct instance in = make(17);

	(void)state;
	assert_int_equal(in.map_entries, 17);
	assert_string_equal(in.map_name, "xsks_map");
	assert_string_equal(in.name, "xsk_redirect");
	assert_false(in.custom);
	instance_done(&in);
}

static void instances_share_nothing(void **state)
{
	struct instance a = make(1), b = make(1);

	(void)state;
	assert_int_not_equal(a.id, b.id);
	assert_int_not_equal(a.map_id, b.map_id);
	instance_done(&a);
	instance_done(&b);
}

static void counts_traffic_on_a_veth(void **state)
{
	struct instance in = make(1);
	enum instance_mode granted;
	struct fault fault = FAULT_INIT;
	uint64_t redirected, passed;
	struct device dev;
	int sender;

	(void)state;
	ground_veth("ra", "rb", 1);
	assert_int_equal(device_find(&ground, "rb", &dev), 0);
	if (instance_attach(&in, &ground, &dev, INSTANCE_NATIVE, &granted, &fault) < 0)
		fail_msg("%s", fault.text);
	assert_int_equal(granted, INSTANCE_NATIVE);
	sender = ground_packet_socket("ra");
	ground_send(sender, 100);
	for (int i = 0; i < 200; i++) { /* softirqs: soon, but not at once */
		assert_int_equal(instance_counters(in.counters_fd, 0, &redirected, &passed), 0);
		if (passed == 100)
			break;
		usleep(10000);
	}
	assert_int_equal(passed, 100);
	assert_int_equal(redirected, 0);
	close(sender);
	instance_done(&in);
	ground_delete("ra");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fd_test(passes_where_no_socket_is),  fd_test(redirects_to_the_socket_of_the_queue),
		fd_test(maps_are_as_large_as_asked), fd_test(instances_share_nothing),
		fd_test(counts_traffic_on_a_veth),
	};

	ground_enter();
	instance_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
