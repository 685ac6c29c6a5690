// SPDX-License-Identifier: Apache-2.0
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct {
	int fd; /* 0: none */
	const struct env *env;
	struct timespec began;
	char early[4096]; /* warnings, a line each, of before the file was known */
} to;

/* One write(2), so that lines of plugins that run at the same time stay whole. */
static void write_line(const char *level, const char *text)
{
	const struct env *env = to.env;
	char line[2048], when[32];
	time_t now = time(NULL);
	struct tm tm;
	int len;

	if (!to.fd || !gmtime_r(&now, &tm))
		return;
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	len = snprintf(line, sizeof(line), "%s %s %s container=%s ifname=%s pod=%s/%s %s\n", when,
		       level, env_verb(env->verb), env->container, env->ifname, env->namespace,
		       env->pod, text);
	if (len >= (int)sizeof(line)) {
		len = sizeof(line);
		line[len - 1] = '\n';
	}
	/* There is nowhere to say that it failed. */
	(void)!write(to.fd, line, (size_t)len);
}

static void write_early(void)
{
	char *rest = to.early;

	for (char *line; (line = strsep(&rest, "\n")) && *line;)
		write_line("warning", line);
	to.early[0] = '\0';
}

int log_open(const char *path, const struct env *env, struct fail *fail)
{
	clock_gettime(CLOCK_MONOTONIC, &to.began);
	to.env = env;
	if (!*path)
		return 0;
	to.fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (to.fd <= 0) {
		to.fd = 0;
		return fail_errno(fail, FAIL_IO, -errno, "cannot open the log file '%s'", path);
	}
	write_early();
	return 0;
}

void log_warning(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "xskd-cni: %s\n", text);
	if (to.fd) {
		write_line("warning", text);
	} else if (!to.env) {
		size_t used = strlen(to.early);

		snprintf(to.early + used, sizeof(to.early) - used, "%s\n", text);
	}
}

void log_outcome(const struct fail *fail)
{
	struct timespec now;
	char text[sizeof(fail->msg) + 64];

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (fail->code)
		snprintf(text, sizeof(text), "failed code=%d: %s", fail->code, fail->msg);
	else
		snprintf(text, sizeof(text), "ok ms=%.1f",
			 (double)(now.tv_sec - to.began.tv_sec) * 1e3 +
				 (double)(now.tv_nsec - to.began.tv_nsec) / 1e6);
	write_line(fail->code ? "error" : "info", text);
	if (to.fd)
		close(to.fd);
	to.fd = 0;
}
