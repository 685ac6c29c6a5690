// SPDX-License-Identifier: Apache-2.0
/*
 * From sockets that came in a packet to sockets that work: the memory, the rings, the bind where
 * the kernel needs it last, the frames.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "conn.h"
#include "request.h"
#include "resume.h"
#include "rings.h"
#include "umem.h"

#define TRIES 4 /* of a hand-off in two phases: the daemon may end between them each time */

/* What a struct xskd_handoff is the head of. */
struct handoff {
	struct xskd_handoff pub;
	struct rings *rings; /* of each socket */
};

static struct handoff *handoff_new(size_t n_sockets)
{
	struct handoff *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->pub.umem_fd = -1;
	h->pub.sockets = calloc(n_sockets, sizeof(*h->pub.sockets));
	h->rings = calloc(n_sockets, sizeof(*h->rings));
	if (!h->pub.sockets || !h->rings) {
		xskd_handoff_free(&h->pub);
		return NULL;
	}
	h->pub.n_sockets = n_sockets;
	for (size_t i = 0; i < n_sockets; i++)
		h->pub.sockets[i].fd = -1;
	return h;
}

void xskd_handoff_free(struct xskd_handoff *h)
{
	if (!h)
		return;

	struct handoff *own = container_of(h, struct handoff, pub);

	for (size_t i = 0; i < h->n_sockets; i++)
		rings_unmap(&own->rings[i]);
	if (h->umem)
		munmap(h->umem, h->umem_size);
	for (size_t i = 0; i < h->n_sockets; i++)
		close_fdp(&h->sockets[i].fd);
	close_fdp(&h->umem_fd);
	free(h->sockets);
	free(h->frames);
	free(own->rings);
	free(own);
}

static void handoff_freep(struct handoff **h)
{
	if (*h)
		xskd_handoff_free(&(*h)->pub);
}

/* ---- Mapped --------------------------------------------------------------------------------- */

static int take_socket(struct xskd *x, struct reply *reply, const Xskd__Socket *from,
		       struct xskd_socket *s, struct rings *rings)
{
	const struct ring_sizes sizes = {
		.fill = from->fill_size,
		.completion = from->completion_size,
		.rx = from->rx_size,
		.tx = from->tx_size,
	};
	int r = conn_take_fd(x, reply, from->socket_fd, &s->fd);

	if (r < 0)
		return r;
	s->id = from->id;
	s->queue = from->queue;
	s->zero_copy = from->zero_copy;
	s->need_wakeup = from->need_wakeup;
	r = rings_map(s->fd, &sizes, s, rings);
	return r < 0 ? conn_fail(x, r, "cannot map the rings of queue %u: %m", s->queue) : 0;
}

static void bound(struct xskd_handoff *h, const Xskd__Socket *now)
{
	for (size_t i = 0; i < h->n_sockets; i++) {
		if (h->sockets[i].id != now->id)
			continue;
		h->sockets[i].zero_copy = now->zero_copy;
		h->sockets[i].need_wakeup = now->need_wakeup;
	}
}

/* Kernels before 6.4 let nobody map the rings of a bound socket, so the bind comes last. */
static int bind_sockets(struct xskd *x, struct xskd_handoff *h)
{
	cleanup(reply_done) struct reply reply = REPLY_INIT;
	Xskd__BindSocketRequest bind;
	Xskd__Request req = XSKD__REQUEST__INIT;
	uint64_t ids[XSKD_QUEUES_MAX];

	for (size_t i = 0; i < h->n_sockets; i++)
		ids[i] = h->sockets[i].id;
	xskd__bind_socket_request__init(&bind);
	bind.n_sockets = h->n_sockets;
	bind.sockets = ids;
	req.call_case = XSKD__REQUEST__CALL_BIND_SOCKET;
	req.bind_socket = &bind;

	int r = conn_call(x, &req, NULL, XSKD__REPLY__RESULT_BIND_SOCKET, &reply);

	if (r < 0)
		return r;
	for (size_t i = 0; i < reply.msg->bind_socket->n_sockets; i++)
		bound(h, reply.msg->bind_socket->sockets[i]);
	return 0;
}

static void own_umem(struct xskd_handoff *h, const struct umem *umem)
{
	h->umem_fd = umem->fd;
	h->umem = umem->at;
	h->umem_size = umem->size;
	h->umem_page_size = umem->page_size;
}

