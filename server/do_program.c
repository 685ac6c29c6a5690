// SPDX-License-Identifier: Apache-2.0
/* LoadProgram, UnloadProgram, ListPrograms, GetProgram. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "instance.h"
#include "method.h"
#include "netns.h"
#include "pool.h"

#define CONSTANTS_MAX 64

/* ---- LoadProgram ---- */

struct load {
	int netns_fd, object_fd; /* -1: none */
	ino_t inode;
	int nsid;
	uint64_t cookie;
	struct instance_constant *constants;
	struct instance instance;
	bool ready;             /* it waited in the pool */
	Xskd__Program *program; /* the message that becomes the program's */
	uint32_t there;         /* id of what is known to be at that place; 0: nothing */
	char *there_name;
};

static int shape_constants(struct call *call, struct load *job)
{
	const Xskd__LoadProgramRequest *req = call->req->load_program;

	if (req->n_constants > CONSTANTS_MAX)
		return call_fail(call, INVALID_ARGUMENT, "%zu constants are more than %d",
				 req->n_constants, CONSTANTS_MAX);
	if (req->n_constants && !req->object_fd)
		return call_fail(call, INVALID_ARGUMENT,
				 "the default program has no constants: send an object with them");
	job->constants = call_alloc(call, (req->n_constants + 1) * sizeof(*job->constants));
	if (!job->constants)
		return fault_sys(&call->fault, ENOMEM, "cannot take the constants in");
	for (size_t i = 0; i < req->n_constants; i++) {
		const Xskd__Constant *c = req->constants[i];

		job->constants[i] = (struct instance_constant){
			.name = c->name,
			.value = c->value.len ? c->value.data : NULL,
			.size = c->value.len,
			.number = c->number,
		};
	}
	return 0;
}

static int load_shape(struct call *call)
{
	const Xskd__LoadProgramRequest *req = call->req->load_program;
	struct load *job = call_alloc(call, sizeof(*job));
	int err;

	if (!job)
		return fault_sys(&call->fault, ENOMEM, "cannot load a program");
	job->netns_fd = job->object_fd = job->nsid = -1;
	job->instance = INSTANCE_INIT;
	call->job = job;
	err = shape_interface(call, req->interface);
	if (!err)
		err = shape_netns(call, req->netns_fd, &job->netns_fd, &job->inode);
	if (err < 0)
		return err;
	if (req->mode > XSKD__XDP_MODE__XDP_MODE_GENERIC)
		return call_fail(call, INVALID_ARGUMENT, "there is no XDP mode %d", (int)req->mode);
	if (!req->object_fd && (*req->program || *req->map))
		return call_fail(call, INVALID_ARGUMENT,
				 "program and map are names in an object, but none was sent");
	if (req->object_fd) {
		job->object_fd = fdset_take(&call->fds, req->object_fd);
		if (job->object_fd < 0)
			return call_fail(call, INVALID_ARGUMENT,
					 "the packet has no file descriptor %u", req->object_fd);
	}
	shape_lane(call, job->inode, req->interface);
	return shape_constants(call, job);
}

static int load_check(struct call *call)
{
	const Xskd__LoadProgramRequest *req = call->req->load_program;
	struct load *job = call->job;
	const struct program *p = program_at(call->core, job->inode, req->interface);

	if (p && p->leaving)
		return refuse_leaving(call, p);
	if (!p)
		return 0;
	job->there = p->m->id;
	job->there_name = call_alloc(call, strlen(p->m->name) + 1);
	if (!job->there_name)
		return fault_sys(&call->fault, ENOMEM, "cannot load a program");
	memcpy(job->there_name, p->m->name, strlen(p->m->name) + 1);
	return 0;
}

/* The kernel uses inodes again: one of a namespace that has gone may be this one's now. */
static int look_there(struct call *call)
{
	const struct load *job = call->job;
	uint32_t ifindex = 0;
	int err = job->there ? instance_ifindex(call->core->bpf_dir, job->there, &ifindex) : 0;

	if (!ifindex && (!err || err == -ENOENT)) /* the latter: the sweep is at it already */
		return 0;
	return call_fail(call, ALREADY_EXISTS,
			 "xskd has a program on '%s' already (id %u, '%s'): unload it first",
			 call->req->load_program->interface, job->there, job->there_name);
}

