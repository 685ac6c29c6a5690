/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every section measures with: clocks, samples, rows.
 *
 * A row is a series of samples. It is printed as
 *
 *	name TAB base TAB unit TAB p50 TAB p99 TAB m1 .. m5 TAB target TAB samples [TAB q1 .. q5]
 *
 * where m1 .. m5 are the medians of consecutive fifths of the samples, q1 .. q5 their p99 where
 * there are enough for one, and base names the row that is its floor. A row and its floor are
 *sampled in turn, so a fifth of one saw the same machine as that fifth of the other: the ratio is
 *taken fifth by fifth.
 */
#ifndef XSKD_BENCH_ROWS_H
#define XSKD_BENCH_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define FIFTHS 5

/* There is no going on from a call that failed: the figures would be of something else. */
#define CHECK(x) ((x) ? (void)0 : check_failed(__FILE__, __LINE__, #x))
void check_failed(const char *file, int line, const char *what) __attribute__((noreturn, cold));

/* now_us() - microseconds of CLOCK_MONOTONIC. */
double now_us(void);

/* clock_us() - of any clock: of the CPU time of this or of another process. */
double clock_us(clockid_t clock);

/* cpu_clock() - of the CPU time of a process, all its threads. */
clockid_t cpu_clock(int pid);

/* Where the server of a pair runs, and where its client does when it is not there too. */
enum { CPU_CLIENT, CPU_SERVER };

/* pin_to() - the calling thread, and what it starts from now on. */
void pin_to(int cpu);

void sleep_us(double us);

/*
 * settle() - a pause of random length. Calls that wait for an RCU grace period, one after the
 * other, would lock step with the grace periods, and each would seem to take a whole one.
 */
void settle(void);

struct row;

/*
 * row() - the row of that name, made when there is none.
 * @base: NULL: it has no floor. @target: as rows.py reads it, "<=1.35x", ">=0.98x", "<=3072",
 * "<=1.2x p99<=1.25x"; NULL: for the record.
 */
struct row *row(const char *name, const char *unit, const char *base, const char *target);
void row_add(struct row *r, double sample);

struct rounds {
	double until;
	unsigned int done;
	bool smoke;
};

/* rounds_for() - @us: how long; 0: a single round, to see that it works. */
struct rounds rounds_for(double us);

/*
 * rounds() - for `while (rounds(&r))`: true until the time has passed, but as many times as there
 * are fifths, or a multiple of that, so that fifths have as many samples.
 */
bool rounds(struct rounds *r);

/* row_note() - a line below the table: what was not measured, and why. */
void row_note(const char *form, ...) __attribute__((format(printf, 1, 2)));

void rows_print(void);

#endif
