// SPDX-License-Identifier: Apache-2.0
#include "gate.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "gate_serve.h"
#include "log.h"
#include "netns.h"
#include "packet.h"
#include "rest.h"
#include "sandbox.h"

#define CHANNELS_MAX 128
#define STACK_SIZE   (256 * 1024)

struct gate {
	pid_t pid;
	int control; /* "ready" is said on it, and nothing more: it is for the end */
	pthread_mutex_t mutex;
	pthread_cond_t freed;
	unsigned int n, n_free;
	int free[CHANNELS_MAX]; /* channels that no call is using */
};

/* ---- the gate's side ---- */

/* What a gate has. No more is open in it. */
struct own {
	int log, home, lock, control;
	int channels[CHANNELS_MAX];
	unsigned int n;
};

struct thread {
	int channel, home;
};

static void *serve(void *arg)
{
	const struct thread *t = arg;
	int err = gate_serve(t->channel, t->home);

	if (err < 0)
		log_error("gate: ending, for the daemon sent what is no request: %s",
			  strerror(-err));
	_exit(err < 0);
}

static int start_threads(const struct own *own)
{
	static struct thread threads[CHANNELS_MAX];
	pthread_attr_t attr;
	int err = pthread_attr_init(&attr);

	if (!err)
		err = pthread_attr_setstacksize(&attr, STACK_SIZE);
	for (unsigned int i = 0; i < own->n && !err; i++) {
		pthread_t id;

		threads[i] = (struct thread){ own->channels[i], own->home };
		err = pthread_create(&id, &attr, serve, &threads[i]);
	}
	return -err;
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static int close_others(const struct own *own)
{
	int keep[CHANNELS_MAX + 4] = { own->log, own->home, own->lock, own->control };
	unsigned int n = own->n + 4;
	int from = 0;

	memcpy(keep + 4, own->channels, own->n * sizeof(int));
	qsort(keep, n, sizeof(*keep), compare);
	for (unsigned int i = 0; i < n; i++) {
		if (keep[i] > from && syscall(SYS_close_range, from, keep[i] - 1, 0) < 0)
			return -errno;
		from = keep[i] + 1;
	}
	return syscall(SYS_close_range, from, ~0U, 0) < 0 ? -errno : 0;
}

/* What ps(1) shows. */
static void set_title(void)
{
	static const char title[] = "xskd: gate";
	size_t room = strlen(program_invocation_name);

	(void)prctl(PR_SET_NAME, "xskd-gate");
	if (room >= sizeof(title) - 1) {
		memset(program_invocation_name, ' ', room);
		memcpy(program_invocation_name, title, sizeof(title) - 1);
	}
}

static int set_up(const struct own *own, pid_t daemon)
{
	/* These are for the daemon, which may take a while to end, and needs its gate until then.
	 */
	const int others[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2 };

	set_title();
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		signal(others[i], SIG_IGN);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	if (getppid() != daemon) /* it ended before it could be heard of */
		_exit(0);
	return close_others(own);
}

static _Noreturn void run(const struct own *own, const struct sandbox *sandbox, pid_t daemon)
{
	struct gate_reply ready = { 0 };
	uint8_t nothing;
	struct fdset none = FDSET_INIT;
	size_t len;

	ready.err = set_up(own, daemon);
	if (!ready.err)
		ready.err = sandbox_gate(sandbox);
	if (!ready.err)
		ready.err = start_threads(own);
	if (!ready.err)
		ready.err = sandbox_gate_calls(sandbox, daemon);
	rest_begin();
	if (packet_send(own->control, 0, (uint8_t *)&ready, sizeof(ready), NULL) != PACKET_OK)
		_exit(1);
	while (packet_recv(own->control, 0, &nothing, sizeof(nothing), &len, &none) == -EINTR)
		;
	_exit(ready.err != 0);
}

/* ---- the daemon's side ---- */

static int make_pair(int *out_mine, int *out_own)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	*out_mine = pair[0];
	*out_own = pair[1];
	return 0;
}

static int make_channels(struct gate *gate, struct own *own)
{
	int err = make_pair(&gate->control, &own->control);

	while (own->n < gate->n && !err) {
		err = make_pair(&gate->free[own->n], &own->channels[own->n]);
		own->n += !err;
	}
	gate->n_free = own->n;
	return err;
}

static void close_own(struct own *own)
{
	for (unsigned int i = 0; i < own->n; i++)
		close(own->channels[i]);
	close_fdp(&own->control);
	close_fdp(&own->home);
}

/* The gate says whether it has become what it has to be. */
static int await_ready(struct gate *gate)
{
	struct gate_reply ready;
	struct fdset none = FDSET_INIT;
	size_t len;
	int err;

	do
		err = packet_recv(gate->control, 0, (uint8_t *)&ready, sizeof(ready), &len, &none);
	while (err == -EINTR);
	if (err < 0)
		return err;
	return err == PACKET_OK && len == sizeof(ready) ? ready.err : -EPIPE;
}

int gate_start(unsigned int channels, int lock, const struct sandbox *sandbox, struct gate **out,
	       struct fault *fault)
{
	struct own own = {
		.log = STDERR_FILENO, .home = netns_self(), .lock = lock, .control = -1
	};
	struct gate *gate = calloc(1, sizeof(*gate));
	pid_t daemon = getpid();
	int err = gate ? own.home : -ENOMEM;

