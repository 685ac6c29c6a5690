// SPDX-License-Identifier: Apache-2.0
#include "call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "audit.h"
#include "method.h"

/*
 * A packet of 64 KiB can ask for megabytes of empty submessages, and a call may wait for its turn:
 * memory for decoding has an end. What pods may call needs little, but a packet full has to fit.
 */
#define DECODE_ADMIN (512 * 1024)
#define DECODE_POD   (128 * 1024)

#define MALLOC_ROUNDS 32 /* what an allocation takes more than it was asked for, at most */

struct call_block {
	struct call_block *next;
	_Alignas(16) uint8_t data[];
};

void *call_alloc(struct call *call, size_t size)
{
	struct call_block *block;

	size = (size + 15) & ~(size_t)15;
	if (size <= sizeof(call->first) - call->used) {
		void *p = call->first + call->used;

		call->used += size;
		return memset(p, 0, size);
	}
	block = calloc(1, sizeof(*block) + size);
	if (!block)
		return NULL;
	block->next = call->blocks;
	call->blocks = block;
	return block->data;
}

/*
 * The request lives as long as the call, in whose memory it is: nothing of it is freed by itself.
 */
static void *decode_alloc(void *arg, size_t size)
{
	struct call *call = arg;
	size_t cost = size + sizeof(struct call_block) + MALLOC_ROUNDS; /* most are small */
	void *p;

	if (cost > call->decode_left)
		return NULL;
	call->decode_left -= cost;
	p = call_alloc(call, size);
	call->decode_lacks |= !p;
	return p;
}

static void decode_free(void *arg, void *p)
{
	(void)arg;
	(void)p;
}

int call_new(struct core *core, const struct peer *peer, const uint8_t *buf, size_t len,
	     struct fdset *fds, struct call **out)
{
	struct call *call = core->spare ? steal_ptr(&core->spare) : malloc(sizeof(*call));
	ProtobufCAllocator allocator = { decode_alloc, decode_free, call };

	if (!call) {
		core->reap(core->arg, fds, peer);
		return -ENOMEM;
	}
	memset(call, 0, offsetof(struct call, fds));
	call->core = core;
	call->peer = *peer;
	call->lent = -1;
	call->decode_left = peer->admin ? DECODE_ADMIN : DECODE_POD;
	fault_init(&call->fault);
	call->out.n = 0;
	*call->subject.container = *call->subject.interface = '\0';
	call->subject.program = 0;
	fdset_move(&call->fds, fds);
	clock_gettime(CLOCK_MONOTONIC, &call->began);
	xskd__reply__init(&call->reply);
	xskd__status__init(&call->status);
	call->req = xskd__request__unpack(&allocator, len, buf);
	if (!call->req || call->req->id == 0) {
		int err = call->decode_lacks ? -ENOMEM : -EPROTO;

		call_free(call);
		return err;
	}
	call->method = method_find(call->req->call_case);
	*out = call;
	return 0;
}

void call_reap_fd(const struct call *call, int *fd, const struct peer *from)
{
	struct fdset fds = FDSET_INIT;

	if (*fd >= 0)
		(void)!fdset_add(&fds, steal_fd(fd));
	call->core->reap(call->core->arg, &fds, from);
}

/* ---- running ---- */

static int64_t ms_since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - then->tv_sec) * 1000 + (now.tv_nsec - then->tv_nsec) / 1000000;
}

static bool is_late(const struct call *call)
{
	return call->req->timeout_ms && ms_since(&call->began) > (int64_t)call->req->timeout_ms;
}

int call_give_up(struct call *call)
{
	if (!call->gone || !*call->gone || !call->method->undo)
		return 0;
	return call_fail(call, CANCELLED, "the client has gone before its turn came");
}

/*
 * What it would make would be taken back at once. While the daemon runs, that is done nevertheless:
 * who asks for much and does not wait shall not be done sooner, and ask again, than who does.
 */
static int end_with_daemon(struct call *call)
{
	return call->core->ending ? call_give_up(call) : 0;
}

static int admit(struct call *call)
{
	int err;

	if (!call->method)
		return call_fail(call, UNIMPLEMENTED,
				 "xskd " XSKD_VERSION
				 " does not know this call: the client is newer");
	if (call->method->admin && !call->peer.admin)
		return fault_set(
			&call->fault, XSKD__CODE__PERMISSION_DENIED, EPERM,
			"%s is for administrators: use the socket in admin/ of the run directory, "
			"as root",
			call->method->name);
	err = call_give_up(call);
	if (err)
		return err;
	err = call->method->shape ? call->method->shape(call) : 0;
	if (!err && fdset_left(&call->fds))
		return call_fail(
			call, INVALID_ARGUMENT,
			"%u of the packet's file descriptors are named by no field of the request",
			fdset_left(&call->fds));
	return err;
}

