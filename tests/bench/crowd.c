// SPDX-License-Identifier: Apache-2.0
/*
 * Calls per second of 1, 16 and 256 clients at once, each a thread with a connection of its own
 * that asks again as soon as it is answered. Clients on one CPU, the server on the other.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "floor.h"
#include "rows.h"
#include "world.h"

#define MOST     256
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

static void *client_run(void *arg)
{
	struct client *c = arg;

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

static struct row *row_of(const char *what, size_t n, const char *unit, const char *base)
{
	char name[64], floor[64];

	snprintf(name, sizeof(name), "%s, %zu connection%s", what, n, n == 1 ? "" : "s");
	snprintf(floor, sizeof(floor), "%s, %zu connection%s", base ? base : "", n,
		 n == 1 ? "" : "s");
	return row(name, unit, base ? floor : NULL, NULL);
}

static void burst(struct client *clients, size_t n, clockid_t server)
{
	const bool is_ours = clients == ours;
	struct row *rate = is_ours ? row_of("GetXskMap calls", n, "1000/s", "epoll calls")
				   : row_of("epoll calls", n, "1000/s", NULL);
	struct row *cpu = is_ours ? row_of("GetXskMap daemon CPU", n, "us", "epoll server CPU")
				  : row_of("epoll server CPU", n, "us", NULL);
	pthread_attr_t attr;
	unsigned long calls;
	double us, cpu_us;

	CHECK(pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, 128 * 1024) == 0);
	atomic_store(&stop, false);
	for (size_t i = 0; i < n; i++)
		CHECK(pthread_create(&clients[i].thread, &attr, client_run, &clients[i]) == 0);
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
	if (!calls)
		return;
	row_add(rate, (double)calls * 1e3 / us);
	row_add(cpu, cpu_us / (double)calls);
}

void bench_crowd(const struct setting *set)
{
	static const size_t sizes[] = { 1, 16, MOST };
	struct rounds r;
	struct floor floor;
	struct daemon d;
	struct pod pod;
	struct xskd *admin;
	clockid_t floor_cpu;
	char path[96];
	int map;

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
	for (size_t i = 0; i < MOST; i++) {
		bare[i].sock = floor_connect(&floor);
		ours[i].x = here_open(&d);
	}

	for (r = rounds_for(set->us); rounds(&r);) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
			size_t n = sizes[i];

			burst(bare, n, floor_cpu);
			burst(ours, n, d.cpu);
		}
		daemon_forget_log(&d);
	}

	for (size_t i = 0; i < MOST; i++) {
		close(bare[i].sock);
		xskd_close(ours[i].x);
	}
	xskd_close(admin);
	floor_stop(&floor);
	daemon_stop(&d);
}
