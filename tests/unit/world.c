// SPDX-License-Identifier: Apache-2.0
#include "world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "store.h"
#include "sweep.h"

struct audited audited;
void (*world_outside)(bool outside);

static const struct limits limits = {
	.workers_per_netns = 2,
	.watchers_per_netns = 4,
	.ring_bytes_per_lease = 64 << 20,
	.connections = 16,
	.connections_per_netns = 4,
	.calls_in_flight = 4,
	.calls_per_netns = 8,
	.calls_per_second = 1000,
	.queued_bytes = 65536,
	.sockets_per_lease = 64,
	.umem_bytes_per_lease = 64 * 1024 * 1024,
	.transient_grace = 60,
};

/* What a test stands on must not fail: there is nothing to be learnt from going on. */
static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "world: %s\n", what);
	abort();
}

/* ---- the log ---- */

void __wrap_log_fields(enum log_level level, const char *message, const struct log_field *fields,
		       size_t n)
{
	char *const out[] = { audited.call, audited.result, audited.subject,
			      audited.peer, audited.reason, audited.again };
	const size_t size[] = { sizeof(audited.call),    sizeof(audited.result),
				sizeof(audited.subject), sizeof(audited.peer),
				sizeof(audited.reason),  sizeof(audited.again) };
	const char *const keys[] = { "call", "result", "subject", "peer", "reason", "again" };

	(void)level;
	if (strcmp(message, "audit") != 0)
		return;
	audited.n++;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		out[i][0] = '\0';
		for (size_t j = 0; j < n; j++) {
			if (!strcmp(fields[j].key, keys[i]) && fields[j].value)
				snprintf(out[i], size[i], "%s", fields[j].value);
		}
	}
}

void __wrap_log_line(enum log_level level, const char *fmt, ...)
{
	char line[1024];
	va_list args;

	(void)level;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args); /* so that a sanitizer sees what is formatted */
	va_end(args);
}

/* ---- the edge's part ---- */

/*
 * An event may find that its watcher is gone; but nobody may change the core while that tells it.
 */
static void deliver(void *arg, const struct watcher *to, const Xskd__Event *event)
{
	struct world *w = arg;
	struct told *t = &w->told[w->n_told < EVENTS_MAX ? w->n_told++ : EVENTS_MAX - 1];
	uint64_t conn = to->conn;

	must(*event->message && event->container && *event->interface, "an event tells too little");
	t->conn = conn;
	t->kind = event->kind;
	t->lease = event->lease;
	t->sock = event->socket;
	t->queue = event->queue;
	snprintf(t->container, sizeof(t->container), "%s", event->container);
	snprintf(t->interface, sizeof(t->interface), "%s", event->interface);
	snprintf(t->message, sizeof(t->message), "%s", event->message);
	if (conn == w->broken)
		w->gone = conn;
}

static void reap(void *arg, struct fdset *fds, const struct peer *from)
{
	(void)arg;
	(void)from;
	fdset_done(fds);
}

static void unmap(void *arg, void *area, size_t size)
{
	(void)arg;
	(void)size;
	fake_unmap(area);
}

static void look(void *arg)
{
	(void)arg; /* tests call world_sweep() */
}

static bool hear(void *arg)
{
	(void)arg;
	return true;
}

static bool connected(void *arg, uint64_t cookie)
{
	(void)arg;
	(void)cookie;
	return false;
}

static void forget(void *arg, uint64_t sock, uint64_t umem)
{
	struct world *w = arg;

	(void)umem; /* there is nobody to be told */
	if (sock)
		(void)!store_forget(&w->core, sock);
}

static void unfile(void *arg, const char *name)
{
	struct world *w = arg;

	(void)!state_remove(&w->core.state, STATE_LEASES, name);
}

static bool unfiling(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return false;
}

struct peer world_peer(struct world *w, int netns, bool admin)
{
	return (struct peer){
		.admin = admin,
		.pid = 4711,
		.uid = admin ? 0 : 65534,
		.cookie = fake_netns_cookie(netns),
		.conn = ++w->last_conn,
		.sock = netns, /* see fake_kernel.h */
	};
}

void world_close_gone(struct world *w)
{
	if (!w->gone)
		return;
	watch_drop(&w->core, w->gone);
	sock_drop_pending(&w->core, w->gone);
	w->gone = w->broken = 0;
}

void world_hang_up(struct world *w, const struct peer *peer)
{
	watch_drop(&w->core, peer->conn);
	sock_drop_pending(&w->core, peer->conn);
}

