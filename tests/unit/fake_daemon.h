/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that plays xskd for one test. Its script gets each connection in turn and says, packet
 * by packet, what the daemon does wrong. Inside a script, assert(3): cmocka's jumps belong to the
 * test's thread.
 */
#ifndef XSKD_TESTS_FAKE_DAEMON_H
#define XSKD_TESTS_FAKE_DAEMON_H

#include <pthread.h>
#include <stdbool.h>

#include "packet.h"
#include "xskd.pb-c.h"

struct fake_daemon;

/* @nth: which connection, from 0. @conn is closed when the script returns. */
typedef void fake_script(struct fake_daemon *d, int conn, int nth);

struct fake_daemon {
	char path[108];
	int listener;
	pthread_t thread;
	fake_script *script;
	int value; /* between a test and its script */
};

void fake_start(struct fake_daemon *d, fake_script *script);

/* Ends when the script of the connection under way has. */
void fake_stop(struct fake_daemon *d);

/* The next request, freed with xskd__request__free_unpacked(); NULL: the client has gone. */
Xskd__Request *fake_receive(int conn, struct fdset *out_fds);

void fake_send(int conn, const Xskd__Reply *reply, const struct fdset *fds);

/* Takes in a request, closes its fds. Return: its id; 0: the client has gone. */
uint64_t fake_id(int conn);

/* A good answer to GetInfo. */
void fake_info(int conn, uint64_t id);

/* An answer with a status alone. */
void fake_status(int conn, uint64_t id, Xskd__Code code, int system_errno, const char *text);

void fake_event(int conn, uint64_t id, Xskd__EventKind kind, uint64_t socket);

#endif
