// SPDX-License-Identifier: Apache-2.0
/*
 * What a call costs where a daemon has 1, 64 and 1,024 programs and leases, each for a pod with a
 * namespace and a device of its own. There are three daemons at once, so that a call is made with
 * the one and the other in turn. So many programs fill the kernel's dispatcher, which is one for
 * all: past 48 of them the kernel attaches one more without waiting, whoever asks for it.
 */
#include <bpf/bpf.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "bare.h"
#include "floor.h"
#include "rows.h"
#include "smaps.h"
#include "world.h"

#define QUEUES 64
#define BLOCK  50
#define UMEM   (1 << 20)

static struct node {
	size_t n; /* programs, leases, pods */
	struct daemon daemon;
	struct pod *pods; /* the first is the one that asks */
	struct xskd *admin, *client;
	char spare[32]; /* a device without a program */
	uint32_t spare_index, ifindex, queue;
	int map;
} nodes[] = { { .n = 1 }, { .n = 64 }, { .n = 1024 } };

#define N_NODES (sizeof(nodes) / sizeof(*nodes))

static struct floor ping_floor, keep_floor;

/* ---- what is measured ---- */

static void ping(struct node *node)
{
	(void)node;
	floor_call(ping_floor.sock, true);
}

static void keep(struct node *node)
{
	floor_keep(keep_floor.sock, node->pods[0].netns);
	floor_call(keep_floor.sock, false);
}

static void get_info(struct node *node)
{
	struct xskd_info info;

	must(node->client, xskd_get_info(node->client, &info), "GetInfo");
}

static void get_map(struct node *node)
{
	int fd;

	must(node->client, xskd_get_xsk_map(node->client, "eth0", &fd, NULL), "GetXskMap");
	close(fd);
}

static void get_stats(struct node *node)
{
	struct xskd_queue_stats *stats;
	size_t n;

	must(node->client, xskd_get_stats(node->client, "eth0", 0, &stats, &n), "GetStats");
	xskd_free(stats);
}

static void grant_and_revoke(struct node *node)
{
	static const uint32_t queue;
	const struct xskd_lease_opts opts =
		XSKD_OPTS(xskd_lease_opts, .device = node->spare, .queues = &queue, .n_queues = 1);

	must(node->admin,
	     xskd_grant_lease(node->admin, "one-more", "net0", node->pods[0].netns, &opts, NULL),
	     "GrantLease");
	must(node->admin, xskd_revoke_lease(node->admin, "one-more", NULL, NULL), "RevokeLease");
}

static void bare_attach(struct node *node)
{
	int map = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "bare", 4, 4, QUEUES, NULL);
	int prog = attach_redirect(map);

	attach_end(attach_link(prog, node->spare_index));
	close(prog);
	close(map);
}

static void load_and_unload(struct node *node)
{
	const struct xskd_load_opts opts = XSKD_OPTS(xskd_load_opts, .mode = XSKD_XDP_NATIVE);
	struct xskd_program program;

	must(node->admin, xskd_load_program(node->admin, node->spare, &opts, &program), "load");
	must(node->admin, xskd_unload_program(node->admin, program.id, NULL, 0, false), "unload");
}

static uint32_t next_queue(struct node *node)
{
	return node->queue++ % QUEUES;
}

/* Sockets end when they are no longer timed. */
static struct bare bare;
static struct xskd_handoff *handoff;

static void bare_socket(struct node *node)
{
	uint32_t queue = next_queue(node);

	bare_open(&bare, &node->pods[0], node->ifindex, queue, UMEM, BARE_MEMFD);
	bare_insert(&bare, node->map, queue);
}

static void bare_socket_end(void)
{
	bare_close(&bare);
}

static void hand_off(struct node *node)
{
	uint32_t queue = next_queue(node);
	const struct xskd_handoff_opts opts = XSKD_OPTS(xskd_handoff_opts, .queues = &queue,
							.n_queues = 1, .frames = UMEM / BARE_FRAME);

	must(node->client, xskd_hand_off(node->client, "eth0", &opts, &handoff), "HandOffSocket");
}

static void hand_off_end(void)
{
	xskd_handoff_free(handoff);
}

static const struct variant {
	const char *name;
	void (*call)(struct node *node);
	void (*end)(void);
	bool slow;  /* waits for grace periods */
	bool floor; /* is the same for all: no target */
} variants[] = {
	{ "ping + fd", ping, NULL, false, true },
	{ "GetInfo", get_info, NULL, false, false },
	{ "GetXskMap", get_map, NULL, false, false },
	{ "GetStats", get_stats, NULL, false, false },
	{ "keep a file + remove it", keep, NULL, false, true },
	{ "GrantLease + RevokeLease", grant_and_revoke, NULL, false, false },
	{ "attach + detach", bare_attach, NULL, true, true },
	{ "LoadProgram + UnloadProgram", load_and_unload, NULL, true, false },
	{ "bare socket", bare_socket, bare_socket_end, true, true },
	{ "HandOffSocket", hand_off, hand_off_end, true, false },
};

