// SPDX-License-Identifier: Apache-2.0
/*
 * xskctl exec: takes a hand-off and becomes another program, which inherits the sockets. It maps
 * nothing: rings are the business of the program, by xskd_adopt() or by any other AF_XDP library.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "handoff.h"

enum {
	OPT_UNBOUND = COMMAND_OPT,
};

/* As env(1) answers. */
enum {
	EXIT_CANNOT_RUN = 126,
	EXIT_NOT_FOUND = 127,
};

struct exec {
	struct handoff_args handoff;
	const char *interface;
	bool unbound;
	char **program;
	int fds[XSKD_QUEUES_MAX];
	size_t n_fds;
	int umem_fd; /* -1: none */
};

static void exec_donep(struct exec *e)
{
	handoff_args_donep(&e->handoff);
	for (size_t i = 0; i < e->n_fds; i++)
		close(e->fds[i]);
	close_fdp(&e->umem_fd);
}

/*
 * Without --queue the lease's first queue is meant, but the program has to be told which one that
 * is: no system call says it of a socket.
 */
static int find_queue(struct ctl *ctl, struct exec *e)
{
	cleanup(xskd_freep) struct xskd_lease *leases = NULL;
	size_t n = 0;
	int err = xskd_list_leases(ctl->x, &leases, &n);
	char queue[16] = "0";

	if (err < 0)
		return ctl_failed(ctl, err);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(leases[i].interface, e->interface) == 0 && leases[i].n_queues)
			snprintf(queue, sizeof(queue), "%" PRIu32, leases[i].queues[0]);
	}
	if (args_queues(queue, &e->handoff.queues, ctl->why) < 0)
		return ctl_error(ctl, "%s", ctl->why);
	e->handoff.opts.queues = e->handoff.queues.queues;
	e->handoff.opts.n_queues = e->handoff.queues.n;
	return CTL_OK;
}

static int take_fds(struct ctl *ctl, struct exec *e)
{
	struct xskd_info info;
	int err = xskd_hand_off_fds(ctl->x, e->interface, &e->handoff.opts, e->unbound, e->fds,
				    &e->umem_fd);

	if (err == 0) {
		e->n_fds = e->handoff.opts.n_queues;
		return CTL_OK;
	}

	int status = ctl_failed(ctl, err);

	/*
	 * Zero-copy that the driver has not is refused with the same code: so ask which one it is.
	 */
	if (err == -EOPNOTSUPP && !e->unbound && xskd_get_info(ctl->x, &info) == 0 &&
	    !info.full_handoff)
		ctl_error(ctl, "Linux %s cannot pass on bound sockets, 6.4 can: use --unbound",
			  info.kernel);
	return status;
}

/* "5:6:7", freed by the caller; NULL: no memory. */
static char *join(const uint32_t *numbers, size_t n)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	for (size_t i = 0; i < n; i++)
		fprintf(f, "%s%" PRIu32, i ? ":" : "", numbers[i]);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int announce_list(const char *name, const uint32_t *numbers, size_t n)
{
	cleanup(freep) char *text = join(numbers, n);

	return text ? setenv(name, text, 1) : -1;
}

/*
 * 0 stands for the default: then the variable is absent, and 0 again in the options of
 * xskd_adopt().
 */
static int announce_number(const char *name, uint32_t number)
{
	return number ? announce_list(name, &number, 1) : unsetenv(name);
}

static int announce(const struct exec *e)
{
	const struct xskd_handoff_opts *o = &e->handoff.opts;
	uint32_t fds[XSKD_QUEUES_MAX], umem_fd = (uint32_t)e->umem_fd;
	bool bound = !e->unbound;

	for (size_t i = 0; i < e->n_fds; i++)
		fds[i] = (uint32_t)e->fds[i];
	/* Each one is set or unset: an outer `xskctl exec` may have left its own. */
	if (announce_list("XSKD_SOCKET_FDS", fds, e->n_fds) < 0 ||
	    announce_list("XSKD_QUEUES", o->queues, o->n_queues) < 0 ||
	    setenv("XSKD_INTERFACE", e->interface, 1) < 0 ||
	    (bound ? announce_list("XSKD_UMEM_FD", &umem_fd, 1) : unsetenv("XSKD_UMEM_FD")) < 0 ||
	    announce_number("XSKD_FRAMES", bound ? o->frames : 0) < 0 ||
	    announce_number("XSKD_FRAME_SIZE", bound ? o->frame_size : 0) < 0 ||
	    announce_number("XSKD_RING_SIZE", bound ? o->rx_size : 0) < 0)
		return -ENOMEM;
	return 0;
}

/* All fds of libxskd are close-on-exec. Return: 0 or negative errno. */
static int make_inheritable(const struct exec *e)
{
	for (size_t i = 0; i < e->n_fds; i++) {
		if (fcntl(e->fds[i], F_SETFD, 0) < 0)
			return -errno;
	}
	if (e->umem_fd >= 0 && fcntl(e->umem_fd, F_SETFD, 0) < 0)
		return -errno;
	return 0;
}

/* Answers only when it fails. */
static int become(struct ctl *ctl, struct exec *e)
{
	int err = announce(e);

	if (err == 0)
		err = make_inheritable(e);
	if (err < 0)
		return ctl_error(ctl, "%s", strerror(-err));
	execvp(e->program[0], e->program);
	err = errno;
	ctl_error(ctl, "cannot run '%s': %s", e->program[0], strerror(err));
	return err == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}

/* Where "--" is, or argc: what follows it belongs to the program, whatever it looks like. */
static int find_program(int argc, char **argv)
{
	int i = 1;

	while (i < argc && strcmp(argv[i], "--") != 0)
		i++;
	return i;
}

int cmd_exec(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{ "unbound", no_argument, NULL, OPT_UNBOUND },
		HANDOFF_OPTIONS,
		CTL_OPTIONS,
	};
	cleanup(exec_donep) struct exec e = { .handoff = HANDOFF_ARGS_INIT, .umem_fd = -1 };
	int c, status, own = find_program(argc, argv);

	while ((c = ctl_option(ctl, own, argv, options)) != -1) {
		if (c == OPT_UNBOUND) {
			e.unbound = true;
			continue;
		}
		status = handoff_option(ctl, &e.handoff, c);
		if (c == '?' || status != CTL_OK)
			return status;
	}
	if (own - optind != 1 || own + 1 >= argc)
		return ctl_misused(ctl, "want one interface, --, and a program");
	e.interface = argv[optind];
	e.program = argv + own + 1;
	if (ctl_connect(ctl, CTL_POD) != CTL_OK)
		return CTL_UNREACHABLE;
	if (!e.handoff.opts.n_queues && (status = find_queue(ctl, &e)) != CTL_OK)
		return status;
	status = take_fds(ctl, &e);
	return status == CTL_OK ? become(ctl, &e) : status;
}
