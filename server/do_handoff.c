// SPDX-License-Identifier: Apache-2.0
/*
 * HandOffSocket: the way of a socket to its pod.
 *
 * Full hand-off: check (loop) -> make, bind, insert in the map (worker) -> note, answer (loop).
 * Before Linux 6.4 the rings of a bound socket cannot be mapped, so there the worker stops before
 * the bind, and BindSocket (do_bind.c) does the rest once the client has mapped them. Nothing of
 * the socket stays here after the answer, unless the lease asked to keep it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "handoff.h"
#include "netns.h"

#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif

/* ---- check ---- */

static int check_queues(struct call *call, const struct lease *l, const struct program *p)
{
	struct handoff *job = call->job;
	struct xsk_spec *spec = &job->spec;

	if (!spec->n) {
		spec->queue[0] = l->m->queues[0];
		spec->n = 1;
	}
	for (size_t i = 0; i < spec->n; i++) {
		if (!lease_has_queue(l, spec->queue[i]))
			return call_fail(
				call, PERMISSION_DENIED,
				"queue %u of '%s' is not in this lease, which has %zu queue%s "
				"from %u on (`xskctl lease list`)",
				spec->queue[i], l->m->interface, l->m->n_queues,
				l->m->n_queues == 1 ? "" : "s", l->m->queues[0]);
		if (spec->queue[i] >= p->m->map_entries)
			return call_fail(
				call, FAILED_PRECONDITION,
				"the XSKMAP of '%s' ends before queue %u: unload the program and "
				"load it again",
				l->m->device, spec->queue[i]);
	}
	return 0;
}

/*
 * A socket that awaits its bind will take its queue: another one for it could only come too late.
 */
static int check_pending(struct call *call, const struct lease *l)
{
	const struct handoff *job = call->job;

	for (size_t q = 0; q < job->spec.n; q++) {
		const struct sock *s = sock_at(call->core, job->program, job->spec.queue[q]);

		if (s && s->m->state == XSKD__SOCKET_STATE__SOCKET_AWAITS_BIND)
			return call_fail(
				call, ALREADY_EXISTS,
				"queue %u of '%s' is being handed off to process %d: it is free "
				"again when that closes its connection",
				s->m->queue, l->m->interface, s->m->pid);
	}
	return 0;
}

/*
 * The namespace is the one of the caller's connection: no path that could mean another one by now.
 */
static int check_netns(struct call *call, const struct lease *l)
{
	struct handoff *job = call->job;

	if (l->m->mode == XSKD__LEASE_MODE__LEASE_MODE_QUEUE) {
		if (job->unbound)
			return call_fail(
				call, FAILED_PRECONDITION,
				"'%s' is shared with other leases: an unbound socket could be bound "
				"to their queues; ask for a bound one",
				l->m->interface);
		close_fdp(&job->netns_fd);
		job->netns_fd = -1; /* the device is here, whatever an administrator sent */
		return 0;
	}
	if (job->unbound && !l->m->all_queues)
		return call_fail(
			call, FAILED_PRECONDITION,
			"an unbound socket can be bound to any queue of '%s', and this lease has "
			"not all of them",
			l->m->interface);
	job->only_device = job->unbound && !call->core->features.bind_to_device;
	if (job->netns_fd < 0 && l->m->netns_cookie == call->peer.cookie && call->peer.sock >= 0) {
		job->netns_fd = ioctl(call->peer.sock, SIOCGSKNS);
		if (job->netns_fd < 0)
			return fault_sys(&call->fault, errno,
					 "cannot open the pod's network namespace");
	} else if (job->netns_fd < 0 || job->inode != l->inode) {
		return call_fail(call, INVALID_ARGUMENT,
				 "netns_fd has to be the network namespace of container '%s'",
				 l->m->container);
	}
	return 0;
}

int claim_queues(struct call *call, const void *owner, uint32_t program,
		 const struct xsk_spec *spec)
{
	int err = sock_claim(call->core, owner, program, spec->queue, spec->n);
	int again = err == -EBUSY ? call_pause(call, QUEUE_WITHIN_MS) : 0;

	if (again)
		return again;
	if (err == -EBUSY)
		return call_fail(call, UNAVAILABLE,
				 "the lease that had a queue of '%s' before is not done with it: "
				 "ask again",
				 call->subject.interface);
	return err < 0 ? fault_sys(&call->fault, -err, "cannot hand off") : 0;
}

