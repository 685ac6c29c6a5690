/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaching and detaching without holding up the node's networking.
 *
 * Where the kernel calls XDP programs through a dispatcher (x86-64), it waits for an RCU grace
 * period, some 10 ms, whenever the set of attached programs changes: dev_xdp_install() in
 * net/core/dev.c, bpf_dispatcher_change_prog() in kernel/bpf/dispatcher.c. It does so under the
 * rtnl lock, and every other change of a device or address on the node waits with it. A program
 * that is in the set already goes on a device, and off it, in microseconds.
 *
 * BPF_PROG_TEST_RUN puts a program in the same set for as long as it runs it, and waits without
 * that lock (bpf_prog_test_run_xdp() in net/bpf/test_run.c). So a thread runs the program on a
 * packet that never was, until the program is on its device, or off it: the wait is the same, but
 * nobody waits with us.
 */
#ifndef XSKD_PRIME_H
#define XSKD_PRIME_H

#include <pthread.h>
#include <stdatomic.h>

#include "base.h"

struct prime {
	pthread_t thread;
	int prog_fd;
	bool runs;
	atomic_bool over;
};

/*
 * prime_begin() - wait until the program is in the set. Where that does not work, nothing is lost:
 * to attach it then takes the lock for as long as it always did. Where the lock is not to be had
 * for longer than the runs last, it takes it for up to a grace period more: the end of the runs
 * waits for one too, and the kernel lets nobody else change the set meanwhile (Linux 6.2).
 * @prog_fd: the default program, whose runs change nothing but @counters_fd; borrowed until
 *	prime_end().
 */
void prime_begin(struct prime *prime, int prog_fd, int counters_fd);

/* prime_end() - may wait as long, when the program is on no device. */
void prime_end(struct prime *prime);

#endif
