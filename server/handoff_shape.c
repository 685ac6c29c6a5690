// SPDX-License-Identifier: Apache-2.0
/* What a HandOffSocket request may ask for, whoever asks. */
#include <errno.h>

#include "handoff.h"
#include "umem.h"

#define RING_DEFAULT 2048
#define RING_MAX     32768

static int shape_ring(struct call *call, const char *what, uint32_t asked, uint32_t *out)
{
	*out = asked ? asked : RING_DEFAULT;
	if (is_power_of_two(*out) && *out <= RING_MAX)
		return 0;
	return call_fail(call, INVALID_ARGUMENT,
			 "the %s ring cannot have %u entries: a power of two, at most %d", what,
			 asked, RING_MAX);
}

static int shape_sizes(struct call *call, struct xsk_spec *spec)
{
	const Xskd__HandOffSocketRequest *req = call->req->hand_off_socket;
	int err = shape_ring(call, "fill", req->fill_size, &spec->fill_size);

	if (!err)
		err = shape_ring(call, "completion", req->completion_size, &spec->completion_size);
	if (!err)
		err = shape_ring(call, "RX", req->rx_size, &spec->rx_size);
	if (!err)
		err = shape_ring(call, "TX", req->tx_size, &spec->tx_size);
	if (err < 0)
		return err;
	spec->frame_size = req->frame_size ? req->frame_size : 2048;
	spec->headroom = req->headroom;
	if (spec->frame_size != 2048 && spec->frame_size != 4096)
		return call_fail(call, INVALID_ARGUMENT, "frames have 2048 or 4096 bytes, not %u",
				 spec->frame_size);
	/* XDP_PACKET_HEADROOM, 256 bytes, comes on top (net/xdp/xdp_umem.c). */
	if (spec->headroom > spec->frame_size - 256 - 64)
		return call_fail(call, INVALID_ARGUMENT,
				 "a headroom of %u leaves no room for packets in frames of %u",
				 spec->headroom, spec->frame_size);
	if (req->busy_poll &&
	    (req->busy_poll->timeout_us > 1000000 || req->busy_poll->budget > 512))
		return call_fail(call, INVALID_ARGUMENT,
				 "busy polling takes at most 1000000 us and a budget of 512");
	spec->busy_poll_us = req->busy_poll ? req->busy_poll->timeout_us : 0;
	spec->busy_poll_budget = req->busy_poll ? req->busy_poll->budget : 0;
	return 0;
}

static int shape_queues(struct call *call, struct xsk_spec *spec)
{
	const Xskd__HandOffSocketRequest *req = call->req->hand_off_socket;

	if (req->n_queues > XSK_QUEUES_MAX)
		return call_fail(call, INVALID_ARGUMENT,
				 "%zu queues are more than the %d that fit one hand-off",
				 req->n_queues, XSK_QUEUES_MAX);
	spec->n = req->n_queues;
	for (size_t i = 0; i < spec->n; i++) {
		spec->queue[i] = req->queues[i];
		for (size_t j = 0; j < i; j++) {
			if (spec->queue[j] == spec->queue[i])
				return call_fail(call, INVALID_ARGUMENT, "queue %u is named twice",
						 spec->queue[i]);
		}
	}
	return 0;
}

/* Fields that contradict each other, or what this kernel cannot do. */
static int shape_wishes(struct call *call, struct handoff *job)
{
	const Xskd__HandOffSocketRequest *req = call->req->hand_off_socket;

	if (req->zero_copy > XSKD__ZERO_COPY__ZERO_COPY_NO)
		return call_fail(call, INVALID_ARGUMENT, "there is no zero-copy wish %d",
				 (int)req->zero_copy);
	job->spec.zero_copy_required = req->zero_copy == XSKD__ZERO_COPY__ZERO_COPY_REQUIRED;
	job->spec.copy = req->zero_copy == XSKD__ZERO_COPY__ZERO_COPY_NO;
	job->spec.need_wakeup = !req->no_need_wakeup;
	job->spec.multi_buffer = req->multi_buffer;
	job->unbound = req->unbound;
	job->keep = req->keep;
	if (req->multi_buffer && !call->core->features.multi_buffer)
		return call_fail(call, UNIMPLEMENTED,
				 "this kernel has no multi-buffer AF_XDP (Linux 6.6)");
	if (req->keep && !call->core->features.full_handoff)
		return call_fail(
			call, UNIMPLEMENTED,
			"sockets cannot be kept on this kernel: nobody could map the rings of a bound "
			"one again (Linux 6.4)");
	if (req->unbound && (req->umem_fd || req->keep))
		return call_fail(call, INVALID_ARGUMENT,
				 "an unbound socket comes without UMEM, and cannot be kept");
	if (req->only_resume && (!req->keep || req->umem_fd))
		return call_fail(call, INVALID_ARGUMENT,
				 "only_resume needs keep, and no UMEM: the kept one comes back");
	if (!req->unbound && !req->only_resume && !req->umem_fd)
		return call_fail(
			call, INVALID_ARGUMENT,
			"a hand-off needs a UMEM: send a sealed memfd and name it in umem_fd");
	return 0;
}

int handoff_shape(struct call *call)
{
	const Xskd__HandOffSocketRequest *req = call->req->hand_off_socket;
	struct handoff *job = call_alloc(call, sizeof(*job));
	const struct lease *l;
	int err;

	if (!job)
		return fault_sys(&call->fault, ENOMEM, "cannot hand off");
	job->umem.memfd = job->netns_fd = job->map_fd = -1;
	for (size_t i = 0; i < XSK_QUEUES_MAX; i++)
		job->fds[i] = -1;
	call->job = job;
	err = shape_interface(call, req->interface);
	if (!err)
		err = shape_queues(call, &job->spec);
	if (!err)
		err = shape_sizes(call, &job->spec);
	if (!err)
		err = shape_wishes(call, job);
	if (!err && req->netns_fd && !call->peer.admin)
		return call_fail(call, PERMISSION_DENIED,
				 "only administrators may name a network namespace; leave it out");
	if (!err)
		err = shape_netns(call, req->netns_fd, &job->netns_fd, &job->inode);
	if (!err && req->umem_fd) {
		job->umem.memfd = fdset_take(&call->fds, req->umem_fd);
		if (job->umem.memfd < 0)
			return call_fail(call, INVALID_ARGUMENT,
					 "the packet has no file descriptor %u", req->umem_fd);
		err = umem_check(&job->umem, job->spec.frame_size, &call->fault);
	}
	if (err < 0)
		return err;
	l = *req->container ? lease_by_key(call->core, req->container, req->interface)
			    : lease_of(call->core, call->peer.cookie, req->interface);
	if (l)
		shape_lane_of_lease(call, l);
	return 0;
}
