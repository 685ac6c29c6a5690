/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heart of the daemon on a kernel in memory, and the edge's part in a call, step by step and on
 * one thread: so that a test can hold one call between its steps while others run, and the fuzzer
 * can do both millions of times. Knows nothing of cmocka.
 *
 * To begin with there are two pods with a namespace each: "a" has a device eth0 of four queues, "b"
 * has an eth0 of two; the host has host0 of eight queues and host1 of one.
 */
#ifndef XSKD_TESTS_WORLD_H
#define XSKD_TESTS_WORLD_H

#include "audit.h"
#include "call.h"
#include "fake_kernel.h"
#include "log.h"

#define EVENTS_MAX 128

/* A message as its initialiser gives it, which would cast a const away. */
#define EMPTY(name)                                                          \
	({                                                                   \
		__typeof__(*(xskd__##name##__unpack)(NULL, 0, NULL)) empty_; \
		xskd__##name##__init(&empty_);                               \
		empty_;                                                      \
	})

/* An event as a watcher was told of it. */
struct told {
	uint64_t conn;
	Xskd__EventKind kind;
	char container[130], interface[16], message[256];
	uint64_t lease, sock;
	uint32_t queue;
};

/* The last line of the audit. */
struct audited {
	unsigned int n; /* how many there were */
	char call[32], result[16], subject[192], peer[16], reason[704], again[16];
};

struct world {
	struct core core;
	struct audit *audit;
	char run_dir[64];
	int pod_a, pod_b; /* their namespaces */
	struct fake_device *eth_a, *eth_b, *host0, *host1;
	struct peer admin, a, b;
	uint64_t last_conn;
	/* A connection whose peer reads no more: an event for it makes it one that is gone. */
	uint64_t broken, gone;
	struct told told[EVENTS_MAX];
	size_t n_told;
};

extern struct audited audited;

/* Told when what follows is the client's doing and not the daemon's, and when that is over. */
extern void (*world_outside)(bool outside);

void world_init(struct world *w);
void world_done(struct world *w);

/*
 * world_restart() - as after a kill: a new core over the state files and the pins that are there.
 */
void world_restart(struct world *w);

/* world_try_restart() - likewise. Return: what core_restore() said. */
int world_try_restart(struct world *w, struct fault *fault);

/* world_peer() - a new connection from namespace @netns. */
struct peer world_peer(struct world *w, int netns, bool admin);

/* world_close_gone() - as the edge does once the core has finished; finish() does it, too. */
void world_close_gone(struct world *w);

/* world_hang_up() - the end of a connection. */
void world_hang_up(struct world *w, const struct peer *peer);

/* ---- calls ---- */

struct answer {
	int refused; /* what call_new() said: a negative error hangs up, and there is nothing else
		      */
	Xskd__Reply *m;
	struct fdset fds;
};

/* answer_code() - of its status; -1: it was refused. */
int answer_code(const struct answer *a);
const char *answer_text(const struct answer *a);
void answer_done(struct answer *a);

/* begin() - call_new() and call_admit(). @message: of the case; @fds: copies go with it. */
struct call *begin(struct world *w, const struct peer *peer, Xskd__Request__CallCase which,
		   void *message, const int *fds, size_t n);
struct call *begin_bytes(struct world *w, const struct peer *peer, const uint8_t *buf, size_t len,
			 struct fdset *fds, int *out_err);

/* go() - up to the step that is due on a worker, @work: and that step. Return: whether it ended. */
bool go(struct call *call, bool work);

/* finish() - run what is left, then settle(): answer, undo where that is due, free. */
struct answer finish(struct call *call, bool delivered);
struct answer settle(struct call *call, bool delivered);

/* ask() - all of it. ask_request(): with id and timeout of one's own. */
struct answer ask(struct world *w, const struct peer *peer, Xskd__Request__CallCase which,
		  void *message, const int *fds, size_t n);
struct answer ask_request(struct world *w, const struct peer *peer, Xskd__Request *request,
			  const int *fds, size_t n);

/* A string for a field of a message, which nobody writes to. */
static inline char *str(const char *s)
{
	return (char *)(uintptr_t)s;
}

/* ---- what tests need most; each aborts where it does not succeed ---- */

/* world_load() - the default program. Return: its id. */
uint32_t world_load(struct world *w, int netns, const char *interface);
uint32_t world_load_transient(struct world *w, int netns, const char *interface);

/* world_grant() - @device NULL: device mode; @n 0: all queues. Return: the lease's id. */
uint64_t world_grant(struct world *w, int netns, const char *container, const char *interface,
		     const char *device, const uint32_t *queues, size_t n);

/*
 * world_pods() - programs and leases: "a" has its eth0 in device mode, "b" queues 2 and 3 of host0.
 */
void world_pods(struct world *w);

/* world_umem() - a sealed memfd. */
int world_umem(uint64_t size);

/* world_handoff() - request one socket for each of @queues, with a UMEM of 16 frames. */
struct answer world_handoff(struct world *w, const struct peer *peer, const uint32_t *queues,
			    size_t n, bool keep);

/* world_sweep() - one sweep, from its beginning to its end. */
void world_sweep(struct world *w);

/*
 * world_print() - all that could tell one state from another, without numbers that only grow. Freed
 * by the caller.
 */
char *world_print(struct world *w);

/*
 * ---- link with -Wl,--wrap=log_fields,--wrap=log_line: the audit is looked at, the rest dropped
 * ----
 */
void __wrap_log_fields(enum log_level level, const char *message, const struct log_field *fields,
		       size_t n);
void __wrap_log_line(enum log_level level, const char *fmt, ...) printf_like(2, 3);

#endif
