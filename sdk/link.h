/* SPDX-License-Identifier: Apache-2.0 */
/* What is behind a struct xskd, how it connects, and how it comes back after a daemon's restart. */
#ifndef XSKD_SDK_LINK_H
#define XSKD_SDK_LINK_H

#include <sys/un.h>

#include "conn.h"

struct xskd {
	int fd;             /* -1: not connected */
	unsigned int forks; /* when it was opened: another number now means, in a child */
	int timeout_ms;     /* negative: none */
	struct sockaddr_un address;
	uint64_t last_id;
	uint64_t netns;         /* cookie of the namespace for which it was opened; 0: not known */
	bool opened;            /* it has been there once, so it may come back by itself */
	uint64_t watch;         /* id of the WatchEvents call; 0: none */
	bool resumed;           /* that call followed one of an earlier connection */
	xskd_event_fn event_fn; /* NULL: nobody watches */
	void *event_arg;
	bool unread;      /* the connection ended before the daemon had read all requests */
	bool asked_again; /* the last call was, as its first answer was lost */
	int status;
	char *log;
	char error[1024];
	uint8_t packet[PACKET_MAX]; /* the request, then whatever comes back */
};

void link_hang_up(struct xskd *x);

/* link_ended(), link_timed_out() - hang up. Return: -ENOTCONN, -ETIMEDOUT. */
int link_ended(struct xskd *x);
int link_timed_out(struct xskd *x);

/*
 * link_begin() - of each call: the state of an earlier failure must not be taken for this one's.
 * Return: 0, or -ESTALE in a child of the process that opened it.
 */
int link_begin(struct xskd *x) must_check;

/*
 * link_patience() - until when a daemon is waited for, by a call that began then: @deadline, though
 * at most ten seconds.
 */
int64_t link_patience(int64_t began, int64_t deadline);

/*
 * link_back() - connect again, as who it was before, and have a watch go on. Waits for a daemon
 * that is being restarted until @patience. Return: 0; -ENOTCONN: it is not there, or never was;
 * -ESTALE: this thread is another's client.
 */
int link_back(struct xskd *x, int64_t patience) must_check;

#endif