static int find_frames(struct xskd *x, struct xskd_handoff *h)
{
	int r = resume_frames(h, RESUME_SETTLE_MS);

	return r < 0 ? conn_fail(x, r, "%m") : 0;
}

/* Takes the sockets and their memory out of @reply into @h. */
static int assemble(struct xskd *x, struct reply *reply, struct handoff *h)
{
	const Xskd__HandOffSocketReply *m = reply->msg->hand_off_socket;
	bool awaits_bind = false;
	int r = 0;

	h->pub.frame_size = m->sockets[0]->frame_size;
	h->pub.headroom = m->sockets[0]->headroom;
	h->pub.ifindex = m->ifindex;
	h->pub.resumed = m->resumed;
	if (!is_power_of_two(h->pub.frame_size))
		return conn_garbled(x, "frames of no size");
	for (size_t i = 0; r == 0 && i < h->pub.n_sockets; i++) {
		if (m->sockets[i]->state == XSKD__SOCKET_STATE__SOCKET_UNBOUND)
			return conn_garbled(x, "a socket without rings");
		awaits_bind |= m->sockets[i]->state == XSKD__SOCKET_STATE__SOCKET_AWAITS_BIND;
		r = take_socket(x, reply, m->sockets[i], &h->pub.sockets[i], &h->rings[i]);
	}
	if (r == 0 && awaits_bind)
		r = bind_sockets(x, &h->pub);
	return r < 0 ? r : find_frames(x, &h->pub);
}

/* @out_lost: the daemon has gone before the bind, and the sockets with it. */
static int hand_off(struct xskd *x, const char *interface, const struct xskd_handoff_opts *opts,
		    bool *out_lost, struct xskd_handoff **out)
{
	cleanup(reply_done) struct reply reply = REPLY_INIT;
	cleanup(handoff_freep) struct handoff *h = NULL;
	struct xskd_handoff_opts o;
	struct umem umem;
	int r = request_opts(x, opts, &o);

	if (r < 0)
		return r;
	h = handoff_new(request_n_sockets(&o));
	if (!h)
		return conn_fail(x, -ENOMEM, "%m");
	r = request_sockets(x, interface, &o, true, &reply, &umem);
	if (r < 0)
		return r;
	own_umem(&h->pub, &umem);
	r = assemble(x, &reply, h);
	*out_lost = r == -ENOTCONN;
	if (r < 0)
		return r;
	*out = &steal_ptr(&h)->pub;
	return 0;
}

int xskd_hand_off(struct xskd *x, const char *interface, const struct xskd_handoff_opts *opts,
		  struct xskd_handoff **out)
{
	bool lost = true;
	int r = 0;

	for (int tries = 0; lost && tries < TRIES; tries++) {
		lost = false;
		r = hand_off(x, interface, opts, &lost, out);
	}
	return r;
}

size_t xskd_fill(struct xskd_handoff *h)
{
	size_t share = h->n_frames / h->n_sockets;
	size_t more = h->n_frames % h->n_sockets;
	size_t filled = 0;

	for (size_t i = 0; i < h->n_sockets; i++) {
		struct xsk_ring_prod *fill = &h->sockets[i].fill;
		size_t n = share + (i < more);
		uint32_t room = xsk_prod_nb_free(fill, fill->size);
		uint32_t at;

		n = n < room ? n : room;
		if (!xsk_ring_prod__reserve(fill, (uint32_t)n, &at))
			continue;
		for (size_t j = 0; j < n; j++)
			*xsk_ring_prod__fill_addr(fill, at++) = h->frames[--h->n_frames];
		xsk_ring_prod__submit(fill, (uint32_t)n);
		filled += n;
	}
	return filled;
}

int xskd_release(struct xskd *x, const struct xskd_handoff *h)
{
	uint64_t ids[XSKD_QUEUES_MAX];

	for (size_t i = 0; i < h->n_sockets; i++)
		ids[i] = h->sockets[i].id;
	return request_release(x, ids, h->n_sockets);
}

/* ---- For another process -------------------------------------------------------------------- */

static bool has_sizes(const Xskd__Socket *s, const struct xskd_handoff_opts *o)
{
	return s->frame_size == o->frame_size && s->fill_size == o->fill_size &&
	       s->completion_size == o->completion_size && s->rx_size == o->rx_size &&
	       s->tx_size == o->tx_size;
}

