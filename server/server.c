// SPDX-License-Identifier: Apache-2.0
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "audit.h"
#include "channels.h"
#include "conn.h"
#include "drops.h"
#include "entrance.h"
#include "exporter.h"
#include "files.h"
#include "gate.h"
#include "instance.h"
#include "lane.h"
#include "listen.h"
#include "log.h"
#include "monitor.h"
#include "netns.h"
#include "pin.h"
#include "readable.h"
#include "sandbox.h"
#include "store.h"
#include "sweep.h"

#define TICK_MS      1000
#define LAME_DUCK_MS 10000 /* after SIGTERM: so long may calls under way take */
#define ACCEPT_BATCH 16
#define ROOM_FDS     8 /* what libuv opens for a loop and its signals; a client or two, later */

struct server {
	uv_loop_t loop;
	struct core core;
	struct lanes lanes;
	struct conns conns;
	struct exporter exporter;
	struct drops drops;
	struct manager manager;
	struct entrance entrance;
	struct readable news, channels, ends; /* ends: of processes that hold sockets */
	struct readable gate_end;
	struct gate *gate;
	uv_timer_t tick, look, farewell;
	uv_prepare_t turn;
	uv_signal_t signals[2];
	uint64_t end_at; /* of the loop's clock: no later than that, once it is stopping */
	int run_lock, bpf_lock;
	bool sweeping, stopping, left, failed;
	struct sweep *sweep;
	struct audit *audit;
};

/* ---- what core.h asks of the edge ---- */

static void deliver(void *arg, const struct watcher *to, const Xskd__Event *event)
{
	struct server *s = arg;

	conns_event(&s->conns, to, event);
}

static void reap(void *arg, struct fdset *fds)
{
	struct server *s = arg;

	lanes_reap(&s->lanes, fds);
}

static void on_look(uv_timer_t *timer);

static void look(void *arg)
{
	struct server *s = arg;

	if (!s->left)
		uv_timer_start(&s->look, on_look, 0, 0);
}

static bool connected(void *arg, uint64_t cookie)
{
	const struct server *s = arg;

	return conns_has(&s->conns, cookie);
}

static void forget(void *arg, uint64_t sock, uint64_t umem)
{
	struct server *s = arg;

	drops_add(&s->drops, sock, umem);
}

/* ---- the clock, the news ---- */

static void sweep_run(void *arg)
{
	sweep_look(((struct server *)arg)->sweep);
}

static void sweep_ran(void *arg)
{
	struct server *s = arg;
	int delay;

	sweep_note(&s->core, s->sweep);
	sweep_free(steal_ptr(&s->sweep));
	s->sweeping = false;
	delay = sweep_delay(&s->core);
	if (delay >= 0 && !s->left)
		uv_timer_start(&s->look, on_look, (uint64_t)delay, 0);
}

/* One at a time: behind it, sweep_ran() sees to the doubts that have arisen meanwhile. */
static void sweep_start(struct server *s, bool all)
{
	if (s->sweeping)
		return;
	s->sweep = sweep_new(&s->core, all);
	if (!s->sweep)
		return;
	s->sweeping = lanes_work(&s->lanes, sweep_run, sweep_ran, s);
	if (!s->sweeping)
		sweep_free(steal_ptr(&s->sweep));
}

static void on_look(uv_timer_t *timer)
{
	sweep_start(timer->data, false);
}

static void on_tick(uv_timer_t *timer)
{
	struct server *s = timer->data;

	audit_flush(s->audit);
	log_flush();
	entrance_tick(&s->entrance);
	conns_tick(&s->conns);
	exporter_tick(&s->exporter);
	drops_run(&s->drops, true);
	sock_drop_pending(&s->core, 0);
	sock_forget_waiting(&s->core);
	sweep_start(s, true);
}

static void on_turn(uv_prepare_t *turn)
{
	drops_run(&((struct server *)turn->data)->drops, false);
}

/*
 * libuv takes an error of the socket, which is how netlink tells that it had no room, for the end
 * of it, and waits no longer.
 */
static void hear_again(uv_poll_t *poll, int status, uv_poll_cb fn)
{
	if (status < 0)
		uv_poll_start(poll, UV_READABLE, fn);
}

static void on_news(uv_poll_t *poll, int status, int events)
{
	struct readable *r = poll->data;
	struct server *s = r->owner;

	(void)events;
	monitor_read(r->fd, &s->core);
	hear_again(poll, status, on_news);
}

static void on_channels(uv_poll_t *poll, int status, int events)
{
	struct readable *r = poll->data;
	struct server *s = r->owner;

	(void)events;
	channels_read(r->fd, &s->core);
	hear_again(poll, status, on_channels);
}

static void on_ends(uv_poll_t *poll, int status, int events)
{
	struct readable *r = poll->data;
	struct server *s = r->owner;
	struct holder *holder;

	(void)status;
	(void)events;
	while ((holder = holders_ended(&s->core.holders)))
		sock_doubt(&s->core, holder, 0);
}

/* ---- the end ---- */