/* ---- resuming kept sockets ---- */

static int fill_reply(struct call *call);

static int resume(struct call *call)
{
	struct handoff *job = call->job;
	int memfd = -1;

	for (size_t i = 0; i < job->spec.n; i++) {
		const struct sock *s = sock_find(call->core, job->socks[i]);

		memfd = s->memfd >= 0 ? s->memfd : memfd;
		job->fds[i] = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
		if (job->fds[i] < 0)
			return fault_sys(&call->fault, errno,
					 "cannot hand the kept sockets out again");
	}
	call_reap_fd(call, &job->umem.memfd, job->umem.size ? NULL : &call->peer);
	job->umem.memfd = fcntl(memfd, F_DUPFD_CLOEXEC, 3);
	if (job->umem.memfd < 0)
		return fault_sys(&call->fault, errno, "cannot hand the kept UMEM out again");
	for (size_t i = 0; i < job->spec.n; i++) {
		struct sock *s = sock_find(call->core, job->socks[i]);

		sock_hold(call->core, s, call->peer.sock, call->peer.pid, call->peer.conn);
		s->m->uid = call->peer.uid;
	}
	return fill_reply(call);
}

/* What will be noted of each socket, but for what the worker finds out: see handoff_settle(). */
static int describe(struct call *call, const struct lease *l)
{
	struct handoff *job = call->job;
	const struct xsk_spec *spec = &job->spec;

	for (size_t i = 0; i < spec->n; i++) {
		Xskd__Socket m;

		xskd__socket__init(&m);
		m.id = ++call->core->last_id;
		m.queue = spec->queue[i];
		if (!job->unbound) {
			m.frame_size = spec->frame_size;
			m.headroom = spec->headroom;
			m.fill_size = spec->fill_size;
			m.completion_size = spec->completion_size;
			m.rx_size = spec->rx_size;
			m.tx_size = spec->tx_size;
			m.umem_bytes = i ? 0 : job->umem.size;
			m.need_wakeup = spec->need_wakeup;
		}
		m.kept = job->keep;
		m.container = l->m->container;
		m.interface = l->m->interface;
		m.device = l->m->device;
		m.handed_off_at = (uint64_t)time(NULL);
		m.pid = call->peer.pid;
		m.uid = call->peer.uid;
		m.program_id = job->program;
		job->made[i] = message_clone(&m);
		if (!job->made[i])
			return fault_sys(&call->fault, ENOMEM, "cannot note the socket");
	}
	return 0;
}

static int handoff_check(struct call *call)
{
	const Xskd__HandOffSocketRequest *req = call->req->hand_off_socket;
	struct handoff *job = call->job;
	struct program *p;
	struct lease *l;
	int err = find_lease(call, req->container, req->interface, &l);

	if (!err)
		err = program_of(call, l, &p);
	if (!err)
		err = check_queues(call, l, p);
	/* Nothing takes back what is kept: it would wait for nobody. */
	if (!err && job->keep)
		err = call_give_up(call);
	if (err)
		return err;
	job->lease = l->m->id;
	job->program = p->m->id;
	job->spec.ifindex = l->m->ifindex;
	job->spec.device = l->m->device;
	job->older = l->m->sockets;
	job->spec.tied = job->unbound || !call->core->features.full_handoff;
	if (job->keep && handoff_find_kept(call, l)) {
		err = resume(call);
		return err ? err : CALL_DONE;
	}
	if (req->only_resume)
		return call_fail(call, NOT_FOUND, "no sockets are kept for these queues of '%s'",
				 req->interface);
	err = check_pending(call, l);
	if (!err)
		err = handoff_limits(call, l);
	if (!err)
		err = claim_queues(call, job, job->program, &job->spec);
	if (!err)
		err = check_netns(call, l);
	if (!err)
		err = describe(call, l);
	if (err)
		return err;
	/* The lease can be revoked while the worker is at it. */
	job->spec.device = call_alloc(call, 16);
	job->map_fd = fcntl(p->map_fd, F_DUPFD_CLOEXEC, 3);
	if (!job->spec.device || job->map_fd < 0)
		return fault_sys(&call->fault, errno, "cannot hand off");
	snprintf((char *)(uintptr_t)job->spec.device, 16, "%s", l->m->device);
	return 0;
}

