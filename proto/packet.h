/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One packet of a SOCK_SEQPACKET socket: its bytes and its file descriptors as one value. The
 * kernel keeps the borders of packets and the descriptors with their packet, so nothing here has
 * to reassemble anything, and a descriptor can never be taken for another packet's.
 */
#ifndef XSKD_PACKET_H
#define XSKD_PACKET_H

#include <sys/types.h>

#include "fdset.h"

#define PACKET_MAX (64 * 1024)
#define PACKET_FDS 64 /* the largest need: a hand-off of 63 queues, and its UMEM */

enum packet_result {
	PACKET_OK = 0,
	PACKET_AGAIN, /* non-blocking socket: nothing to read, or no room to write */
	PACKET_EOF,   /* the peer closed, or is gone */
	PACKET_SHORT, /* whole but for its fds: this process has no room for them */
	PACKET_BAD,   /* too long, too many fds, or what is no file descriptor: hang up */
};

/*
 * packet_recv() - receive one packet into @buf of @size bytes.
 * @out_len: written only when the answer is PACKET_OK or PACKET_SHORT.
 * @out_fds: only with PACKET_OK. The caller owns the fds; they are close-on-exec.
 * @flags: MSG_DONTWAIT or 0.
 * Return: a packet_result, or a negative errno. No fd is kept open unless PACKET_OK. -EINTR is for
 * the caller to judge: to begin anew here would start a SO_RCVTIMEO from zero at each signal.
 */
int packet_recv(int sock, int flags, uint8_t *buf, size_t size, size_t *out_len,
		struct fdset *out_fds) must_check;

/*
 * packet_take() - the same for who cannot close what a stranger sent, as that may block: whatever
 * it answers, @out_fds has what came, also more than PACKET_FDS, and is the caller's.
 */
int packet_take(int sock, int flags, uint8_t *buf, size_t size, size_t *out_len,
		struct fdset *out_fds) must_check;

/*
 * packet_send() - send @buf and the fds of @fds (may be NULL) as one packet; all or nothing.
 * The fds stay with the caller, who may close them once this has answered PACKET_OK.
 * Return: PACKET_OK, PACKET_AGAIN, PACKET_EOF or a negative errno. -ETOOMANYREFS: this user has
 * too many fds on their way in sockets.
 */
int packet_send(int sock, int flags, const uint8_t *buf, size_t len,
		const struct fdset *fds) must_check;

#endif
