// SPDX-License-Identifier: Apache-2.0
/*
 * xskctl, the command line of xskd: finds the command, runs it, answers its exit code. It is a user
 * of libxskd like any other and can do nothing that another program could not.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ctl.h"

enum {
	OPT_VERSION = COMMAND_OPT,
};

#define HELP_HANDOFF                                                                        \
	"  --queue N              a queue, or several as 0-3,7; may be repeated;\n"         \
	"                         default: the first one of the lease\n"                    \
	"  --zero-copy WHEN       required, preferred (default) or no\n"                    \
	"  --keep                 have the daemon keep the sockets for the next process\n"  \
	"  --huge-pages[=WHICH]   packet memory in pages of 2 MiB that were set aside\n"    \
	"                         (required), in such as there are (preferred), or 1G\n"    \
	"  --busy-poll US         busy polling, of so many microseconds\n"                  \
	"  --frames N             frames of packet memory; default: what fills the rings\n" \
	"  --frame-size BYTES     2048 (default) or 4096\n"                                 \
	"  --ring-size N          entries of each ring, a power of two; default: 2048\n"

static int cmd_help(struct ctl *ctl, int argc, char **argv);
static int cmd_version(struct ctl *ctl, int argc, char **argv);

static const struct command commands[] = {
	{ "info", "", "Show what the daemon is and can do", NULL, cmd_info },
	{ "program load",
	  "IFACE [--netns NETNS] [--object FILE] [--program NAME] [--map NAME]\n"
	  "       [--set NAME=VALUE]... [--mode native|generic|auto] [--transient]",
	  "Load an XDP program and attach it to an interface",
	  "  --netns NETNS          where the interface is: a path, or a name below /run/netns\n"
	  "  --object FILE          a BPF object; default: the program of xskd\n"
	  "  --program NAME         function in the object; default: its only XDP program\n"
	  "  --map NAME             its XSKMAP; default: xsks_map\n"
	  "  --set NAME=VALUE       a constant of the object: a number, or hex: and bytes\n"
	  "  --mode MODE            native, generic, or auto (default): native, else generic\n"
	  "  --transient            it goes with the last lease that it serves\n",
	  cmd_program_load },
	{ "program list", "", "List the programs that xskd has attached", NULL, cmd_program_list },
	{ "program get", "ID|IFACE [--netns NETNS]", "Show one program",
	  "  --netns NETNS          where the interface is\n", cmd_program_get },
	{ "program unload", "ID|IFACE [--netns NETNS] [--force]", "Detach a program and forget it",
	  "  --netns NETNS          where the interface is\n"
	  "  --force                also while sockets receive through it\n",
	  cmd_program_unload },
	{ "lease grant",
	  "--container ID --netns NETNS --interface IFACE [--device DEV]\n"
	  "       [--queues LIST | --queue-count N] [--label KEY=VALUE]...",
	  "Allow a container to have sockets of an interface",
	  "  --container ID         the container\n"
	  "  --netns NETNS          its network namespace: a path, or a name below /run/netns\n"
	  "  --interface IFACE      the interface, by its name in the container\n"
	  "  --device DEV           queue mode: the netdev of the host that has the queues\n"
	  "  --queues LIST          such as 0-3,7; default: all\n"
	  "  --queue-count N        so many that are free, of the daemon's choice\n"
	  "  --label KEY=VALUE      for people: pod, namespace, uid\n",
	  cmd_lease_grant },
	{ "lease revoke", "--container ID [--interface IFACE]",
	  "End the leases of a container, or one of them",
	  "  --container ID         the container\n"
	  "  --interface IFACE      only this lease\n",
	  cmd_lease_revoke },
	{ "lease list", "", "List leases: all, or in a pod its own", NULL, cmd_lease_list },
	{ "socket list", "", "List sockets: who holds what, since when", NULL, cmd_socket_list },
	{ "stats", "IFACE | --program ID", "Show counters of each queue",
	  "  --program ID           of a program, for administrators\n", cmd_stats },
	{ "receive",
	  "IFACE [--queue N]... [--count N] [--duration SECONDS]\n"
	  "       [--zero-copy required|preferred|no] [--keep] [--release]\n"
	  "       [--huge-pages[=required|preferred|1G]] [--busy-poll US] [--frames N] [--frame-size BYTES] [--ring-size N]\n"
	  "       [--sequence] [--ready-fd FD]",
	  "Take a hand-off and count what it receives",
	  "  --count N              end after so many packets\n"
	  "  --duration SECONDS     end after so long\n"
	  "  --sequence             check the numbers in the packets of xskd's test sender\n"
	  "  --release              at the end, tell the daemon to keep the sockets no longer\n"
	  "  --ready-fd FD          write a newline to it when the sockets are ready\n" HELP_HANDOFF,
	  cmd_receive },
	{ "exec",
	  "IFACE [--queue N]... [--unbound] [--zero-copy required|preferred|no]\n"
	  "       [--keep] [--huge-pages[=required|preferred|1G]] [--busy-poll US] [--frames N] [--frame-size BYTES]\n"
	  "       [--ring-size N] -- PROGRAM [ARG]...",
	  "Take a hand-off and start a program that inherits its sockets",
	  "  --unbound              sockets without memory, rings and bind\n" HELP_HANDOFF,
	  cmd_exec },
	{ "doctor", "[--quiet] [--bpf-dir DIR] [--cni-bin-dir DIR] [--cni-conf-dir DIR]",
	  "Say what is wrong on this node, and what to do about it",
	  "  --quiet                only what is not ok\n"
	  "  --bpf-dir DIR          pinned programs; default: where the daemon has them\n"
	  "  --cni-bin-dir DIR      default: /opt/cni/bin, /usr/lib/cni, /usr/libexec/cni\n"
	  "  --cni-conf-dir DIR     default: /etc/cni/net.d\n"
	  "\nExit status: 0 nothing worse than a note, 1 warnings or problems, 2 wrong usage.\n",
	  cmd_doctor },
	{ "watch", "", "Print events as they come", NULL, cmd_watch },
	{ "help", "[COMMAND]", "Say how xskctl, or a command, is used", NULL, cmd_help },
	{ "version", "", "Show the versions of xskctl and libxskd", NULL, cmd_version },
};

/* Whether @words is @word, or begins with it and another one. */
static bool begins_with(const char *words, const char *word)
{
	size_t len = strlen(word);

	return len && strncmp(words, word, len) == 0 && (words[len] == '\0' || words[len] == ' ');
}

