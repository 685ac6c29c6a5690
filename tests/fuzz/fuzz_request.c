// SPDX-License-Identifier: Apache-2.0
/*
 * The whole request path, from bytes and fds to replies and fds, with calls under way at once,
 * clients that vanish, devices that go and kernel calls that fail: on the kernel in memory. What
 * must hold whatever is asked is asserted after each record.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "method.h"
#include "mutate.h"
#include "script.h"
#include "world.h"

#define UNDER_WAY_MAX 6
#define GIVEN_MAX     128

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed);

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

#define check(good)                                                                              \
	do {                                                                                     \
		if (!(good)) {                                                                   \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #good); \
			abort();                                                                 \
		}                                                                                \
	} while (0)

/* ---- what must hold ---- */

static size_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static void check_leases(const struct core *core)
{
	check(core->leases.n == core->leases_by_netns.n);
	for (size_t i = 0; i < core->leases.n; i++) {
		const struct lease *l = core->leases.at[i], *by_netns = core->leases_by_netns.at[i];
		uint64_t bytes = 0;
		uint32_t n = 0;

		for (size_t j = 0; j < core->socks.n; j++) {
			const struct sock *s = core->socks.at[j];

			n += s->lease == l->m->id;
			bytes += s->lease == l->m->id ? s->m->umem_bytes : 0;
		}
		check(l->m->sockets == n && l->m->umem_bytes == bytes);
		check(l->m->n_queues && l->m->netns_cookie != core->cookie);
		check(i == 0 || ((const struct lease *)core->leases.at[i - 1])->m->id < l->m->id);
		check(i == 0 || lease_compare(&(struct lease_key){ by_netns->m->netns_cookie,
								   by_netns->m->interface },
					      core->leases_by_netns.at[i - 1]) > 0);
	}
}

/* No queue of a device is leased twice. */
static void check_queues(const struct core *core)
{
	for (size_t i = 0; i < core->leases.n; i++) {
		for (size_t j = 0; j < i; j++) {
			const struct lease *l = core->leases.at[i], *k = core->leases.at[j];

			if (l->m->ifindex != k->m->ifindex ||
			    lease_inode(core, l) != lease_inode(core, k))
				continue;
			for (size_t q = 0; q < l->m->n_queues; q++)
				check(!lease_has_queue(k, l->m->queues[q]));
		}
	}
}

static unsigned int count_memfds(const struct core *core, uint64_t group)
{
	unsigned int n = 0;

	for (size_t i = 0; i < core->socks.n; i++) {
		const struct sock *s = core->socks.at[i];

		n += s->group == group && s->memfd >= 0;
	}
	return n;
}

static void check_socks(const struct core *core)
{
	for (size_t i = 0; i < core->socks.n; i++) {
		const struct sock *s = core->socks.at[i];
		bool pending = s->m->state == XSKD__SOCKET_STATE__SOCKET_AWAITS_BIND;

		check(i == 0 || ((const struct sock *)core->socks.at[i - 1])->m->id < s->m->id);
		check(lease_find(core, s->lease) && program_find(core, s->m->program_id));
		check((s->fd >= 0) == (pending || s->m->kept));
		check(!s->m->kept || count_memfds(core, s->group) == 1);
		check(s->memfd < 0 || s->m->kept);
	}
}

/* Which leases a program serves is known from both sides; what calls do with it ends with them. */
static void check_programs(const struct core *core)
{
	for (size_t i = 0; i < core->programs.n; i++) {
		const struct program *p = core->programs.at[i];
		uint32_t n = 0;

		for (size_t j = 0; j < core->leases.n; j++)
			n += ((const struct lease *)core->leases.at[j])->m->program_id == p->m->id;
		check(p->m->leases == n);
		check(!p->leaving || !p->holds);
		check(n_under_way || (!p->leaving && !p->holds));
		check(i == 0 ||
		      ((const struct program *)core->programs.at[i - 1])->m->id < p->m->id);
	}
	for (size_t i = 0; i < core->leases.n; i++) {
		const struct lease *l = core->leases.at[i];

		check(!l->m->program_id || program_find(core, l->m->program_id));
	}
}

