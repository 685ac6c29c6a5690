// SPDX-License-Identifier: Apache-2.0
/*
 * The ledger of sockets that were handed out: see core.h. It says who asked for what and since
 * when. The kernel does not tell when a socket's last holder closes it; that is found out by
 * looking whether it is still in its map (xsk_held()): once a second, and at once when the process
 * or the connection has ended that it went to.
 */
#include <errno.h>
#include <string.h>

#include "keys.h"
#include "log.h"
#include "store.h"

struct sock *sock_find(const struct core *core, uint64_t id)
{
	return index_find(&core->socks, &id);
}

struct sock *sock_at(const struct core *core, uint32_t program, uint32_t queue)
{
	const struct index *ix = &core->socks_by_place;
	size_t i = index_after(
		ix, &(struct sock_key){ .program = program, .queue = queue, .id = UINT64_MAX });
	struct sock *s = i ? ix->at[i - 1] : NULL;

	return s && s->m->program_id == program && s->m->queue == queue ? s : NULL;
}

static struct sock *next(const struct index *ix, const struct sock_key *after)
{
	size_t i = index_after(ix, after);

	return i < ix->n ? ix->at[i] : NULL;
}

struct sock *sock_next_of_lease(const struct core *core, uint64_t lease, const struct sock *after)
{
	struct sock *s = next(&core->socks_by_lease,
			      &(struct sock_key){ .lease = lease, .id = after ? after->m->id : 0 });

	return s && s->lease == lease ? s : NULL;
}

struct sock *sock_next_of_group(const struct core *core, uint64_t lease, uint64_t group,
				const struct sock *after)
{
	struct sock *s =
		next(&core->socks_by_lease,
		     &(struct sock_key){ .lease = lease, .id = after ? after->m->id : group - 1 });

	return s && s->lease == lease && s->group == group ? s : NULL;
}

struct sock *sock_next_of_program(const struct core *core, uint32_t program,
				  const struct sock *after)
{
	struct sock *s = next(&core->socks_by_place,
			      &(struct sock_key){ .program = program,
						  .queue = after ? after->m->queue : 0,
						  .id = after ? after->m->id : 0 });

	return s && s->m->program_id == program ? s : NULL;
}

static struct sock *next_of_conn(const struct core *core, uint64_t conn, const struct sock *after)
{
	struct sock *s = next(&core->socks_by_conn,
			      &(struct sock_key){ .conn = conn, .id = after ? after->m->id : 0 });

	return s && s->conn == conn ? s : NULL;
}

static time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* The close of a bound socket blocks for a grace period: never on this thread. */
static void reap(struct core *core, struct sock *s)
{
	struct fdset fds = FDSET_INIT;

	if (s->fd >= 0)
		(void)!fdset_add(&fds, steal_fd(&s->fd));
	if (s->memfd >= 0)
		(void)!fdset_add(&fds, steal_fd(&s->memfd));
	if (fds.n)
		core->reap(core->arg, &fds, NULL);
}

static void sock_free(struct core *core, struct sock *s)
{
	if (s->stored)
		store_drop(core, s->m->id, s->memfd >= 0 ? s->group : 0);
	reap(core, s);
	holder_put(&core->holders, s->holder);
	xskd__socket__free_unpacked(s->m, NULL);
	free(s);
}

struct sock *sock_add(struct core *core, Xskd__Socket *m, uint64_t lease, int fd, int memfd)
{
	struct lease *l = lease_find(core, lease);
	struct sock *s = calloc(1, sizeof(*s));

	if (!s) {
		close_fdp(&memfd);
		close_fdp(&fd);
		xskd__socket__free_unpacked(m, NULL);
		return NULL;
	}
	if (!m->id)
		m->id = ++core->last_id;
	s->m = m;
	s->lease = lease;
	s->group = m->id;
	s->fd = fd;
	s->memfd = memfd;
	s->waits = m->kept ? seconds() : 0; /* until sock_hold() */
	if (index_reserve(&core->socks, 1) < 0 || keys_add_sock(core, s) < 0) {
		sock_free(core, s);
		return NULL;
	}
	(void)!index_add(&core->socks, &m->id, s); /* there is room */
	core->umem_bytes += m->umem_bytes;
	if (l) {
		l->m->sockets++;
		l->m->umem_bytes += m->umem_bytes;
	}
	return s;
}

/* The UMEM lives as long as one of its sockets does: another one takes it over. */
static void pass_umem_on(struct core *core, struct sock *s)
{
	struct sock *other = NULL;

	while ((other = sock_next_of_group(core, s->lease, s->group, other))) {
		if (other == s)
			continue;
		if (s->memfd >= 0)
			other->memfd = steal_fd(&s->memfd);
		other->m->umem_bytes += s->m->umem_bytes;
		s->m->umem_bytes = 0;
		return;
	}
}

void sock_drop(struct core *core, struct sock *s, Xskd__EventKind kind, const char *why)
{
	struct lease *l = lease_find(core, s->lease);
	uint64_t id = s->m->id;

	pass_umem_on(core, s);
	if (l) {
		l->m->sockets--;
		l->m->umem_bytes -= s->m->umem_bytes;
		if (kind)
			watch_tell(core, kind, l, s, why);
	}
	core->umem_bytes -= s->m->umem_bytes;
	keys_remove_sock(core, s);
	index_remove(&core->socks, &id);
	sock_free(core, s);
}

