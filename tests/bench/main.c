// SPDX-License-Identifier: Apache-2.0
/*
 * bench [--smoke] SECTION SECONDS BUILD DIR
 *
 * One section of run.sh, which makes the namespaces and DIR for it. Rows go to stdout (rows.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "rows.h"
#include "world.h"

static const struct {
	const char *name;
	void (*run)(const struct setting *set);
	bool rows; /* or it is strace that prints */
} sections[] = {
	{ "calls", bench_calls, true },
	{ "crowd", bench_crowd, true },
	{ "handoff", bench_handoff, true },
	{ "syscalls", bench_syscalls, false },
	{ "load", bench_load, true },
	{ "pool", bench_pool, true },
	{ "bystander", bench_bystander, true },
	{ "neighbour", bench_neighbour, true },
	{ "packets", bench_packets, true },
	{ "queues", bench_queues, true },
	{ "cni", bench_cni, true },
	{ "memory", bench_memory, true },
	{ "hostile", bench_hostile, true },
	{ "scale", bench_scale, true },
};

/* For a thousand connections, here and, as it is inherited, in the daemon. */
static void raise_limit(void)
{
	struct rlimit limit;

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = limit.rlim_max;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

int main(int argc, char **argv)
{
	struct setting set = { 0 };

	if (argc > 1 && !strcmp(argv[1], "--smoke")) {
		set.smoke = true;
		argv++;
		argc--;
	}
	if (argc != 5) {
		fprintf(stderr, "usage: bench [--smoke] SECTION SECONDS BUILD DIR\n");
		return 2;
	}
	set.us = atof(argv[2]) * 1e6;
	set.build = argv[3];
	set.dir = argv[4];
	srandom((unsigned int)now_us());
	raise_limit();
	for (size_t i = 0; i < sizeof(sections) / sizeof(*sections); i++) {
		if (strcmp(sections[i].name, argv[1]) != 0)
			continue;
		sections[i].run(&set);
		if (sections[i].rows)
			rows_print();
		return 0;
	}
	fprintf(stderr, "bench: there is no section '%s'\n", argv[1]);
	return 2;
}
