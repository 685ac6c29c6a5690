// SPDX-License-Identifier: Apache-2.0
#include "hold.h"

enum hold_verdict hold_judge(const struct hold_sample *from, const struct hold_sample *to,
			     uint64_t most_ns, uint64_t scale)
{
	uint64_t wall = to->clock - from->clock, cpu = to->cpu - from->cpu;
	uint64_t waited = to->waited - from->waited;
	uint64_t slept = wall > cpu + waited ? wall - cpu - waited : 0;

	if (wall <= most_ns)
		return HOLD_NOT;
	if (cpu > most_ns * scale)
		return HOLD_BUSY;
	/* What is neither may be the hypervisor's, too: so only where it has slept at all. */
	if (to->switches == from->switches || to->faults != from->faults)
		return HOLD_NOT;
	/* Where there was no CPU for the loop, there was none for who had a lock that it wanted. */
	return slept > most_ns + waited ? HOLD_ASLEEP : HOLD_NOT;
}

#ifdef XSKD_LOOP_CHECK

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define MOST_NS 1000000

/*
 * Instrumented code takes several times as long, and who has a lock that the loop wants as well: so
 * long may it sleep. What the kernel waits for, a grace period say, takes longer. And its first
 * touch of shadow memory is a page that a virtual machine may have to ask its host for: 50 ms in a
 * single __tsan_read4() were seen.
 */
#ifdef XSKD_SANITIZED
#define SCALE     100
#define ASLEEP_NS 6000000
#else
#define SCALE     1
#define ASLEEP_NS MOST_NS
#endif

/* Where a debugger finds it, and without a pointer through each layer that only tests need. */
static struct {
	int schedstat, status, loadavg;
	bool closed;
	const char *what, *call; /* NULL: nobody; no call */
	struct hold_sample from;
} hold = { .schedstat = -1, .status = -1, .loadavg = -1 };

/* It was stopped, and goes on: that was no sleep of its own. */
static atomic_bool continued; /* the kernel chooses the thread that is told */

static void on_continued(int signal)
{
	(void)signal;
	continued = true;
}

static uint64_t ns_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t waited_for_cpu(void)
{
	char text[64] = "";
	uint64_t ran, ns = 0;

	if (hold.schedstat >= 0 && pread(hold.schedstat, text, sizeof(text) - 1, 0) > 0 &&
	    sscanf(text, "%lu %lu", &ran, &ns) != 2)
		ns = 0;
	return ns;
}

static struct hold_sample sample(void)
{
	struct hold_sample s = { .clock = ns_of(CLOCK_MONOTONIC),
				 .cpu = ns_of(CLOCK_THREAD_CPUTIME_ID) };
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	s.switches = (uint64_t)usage.ru_nvcsw;
	s.faults = (uint64_t)usage.ru_majflt;
	s.waited = waited_for_cpu();
	return s;
}

void hold_open(void)
{
	const struct sigaction action = { .sa_handler = on_continued, .sa_flags = SA_RESTART };

	hold.schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	hold.status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	hold.loadavg = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	(void)sigaction(SIGCONT, &action, NULL);
}

/*
 * More is to run than there are CPUs: a worker that had a lock for a microsecond may have lost its
 * CPU with it, and the loop slept until that had its turn again.
 */
static bool is_crowded(void)
{
	char text[64] = "";
	int running;

	return hold.loadavg >= 0 && pread(hold.loadavg, text, sizeof(text) - 1, 0) > 0 &&
	       sscanf(text, "%*s %*s %*s %d", &running) == 1 &&
	       running > sysconf(_SC_NPROCESSORS_ONLN);
}

/* By strace or a debugger: at each of its calls it sleeps for them. */
static bool is_traced(void)
{
	char text[1024] = "";
	const char *line;

	if (hold.status < 0 || pread(hold.status, text, sizeof(text) - 1, 0) <= 0)
		return false;
	line = strstr(text, "\nTracerPid:\t");
	return line && line[12] != '0';
}

void hold_end(void)
{
	struct hold_sample now;
	enum hold_verdict verdict;

	if (!hold.what)
		return;
	now = sample();
	verdict = hold_judge(&hold.from, &now, MOST_NS, SCALE);
	if (verdict == HOLD_ASLEEP)
		verdict = hold_judge(&hold.from, &now, ASLEEP_NS, SCALE);
	/* With fewer CPUs than tasks, a worker that has a lock may be without one for long. */
	if (verdict == HOLD_ASLEEP && (continued || is_traced() || is_crowded()))
		verdict = HOLD_NOT;
	if (verdict != HOLD_NOT) {
		log_error(
			"the loop was held by '%s' (%s) for %.3f ms: %.3f ms of CPU time, %.3f ms "
			"waiting for a CPU, and it %s",
			hold.what, hold.call ? hold.call : "no call",
			(double)(now.clock - hold.from.clock) / 1e6,
			(double)(now.cpu - hold.from.cpu) / 1e6,
			(double)(now.waited - hold.from.waited) / 1e6,
			verdict == HOLD_BUSY ? "was busy" : "slept for the rest");
		abort();
	}
	hold.what = NULL;
}

void hold_close(void)
{
	hold_end();
	hold.closed = true;
}

void hold_name(const char *call)
{
	hold.call = call;
}

void hold_begin(const char *what)
{
	hold_end();
	if (hold.closed)
		return;
	hold.what = what;
	hold.call = NULL;
	continued = false;
	hold.from = sample();
}

#endif