	if (gate) {
		gate->n = channels < CHANNELS_MAX ? channels : CHANNELS_MAX;
		gate->control = -1;
		pthread_mutex_init(&gate->mutex, NULL);
		pthread_cond_init(&gate->freed, NULL);
	}
	if (err >= 0)
		err = make_channels(gate, &own);
	if (!err) {
		gate->pid = fork();
		if (gate->pid == 0)
			run(&own, sandbox, daemon);
		err = gate->pid < 0 ? -errno : 0;
	}
	close_own(&own);
	if (!err)
		err = await_ready(gate);
	if (err < 0) {
		gate_stop(gate);
		return fault_sys(fault, -err,
				 "cannot start the gate, xskd's process for network "
				 "namespaces");
	}
	*out = gate;
	return 0;
}

void gate_stop(struct gate *gate)
{
	if (!gate)
		return;
	for (unsigned int i = 0; i < gate->n_free; i++)
		close(gate->free[i]);
	close_fdp(&gate->control);
	if (gate->pid > 0)
		(void)waitpid(gate->pid, NULL, 0);
	pthread_cond_destroy(&gate->freed);
	pthread_mutex_destroy(&gate->mutex);
	free(gate);
}

int gate_fd(const struct gate *gate)
{
	return gate->control;
}

pid_t gate_pid(const struct gate *gate)
{
	return gate->pid;
}

void gate_epitaph(struct gate *gate, char *out, size_t size)
{
	int status = 0;

	if (waitpid(gate->pid, &status, 0) == gate->pid && WIFSIGNALED(status))
		snprintf(out, size, "signal %d", WTERMSIG(status));
	else
		snprintf(out, size, "exit status %d", WEXITSTATUS(status));
	gate->pid = 0;
}

/* ---- calls ---- */

static int take_channel(struct gate *gate)
{
	int channel;

	pthread_mutex_lock(&gate->mutex);
	while (!gate->n_free)
		pthread_cond_wait(&gate->freed, &gate->mutex);
	channel = gate->free[--gate->n_free];
	pthread_mutex_unlock(&gate->mutex);
	return channel;
}

static void give_channel(struct gate *gate, int channel)
{
	pthread_mutex_lock(&gate->mutex);
	gate->free[gate->n_free++] = channel;
	pthread_cond_signal(&gate->freed);
	pthread_mutex_unlock(&gate->mutex);
}

static int exchange(int channel, const struct gate_request *req, const struct fdset *in,
		    struct gate_reply *reply, struct fdset *out)
{
	size_t len = 0;
	int err;

	do
		err = packet_send(channel, 0, (const uint8_t *)req, sizeof(*req), in);
	while (err == -EINTR);
	if (err != PACKET_OK)
		return err < 0 ? err : -EPIPE;
	do
		err = packet_recv(channel, 0, (uint8_t *)reply, sizeof(*reply), &len, out);
	while (err == -EINTR);
	if (err == PACKET_SHORT)
		return -EMFILE;
	if (err != PACKET_OK || len != sizeof(*reply))
		return err < 0 ? err : -EPIPE;
	return reply->err;
}

/*
 * @in: borrowed, -1 leaves a place out. @out: as many fds as are wanted, or none.
 */
static int call(struct gate *gate, const struct gate_request *req, const int in[2], int *out,
		size_t n_out, struct gate_reply *reply)
{
	struct fdset lent = FDSET_INIT, got = FDSET_INIT;
	int channel, err;

	for (size_t i = 0; i < 2; i++) {
		if (in[i] >= 0)
			lent.fd[lent.n++] = in[i];
	}
	channel = take_channel(gate);
	err = exchange(channel, req, &lent, reply, &got);
	give_channel(gate, channel);
	if (!err && got.n != n_out)
		err = -EPROTO;
	for (size_t i = 0; i < n_out && !err; i++)
		out[i] = fdset_take(&got, (uint32_t)i + 1);
	fdset_done(&got);
	return err;
}

int gate_sockets(struct gate *gate, int netns_fd, enum gate_socket kind, size_t n, int *out_fds)
{
	const struct gate_request req = { .op = GATE_SOCKETS, .kind = kind, .n = (uint32_t)n };
	struct gate_reply reply;

	return call(gate, &req, (int[]){ netns_fd, -1 }, out_fds, n, &reply);
}

int gate_link(struct gate *gate, int netns_fd, int prog_fd, uint32_t ifindex, uint32_t flags)
{
	const struct gate_request req = { .op = GATE_LINK, .ifindex = ifindex, .flags = flags };
	struct gate_reply reply;
	int fd, err = call(gate, &req, (int[]){ prog_fd, netns_fd }, &fd, 1, &reply);

	return err ? err : fd;
}

int gate_program(struct gate *gate, uint32_t queues, int out_fds[GATE_PROGRAM_FDS])
{
	const struct gate_request req = { .op = GATE_PROGRAM, .n = queues };
	struct gate_reply reply;

	return call(gate, &req, (int[]){ -1, -1 }, out_fds, GATE_PROGRAM_FDS, &reply);
}

int gate_holder(struct gate *gate, uint32_t program, uint32_t ifindex, struct gate_holder *out)
{
	const struct gate_request req = { .op = GATE_HOLDER,
					  .program = program,
					  .ifindex = ifindex };
	struct gate_reply reply;
	int err = call(gate, &req, (int[]){ -1, -1 }, NULL, 0, &reply);

	if (!err)
		*out = reply.holder;
	return err;
}