/* ---- beginning and end ---- */

static void start_core(struct world *w)
{
	struct state state = STATE_INIT;
	struct fault fault = FAULT_INIT;

	must(state_open(&state, w->run_dir, &fault) == 0, "cannot open the state directory");
	core_init(&w->core, "/nowhere", &limits, &state, w->audit);
	w->core.deliver = deliver;
	w->core.reap = reap;
	w->core.unmap = unmap;
	w->core.look = look;
	w->core.refill = look;
	w->core.hear = hear;
	w->core.connected = connected;
	w->core.forget = forget;
	w->core.unfile = unfile;
	w->core.unfiling = unfiling;
	w->core.arg = w;
	w->core.features = (struct xsk_features){ .full_handoff = true,
						  .bind_to_device = true,
						  .multi_buffer = true };
	w->core.cookie = fake_netns_cookie(fake_netns_home());
	w->core.inode = fake_netns_inode(fake_netns_home());
}

void world_init(struct world *w)
{
	const char *tmp = getenv("TMPDIR");

	memset(w, 0, sizeof(*w));
	memset(&audited, 0, sizeof(audited));
	fake_kernel_init();
	w->pod_a = fake_netns_new();
	w->pod_b = fake_netns_new();
	w->host0 = fake_device_add(fake_netns_home(), "host0", 8);
	w->host1 = fake_device_add(fake_netns_home(), "host1", 1);
	w->eth_a = fake_device_add(w->pod_a, "eth0", 4);
	w->eth_b = fake_device_add(w->pod_b, "eth0", 2);
	snprintf(w->run_dir, sizeof(w->run_dir), "%.40s/xskd-test-XXXXXX", tmp ? tmp : "/tmp");
	must(mkdtemp(w->run_dir), "cannot make a directory");
	w->audit = audit_new();
	must(w->audit, "no memory");
	start_core(w);
	w->admin = world_peer(w, fake_netns_home(), true);
	w->a = world_peer(w, w->pod_a, false);
	w->b = world_peer(w, w->pod_b, false);
}

int world_try_restart(struct world *w, struct fault *fault)
{
	core_done(&w->core);
	if (world_outside)
		world_outside(true);
	start_core(w);
	if (world_outside)
		world_outside(false);
	return core_restore(&w->core, fault);
}

void world_restart(struct world *w)
{
	struct fault fault = FAULT_INIT;

	must(world_try_restart(w, &fault) == 0, "cannot restore");
}

static void remove_tree(const char *path)
{
	char inner[512];
	DIR *dir = opendir(path);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(inner, sizeof(inner), "%.200s/%s", path, e->d_name);
		if (unlink(inner) < 0)
			remove_tree(inner);
	}
	if (dir)
		closedir(dir);
	(void)rmdir(path); /* what is left shows in the temporary directory */
}

void world_done(struct world *w)
{
	core_done(&w->core);
	audit_free(w->audit);
	fake_kernel_done();
	remove_tree(w->run_dir);
}

/* ---- calls ---- */

int answer_code(const struct answer *a)
{
	if (a->refused || !a->m)
		return -1;
	return a->m->status ? (int)a->m->status->code : XSKD__CODE__OK;
}

const char *answer_text(const struct answer *a)
{
	return a->m && a->m->status ? a->m->status->message : "";
}

void answer_done(struct answer *a)
{
	fdset_done(&a->fds);
	if (a->m)
		xskd__reply__free_unpacked(a->m, NULL);
	a->m = NULL;
}

struct call *begin_bytes(struct world *w, const struct peer *peer, const uint8_t *buf, size_t len,
			 struct fdset *fds, int *out_err)
{
	struct call *call;
	int err = call_new(&w->core, peer, buf, len, fds, &call);

	*out_err = err;
	if (err < 0)
		return NULL;
	(void)!call_admit(call); /* call_run() will say so */
	return call;
}

static struct call *begin_request(struct world *w, const struct peer *peer, Xskd__Request *request,
				  const int *fds, size_t n, int *out_err)
{
	static uint8_t buf[PACKET_MAX];
	struct fdset set = FDSET_INIT;

	must(xskd__request__get_packed_size(request) <= sizeof(buf), "the request is too large");
	for (size_t i = 0; i < n; i++)
		must(fdset_add(&set, dup(fds[i])) > 0, "too many fds");
	return begin_bytes(w, peer, buf, xskd__request__pack(request, buf), &set, out_err);
}

