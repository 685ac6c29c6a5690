// SPDX-License-Identifier: Apache-2.0
/*
 * xskctl receive: runs in the pod, without any privilege. Takes a hand-off, counts what comes, says
 * how it went. Besides being a tool it shows what an application has to do, and what it need not.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "ctl.h"
#include "handoff.h"
#include "process.h"
#include "receiver.h"

#define NSEC_PER_MSEC UINT64_C(1000000)
#define NSEC_PER_SEC  UINT64_C(1000000000)
#define LOOK_NS       (100 * NSEC_PER_MSEC) /* while packets flow: between looks at signals */

enum {
	OPT_COUNT = COMMAND_OPT,
	OPT_DURATION,
	OPT_SEQUENCE,
	OPT_RELEASE,
	OPT_READY_FD,
};

struct receive {
	struct handoff_args handoff;
	const char *interface;
	uint64_t count;  /* 0: no limit */
	int duration_ms; /* 0: no limit */
	bool sequenced, release;
	int ready_fd; /* -1: none */
	struct sequence sequence;
	struct xskd_handoff *h;
	struct receiver receiver;
	int signal_fd;
	struct xskd *x; /* for the news of the sockets; NULL: the daemon has gone, they work on */
	char lost[192]; /* why a socket will never receive again; "": none is lost */
	uint64_t handoff_ns;         /* what the call took */
	uint64_t started_ns, end_ns; /* when packets could first come, when the loop ended */
};

static void receive_donep(struct receive *r)
{
	handoff_args_donep(&r->handoff);
	receiver_done(&r->receiver);
	xskd_handoff_free(r->h);
	close_fdp(&r->signal_fd);
}

static int receive_option(struct ctl *ctl, struct receive *r, int c)
{
	uint64_t fd;

	switch (c) {
	case OPT_COUNT:
		if (args_number(optarg, 1, UINT64_MAX, &r->count, ctl->why) < 0)
			return ctl_bad(ctl, "--count", optarg);
		return CTL_OK;
	case OPT_DURATION:
		if (args_seconds(optarg, &r->duration_ms, ctl->why) < 0)
			return ctl_bad(ctl, "--duration", optarg);
		return CTL_OK;
	case OPT_SEQUENCE:
		r->sequenced = true;
		return CTL_OK;
	case OPT_RELEASE:
		r->release = true;
		return CTL_OK;
	case OPT_READY_FD:
		if (args_number(optarg, 1, INT32_MAX, &fd, ctl->why) < 0)
			return ctl_bad(ctl, "--ready-fd", optarg);
		r->ready_fd = (int)fd;
		return CTL_OK;
	default:
		return handoff_option(ctl, &r->handoff, c);
	}
}

/* ---- Setting up ----------------------------------------------------------------------------- */

static int take_handoff(struct ctl *ctl, struct receive *r)
{
	uint64_t before = receiver_now();
	int err = xskd_hand_off(ctl->x, r->interface, &r->handoff.opts, &r->h);

	if (err < 0)
		return ctl_failed(ctl, err);
	r->handoff_ns = receiver_now() - before;
	xskd_fill(r->h);
	err = receiver_init(&r->receiver, r->h);
	if (err < 0)
		return ctl_error(ctl, "%s", strerror(-err));
	r->receiver.busy_poll = r->handoff.opts.busy_poll_us != 0;
	r->receiver.sequence = r->sequenced ? &r->sequence : NULL;
	if (r->count)
		r->receiver.limit = r->count;
	return CTL_OK;
}

/* Only now, so that a hand-off that hangs can be interrupted as anybody expects. */
static int catch_signals(struct ctl *ctl, struct receive *r)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return ctl_error(ctl, "cannot block signals: %s", strerror(errno));
	r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (r->signal_fd < 0)
		return ctl_error(ctl, "cannot wait for signals: %s", strerror(errno));
	return CTL_OK;
}

static const char *mode_of(const struct xskd_handoff *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_sockets; i++)
		n += h->sockets[i].zero_copy;
	return n == h->n_sockets ? "zero-copy" : n ? "mixed" : "copy";
}

