// SPDX-License-Identifier: Apache-2.0
#include "outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define KEPT_MAX (64 * 1024)

static struct {
	pthread_mutex_t lock;
	bool is_socket;
	char *kept; /* NULL: nothing */
	size_t n;
	unsigned int left_out; /* lines */
} outlet = { .lock = PTHREAD_MUTEX_INITIALIZER };

/*
 * The flag of a file that others have open too is theirs, a shell's say. What is opened anew has
 * its own; where that is not possible, out() asks before it writes.
 */
void outlet_open(void)
{
	cleanup(close_fdp) int own = -1;
	struct stat stat;

	if (fstat(STDERR_FILENO, &stat) < 0)
		return;
	outlet.is_socket = S_ISSOCK(stat.st_mode);
	if (S_ISFIFO(stat.st_mode))
		own = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (own >= 0)
		(void)dup2(own, STDERR_FILENO);
}

/* Return: what write(2) does; a pipe that has room takes so much at once. */
static ssize_t out(const char *text, size_t len)
{
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };

	len = len < PIPE_BUF ? len : PIPE_BUF;
	if (outlet.is_socket)
		return send(STDERR_FILENO, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (poll(&pfd, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(STDERR_FILENO, text, len);
}

/* Return: how much of it is done with: all but what there is no room for. */
static size_t put(const char *text, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = out(text + done, len - done);

		if (n < 0 && errno == EAGAIN)
			return done;
		if (n < 0 && errno != EINTR)
			return len; /* there is nobody any more */
		done += n > 0 ? (size_t)n : 0;
	}
	return done;
}

static void keep(const char *text, size_t len)
{
	if (!outlet.kept)
		outlet.kept = malloc(KEPT_MAX);
	if (!outlet.kept || outlet.n + len > KEPT_MAX) {
		outlet.left_out++;
		return;
	}
	memcpy(outlet.kept + outlet.n, text, len);
	outlet.n += len;
}

static void flush(void)
{
	size_t done = outlet.kept ? put(outlet.kept, outlet.n) : 0;

	if (!outlet.kept)
		return;
	outlet.n -= done;
	memmove(outlet.kept, outlet.kept + done, outlet.n);
	if (!outlet.n)
		free(steal_ptr(&outlet.kept));
}

void outlet_put(const char *line, size_t len)
{
	size_t done = 0;

	pthread_mutex_lock(&outlet.lock);
	flush();
	/* Behind what was left out nothing is said before that is. */
	if (!outlet.kept && !outlet.left_out)
		done = put(line, len);
	if (done < len)
		keep(line + done, len - done);
	pthread_mutex_unlock(&outlet.lock);
}

unsigned int outlet_flush(void)
{
	unsigned int left_out = 0;

	pthread_mutex_lock(&outlet.lock);
	flush();
	if (!outlet.kept) {
		left_out = outlet.left_out;
		outlet.left_out = 0;
	}
	pthread_mutex_unlock(&outlet.lock);
	return left_out;
}
