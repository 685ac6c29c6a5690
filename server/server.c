// SPDX-License-Identifier: Apache-2.0
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "audit.h"
#include "conn.h"
#include "drops.h"
#include "entrance.h"
#include "exporter.h"
#include "files.h"
#include "gate.h"
#include "hold.h"
#include "instance.h"
#include "lane.h"
#include "listen.h"
#include "log.h"
#include "lookout.h"
#include "netns.h"
#include "pin.h"
#include "pool.h"
#include "readable.h"
#include "refill.h"
#include "rest.h"
#include "sandbox.h"
#include "slice.h"
#include "store.h"
#include "wake.h"

#define TICK_MS      1000
#define LAME_DUCK_MS 10000 /* after SIGTERM: so long may calls under way take */
#define ROOM_FDS     8     /* what libuv opens for a loop and its signals; a client or two, later */

struct server {
	uv_loop_t loop;
	struct core core;
	struct lanes lanes;
	struct conns conns;
	struct exporter exporter;
	struct drops drops;
	struct refill refill;
	struct manager manager;
	struct entrance entrance;
	struct lookout lookout;
	struct readable gate_end;
	struct gate *gate;
	struct pool *pool;
	uv_timer_t tick, farewell;
	uv_prepare_t turn;
	uv_signal_t signals[2];
	uint64_t end_at; /* of the loop's clock: no later than that, once it is stopping */
	int run_lock, bpf_lock;
	bool stopping, left, failed;
	struct audit *audit;
};

/* ---- what core.h asks of the edge ---- */

static void deliver(void *arg, const struct watcher *to, const Xskd__Event *event)
{
	struct server *s = arg;

	conns_event(&s->conns, to, event);
}

static void reap(void *arg, struct fdset *fds, const struct peer *from)
{
	struct server *s = arg;

	if (from)
		conns_reap(&s->conns, fds, from);
	else
		lanes_reap(&s->lanes, fds);
}

static void unmap(void *arg, void *area, size_t size)
{
	struct server *s = arg;

	lanes_unmap(&s->lanes, area, size);
}

static void look(void *arg)
{
	struct server *s = arg;

	lookout_soon(&s->lookout);
}

static void refill(void *arg)
{
	struct server *s = arg;

	refill_soon(&s->refill);
}

