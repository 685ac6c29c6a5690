/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets on their way out of one connection: those that wait here because the peer does not read,
 * and, as a number, the file descriptors that it has not taken yet, be they here or in the kernel.
 * For what is in flight counts: the kernel allows one user only so many (RLIMIT_NOFILE), and we are
 * the user of all clients' replies.
 */
#ifndef XSKD_OUTBOX_H
#define XSKD_OUTBOX_H

#include "packet.h"

struct outbox {
	struct packet_out *first, **last;
	uint32_t bytes; /* that wait here */
	uint32_t fds;   /* that the peer has not taken, as far as we know */
};

void outbox_init(struct outbox *box);

/*
 * outbox_send() - now, or when the peer has read what is before it.
 * @fds: stay the caller's, unless they had to be queued; may be NULL.
 * @most: bytes that may wait here.
 * Return: a packet_result: PACKET_OK also when it waits; PACKET_AGAIN: it neither went nor may
 * wait.
 */
int outbox_send(struct outbox *box, int sock, const uint8_t *buf, size_t len, struct fdset *fds,
		uint32_t most) must_check;

/* outbox_send_lent() - the same with an fd that is not ours: only what has to wait is copied. */
int outbox_send_lent(struct outbox *box, int sock, const uint8_t *buf, size_t len, int fd,
		     uint32_t most) must_check;

/* outbox_later() - the same without fds, and not now: for who has sent enough for the moment. */
int outbox_later(struct outbox *box, const uint8_t *buf, size_t len, uint32_t most) must_check;

/*
 * outbox_flush() - send what waits, as far as it goes. @reap: closes the fds of what went.
 * Return: PACKET_OK: all; PACKET_AGAIN: some is left; else the connection has to end.
 */
int outbox_flush(struct outbox *box, int sock, void (*reap)(void *arg, struct fdset *fds),
		 void *arg) must_check;

/* outbox_drop() - what waits; the descriptors in flight are the kernel's. */
void outbox_drop(struct outbox *box, void (*reap)(void *arg, struct fdset *fds), void *arg);

/* outbox_is_read() - whether the peer has taken all that was sent. */
bool outbox_is_read(const struct outbox *box, int sock);

#endif
