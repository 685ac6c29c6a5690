// SPDX-License-Identifier: Apache-2.0
#include "prime.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <time.h>

#include "instance.h"
#include "log.h"
#include "slice.h"
#include "wake.h"

#define RUNS_MAX (1 << 17) /* some 6 ms: who waits for a grace period waits for this */
#define PACKET   64
#define STACK    (64 * 1024)

static void *run(void *arg)
{
	struct prime *prime = arg;
	char packet[PACKET] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet),
		    .repeat = RUNS_MAX);
	sigset_t before;
	int err;

	wake_on(&before);
	slice_long();
	err = bpf_prog_test_run_opts(prime->prog_fd, &opts);
	if (err < 0 && errno != EINTR)
		log_debug("cannot run a program for a test: %s", strerrordesc_np(errno));
	atomic_store(&prime->over, true);
	return NULL;
}

static uint64_t count(int counters_fd)
{
	uint64_t redirected = 0, passed = 0;

	return instance_counters(counters_fd, 0, &redirected, &passed) < 0 ? 0
									   : redirected + passed;
}

static void nap(long us)
{
	const struct timespec t = { .tv_nsec = us * 1000 };

	(void)nanosleep(&t, NULL);
}

static bool start(struct prime *prime)
{
	pthread_attr_t attr;
	bool ok = pthread_attr_init(&attr) == 0;

	if (!ok)
		return false;
	ok = pthread_attr_setstacksize(&attr, STACK) == 0 &&
	     pthread_create(&prime->thread, &attr, run, prime) == 0;
	pthread_attr_destroy(&attr);
	return ok;
}

/*
 * The kernel says nowhere that it has begun; the program's own counter does. It is looked at soon,
 * for a program that is on a device is in the set already; and then not before the least that a
 * grace period takes.
 */
void prime_begin(struct prime *prime, int prog_fd, int counters_fd)
{
	uint64_t before = count(counters_fd);
	long us = 100;

	prime->prog_fd = prog_fd;
	atomic_init(&prime->over, false);
	prime->runs = start(prime);
	while (prime->runs && !atomic_load(&prime->over) && count(counters_fd) == before) {
		nap(us);
		us = us == 100 ? 2000 : 200;
	}
}

/* A signal that comes before the thread is in the kernel ends nothing there: so again and again. */
void prime_end(struct prime *prime)
{
	if (!prime->runs)
		return;
	while (!atomic_load(&prime->over)) {
		(void)pthread_kill(prime->thread, WAKE);
		nap(100);
	}
	pthread_join(prime->thread, NULL);
	prime->runs = false;
}
