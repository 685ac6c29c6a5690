// SPDX-License-Identifier: Apache-2.0
/*
 * The whole request path, from bytes and fds to replies and fds, with calls under way at once,
 * clients that vanish, devices that go and kernel calls that fail: on the kernel in memory. What
 * must hold whatever is asked is asserted after each record.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "holds.h"
#include "mutate.h"
#include "script.h"
#include "world.h"

#define UNDER_WAY_MAX 6
#define GIVEN_MAX     128

/* A call that is held between its steps. */
struct under_way {
	struct call *call;
	struct peer peer;
	bool work; /* its next step is a worker's */
};

static struct world w;
static struct peer peers[SCRIPT_PEERS];
static struct under_way under_way[UNDER_WAY_MAX];
static size_t n_under_way;
static int given[GIVEN_MAX]; /* fds that clients hold */
static size_t n_given;
static int umem, large_umem, object, bad_object, plain;

/* ---- running a script ---- */

static int fd_of_kind(unsigned int kind, bool other)
{
	const int kinds[] = { umem, w.pod_a, w.pod_b, object };
	const int others[] = { large_umem, fake_netns_home(), plain, bad_object };

	return dup((other ? others : kinds)[kind & 3]);
}

static void take(struct fdset *fds)
{
	for (uint32_t i = 1; i <= fds->n; i++) {
		int fd = fdset_take(fds, i);

		if (fd >= 0 && n_given < GIVEN_MAX)
			given[n_given++] = fd;
		else
			close_fdp(&fd);
	}
}

static void answer_call(struct under_way *u, bool delivered)
{
	const struct method *method = u->call->method;
	unsigned int before = audited.n;
	uint64_t id = u->call->req->id;
	struct answer a = settle(u->call, delivered);

	if (a.m) {
		check(a.m->id == id);
		holds_answer(&w, &u->peer, &a);
		take(&a.fds);
	}
	holds_audit(method, before, &a);
	answer_done(&a);
}

static struct call *take_in(const struct record *r)
{
	struct fdset fds = FDSET_INIT;
	int err;

	for (unsigned int i = 0; i < (r->n_fds & 7U); i++)
		check(fdset_add(&fds,
				fd_of_kind((unsigned int)r->kinds >> (i % 4 * 2), r->n_fds & 8)));
	return begin_bytes(&w, &peers[r->peer], r->payload, r->len, &fds, &err);
}

/* Calls of a lane run one after another: whether one that came before is still under way. */
static bool must_wait(size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (*under_way[i].call->lane &&
		    !strcmp(under_way[i].call->lane, under_way[j].call->lane))
			return true;
	}
	return false;
}

static void remove_call(size_t i)
{
	memmove(&under_way[i], &under_way[i + 1], (--n_under_way - i) * sizeof(*under_way));
}

/* A loop step and the worker step behind it are two, so that others can come between. */
static void step(size_t i, bool delivered)
{
	struct under_way *u = &under_way[i];
	enum call_state state;

	if (must_wait(i))
		return;
	if (u->work) {
		call_work(u->call);
		u->work = false;
		return;
	}
	state = call_run(u->call);
	if (state == CALL_WORK) {
		u->work = true;
	} else if (state == CALL_PAUSE) {
		call_resume(u->call);
	} else {
		struct under_way ended = *u;

		remove_call(i);
		answer_call(&ended, delivered);
	}
}

static void run_all(void)
{
	while (n_under_way)
		step(0, true);
}

static void ask_one(const struct record *r)
{
	struct under_way u;

	run_all(); /* what is under way may be in the same lane, and comes first */
	u = (struct under_way){ .call = take_in(r), .peer = peers[r->peer] };
	if (!u.call)
		return;
	while (!go(u.call, true))
		;
	answer_call(&u, r->arg % 16 != 15);
}

static void begin_one(const struct record *r)
{
	struct call *call;

	if (n_under_way == UNDER_WAY_MAX)
		step(0, true);
	if (n_under_way == UNDER_WAY_MAX)
		return;
	call = take_in(r);
	if (!call)
		return;
	under_way[n_under_way++] = (struct under_way){ .call = call, .peer = peers[r->peer] };
	/*
	 * One without a lane waits for nobody: as in lanes_run(), it goes as far as it can at once.
	 */
	if (!*call->lane)
		step(n_under_way - 1, r->arg % 16 != 15);
}

