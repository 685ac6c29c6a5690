/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ground for tests against the real kernel: each test program gets network and mount namespaces of
 * its own, with a bpffs and a tmpfs in them, and veth pairs as it asks. All of it goes with the
 * process.
 */
#ifndef XSKD_TESTS_GROUND_H
#define XSKD_TESTS_GROUND_H

#include <stdbool.h>
#include <stdint.h>

#include "netns.h"

#define GROUND_BPF "/tmp/bpf/xskd"
#define GROUND_RUN "/tmp/run"

/*
 * Skips the whole program (exit 77) without root; else fails with a message when it cannot be made.
 */
void ground_enter(void);

/* Where the tests are, with a gate, as ground_enter() has started it. */
extern struct netns ground;

/* A pair of veths with @queues each, both up. */
void ground_veth(const char *one, const char *other, unsigned int queues);
void ground_delete(const char *device);

/* Runs a command of iproute2 and the like; fails the test when that fails. */
void ground_run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A packet socket on @device that sends and receives; for traffic towards the other end. */
int ground_packet_socket(const char *device);

/* Sends @n numbered frames of 60 bytes through it. */
void ground_send(int packet_socket, unsigned int n);

#endif
