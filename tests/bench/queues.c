// SPDX-License-Identifier: Apache-2.0
/*
 * Packets per second that come in on 1, 2 and 4 queues at once, for sockets that share a UMEM:
 * those of one hand-off, against as many that this process makes as root. Both are there at the
 * same time, on two veths that are alike, and get a burst each in turn.
 *
 * XDP_REDIRECT into a veth takes the queue of the sender's CPU, of which there are two here. So it
 * is AF_XDP sockets that send, one into each queue: the kernel makes an skb of each packet, and
 * that is most of what is seen. The way alone is measured in packets.c.
 */
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bare.h"
#include "receiver.h"
#include "rows.h"
#include "world.h"

#define MOST  4
#define BURST 20000
#define BATCH 32 /* what the kernel sends at one call */
#define FILL  ((size_t)BARE_RING * BARE_FRAME)

static const char *const names[] = { "packets, hand-made sockets", "packets, handed-off sockets" };

/* From the sockets that send to those that receive; of the former, all the time as many as may be.
 */
struct way {
	struct bare senders[MOST];
	struct receiver to[MOST];
	size_t n;
};

static struct {
	struct daemon daemon;
	struct pod pod, here;
	struct xskd *admin, *client;
	struct way ways[2];
	int map;
	uint32_t ifindex; /* where the hand-made ones are */
} w;

/* ---- a burst ---- */

static void send_batch(struct bare *b)
{
	uint32_t at;

	if (xsk_ring_prod__reserve(&b->tx, BATCH, &at) != BATCH)
		return;
	for (uint32_t i = 0; i < BATCH; i++) {
		struct xdp_desc *desc = xsk_ring_prod__tx_desc(&b->tx, at + i);

		desc->addr = (uint64_t)((at + i) % BARE_RING) * BARE_FRAME;
		desc->len = FRAME;
		desc->options = 0;
	}
	xsk_ring_prod__submit(&b->tx, BATCH);
}

/* Completions are not looked at but taken: a frame is sent again with what it has in it. */
static void push(struct bare *b)
{
	uint32_t at, n;

	(void)sendto(b->fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
	n = xsk_ring_cons__peek(&b->completion, BARE_RING, &at);
	xsk_ring_cons__release(&b->completion, n);
}

static void send_burst(void *arg)
{
	struct way *way = arg;

	for (size_t sent = 0; sent < BURST; sent += BATCH) {
		struct bare *b = &way->senders[sent / BATCH % way->n];

		send_batch(b);
		push(b);
	}
}

static double burst(struct way *way)
{
	struct taken t = receivers_burst(way->to, way->n, send_burst, way);

	/* Where this process did not run before most was over, there is no rate. */
	return t.packets > BURST / 2 ? (double)t.packets / t.us : 0;
}

/* ---- sockets ---- */

static struct row *row_of(unsigned int way, size_t n)
{
	char name[64], base[64];

	snprintf(name, sizeof(name), "%s, %zu queue%s", names[way], n, n == 1 ? "" : "s");
	snprintf(base, sizeof(base), "%s, %zu queue%s", names[0], n, n == 1 ? "" : "s");
	return row(name, "Mpps", way ? base : NULL, way ? ">=0.98x" : NULL);
}

/* New ones for each, with the one who is first taking turns. */
static void bursts(size_t n, double us)
{
	const uint32_t queues[MOST] = { 0, 1, 2, 3 };
	const struct xskd_handoff_opts opts =
		XSKD_OPTS(xskd_handoff_opts, .queues = queues, .n_queues = n,
			  .frames = (uint32_t)(2 * n * BARE_RING));
	struct bare made[MOST];
	struct xskd_handoff *h;
	const double until = now_us() + us;

	for (uint32_t i = 0; i < n; i++) {
		if (i)
			bare_share(&made[i], &made[0], &w.pod, w.ifindex, i);
		else
			bare_open(&made[i], &w.pod, w.ifindex, i, 2 * n * FILL, BARE_MEMFD);
		bare_insert(&made[i], w.map, i);
		bare_fill(&made[i], i * BARE_RING);
		w.ways[0].to[i] = (struct receiver){ &made[i].fill, &made[i].rx, made[i].umem };
	}
	must(w.client, xskd_hand_off(w.client, "eth0", &opts, &h), "HandOffSocket");
	CHECK(xskd_fill(h) == n * BARE_RING);
	for (uint32_t i = 0; i < n; i++)
		w.ways[1].to[i] =
			(struct receiver){ &h->sockets[i].fill, &h->sockets[i].rx, h->umem };
	w.ways[0].n = w.ways[1].n = n;
	for (unsigned int k = 0, counted = 0; !counted || now_us() < until; k++) {
		double rate[2];

		for (unsigned int i = 0; i < 2; i++)
			rate[(i + k) % 2] = burst(&w.ways[(i + k) % 2]);
		if (rate[0] <= 0 || rate[1] <= 0)
			continue;
		counted++;
		for (unsigned int i = 0; i < 2; i++)
			row_add(row_of(i, n), rate[i]);
	}
	xskd_handoff_free(h);
	for (size_t i = n; i-- > 0;)
		bare_close(&made[i]);
	sleep_us(100000); /* until the queues are free again */
}

static void make_senders(struct way *way, const char *device)
{
	uint32_t ifindex = if_nametoindex(device);

	CHECK(ifindex);
	for (uint32_t i = 0; i < MOST; i++) {
		struct bare *b = &way->senders[i];

		bare_open(b, &w.here, ifindex, i, FILL, BARE_ANON);
		for (uint32_t k = 0; k < BARE_RING; k++)
			frame_make((unsigned char *)b->umem + (size_t)k * BARE_FRAME);
	}
}

void bench_queues(const struct setting *set)
{
	static const size_t sizes[] = { 1, 2, MOST };
	const size_t n_sizes = sizeof(sizes) / sizeof(*sizes);
	uint32_t program;

	pin_to(CPU_CLIENT);
	pod_make(&w.pod);
	w.here = (struct pod){ .home = w.pod.home, .netns = w.pod.home };
	device_make(&w.pod, "veth0", "eth0", MOST);
	device_make(&w.pod, "veth1", "eth1", MOST);
	make_senders(&w.ways[0], "veth1");
	make_senders(&w.ways[1], "veth0");
	pod_enter(&w.pod);
	w.ifindex = if_nametoindex("eth1");
	pod_leave(&w.pod);
	daemon_start(&w.daemon, set, "queues");
	w.admin = here_open(&w.daemon);
	(void)pod_serve(&w.pod, w.admin, "eth0");
	program = pod_serve(&w.pod, w.admin, "eth1");
	must(w.admin, xskd_get_program_map(w.admin, program, &w.map, NULL), "GetXskMap");
	w.client = pod_open(&w.pod, &w.daemon);
	for (int f = 0; f < FIFTHS; f++) {
		for (size_t i = 0; i < n_sizes; i++)
			bursts(sizes[i], set->us / FIFTHS / (double)n_sizes);
	}
	for (size_t i = 0; i < 2 * MOST; i++)
		bare_close(&w.ways[i / MOST].senders[i % MOST]);
	close(w.map);
	xskd_close(w.client);
	xskd_close(w.admin);
	daemon_stop(&w.daemon);
}