/* ---- make ---- */

static int open_inside(struct call *call)
{
	struct handoff *job = call->job;
	cleanup(netns_done) struct netns ns = NETNS_OF(call->core->gate, job->netns_fd);
	bool alone = true;
	int err = 0;

	if (job->only_device)
		err = netns_only_device(&ns, job->spec.ifindex, &alone);
	if (err < 0)
		return fault_sys(&call->fault, -err, "cannot list the pod's devices");
	if (!alone)
		return call_fail(
			call, FAILED_PRECONDITION,
			"the pod has other devices beside '%s', and this kernel would let an "
			"unbound socket be bound to them: ask for a bound one",
			job->spec.device);
	return xsk_open(&ns, &job->spec, job->fds, &call->fault);
}

static int make(struct call *call)
{
	struct handoff *job = call->job;
	int err = open_inside(call);

	if (err < 0)
		return err;
	call->made = true;
	if (!job->unbound)
		err = xsk_set_up(&job->spec, job->fds, &job->umem, &call->core->umem_guard,
				 &call->fault);
	if (!job->keep) { /* the last close of a UMEM frees its pages, which takes time */
		close_fdp(&job->umem.memfd);
		job->umem.memfd = -1;
	}
	return err;
}

int wait_for_queue(struct call *call, int err, size_t older)
{
	size_t closed_ms = (older + 1) * CLOSE_TAKES_MS;
	int again = 0;

	if (err == -EEXIST && closed_ms < QUEUE_WITHIN_MS)
		again = call_pause(call, (uint32_t)closed_ms);
	else if (err == -EEXIST || err == -EBUSY)
		again = call_pause(call, QUEUE_WITHIN_MS);
	return again ? again : err;
}

/*
 * First the place in the map, then the queue: the place is free once its socket is closed, the
 * queue only when the kernel has done with that socket. Until then this is run again and again.
 */
static int handoff_make(struct call *call)
{
	struct handoff *job = call->job;
	const struct xsk_spec *spec = &job->spec;
	bool full = call->core->features.full_handoff;
	int err = call->made ? 0 : make(call);

	if (!err && !job->inserted && (job->unbound || full)) {
		err = xsk_insert(&call->core->prober, spec, job->fds, job->map_fd, &call->fault);
		job->inserted = !err;
	}
	if (!err && !job->unbound && full)
		err = xsk_bind(spec, job->fds, &job->n_bound, &job->zero_copy, &call->fault);
	if (!err)
		handoff_settle(call);
	else
		umem_unmap(&job->umem); /* there is time, or no socket */
	return wait_for_queue(call, err, job->older);
}

/* ---- note, answer ---- */

