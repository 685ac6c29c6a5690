// SPDX-License-Identifier: Apache-2.0
/*
 * Calls per second of 1 to 4,096 clients at once, each a thread with a connection of its own that
 * asks again as soon as it is answered. Clients on one CPU, the server on the other. All
 * connections are open all the time: those that do not ask are part of the picture.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "floor.h"
#include "rows.h"
#include "world.h"

#define MOST     4096
#define WARM_US  10000
#define TIMED_US 50000

struct client {
	pthread_t thread;
	struct xskd *x; /* NULL: of the bare server */
	int sock;
	_Alignas(64) atomic_ulong calls;
};

static struct client bare[MOST], ours[MOST];
static uint32_t program;
static atomic_bool stop;
static pthread_barrier_t together;

static void *client_run(void *arg)
{
	struct client *c = arg;

	pthread_barrier_wait(&together);
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		if (c->x) {
			int fd;

			must(c->x, xskd_get_program_map(c->x, program, &fd, NULL), "GetXskMap");
			close(fd);
		} else {
			floor_call(c->sock, true);
		}
		atomic_fetch_add_explicit(&c->calls, 1, memory_order_relaxed);
	}
	return NULL;
}

static unsigned long total(struct client *clients, size_t n)
{
	unsigned long sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += atomic_load_explicit(&clients[i].calls, memory_order_relaxed);
	return sum;
}

static struct row *row_of(const char *what, size_t n, const char *unit, const char *base,
			  const char *target)
{
	char name[64], floor[64];

	snprintf(name, sizeof(name), "%s, %zu connection%s", what, n, n == 1 ? "" : "s");
	snprintf(floor, sizeof(floor), "%s, %zu connection%s", base ? base : "", n,
		 n == 1 ? "" : "s");
	return row(name, unit, base ? floor : NULL, target);
}

struct result {
	double rate, cpu;
};

static void add(struct client *clients, size_t n, const struct result *result)
{
	const bool is_ours = clients == ours;
	struct row *rate = is_ours ? row_of("GetXskMap calls", n, "1000/s", "epoll calls",
					    n == 64 ? ">=0.95x" : NULL)
				   : row_of("epoll calls", n, "1000/s", NULL, NULL);
	struct row *cpu =
		is_ours ? row_of("GetXskMap daemon CPU", n, "us", "epoll server CPU", NULL)
			: row_of("epoll server CPU", n, "us", NULL, NULL);

	row_add(rate, result->rate);
	row_add(cpu, result->cpu);
}

static struct result burst(struct client *clients, size_t n, clockid_t server)
{
	pthread_attr_t attr;
	unsigned long calls;
	double us, cpu_us;

	CHECK(pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, 128 * 1024) == 0);
	CHECK(pthread_barrier_init(&together, NULL, (unsigned int)n + 1) == 0);
	atomic_store(&stop, false);
	for (size_t i = 0; i < n; i++)
		CHECK(pthread_create(&clients[i].thread, &attr, client_run, &clients[i]) == 0);
	pthread_barrier_wait(&together);
	sleep_us(WARM_US);
	calls = total(clients, n);
	us = now_us();
	cpu_us = clock_us(server);
	sleep_us(TIMED_US);
	calls = total(clients, n) - calls;
	us = now_us() - us;
	cpu_us = clock_us(server) - cpu_us;
	atomic_store(&stop, true);
	for (size_t i = 0; i < n; i++)
		CHECK(pthread_join(clients[i].thread, NULL) == 0);
	CHECK(pthread_attr_destroy(&attr) == 0);
	CHECK(pthread_barrier_destroy(&together) == 0);
	return (struct result){ .rate = (double)calls * 1e3 / us,
				.cpu = calls ? cpu_us / (double)calls : 0 };
}

/* Two descriptors here for each, of the one server and the other, and one there. */
static bool has_room(size_t connections)
{
	struct rlimit limit;

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	if (limit.rlim_cur >= 2 * connections + 100)
		return true;
	row_note("%zu connections were left out: they need %zu descriptors, and the limit is %zu",
		 connections, 2 * connections + 100, (size_t)limit.rlim_cur);
	return false;
}

void bench_crowd(const struct setting *set)
{
	static const size_t sizes[] = { 1, 16, 64, 256, MOST };
	size_t n_sizes = sizeof(sizes) / sizeof(*sizes);
	struct rounds r;
	struct floor floor;
	struct daemon d;
	struct pod pod;
	struct xskd *admin;
	clockid_t floor_cpu;
	char path[96];
	int map;

	while (!has_room(sizes[n_sizes - 1]))
		n_sizes--;
	pod_make(&pod);
	device_make(&pod, "veth0", "eth0", 4);
	daemon_start(&d, set, "crowd");
	admin = here_open(&d);
	program = pod_serve(&pod, admin, "eth0");
	must(admin, xskd_get_program_map(admin, program, &map, NULL), "GetXskMap");
	snprintf(path, sizeof(path), "%s/crowd.sock", set->dir);
	floor_start(&floor, FLOOR_EPOLL, path, map);
	floor_cpu = cpu_clock(floor.pid);
	pin_to(CPU_CLIENT);
	for (size_t i = 0; i < sizes[n_sizes - 1]; i++) {
		bare[i].sock = floor_connect(&floor);
		ours[i].x = here_open(&d);
	}

	for (r = rounds_for(set->us); rounds(&r);) {
		for (size_t i = 0; i < n_sizes; i++) {
			const size_t n = sizes[i];
			const struct result floor_result = burst(bare, n, floor_cpu);
			const struct result result = burst(ours, n, d.cpu);

			/* Where some other process had a CPU all the time, there is nothing. */
			if (floor_result.cpu <= 0 || result.cpu <= 0)
				continue;
			add(bare, n, &floor_result);
			add(ours, n, &result);
		}
		daemon_forget_log(&d);
	}

	for (size_t i = 0; i < sizes[n_sizes - 1]; i++) {
		close(bare[i].sock);
		xskd_close(ours[i].x);
	}
	xskd_close(admin);
	floor_stop(&floor);
	daemon_stop(&d);
}