static int describe(struct call *call, const struct device *dev, enum instance_mode granted)
{
	struct load *job = call->job;
	Xskd__Program m;

	xskd__program__init(&m);
	m.id = job->instance.id;
	m.name = job->instance.name;
	m.interface = (char *)(uintptr_t)dev->name;
	m.ifindex = dev->ifindex;
	m.netns_cookie = job->cookie;
	m.mode = granted == INSTANCE_GENERIC ? XSKD__XDP_MODE__XDP_MODE_GENERIC
					     : XSKD__XDP_MODE__XDP_MODE_NATIVE;
	m.custom = job->instance.custom;
	m.map = job->instance.map_name;
	m.map_entries = job->instance.map_entries;
	m.map_id = job->instance.map_id;
	m.link_id = job->instance.link_id;
	m.loaded_at = (uint64_t)time(NULL);
	m.transient = call->req->load_program->transient;
	m.from_pool = job->ready;
	m.queues = m.custom ? m.map_entries : dev->max_queues;
	job->program = message_clone(&m);
	return job->program ? 0 : fault_sys(&call->fault, ENOMEM, "cannot note the program");
}

static int save(struct call *call, const struct load *job)
{
	const struct program noted = { .m = job->program, .inode = job->inode, .nsid = job->nsid };
	Xskd__StateFile file;
	char name[16];

	snprintf(name, sizeof(name), "%u", job->program->id);
	program_file(&noted, &file);
	return state_write(&call->core->state, STATE_PROGRAMS, name, &file, &call->fault);
}

/*
 * In the order that a kill at any point leaves something simple for the next start: pins without a
 * pinned link or without a state file are half made, and removed.
 */
static int make(struct call *call, struct netns *ns)
{
	const Xskd__LoadProgramRequest *req = call->req->load_program;
	struct load *job = call->job;
	const char *bpf_dir = call->core->bpf_dir;
	struct pool *pool = call->core->pool;
	struct instance_spec spec = {
		.object_fd = job->object_fd,
		.program = req->program,
		.map = req->map,
		.constants = job->constants,
		.n_constants = req->n_constants,
	};
	enum instance_mode granted;
	struct device dev;
	int err;

	job->cookie = call->core->cookie;
	err = job->netns_fd < 0 ? 0 : netns_cookie(ns, &job->cookie);
	if (!err)
		err = device_find(ns, req->interface, &dev);
	if (err)
		return fault_sys(&call->fault, -err, "cannot find interface '%s'", req->interface);
	spec.queues = dev.max_queues;
	err = pool_make(pool, &spec, &job->instance, &job->ready, &call->fault);
	call->made = !err;
	if (!err && !job->ready)
		err = instance_pin(&job->instance, bpf_dir, false, &call->fault);
	if (!err)
		err = pool_attach(pool, &job->instance, ns, &dev, (enum instance_mode)req->mode,
				  &granted, &call->fault);
	if (!err)
		err = instance_pin_link(&job->instance, bpf_dir, &call->fault);
	if (!err)
		err = describe(call, &dev, granted);
	return err ? err : save(call, job);
}

static int load_make(struct call *call)
{
	struct load *job = call->job;
	cleanup(netns_done) struct netns ns = NETNS_OF(call->core->gate, job->netns_fd);
	/*
	 * A number for the namespace, so that the kernel's news of its devices reach us
	 * (monitor.h).
	 */
	int err = look_there(call);

	if (err < 0)
		return err;
	err = job->netns_fd < 0 ? 0 : netns_nsid(job->netns_fd, &job->nsid);
	if (err < 0)
		return fault_sys(&call->fault, -err, "cannot give the network namespace a number");
	return make(call, &ns);
}

static int reply_program(struct call *call, Xskd__Program *m)
{
	struct {
		Xskd__LoadProgramReply load;
		Xskd__GetProgramReply get;
	} *reply = call_alloc(call, sizeof(*reply));

	if (!reply)
		return fault_sys(&call->fault, ENOMEM, "cannot tell about the program");
	if (call->method == &method_load_program) {
		xskd__load_program_reply__init(&reply->load);
		reply->load.program = m;
		call->reply.result_case = XSKD__REPLY__RESULT_LOAD_PROGRAM;
		call->reply.load_program = &reply->load;
	} else {
		xskd__get_program_reply__init(&reply->get);
		reply->get.program = m;
		call->reply.result_case = XSKD__REPLY__RESULT_GET_PROGRAM;
		call->reply.get_program = &reply->get;
	}
	return 0;
}

