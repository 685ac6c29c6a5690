// SPDX-License-Identifier: Apache-2.0
/*
 * resume_frames() on rings in fabricated memory, first by hand, then against a model of both ends.
 */
#include "../support.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "resume.h"

#define RING       128
#define FRAMES     512
#define FRAME_SIZE 2048

/* The shared memory of a socket's four rings. */
struct memory {
	uint32_t fill[2], rx[2], tx[2], completion[2]; /* producer, consumer */
	uint64_t fill_addr[RING], completion_addr[RING];
	struct xdp_desc rx_desc[RING], tx_desc[RING];
};

struct fake {
	struct xskd_handoff h;
	struct xskd_socket sockets[2];
	struct memory memory[2];
};

#define init_ring(r, counters, slots)           \
	do {                                    \
		(r)->size = RING;               \
		(r)->mask = RING - 1;           \
		(r)->producer = &(counters)[0]; \
		(r)->consumer = &(counters)[1]; \
		(r)->ring = (slots);            \
	} while (0)

/* @at: where all counters start. */
static struct fake *fake_new(size_t n_sockets, uint32_t at)
{
	struct fake *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->h.sockets = f->sockets;
	f->h.n_sockets = n_sockets;
	f->h.frame_size = FRAME_SIZE;
	f->h.umem_size = (size_t)FRAMES * FRAME_SIZE;
	for (size_t i = 0; i < n_sockets; i++) {
		struct xskd_socket *s = &f->sockets[i];
		struct memory *m = &f->memory[i];

		init_ring(&s->fill, m->fill, m->fill_addr);
		init_ring(&s->rx, m->rx, m->rx_desc);
		init_ring(&s->tx, m->tx, m->tx_desc);
		init_ring(&s->completion, m->completion, m->completion_addr);
		for (int j = 0; j < 2; j++)
			m->fill[j] = m->rx[j] = m->tx[j] = m->completion[j] = at;
	}
	return f;
}

static void fake_free(struct fake *f)
{
	free(f->h.frames);
	free(f);
}

static void resume(struct fake *f)
{
	assert_int_equal(resume_frames(&f->h, 0), 0);
}

static uint64_t addr_of(uint64_t frame)
{
	return frame * FRAME_SIZE;
}

static bool given(const struct fake *f, uint64_t frame)
{
	for (size_t i = 0; i < f->h.n_frames; i++)
		if (f->h.frames[i] == addr_of(frame))
			return true;
	return false;
}

/*
 * ---- Both ends, by hand. Frames by number, at an offset as headroom makes it ------------------
 */

static void give_fill(struct memory *m, uint64_t frame)
{
	m->fill_addr[m->fill[0]++ % RING] = addr_of(frame);
}

static uint64_t kernel_takes_fill(struct memory *m)
{
	return m->fill_addr[m->fill[1]++ % RING] / FRAME_SIZE;
}

static void kernel_receives(struct memory *m, uint64_t frame)
{
	m->rx_desc[m->rx[0]++ % RING] =
		(struct xdp_desc){ .addr = addr_of(frame) + 256, .len = 60 };
}

static void give_tx(struct memory *m, uint64_t frame)
{
	m->tx_desc[m->tx[0]++ % RING] =
		(struct xdp_desc){ .addr = addr_of(frame) + 256, .len = 60 };
}

static uint64_t kernel_takes_tx(struct memory *m)
{
	return m->tx_desc[m->tx[1]++ % RING].addr / FRAME_SIZE;
}

static void kernel_completes(struct memory *m, uint64_t frame)
{
	m->completion_addr[m->completion[0]++ % RING] = addr_of(frame) + 256;
}

/* ---- Cases ---------------------------------------------------------------------------------- */

static void fresh_sockets_give_all(void **state)
{
	(void)state;
	for (int zero_copy = 0; zero_copy < 2; zero_copy++) {
		struct fake *f = fake_new(2, 0);

		f->sockets[0].zero_copy = f->sockets[1].zero_copy = zero_copy;
		resume(f);
		assert_int_equal(f->h.n_frames, FRAMES);
		assert_int_equal(f->h.lost_frames, 0);
		/* Taken from the end, the first is the first. */
		assert_int_equal(f->h.frames[FRAMES - 1], 0);
		assert_int_equal(f->h.frames[0], addr_of(FRAMES - 1));
		fake_free(f);
	}
}

