// SPDX-License-Identifier: Apache-2.0
/* Counts the packets of an interface until SIGINT: receive eth0 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include <xskd.h>

#define BATCH 64

static volatile sig_atomic_t stopped;

static void stop(int sig)
{
	(void)sig;
	stopped = 1;
}

/* Takes packets from the rx ring and gives their frames back to the fill ring. */
static unsigned int receive(struct xskd_socket *s)
{
	uint32_t rx, fill;
	uint32_t n = xsk_ring_cons__peek(&s->rx, BATCH, &rx);

	if (n == 0)
		return 0;
	/* There is room: the ring held these very frames before. */
	if (xsk_ring_prod__reserve(&s->fill, n, &fill) < n)
		errx(1, "the fill ring is full");
	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&s->rx, rx + i);

		/* The packet is xsk_umem__get_data(h->umem, desc->addr), desc->len bytes. */
		*xsk_ring_prod__fill_addr(&s->fill, fill + i) = desc->addr;
	}
	xsk_ring_cons__release(&s->rx, n);
	xsk_ring_prod__submit(&s->fill, n);
	/* A driver that found the fill ring empty sleeps until it is told. */
	if (xsk_ring_prod__needs_wakeup(&s->fill))
		recvfrom(s->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
	return n;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = stop };
	unsigned long long packets = 0;
	struct xskd_handoff *h;
	struct xskd *x;

	if (argc != 2)
		errx(2, "usage: receive INTERFACE");
	sigaction(SIGINT, &action, NULL);
	if (xskd_open(NULL, 0, &x) < 0 || xskd_hand_off(x, argv[1], NULL, &h) < 0)
		errx(1, "%s", xskd_error(x));
	/* The socket needs neither the connection nor the daemon any more. */
	xskd_close(x);
	xskd_fill(h);

	struct xskd_socket *s = &h->sockets[0];
	struct pollfd p = { .fd = s->fd, .events = POLLIN };

	printf("queue %u, %s\n", s->queue, s->zero_copy ? "zero-copy" : "copy mode");
	while (!stopped) {
		unsigned int n = receive(s);

		packets += n;
		if (n == 0 && poll(&p, 1, -1) < 0 && errno != EINTR)
			err(1, "poll");
	}
	printf("%llu packets\n", packets);
	xskd_handoff_free(h);
	return 0;
}