static int load_enter(struct call *call)
{
	struct load *job = call->job;
	struct program *old = job->there ? program_find(call->core, job->there) : NULL;
	struct program *p = program_add(call->core, steal_ptr(&job->program), job->inode, job->nsid,
					steal_fd(&job->instance.map_fd));
	int err;

	if (!p)
		return fault_sys(&call->fault, ENOMEM, "cannot note the program");
	note_subject(call, "", p->m->interface, p->m->id);
	/* Nowhere, as was seen: it is not found there any more, and the sweep removes it. */
	if (old)
		program_moved(call->core, old, old->inode, old->nsid, old->m->netns_cookie, 0,
			      old->m->interface);
	call->core->refill(call->core->arg);
	program_serve(call->core, p);
	err = reply_program(call, p->m);
	if (err < 0)
		program_drop(call->core, p, false);
	return err;
}

/* Only after a failure: a program whose reply was lost stays, and GetProgram finds it. */
static void load_undo(struct call *call)
{
	struct load *job = call->job;
	uint32_t id = job->instance.id;
	/* Nobody has seen its map; but once it was attached, others have seen its id. */
	bool clean = !job->instance.link_id;

	if (!call->failed)
		return;
	instance_detach(&job->instance);
	instance_done(&job->instance);
	pool_mark(call->core->pool, id, clean);
	/* What cannot be removed now is found half made at the next start. */
	if (program_remove(call->core, id) < 0)
		pool_mark(call->core->pool, id, false);
	pool_settle(call->core->pool, id, clean);
}

static void load_done(struct call *call)
{
	struct load *job = call->job;

	instance_done(&job->instance);
	call_reap_fd(call, &job->object_fd, &call->peer);
	close_fdp(&job->netns_fd);
	if (job->program)
		xskd__program__free_unpacked(job->program, NULL);
}

const struct method method_load_program = {
	.call = XSKD__REQUEST__CALL_LOAD_PROGRAM,
	.name = "LoadProgram",
	.admin = true,
	.audit = true,
	.shape = load_shape,
	.steps = { { load_check, false }, { load_make, true }, { load_enter, false } },
	.undo = load_undo,
	.done = load_done,
};

/* ---- UnloadProgram ---- */

struct unload {
	ino_t inode;
	uint32_t id;   /* that is leaving; 0: none yet */
	uint32_t link; /* of the program that was meant when the call came; 0: not by its id */
	int map_fd;
	char interface[16];
	uint32_t *queues; /* where sockets were seen last */
	size_t n_queues;
};

static int unload_shape(struct call *call)
{
	const Xskd__UnloadProgramRequest *req = call->req->unload_program;
	struct unload *job = call_alloc(call, sizeof(*job));
	const struct program *p;
	cleanup(close_fdp) int netns_fd = -1;
	int err;

	if (!job)
		return fault_sys(&call->fault, ENOMEM, "cannot unload a program");
	job->map_fd = -1;
	call->job = job;
	err = shape_netns(call, req->netns_fd, &netns_fd, &job->inode);
	if (!err && !req->id)
		err = shape_interface(call, req->interface);
	if (err < 0)
		return err;
	p = req->id ? program_find(call->core, req->id) : NULL;
	job->link = req->link_id ? req->link_id : p ? p->m->link_id : 0;
	shape_lane(call, p ? p->inode : job->inode, p ? p->m->interface : req->interface);
	return 0;
}

static int unload_check(struct call *call)
{
	const Xskd__UnloadProgramRequest *req = call->req->unload_program;
	struct core *core = call->core;
	struct unload *job = call->job;
	const struct sock *s = NULL;
	struct program *p;
	size_t n = 0;
	int err = find_program(call, req->id, job->inode, req->interface, &p);

	if (err < 0)
		return err;
	if (job->link && job->link != p->m->link_id)
		return call_fail(
			call, NOT_FOUND,
			"program %u is not attached by link %u any more: it was unloaded, and that "
			"id serves '%s' now: `xskctl program list`",
			p->m->id, job->link, p->m->interface);
	snprintf(job->interface, sizeof(job->interface), "%s", p->m->interface);
	while ((s = sock_next_of_program(core, p->m->id, s)))
		n++;
	job->queues = call_alloc(call, (n + 1) * sizeof(*job->queues));
	job->map_fd = fcntl(p->map_fd, F_DUPFD_CLOEXEC, 3);
	if (!job->queues || job->map_fd < 0)
		return fault_sys(&call->fault, errno, "cannot unload program %u", p->m->id);
	while ((s = sock_next_of_program(core, p->m->id, s)))
		job->queues[job->n_queues++] = s->m->queue;
	if (!program_leave(core, p))
		return refuse_leaving(call, p);
	job->id = p->m->id;
	return 0;
}