static void leave(struct server *s)
{
	if (s->left)
		return;
	s->left = true;
	conns_close(&s->conns);
	exporter_stop(&s->exporter);
	readable_stop(&s->news);
	readable_stop(&s->gate_end);
	readable_stop(&s->channels);
	readable_stop(&s->ends);
	uv_close((uv_handle_t *)&s->tick, NULL);
	uv_close((uv_handle_t *)&s->look, NULL);
	uv_close((uv_handle_t *)&s->farewell, NULL);
	uv_close((uv_handle_t *)&s->turn, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(s->signals); i++)
		uv_close((uv_handle_t *)&s->signals[i], NULL);
	/* The loop ends by itself when the last worker has. */
}

static void on_farewell(uv_timer_t *timer)
{
	struct server *s = timer->data;

	if (conns_idle(&s->conns) || uv_now(&s->loop) >= s->end_at)
		leave(s);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct server *s = handle->data;

	if (s->stopping) {
		log_info("another signal %d: ending at once", number);
		leave(s);
		return;
	}
	log_info("signal %d: finishing %u calls; programs and sockets stay", number,
		 s->lanes.running);
	s->stopping = true;
	s->end_at = uv_now(&s->loop) + LAME_DUCK_MS;
	manager_say(&s->manager, "STOPPING=1");
	entrance_close(&s->entrance);
	conns_stop(&s->conns);
	uv_timer_start(&s->farewell, on_farewell, 0, 10);
}

/*
 * Without it no pod can be served. Whoever looks after the daemon starts it again, with a new gate;
 * pods keep what they have meanwhile.
 */
static void on_gate_end(uv_poll_t *poll, int status, int events)
{
	struct readable *r = poll->data;
	struct server *s = r->owner;
	char how[64];

	(void)status;
	(void)events;
	gate_epitaph(s->gate, how, sizeof(how));
	log_error("the gate, xskd's process for network namespaces, has ended (%s): ending, to be "
		  "started again; programs and sockets stay",
		  how);
	s->failed = true;
	entrance_close(&s->entrance);
	leave(s);
}

/* ---- the beginning ---- */

static int watch_channels(struct server *s, struct fault *fault)
{
	int fd = channels_open();

	if (fd >= 0)
		return readable_start(&s->channels, &s->loop, fd, on_channels, s, fault);
	log_info("no news of changed numbers of queues: %s", strerrordesc_np(-fd));
	return 0;
}

/* The set stays the core's; what the loop waits for is a copy. */
static int watch_holders(struct server *s, struct fault *fault)
{
	int err = holders_open(&s->core.holders);
	int fd = err < 0 ? -1 : fcntl(s->core.holders.epoll, F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		return fault_sys(fault, err ? -err : errno, "cannot watch processes");
	return readable_start(&s->ends, &s->loop, fd, on_ends, s, fault);
}

static int know_oneself(struct core *core, struct fault *fault)
{
	cleanup(netns_done) struct netns ns = NETNS_OF(NULL, -1);
	cleanup(close_fdp) int self = netns_self();
	int err = self < 0 ? self : netns_inode(self, &core->inode);

	if (!err)
		err = netns_cookie(&ns, &core->cookie);
	if (err < 0)
		return fault_sys(
			fault, -err,
			"cannot tell the daemon's network namespace: xskd needs Linux 5.14 or later");
	return 0;
}

/* All that needs more than the daemon keeps; then that is given up. */
static int start_privileged(struct server *s, const struct options *o,
			    const struct sandbox *sandbox, struct fault *fault)
{
	int end, news, err = gate_start(o->workers, s->run_lock, sandbox, &s->gate, fault);

	if (err < 0)
		return err;
	s->core.gate = s->gate;
	end = fcntl(gate_fd(s->gate), F_DUPFD_CLOEXEC, 3);
	if (end < 0)
		return fault_sys(fault, errno, "cannot watch the gate");
	err = readable_start(&s->gate_end, &s->loop, end, on_gate_end, s, fault);
	if (!err)
		err = xsk_probe(s->gate, &s->core.features, fault);
	if (err < 0)
		return err;
	s->core.prober = xsk_prober(s->gate, fault);
	if (s->core.prober < 0)
		return s->core.prober;
	news = monitor_open(fault);
	err = news < 0 ? news : readable_start(&s->news, &s->loop, news, on_news, s, fault);
	if (!err)
		err = watch_channels(s, fault);
	return err ? err : sandbox_daemon(sandbox, fault);
}

static int prepare(struct server *s, const struct options *o, struct fault *fault)
{
	const struct sandbox sandbox = { .off = !o->sandbox,
					 .perfmon = o->perfmon,
					 .run_dir = o->run_dir,
					 .bpf_dir = o->bpf_dir };
	struct state state = STATE_INIT;
	int err = sandbox_check(&sandbox, fault);

	if (!err)
		err = listen_dirs(o->run_dir, &s->run_lock, fault);
	if (!err)
		err = pin_mount(o->bpf_dir, fault);
	if (!err)
		err = listen_lock(o->bpf_dir, "--bpf-dir", &s->bpf_lock, fault);
	if (!err)
		err = state_open(&state, o->run_dir, fault);
	core_init(&s->core, o->bpf_dir, &o->limits, &state, s->audit);
	s->core.deliver = deliver;
	s->core.reap = reap;
	s->core.look = look;
	s->core.connected = connected;
	s->core.forget = forget;
	s->core.manager = &s->manager;
	s->core.arg = s;
	if (!err)
		err = know_oneself(&s->core, fault);
	if (!err)
		err = start_privileged(s, o, &sandbox, fault);
	if (!err)
		err = core_restore(&s->core, fault);
	if (o->two_phase)
		s->core.features.full_handoff = false;
	return err;
}

static int start(struct server *s, const struct options *o, struct fault *fault)
{
	int listeners[LISTENERS] = { -1, -1 };
	int err = watch_holders(s, fault);

	if (!err)
		err = listen_open(&s->manager, o->run_dir, listeners, fault);
	if (err < 0)
		return err;
	err = entrance_open(&s->entrance, listeners, fault);
	if (!err)
		err = exporter_open(&s->exporter, o, fault);
	if (!err)
		err = files_room(ROOM_FDS, fault);
	if (err < 0)
		return err;
	store_tidy(&s->core);
	drops_now(&s->drops);
	uv_prepare_start(&s->turn, on_turn);
	uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS);
	uv_signal_start(&s->signals[0], on_signal, SIGTERM);
	uv_signal_start(&s->signals[1], on_signal, SIGINT);
	return 0;
}