static struct row *row_of(const struct variant *v, const struct node *node)
{
	char name[64], base[64];

	snprintf(name, sizeof(name), "%s, %zu lease%s", v->name, node->n, node->n == 1 ? "" : "s");
	snprintf(base, sizeof(base), "%s, 1 lease", v->name);
	if (node->n == 1)
		return row(name, "us", NULL, NULL);
	return row(name, "us", base, v->floor ? NULL : "<=1.1x");
}

static void timed(const struct variant *v, struct node *node)
{
	struct row *row = row_of(v, node);

	if (v->slow)
		settle();
	else
		v->call(node);
	for (int i = 0; i < (v->slow ? 1 : BLOCK); i++) {
		double began = now_us();

		v->call(node);
		row_add(row, now_us() - began);
	}
	if (v->end)
		v->end();
}

static void measure(double us, bool slow)
{
	for (struct rounds r = rounds_for(us); rounds(&r);) {
		for (size_t i = 0; i < sizeof(variants) / sizeof(*variants); i++) {
			for (size_t k = 0; variants[i].slow == slow && k < N_NODES; k++)
				timed(&variants[i], &nodes[(k + r.done) % N_NODES]);
		}
		for (size_t k = 0; k < N_NODES; k++)
			daemon_forget_log(&nodes[k].daemon);
	}
}

/* ---- the pods ---- */

/* All but the first, whose device has queues to hand out: by one ip(8), or it would take minutes.
 */
static void make_devices(const struct node *node)
{
	FILE *ip = popen("ip -batch -", "we");

	CHECK(ip);
	for (size_t i = 1; i < node->n; i++) {
		fprintf(ip,
			"link add p%zu_%zu numrxqueues 1 numtxqueues 1 type veth "
			"peer name eth0 numrxqueues 1 numtxqueues 1 netns /proc/%d/fd/%d\n",
			node->n, i, (int)getpid(), node->pods[i].netns);
	}
	CHECK(pclose(ip) == 0);
}

static void make_node(struct node *node, const struct setting *set)
{
	char name[32], spare[32];
	double began = now_us();
	uint32_t program = 0;

	node->pods = calloc(node->n, sizeof(*node->pods));
	CHECK(node->pods);
	for (size_t i = 0; i < node->n; i++)
		pod_make(&node->pods[i]);
	snprintf(name, sizeof(name), "p%zu_0", node->n);
	snprintf(node->spare, sizeof(node->spare), "s%zu", node->n);
	snprintf(spare, sizeof(spare), "t%zu", node->n);
	device_make(&node->pods[0], name, "eth0", QUEUES);
	device_make(&node->pods[0], node->spare, spare, 4);
	make_devices(node);
	node->spare_index = if_nametoindex(node->spare);
	pod_enter(&node->pods[0]);
	node->ifindex = if_nametoindex("eth0");
	pod_leave(&node->pods[0]);
	CHECK(node->spare_index && node->ifindex);
	snprintf(name, sizeof(name), "scale%zu", node->n);
	daemon_start(&node->daemon, set, name);
	node->admin = here_open(&node->daemon);
	for (size_t i = node->n; i-- > 0;) { /* the first one last: it is no easier to find */
		snprintf(name, sizeof(name), "pod%zu", i);
		program = pod_serve_as(&node->pods[i], node->admin, "eth0", name);
	}
	node->client = pod_open(&node->pods[0], &node->daemon);
	must(node->admin, xskd_get_program_map(node->admin, program, &node->map, NULL),
	     "GetXskMap");
	close(node->map);
	node->map = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "bare", 4, 4, QUEUES, NULL);
	CHECK(node->map >= 0);
	if (node == &nodes[N_NODES - 1])
		row_add(row("1024 pods: made, loaded and granted", "s", NULL, NULL),
			(now_us() - began) / 1e6);
}

void bench_scale(const struct setting *set)
{
	const struct node *few = &nodes[0], *many = &nodes[N_NODES - 1];
	char path[96];

	snprintf(path, sizeof(path), "%s/scale", set->dir);
	pin_to(CPU_SERVER);
	for (size_t k = 0; k < N_NODES; k++) {
		if (set->smoke && nodes[k].n > 64)
			nodes[k].n = 128;
		make_node(&nodes[k], set);
	}
	row_add(row("daemon, a program and its lease", "KiB", NULL, NULL),
		(memory_of(many->daemon.pid).anon - memory_of(few->daemon.pid).anon) /
			(double)(many->n - few->n));
	floor_start(&ping_floor, FLOOR_PING, NULL, nodes[0].map);
	floor_start(&keep_floor, FLOOR_KEEP, path, -1);
	measure(set->us * 0.3, false);
	measure(set->us * 0.7, true);
	floor_stop(&ping_floor);
	floor_stop(&keep_floor);
	for (size_t k = 0; k < N_NODES; k++) {
		xskd_close(nodes[k].client);
		xskd_close(nodes[k].admin);
		daemon_stop(&nodes[k].daemon);
		free(nodes[k].pods);
	}
}
