// SPDX-License-Identifier: Apache-2.0
#include "outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

struct packet_out {
	struct packet_out *next;
	struct fdset *fds; /* NULL: none, as with all events */
	size_t len;
	uint8_t data[];
};

void outbox_init(struct outbox *box)
{
	*box = (struct outbox){ .last = &box->first };
}

static int queue(struct outbox *box, const uint8_t *buf, size_t len, struct fdset *fds,
		 uint32_t most)
{
	struct packet_out *p;
	bool with_fds = fds && fds->n;

	if (box->bytes + len > most)
		return PACKET_AGAIN;
	p = malloc(sizeof(*p) + len);
	if (!p)
		return -ENOMEM;
	p->fds = with_fds ? malloc(sizeof(*p->fds)) : NULL;
	if (with_fds && !p->fds) {
		free(p);
		return -ENOMEM;
	}
	p->next = NULL;
	p->len = len;
	memcpy(p->data, buf, len);
	if (with_fds)
		fdset_move(p->fds, fds);
	*box->last = p;
	box->last = &p->next;
	box->bytes += (uint32_t)len;
	return PACKET_OK;
}

static int send_now(const struct outbox *box, int sock, const uint8_t *buf, size_t len,
		    const struct fdset *fds)
{
	return box->first ? PACKET_AGAIN : packet_send(sock, MSG_DONTWAIT, buf, len, fds);
}

int outbox_send(struct outbox *box, int sock, const uint8_t *buf, size_t len, struct fdset *fds,
		uint32_t most)
{
	uint32_t n = fds ? fds->n : 0;
	int result = send_now(box, sock, buf, len, fds);

	if (result == PACKET_AGAIN)
		result = queue(box, buf, len, fds, most);
	box->fds += result == PACKET_OK ? n : 0;
	return result;
}

int outbox_later(struct outbox *box, const uint8_t *buf, size_t len, uint32_t most)
{
	return queue(box, buf, len, NULL, most);
}

/* Its owner may close it before the packet goes. */
int outbox_send_lent(struct outbox *box, int sock, const uint8_t *buf, size_t len, int fd,
		     uint32_t most)
{
	struct fdset fds = { .n = 1, .fd = { fd } };
	int result = send_now(box, sock, buf, len, &fds);

	if (result == PACKET_AGAIN) {
		fds.fd[0] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (fds.fd[0] < 0)
			return -errno;
		result = queue(box, buf, len, &fds, most);
		fdset_done(&fds);
	}
	box->fds += result == PACKET_OK;
	return result;
}

static void pop(struct outbox *box, void (*reap)(void *arg, struct fdset *fds), void *arg)
{
	struct packet_out *p = box->first;

	box->first = p->next;
	if (!box->first)
		box->last = &box->first;
	box->bytes -= (uint32_t)p->len;
	if (p->fds)
		reap(arg, p->fds);
	free(p->fds);
	free(p);
}

int outbox_flush(struct outbox *box, int sock, void (*reap)(void *arg, struct fdset *fds),
		 void *arg)
{
	while (box->first) {
		const struct packet_out *p = box->first;
		int result = packet_send(sock, MSG_DONTWAIT, p->data, p->len, p->fds);

		if (result != PACKET_OK)
			return result;
		pop(box, reap, arg);
	}
	return PACKET_OK;
}

void outbox_drop(struct outbox *box, void (*reap)(void *arg, struct fdset *fds), void *arg)
{
	while (box->first) {
		box->fds -= box->first->fds ? box->first->fds->n : 0;
		pop(box, reap, arg);
	}
}

bool outbox_is_read(const struct outbox *box, int sock)
{
	int unread = 0;

	return !box->first && (ioctl(sock, SIOCOUTQ, &unread) < 0 || !unread);
}
