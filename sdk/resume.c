// SPDX-License-Identifier: Apache-2.0
/*
 * A process that takes up kept sockets inherits rings and UMEM, but not its predecessor's knowledge
 * of who had which frame. The rings tell: what is in one of them is accounted for, what is in none
 * was the predecessor's, or is in the kernel's hands, which must not be given out.
 *
 * How much the kernel holds, in copy mode, is in the free-running counters (net/xdp/xsk.c,
 * xsk_buff_pool.c). Each frame that it takes from the fill ring goes to the rx ring, so it holds
 * fill.consumer - rx.producer: packets on their way, for microseconds, and what was dropped at a
 * full rx ring, which waits in the pool's free list and is used before the fill ring is touched
 * again. Each frame from the tx ring comes back in the completion ring: tx.consumer -
 * completion.producer. Invalid descriptors count as held for ever; that errs on the safe side.
 *
 * So: wait a moment until nothing is held. What stays held is among the entries consumed last,
 * which can still be read where they have not been overwritten: leave these out. RX: the last
 * `held`, and some more, as the free list is a stack and a packet may have 17 frames. TX: all that
 * can be read, as drivers complete out of order. Where not even that many can be read, it may be
 * any frame, and none is given out.
 *
 * In zero-copy mode the driver fills its own queues ahead and nothing of this holds: what is in no
 * ring is lost, unless no frame was ever passed in.
 *
 * A frame may stand in two rings: the predecessor put it into tx or fill before it released the rx
 * or completion entry that it had from, and died between. The older entry is void; given out twice,
 * the frame would be overwritten in use.
 */
#include "resume.h"

#include <errno.h>
#include <time.h>

#define RX_MARGIN 64

/* Where frames are. */
enum {
	IN_FILL = 1 << 0,
	IN_RX = 1 << 1,
	IN_TX = 1 << 2,
	IN_COMPLETION = 1 << 3,
	MET = 1 << 4,    /* in a completion ring, in an entry that stands */
	HELD = 1 << 5,   /* maybe by the kernel */
	POOLED = 1 << 6, /* by all appearances, in the pool's free list */
};

/* A socket's counters at one moment. */
struct counters {
	uint32_t fill_prod, fill_cons, rx_prod, rx_cons;
	uint32_t tx_prod, tx_cons, completion_prod, completion_cons;
	int32_t rx_held, tx_held; /* negative: caught in the middle of an update */
};

struct map {
	uint8_t *frame; /* flags of each */
	uint64_t n;
	uint32_t frame_size;
	bool blind; /* any frame in no ring may be held */
};