static void fill(Xskd__Request *request, Xskd__Request__CallCase which, void *message)
{
	xskd__request__init(request);
	request->id = 1;
	request->call_case = which;
	request->get_info = message; /* a union of pointers */
}

struct call *begin(struct world *w, const struct peer *peer, Xskd__Request__CallCase which,
		   void *message, const int *fds, size_t n)
{
	Xskd__Request request;
	struct call *call;
	int err;

	fill(&request, which, message);
	call = begin_request(w, peer, &request, fds, n, &err);
	must(call, "a request was refused");
	return call;
}

bool go(struct call *call, bool work)
{
	enum call_state state = call_run(call);

	if (state == CALL_PAUSE)
		call_resume(call);
	else if (state == CALL_WORK && work)
		call_work(call);
	return state == CALL_ENDED;
}

struct answer finish(struct call *call, bool delivered)
{
	struct world *w = call->core->arg;
	struct answer a;

	while (!go(call, true))
		;
	a = settle(call, delivered);
	world_close_gone(w);
	return a;
}

struct answer settle(struct call *call, bool delivered)
{
	static uint8_t buf[PACKET_MAX];
	struct answer a = { .refused = 0 };
	size_t len = call_reply(call, buf);

	must(len <= PACKET_MAX, "a reply is longer than a packet");
	if (delivered) {
		if (world_outside)
			world_outside(true);
		a.m = xskd__reply__unpack(NULL, len, buf);
		must(a.m, "a reply does not decode");
		if (world_outside)
			world_outside(false);
		if (!call->failed && call->lent >= 0)
			must(fdset_add(&a.fds, dup(call->lent)) == 1, "cannot lend");
		else if (!call->failed)
			fdset_move(&a.fds, &call->out);
	}
	call_note(call);
	if (call_must_undo(call, delivered))
		call_undo(call);
	call_free(call);
	return a;
}

struct answer ask_request(struct world *w, const struct peer *peer, Xskd__Request *request,
			  const int *fds, size_t n)
{
	int err;
	struct call *call = begin_request(w, peer, request, fds, n, &err);

	return call ? finish(call, true) : (struct answer){ .refused = err };
}

struct answer ask(struct world *w, const struct peer *peer, Xskd__Request__CallCase which,
		  void *message, const int *fds, size_t n)
{
	Xskd__Request request;

	fill(&request, which, message);
	return ask_request(w, peer, &request, fds, n);
}

/* ---- what tests need most ---- */

static void must_be_ok(const struct answer *a)
{
	if (answer_code(a) != XSKD__CODE__OK)
		must(false, answer_text(a));
}

static uint32_t load(struct world *w, int netns, const char *interface, bool transient)
{
	bool home = netns == fake_netns_home();
	Xskd__LoadProgramRequest m;
	struct answer a;
	uint32_t id;

	xskd__load_program_request__init(&m);
	m.interface = str(interface);
	m.netns_fd = home ? 0 : 1;
	m.transient = transient;
	a = ask(w, &w->admin, XSKD__REQUEST__CALL_LOAD_PROGRAM, &m, &netns, home ? 0 : 1);
	must_be_ok(&a);
	id = a.m->load_program->program->id;
	answer_done(&a);
	return id;
}

uint32_t world_load(struct world *w, int netns, const char *interface)
{
	return load(w, netns, interface, false);
}

uint32_t world_load_transient(struct world *w, int netns, const char *interface)
{
	return load(w, netns, interface, true);
}

uint64_t world_grant(struct world *w, int netns, const char *container, const char *interface,
		     const char *device, const uint32_t *queues, size_t n)
{
	Xskd__GrantLeaseRequest m;
	struct answer a;
	uint64_t id;

	xskd__grant_lease_request__init(&m);
	m.container = str(container);
	m.interface = str(interface);
	m.device = str(device ? device : "");
	m.queues = (uint32_t *)(uintptr_t)queues;
	m.n_queues = n;
	m.netns_fd = 1;
	a = ask(w, &w->admin, XSKD__REQUEST__CALL_GRANT_LEASE, &m, &netns, 1);
	must_be_ok(&a);
	id = a.m->grant_lease->lease->id;
	answer_done(&a);
	return id;
}

void world_pods(struct world *w)
{
	world_load(w, w->pod_a, "eth0");
	world_load(w, fake_netns_home(), "host0");
	world_grant(w, w->pod_a, "a", "eth0", NULL, NULL, 0);
	world_grant(w, w->pod_b, "b", "net1", "host0", (const uint32_t[]){ 2, 3 }, 2);
}

