// SPDX-License-Identifier: Apache-2.0
/*
 * The daemon's memory: at rest, and what a connection, a lease and a kept socket add to it. In KiB,
 * as /proc/PID/smaps_rollup tells; what the kernel keeps for them is not in it.
 */
#include <stdio.h>

#include "rows.h"
#include "world.h"

#define LEASES 250
#define QUEUES 256

struct memory {
	double rss, pss, dirty;
};

static struct memory look(const struct daemon *d)
{
	struct memory m = { 0 };
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)d->pid);
	f = fopen(path, "re");
	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "Rss: %lf", &m.rss);
		sscanf(line, "Pss: %lf", &m.pss);
		sscanf(line, "Private_Dirty: %lf", &m.dirty);
	}
	fclose(f);
	CHECK(m.rss > 0);
	return m;
}

static void tell(const char *name, double value, const char *target)
{
	row_add(row(name, "KiB", NULL, target), value);
}

static void connections(const struct daemon *d, size_t n)
{
	static struct xskd *x[1000];
	double before = look(d).rss;

	for (size_t i = 0; i < n; i++) {
		struct xskd_info info;

		x[i] = here_open(d);
		must(x[i], xskd_get_info(x[i], &info), "GetInfo");
	}
	tell("daemon, an idle connection", (look(d).rss - before) / (double)n, "<=0.5");
	for (size_t i = 0; i < n; i++)
		xskd_close(x[i]);
}

/*
 * A daemon of its own for each of the below: memory that one has freed would be the next one's, and
 * hide it. What the first calls bring along, threads and libbpf's knowledge, is not a socket's
 * either.
 */
struct ground {
	const struct setting *set;
	struct daemon daemon;
	struct pod pod;
	struct xskd *admin, *client;
	char here[16], inside[16];
};

static struct xskd_handoff *hand_off(struct ground *g, uint32_t first, uint32_t n, bool keep)
{
	uint32_t queues[XSKD_QUEUES_MAX];
	const struct xskd_handoff_opts opts = XSKD_OPTS(
		xskd_handoff_opts, .queues = queues, .n_queues = n, .frames = 64 * n,
		.fill_size = 64, .completion_size = 64, .rx_size = 64, .tx_size = 64, .keep = keep);
	struct xskd_handoff *h;

	for (uint32_t i = 0; i < n; i++)
		queues[i] = first + i;
	must(g->client, xskd_hand_off(g->client, g->inside, &opts, &h), "HandOffSocket");
	return h;
}

static void ground_start(struct ground *g, const struct setting *set, const char *name, int number)
{
	g->set = set;
	snprintf(g->here, sizeof(g->here), "veth%d", number);
	snprintf(g->inside, sizeof(g->inside), "eth%d", number);
	pod_make(&g->pod);
	device_make(&g->pod, g->here, g->inside, QUEUES);
	daemon_start(&g->daemon, set, name);
	g->admin = here_open(&g->daemon);
	(void)pod_serve(&g->pod, g->admin, g->inside);
	g->client = pod_open(&g->pod, &g->daemon);
	for (uint32_t i = 0; i < 16; i++)
		xskd_handoff_free(hand_off(g, QUEUES - 1 - i, 1, false));
	sleep_us(set->smoke ? 10000 : 1200000); /* until its sweep has seen them end */
}

static void ground_end(struct ground *g)
{
	xskd_close(g->client);
	xskd_close(g->admin);
	daemon_stop(&g->daemon);
}

/* One queue each of one device here: nobody needs 250 pods for it. */
static void leases(const struct setting *set)
{
	const uint32_t n = set->smoke ? 20 : LEASES;
	struct memory before;
	struct ground g;

	ground_start(&g, set, "leases", 1);
	before = look(&g.daemon);
	tell("daemon after work, RSS", before.rss, NULL);
	tell("daemon after work, private dirty", before.dirty, NULL);
	for (uint32_t i = 0; i < n; i++) {
		const struct xskd_lease_opts opts =
			XSKD_OPTS(xskd_lease_opts, .device = g.here, .queues = &i, .n_queues = 1);
		char container[32], interface[XSKD_IFNAME_SIZE];

		snprintf(container, sizeof(container), "container-%u", i);
		snprintf(interface, sizeof(interface), "net%u", i);
		must(g.admin,
		     xskd_grant_lease(g.admin, container, interface, g.pod.netns, &opts, NULL),
		     "grant");
	}
	tell("daemon, a lease", (look(&g.daemon).rss - before.rss) / n, NULL);
	ground_end(&g);
}

static void sockets(const struct setting *set, bool keep)
{
	const uint32_t n = set->smoke ? 8 : XSKD_QUEUES_MAX;
	struct xskd_handoff *h[3];
	struct ground g;
	double before;

	ground_start(&g, set, keep ? "kept" : "used", keep ? 2 : 3);
	before = look(&g.daemon).rss;
	for (uint32_t i = 0; i < 3; i++)
		h[i] = hand_off(&g, i * n, n, keep);
	tell(keep ? "daemon, a kept socket" : "daemon, a socket in use",
	     (look(&g.daemon).rss - before) / (3 * n), NULL);
	for (uint32_t i = 0; i < 3; i++) {
		must(g.client, xskd_release(g.client, h[i]), "ReleaseSocket");
		xskd_handoff_free(h[i]);
	}
	ground_end(&g);
}

void bench_memory(const struct setting *set)
{
	struct memory rest;
	struct daemon d;

	pin_to(CPU_CLIENT);
	daemon_start(&d, set, "memory");
	sleep_us(set->smoke ? 10000 : 1200000); /* past its first tick */
	rest = look(&d);
	tell("daemon at rest, RSS", rest.rss, "<=3072");
	tell("daemon at rest, PSS", rest.pss, NULL);
	tell("daemon at rest, private dirty", rest.dirty, NULL);
	connections(&d, set->smoke ? 100 : 1000);
	daemon_stop(&d);
	leases(set);
	sockets(set, false);
	sockets(set, true);
}
