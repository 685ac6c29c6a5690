/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds out what became of numbered packets. The test sender puts a 64-bit big-endian number at the
 * start of each UDP payload; other traffic (an interface is never silent: neighbour discovery,
 * mDNS) is told apart by its port.
 */
#ifndef CLIENT_SEQUENCE_H
#define CLIENT_SEQUENCE_H

#include <stddef.h>
#include <stdint.h>

#define SEQUENCE_PORT 9 /* discard */

/*
 * How far behind the highest number a late packet is still recognised. Several queues are drained
 * in turn, so packets of one sender are late by up to a ring.
 */
#define SEQUENCE_WINDOW 65536

struct sequence {
	uint64_t packets;  /* that carried a number */
	uint64_t distinct; /* each number once */
	uint64_t duplicated;
	uint64_t reordered;   /* came after a higher one */
	uint64_t first, last; /* the lowest and the highest number, once there are packets */
	uint64_t seen[SEQUENCE_WINDOW / 64]; /* one bit for each number of the window */
};

/* sequence_take() - look at a frame, Ethernet header first. */
void sequence_take(struct sequence *s, const void *frame, size_t len);

/* sequence_count() - count a number. */
void sequence_count(struct sequence *s, uint64_t number);

/* sequence_lost() - numbers between the lowest and the highest that never came. */
uint64_t sequence_lost(const struct sequence *s);

#endif
