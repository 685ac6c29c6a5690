/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call, from the bytes of a request to the bytes of its reply, without sockets and without a
 * loop. The heart of the daemon: unit tests and the fuzzer call it directly.
 *
 * A call is a row of the table (method.h): a function that checks the request's shape, and up to
 * STEPS_MAX steps. Steps alternate between the loop thread, where the daemon's knowledge (core.h)
 * may be read and changed, and a worker thread, which may block, and sees only this call. The order
 * in a method is always: shape, permission, existence, limit, act, note, answer.
 */
#ifndef XSKD_CALL_H
#define XSKD_CALL_H

#include <sys/types.h>

#include "core.h"
#include "fault.h"
#include "fdset.h"
#include "packet.h"

/* Who asks, as the kernel attests it. */
struct peer {
	bool admin;
	bool stranger; /* its namespace held no lease when it connected */
	pid_t pid;
	uid_t uid;
	int sock;        /* the connection, for SIOCGSKNS; borrowed, -1: none */
	uint64_t cookie; /* of the network namespace in which the client made its socket */
	uint64_t conn;   /* our number for the connection */
};

/* What a call is about, as it came: it is put into words only when it is logged. */
struct subject {
	uint32_t program; /* 0: none */
	char container[129], interface[16];
};

#define STEPS_MAX 5

struct call;

/*
 * A step ends the call early with CALL_DONE, goes on to the next with 0, or fails. With CALL_AGAIN,
 * and call->pause_ms set, it is run again after that time: so nobody sleeps on a worker.
 */
#define CALL_DONE  1
#define CALL_AGAIN 2

struct step {
	int (*fn)(struct call *call);
	bool blocks; /* runs on a worker thread */
};

struct method {
	Xskd__Request__CallCase call;
	const char *name;
	bool admin; /* administrators only */
	bool audit; /* grants or takes away: leaves a line in the log, also when it is refused */
	/* Looks at the request alone; names the lane: calls of one lane run one after another. */
	int (*shape)(struct call *call);
	struct step steps[STEPS_MAX];
	/*
	 * On a worker: take back what the steps made, when the call failed or its reply was not
	 * sent.
	 */
	void (*undo)(struct call *call);
	void (*done)(struct call *call); /* end call->job */
};

struct call {
	struct core *core;
	struct peer peer;
	const struct method *method; /* NULL: there is no such call */
	const bool *gone;            /* nobody is there any more to get the answer; may be NULL */
	Xskd__Request *req;
	char lane[48]; /* "": none, need not wait for others */
	struct timespec began;
	unsigned int step;
	struct timespec paused; /* for the first time */
	uint32_t pause_ms;      /* to wait now; 0: it runs */
	bool waits;             /* it has paused */
	bool failed;

	void *job; /* the method's own, ended by method->done */
	bool made; /* something is there that undo would have to take back */

	Xskd__Reply reply;
	Xskd__Status status;
	int lent; /* the core's fd that goes with it, instead of call->out; -1: none */

	/* Memory of request and reply: freed with the call. The first of it needs no malloc. */
	size_t decode_left; /* that the request may still take */
	bool decode_lacks;  /* it may, but there was none */
	struct call_block *blocks;
	size_t used;

	/* From here on nothing is cleared: what these hold they say themselves. */
	struct fdset fds;       /* that came in and nobody took */
	struct fdset out;       /* of the reply */
	struct fault fault;     /* why it failed */
	struct subject subject; /* for the audit line */
	_Alignas(16) uint8_t first[1024];
};

/*
 * call_new() - take in one request.
 * @fds: moved into the call.
 * Return: 0; -EPROTO: these bytes are no request, so hang up; -ENOMEM.
 */
int call_new(struct core *core, const struct peer *peer, const uint8_t *buf, size_t len,
	     struct fdset *fds, struct call **out) must_check;

/*
 * call_admit() - on the loop, first of all: is there such a call, may this peer make it, is it well
 * formed. Names the lane. Return: 0, or negative: it has failed, and call_run() will say so.
 */
int call_admit(struct call *call) must_check;

/* call_starve() - instead of it, where the request's fds could not be taken in. */
void call_starve(struct call *call);

enum call_state {
	CALL_ENDED, /* the reply can be packed */
	CALL_WORK,  /* run call_work() on a worker, then call_run() again */
	CALL_PAUSE, /* let call->pause_ms pass, call_resume(), then call_run() again */
};

/* call_run() - on the loop: go on as far as that is possible without blocking. */
enum call_state call_run(struct call *call);

/* call_work() - on a worker: the step that is due. */
void call_work(struct call *call);

void call_resume(struct call *call);

/* call_give_up() - fails where nobody waits for what it would make. */
int call_give_up(struct call *call) must_check;

/*
 * call_pause() - for a step that finds what it needs busy: wait a little, a little longer each
 * time. Return: CALL_AGAIN; 0: that began @most_ms ago, and it may give up.
 */
int call_pause(struct call *call, uint32_t most_ms) must_check;

/*
 * call_reply() - pack the reply; call->out and call->lent go with it.
 * @buf has room for PACKET_MAX. Return: its length.
 */
size_t call_reply(struct call *call, uint8_t *buf);

/* call_note() - on the loop: it has been answered, or there is nobody to answer. Count it. */
void call_note(const struct call *call);

/* call_must_undo() - whether call_undo() is due, on a worker, before call_free(). */
bool call_must_undo(const struct call *call, bool delivered);
void call_undo(struct call *call);

void call_free(struct call *call);

/*
 * call_reap_fd() - close what the client sent, on a worker: it can be the last close of anything, a
 * socket that lingers or a gigabyte of memory, and so block for as long as the client wants.
 * @from: call->peer; NULL: it is known to be none of those.
 */
void call_reap_fd(const struct call *call, int *fd, const struct peer *from);

/* call_alloc() - zeroed memory that lives as long as the call; NULL: there is none. */
void *call_alloc(struct call *call, size_t size) must_check;

/* call_fail() - fault_set() for methods that have no errno to tell of. */
#define call_fail(call, what, ...) fault_set(&(call)->fault, XSKD__CODE__##what, 0, __VA_ARGS__)

#endif
