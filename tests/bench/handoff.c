// SPDX-License-Identifier: Apache-2.0
/*
 * HandOffSocket: from xskd_hand_off() to rings that can be used, against one privileged process
 * that makes the same socket with the same UMEM for itself. And xskd_handoff_free().
 */
#include <bpf/bpf.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "bare.h"
#include "floor.h"
#include "rows.h"
#include "world.h"

/* The kernel frees a queue some 30 ms after its socket was closed: by the next turn it is free. */
#define QUEUES 64

static struct {
	struct daemon daemon;
	struct pod pod;
	struct floor floor;
	bool releases; /* ReleaseSocket is measured too */
	struct xskd *admin, *client;
	uint32_t ifindex, queue;
	int map; /* the floor's own: ours has another socket where it may not be replaced */
} w;

static const struct size {
	const char *name;
	size_t bytes;
	bool huge;
} sizes[] = {
	{ "4 MiB", 4 << 20, false },
	{ "64 MiB", 64 << 20, false },
	{ "4 MiB huge", 4 << 20, true },
	{ "64 MiB huge", 64 << 20, true },
};

#define HUGE_PAGES 70 /* for the largest twice, once freed a little later, and some for others */

static uint32_t next_queue(void)
{
	return w.queue++ % QUEUES;
}

/* Of daemon and client together: what other processes do at the time is not in it. */
static double cpu_us(void)
{
	return clock_us(CLOCK_PROCESS_CPUTIME_ID) + clock_us(w.daemon.cpu);
}

static struct row *row_of(const char *what, const struct size *s, const char *base,
			  const char *target)
{
	char name[64], floor[64];

	snprintf(name, sizeof(name), "%s, %s", what, s->name);
	snprintf(floor, sizeof(floor), "%s, %s", base ? base : "", s->name);
	return row(name, "us", base ? floor : NULL, target);
}

static void bare_one(const struct size *s)
{
	struct row *make = row_of("bare socket", s, NULL, NULL);
	struct row *cpu = row_of("bare socket, CPU", s, NULL, NULL);
	struct row *end = row_of("bare socket, end", s, NULL, NULL);
	double cpu_before = cpu_us();
	uint32_t queue = next_queue();
	struct bare b;
	double began = now_us();

	bare_open(&b, &w.pod, w.ifindex, queue, s->bytes, s->huge ? BARE_HUGE : BARE_MEMFD);
	bare_insert(&b, w.map, queue);
	row_add(make, now_us() - began);
	row_add(cpu, cpu_us() - cpu_before);
	settle();
	if (w.releases && sizes == s) {
		struct row *leave = row("round trip + XSKMAP delete", "us", NULL, NULL);

		began = now_us();
		floor_call(w.floor.sock, false);
		CHECK(bpf_map_delete_elem(w.map, &queue) == 0);
		row_add(leave, now_us() - began);
	}
	began = now_us();
	bare_close(&b);
	row_add(end, now_us() - began);
}

/* The pause before the end lets the daemon close its own fd of the socket: the last one is ours. */
static void hand_off(const struct size *s)
{
	struct row *make = row_of("HandOffSocket", s, "bare socket", "<=1.15x");
	struct row *cpu = row_of("HandOffSocket, CPU", s, "bare socket, CPU", NULL);
	struct row *end = row_of("xskd_handoff_free", s, "bare socket, end", NULL);
	double cpu_before = cpu_us();
	uint32_t queue = next_queue();
	const struct xskd_handoff_opts opts =
		XSKD_OPTS(xskd_handoff_opts, .queues = &queue, .n_queues = 1,
			  .frames = (uint32_t)(s->bytes / BARE_FRAME), .huge_pages = s->huge);
	struct xskd_handoff *h;
	double began = now_us();

	must(w.client, xskd_hand_off(w.client, "eth0", &opts, &h), "HandOffSocket");
	row_add(make, now_us() - began);
	row_add(cpu, cpu_us() - cpu_before);
	settle();
	if (w.releases && sizes == s) {
		struct row *leave = row("ReleaseSocket", "us", "round trip + XSKMAP delete", NULL);

		began = now_us();
		must(w.client, xskd_release(w.client, h), "ReleaseSocket");
		row_add(leave, now_us() - began);
	}
	began = now_us();
	xskd_handoff_free(h);
	row_add(end, now_us() - began);
}

static void set_up(const struct setting *set, const char *name)
{
	pin_to(CPU_SERVER);
	pod_make(&w.pod);
	device_make(&w.pod, "veth0", "eth0", QUEUES);
	daemon_start_pool(&w.daemon, set, name, 0); /* or what it does would be counted */
	w.admin = here_open(&w.daemon);
	(void)pod_serve(&w.pod, w.admin, "eth0");
	w.client = pod_open(&w.pod, &w.daemon);
	pod_enter(&w.pod);
	w.ifindex = if_nametoindex("eth0");
	pod_leave(&w.pod);
	w.map = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "bare", 4, 4, QUEUES, NULL);
	CHECK(w.ifindex && w.map >= 0);
	floor_start(&w.floor, FLOOR_PING, NULL, w.map);
}

static void tear_down(void)
{
	floor_stop(&w.floor);
	close(w.map);
	xskd_close(w.client);
	xskd_close(w.admin);
	daemon_stop(&w.daemon);
}

static bool has_huge_pages(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long n = 0;
	char line[128];

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		(void)sscanf(line, "HugePages_Free: %lu", &n);
	fclose(f);
	if (n < HUGE_PAGES)
		row_note("handoff: huge pages were left out: %lu are free, not %d", n, HUGE_PAGES);
	return n >= HUGE_PAGES;
}

void bench_handoff(const struct setting *set)
{
	const bool has_huge = has_huge_pages();
	struct rounds r;

	set_up(set, "handoff");
	w.releases = true;
	for (r = rounds_for(set->us); rounds(&r);) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
			if (sizes[i].huge && !has_huge)
				continue;
			settle();
			bare_one(&sizes[i]);
			settle();
			hand_off(&sizes[i]);
		}
	}
	tear_down();
}

/*
 * System calls are counted apart, by strace(1), which slows them down. It follows daemon and
 * client, and these marks in its output tell what belongs to which side (trace.py).
 */
static void mark(const char *what)
{
	CHECK(write(-1, what, strlen(what)) < 0);
}

void bench_syscalls(const struct setting *set)
{
	int fd;

	(void)set;
	set_up(set, "syscalls");
	/* The first of each does what no later one has to. */
	bare_one(&sizes[0]);
	hand_off(&sizes[0]);
	must(w.client, xskd_get_xsk_map(w.client, "eth0", &fd, NULL), "GetXskMap");
	close(fd);
	settle();
	mark("begin bare socket");
	bare_one(&sizes[0]);
	mark("end");
	settle();
	mark("begin HandOffSocket");
	hand_off(&sizes[0]);
	sleep_us(20000); /* what the daemon does behind its answer counts too */
	mark("end");
	mark("begin GetXskMap");
	must(w.client, xskd_get_xsk_map(w.client, "eth0", &fd, NULL), "GetXskMap");
	close(fd);
	sleep_us(20000);
	mark("end");
	tear_down();
}
