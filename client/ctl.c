// SPDX-License-Identifier: Apache-2.0
#include "ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TIMEOUT_MS 5000

void ctl_init(struct ctl *ctl)
{
	*ctl = (struct ctl){
		.name = "xskctl",
		.format = OUTPUT_TABLE,
		.timeout_ms = TIMEOUT_MS,
	};
}

void ctl_done(struct ctl *ctl)
{
	xskd_close(ctl->x);
	ctl->x = NULL;
}

void ctl_help(const struct ctl *ctl, FILE *to)
{
	const struct command *c = ctl->command;

	fprintf(to, "Usage: xskctl %s%s%s\n\n%s.\n", c->words, *c->usage ? " " : "", c->usage,
		c->summary);
	if (c->help)
		fprintf(to, "\n%s", c->help);
	fputs("\nGlobal options: -o table|json, --timeout SECONDS, --run-dir DIR, --socket PATH.\n"
	      "See xskctl(1).\n",
	      to);
}

static int global_option(struct ctl *ctl, int c)
{
	static const char *const formats[] = { "table", "json", NULL };
	unsigned int format;

	switch (c) {
	case 'o':
		if (args_choice(optarg, formats, &format, ctl->why) < 0)
			return ctl_bad(ctl, "--output", optarg);
		ctl->format = format ? OUTPUT_JSON : OUTPUT_TABLE;
		return CTL_OK;
	case CTL_OPT_TIMEOUT:
		if (args_seconds(optarg, &ctl->timeout_ms, ctl->why) < 0)
			return ctl_bad(ctl, "--timeout", optarg);
		if (ctl->timeout_ms == 0)
			ctl->timeout_ms = -1;
		return CTL_OK;
	case CTL_OPT_RUN_DIR:
		ctl->run_dir = optarg;
		return CTL_OK;
	case CTL_OPT_SOCKET:
		ctl->socket = optarg;
		return CTL_OK;
	default: /* getopt_long() has said what is wrong */
		return ctl_misused(ctl, NULL);
	}
}

int ctl_option(struct ctl *ctl, int argc, char **argv, const struct option *options)
{
	/* Before the command is known, options end at its first word. */
	const char *letters = ctl->command ? "o:h" : "+o:h";

	for (;;) {
		int c = getopt_long(argc, argv, letters, options, NULL);

		if (c == -1 || c >= HANDOFF_OPT)
			return c;
		if (c == 'h') {
			if (!ctl->command)
				return c;
			ctl_help(ctl, stdout);
			ctl->stop = ctl_flush(ctl);
			return '?';
		}
		ctl->stop = global_option(ctl, c);
		if (ctl->stop != CTL_OK)
			return '?';
	}
}

static int open_below(const struct ctl *ctl, enum ctl_side side, struct xskd **out)
{
	cleanup(freep) char *path = NULL;

	if (asprintf(&path, "%s/%s/xskd.sock", ctl->run_dir ? ctl->run_dir : CTL_RUN_DIR,
		     side == CTL_ADMIN ? "admin" : "pod") < 0) {
		path = NULL; /* asprintf() left it undefined */
		*out = NULL;
		return -ENOMEM;
	}
	return xskd_open(path, ctl->timeout_ms, out);
}

/*
 * Takes the pod socket where the admin socket is not for this user, or not in this mount namespace:
 * a pod may ask for its own leases and sockets. @err: of the admin socket.
 */
static int fall_back(struct ctl *ctl, int err)
{
	struct xskd *pod;
	int pod_err = open_below(ctl, CTL_POD, &pod);

	if (pod_err == -ENOENT) { /* the first refusal says more */
		xskd_close(pod);
		return err;
	}
	xskd_close(ctl->x);
	ctl->x = pod;
	ctl->admin_err = err;
	return pod_err;
}

int ctl_reach(struct ctl *ctl, enum ctl_side side)
{
	int err;

	if (ctl->socket)
		return xskd_open(ctl->socket, ctl->timeout_ms, &ctl->x);
	if (!ctl->run_dir && secure_getenv(XSKD_SOCKET_ENV))
		return xskd_open(NULL, ctl->timeout_ms, &ctl->x);
	err = open_below(ctl, side, &ctl->x);
	if (side == CTL_ADMIN && (err == -EACCES || err == -ENOENT))
		err = fall_back(ctl, err);
	return err;
}