static bool hear(void *arg)
{
	struct server *s = arg;

	return lookout_hear(&s->lookout) && s->lanes.running <= 1;
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

static void unfile(void *arg, const char *name)
{
	struct server *s = arg;

	drops_unfile(&s->drops, name);
}

static bool unfiling(void *arg, const char *name)
{
	const struct server *s = arg;

	return drops_has(&s->drops, name);
}

/* ---- the clock ---- */

static void on_tick(uv_timer_t *timer)
{
	struct server *s = timer->data;

	hold_begin("tick");
	audit_flush(s->audit);
	log_flush();
	entrance_tick(&s->entrance);
	conns_tick(&s->conns);
	exporter_tick(&s->exporter);
	drops_run(&s->drops, true);
	sock_drop_pending(&s->core, 0);
	sock_forget_waiting(&s->core);
	lookout_tick(&s->lookout);
	refill_soon(&s->refill); /* a load that failed has given one back */
}

static void nothing(void *arg)
{
	(void)arg;
}

/* Back on the loop: all workers are there now, and shall not inherit it. */
static void workers_are_there(void *arg)
{
	(void)arg;
	slice_short();
}

static void on_turn(uv_prepare_t *turn)
{
	struct server *s = turn->data;

	drops_run(&s->drops, false);
	entrance_turn(&s->entrance);
	hold_end(); /* behind it the loop waits */
}

/* ---- the end ---- */

static void leave(struct server *s)
{
	if (s->left)
		return;
	s->left = s->core.ending = true;
	hold_close();
	conns_close(&s->conns);
	exporter_stop(&s->exporter);
	readable_stop(&s->gate_end);
	lookout_stop(&s->lookout);
	refill_stop(&s->refill);
	uv_close((uv_handle_t *)&s->tick, NULL);
	uv_close((uv_handle_t *)&s->farewell, NULL);
	uv_close((uv_handle_t *)&s->turn, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(s->signals); i++)
		uv_close((uv_handle_t *)&s->signals[i], NULL);
	/* The loop ends by itself when the last worker has. */
	if (s->lanes.disposing || s->lanes.hanging_up)
		log_info("ending once what clients have sent is closed: %u packets of descriptors, "
			 "%u connections",
			 s->lanes.disposing, s->lanes.hanging_up);
}

static void on_farewell(uv_timer_t *timer)
{
	struct server *s = timer->data;

	if (conns_idle(&s->conns) || uv_now(&s->loop) >= s->end_at)
		leave(s);
}

/* The manager may have no room for it just now. */
static void say_stopping(void *arg)
{
	manager_say(arg, "STOPPING=1");
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct server *s = handle->data;

	hold_begin("signal");
	if (s->stopping) {
		log_info("another signal %d: ending at once", number);
		leave(s);
		return;
	}
	log_info("signal %d: finishing %u calls; programs and sockets stay", number,
		 s->lanes.running);
	s->stopping = true;
	s->end_at = uv_now(&s->loop) + LAME_DUCK_MS;
	(void)!lanes_work(&s->lanes, say_stopping, NULL, &s->manager); /* a courtesy */
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
	int end, err = gate_start(o->workers, s->run_lock, sandbox, &s->gate, fault);

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
	err = xsk_prober_open(&s->core.prober, s->gate, fault);
	if (err < 0)
		return err;
	s->core.umem_guard = umem_guard_open();
	if (s->core.umem_guard.fd < 0)
		log_warning("cannot have a userfaultfd (%s): pages that a pod removes from its "
			    "UMEM during a hand-off are charged to xskd; allow it in the seccomp "
			    "profile of the container, or lower limits.umemBytesPerLease",
			    strerror(errno));
	err = pool_open(o->pool, o->bpf_dir, s->gate, &s->pool, fault);
	if (!err)
		err = lookout_open(&s->lookout, fault);
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
	s->core.unmap = unmap;
	s->core.look = look;
	s->core.refill = refill;
	s->core.hear = hear;
	s->core.connected = connected;
	s->core.forget = forget;
	s->core.unfile = unfile;
	s->core.unfiling = unfiling;
	s->core.manager = &s->manager;
	s->core.arg = s;
	if (!err)
		err = know_oneself(&s->core, fault);
	if (!err)
		err = start_privileged(s, o, &sandbox, fault);
	if (!err)
		err = core_restore(&s->core, fault);
	s->core.pool = s->pool;
	if (o->two_phase)
		s->core.features.full_handoff = false;
	return err;
}

static int start(struct server *s, const struct options *o, struct fault *fault)
{
	int listeners[LISTENERS] = { -1, -1 };
	int err = lookout_holders(&s->lookout, fault);

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
	refill_start(&s->refill, s->pool);
	store_tidy(&s->core);
	drops_now(&s->drops);
	(void)!lanes_work(&s->lanes, nothing, workers_are_there, NULL);
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
	uv_timer_init(&s->loop, &s->farewell);
	uv_prepare_init(&s->loop, &s->turn);
	s->tick.data = s->farewell.data = s->turn.data = s;
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
	s->gate_end = READABLE_INIT;
	manager_init(&s->manager); /* before any descriptor is made that could be taken for one */
	files_raise();
	hold_open();
	wake_setup();
	entrance_init(&s->entrance, &s->conns);
	err = init_handles(s, fault);
	if (err < 0) {
		server_free(s);
		return err;
	}
	lanes_init(&s->lanes, &s->loop, options->workers, options->limits.workers_per_netns);
	refill_init(&s->refill, &s->loop, &s->lanes);
	lookout_init(&s->lookout, &s->loop, &s->core, &s->lanes);
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
		rest_begin();
	} else {
		entrance_close(&s->entrance);
		leave(s);
	}
	uv_run(&s->loop, UV_RUN_DEFAULT);
	drops_done(&s->drops);
	conns_leave(&s->conns);
	core_done(&s->core);
	uv_run(&s->loop, UV_RUN_DEFAULT); /* sockets are on their way to be closed */
	conns_done(&s->conns);
	uv_loop_close(&s->loop);
	exporter_done(&s->exporter);
	lanes_done(&s->lanes);
	close_fdp(&s->core.umem_guard.fd);
	close_fdp(&s->core.prober.fd);
	pool_close(s->pool);
	gate_stop(s->gate);
	if (!err)
		err = s->failed;
	server_free(s);
	return err;
}