static void harm(uint8_t arg)
{
	struct fake_device *all[] = { w.eth_a, w.eth_b, w.host0, w.host1 };
	struct fake_device *d = all[arg & 3];
	int nsid = -1;

	if ((arg & 3) < 2 && netns_nsid((arg & 3) ? w.pod_b : w.pod_a, &nsid) < 0)
		return;
	switch (arg >> 2 & 3) {
	case 0:
		d->dev.up = arg & 16;
		core_link_changed(&w.core, nsid, &d->dev);
		break;
	case 1:
		fake_device_remove(d);
		core_link_gone(&w.core, nsid, d->dev.ifindex);
		break;
	case 2:
		fake_device_move(d, arg & 16 ? w.pod_a : w.pod_b);
		core_link_gone(&w.core, nsid, d->dev.ifindex);
		break;
	case 3:
		if (nsid >= 0)
			core_netns_gone(&w.core, nsid, UINT64_MAX);
		break;
	}
}

static void expire(void)
{
	for (size_t i = 0; i < w.core.socks.n; i++)
		((struct sock *)w.core.socks.at[i])->deadline = 0;
	for (size_t i = 0; i < w.core.programs.n; i++)
		((struct program *)w.core.programs.at[i])->spared = 0;
	sock_drop_pending(&w.core, 0);
	for (size_t i = 0; i < w.core.socks.n; i++) {
		struct sock *s = w.core.socks.at[i];

		s->waits = s->waits ? 1 : 0;
	}
	sock_forget_waiting(&w.core);
}

static void run_record(const struct record *r)
{
	switch ((enum script_action)r->action) {
	case SCRIPT_ASK:
		ask_one(r);
		break;
	case SCRIPT_BEGIN:
		begin_one(r);
		break;
	case SCRIPT_STEP:
		if (n_under_way)
			step(r->arg % n_under_way, !(r->arg & 128));
		break;
	case SCRIPT_HANG_UP:
		world_hang_up(&w, &peers[r->peer]);
		peers[r->peer].conn = ++w.last_conn;
		break;
	case SCRIPT_BREAK:
		w.broken = peers[r->peer].conn;
		break;
	case SCRIPT_CLOSE:
		if (n_given) {
			size_t i = r->arg % n_given;

			close(given[i]);
			given[i] = given[--n_given];
		}
		break;
	case SCRIPT_DEVICE:
		harm(r->arg);
		break;
	case SCRIPT_EXPIRE:
		expire();
		break;
	case SCRIPT_FAIL:
		fake_kernel_fail(1 + r->arg % 16,
				 (const int[]){ ENOMEM, EIO, EBUSY, ENOENT }[r->arg >> 4 & 3]);
		break;
	case SCRIPT_RESTART:
		run_all();
		fake_kernel_fail(0, 0);
		world_restart(&w);
		break;
	case SCRIPT_ACTIONS:
		break;
	}
	world_close_gone(&w);
	holds_core(&w, n_under_way > 0);
}

static void set_up(uint8_t settings)
{
	world_init(&w);
	if (!(settings & SCRIPT_EMPTY))
		world_pods(&w);
	w.core.features.full_handoff = !(settings & SCRIPT_TWO_PHASES);
	w.core.features.bind_to_device = !(settings & SCRIPT_OLD_BIND);
	w.eth_a->zero_copy = w.host0->zero_copy = settings & SCRIPT_ZERO_COPY;
	if (settings & SCRIPT_TIGHT) {
		w.core.limits.sockets_per_lease = 3;
		w.core.limits.umem_bytes_per_lease = 300 * 1024;
	}
	peers[0] = w.admin;
	peers[1] = w.a;
	peers[2] = w.b;
	peers[3] = world_peer(&w, w.pod_a, false);
	peers[4] = world_peer(&w, w.pod_a, true); /* an administrator inside a pod */
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	(void)setenv("TMPDIR", "/dev/shm", 0); /* a state directory is made for each script */
	umem = world_umem(16 * 4096);
	large_umem = world_umem(256 * 4096);
	object = fake_object(16);
	bad_object = fake_object(0);
	plain = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t before = check_fds();
	struct record r;

	if (!size)
		return 0;
	set_up(*data++);
	size--;
	while (script_next(&data, &size, &r))
		run_record(&r);
	run_all();
	holds_core(&w, n_under_way > 0);
	fake_kernel_fail(0, 0);
	holds_lists(&w);
	while (n_given)
		close(given[--n_given]);
	world_done(&w);
	check(check_fds() == before);
	return 0;
}

