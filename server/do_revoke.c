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

struct file {
	char name[256];
};

struct revoke {
	uint32_t revoked;
	struct entry *entries;
	size_t n_entries;
	struct leaver *programs;
	size_t n_programs;
	struct file *files; /* of the leases */
	bool file_left;     /* could not be removed */
	bool all_files;     /* that begin with the container's name: one was left */
	int err;            /* of the worker's step */
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

/* The first one behind @after that is meant: of the interface, or each of the container. */
static struct lease *next_meant(const struct core *core, const Xskd__RevokeLeaseRequest *req,
				const struct lease *after)
{
	if (!*req->interface)
		return lease_next_of_container(core, req->container, after);
	return after ? NULL : lease_by_key(core, req->container, req->interface);
}

/*
 * Its sockets leave the map on a worker; the program may be unloaded meanwhile, so by a copy of its
 * fd.
 */
static int note_entries(struct call *call, const struct lease *l)
{
	struct revoke *job = call->job;
	const struct core *core = call->core;
	const struct sock *s = NULL;

	while ((s = sock_next_of_lease(core, l->m->id, s))) {
		const struct program *p = program_find(core, s->m->program_id);
		struct entry *e = &job->entries[job->n_entries];

		if (!p)
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
	const struct lease *l = NULL;
	size_t n = 0, socks = 0;
	int err = 0;

	for (; (l = next_meant(core, req, l)); n++)
		socks += l->m->sockets;
	job->entries = call_alloc(call, (socks + 1) * sizeof(*job->entries));
	job->programs = call_alloc(call, (n + 1) * sizeof(*job->programs));
	job->files = call_alloc(call, (n + 1) * sizeof(*job->files));
	if (!job->entries || !job->programs || !job->files)
		return fault_sys(&call->fault, ENOMEM, "cannot revoke");
	while (!err && (l = next_meant(core, req, l)))
		err = note_entries(call, l);
	return err;
}

/* One that cannot leave now, as another call has to do with it, is left to that or to the sweep. */
static void take_program(struct call *call, struct program *p)
{
	struct revoke *job = call->job;

	if (p && program_is_over(p) && program_leave(call->core, p))
		job->programs[job->n_programs++].id = p->m->id;
}

static int revoke_take(struct call *call)
{
	struct core *core = call->core;
	struct revoke *job = call_alloc(call, sizeof(*job));
	struct lease *l;
	int err;

	if (!job)
		return fault_sys(&call->fault, ENOMEM, "cannot revoke");
	job->all_files = core->files_left;
	call->job = job;
	err = revoke_prepare(call);
	if (err < 0)
		return err;
	while ((l = next_meant(core, call->req->revoke_lease, NULL))) {
		struct program *p = program_find(core, l->m->program_id);

		lease_file_name(l->m, job->files[job->revoked].name, sizeof(job->files->name));
		job->revoked++;
		lease_drop(core, l, "revoked");
		take_program(call, p);
	}
	return 0;
}

/*
 * By the name, whether or not there is a lease: a file that could not be removed the last time
 * would be a lease again at the next start. Without an interface that means to look at each file,
 * so only where one was left.
 */
static int remove_files(const struct call *call)
{
	const Xskd__RevokeLeaseRequest *req = call->req->revoke_lease;
	const struct state *state = &call->core->state;
	const struct revoke *job = call->job;
	char name[256];
	int err = 0;

	snprintf(name, sizeof(name), "%s@%s", req->container, req->interface);
	if (*req->interface)
		return state_remove(state, STATE_LEASES, name);
	if (job->all_files)
		return state_remove_all(state, STATE_LEASES, name);
	for (uint32_t i = 0; i < job->revoked; i++) {
		int removed = state_remove(state, STATE_LEASES, job->files[i].name);

		err = err ? err : removed;
	}
	return err;
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
	job->file_left = err < 0;
	if (err < 0)
		job->err = fault_sys(&call->fault, -err,
				     "the lease has ended, but its state file cannot be removed: "
				     "revoke it again");
	return 0;
}

static void drop_programs(struct core *core, const struct revoke *job)
{
	bool alone = job->n_programs && core->hear(core->arg);

	for (size_t i = 0; i < job->n_programs; i++) {
		const struct leaver *leaver = &job->programs[i];
		const struct program *p = program_find(core, leaver->id);

		if (!leaver->removed)
			continue;
		if (p)
			log_info("program %u has gone from '%s' with its last lease", p->m->id,
				 p->m->interface);
		program_forget(core, leaver->id, alone);
	}
}

static int revoke_answer(struct call *call)
{
	const struct revoke *job = call->job;
	Xskd__RevokeLeaseReply *reply = call_alloc(call, sizeof(*reply));

	drop_programs(call->core, job);
	call->core->files_left |= job->file_left;
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

static void revoke_done(struct call *call)
{
	struct revoke *job = call->job;

	for (size_t i = 0; i < job->n_programs; i++)
		program_stay(call->core, job->programs[i].id); /* what is still known */
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