static int unload_remove(struct call *call)
{
	struct unload *job = call->job;
	int err;

	for (size_t i = 0; i < job->n_queues && !call->req->unload_program->force; i++) {
		bool held = false;

		if (xsk_held(&call->core->prober, job->map_fd, job->queues[i], &held) == 0 && held)
			return call_fail(
				call, FAILED_PRECONDITION,
				"queue %u of '%s' has a socket that receives through program %u: "
				"end its holder (`xskctl socket list`), or unload with force",
				job->queues[i], job->interface, job->id);
	}
	err = program_remove(call->core, job->id);
	if (err < 0)
		return fault_sys(&call->fault, -err, "cannot remove the pins of program %u",
				 job->id);
	return 0;
}

static int unload_note(struct call *call)
{
	const struct unload *job = call->job;
	bool alone = call->core->hear(call->core->arg);
	Xskd__UnloadProgramReply *reply = call_alloc(call, sizeof(*reply));

	program_forget(call->core, job->id, alone);
	if (!reply)
		return fault_sys(&call->fault, ENOMEM, "cannot answer");
	xskd__unload_program_reply__init(reply);
	call->reply.result_case = XSKD__REPLY__RESULT_UNLOAD_PROGRAM;
	call->reply.unload_program = reply;
	return 0;
}

static void unload_done(struct call *call)
{
	struct unload *job = call->job;

	program_stay(call->core, job->id);
	close_fdp(&job->map_fd);
}

const struct method method_unload_program = {
	.call = XSKD__REQUEST__CALL_UNLOAD_PROGRAM,
	.name = "UnloadProgram",
	.admin = true,
	.audit = true,
	.shape = unload_shape,
	.steps = { { unload_check, false }, { unload_remove, true }, { unload_note, false } },
	.done = unload_done,
};

/* ---- GetProgram, ListPrograms ---- */

static int get_program(struct call *call)
{
	const Xskd__GetProgramRequest *req = call->req->get_program;
	cleanup(close_fdp) int netns_fd = -1;
	struct program *p;
	ino_t inode;
	int err = shape_netns(call, req->netns_fd, &netns_fd, &inode);

	if (!err && !req->id)
		err = shape_interface(call, req->interface);
	if (!err)
		err = find_program(call, req->id, inode, req->interface, &p);
	return err ? err : reply_program(call, p->m);
}

const struct method method_get_program = {
	.call = XSKD__REQUEST__CALL_GET_PROGRAM,
	.name = "GetProgram",
	.admin = true,
	.shape = get_program, /* all that it does is cheap, and the namespace fd must be taken here
			       */
};

static ProtobufCMessage *program_message(struct call *call, void *item, uint64_t *out_id)
{
	const struct program *p = item;

	(void)call;
	*out_id = p->m->id;
	return &p->m->base;
}

static int list_programs(struct call *call)
{
	Xskd__ListProgramsReply *reply = call_alloc(call, sizeof(*reply));
	uint64_t asked = call->req->list_programs->after;
	uint32_t after = asked < UINT32_MAX ? (uint32_t)asked : UINT32_MAX;

	if (!reply)
		return fault_sys(&call->fault, ENOMEM, "cannot make the list");
	xskd__list_programs_reply__init(reply);
	call->reply.result_case = XSKD__REPLY__RESULT_LIST_PROGRAMS;
	call->reply.list_programs = reply;
	return page_fill(call, &call->core->programs, &after, program_message,
			 (void ***)&reply->programs, &reply->n_programs, &reply->next);
}

const struct method method_list_programs = {
	.call = XSKD__REQUEST__CALL_LIST_PROGRAMS,
	.name = "ListPrograms",
	.admin = true,
	.steps = { { list_programs, false } },
};