/* ---- mutation ---- */

static size_t put_request(uint8_t *at, size_t room, struct record r, Xskd__Request *request)
{
	static uint8_t packed[16384];
	size_t len = xskd__request__get_packed_size(request);

	if (len <= sizeof(packed)) {
		r.len = (uint16_t)xskd__request__pack(request, packed);
		r.payload = packed;
	}
	xskd__request__free_unpacked(request, NULL);
	return script_put(at, room, &r);
}

static size_t put_new(uint8_t *at, size_t room)
{
	struct record r = {
		.action = (uint8_t)(mutate_random(3) ? mutate_random(2)
						     : mutate_random(SCRIPT_ACTIONS)),
		.peer = (uint8_t)mutate_random(SCRIPT_PEERS),
		.n_fds = (uint8_t)(mutate_random(4) + (mutate_random(8) ? 0 : 8)),
		.kinds = (uint8_t)mutate_random(256),
		.arg = (uint8_t)mutate_random(256),
	};

	return r.action <= SCRIPT_BEGIN ? put_request(at, room, r, mutate_new())
					: script_put(at, room, &r);
}

static size_t put_changed(uint8_t *at, size_t room, struct record r)
{
	Xskd__Request *request = r.action <= SCRIPT_BEGIN && mutate_random(4)
					 ? xskd__request__unpack(NULL, r.len, r.payload)
					 : NULL;

	if (request) {
		for (uint32_t i = 1 + mutate_random(3); i; i--)
			mutate_request(request);
		return put_request(at, room, r, request);
	}
	switch (mutate_random(6)) {
	case 0:
		r.action = (uint8_t)mutate_random(SCRIPT_ACTIONS);
		break;
	case 1:
		r.peer = (uint8_t)mutate_random(SCRIPT_PEERS);
		break;
	case 2:
		r.n_fds = (uint8_t)mutate_random(16);
		break;
	case 3:
		r.kinds = (uint8_t)mutate_random(256);
		break;
	case 4:
		r.arg = (uint8_t)mutate_random(256);
		break;
	case 5: {
		static uint8_t bytes[16384];

		if (r.len > sizeof(bytes) / 2)
			break;
		memcpy(bytes, r.payload, r.len);
		r.len = (uint16_t)LLVMFuzzerMutate(bytes, r.len, sizeof(bytes));
		r.payload = bytes;
		break;
	}
	}
	return script_put(at, room, &r);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	static uint8_t out[1 << 20];
	const uint8_t *at = data + 1;
	size_t left = size - 1, n = 0, len = 1, target;
	uint32_t what;
	struct record r;

	mutate_seed(seed);
	if (size < 2 || max > sizeof(out) || mutate_random(50) == 0)
		return LLVMFuzzerMutate(data, size, max);
	while (script_next(&at, &left, &r))
		n++;
	target = mutate_random((uint32_t)n + 1);
	what = mutate_random(8);
	at = data + 1;
	left = size - 1;
	out[0] = mutate_random(20) ? data[0] : (uint8_t)mutate_random(32);
	for (size_t i = 0; script_next(&at, &left, &r); i++) {
		if (i != target) {
			len += script_put(out + len, max - len, &r);
			continue;
		}
		if (what == 0) /* leave it out */
			continue;
		if (what <= 2)
			len += put_new(out + len, max - len);
		if (what == 3) /* twice */
			len += script_put(out + len, max - len, &r);
		len += what > 3 ? put_changed(out + len, max - len, r)
				: script_put(out + len, max - len, &r);
	}
	if (target == n)
		len += put_new(out + len, max - len);
	memcpy(data, out, len);
	return len;
}