static void frames_in_rings_stay_there(void **state)
{
	(void)state;
	/* Also where the counters go round. */
	for (int wrap = 0; wrap < 2; wrap++) {
		struct fake *f = fake_new(2, wrap ? UINT32_MAX - 1 : 0);

		for (uint64_t i = 0; i < 2; i++) {
			struct memory *m = &f->memory[i];
			uint64_t base = 100 * i;

			for (uint64_t j = 0; j < 8; j++)
				give_fill(m, base + j);
			for (uint64_t j = 0; j < 4; j++)
				kernel_receives(m, kernel_takes_fill(m));
			for (uint64_t j = 8; j < 16; j++)
				give_tx(m, base + j);
			for (uint64_t j = 0; j < 4; j++)
				kernel_completes(m, kernel_takes_tx(m));
		}
		resume(f);
		assert_int_equal(f->h.n_frames, FRAMES - 2 * 16);
		assert_int_equal(f->h.lost_frames, 0);
		for (uint64_t j = 0; j < 16; j++) {
			assert_false(given(f, j));
			assert_false(given(f, 100 + j));
		}
		assert_true(given(f, 16));
		fake_free(f);
	}
}

static void what_the_predecessor_held_is_found(void **state)
{
	struct fake *f = fake_new(1, 0);
	struct memory *m = &f->memory[0];

	(void)state;
	for (uint64_t j = 0; j < 10; j++)
		give_fill(m, j);
	for (int j = 0; j < 10; j++)
		kernel_receives(m, kernel_takes_fill(m));
	m->rx[1] += 6; /* processed, and in no ring when it died */
	resume(f);
	for (uint64_t j = 0; j < 10; j++)
		assert_int_equal(given(f, j), j < 6);
	assert_int_equal(m->rx[1], 6);
	assert_int_equal(f->h.lost_frames, 0);
	fake_free(f);
}

/* The pool's free list, after a drop at a full rx ring. */
static void what_rx_holds_is_left_out(void **state)
{
	struct fake *f = fake_new(1, 1000);
	struct memory *m = &f->memory[0];

	(void)state;
	for (uint64_t j = 0; j < 100; j++)
		give_fill(m, j);
	for (int j = 0; j < 99; j++)
		kernel_receives(m, kernel_takes_fill(m));
	assert_int_equal(kernel_takes_fill(m), 99);
	m->rx[1] = m->rx[0];
	resume(f);
	/* One is held; of those that could be, as many as the margin says are left out. */
	assert_false(given(f, 99));
	assert_false(given(f, 35));
	assert_true(given(f, 34));
	assert_int_equal(f->h.lost_frames, 65);
	assert_int_equal(f->h.n_frames, FRAMES - 65);
	fake_free(f);
}

static void frames_in_rings_are_not_lost(void **state)
{
	struct fake *f = fake_new(1, 1000);
	struct memory *m = &f->memory[0];

	(void)state;
	for (uint64_t j = 0; j < 100; j++)
		give_fill(m, j);
	for (int j = 0; j < 99; j++)
		kernel_receives(m, kernel_takes_fill(m));
	kernel_takes_fill(m);
	resume(f);
	assert_int_equal(f->h.lost_frames, 1);
	assert_int_equal(f->h.n_frames, FRAMES - 100);
	fake_free(f);
}

static void what_was_overwritten_may_be_any(void **state)
{
	struct fake *f = fake_new(1, 1000);
	struct memory *m = &f->memory[0];

	(void)state;
	give_fill(m, 7);
	kernel_takes_fill(m);
	for (uint64_t j = 100; j < 100 + RING; j++)
		give_fill(m, j);
	resume(f);
	assert_int_equal(f->h.n_frames, 0);
	assert_int_equal(f->h.lost_frames, FRAMES - RING);
	fake_free(f);
}