/* Whether somebody who knows nothing but @o can use these sockets. */
static int check_usable(struct xskd *x, const Xskd__HandOffSocketReply *m,
			const struct xskd_handoff_opts *o)
{
	uint64_t ids[XSKD_QUEUES_MAX];

	for (size_t i = 0; i < m->n_sockets; i++) {
		ids[i] = m->sockets[i]->id;
		if (!has_sizes(m->sockets[i], o))
			return conn_fail(x, -EBUSY,
					 "the sockets kept for queue %u have other sizes than "
					 "these options: release them first",
					 m->sockets[i]->queue);
	}
	if (m->sockets[0]->state == XSKD__SOCKET_STATE__SOCKET_BOUND)
		return 0;
	/* Courtesy: what matters is said below, and the connection's end does the same. */
	(void)request_release(x, ids, m->n_sockets);
	return conn_fail(x, -EOPNOTSUPP,
			 "before Linux 6.4 nobody can map the rings of a bound socket: "
			 "use xskd_hand_off(), or unbound sockets");
}

int xskd_hand_off_fds(struct xskd *x, const char *interface, const struct xskd_handoff_opts *opts,
		      bool unbound, int *out, int *out_umem)
{
	cleanup(reply_done) struct reply reply = REPLY_INIT;
	cleanup(umem_done) struct umem umem = UMEM_INIT;
	struct fdset fds = FDSET_INIT;
	struct xskd_handoff_opts o;
	int r = request_opts(x, opts, &o);

	if (r < 0)
		return r;
	if (unbound)
		r = request_unbound(x, interface, &o, &reply);
	else
		r = request_sockets(x, interface, &o, false, &reply, &umem);
	if (r == 0 && !unbound)
		r = check_usable(x, reply.msg->hand_off_socket, &o);
	for (size_t i = 0; r == 0 && i < request_n_sockets(&o); i++) {
		r = conn_take_fd(x, &reply, reply.msg->hand_off_socket->sockets[i]->socket_fd,
				 &fds.fd[i]);
		fds.n += r == 0;
	}
	if (r < 0) {
		fdset_done(&fds);
		return r;
	}
	for (size_t i = 0; i < fds.n; i++)
		out[i] = fds.fd[i];
	if (out_umem)
		*out_umem = steal_fd(&umem.fd);
	return 0;
}

static int adopt_socket(int fd, const struct xskd_handoff_opts *o, struct xskd_socket *s,
			struct rings *rings)
{
	const struct ring_sizes sizes = { o->fill_size, o->completion_size, o->rx_size,
					  o->tx_size };
	struct xdp_options options;
	socklen_t len = sizeof(options);

	if (getsockopt(fd, SOL_XDP, XDP_OPTIONS, &options, &len) < 0)
		return -errno;
	s->zero_copy = options.flags & XDP_OPTIONS_ZEROCOPY;
	s->need_wakeup = !o->no_need_wakeup;
	return rings_map(fd, &sizes, s, rings);
}

static void own(int *to, int fd)
{
	/* It came through an exec or a packet of somebody else's making. */
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	*to = fd;
}

int xskd_adopt(const int *fds, int umem_fd, const struct xskd_handoff_opts *opts,
	       struct xskd_handoff **out)
{
	cleanup(handoff_freep) struct handoff *h = NULL;
	struct umem umem = { .fd = umem_fd };
	struct xskd_handoff_opts o;
	int r = request_opts(NULL, opts, &o);

	if (r < 0)
		return r;
	h = handoff_new(request_n_sockets(&o));
	if (!h)
		return -ENOMEM;
	h->pub.frame_size = o.frame_size;
	h->pub.headroom = o.headroom;
	umem_map(&umem, false);
	r = umem.error;
	h->pub.umem = umem.at;
	h->pub.umem_size = umem.size;
	h->pub.umem_page_size = umem.page_size;
	for (size_t i = 0; r == 0 && i < h->pub.n_sockets; i++) {
		h->pub.sockets[i].queue = o.queues ? o.queues[i] : 0;
		r = adopt_socket(fds[i], &o, &h->pub.sockets[i], &h->rings[i]);
	}
	if (r == 0)
		r = resume_frames(&h->pub, RESUME_SETTLE_MS);
	if (r < 0)
		return r;
	/* Nothing can fail any more: from here on they are ours to close. */
	for (size_t i = 0; i < h->pub.n_sockets; i++)
		own(&h->pub.sockets[i].fd, fds[i]);
	own(&h->pub.umem_fd, umem_fd);
	*out = &steal_ptr(&h)->pub;
	return 0;
}
