// SPDX-License-Identifier: Apache-2.0
#include "request.h"

#include <errno.h>

#include "opts.h"

#define DEFAULT_FRAME_SIZE 2048
#define DEFAULT_RING_SIZE  2048

/* ---- Options -------------------------------------------------------------------------------- */

static void set_default(uint32_t *field, uint32_t value)
{
	if (!*field)
		*field = value;
}

size_t request_n_sockets(const struct xskd_handoff_opts *o)
{
	return o->n_queues ? o->n_queues : 1;
}

int request_opts(struct xskd *x, const struct xskd_handoff_opts *opts, struct xskd_handoff_opts *o)
{
	int r = opts_take(x, opts, o, sizeof(*o));

	if (r < 0)
		return r;
	set_default(&o->frame_size, DEFAULT_FRAME_SIZE);
	set_default(&o->fill_size, DEFAULT_RING_SIZE);
	set_default(&o->completion_size, DEFAULT_RING_SIZE);
	set_default(&o->rx_size, DEFAULT_RING_SIZE);
	set_default(&o->tx_size, DEFAULT_RING_SIZE);
	if (!is_power_of_two(o->fill_size) || !is_power_of_two(o->completion_size) ||
	    !is_power_of_two(o->rx_size) || !is_power_of_two(o->tx_size))
		return conn_fail(x, -EINVAL, "the size of a ring is not a power of two");
	if (o->frame_size != 2048 && o->frame_size != 4096)
		return conn_fail(x, -EINVAL, "a frame has 2048 or 4096 bytes, not %u",
				 o->frame_size);
	if (o->n_queues > XSKD_QUEUES_MAX)
		return conn_fail(x, -EINVAL, "%zu queues are more than the %d of one hand-off",
				 o->n_queues, XSKD_QUEUES_MAX);
	if (o->huge_pages > XSKD_HUGE_1G)
		return conn_fail(x, -EINVAL, "there is no wish %u for huge pages", o->huge_pages);
	if (!o->frames) {
		uint64_t frames = request_n_sockets(o) * ((uint64_t)o->fill_size + o->tx_size);

		if (frames > UINT32_MAX)
			return conn_fail(x, -EINVAL, "the rings are too large");
		o->frames = (uint32_t)frames;
	}
	return 0;
}

/* ---- The call ------------------------------------------------------------------------------- */

/* @umem: sent along unless it has no fd. @only_resume: -ENOENT where no kept sockets are. */
static int ask(struct xskd *x, const char *interface, const struct xskd_handoff_opts *o,
	       bool unbound, const struct umem *umem, bool only_resume, struct reply *out)
{
	Xskd__HandOffSocketRequest ask;
	Xskd__BusyPoll busy_poll;
	Xskd__Request req = XSKD__REQUEST__INIT;
	struct fdset lent = FDSET_INIT;

	xskd__hand_off_socket_request__init(&ask);
	ask.interface = opts_text(interface);
	ask.container = opts_text(o->container);
	ask.netns_fd = opts_lend_fd(&lent, o->netns_fd);
	if (umem->fd >= 0) {
		lent.fd[lent.n++] = umem->fd;
		ask.umem_fd = lent.n;
	}
	ask.n_queues = o->n_queues;
	ask.queues = opts_numbers(o->queues);
	ask.frame_size = o->frame_size;
	ask.headroom = o->headroom;
	ask.fill_size = o->fill_size;
	ask.completion_size = o->completion_size;
	ask.rx_size = o->rx_size;
	ask.tx_size = o->tx_size;
	ask.zero_copy = (Xskd__ZeroCopy)o->zero_copy;
	ask.no_need_wakeup = o->no_need_wakeup;
	ask.multi_buffer = o->multi_buffer;
	if (o->busy_poll_us || o->busy_poll_budget) {
		xskd__busy_poll__init(&busy_poll);
		busy_poll.timeout_us = o->busy_poll_us;
		busy_poll.budget = o->busy_poll_budget;
		ask.busy_poll = &busy_poll;
	}
	ask.keep = o->keep;
	ask.unbound = unbound;
	ask.only_resume = only_resume;
	req.call_case = XSKD__REQUEST__CALL_HAND_OFF_SOCKET;
	req.hand_off_socket = &ask;

	int r = conn_call(x, &req, &lent, XSKD__REPLY__RESULT_HAND_OFF_SOCKET, out);

	if (r < 0)
		return r;
	return out->msg->hand_off_socket->n_sockets == request_n_sockets(o)
		       ? 0
		       : conn_garbled(x, "another number of sockets");
}

static int check_queues(struct xskd *x, const struct xskd_handoff_opts *o)
{
	if (o->n_queues && !o->queues)
		return conn_fail(x, -EINVAL, "%zu queues, but not which", o->n_queues);
	return 0;
}

/* The memory of the kept sockets instead of ours, which is not needed then. */
static int take_kept(struct xskd *x, struct reply *reply, bool map, struct umem *umem)
{
	int r;

	umem_done(umem);
	r = conn_take_fd(x, reply, reply->msg->hand_off_socket->umem_fd, &umem->fd);
	if (r == 0 && map)
		umem_map(umem, false);
	return r;
}

int request_sockets(struct xskd *x, const char *interface, const struct xskd_handoff_opts *o,
		    bool map, struct reply *out, struct umem *out_umem)
{
	cleanup(umem_done) struct umem umem = UMEM_INIT;
	int r = check_queues(x, o);

	if (r < 0)
		return r;
	/* First without memory, which may be much and for nothing. */
	r = -ENOENT;
	if (o->keep)
		r = ask(x, interface, o, false, &umem, true, out);
	if (r == -ENOENT) {
		r = umem_create(x, &umem, (uint64_t)o->frames * o->frame_size,
				(enum xskd_huge_pages)o->huge_pages);
		if (r < 0)
			return r;
		/*
		 * Before the daemon has it: pages that were touched come into its page tables in
		 * batches.
		 */
		if (map)
			umem_map(&umem, true);
		r = ask(x, interface, o, false, &umem, false, out);
	}
	if (r == 0 && out->msg->hand_off_socket->resumed)
		r = take_kept(x, out, map, &umem);
	if (r == 0 && umem.error < 0)
		r = conn_fail(x, umem.error, "cannot map the packet memory: %m");
	if (r < 0)
		return r;
	*out_umem = umem;
	umem = UMEM_INIT;
	return 0;
}

int request_unbound(struct xskd *x, const char *interface, const struct xskd_handoff_opts *o,
		    struct reply *out)
{
	struct umem none = UMEM_INIT;
	int r = check_queues(x, o);

	return r < 0 ? r : ask(x, interface, o, true, &none, false, out);
}

int request_release(struct xskd *x, uint64_t *ids, size_t n)
{
	cleanup(reply_done) struct reply reply = REPLY_INIT;
	Xskd__ReleaseSocketRequest release;
	Xskd__Request req = XSKD__REQUEST__INIT;

	xskd__release_socket_request__init(&release);
	release.n_sockets = n;
	release.sockets = ids;
	req.call_case = XSKD__REQUEST__CALL_RELEASE_SOCKET;
	req.release_socket = &release;

	int r = conn_call(x, &req, NULL, XSKD__REPLY__RESULT_RELEASE_SOCKET, &reply);

	/* Ids are never given again: those that the daemon does not know now, it released before.
	 */
	return r == -ENOENT && conn_asked_again(x) ? 0 : r;
}