static int say_ready(struct ctl *ctl, const struct receive *r)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the hand-off was good */
	for (size_t i = 0; i < r->h->n_sockets; i++) {
		const struct xskd_socket *s = &r->h->sockets[i];

		fprintf(stderr, "receiving on %s queue %" PRIu32 " (%s mode)\n", r->interface,
			s->queue, s->zero_copy ? "zero-copy" : "copy");
	}
	if (r->handoff.opts.huge_pages)
		fprintf(stderr, "packet memory of %zu KiB in pages of %zu KiB\n",
			r->h->umem_size / 1024, r->h->umem_page_size / 1024);
	if (r->ready_fd < 0)
		return CTL_OK;
	if (write(r->ready_fd, "\n", 1) != 1)
		return ctl_error(ctl, "cannot write to fd %d: %s", r->ready_fd, strerror(errno));
	if (r->ready_fd > 2)
		close(r->ready_fd);
	return CTL_OK;
}

/* ---- Receiving ------------------------------------------------------------------------------ */

/* The line that a person at a terminal watches. */
struct live {
	bool on;
	uint64_t next_ns, last_ns, last_packets;
};

static void live_show(struct live *live, const struct receiver *rx, uint64_t now)
{
	uint64_t packets = rx->total.packets - live->last_packets;
	double seconds = (double)(now - live->last_ns) / (double)NSEC_PER_SEC;

	fprintf(stderr, "\r%.0f packets/s, %" PRIu64 " packets, %" PRIu64 " bytes\033[K",
		(double)packets / seconds, rx->total.packets, rx->total.bytes);
	fflush(stderr);
	live->last_ns = now;
	live->last_packets = rx->total.packets;
	live->next_ns = now + NSEC_PER_SEC;
}

