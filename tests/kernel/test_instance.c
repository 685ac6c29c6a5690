// SPDX-License-Identifier: Apache-2.0
/* Attaching, pinning and finding again: instance.c, pin.c, netns.c against the kernel. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>
#include <unistd.h>

#include "ground.h"
#include "instance.h"
#include "pin.h"
#include "support.h"

static struct instance make(void)
{
	struct instance_spec spec = { .object_fd = -1, .program = "", .map = "", .queues = 2 };
	struct instance in = INSTANCE_INIT;
	struct fault fault = FAULT_INIT;

	if (instance_make(ground.gate, &spec, &in, &fault) < 0)
		fail_msg("%s", fault.text);
	return in;
}

static struct device find(const char *name)
{
	struct device dev;

	assert_int_equal(device_find(&ground, name, &dev), 0);
	return dev;
}

static int set_up(void **state)
{
	ground_veth("ia", "ib", 2);
	return fds_before(state);
}

static int tear_down(void **state)
{
	ground_delete("ia");
	return fds_after(state);
}

static void a_device_tells_its_queues_and_state(void **state)
{
	struct device dev = find("ib");

	(void)state;
	assert_string_equal(dev.name, "ib");
	assert_int_equal(dev.queues, 2);
	assert_true(dev.up);
	assert_int_equal(dev.xdp_prog_id, 0);
	ground_run("ip link set ia down");
	dev = find("ib");
	assert_false(dev.up);
	assert_int_equal(device_find(&ground, "nosuch", &dev), -ENODEV);
}

static void a_pinned_instance_outlives_its_fds(void **state)
{
	struct device dev = find("ib");
	struct instance in = make(), found;
	struct fault fault = FAULT_INIT;
	enum instance_mode granted;
	uint32_t id = in.id;

	(void)state;
	assert_int_equal(pin_mount(GROUND_BPF, &fault), 0);
	assert_int_equal(instance_pin(&in, GROUND_BPF, false, &fault), 0);
	assert_int_equal(instance_open(GROUND_BPF, id, &found), -ENOENT); /* has no link yet */
	assert_int_equal(instance_attach(&in, &ground, &dev, INSTANCE_AUTO, &granted, &fault), 0);
	assert_int_equal(instance_pin_link(&in, GROUND_BPF, &fault), 0);
	instance_done(&in);

	assert_int_equal(find("ib").xdp_prog_id, id);
	assert_int_equal(instance_open(GROUND_BPF, id, &found), 0);
	assert_int_equal(found.id, id);
	assert_int_equal(found.ifindex, dev.ifindex);
	assert_int_equal(found.map_entries, 2);
	assert_true(is_cloexec(found.map_fd) && is_cloexec(found.link_fd));
	instance_done(&found);

	assert_int_equal(instance_unpin(GROUND_BPF, id), 0);
	assert_int_equal(find("ib").xdp_prog_id, 0);
	assert_int_equal(instance_unpin(GROUND_BPF, id), 0); /* nothing is no error */
}

static void a_foreign_link_is_named_and_left_alone(void **state)
{
	struct instance foreign = make(), in = make();
	struct fault fault = FAULT_INIT;
	enum instance_mode granted;
	struct device dev = find("ib");
	int link;

	(void)state;
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_SKB_MODE);
	link = bpf_link_create(foreign.prog_fd, (int)dev.ifindex, BPF_XDP, &opts);
	assert_true(link >= 0);
	/* Seen before, and met only in the kernel: both are refused. */
	assert_true(instance_attach(&in, &ground, &dev, INSTANCE_AUTO, &granted, &fault) < 0);
	assert_int_equal(fault.code, XSKD__CODE__ALREADY_EXISTS);
	assert_non_null(strstr(fault.text, "'ib' already has XDP program 'xsk_redirect'"));
	assert_non_null(strstr(fault.text, "bpf_link"));
	fault = FAULT_INIT;
	dev = find("ib");
	assert_int_equal(dev.xdp_prog_id, foreign.id);
	assert_true(dev.xdp_generic);
	assert_true(instance_attach(&in, &ground, &dev, INSTANCE_AUTO, &granted, &fault) < 0);
	assert_non_null(strstr(fault.text, "bpftool link detach"));
	assert_int_equal(find("ib").xdp_prog_id, foreign.id);
	close(link);
	instance_done(&in);
	instance_done(&foreign);
}

