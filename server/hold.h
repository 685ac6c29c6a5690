/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A check for tests (meson -Dloop_check=enabled; sanitized builds have it): who holds the loop for
 * longer than a millisecond, while everybody else waits, ends the daemon with his name.
 *
 * What counts is what he did: CPU time that he used, and time that he slept in a system call. That
 * the machine had no CPU for the loop, or for a worker that had a lock, or was reading a page of
 * the program from its disk, says nothing about either. Only the loop's thread calls these.
 */
#ifndef XSKD_HOLD_H
#define XSKD_HOLD_H

#include "base.h"

/* Nanoseconds and counts, of a thread. */
struct hold_sample {
	uint64_t clock, cpu;
	uint64_t waited;   /* runnable, without a CPU */
	uint64_t switches; /* that it asked for: it slept */
	uint64_t faults;   /* that had to read */
};

enum hold_verdict { HOLD_NOT, HOLD_BUSY, HOLD_ASLEEP };

/* hold_judge() - what it was, between the two. @most_ns: of sleep; of CPU time @scale times that.
 */
enum hold_verdict hold_judge(const struct hold_sample *from, const struct hold_sample *to,
			     uint64_t most_ns, uint64_t scale);

#ifdef XSKD_LOOP_CHECK
/* hold_open() - before the sandbox. */
void hold_open(void);
/* hold_begin() - from here on it is @what who holds the loop, and nobody else any more. */
void hold_begin(const char *what);
/* hold_name() - what he is about, for the message. */
void hold_name(const char *call);
/* hold_end() - nobody does; hold_close(): nor will anybody. */
void hold_end(void);
void hold_close(void);
#else
static inline void hold_open(void)
{
}

static inline void hold_begin(const char *what)
{
	(void)what;
}

static inline void hold_name(const char *call)
{
	(void)call;
}

static inline void hold_end(void)
{
}

static inline void hold_close(void)
{
}
#endif

#endif