/* What the daemon holds on to: a copy of a kept socket, or of one that is yet to be bound. */
static int copy_for_ledger(const struct handoff *job, size_t i, int *out_fd, int *out_memfd)
{
	cleanup(close_fdp) int fd = -1;
	cleanup(close_fdp) int memfd = -1;

	if (job->keep || (!job->n_bound && !job->unbound)) {
		fd = fcntl(job->fds[i], F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			return -errno;
	}
	if (job->keep && i == 0) {
		memfd = fcntl(job->umem.memfd, F_DUPFD_CLOEXEC, 3);
		if (memfd < 0)
			return -errno;
	}
	*out_fd = steal_fd(&fd);
	*out_memfd = steal_fd(&memfd);
	return 0;
}

static int note(struct call *call, size_t i)
{
	struct handoff *job = call->job;
	uint64_t id = job->made[i]->id;
	struct timespec now;
	struct sock *s;
	int fd = -1, memfd = -1, err;

	err = copy_for_ledger(job, i, &fd, &memfd);
	if (err < 0)
		return err;
	s = sock_add(call->core, steal_ptr(&job->made[i]), job->lease, fd, memfd);
	handoff_note_stored(call->core, s, id, i ? 0 : id, job->stored);
	if (!s)
		return -ENOMEM;
	clock_gettime(CLOCK_MONOTONIC, &now);
	sock_hold(call->core, s, call->peer.sock, call->peer.pid, call->peer.conn);
	s->wish = call->req->hand_off_socket->zero_copy;
	s->multi_buffer = job->spec.multi_buffer;
	s->deadline = now.tv_sec + BIND_WITHIN;
	job->socks[i] = s->m->id;
	s->group = job->socks[0];
	return 0;
}

static int handoff_note(struct call *call)
{
	struct handoff *job = call->job;
	struct core *core = call->core;
	const struct lease *l = lease_find(core, job->lease);
	const struct program *p = program_find(core, job->program);
	size_t n;
	int err = 0;

	if (!l || !p || p->leaving)
		return call_fail(call, ABORTED,
				 "the lease or its program ended while the socket was made");
	for (size_t i = 0; i < job->spec.n && job->inserted; i++)
		sock_drop_stale(core, job->program, job->spec.queue[i], 0);
	for (n = 0; n < job->spec.n && !err; n++)
		err = note(call, n);
	err = err ? fault_sys(&call->fault, -err, "cannot note the socket") : fill_reply(call);
	for (size_t i = 0; i < n && err < 0; i++) {
		struct sock *s = job->socks[i] ? sock_find(core, job->socks[i]) : NULL;

		if (s)
			sock_drop(core, s, 0, NULL);
	}
	return err;
}

static int fill_reply(struct call *call)
{
	struct handoff *job = call->job;
	Xskd__HandOffSocketReply *reply = call_alloc(call, sizeof(*reply));
	Xskd__Socket *sockets = call_alloc(call, job->spec.n * sizeof(*sockets));
	Xskd__Socket **list = call_alloc(call, job->spec.n * sizeof(*list));

	if (!reply || !sockets || !list)
		return fault_sys(&call->fault, ENOMEM, "cannot answer");
	for (size_t i = 0; i < job->spec.n; i++) {
		int place = fdset_add(&call->out, steal_fd(&job->fds[i]));

		sockets[i] = *sock_find(call->core, job->socks[i])->m;
		sockets[i].socket_fd = (uint32_t)place; /* cannot fail: 63 sockets and a UMEM fit */
		list[i] = &sockets[i];
	}
	xskd__hand_off_socket_reply__init(reply);
	reply->n_sockets = job->spec.n;
	reply->sockets = list;
	reply->ifindex = job->spec.ifindex;
	reply->resumed = !call->made;
	if (reply->resumed)
		reply->umem_fd = (uint32_t)fdset_add(&call->out, steal_fd(&job->umem.memfd));
	call->reply.result_case = XSKD__REPLY__RESULT_HAND_OFF_SOCKET;
	call->reply.hand_off_socket = reply;
	return 0;
}

/*
 * On a worker, as the close of a bound socket must be. With it the kernel takes the socket out of
 * the map, and, unlike we could, nobody else's. A kept socket stays: it can be asked for again.
 */
static void handoff_undo(struct call *call)
{
	struct handoff *job = call->job;

	if (!call->failed && job->keep)
		return;
	for (size_t i = 0; i < job->spec.n; i++) {
		close_fdp(&job->fds[i]);
		job->fds[i] = -1;
	}
}

static void handoff_done(struct call *call)
{
	struct handoff *job = call->job;

	sock_unclaim(call->core, job);
	if (job->umem.area)
		call->core->unmap(call->core->arg, job->umem.area, job->umem.area_size);
	close_fdp(&job->map_fd);
	close_fdp(&job->netns_fd);
	/* Once umem_check() has seen its seals it is memory and nothing else. */
	call_reap_fd(call, &job->umem.memfd, job->umem.size ? NULL : &call->peer);
	for (size_t i = 0; i < job->spec.n; i++) {
		/* Only copies of kept ones are left here, whose close is quick. */
		close_fdp(&job->fds[i]);
		if (!job->made[i])
			continue;
		handoff_note_stored(call->core, NULL, job->made[i]->id, i ? 0 : job->made[i]->id,
				    job->stored);
		xskd__socket__free_unpacked(job->made[i], NULL);
	}
}

const struct method method_hand_off_socket = {
	.call = XSKD__REQUEST__CALL_HAND_OFF_SOCKET,
	.name = "HandOffSocket",
	.audit = true,
	.shape = handoff_shape,
	.steps = { { handoff_check, false }, { handoff_make, true }, { handoff_note, false } },
	.undo = handoff_undo,
	.done = handoff_done,
};
