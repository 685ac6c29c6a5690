// SPDX-License-Identifier: Apache-2.0
/* RevokeLease: the end of leases, and of what their sockets receive. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "method.h"

struct entry {
	int map_fd;
	uint32_t queue;
};

/* A transient program whose last lease ends here. */
struct leaver {
	uint32_t id;
	bool removed;
};

struct revoke {
	struct core *core;
	uint32_t revoked;
	struct entry *entries;
	size_t n_entries;
	struct leaver *programs;
	size_t n_programs;
	int err; /* of the worker's step */
};

static int revoke_shape(struct call *call)
{
	const Xskd__RevokeLeaseRequest *req = call->req->revoke_lease;
	int err = shape_container(call, req->container);

	if (!err && *req->interface)
		err = shape_interface(call, req->interface);
	if (err < 0)
		return err;
	note_subject(call, req->container, *req->interface ? req->interface : "*", 0);
	shape_lane_of_leases(call);
	return 0;
}

static bool is_meant(const struct lease *l, const Xskd__RevokeLeaseRequest *req)
{
	return !strcmp(l->m->container, req->container) &&
	       (!*req->interface || !strcmp(l->m->interface, req->interface));
}

/*
 * Its sockets leave the map on a worker; the program may be unloaded meanwhile, so by a copy of its
 * fd.
 */
static int note_entries(struct call *call, const struct lease *l)
{
	struct revoke *job = call->job;
	const struct core *core = call->core;

	for (size_t i = 0; i < core->socks.n; i++) {
		const struct sock *s = core->socks.at[i];
		const struct program *p = program_find(core, s->m->program_id);
		struct entry *e = &job->entries[job->n_entries];

		if (s->lease != l->m->id || !p)
			continue;
		e->queue = s->m->queue;
		e->map_fd = fcntl(p->map_fd, F_DUPFD_CLOEXEC, 3);
		if (e->map_fd < 0)
			return fault_sys(&call->fault, errno, "cannot revoke");
		job->n_entries++;
	}
	return 0;
}

/* First all that can fail, so that nothing has changed when it does. */
static int revoke_prepare(struct call *call)
{
	const Xskd__RevokeLeaseRequest *req = call->req->revoke_lease;
	const struct core *core = call->core;
	struct revoke *job = call->job;
	size_t n = 0;
	int err = 0;

	for (size_t i = 0; i < core->leases.n; i++)
		n += is_meant(core->leases.at[i], req);
	job->entries = call_alloc(call, (core->socks.n + 1) * sizeof(*job->entries));
	job->programs = call_alloc(call, (n + 1) * sizeof(*job->programs));
	if (!job->entries || !job->programs)
		return fault_sys(&call->fault, ENOMEM, "cannot revoke");
	for (size_t i = 0; i < core->leases.n && !err; i++) {
		if (is_meant(core->leases.at[i], req))
			err = note_entries(call, core->leases.at[i]);
	}
	return err;
}

/* One that cannot leave now, as another call has to do with it, is left to that or to the sweep. */
static void take_program(struct revoke *job, struct program *p)
{
	if (p && program_is_over(p) && program_leave(p))
		job->programs[job->n_programs++].id = p->m->id;
}

static int revoke_take(struct call *call)
{
	struct core *core = call->core;
	struct revoke *job = call_alloc(call, sizeof(*job));
	int err;

	if (!job)
		return fault_sys(&call->fault, ENOMEM, "cannot revoke");
	job->core = core;
	call->job = job;
	err = revoke_prepare(call);
	if (err < 0)
		return err;
	for (size_t i = core->leases.n; i--;) {
		struct lease *l = core->leases.at[i];
		struct program *p;

		if (!is_meant(l, call->req->revoke_lease))
			continue;
		p = program_find(core, l->m->program_id);
		job->revoked++;
		lease_drop(core, l, "revoked");
		take_program(job, p);
	}
	return 0;
}

/*
 * By the name, whether or not there is a lease: a file that could not be removed the last time
 * would be a lease again at the next start.
 */
static int remove_files(const struct call *call)
{
	const Xskd__RevokeLeaseRequest *req = call->req->revoke_lease;
	const struct state *state = &call->core->state;
	char name[256];

	snprintf(name, sizeof(name), "%s@%s", req->container, req->interface);
	return *req->interface ? state_remove(state, STATE_LEASES, name)
			       : state_remove_all(state, STATE_LEASES, name);
}

/*
 * The programs before the files of their leases: after a kill between them, whoever asks again
 * finds a lease to revoke, and not a program without one, which would stay for a while. A failure
 * is judged in revoke_answer(): what was removed by then is to be forgotten.
 */
static int revoke_remove(struct call *call)
{
	struct revoke *job = call->job;
	int err;

	for (size_t i = 0; i < job->n_entries; i++)
		xsk_remove(job->entries[i].map_fd, job->entries[i].queue);
	for (size_t i = 0; i < job->n_programs; i++) {
		struct leaver *leaver = &job->programs[i];

		err = program_remove(call->core, leaver->id);
		leaver->removed = !err;
		if (err < 0)
			job->err = fault_sys(&call->fault, -err,
					     "the lease has ended, but its program %u cannot be "
					     "removed: xskd goes on trying",
					     leaver->id);
	}
	err = remove_files(call);
	if (err < 0)
		job->err = fault_sys(&call->fault, -err,
				     "the lease has ended, but its state file cannot be removed: "
				     "revoke it again");
	return 0;
}

static void drop_programs(struct core *core, const struct revoke *job)
{
	for (size_t i = 0; i < job->n_programs; i++) {
		struct program *p = program_find(core, job->programs[i].id);

		if (!p || !job->programs[i].removed)
			continue;
		log_info("program %u has gone from '%s' with its last lease", p->m->id,
			 p->m->interface);
		program_drop(core, p);
	}
}

static int revoke_answer(struct call *call)
{
	const struct revoke *job = call->job;
	Xskd__RevokeLeaseReply *reply = call_alloc(call, sizeof(*reply));

	drop_programs(call->core, job);
	if (job->err < 0)
		return job->err;
	if (!reply)
		return fault_sys(&call->fault, ENOMEM, "cannot answer");
	xskd__revoke_lease_reply__init(reply);
	reply->revoked = job->revoked;
	call->reply.result_case = XSKD__REPLY__RESULT_REVOKE_LEASE;
	call->reply.revoke_lease = reply;
	return 0;
}

static void revoke_done(void *arg)
{
	struct revoke *job = arg;

	for (size_t i = 0; i < job->n_programs; i++)
		program_stay(job->core, job->programs[i].id); /* what is still known */
	for (size_t i = 0; i < job->n_entries; i++)
		close_fdp(&job->entries[i].map_fd);
}

const struct method method_revoke_lease = {
	.call = XSKD__REQUEST__CALL_REVOKE_LEASE,
	.name = "RevokeLease",
	.admin = true,
	.audit = true,
	.shape = revoke_shape,
	.steps = { { revoke_take, false }, { revoke_remove, true }, { revoke_answer, false } },
	.done = revoke_done,
};