/* The command that @argv begins with. @out_words: how many of its words these are. */
static const struct command *find_command(int argc, char **argv, int *out_words)
{
	for (size_t i = 0; argc > 0 && i < ARRAY_SIZE(commands); i++) {
		const char *second = strchr(commands[i].words, ' ');

		if (!begins_with(commands[i].words, argv[0]))
			continue;
		if (second && (argc < 2 || strcmp(second + 1, argv[1]) != 0))
			continue;
		*out_words = second ? 2 : 1;
		return &commands[i];
	}
	return NULL;
}

/* All commands, or with @word those that begin with it. Return: how many. */
static size_t list_commands(FILE *to, const char *word)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (word && !begins_with(commands[i].words, word))
			continue;
		if (!n++)
			fputs("Commands:\n", to);
		fprintf(to, "  %-15s  %s\n", commands[i].words, commands[i].summary);
	}
	return n;
}

static void overview(FILE *to)
{
	fputs("Usage: xskctl [OPTION]... COMMAND [ARG]...\n\n"
	      "Controls xskd, which gives AF_XDP sockets to programs without privileges.\n\n",
	      to);
	list_commands(to, NULL);
	fputs("\nOptions:\n"
	      "  -o, --output FORMAT    table (default) or json\n"
	      "  --timeout SECONDS      for each call; default 5; 0: for ever\n"
	      "  --run-dir DIR          of the daemon; default /run/xskd\n"
	      "  --socket PATH          of the daemon, instead of one below its directory\n"
	      "  -h, --help             this, or that of a command\n"
	      "  --version              as the command version\n"
	      "\nExit status: 0 done, 1 the call failed, 2 wrong usage, 3 daemon unreachable.\n",
	      to);
}