int ctl_connect(struct ctl *ctl, enum ctl_side side)
{
	int err = ctl_reach(ctl, side);

	if (err < 0) {
		ctl_failed(ctl, err);
		return CTL_UNREACHABLE;
	}
	return CTL_OK;
}

bool ctl_begin(struct ctl *ctl, int argc, char **argv, enum ctl_side side)
{
	static const struct option options[] = { CTL_OPTIONS };

	if (ctl_option(ctl, argc, argv, options) != -1)
		return false;
	ctl->stop = optind == argc ? ctl_connect(ctl, side)
				   : ctl_misused(ctl, "unexpected '%s'", argv[optind]);
	return ctl->stop == CTL_OK;
}

int ctl_open(const struct ctl *ctl, const char *path, int *out_fd)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return ctl_error(ctl, "cannot open '%s': %s", path, strerror(errno));
	*out_fd = fd;
	return CTL_OK;
}

int ctl_open_netns(struct ctl *ctl, const char *text, int *out_fd)
{
	cleanup(freep) char *path = NULL;

	if (args_netns(text, &path, ctl->why) < 0)
		return ctl_bad(ctl, "--netns", text);
	return ctl_open(ctl, path, out_fd);
}

int ctl_failed(const struct ctl *ctl, int err)
{
	const char *text = xskd_error(ctl->x), *log = xskd_log(ctl->x);

	fprintf(stderr, "%s: ", ctl->name);
	output_safe(stderr, *text ? text : strerror(-err));
	fputc('\n', stderr);
	if (ctl->admin_err && (err == -EPERM || err == -EACCES))
		fprintf(stderr, "%s: (this is the pod socket; the admin socket: %s)\n", ctl->name,
			strerror(-ctl->admin_err));
	if (*log)
		fprintf(stderr, "%s%s", log, log[strlen(log) - 1] == '\n' ? "" : "\n");
	/* A daemon that answers "deadline exceeded" is there, and has a status. */
	if ((err == -ENOTCONN || err == -ETIMEDOUT) && xskd_status(ctl->x) < 0)
		return CTL_UNREACHABLE;
	return CTL_FAILED;
}

printf_like(2, 0) static void print_message(const struct ctl *ctl, const char *fmt, va_list ap)
{
	fprintf(stderr, "%s: ", ctl->name);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int ctl_error(const struct ctl *ctl, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_message(ctl, fmt, ap);
	va_end(ap);
	return CTL_FAILED;
}

int ctl_misused(const struct ctl *ctl, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (fmt)
		print_message(ctl, fmt, ap);
	va_end(ap);
	fprintf(stderr, "Try 'xskctl help%s%s'.\n", ctl->command ? " " : "",
		ctl->command ? ctl->command->words : "");
	return CTL_USAGE;
}

int ctl_bad(const struct ctl *ctl, const char *option, const char *text)
{
	return ctl_misused(ctl, "%s '%s': %s", option, text, ctl->why);
}

int ctl_flush(const struct ctl *ctl)
{
	if (fflush(stdout) != 0 || ferror(stdout))
		return ctl_error(ctl, "cannot write the output: %s", strerror(errno));
	return CTL_OK;
}

int ctl_print_list(const struct ctl *ctl, const json_t *value, const struct column *columns,
		   size_t n_columns)
{
	if (!value || output_list(stdout, ctl->format, value, columns, n_columns, time(NULL)) < 0)
		return ctl_error(ctl, "%s", strerror(ENOMEM));
	return ctl_flush(ctl);
}

int ctl_print_record(const struct ctl *ctl, const json_t *value, const struct column *columns,
		     size_t n_columns)
{
	if (!value || output_record(stdout, ctl->format, value, columns, n_columns, time(NULL)) < 0)
		return ctl_error(ctl, "%s", strerror(ENOMEM));
	return ctl_flush(ctl);
}
