/* SPDX-License-Identifier: Apache-2.0 */
/* Packets for AF_XDP sockets, and who takes them, whoever made the socket. */
#ifndef XSKD_BENCH_RECEIVER_H
#define XSKD_BENCH_RECEIVER_H

#include <stddef.h>
#include <stdint.h>
#include <xdp/xsk.h>

#define FRAME 60

/* frame_make() - a small UDP packet. */
void frame_make(unsigned char frame[FRAME]);

/* The rings and the UMEM are somebody's. */
struct receiver {
	struct xsk_ring_prod *fill;
	struct xsk_ring_cons *rx;
	void *umem;
};

/*
 * receiver_take() - the packets that are there, at most 64, each looked into as an application
 * does, and their frames back into the fill ring. Return: how many.
 */
uint32_t receiver_take(const struct receiver *r);

struct taken {
	uint64_t packets;
	double us; /* from the first to the last */
};

/*
 * receivers_burst() - what all @n of them take while @send runs, in a thread on the server's CPU,
 * and until it is over. How that starts and ends may take the kernel some grace periods, and is not
 * of interest.
 */
struct taken receivers_burst(const struct receiver *r, size_t n, void (*send)(void *arg),
			     void *arg);

#endif
