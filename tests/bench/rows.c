// SPDX-License-Identifier: Apache-2.0
#include "rows.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 256
#define ENOUGH   100 /* samples of a fifth, for a p99 of it */

struct row {
	char name[64], base[64], unit[16], target[32];
	double *sample;
	size_t n, room;
};

static struct row rows[ROWS_MAX];
static size_t n_rows;

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s: %s\n", file, line, what, strerror(errno));
	exit(1);
}

/* ---- clocks ---- */

double clock_us(clockid_t clock)
{
	struct timespec t;

	CHECK(clock_gettime(clock, &t) == 0);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

double now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

clockid_t cpu_clock(int pid)
{
	clockid_t clock;

	errno = clock_getcpuclockid(pid, &clock);
	CHECK(errno == 0);
	return clock;
}

void pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	CHECK(sched_setaffinity(0, sizeof(set), &set) == 0);
}

void sleep_us(double us)
{
	struct timespec t = { .tv_sec = (time_t)(us / 1e6) };

	t.tv_nsec = (long)((us - (double)t.tv_sec * 1e6) * 1e3);
	CHECK(nanosleep(&t, NULL) == 0);
}

void settle(void)
{
	sleep_us(24000 + (double)(random() % 16000));
}

/* ---- rounds ---- */

struct rounds rounds_for(double us)
{
	return (struct rounds){ .until = now_us() + us, .smoke = us <= 0 };
}

bool rounds(struct rounds *r)
{
	unsigned int least = r->smoke ? 1 : FIFTHS;

	if (r->done >= least && r->done % least == 0 && now_us() >= r->until)
		return false;
	r->done++;
	return true;
}

/* ---- rows ---- */

struct row *row(const char *name, const char *unit, const char *base, const char *target)
{
	struct row *r;

	for (size_t i = 0; i < n_rows; i++) {
		if (!strcmp(rows[i].name, name))
			return &rows[i];
	}
	CHECK(n_rows < ROWS_MAX);
	r = &rows[n_rows++];
	snprintf(r->name, sizeof(r->name), "%s", name);
	snprintf(r->base, sizeof(r->base), "%s", base ? base : "-");
	snprintf(r->unit, sizeof(r->unit), "%s", unit);
	snprintf(r->target, sizeof(r->target), "%s", target ? target : "-");
	return r;
}

void row_add(struct row *r, double sample)
{
	if (r->n == r->room) {
		r->room = r->room ? 2 * r->room : 64;
		r->sample = realloc(r->sample, r->room * sizeof(*r->sample));
		CHECK(r->sample);
	}
	r->sample[r->n++] = sample;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile(const double *sample, size_t n, double q)
{
	double *sorted = malloc(n * sizeof(*sorted)), found;

	CHECK(sorted);
	memcpy(sorted, sample, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare);
	found = sorted[(size_t)(q * (double)(n - 1) + 0.5)];
	free(sorted);
	return found;
}

/*
 * Of enough samples, p99 is the median of the fifths' p99: a single burst of some other process
 * must not set it.
 */
static double p99(const struct row *r)
{
	size_t fifth = r->n / FIFTHS;
	double of[FIFTHS];

	if (fifth < ENOUGH)
		return quantile(r->sample, r->n, 0.99);
	for (size_t f = 0; f < FIFTHS; f++)
		of[f] = quantile(r->sample + f * fifth, fifth, 0.99);
	return quantile(of, FIFTHS, 0.5);
}

void row_note(const char *form, ...)
{
	va_list args;

	va_start(args, form);
	printf("# ");
	vprintf(form, args);
	printf("\n");
	va_end(args);
}

void rows_print(void)
{
	for (size_t i = 0; i < n_rows; i++) {
		struct row *r = &rows[i];
		size_t fifth = r->n / FIFTHS;

		if (!r->n)
			continue;
		printf("%s\t%s\t%s\t%.3f\t%.3f", r->name, r->base, r->unit,
		       quantile(r->sample, r->n, 0.5), p99(r));
		for (size_t f = 0; f < FIFTHS; f++)
			printf("\t%.3f", fifth ? quantile(r->sample + f * fifth, fifth, 0.5)
					       : quantile(r->sample, r->n, 0.5));
		printf("\t%s\t%zu", r->target, r->n);
		for (size_t f = 0; fifth >= ENOUGH && f < FIFTHS; f++)
			printf("\t%.3f", quantile(r->sample + f * fifth, fifth, 0.99));
		printf("\n");
		free(r->sample);
	}
	n_rows = 0;
	memset(rows, 0, sizeof(rows));
	CHECK(fflush(stdout) == 0);
}
