// SPDX-License-Identifier: Apache-2.0
#include "receiver.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64

uint64_t receiver_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int receiver_init(struct receiver *r, struct xskd_handoff *h)
{
	*r = (struct receiver){
		.h = h,
		.limit = UINT64_MAX,
		.max_spare = h->umem_size / h->frame_size,
	};
	r->counts = calloc(h->n_sockets, sizeof(*r->counts));
	r->spare = calloc(r->max_spare, sizeof(*r->spare));
	if (!r->counts || !r->spare)
		return -ENOMEM;
	/*
	 * What did not fit into the fill rings is not idle: resumed sockets may hold more packets
	 * than their fill ring has room for.
	 */
	while (h->n_frames && r->n_spare < r->max_spare)
		r->spare[r->n_spare++] = h->frames[--h->n_frames];
	return 0;
}

void receiver_done(struct receiver *r)
{
	free(r->counts);
	free(r->spare);
	r->counts = NULL;
	r->spare = NULL;
}

uint64_t receiver_counted(const struct receiver *r)
{
	return r->sequence ? r->sequence->packets : r->total.packets;
}

bool receiver_full(const struct receiver *r)
{
	return receiver_counted(r) >= r->limit;
}

static void kick(const struct xskd_socket *s)
{
	/* EAGAIN says that there was nothing to do; whatever else is wrong, poll(2) will tell. */
	(void)recvfrom(s->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

/*
 * Frames go back by way of the spare ones, as there may be no room yet: the kernel shows a packet
 * in the RX ring before it shows that its frame has left the fill ring (xsk_flush() in
 * net/xdp/xsk.c).
 */
static void refill(struct receiver *r, struct xskd_socket *s)
{
	uint32_t n = r->n_spare < 2 * BATCH ? (uint32_t)r->n_spare : 2 * BATCH;
	uint32_t room = xsk_prod_nb_free(&s->fill, n), idx;

	if (room < n)
		n = room;
	if (!n || !xsk_ring_prod__reserve(&s->fill, n, &idx))
		return;
	for (uint32_t i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(&s->fill, idx + i) = r->spare[--r->n_spare];
	xsk_ring_prod__submit(&s->fill, n);
	if (xsk_ring_prod__needs_wakeup(&s->fill))
		kick(s);
}

static uint32_t drain_socket(struct receiver *r, struct xskd_socket *s,
			     struct receiver_count *count)
{
	const struct xskd_handoff *h = r->h;
	uint64_t left = r->limit - receiver_counted(r), bytes = 0;
	uint32_t idx, n;

	n = xsk_ring_cons__peek(&s->rx, left < BATCH ? (uint32_t)left : BATCH, &idx);
	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&s->rx, idx + i);

		bytes += desc->len;
		if (r->sequence)
			sequence_take(r->sequence, xsk_umem__get_data(h->umem, desc->addr),
				      desc->len);
		if (r->n_spare < r->max_spare)
			r->spare[r->n_spare++] = desc->addr - desc->addr % h->frame_size;
	}
	if (n)
		xsk_ring_cons__release(&s->rx, n);
	refill(r, s);
	count->packets += n;
	count->bytes += bytes;
	r->total.packets += n;
	r->total.bytes += bytes;
	return n;
}

uint32_t receiver_drain(struct receiver *r)
{
	uint64_t before = receiver_counted(r);
	uint32_t n = 0;

	for (size_t i = 0; i < r->h->n_sockets; i++)
		n += drain_socket(r, &r->h->sockets[i], &r->counts[i]);
	if (n)
		r->now_ns = receiver_now();
	if (receiver_counted(r) != before) {
		r->last_ns = r->now_ns;
		if (!r->first_ns)
			r->first_ns = r->now_ns;
	}
	return n;
}

static int socket_error(int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		return -errno;
	return err ? -err : -EIO;
}

int receiver_wait(struct receiver *r, const int wake_fds[RECEIVER_WAKES], int timeout_ms)
{
	const struct xskd_handoff *h = r->h;
	struct pollfd fds[XSKD_QUEUES_MAX + RECEIVER_WAKES];
	size_t n = h->n_sockets;

	if (r->busy_poll) {
		for (size_t i = 0; i < n; i++)
			kick(&h->sockets[i]);
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = h->sockets[i].fd, .events = POLLIN };
	for (size_t i = 0; i < RECEIVER_WAKES; i++)
		fds[n + i] = (struct pollfd){ .fd = wake_fds[i], .events = POLLIN };
	if (poll(fds, n + RECEIVER_WAKES, timeout_ms) < 0)
		return errno == EINTR ? 0 : -errno;
	for (size_t i = 0; i < n; i++) {
		if (fds[i].revents & (POLLERR | POLLHUP | POLLNVAL))
			return socket_error(fds[i].fd);
	}
	for (size_t i = 0; i < RECEIVER_WAKES; i++) {
		if (fds[n + i].revents)
			return 1;
	}
	return 0;
}