/* For poll(2): until @then, rounded up, so that it does not spin through the last millisecond. */
static int ms_until(uint64_t then, uint64_t now)
{
	if (then == UINT64_MAX)
		return -1;
	if (then <= now)
		return 0;

	uint64_t ms = (then - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;

	return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

static bool signalled(int signal_fd)
{
	struct signalfd_siginfo info;

	return read(signal_fd, &info, sizeof(info)) > 0;
}

/* poll(2) does not tell of a device that was moved away: its sockets are silent for ever. */
static void on_event(const struct xskd_event *event, void *arg)
{
	struct receive *r = arg;

	for (size_t i = 0; i < r->h->n_sockets; i++) {
		if (event->kind == XSKD_EVENT_SOCKET_LOST && event->socket == r->h->sockets[i].id)
			snprintf(r->lost, sizeof(r->lost), "%s", event->message);
	}
}

/* Whether a signal has come, or a socket is lost. */
static bool has_ended(struct receive *r)
{
	if (r->x && xskd_dispatch(r->x) < 0)
		r->x = NULL;
	return *r->lost || signalled(r->signal_fd);
}

/* Packets that were there before the signal; of those behind it no more than rings hold. */
static void drain_what_came(struct receiver *rx)
{
	uint64_t most = rx->total.packets + rx->h->n_sockets * (uint64_t)rx->h->sockets[0].rx.size;

	while (rx->total.packets < most && !receiver_full(rx) && receiver_drain(rx))
		;
}

/* Return: 0, or negative errno. */
static int receive_loop(struct receive *r, struct live *live)
{
	struct receiver *rx = &r->receiver;
	uint64_t now = r->started_ns, next_look = now + LOOK_NS;
	uint64_t end = r->duration_ms ? now + (uint64_t)r->duration_ms * NSEC_PER_MSEC : UINT64_MAX;

	for (;;) {
		if (receiver_drain(rx)) {
			now = rx->now_ns;
			if (receiver_full(rx))
				return 0;
		} else {
			uint64_t wake = live->on && live->next_ns < end ? live->next_ns : end;
			const int wakes[] = { r->signal_fd, r->x ? xskd_fd(r->x) : -1 };
			int n = receiver_wait(rx, wakes, ms_until(wake, now));

			if (n < 0)
				return n;
			if (n > 0 && has_ended(r)) {
				drain_what_came(rx);
				return 0;
			}
			now = receiver_now();
		}
		if (live->on && now >= live->next_ns)
			live_show(live, rx, now);
		if (now >= end)
			return 0;
		if (now >= next_look) {
			if (has_ended(r))
				return 0;
			next_look = now + LOOK_NS;
		}
	}
}

static int receive_packets(struct ctl *ctl, struct receive *r)
{
	struct live live = { .on = isatty(STDERR_FILENO) == 1 };
	int err;

	r->started_ns = receiver_now();
	live.last_ns = r->started_ns;
	live.next_ns = r->started_ns + NSEC_PER_SEC;
	err = receive_loop(r, &live);
	r->end_ns = receiver_now();
	if (live.on)
		fputs("\r\033[K", stderr);
	if (err < 0)
		return ctl_error(ctl, "%s: the socket is dead: %s", r->interface, strerror(-err));
	if (*r->lost)
		return ctl_error(ctl, "%s: %s", r->interface, r->lost);
	return CTL_OK;
}

/* ---- Telling how it went -------------------------------------------------------------------- */

static json_t *queues_json(const struct receive *r)
{
	json_t *array = json_array();

	for (size_t i = 0; i < r->h->n_sockets; i++) {
		const struct xskd_socket *s = &r->h->sockets[i];
		json_t *o = json_object();

		output_add(&o, "queue", output_number(s->queue));
		output_add(&o, "mode", json_string(s->zero_copy ? "zero-copy" : "copy"));
		output_add(&o, "packets", output_number(r->receiver.counts[i].packets));
		output_add(&o, "bytes", output_number(r->receiver.counts[i].bytes));
		output_append(&array, o);
	}
	return array;
}

/*
 * Between the first and the last packets, not from start to end: a receiver that was started early
 * has not received slowly.
 */
static uint64_t packets_per_second(const struct receive *r)
{
	const struct receiver *rx = &r->receiver;
	uint64_t ns = rx->last_ns - rx->first_ns;
	double packets = (double)receiver_counted(rx);

	if (!ns)
		ns = r->end_ns - r->started_ns;
	return ns ? (uint64_t)(packets * (double)NSEC_PER_SEC / (double)ns) : 0;
}

static void add_traffic(json_t **o, const struct receive *r)
{
	const struct receiver_count *total = &r->receiver.total;
	uint64_t ms = (r->end_ns - r->started_ns) / NSEC_PER_MSEC;

	output_add(o, "interface", output_text(r->interface));
	output_add(o, "queues", queues_json(r));
	output_add(o, "mode", json_string(mode_of(r->h)));
	output_add(o, "packets", output_number(total->packets));
	output_add(o, "bytes", output_number(total->bytes));
	output_add(o, "seconds", json_real((double)ms / 1000));
	output_add(o, "packets_per_second", output_number(packets_per_second(r)));
	output_add(o, "handoff_us", output_number(r->handoff_ns / 1000));
	output_add(o, "umem_page_size", output_number(r->h->umem_page_size));
	output_add(o, "resumed", json_boolean(r->h->resumed));
	output_add(o, "lost_frames", output_number(r->h->lost_frames));
}

static void add_kernel(json_t **o, const struct receive *r)
{
	struct xdp_statistics sum = { 0 };

	for (size_t i = 0; i < r->h->n_sockets; i++) {
		struct xdp_statistics s = { 0 }; /* old kernels fill only its beginning */
		socklen_t len = sizeof(s);

		if (getsockopt(r->h->sockets[i].fd, SOL_XDP, XDP_STATISTICS, &s, &len) < 0)
			continue;
		sum.rx_dropped += s.rx_dropped;
		sum.rx_ring_full += s.rx_ring_full;
		sum.rx_fill_ring_empty_descs += s.rx_fill_ring_empty_descs;
	}
	output_add(o, "rx_dropped", output_number(sum.rx_dropped));
	output_add(o, "rx_ring_full", output_number(sum.rx_ring_full));
	output_add(o, "fill_ring_empty", output_number(sum.rx_fill_ring_empty_descs));
}

static void add_sequence(json_t **o, const struct sequence *s)
{
	output_add(o, "sequenced", output_number(s->packets));
	output_add(o, "lost", output_number(sequence_lost(s)));
	output_add(o, "duplicated", output_number(s->duplicated));
	output_add(o, "reordered", output_number(s->reordered));
	output_add(o, "first_sequence", s->packets ? output_number(s->first) : json_null());
	output_add(o, "last_sequence", s->packets ? output_number(s->last) : json_null());
}

static int summarise(const struct ctl *ctl, const struct receive *r)
{
	static const struct column columns[] = {
		{ "INTERFACE", "interface", COLUMN_PLAIN },
		{ "QUEUES", "queues", COLUMN_QUEUES },
		{ "MODE", "mode", COLUMN_PLAIN },
		{ "PACKETS", "packets", COLUMN_PLAIN },
		{ "BYTES", "bytes", COLUMN_PLAIN },
		{ "SECONDS", "seconds", COLUMN_PLAIN },
		{ "PACKETS PER SECOND", "packets_per_second", COLUMN_PLAIN },
		{ "HAND-OFF MICROSECONDS", "handoff_us", COLUMN_PLAIN },
		{ "RESUMED", "resumed", COLUMN_PLAIN },
		{ "LOST FRAMES", "lost_frames", COLUMN_PLAIN },
		{ "RX DROPPED", "rx_dropped", COLUMN_PLAIN },
		{ "RX RING FULL", "rx_ring_full", COLUMN_PLAIN },
		{ "FILL RING EMPTY", "fill_ring_empty", COLUMN_PLAIN },
		{ "UID", "uid", COLUMN_PLAIN },
		{ "CAPABILITIES", "capabilities", COLUMN_PLAIN },
		{ "NO NEW PRIVILEGES", "no_new_privs", COLUMN_PLAIN },
		{ "SECCOMP", "seccomp", COLUMN_PLAIN },
		/* With --sequence alone. */
		{ "SEQUENCED", "sequenced", COLUMN_PLAIN },
		{ "LOST", "lost", COLUMN_PLAIN },
		{ "DUPLICATED", "duplicated", COLUMN_PLAIN },
		{ "REORDERED", "reordered", COLUMN_PLAIN },
	};
	size_t n = ARRAY_SIZE(columns) - (r->sequenced ? 0 : 4);
	cleanup(json_decrefp) json_t *record = json_object();

	add_traffic(&record, r);
	add_kernel(&record, r);
	if (r->sequenced)
		add_sequence(&record, &r->sequence);
	process_add(&record);
	return ctl_print_record(ctl, record, columns, n);
}

/* @status: what the command answers if this goes well. */
static int release(const struct ctl *ctl, const struct receive *r, int status)
{
	int err = xskd_release(ctl->x, r->h);

	/*
	 * The daemon may have been restarted meanwhile: kept sockets are known to the next one too.
	 */
	if (err == -ENOTCONN && xskd_reconnect(ctl->x) == 0)
		err = xskd_release(ctl->x, r->h);
	return err < 0 ? ctl_failed(ctl, err) : status;
}

int cmd_receive(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, OPT_COUNT },
		{ "duration", required_argument, NULL, OPT_DURATION },
		{ "sequence", no_argument, NULL, OPT_SEQUENCE },
		{ "release", no_argument, NULL, OPT_RELEASE },
		{ "ready-fd", required_argument, NULL, OPT_READY_FD },
		HANDOFF_OPTIONS,
		CTL_OPTIONS,
	};
	cleanup(receive_donep) struct receive r = {
		.handoff = HANDOFF_ARGS_INIT,
		.ready_fd = -1,
		.signal_fd = -1,
	};
	int c, status;

	while ((c = ctl_option(ctl, argc, argv, options)) != -1) {
		status = receive_option(ctl, &r, c);
		if (c == '?' || status != CTL_OK)
			return status;
	}
	if (argc - optind != 1)
		return ctl_misused(ctl, "want one interface");
	r.interface = argv[optind];
	if (ctl_connect(ctl, CTL_POD) != CTL_OK)
		return CTL_UNREACHABLE;
	if ((status = take_handoff(ctl, &r)) != CTL_OK ||
	    (status = catch_signals(ctl, &r)) != CTL_OK)
		return status;
	/* Before it is ready, lest it misses something then; it receives without, too. */
	r.x = xskd_watch(ctl->x, on_event, &r) < 0 ? NULL : ctl->x;
	if ((status = say_ready(ctl, &r)) != CTL_OK ||
	    (status = receive_packets(ctl, &r)) != CTL_OK)
		return status;
	status = summarise(ctl, &r);
	return r.release ? release(ctl, &r, status) : status;
}
