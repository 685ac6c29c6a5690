// SPDX-License-Identifier: Apache-2.0
#include "call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "audit.h"
#include "method.h"

/* A packet of 64 KiB can ask for millions of empty submessages: memory for decoding has an end. */
#define DECODE_MAX (512 * 1024)

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
	void *p;

	if (size > call->decode_left)
		return NULL;
	call->decode_left -= size;
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
	struct call *call = malloc(sizeof(*call));
	ProtobufCAllocator allocator = { decode_alloc, decode_free, call };

	if (!call) {
		fdset_done(fds);
		return -ENOMEM;
	}
	memset(call, 0, offsetof(struct call, first));
	call->core = core;
	call->peer = *peer;
	call->lent = -1;
	call->decode_left = DECODE_MAX;
	call->fault = FAULT_INIT;
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
	if (call->peer.gone && call->method->undo)
		return call_fail(call, CANCELLED, "the client has gone before its turn came");
	err = call->method->shape ? call->method->shape(call) : 0;
	if (!err && fdset_left(&call->fds))
		return call_fail(
			call, INVALID_ARGUMENT,
			"%u of the packet's file descriptors are named by no field of the request",
			fdset_left(&call->fds));
	fdset_done(&call->fds);
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

#define PAUSES_TO_MAX 3 /* 1, 2, 4, 8, 8, ... ms */

int call_pause(struct call *call, uint32_t most_ms)
{
	/* By the clock: on a busy machine the attempts take longer than the pauses between them. */
	if (!call->pauses)
		clock_gettime(CLOCK_MONOTONIC, &call->paused);
	else if (ms_since(&call->paused) >= (int64_t)most_ms)
		return 0;
	call->pause_ms = call->pauses < PAUSES_TO_MAX ? 1U << call->pauses : 1U << PAUSES_TO_MAX;
	call->pauses++;
	return CALL_AGAIN;
}

void call_resume(struct call *call)
{
	call->pause_ms = 0;
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
		call->method->done(call->job);
	while (call->blocks) {
		struct call_block *block = call->blocks;

		call->blocks = block->next;
		free(block);
	}
	fdset_done(&call->out);
	fdset_done(&call->fds);
	fault_done(&call->fault);
	free(call);
}