/* Return: with an error there is no loop, and nothing to close. */
static int init_handles(struct server *s, struct fault *fault)
{
	/* libuv aborts where it finds none for its own (uv__signal_global_reinit()). */
	int err = files_room(ROOM_FDS, fault);

	if (err < 0)
		return err;
	err = uv_loop_init(&s->loop);
	if (err < 0)
		return fault_sys(fault, -err, "cannot make an event loop");
	/* Only the first can fail, for the pipe that all share. */
	for (size_t i = 0; i < ARRAY_SIZE(s->signals) && !err; i++) {
		err = uv_signal_init(&s->loop, &s->signals[i]);
		s->signals[i].data = s;
	}
	if (err < 0) {
		uv_loop_close(&s->loop);
		return fault_sys(fault, -err, "cannot wait for signals");
	}
	uv_timer_init(&s->loop, &s->tick);
	uv_timer_init(&s->loop, &s->look);
	uv_timer_init(&s->loop, &s->farewell);
	uv_prepare_init(&s->loop, &s->turn);
	s->tick.data = s->look.data = s->farewell.data = s->turn.data = s;
	return 0;
}

static void server_free(struct server *s)
{
	audit_free(s->audit);
	manager_done(&s->manager);
	entrance_done(&s->entrance);
	close_fdp(&s->bpf_lock);
	close_fdp(&s->run_lock);
	free(s);
}

int server_run(const struct options *options, struct fault *fault)
{
	struct server *s = calloc(1, sizeof(*s));
	char workers[16];
	int err;

	if (s)
		s->audit = audit_new();
	if (!s || !s->audit) {
		free(s);
		return fault_sys(fault, ENOMEM, "cannot start");
	}
	snprintf(workers, sizeof(workers), "%u", options->workers);
	setenv("UV_THREADPOOL_SIZE", workers, 1); /* libuv's only way to be told */
	s->run_lock = s->bpf_lock = -1;
	s->news = s->channels = s->gate_end = s->ends = READABLE_INIT;
	manager_init(&s->manager); /* before any descriptor is made that could be taken for one */
	files_raise();
	entrance_init(&s->entrance, &s->conns);
	err = init_handles(s, fault);
	if (err < 0) {
		server_free(s);
		return err;
	}
	lanes_init(&s->lanes, &s->loop, options->workers, options->limits.workers_per_netns);
	s->drops = (struct drops){ .lanes = &s->lanes, .core = &s->core };
	conns_init(&s->conns, &s->loop, &s->core, &s->lanes);
	exporter_init(&s->exporter, &s->conns);
	instance_log();
	err = prepare(s, options, fault);
	if (!err)
		err = start(s, options, fault);
	if (!err) {
		log_info("xskd " XSKD_VERSION " runs in %s: %s, %zu programs, %zu leases",
			 options->run_dir,
			 s->core.features.full_handoff ? "full hand-off" : "hand-off in two phases",
			 s->core.programs.n, s->core.leases.n);
		manager_say(&s->manager, "READY=1");
	} else {
		entrance_close(&s->entrance);
		leave(s);
	}
	uv_run(&s->loop, UV_RUN_DEFAULT);
	drops_done(&s->drops);
	core_done(&s->core);
	uv_run(&s->loop, UV_RUN_DEFAULT); /* kept sockets are on their way to be closed */
	uv_loop_close(&s->loop);
	exporter_done(&s->exporter);
	conns_done(&s->conns);
	lanes_done(&s->lanes);
	close_fdp(&s->core.prober);
	gate_stop(s->gate);
	if (!err)
		err = s->failed;
	server_free(s);
	return err;
}
