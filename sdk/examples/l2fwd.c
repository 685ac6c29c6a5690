// SPDX-License-Identifier: Apache-2.0
/*
 * Sends every packet back where it came from, until SIGINT: l2fwd eth0
 *
 * A frame goes round: fill ring, rx ring, tx ring, completion ring, fill ring. No frame is ever
 * copied, and none is touched while it is in the kernel's hands.
 */
#include <err.h>
#include <errno.h>
#include <net/ethernet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <xskd.h>

#define BATCH 64

static volatile sig_atomic_t stopped;

static void stop(int sig)
{
	(void)sig;
	stopped = 1;
}

static void swap_addresses(void *packet)
{
	struct ether_header *eth = packet;
	uint8_t host[ETH_ALEN];

	memcpy(host, eth->ether_dhost, ETH_ALEN);
	memcpy(eth->ether_dhost, eth->ether_shost, ETH_ALEN);
	memcpy(eth->ether_shost, host, ETH_ALEN);
}

/* Frames that were sent may receive again. */
static void recycle(struct xskd_socket *s)
{
	uint32_t done, fill;
	uint32_t n = xsk_ring_cons__peek(&s->completion, BATCH, &done);

	if (n == 0)
		return;
	if (xsk_ring_prod__reserve(&s->fill, n, &fill) < n)
		errx(1, "the fill ring is full");
	for (uint32_t i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(&s->fill, fill + i) =
			*xsk_ring_cons__comp_addr(&s->completion, done + i);
	xsk_ring_cons__release(&s->completion, n);
	xsk_ring_prod__submit(&s->fill, n);
}

/* No more packets than the tx ring has room for: the others wait in the rx ring. */
static void forward(struct xskd_handoff *h, struct xskd_socket *s)
{
	uint32_t rx, tx;
	uint32_t room = xsk_prod_nb_free(&s->tx, BATCH);
	uint32_t n = xsk_ring_cons__peek(&s->rx, room < BATCH ? room : BATCH, &rx);

	if (n == 0 || xsk_ring_prod__reserve(&s->tx, n, &tx) < n)
		return;
	for (uint32_t i = 0; i < n; i++) {
		struct xdp_desc *desc = xsk_ring_prod__tx_desc(&s->tx, tx + i);

		*desc = *xsk_ring_cons__rx_desc(&s->rx, rx + i);
		swap_addresses(xsk_umem__get_data(h->umem, desc->addr));
	}
	xsk_ring_cons__release(&s->rx, n);
	xsk_ring_prod__submit(&s->tx, n);
}

/* Where the kernel waits for us, by need_wakeup: say that there is work. */
static void wake(struct xskd_socket *s)
{
	if (xsk_ring_prod__needs_wakeup(&s->tx) &&
	    sendto(s->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN &&
	    errno != EBUSY && errno != ENOBUFS)
		err(1, "sendto");
	if (xsk_ring_prod__needs_wakeup(&s->fill))
		recvfrom(s->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

/* Packets on their way out need more calls, see wake(); only with none may we sleep. */
static int on_their_way(const struct xskd_socket *s)
{
	return __atomic_load_n(s->tx.consumer, __ATOMIC_ACQUIRE) != *s->tx.producer;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = stop };
	struct xskd_handoff *h;
	struct xskd *x;

	if (argc != 2)
		errx(2, "usage: l2fwd INTERFACE");
	sigaction(SIGINT, &action, NULL);
	if (xskd_open(NULL, 0, &x) < 0 || xskd_hand_off(x, argv[1], NULL, &h) < 0)
		errx(1, "%s", xskd_error(x));
	xskd_close(x);
	xskd_fill(h);

	struct xskd_socket *s = &h->sockets[0];
	struct pollfd p = { .fd = s->fd, .events = POLLIN };

	while (!stopped) {
		recycle(s);
		forward(h, s);
		wake(s);
		if (poll(&p, 1, on_their_way(s) ? 0 : 1000) < 0 && errno != EINTR)
			err(1, "poll");
	}
	xskd_handoff_free(h);
	return 0;
}