static void a_netlink_attach_is_told_apart(void **state)
{
	struct instance foreign = make(), in = make();
	struct fault fault = FAULT_INIT;
	enum instance_mode granted;
	struct device dev = find("ib");

	(void)state;
	assert_int_equal(
		bpf_xdp_attach((int)dev.ifindex, foreign.prog_fd, XDP_FLAGS_DRV_MODE, NULL), 0);
	assert_true(instance_attach(&in, &ground, &dev, INSTANCE_NATIVE, &granted, &fault) < 0);
	assert_non_null(strstr(fault.text, "netlink attach"));
	assert_non_null(strstr(fault.text, "ip link set dev ib xdp off"));
	assert_int_equal(bpf_xdp_detach((int)dev.ifindex, XDP_FLAGS_DRV_MODE, NULL), 0);
	instance_done(&in);
	instance_done(&foreign);
}

/* Loopback has no native XDP. */
static void modes_are_kept_or_said(void **state)
{
	struct instance in = make();
	struct fault fault = FAULT_INIT;
	enum instance_mode granted;
	struct device dev = find("lo");

	(void)state;
	assert_true(instance_attach(&in, &ground, &dev, INSTANCE_NATIVE, &granted, &fault) < 0);
	assert_int_equal(fault.code, XSKD__CODE__UNIMPLEMENTED);
	assert_non_null(strstr(fault.text, "no native XDP"));
	assert_int_equal(find("lo").xdp_prog_id, 0);
	if (instance_attach(&in, &ground, &dev, INSTANCE_AUTO, &granted, &fault) < 0)
		fail_msg("%s", fault.text);
	assert_int_equal(granted, INSTANCE_GENERIC);
	assert_true(find("lo").xdp_generic);
	instance_detach(&in);
	instance_done(&in);
	assert_int_equal(find("lo").xdp_prog_id, 0);
}

static void a_moved_device_keeps_its_program(void **state)
{
	struct instance in = make();
	struct fault fault = FAULT_INIT;
	enum instance_mode granted;
	struct device dev = find("ib");
	uint32_t ifindex, id = in.id;
	int pod = netns_new(), nsid;
	struct netns inside = NETNS_OF(ground.gate, pod);

	(void)state;
	assert_int_equal(pin_mount(GROUND_BPF, &fault), 0);
	assert_int_equal(instance_pin(&in, GROUND_BPF, false, &fault), 0);
	assert_int_equal(instance_attach(&in, &ground, &dev, INSTANCE_NATIVE, &granted, &fault), 0);
	assert_int_equal(instance_pin_link(&in, GROUND_BPF, &fault), 0);
	instance_done(&in);
	ground_run("ip link set ib netns /proc/%d/fd/%d", (int)getpid(), pod);

	assert_int_equal(device_find(&inside, "ib", &dev), 0);
	assert_int_equal(dev.xdp_prog_id, id);
	assert_int_equal(instance_ifindex(GROUND_BPF, id, &ifindex), 0);
	assert_int_equal(ifindex, dev.ifindex);
	assert_int_equal(netns_nsid(pod, &nsid), 0);
	assert_int_equal(device_find_at(nsid, ifindex, &dev), 0);
	assert_string_equal(dev.name, "ib");
	netns_done(&inside);
	close(pod); /* the last reference: the namespace goes, and the veth with it */
	for (int i = 0; i < 300 && ifindex; i++) {
		assert_int_equal(instance_ifindex(GROUND_BPF, id, &ifindex), 0);
		usleep(10000);
	}
	assert_int_equal(ifindex, 0); /* the number kept nothing alive */
	assert_int_equal(instance_unpin(GROUND_BPF, id), 0);
	ground_veth("ia", "ib", 2); /* for tear_down() */
}

static void namespaces_are_known_by_inode_and_cookie(void **state)
{
	int pod = netns_new(), self = netns_self(), no = some_fd();
	struct netns inside = NETNS_OF(ground.gate, pod);
	uint64_t mine, theirs;
	ino_t a, b;

	(void)state;
	assert_int_equal(netns_inode(pod, &a), 0);
	assert_int_equal(netns_inode(self, &b), 0);
	assert_int_not_equal(a, b);
	assert_int_equal(netns_inode(no, &b), -EINVAL);
	assert_int_equal(netns_cookie(&ground, &mine), 0);
	assert_int_equal(netns_cookie(&inside, &theirs), 0);
	assert_int_not_equal(mine, theirs);
	netns_done(&inside);
	close(no);
	close(self);
	close(pod);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_device_tells_its_queues_and_state, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_pinned_instance_outlives_its_fds, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_foreign_link_is_named_and_left_alone, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_netlink_attach_is_told_apart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(modes_are_kept_or_said, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_moved_device_keeps_its_program, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(namespaces_are_known_by_inode_and_cookie, set_up,
						tear_down),
	};

	ground_enter();
	instance_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