void sock_drop_pending(struct core *core, uint64_t conn)
{
	time_t now = seconds();

	if (core->features.full_handoff)
		return; /* it has no second phase to wait for */
	for (size_t i = core->socks.n; i-- && !conn;) {
		struct sock *s = core->socks.at[i];

		if (s->m->state == XSKD__SOCKET_STATE__SOCKET_AWAITS_BIND && s->deadline < now)
			sock_drop(core, s, XSKD__EVENT_KIND__EVENT_UNKNOWN, NULL);
	}
	for (struct sock *s = conn ? next_of_conn(core, conn, NULL) : NULL, *behind; s;
	     s = behind) {
		behind = next_of_conn(core, conn, s);
		if (s->m->state == XSKD__SOCKET_STATE__SOCKET_AWAITS_BIND)
			sock_drop(core, s, XSKD__EVENT_KIND__EVENT_UNKNOWN, NULL);
	}
}

/* ---- who holds it ---- */

void sock_hold(struct core *core, struct sock *s, int sock, pid_t pid, uint64_t conn)
{
	holder_put(&core->holders, s->holder);
	s->holder = holder_get(&core->holders, sock, pid, conn);
	keys_remove_sock(core, s);
	s->conn = conn;
	(void)!keys_add_sock(core, s); /* it has its places yet */
	s->m->pid = pid;
	s->waits = s->m->kept && !s->holder ? seconds() : 0;
}

/* Return: whether it is to be looked at. */
static bool doubt(struct sock *s)
{
	/* Our copy keeps its place in the map: there is nothing to be seen. */
	if (s->m->kept && !s->holder)
		s->waits = seconds();
	s->doubt = s->fd < 0 ? 1 : s->doubt;
	return s->fd < 0;
}

void sock_doubt(struct core *core, struct holder *holder, uint64_t conn)
{
	uint32_t left = holder ? holder->socks : 0; /* it goes with the last of them */
	struct sock *s = NULL;
	bool any = false;

	while (!holder && (s = next_of_conn(core, conn, s)))
		any |= doubt(s);
	for (size_t i = 0; i < core->socks.n && left; i++) {
		s = core->socks.at[i];
		if (s->holder != holder)
			continue;
		s->holder = NULL;
		holder_put(&core->holders, holder);
		left--;
		any |= doubt(s);
	}
	if (any)
		core->look(core->arg);
}

/* From now on it is a socket like others: whoever may still have it goes on receiving. */
static void forget(struct core *core, struct sock *s)
{
	log_info(
		"socket of queue %u of '%s' is kept no longer: no process of '%s' has asked for it "
		"in %u seconds",
		s->m->queue, s->m->interface, s->m->container, core->limits.kept_seconds);
	s->m->kept = false;
	s->waits = 0;
	s->doubt = 1;
	reap(core, s);
}

/*
 * In device mode a kept socket keeps the pod's namespace alive, and with it the lease. So this is
 * what ends them both, where a pod has ended without a CNI DEL.
 */
void sock_forget_waiting(struct core *core)
{
	time_t now = seconds();
	uint64_t asked = 0; /* about which pod, last: its sockets come together */
	bool any = false, there = false;

	for (size_t i = 0; i < core->socks_by_lease.n; i++) {
		struct sock *s = core->socks_by_lease.at[i];
		const struct lease *l = lease_find(core, s->lease);

		if (!s->waits || now - s->waits < (time_t)core->limits.kept_seconds)
			continue;
		if (l && l->m->netns_cookie != asked) {
			asked = l->m->netns_cookie;
			there = core->connected(core->arg, asked);
		}
		if (l && there) {
			s->waits = now;
			continue;
		}
		forget(core, s);
		any = true;
	}
	if (any)
		core->look(core->arg);
}

void sock_drop_stale(struct core *core, uint32_t program, uint32_t queue, uint64_t group)
{
	const struct sock_key key = { .program = program, .queue = queue };

	for (struct sock *s = next(&core->socks_by_place, &key), *behind;
	     s && s->m->program_id == program && s->m->queue == queue; s = behind) {
		behind = sock_next_of_program(core, program, s);
		if (s->group != group)
			sock_drop(core, s, XSKD__EVENT_KIND__EVENT_SOCKET_RELEASED,
				  "closed by its holder");
	}
}

void sock_drop_all(struct core *core, uint64_t lease, uint32_t program, Xskd__EventKind kind,
		   const char *why)
{
	struct sock *s;

	while ((s = lease ? sock_next_of_lease(core, lease, NULL)
			  : sock_next_of_program(core, program, NULL)))
		sock_drop(core, s, kind, why);
}

static const struct claim *claim_at(const struct core *core, uint32_t program, uint32_t queue)
{
	for (size_t i = 0; i < core->n_claims; i++) {
		if (core->claims[i].program == program && core->claims[i].queue == queue)
			return &core->claims[i];
	}
	return NULL;
}

bool sock_claimed(const struct core *core, uint32_t program)
{
	for (size_t i = 0; i < core->n_claims; i++) {
		if (core->claims[i].program == program)
			return true;
	}
	return false;
}

int sock_claim(struct core *core, const void *owner, uint32_t program, const uint32_t *queues,
	       size_t n)
{
	struct claim *all;

	for (size_t i = 0; i < n; i++) {
		if (claim_at(core, program, queues[i]))
			return -EBUSY;
	}
	all = reallocarray(core->claims, core->n_claims + n, sizeof(*all));
	if (!all)
		return -ENOMEM;
	core->claims = all;
	for (size_t i = 0; i < n; i++)
		all[core->n_claims++] = (struct claim){ owner, program, queues[i] };
	return 0;
}

void sock_unclaim(struct core *core, const void *owner)
{
	size_t kept = 0;

	for (size_t i = 0; i < core->n_claims; i++) {
		if (core->claims[i].owner != owner)
			core->claims[kept++] = core->claims[i];
	}
	core->n_claims = kept;
}
