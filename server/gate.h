/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: a small process beside the daemon that alone can do what CAP_SYS_ADMIN is needed for,
 * so that the process that reads tenants' bytes can do without. Forked at start, it makes sockets
 * and links inside of network namespaces that it is given fds of, loads the default program, and
 * says who holds a program. It never waits for one worker while it serves another: each call takes
 * a channel of its own.
 *
 * All of this blocks, and is for worker threads; before the daemon has any, for the first.
 */
#ifndef XSKD_GATE_H
#define XSKD_GATE_H

#include <linux/bpf.h>

#include "fault.h"

struct gate;
struct sandbox;

/* What gate_sockets() makes. */
enum gate_socket {
	GATE_XDP,       /* AF_XDP, raw */
	GATE_RTNETLINK, /* by which devices of the namespace are found without being in it */
};

/*
 * gate_start() - before there are other threads.
 * @channels: so many calls can be under way at once.
 * @lock: an fd that the gate holds open until its end; a file lock on it tells the next daemon
 *	that nothing of this one can happen any more. -1: none.
 * @sandbox: for the gate itself.
 */
int gate_start(unsigned int channels, int lock, const struct sandbox *sandbox, struct gate **out,
	       struct fault *fault) must_check;

/* gate_stop() - end it and wait for that; NULL is no gate. */
void gate_stop(struct gate *gate);

/* gate_fd() - becomes readable when the gate has ended, which it does not by itself. */
int gate_fd(const struct gate *gate);

/* gate_epitaph() - how it ended, in words. */
void gate_epitaph(struct gate *gate, char *out, size_t size);

pid_t gate_pid(const struct gate *gate);

/*
 * In all of these @netns_fd is the namespace, -1 for the daemon's own. A negative errno that the
 * kernel answered is passed on; -EPIPE: the gate has ended.
 */

/* gate_sockets() - @n of them, at most PACKET_FDS; the caller owns the fds. */
int gate_sockets(struct gate *gate, int netns_fd, enum gate_socket kind, size_t n,
		 int *out_fds) must_check;

/*
 * gate_link() - attach an XDP program: BPF_LINK_CREATE looks the device up where its caller is.
 * @flags: XDP_FLAGS_SKB_MODE or XDP_FLAGS_DRV_MODE. Return: the link's fd.
 */
int gate_link(struct gate *gate, int netns_fd, int prog_fd, uint32_t ifindex,
	      uint32_t flags) must_check;

/* The default program, as loaded: its fds. */
enum { GATE_PROG, GATE_MAP, GATE_COUNTERS, GATE_PROGRAM_FDS };

/*
 * gate_program() - load it with maps for so many queues; the caller owns the fds. Of a process
 * without CAP_PERFMON the kernel takes it too, but guards it against speculative stores, which
 * costs some nanoseconds on each packet.
 */
int gate_program(struct gate *gate, uint32_t queues, int out_fds[GATE_PROGRAM_FDS]) must_check;

/* What a program by an id is, and the bpf_link that holds it on a device. */
struct gate_holder {
	char name[BPF_OBJ_NAME_LEN];
	uint32_t link; /* 0: none does */
};

/* gate_holder() - -ENOENT: there is no such program any more. */
int gate_holder(struct gate *gate, uint32_t program, uint32_t ifindex,
		struct gate_holder *out) must_check;

#endif