static void what_tx_holds_is_left_out(void **state)
{
	struct fake *f = fake_new(1, 1000);
	struct memory *m = &f->memory[0];

	(void)state;
	for (uint64_t j = 1; j <= 20; j++)
		give_tx(m, j);
	for (uint64_t j = 1; j <= 20; j++)
		kernel_takes_tx(m);
	/* Out of order: all but the first are back and were taken. */
	for (uint64_t j = 2; j <= 20; j++)
		kernel_completes(m, j);
	m->completion[1] = m->completion[0];
	resume(f);
	for (uint64_t j = 1; j <= 20; j++)
		assert_false(given(f, j));
	assert_true(given(f, 21));
	/* And frame 0: the slots of a ring that has not gone round. */
	assert_int_equal(f->h.lost_frames, 21);
	fake_free(f);
}

static void zero_copy_gives_nothing_back(void **state)
{
	struct fake *f = fake_new(2, 0);
	struct memory *m = &f->memory[0];

	(void)state;
	f->sockets[0].zero_copy = f->sockets[1].zero_copy = true;
	for (uint64_t j = 0; j < 10; j++)
		give_fill(m, j);
	for (int j = 0; j < 5; j++)
		kernel_takes_fill(m);
	kernel_receives(m, 0);
	resume(f);
	assert_int_equal(f->h.n_frames, 0);
	assert_int_equal(f->h.lost_frames, FRAMES - 6);
	fake_free(f);
}

static void caught_in_an_update_gives_nothing(void **state)
{
	struct fake *f = fake_new(1, 0);
	struct memory *m = &f->memory[0];

	(void)state;
	give_fill(m, 3);
	kernel_receives(m, 3);
	resume(f);
	assert_int_equal(f->h.n_frames, 0);
	assert_int_equal(m->rx[0] - m->rx[1], 1);
	assert_int_equal(m->fill[0] - m->fill[1], 1);
	fake_free(f);
}

static void *kernel_returns(void *memory)
{
	struct memory *m = memory;
	const struct timespec pause = { .tv_nsec = 3000000 };

	nanosleep(&pause, NULL);
	m->rx_desc[m->rx[0] % RING] = (struct xdp_desc){ .addr = addr_of(5) };
	__atomic_add_fetch(&m->rx[0], 1, __ATOMIC_RELEASE);
	return NULL;
}

static void it_waits_for_packets_on_their_way(void **state)
{
	struct fake *f = fake_new(1, 0);
	struct memory *m = &f->memory[0];
	pthread_t kernel;

	(void)state;
	give_fill(m, 5);
	kernel_takes_fill(m);
	assert_int_equal(pthread_create(&kernel, NULL, kernel_returns, m), 0);
	assert_int_equal(resume_frames(&f->h, 2000), 0);
	pthread_join(kernel, NULL);
	assert_int_equal(f->h.n_frames, FRAMES - 1);
	assert_int_equal(f->h.lost_frames, 0);
	assert_false(given(f, 5));
	fake_free(f);
}

/* Died between submit and release: the entry that it had the frames from is void. */
static void a_frame_in_two_rings_stays_in_one(void **state)
{
	struct fake *f = fake_new(1, 0);
	struct memory *m = &f->memory[0];

	(void)state;
	for (uint64_t j = 0; j < 10; j++)
		give_fill(m, j);
	for (int j = 0; j < 10; j++)
		kernel_receives(m, kernel_takes_fill(m));
	give_tx(m, 0);   /* waits */
	give_fill(m, 2); /* waits; 1 was dropped, and stands in rx alone */
	give_fill(m, 3); /* has come back already */
	m->fill_addr[(m->fill[0] - 2) % RING] = addr_of(3);
	m->fill_addr[(m->fill[0] - 1) % RING] = addr_of(2);
	kernel_receives(m, kernel_takes_fill(m));
	resume(f);
	/* 0 in tx, 2 in fill, 3 once, at the end. */
	const uint64_t left[] = { 1, 4, 5, 6, 7, 8, 9, 3 };

	assert_int_equal(m->rx[0] - m->rx[1], ARRAY_SIZE(left));
	assert_int_equal(f->sockets[0].rx.cached_cons, m->rx[1]);
	for (uint32_t j = 0; j < ARRAY_SIZE(left); j++)
		assert_int_equal(m->rx_desc[(m->rx[1] + j) % RING].addr, addr_of(left[j]) + 256);
	assert_int_equal(f->h.n_frames, FRAMES - 10);
	fake_free(f);
}