int world_umem(uint64_t size)
{
	int fd = memfd_create("umem", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	must(fd >= 0 && ftruncate(fd, (off_t)size) == 0 &&
		     fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0,
	     "cannot make a UMEM");
	return fd;
}

struct answer world_handoff(struct world *w, const struct peer *peer, const uint32_t *queues,
			    size_t n, bool keep)
{
	cleanup(close_fdp) int umem = world_umem(16 * 2048);
	Xskd__HandOffSocketRequest m;

	xskd__hand_off_socket_request__init(&m);
	m.interface = str(peer->cookie == w->b.cookie ? "net1" : "eth0");
	m.queues = (uint32_t *)(uintptr_t)queues;
	m.n_queues = n;
	m.umem_fd = 1;
	m.keep = keep;
	return ask(w, peer, XSKD__REQUEST__CALL_HAND_OFF_SOCKET, &m, &umem, 1);
}

void world_sweep(struct world *w)
{
	struct sweep *sweep = sweep_new(&w->core, SWEEP_ALL);

	if (!sweep)
		return;
	sweep_look(sweep);
	sweep_note(&w->core, sweep);
	sweep_free(sweep);
}

/* ---- printing ---- */

/* Inodes are others in each world. */
static const char *place(const struct world *w, ino_t inode)
{
	return inode == w->core.inode                ? "host"
	       : inode == fake_netns_inode(w->pod_a) ? "pod a"
	       : inode == fake_netns_inode(w->pod_b) ? "pod b"
						     : "nowhere";
}

static void print_program(FILE *out, const struct world *w, const struct program *p)
{
	fprintf(out,
		"program '%s' on '%s' of %s, ifindex %u, mode %d, custom %d, given %d, served %lu, "
		"transient %d, leases %u%s%s\n",
		p->m->name, p->m->interface, place(w, p->inode), p->m->ifindex, (int)p->m->mode,
		p->m->custom, p->m->map_given, p->served, p->m->transient, p->m->leases,
		p->leaving ? ", leaving" : "", p->holds ? ", held" : "");
}

static void print_lease(FILE *out, const struct world *w, const struct lease *l)
{
	fprintf(out, "lease of '%s' on '%s' (%s of %s): mode %d, all %d, program %d, up %d, queues",
		l->m->container, l->m->interface, l->m->device, place(w, l->device_inode),
		(int)l->m->mode, l->m->all_queues, program_find(&w->core, l->m->program_id) != NULL,
		l->m->link_up);
	for (size_t i = 0; i < l->m->n_queues; i++)
		fprintf(out, " %u", l->m->queues[i]);
	fprintf(out, "; %u sockets, %lu bytes\n", l->m->sockets, l->m->umem_bytes);
}

static void print_sock(FILE *out, const struct world *w, const struct sock *s)
{
	const struct lease *l = lease_find(&w->core, s->lease);

	fprintf(out,
		"socket of '%s' at queue %u: state %d, kept %d, fd %d, memfd %d, %lu bytes%s\n",
		l ? l->m->container : "nobody", s->m->queue, (int)s->m->state, s->m->kept,
		s->fd >= 0, s->memfd >= 0, s->m->umem_bytes, s->group == s->m->id ? ", first" : "");
}

static int no_dots(const struct dirent *e)
{
	return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

static void print_files(FILE *out, const struct world *w, const char *kind)
{
	struct dirent **names;
	char path[128];
	int n;

	snprintf(path, sizeof(path), "%s/state/%s", w->run_dir, kind);
	n = scandir(path, &names, no_dots, alphasort);
	for (int i = 0; i < n; i++) { /* those of programs have numbers for names */
		fprintf(out, "file %s/%s\n", kind, *kind == 'p' ? "*" : names[i]->d_name);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

char *world_print(struct world *w)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	must(out, "no memory");
	for (size_t i = 0; i < w->core.programs.n; i++)
		print_program(out, w, w->core.programs.at[i]);
	for (size_t i = 0; i < w->core.leases.n; i++)
		print_lease(out, w, w->core.leases.at[i]);
	fprintf(out, "%zu leases by namespace\n", w->core.leases_by_netns.n);
	for (size_t i = 0; i < w->core.socks.n; i++)
		print_sock(out, w, w->core.socks.at[i]);
	for (size_t i = 0; i < w->core.n_watchers; i++)
		fprintf(out, "connection %lu watches\n", w->core.watchers[i].conn);
	print_files(out, w, "programs");
	print_files(out, w, "leases");
	fake_kernel_print(out);
	fclose(out);
	return text;
}
