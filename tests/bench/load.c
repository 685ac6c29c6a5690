// SPDX-License-Identifier: Apache-2.0
/*
 * LoadProgram of a new program and UnloadProgram, against the system calls that this takes, and
 * beside bare libbpf, which opens, loads, attaches and pins the same object. Wall time is mostly
 * the kernel's wait for a grace period; what xskd adds shows in CPU time, which is that of client
 * and daemon together.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach.h"
#include "rows.h"
#include "world.h"
#include "xsk_redirect.skel.h"

#define QUEUES 4

static struct {
	struct daemon daemon;
	struct pod pod;
	struct xskd *admin;
	uint32_t ifindex;
	char pins[64];
} w;

static const char *const pin_names[] = { "link", "counters", "map", "prog" };

static const char *pin_path(const char *name)
{
	static char path[96];

	snprintf(path, sizeof(path), "%s/%s", w.pins, name);
	return path;
}

static void pin(const char *name, int fd)
{
	CHECK(bpf_obj_pin(fd, pin_path(name)) == 0);
}

static void bare_load(void)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);
	struct bpf_object *obj;
	struct bpf_map *map, *counters;
	struct bpf_program *prog;
	size_t size;
	const void *elf = xsk_redirect__elf_bytes(&size);
	int link;

	obj = bpf_object__open_mem(elf, size, NULL);
	CHECK(obj);
	map = bpf_object__find_map_by_name(obj, "xsks_map");
	counters = bpf_object__find_map_by_name(obj, "counters");
	prog = bpf_object__next_program(obj, NULL);
	CHECK(bpf_map__set_max_entries(map, QUEUES) == 0);
	CHECK(bpf_map__set_max_entries(counters, QUEUES) == 0);
	CHECK(bpf_object__load(obj) == 0);
	CHECK(mkdir(w.pins, 0700) == 0);
	pin("prog", bpf_program__fd(prog));
	pin("map", bpf_map__fd(map));
	pin("counters", bpf_map__fd(counters));
	link = bpf_link_create(bpf_program__fd(prog), (int)w.ifindex, BPF_XDP, &opts);
	CHECK(link >= 0);
	pin("link", link);
	close(link);
	bpf_object__close(obj);
}

static void bare_unload(void)
{
	for (size_t i = 0; i < sizeof(pin_names) / sizeof(*pin_names); i++)
		CHECK(unlink(pin_path(pin_names[i])) == 0);
	CHECK(rmdir(w.pins) == 0);
}

static int raw_link;

static void raw_load(void)
{
	int map = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "raw", 4, 4, QUEUES, NULL);
	int prog = attach_redirect(map);

	raw_link = attach_link(prog, w.ifindex);
	close(prog);
	close(map);
}

static void raw_unload(void)
{
	attach_end(raw_link);
}

static void our_load(void)
{
	const struct xskd_load_opts opts = XSKD_OPTS(xskd_load_opts, .mode = XSKD_XDP_NATIVE);
	struct xskd_program program;

	must(w.admin, xskd_load_program(w.admin, "veth0", &opts, &program), "LoadProgram");
}

static void our_unload(void)
{
	must(w.admin, xskd_unload_program(w.admin, 0, "veth0", 0, false), "UnloadProgram");
}

/* The last pin of a link goes at once, the program behind it some time later. */
static void wait_detached(void)
{
	uint32_t id;

	for (;;) {
		CHECK(bpf_xdp_query_id((int)w.ifindex, 0, &id) == 0);
		if (!id)
			return;
		sleep_us(50);
	}
}

static double cpu_us(void)
{
	return clock_us(CLOCK_PROCESS_CPUTIME_ID) + clock_us(w.daemon.cpu);
}

/* @gone: for an end, the time until there is nothing left on the interface. */
static void timed(void (*fn)(void), struct row *wall, struct row *cpu, struct row *gone)
{
	double us, cpu_before;

	settle();
	us = now_us();
	cpu_before = cpu_us();
	fn();
	row_add(wall, now_us() - us);
	row_add(cpu, cpu_us() - cpu_before);
	if (!gone)
		return;
	wait_detached();
	row_add(gone, now_us() - us);
}

void bench_load(const struct setting *set)
{
	struct row *raw = row("map + program + link", "us", NULL, NULL);
	struct row *raw_cpu = row("map + program + link, CPU", "us", NULL, NULL);
	struct row *raw_end = row("detach", "us", NULL, NULL);
	struct row *raw_end_cpu = row("detach, CPU", "us", NULL, NULL);
	struct row *bare_wall =
		row("libbpf load + attach + pin", "us", "map + program + link", NULL);
	struct row *bare_cpu = row("libbpf load + attach + pin, CPU", "us", NULL, NULL);
	struct row *wall = row("LoadProgram", "us", "map + program + link", "<=1.05x");
	struct row *cpu =
		row("LoadProgram, CPU", "us", "libbpf load + attach + pin, CPU", "<=1.3x");
	struct row *bare_end = row("remove the pins", "us", NULL, NULL);
	struct row *bare_end_cpu = row("remove the pins, CPU", "us", NULL, NULL);
	struct row *end = row("UnloadProgram", "us", "detach", NULL);
	struct row *end_cpu = row("UnloadProgram, CPU", "us", "remove the pins, CPU", NULL);
	struct row *bare_gone = row("remove the pins, until detached", "us", NULL, NULL);
	struct row *gone =
		row("UnloadProgram, until detached", "us", "remove the pins, until detached", NULL);
	struct rounds r;

	pin_to(CPU_SERVER);
	libbpf_set_print(NULL);
	pod_make(&w.pod);
	device_make(&w.pod, "veth0", "eth0", QUEUES);
	w.ifindex = if_nametoindex("veth0");
	snprintf(w.pins, sizeof(w.pins), "%s/bpf/bare", set->dir);
	daemon_start_pool(&w.daemon, set, "load", 0);
	w.admin = here_open(&w.daemon);

	/* libbpf asks the kernel what it can do once for each process: not part of any sample. */
	bare_load();
	bare_unload();
	wait_detached();
	our_load();
	our_unload();
	wait_detached();
	for (r = rounds_for(set->us); rounds(&r);) {
		timed(raw_load, raw, raw_cpu, NULL);
		timed(raw_unload, raw_end, raw_end_cpu, NULL);
		timed(bare_load, bare_wall, bare_cpu, NULL);
		timed(bare_unload, bare_end, bare_end_cpu, bare_gone);
		timed(our_load, wall, cpu, NULL);
		timed(our_unload, end, end_cpu, gone);
	}
	xskd_close(w.admin);
	daemon_stop(&w.daemon);
}