static void check_core(void)
{
	check_leases(&w.core);
	check_queues(&w.core);
	check_socks(&w.core);
	check_programs(&w.core);
}

static void check_sockets_are_own(const struct peer *peer, const Xskd__HandOffSocketReply *r)
{
	check(r->n_sockets);
	for (size_t i = 0; i < r->n_sockets; i++) {
		const struct sock *s = sock_find(&w.core, r->sockets[i]->id);
		const struct lease *l = s ? lease_find(&w.core, s->lease) : NULL;

		check(r->sockets[i]->socket_fd == i + 1 && l);
		check(lease_has_queue(l, r->sockets[i]->queue));
		check(peer->admin || l->m->netns_cookie == peer->cookie);
	}
}

static void check_map_is_own(const struct peer *peer, const Xskd__GetXskMapReply *r)
{
	const struct program *p = program_find(&w.core, r->program_id);
	bool own = peer->admin;

	check(p && r->map_fd == 1);
	for (size_t i = 0; i < w.core.leases.n && !own; i++) {
		const struct lease *l = w.core.leases.at[i];

		own = l->m->netns_cookie == peer->cookie && l->m->all_queues &&
		      l->m->mode == XSKD__LEASE_MODE__LEASE_MODE_DEVICE;
	}
	check(own && (peer->admin || p->served == peer->cookie));
}

static unsigned int fds_promised(const Xskd__Reply *m)
{
	switch (m->result_case) {
	case XSKD__REPLY__RESULT_HAND_OFF_SOCKET:
		return (unsigned int)m->hand_off_socket->n_sockets +
		       (m->hand_off_socket->umem_fd > 0);
	case XSKD__REPLY__RESULT_GET_XSK_MAP:
		return 1;
	default:
		return 0;
	}
}

static void check_answer(const struct peer *peer, const struct answer *a)
{
	const Xskd__Reply *m = a->m;

	check(fdset_left(&a->fds) == fds_promised(m));
	if (m->status) {
		check(m->status->code != XSKD__CODE__OK && *m->status->message);
		check(m->result_case == XSKD__REPLY__RESULT__NOT_SET);
		return;
	}
	check(m->result_case != XSKD__REPLY__RESULT__NOT_SET);
	if (m->result_case == XSKD__REPLY__RESULT_HAND_OFF_SOCKET)
		check_sockets_are_own(peer, m->hand_off_socket);
	if (m->result_case == XSKD__REPLY__RESULT_GET_XSK_MAP)
		check_map_is_own(peer, m->get_xsk_map);
	if (m->result_case == XSKD__REPLY__RESULT_LIST_LEASES && !peer->admin) {
		for (size_t i = 0; i < m->list_leases->n_leases; i++)
			check(m->list_leases->leases[i]->netns_cookie == peer->cookie);
	}
	if (m->result_case == XSKD__REPLY__RESULT_LIST_SOCKETS && !peer->admin) {
		for (size_t i = 0; i < m->list_sockets->n_sockets; i++) {
			const struct sock *s = sock_find(&w.core, m->list_sockets->sockets[i]->id);

			check(s && lease_find(&w.core, s->lease)->m->netns_cookie == peer->cookie);
		}
	}
}

/*
 * What grants or denies leaves a line that says what and why; equal ones are only counted at first.
 */
static void check_audit(const struct method *method, unsigned int before, const struct answer *a)
{
	bool said = audited.n != before;

	check(!said || (*audited.call && *audited.result));
	check(!said || method);
	if (said && a->m && a->m->status && !strcmp(audited.call, method->name))
		check(!strcmp(audited.result, "denied") || !*audited.reason);
}

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
		check_answer(&u->peer, &a);
		take(&a.fds);
	}
	check_audit(method, before, &a);
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
			core_netns_gone(&w.core, nsid);
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
	check_core();
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
	size_t before = count_fds();
	struct record r;

	if (!size)
		return 0;
	set_up(*data++);
	size--;
	while (script_next(&data, &size, &r))
		run_record(&r);
	run_all();
	check_core();
	while (n_given)
		close(given[--n_given]);
	world_done(&w);
	check(count_fds() == before);
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
