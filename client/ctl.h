/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of xskctl: its global options, its command, its connection, and how it ends. Commands are
 * functions of (ctl, argc, argv) that answer an exit code; they read their options with
 * ctl_option(), connect, make their call and print.
 */
#ifndef CLIENT_CTL_H
#define CLIENT_CTL_H

#include <getopt.h>
#include <xskd.h>

#include "args.h"
#include "output.h"
#include "util.h"

#define CTL_RUN_DIR "/run/xskd" /* where --run-dir is not given */

enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_UNREACHABLE = 3,
};

struct ctl;

struct command {
	const char *words;   /* "lease grant" */
	const char *usage;   /* what follows the words */
	const char *summary; /* half a line */
	const char *help;    /* its options, a line each; may be NULL */
	int (*run)(struct ctl *ctl, int argc, char **argv);
};

struct ctl {
	const struct command *command; /* NULL: not yet known */
	char name[64];                 /* "xskctl: lease grant", in front of each message */
	char why[ARGS_WHY_SIZE];       /* of the last word that args.h refused */
	enum output_format format;
	int timeout_ms;      /* negative: for ever */
	const char *run_dir; /* NULL: not asked for */
	const char *socket;  /* NULL: find one below run_dir */
	int stop;            /* what a command answers when ctl_option() ended its options early */
	struct xskd *x;
	int admin_err; /* why the admin socket was not taken, though it was wanted */
};

/*
 * Values of long options without a letter: the global ones, those of a hand-off, a command's own.
 */
enum {
	CTL_OPT_TIMEOUT = 256,
	CTL_OPT_RUN_DIR,
	CTL_OPT_SOCKET,
	HANDOFF_OPT = 300,
	COMMAND_OPT = 400,
};

/* The end of each command's table of options. */
#define CTL_OPTIONS                                                      \
	{ "output", required_argument, NULL, 'o' },                      \
		{ "timeout", required_argument, NULL, CTL_OPT_TIMEOUT }, \
		{ "run-dir", required_argument, NULL, CTL_OPT_RUN_DIR }, \
		{ "socket", required_argument, NULL, CTL_OPT_SOCKET },   \
		{ "help", no_argument, NULL, 'h' },                      \
	{                                                                \
		NULL, 0, NULL, 0                                         \
	}

/*
 * ctl_option() - getopt_long(3) that sees to the global options by itself.
 * Return: an option of the command; -1: no more of them, the rest begins at optind; '?': the
 * command shall answer ctl->stop at once (help was asked for, or an option was wrong; all is
 * printed).
 */
int ctl_option(struct ctl *ctl, int argc, char **argv, const struct option *options);

/* ctl_init() - defaults, and what the environment says. */
void ctl_init(struct ctl *ctl);

/* ctl_done() - close the connection. */
void ctl_done(struct ctl *ctl);

/* ctl_help() - print how the command is used; @to: stdout when somebody asked, else stderr. */
void ctl_help(const struct ctl *ctl, FILE *to);

enum ctl_side {
	CTL_ADMIN, /* the admin socket; the pod socket where this user cannot have that one */
	CTL_POD,
};

/* ctl_reach() - open ctl->x. Return: 0, or a negative errno: xskd_error(ctl->x) says why. */
must_check int ctl_reach(struct ctl *ctl, enum ctl_side side);

/* ctl_connect() - likewise. Return: CTL_OK or CTL_UNREACHABLE, after a message. */
must_check int ctl_connect(struct ctl *ctl, enum ctl_side side);

/*
 * ctl_begin() - all that a command does first that has no options and operands of its own, up to
 * the connection. Return: false, the command shall answer ctl->stop at once.
 */
must_check bool ctl_begin(struct ctl *ctl, int argc, char **argv, enum ctl_side side);

/*
 * ctl_open() - a file that an option names, close-on-exec. @out_fd: the caller owns it.
 * Return: CTL_OK or CTL_FAILED, after a message.
 */
must_check int ctl_open(const struct ctl *ctl, const char *path, int *out_fd);

/* ctl_open_netns() - likewise, by the argument of --netns. */
must_check int ctl_open_netns(struct ctl *ctl, const char *text, int *out_fd);

/* Each of these prints one message on stderr and answers the exit code for it. */

/*
 * ctl_failed() - a call of libxskd answered @err: its text, and the verifier's log if there is one.
 */
int ctl_failed(const struct ctl *ctl, int err);

/* ctl_error() - something else went wrong. */
printf_like(2, 3) int ctl_error(const struct ctl *ctl, const char *fmt, ...);

/* ctl_misused() - the command line does not make sense. */
printf_like(2, 3) int ctl_misused(const struct ctl *ctl, const char *fmt, ...);

/* ctl_bad() - args.h refused @text as the value of @option, for the reason in ctl->why. */
int ctl_bad(const struct ctl *ctl, const char *option, const char *text);

/* ctl_print_list(), ctl_print_record() - the command's result; @value NULL: there was no memory. */
must_check int ctl_print_list(const struct ctl *ctl, const json_t *value,
			      const struct column *columns, size_t n_columns);
must_check int ctl_print_record(const struct ctl *ctl, const json_t *value,
				const struct column *columns, size_t n_columns);

/* ctl_flush() - CTL_OK when all that was printed has reached stdout. */
must_check int ctl_flush(const struct ctl *ctl);

/* xskd_freep() - for the cleanup attribute of lists that libxskd gave. */
static inline void xskd_freep(void *list)
{
	xskd_free(*(void **)list);
}

/* The commands, in files of their nouns. */
int cmd_info(struct ctl *ctl, int argc, char **argv);
int cmd_program_load(struct ctl *ctl, int argc, char **argv);
int cmd_program_list(struct ctl *ctl, int argc, char **argv);
int cmd_program_get(struct ctl *ctl, int argc, char **argv);
int cmd_program_unload(struct ctl *ctl, int argc, char **argv);
int cmd_lease_grant(struct ctl *ctl, int argc, char **argv);
int cmd_lease_revoke(struct ctl *ctl, int argc, char **argv);
int cmd_lease_list(struct ctl *ctl, int argc, char **argv);
int cmd_socket_list(struct ctl *ctl, int argc, char **argv);
int cmd_stats(struct ctl *ctl, int argc, char **argv);
int cmd_receive(struct ctl *ctl, int argc, char **argv);
int cmd_exec(struct ctl *ctl, int argc, char **argv);
int cmd_doctor(struct ctl *ctl, int argc, char **argv);
int cmd_watch(struct ctl *ctl, int argc, char **argv);

#endif