static void a_completion_in_two_rings_stays_in_one(void **state)
{
	struct fake *f = fake_new(1, 0);
	struct memory *m = &f->memory[0];

	(void)state;
	for (uint64_t j = 0; j < 4; j++)
		give_tx(m, j);
	for (int j = 0; j < 4; j++)
		kernel_completes(m, kernel_takes_tx(m));
	give_fill(m, 0);
	give_fill(m, 1);
	give_tx(m, 2);
	kernel_receives(m, kernel_takes_fill(m));
	resume(f);
	/* 0 in rx or completion, once. */
	assert_int_equal((m->rx[0] - m->rx[1]) + (m->completion[0] - m->completion[1]), 2);
	assert_int_equal(m->completion_addr[(m->completion[0] - 1) % RING], addr_of(3) + 256);
	assert_int_equal(f->h.n_frames, FRAMES - 4);
	fake_free(f);
}

static void nonsense_is_survived(void **state)
{
	(void)state;
	for (unsigned int seed = 0; seed < 2000; seed++) {
		struct fake *f = fake_new(2, 0);

		srandom(seed);
		for (size_t i = 0; i < sizeof(f->memory) / 2; i++)
			((uint16_t *)(void *)f->memory)[i] = (uint16_t)random();
		for (int i = 0; i < 2 && seed % 2; i++)
			for (int j = 0; j < RING; j++)
				f->memory[i].rx_desc[j].addr %= (uint64_t)FRAMES * FRAME_SIZE;
		resume(f);
		assert_true(f->h.n_frames + f->h.lost_frames <= FRAMES);
		fake_free(f);
	}
}

/* ---- The model ------------------------------------------------------------------------------ */

/* One socket's kernel half and the application, in copy mode. */
struct model {
	struct fake *f;
	struct memory *m;
	uint64_t own[FRAMES];
	size_t n_own;
	uint64_t pool[4]; /* the kernel's free list, a stack */
	size_t n_pool;
	uint64_t sending[RING];
	size_t n_sending;
	/* Entries that the application has copied on but not released. */
	uint32_t rx_peeked, completion_peeked;
};

static size_t up_to(size_t n)
{
	return n ? (size_t)random() % n : 0;
}

static void model_receive(struct model *w)
{
	struct memory *m = w->m;
	uint64_t frame;

	if (w->n_pool)
		frame = w->pool[--w->n_pool];
	else if (m->fill[0] != m->fill[1])
		frame = kernel_takes_fill(m);
	else
		return;
	if (m->rx[0] - m->rx[1] == RING)
		w->pool[w->n_pool++] = frame;
	else
		kernel_receives(m, frame);
}

static void model_send(struct model *w)
{
	struct memory *m = w->m;
	uint32_t busy = m->completion[0] - m->completion[1] + (uint32_t)w->n_sending;

	if (m->tx[0] != m->tx[1] && busy < RING && w->n_sending < 8)
		w->sending[w->n_sending++] = kernel_takes_tx(m);
	if (w->n_sending && random() % 2) {
		size_t i = up_to(w->n_sending);

		kernel_completes(m, w->sending[i]);
		w->sending[i] = w->sending[--w->n_sending];
	}
}

/* Puts a frame into fill or tx, or keeps it. */
static void model_place(struct model *w, uint64_t frame)
{
	struct memory *m = w->m;

	if (random() % 8 && m->fill[0] - m->fill[1] < RING)
		give_fill(m, frame);
	else if (random() % 2 && m->tx[0] - m->tx[1] < RING)
		give_tx(m, frame);
	else
		w->own[w->n_own++] = frame;
}

static void model_release(struct model *w)
{
	w->m->rx[1] += w->rx_peeked;
	w->m->completion[1] += w->completion_peeked;
	w->rx_peeked = w->completion_peeked = 0;
}