static int unknown_command(const struct ctl *ctl, char **argv)
{
	if (list_commands(stderr, argv[0]))
		return ctl_misused(ctl, "'%s' wants one of the commands above", argv[0]);
	return ctl_misused(ctl, "unknown command '%s'", argv[0]);
}

static int cmd_help(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = { CTL_OPTIONS };
	int words;

	if (ctl_option(ctl, argc, argv, options) != -1)
		return ctl->stop;
	argc -= optind;
	argv += optind;
	if (argc == 0) {
		overview(stdout);
		return ctl_flush(ctl);
	}

	const struct command *c = find_command(argc, argv, &words);

	if (c) {
		ctl->command = c;
		ctl_help(ctl, stdout);
	} else if (argc > 1 || !list_commands(stdout, argv[0])) {
		return unknown_command(ctl, argv);
	}
	return ctl_flush(ctl);
}

static int print_version(const struct ctl *ctl)
{
	static const struct column columns[] = {
		{ "XSKCTL", "xskctl", COLUMN_PLAIN },
		{ "LIBXSKD", "libxskd", COLUMN_PLAIN },
	};
	cleanup(json_decrefp) json_t *versions = json_object();

	output_add(&versions, "xskctl", json_string(XSKD_VERSION));
	output_add(&versions, "libxskd", json_string(xskd_version()));
	return ctl_print_record(ctl, versions, columns, ARRAY_SIZE(columns));
}

static int cmd_version(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = { CTL_OPTIONS };

	if (ctl_option(ctl, argc, argv, options) != -1)
		return ctl->stop;
	if (optind != argc)
		return ctl_misused(ctl, "unexpected '%s'", argv[optind]);
	return print_version(ctl);
}

/*
 * 0 means "no fd" in the options of libxskd, and a file that took the place of a closed stderr
 * would be written to: so these three are always taken.
 */
static void open_standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		/* The lowest free fd is the closed one. Where even this fails, so will all else. */
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			_exit(CTL_FAILED);
	}
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{ "version", no_argument, NULL, OPT_VERSION },
		CTL_OPTIONS,
	};
	bool want_version = false;
	int words, c;

	while ((c = ctl_option(ctl, argc, argv, options)) != -1) {
		if (c == 'h') {
			overview(stdout);
			return ctl_flush(ctl);
		}
		if (c != OPT_VERSION)
			return ctl->stop;
		want_version = true; /* -o may follow */
	}
	if (want_version)
		return print_version(ctl);
	argc -= optind;
	argv += optind;
	if (argc == 0) {
		overview(stderr);
		return CTL_USAGE;
	}
	ctl->command = find_command(argc, argv, &words);
	if (!ctl->command) {
		/* "xskctl lease --help" asks a fair question. */
		if (argc == 2 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")) &&
		    list_commands(stdout, argv[0]))
			return ctl_flush(ctl);
		return unknown_command(ctl, argv);
	}
	snprintf(ctl->name, sizeof(ctl->name), "xskctl: %s", ctl->command->words);
	argc -= words - 1;
	argv += words - 1;
	argv[0] = ctl->name; /* getopt_long() begins its messages with it */
	optind = 0;          /* and begins anew */
	return ctl->command->run(ctl, argc, argv);
}

int main(int argc, char **argv)
{
	struct ctl ctl;
	int status;

	open_standard_fds();
	ctl_init(&ctl);
	status = run(&ctl, argc, argv);
	ctl_done(&ctl);
	return status;
}
