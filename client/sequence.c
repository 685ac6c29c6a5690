// SPDX-License-Identifier: Apache-2.0
#include "sequence.h"

#include <endian.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <string.h>

static bool test_and_set(struct sequence *s, uint64_t number)
{
	uint64_t *word = &s->seen[number % SEQUENCE_WINDOW / 64];
	uint64_t bit = 1ULL << number % 64;
	bool was = *word & bit;

	*word |= bit;
	return was;
}

/* The window moves up to @number: what enters it has not been seen. */
static void advance(struct sequence *s, uint64_t number)
{
	if (number - s->last >= SEQUENCE_WINDOW) {
		memset(s->seen, 0, sizeof(s->seen));
	} else {
		for (uint64_t n = s->last + 1; n <= number; n++)
			s->seen[n % SEQUENCE_WINDOW / 64] &= ~(1ULL << n % 64);
	}
	s->last = number;
}

void sequence_count(struct sequence *s, uint64_t number)
{
	if (s->packets++ == 0)
		s->first = s->last = number;
	else if (number > s->last)
		advance(s, number);
	else if (number != s->last)
		s->reordered++;
	if (number < s->first)
		s->first = number;
	/* Older than the window: taken for late, as that is far more common than doubled. */
	if (s->last - number < SEQUENCE_WINDOW && test_and_set(s, number)) {
		s->duplicated++;
		if (number != s->last)
			s->reordered--;
		return;
	}
	s->distinct++;
}

void sequence_take(struct sequence *s, const void *frame, size_t len)
{
	const uint8_t *bytes = frame;
	struct ether_header eth;
	struct iphdr ip;
	struct udphdr udp;
	uint64_t number;
	size_t at = sizeof(eth);

	/* Headers are copied out: in a frame nothing is aligned. */
	if (len < at + sizeof(ip) + sizeof(udp) + sizeof(number))
		return;
	memcpy(&eth, bytes, sizeof(eth));
	memcpy(&ip, bytes + at, sizeof(ip));
	at += ip.ihl * 4U;
	if (eth.ether_type != htons(ETHERTYPE_IP) || ip.version != 4 || ip.ihl < 5 ||
	    ip.protocol != IPPROTO_UDP || len < at + sizeof(udp) + sizeof(number))
		return;
	memcpy(&udp, bytes + at, sizeof(udp));
	if (udp.dest != htons(SEQUENCE_PORT))
		return;
	memcpy(&number, bytes + at + sizeof(udp), sizeof(number));
	sequence_count(s, be64toh(number));
}

uint64_t sequence_lost(const struct sequence *s)
{
	/* More distinct ones than fit: late duplicates from beyond the window. */
	uint64_t span = s->packets ? s->last - s->first + 1 : 0;

	return span > s->distinct ? span - s->distinct : 0;
}