static void model_application(struct model *w)
{
	struct memory *m = w->m;

	switch (random() % 4) {
	case 0:
		if (w->n_own)
			model_place(w, w->own[--w->n_own]);
		break;
	case 1:
		model_release(w);
		break;
	case 2:
		if (m->rx[0] - m->rx[1] > w->rx_peeked)
			model_place(w, m->rx_desc[(m->rx[1] + w->rx_peeked++) % RING].addr /
					       FRAME_SIZE);
		break;
	case 3:
		if (m->completion[0] - m->completion[1] > w->completion_peeked)
			model_place(w,
				    m->completion_addr[(m->completion[1] + w->completion_peeked++) %
						       RING] /
					    FRAME_SIZE);
		break;
	}
}

/* Where each frame is, after the resume: nowhere twice. */
static void model_check(const struct model *w)
{
	const struct memory *m = w->m;
	uint8_t places[FRAMES] = { 0 };
	size_t accounted = 0;

	for (uint32_t i = m->fill[1]; i != m->fill[0]; i++)
		places[m->fill_addr[i % RING] / FRAME_SIZE]++;
	for (uint32_t i = m->rx[1]; i != m->rx[0]; i++)
		places[m->rx_desc[i % RING].addr / FRAME_SIZE]++;
	for (uint32_t i = m->tx[1]; i != m->tx[0]; i++)
		places[m->tx_desc[i % RING].addr / FRAME_SIZE]++;
	for (uint32_t i = m->completion[1]; i != m->completion[0]; i++)
		places[m->completion_addr[i % RING] / FRAME_SIZE]++;
	for (size_t i = 0; i < w->f->h.n_frames; i++)
		places[w->f->h.frames[i] / FRAME_SIZE]++;
	for (size_t i = 0; i < FRAMES; i++)
		accounted += places[i];
	assert_int_equal(accounted + w->f->h.lost_frames, FRAMES);
	if (!w->n_pool && !w->n_sending)
		assert_int_equal(w->f->h.lost_frames, 0);
	for (size_t i = 0; i < w->n_pool; i++)
		places[w->pool[i]]++;
	for (size_t i = 0; i < w->n_sending; i++)
		places[w->sending[i]]++;
	for (size_t i = 0; i < FRAMES; i++)
		assert_in_range(places[i], 0, 1);
}

/*
 * The application dies at any point, traffic goes on, and its successor takes over; again and
 * again.
 */
static void no_frame_is_ever_given_twice(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 300; seed++) {
		struct model *w = calloc(1, sizeof(*w));

		assert_non_null(w);
		srandom(seed);
		w->f = fake_new(1, (uint32_t)random() * 2);
		w->m = &w->f->memory[0];
		for (uint64_t i = 0; i < FRAMES; i++)
			w->own[w->n_own++] = i;
		for (int life = 0; life < 4; life++) {
			size_t busy = up_to(3000), alone = up_to(400);

			for (size_t i = 0; i < busy; i++) {
				model_application(w);
				model_receive(w);
				model_send(w);
			}
			for (size_t i = 0; i < alone; i++) {
				model_receive(w);
				model_send(w);
			}
			/* Nobody sends for the dead; what was on its way arrives. */
			while (w->n_sending)
				kernel_completes(w->m, w->sending[--w->n_sending]);
			resume(w->f);
			model_check(w);
			w->rx_peeked = w->completion_peeked = 0;
			w->n_own = w->f->h.n_frames;
			for (size_t i = 0; i < w->n_own; i++)
				w->own[i] = w->f->h.frames[i] / FRAME_SIZE;
			if (w->f->h.lost_frames)
				break;
		}
		fake_free(w->f);
		free(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fd_test(fresh_sockets_give_all),
		fd_test(frames_in_rings_stay_there),
		fd_test(what_the_predecessor_held_is_found),
		fd_test(what_rx_holds_is_left_out),
		fd_test(frames_in_rings_are_not_lost),
		fd_test(what_was_overwritten_may_be_any),
		fd_test(what_tx_holds_is_left_out),
		fd_test(zero_copy_gives_nothing_back),
		fd_test(caught_in_an_update_gives_nothing),
		fd_test(it_waits_for_packets_on_their_way),
		fd_test(a_frame_in_two_rings_stays_in_one),
		fd_test(a_completion_in_two_rings_stays_in_one),
		fd_test(nonsense_is_survived),
		fd_test(no_frame_is_ever_given_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
