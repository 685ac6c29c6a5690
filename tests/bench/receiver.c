// SPDX-License-Identifier: Apache-2.0
#include "receiver.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "bare.h"
#include "rows.h"

static volatile uint64_t read_bytes; /* so that reading packets is not optimised away */

void frame_make(unsigned char frame[FRAME])
{
	struct ethhdr eth = { .h_dest = { 2, 0, 0, 0, 0, 2 },
			      .h_source = { 2, 0, 0, 0, 0, 1 },
			      .h_proto = htons(ETH_P_IP) };
	struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP };
	struct udphdr udp = { .source = htons(9), .dest = htons(9) };

	ip.tot_len = htons(FRAME - sizeof(eth));
	udp.len = htons(FRAME - sizeof(eth) - sizeof(ip));
	memcpy(frame, &eth, sizeof(eth));
	memcpy(frame + sizeof(eth), &ip, sizeof(ip));
	memcpy(frame + sizeof(eth) + sizeof(ip), &udp, sizeof(udp));
}

uint32_t receiver_take(const struct receiver *r)
{
	uint32_t from = 0, to = 0;
	uint32_t n = xsk_ring_cons__peek(r->rx, 64, &from);
	uint64_t sum = 0;

	if (!n)
		return 0;
	/* The kernel tells of packets first and of the places in the fill ring right after. */
	while (!xsk_ring_prod__reserve(r->fill, n, &to))
		;
	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(r->rx, from + i);
		const unsigned char *data = xsk_umem__get_data(r->umem, desc->addr);

		sum += data[12];
		*xsk_ring_prod__fill_addr(r->fill, to + i) =
			desc->addr & ~(uint64_t)(BARE_FRAME - 1);
	}
	xsk_ring_prod__submit(r->fill, n);
	xsk_ring_cons__release(r->rx, n);
	read_bytes += sum;
	return n;
}

struct sending {
	void (*send)(void *arg);
	void *arg;
	atomic_bool over;
};

static void *send_all(void *arg)
{
	struct sending *s = arg;

	pin_to(CPU_SERVER);
	s->send(s->arg);
	atomic_store(&s->over, true);
	return NULL;
}

struct taken receivers_burst(const struct receiver *r, size_t n, void (*send)(void *arg), void *arg)
{
	struct sending s = { .send = send, .arg = arg };
	struct taken taken = { 0 };
	double first = 0;
	pthread_t thread;
	bool over;

	CHECK(pthread_create(&thread, NULL, send_all, &s) == 0);
	do {
		uint32_t now = 0;

		over = atomic_load_explicit(&s.over, memory_order_acquire);
		for (size_t i = 0; i < n; i++)
			now += receiver_take(&r[i]);
		if (!now)
			continue;
		if (!taken.packets)
			first = now_us();
		taken.us = now_us() - first;
		taken.packets += now;
	} while (!over);
	CHECK(pthread_join(thread, NULL) == 0);
	return taken;
}
