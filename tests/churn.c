// SPDX-License-Identifier: Apache-2.0
/*
 * Processes that take sockets and end, one way or the other:
 *
 *	churn SOCKET INTERFACE QUEUES COUNT always|random
 *
 * Runs one process after another, without a pause. Each asks for a socket on each of
 * QUEUES queues. With "always" it is killed as soon as it has them; with "random" half of them are
 * killed at some moment, which may be in the middle of a hand-off, and the others end by
 * themselves. Stops when COUNT hand-offs have been answered and prints, as JSON, how long they
 * took. One that is refused ends it with status 1.
 */
#include <err.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <xskd.h>

#define LIFE_MAX_MS 400

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The client: tells its parent of each hand-off how long it took. */
static void take(const char *path, const char *interface, uint32_t queues, bool wait, int out)
{
	struct xskd_handoff *h;
	struct xskd *x = NULL;

	if (xskd_open(path, 20000, &x) < 0)
		errx(1, "connect: %s", xskd_error(x));
	for (uint32_t q = 0; q < queues; q++) {
		struct xskd_handoff_opts opts = {
			.sz = sizeof(opts),
			.queues = &q,
			.n_queues = 1,
			.frames = 64,
			.fill_size = 32,
			.completion_size = 32,
			.rx_size = 32,
			.tx_size = 32,
		};
		uint64_t began = now_us(), took;

		if (xskd_hand_off(x, interface, &opts, &h) < 0)
			errx(1, "queue %u: %s", q, xskd_error(x));
		took = now_us() - began;
		if (write(out, &took, sizeof(took)) != sizeof(took))
			_exit(0); /* the parent has had enough */
	}
	if (wait) {
		for (;;)
			pause();
	}
	_exit(0); /* closed by the kernel, as after a kill, but not torn out of anything */
}

/* Return: how many answers came until the process ended, or was to be ended. */
static size_t collect(int in, size_t most, int life_ms, uint64_t *took)
{
	uint64_t until = now_us() + (uint64_t)life_ms * 1000;
	size_t n = 0;

	while (n < most) {
		struct pollfd pfd = { .fd = in, .events = POLLIN };
		uint64_t now = now_us();
		int left = life_ms < 0 ? -1 : now < until ? (int)((until - now) / 1000) + 1 : 0;

		if (poll(&pfd, 1, left) <= 0 || read(in, &took[n], sizeof(*took)) != sizeof(*took))
			break;
		n++;
	}
	return n;
}

static void reap(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		err(1, "wait");
	if (WIFEXITED(status) && WEXITSTATUS(status))
		errx(1, "a process has failed");
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	if (argc != 6)
		errx(2, "usage: churn SOCKET INTERFACE QUEUES COUNT always|random");

	uint32_t queues = (uint32_t)atoi(argv[3]);
	size_t count = (size_t)atoll(argv[4]), n = 0, killed = 0, started = 0;
	bool always = !strcmp(argv[5], "always");
	uint64_t *took = calloc(count + queues, sizeof(*took)), began = now_us();

	if (!took)
		err(1, "memory");
	srandom((unsigned int)getpid());
	while (n < count) {
		bool kill_it = always || random() % 2;
		int pipe_fds[2];
		pid_t pid;

		if (pipe(pipe_fds) < 0 || (pid = fork()) < 0)
			err(1, "process");
		if (pid == 0) {
			close(pipe_fds[0]);
			take(argv[1], argv[2], queues, kill_it, pipe_fds[1]);
		}
		close(pipe_fds[1]);
		n += collect(pipe_fds[0], queues,
			     kill_it && !always ? (int)(random() % LIFE_MAX_MS) : -1, &took[n]);
		if (kill_it)
			kill(pid, SIGKILL);
		close(pipe_fds[0]);
		started++;
		killed += kill_it;
		reap(pid); /* as whoever starts a process anew does; its queue stays busy for a
			      while */
	}
	qsort(took, n, sizeof(*took), by_value);
	printf("{\"handoffs\": %zu, \"processes\": %zu, \"killed\": %zu, \"seconds\": %.1f, "
	       "\"p50_us\": %llu, \"p99_us\": %llu, \"max_us\": %llu}\n",
	       n, started, killed, (double)(now_us() - began) / 1e6,
	       (unsigned long long)took[n / 2], (unsigned long long)took[n * 99 / 100],
	       (unsigned long long)took[n - 1]);
	free(took);
	return 0;
}