int call_admit(struct call *call)
{
	int err = admit(call);

	call->failed = err < 0;
	return err;
}

void call_starve(struct call *call)
{
	fault_set(&call->fault, XSKD__CODE__RESOURCE_EXHAUSTED, EMFILE,
		  "the daemon has no file descriptors left for those of the request: ask again "
		  "later; administrators: raise its limit of open files");
	call->failed = true;
}

static enum call_state ended(struct call *call, bool failed)
{
	call->failed = failed;
	return CALL_ENDED;
}

enum call_state call_run(struct call *call)
{
	if (call->failed)
		return ended(call, true);
	if (call->pause_ms)
		return CALL_PAUSE;
	while (call->step < STEPS_MAX && call->method->steps[call->step].fn) {
		const struct step *step = &call->method->steps[call->step];
		int result;

		if (call->step == 0 && is_late(call)) {
			call_fail(call, DEADLINE_EXCEEDED,
				  "the call's %u ms were over before its turn came",
				  call->req->timeout_ms);
			return ended(call, true);
		}
		if (call->step == 0 && end_with_daemon(call) < 0)
			return ended(call, true);
		if (step->blocks)
			return CALL_WORK;
		result = step->fn(call);
		if (result == CALL_AGAIN)
			return CALL_PAUSE;
		call->step++;
		if (result != 0)
			return ended(call, result < 0);
	}
	return ended(call, false);
}

void call_work(struct call *call)
{
	int result = call->method->steps[call->step].fn(call);

	call->step += result != CALL_AGAIN;
	call->failed = result < 0;
}

/*
 * A sixteenth of what it has waited already, so that what was waited for is found that much too
 * late at most, half of that on average: nothing tells when the kernel frees a queue, some 20 to 60
 * ms after its socket was closed.
 */
#define PAUSE_SHARE  16
#define PAUSE_MAX_MS 16

int call_pause(struct call *call, uint32_t most_ms)
{
	int64_t waited;

	/* By the clock: on a busy machine the attempts take longer than the pauses between them. */
	if (!call->waits)
		clock_gettime(CLOCK_MONOTONIC, &call->paused);
	call->waits = true;
	waited = ms_since(&call->paused);
	if (waited >= (int64_t)most_ms)
		return 0;
	call->pause_ms = waited < PAUSE_SHARE                  ? 1
			 : waited < PAUSE_SHARE * PAUSE_MAX_MS ? (uint32_t)waited / PAUSE_SHARE
							       : PAUSE_MAX_MS;
	return CALL_AGAIN;
}

void call_resume(struct call *call)
{
	call->pause_ms = 0;
	call->failed = end_with_daemon(call) < 0;
}

/* ---- answering ---- */

static Xskd__Code code_of(const struct call *call)
{
	if (!call->failed)
		return XSKD__CODE__OK;
	return call->fault.code ? call->fault.code : XSKD__CODE__INTERNAL;
}

static void fill_status(struct call *call)
{
	if (!call->failed)
		return;
	call->status.code = code_of(call);
	call->status.message = call->fault.text;
	call->status.system_errno = call->fault.err;
	if (call->fault.log)
		call->status.log = call->fault.log;
	call->reply.result_case = XSKD__REPLY__RESULT__NOT_SET;
	call->reply.status = &call->status;
}

size_t call_reply(struct call *call, uint8_t *buf)
{
	call->reply.id = call->req->id;
	fill_status(call);
	if (xskd__reply__get_packed_size(&call->reply) > PACKET_MAX) {
		call_fail(call, INTERNAL, "the reply does not fit a packet");
		call->failed = true;
		fill_status(call);
	}
	return xskd__reply__pack(&call->reply, buf);
}

void call_note(const struct call *call)
{
	metrics_call(&call->core->metrics, call->method ? call->method->call : 0, code_of(call),
		     &call->began);
}

bool call_must_undo(const struct call *call, bool delivered)
{
	return call->made && (call->failed || !delivered);
}

void call_undo(struct call *call)
{
	call->method->undo(call);
	call->made = false;
}

void call_free(struct call *call)
{
	/* Here, where the client has its answer already and does not wait for the log. */
	if (call->req)
		audit_note(call->core->audit, call);
	if (call->method && call->method->done && call->job)
		call->method->done(call);
	while (call->blocks) {
		struct call_block *block = call->blocks;

		call->blocks = block->next;
		free(block);
	}
	fdset_done(&call->out);
	call->core->reap(call->core->arg, &call->fds, &call->peer);
	fault_done(&call->fault);
	if (call->core->spare)
		free(call);
	else
		call->core->spare = call;
}