static uint32_t load(const uint32_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

/*
 * The kernel publishes rx entries first and the fill entries that they took afterwards. Read in the
 * other order, a frame on its way is seen in fill, or as held, but never overlooked.
 */
static struct counters read_counters(const struct xskd_socket *s)
{
	struct counters c;

	do {
		c.fill_cons = load(s->fill.consumer);
		c.rx_prod = load(s->rx.producer);
		c.tx_cons = load(s->tx.consumer);
		c.completion_prod = load(s->completion.producer);
	} while (c.fill_cons != load(s->fill.consumer) || c.tx_cons != load(s->tx.consumer));
	c.fill_prod = load(s->fill.producer);
	c.rx_cons = load(s->rx.consumer);
	c.tx_prod = load(s->tx.producer);
	c.completion_cons = load(s->completion.consumer);
	c.rx_held = (int32_t)(c.fill_cons - c.rx_prod);
	c.tx_held = (int32_t)(c.tx_cons - c.completion_prod);
	return c;
}

static bool any_zero_copy(const struct xskd_handoff *h)
{
	for (size_t i = 0; i < h->n_sockets; i++)
		if (h->sockets[i].zero_copy)
			return true;
	return false;
}

static bool any_used(const struct xskd_handoff *h)
{
	for (size_t i = 0; i < h->n_sockets; i++)
		if (load(h->sockets[i].fill.producer) || load(h->sockets[i].tx.producer))
			return true;
	return false;
}

static void settle(const struct xskd_handoff *h, struct counters *c, int settle_ms)
{
	const struct timespec pause = { .tv_nsec = 250000 };
	bool held;

	/*
	 * In steps of a quarter of a millisecond; longer when the machine is busy, which is right.
	 */
	for (int step = 0; step <= settle_ms * 4; step++) {
		held = false;
		for (size_t i = 0; i < h->n_sockets; i++) {
			c[i] = read_counters(&h->sockets[i]);
			held |= c[i].rx_held || c[i].tx_held;
		}
		if (!held)
			return;
		if (step < settle_ms * 4)
			nanosleep(&pause, NULL);
	}
}

/* The flags of the frame in which @addr is; NULL: in none. */
static uint8_t *frame_at(const struct map *m, uint64_t addr)
{
	uint64_t index = addr / m->frame_size;

	return index < m->n ? &m->frame[index] : NULL;
}

static void mark(const struct map *m, uint64_t addr, uint8_t flag)
{
	uint8_t *frame = frame_at(m, addr);

	if (frame)
		*frame |= flag;
}

/* ---- The rings ------------------------------------------------------------------------------ */

static uint64_t prod_addr(const struct xsk_ring_prod *r, bool descs, uint32_t i)
{
	return descs ? ((const struct xdp_desc *)r->ring)[i & r->mask].addr
		     : ((const uint64_t *)r->ring)[i & r->mask];
}

/* How many entries; the counters are a dead process's and may be anything. */
static uint32_t span(uint32_t cons, uint32_t prod, uint32_t size)
{
	return prod - cons < size ? prod - cons : size;
}

/* What was given to the kernel and not yet taken. */
static void mark_given(const struct map *m, const struct xsk_ring_prod *r, bool descs,
		       uint32_t cons, uint32_t prod, uint8_t flag)
{
	for (uint32_t n = span(cons, prod, r->size); n; n--)
		mark(m, prod_addr(r, descs, prod - n), flag);
}

/*
 * Marks the last @n entries that the kernel has taken, as far back as they can be read. Slots of a
 * ring that has not gone round once are 0 and cannot be told from a frame at 0: that one may be
 * marked for nothing. Return: whether all @n were there, or as many as the ring has.
 */
static bool mark_taken(const struct map *m, const struct xsk_ring_prod *r, bool descs,
		       uint32_t cons, uint32_t prod, uint64_t n, uint8_t flag)
{
	uint32_t readable = r->size - span(cons, prod, r->size);
	uint32_t wanted = n < r->size ? (uint32_t)n : r->size;

	for (uint32_t i = wanted < readable ? wanted : readable; i; i--)
		mark(m, prod_addr(r, descs, cons - i), flag);
	return wanted <= readable;
}

static void mark_held(struct map *m, const struct xskd_socket *s, const struct counters *c)
{
	uint64_t rx = c->rx_held > 0 ? (uint64_t)c->rx_held : 0;
	uint64_t tx = c->tx_held > 0 ? (uint64_t)c->tx_held : 0;

	if (c->rx_held < 0 || c->tx_held < 0)
		m->blind = true;
	if (rx) {
		mark_taken(m, &s->fill, false, c->fill_cons, c->fill_prod, rx, POOLED);
		if (!mark_taken(m, &s->fill, false, c->fill_cons, c->fill_prod, rx + RX_MARGIN,
				HELD))
			m->blind = true;
	}
	if (tx) {
		uint32_t readable = s->tx.size - span(c->tx_cons, c->tx_prod, s->tx.size);

		mark_taken(m, &s->tx, true, c->tx_cons, c->tx_prod, readable, HELD);
		if (tx > readable)
			m->blind = true;
	}
}

/*
 * Whether the entry is the older one of two. @elsewhere: rings of the other direction; the kernel
 * never moves frames there, so this is sure. @again: rings of the same direction, where it does:
 * sure only between updates.
 */
static bool is_void(const uint8_t *frame, uint8_t elsewhere, uint8_t again, bool settled)
{
	return frame && ((*frame & elsewhere) || (settled && (*frame & again)));
}

/*
 * Marks the entries of the rx ring, newest first, and closes up over those that are void. The
 * kernel never reads these slots, and the predecessor is gone.
 */
static void take_rx(const struct map *m, struct xsk_ring_cons *r, const struct counters *c,
		    bool settled)
{
	struct xdp_desc *descs = r->ring;
	uint32_t to = c->rx_prod, i = c->rx_prod;

	for (uint32_t n = span(c->rx_cons, c->rx_prod, r->size); n; n--) {
		i--;

		struct xdp_desc desc = descs[i & r->mask];
		uint8_t *frame = frame_at(m, desc.addr);

		if (is_void(frame, IN_TX | IN_COMPLETION, IN_FILL | IN_RX | POOLED, settled))
			continue;
		descs[--to & r->mask] = desc;
		mark(m, desc.addr, IN_RX);
	}
	r->cached_cons = to;
	__atomic_store_n(r->consumer, to, __ATOMIC_RELEASE);
}

static void take_completion(const struct map *m, struct xsk_ring_cons *r, const struct counters *c,
			    bool settled)
{
	uint64_t *addrs = r->ring;
	uint32_t to = c->completion_prod, i = c->completion_prod;

	for (uint32_t n = span(c->completion_cons, c->completion_prod, r->size); n; n--) {
		i--;

		uint64_t addr = addrs[i & r->mask];

		if (is_void(frame_at(m, addr), IN_FILL | IN_RX, IN_TX | MET | POOLED, settled))
			continue;
		addrs[--to & r->mask] = addr;
		mark(m, addr, MET);
	}
	r->cached_cons = to;
	__atomic_store_n(r->consumer, to, __ATOMIC_RELEASE);
}

/* ---- Together ------------------------------------------------------------------------------- */

static void mark_all(const struct xskd_handoff *h, const struct counters *counters, bool copy_mode,
		     struct map *m)
{
	/* Where else frames are must be known before rx and completion entries are judged. */
	for (size_t i = 0; i < h->n_sockets; i++) {
		const struct xskd_socket *s = &h->sockets[i];
		const struct counters *c = &counters[i];

		mark_given(m, &s->fill, false, c->fill_cons, c->fill_prod, IN_FILL);
		mark_given(m, &s->tx, true, c->tx_cons, c->tx_prod, IN_TX);
		for (uint32_t n = span(c->completion_cons, c->completion_prod, s->completion.size);
		     n; n--)
			mark(m, *xsk_ring_cons__comp_addr(&s->completion, c->completion_prod - n),
			     IN_COMPLETION);
		if (copy_mode)
			mark_held(m, s, c);
	}
	for (size_t i = 0; i < h->n_sockets; i++)
		take_rx(m, &h->sockets[i].rx, &counters[i], copy_mode && counters[i].rx_held >= 0);
	for (size_t i = 0; i < h->n_sockets; i++)
		take_completion(m, &h->sockets[i].completion, &counters[i],
				copy_mode && counters[i].tx_held >= 0);
}

static void give_out(struct xskd_handoff *h, const struct map *m)
{
	/* From the last to the first: the application takes them from the end. */
	for (uint64_t i = m->n; i-- > 0;) {
		if (m->frame[i] & (IN_FILL | IN_RX | IN_TX | MET))
			continue;
		if (m->blind || m->frame[i])
			h->lost_frames++;
		else
			h->frames[h->n_frames++] = i * m->frame_size;
	}
}

int resume_frames(struct xskd_handoff *h, int settle_ms)
{
	bool zero_copy = any_zero_copy(h);
	struct map m = {
		.n = h->umem_size / h->frame_size,
		.frame_size = h->frame_size,
		.blind = zero_copy && any_used(h),
	};
	cleanup(freep) struct counters *c = calloc(h->n_sockets, sizeof(*c));
	cleanup(freep) uint8_t *flags = calloc(m.n + 1, 1);
	cleanup(freep) uint64_t *frames = calloc(m.n + 1, sizeof(*frames));

	if (!c || !flags || !frames)
		return -ENOMEM;
	m.frame = flags;
	settle(h, c, zero_copy ? 0 : settle_ms);
	mark_all(h, c, !zero_copy, &m);
	free(h->frames);
	h->frames = steal_ptr(&frames);
	h->n_frames = 0;
	h->lost_frames = 0;
	give_out(h, &m);
	return 0;
}
