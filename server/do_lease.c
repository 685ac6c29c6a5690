// SPDX-License-Identifier: Apache-2.0
/* GrantLease, ListLeases. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "method.h"
#include "netns.h"

#define QUEUES_MAX 1024
#define LABELS_MAX 16
#define LABEL_MAX  256

#define UNFILE_WITHIN_MS 5000

/* ---- GrantLease ---- */

struct grant {
	int netns_fd;
	ino_t inode;
	bool queue_mode;
	const char *device;
	uint64_t cookie;
	int nsid;
	struct device dev;
	Xskd__Lease *lease;
	Xskd__Program *program; /* where it is from now on; NULL: none is on the device */
	uint32_t held;          /* its id */
	uint64_t served;
	bool file_left; /* could not be removed after a failure */
};

/* protobuf-c does not check it, and a list with such a label could be read by no other client. */
static bool is_utf8(const char *s)
{
	json_t *string = json_string(s);

	json_decref(string);
	return string != NULL;
}

static int shape_labels(struct call *call)
{
	const Xskd__GrantLeaseRequest *req = call->req->grant_lease;

	if (req->n_labels > LABELS_MAX)
		return call_fail(call, INVALID_ARGUMENT, "%zu labels are more than %d",
				 req->n_labels, LABELS_MAX);
	for (size_t i = 0; i < req->n_labels; i++) {
		if (!is_utf8(req->labels[i]->key) || !is_utf8(req->labels[i]->value))
			return call_fail(call, INVALID_ARGUMENT, "label '%.32s' is not UTF-8",
					 req->labels[i]->key);
		if (!*req->labels[i]->key || strlen(req->labels[i]->key) > LABEL_MAX ||
		    strlen(req->labels[i]->value) > LABEL_MAX)
			return call_fail(
				call, INVALID_ARGUMENT,
				"label '%.32s': key and value have at most %d bytes, the key at "
				"least one",
				req->labels[i]->key, LABEL_MAX);
	}
	return 0;
}

static int shape_queues(struct call *call)
{
	const Xskd__GrantLeaseRequest *req = call->req->grant_lease;

	if (req->n_queues && req->queue_count)
		return call_fail(call, INVALID_ARGUMENT,
				 "queues and queue_count exclude each other: name the queues, or "
				 "say how many");
	if (req->n_queues > QUEUES_MAX || req->queue_count > QUEUES_MAX)
		return call_fail(call, INVALID_ARGUMENT, "%zu queues are more than %d",
				 req->n_queues + req->queue_count, QUEUES_MAX);
	for (size_t i = 1; i < req->n_queues; i++) {
		if (req->queues[i] <= req->queues[i - 1])
			return call_fail(
				call, INVALID_ARGUMENT,
				"queues must be in ascending order, each once: %u comes after %u",
				req->queues[i], req->queues[i - 1]);
	}
	return 0;
}

static int grant_shape(struct call *call)
{
	const Xskd__GrantLeaseRequest *req = call->req->grant_lease;
	struct grant *job = call_alloc(call, sizeof(*job));
	int err;

	if (!job)
		return fault_sys(&call->fault, ENOMEM, "cannot grant a lease");
	job->netns_fd = -1;
	call->job = job;
	job->queue_mode = *req->device;
	job->device = job->queue_mode ? req->device : req->interface;
	err = shape_container(call, req->container);
	if (!err)
		note_subject(call, req->container, "", 0);
	if (!err)
		err = shape_interface(call, req->interface);
	if (!err)
		err = shape_interface(call, job->device);
	if (!err)
		err = shape_queues(call);
	if (!err)
		err = shape_labels(call);
	if (!err)
		err = shape_netns(call, req->netns_fd, &job->netns_fd, &job->inode);
	if (err < 0)
		return err;
	if (job->netns_fd < 0)
		return call_fail(call, INVALID_ARGUMENT,
				 "a lease needs the container's network namespace");
	if (job->inode == call->core->inode)
		return call_fail(
			call, INVALID_ARGUMENT,
			"the namespace is the host's own: every program there would hold the "
			"lease; give the pod a network namespace (hostNetwork: false)");
	shape_lane_of_leases(call);
	return 0;
}

static bool same_queues(const Xskd__GrantLeaseRequest *req, const struct lease *l)
{
	if (req->queue_count)
		return l->m->n_queues == req->queue_count;
	if (!req->n_queues)
		return l->m->all_queues;
	return req->n_queues == l->m->n_queues &&
	       !memcmp(req->queues, l->m->queues, req->n_queues * sizeof(*req->queues));
}

static int reply_lease(struct call *call, const struct lease *l)
{
	Xskd__GrantLeaseReply *reply = call_alloc(call, sizeof(*reply));

	if (!reply)
		return fault_sys(&call->fault, ENOMEM, "cannot tell about the lease");
	xskd__grant_lease_reply__init(reply);
	reply->lease = l->m;
	call->reply.result_case = XSKD__REPLY__RESULT_GRANT_LEASE;
	call->reply.grant_lease = reply;
	return 0;
}

static int grant_check(struct call *call)
{
	const Xskd__GrantLeaseRequest *req = call->req->grant_lease;
	const struct grant *job = call->job;
	const struct core *core = call->core;
	const struct lease *l = lease_by_key(core, req->container, req->interface);
	bool mode = l && (l->m->mode == XSKD__LEASE_MODE__LEASE_MODE_QUEUE) == job->queue_mode;
	char name[256];

	lease_file_name(&(Xskd__Lease){ .container = req->container, .interface = req->interface },
			name, sizeof(name));
	if (core->unfiling(core->arg, name)) {
		int again = call_pause(call, UNFILE_WITHIN_MS);

		return again ? again
			     : call_fail(call, UNAVAILABLE,
					 "the state file of the lease that container '%s' had on "
					 "'%s' is still there: ask again",
					 req->container, req->interface);
	}
	if (l && l->inode == job->inode && mode && !strcmp(l->m->device, job->device) &&
	    same_queues(req, l)) {
		int err = reply_lease(call, l);

		return err ? err : CALL_DONE;
	}
	if (l)
		return call_fail(
			call, ALREADY_EXISTS,
			"container '%s' has a lease on '%s' already, with another namespace or "
			"device, or with other queues or another number of them: revoke that one "
			"first",
			req->container, req->interface);
	l = lease_in(core, job->inode, req->interface);
	if (l)
		return call_fail(call, ALREADY_EXISTS,
				 "'%s' of this network namespace is leased to container '%s': "
				 "revoke that lease first",
				 req->interface, l->m->container);
	return 0;
}

static int look_inside(struct call *call)
{
	struct grant *job = call->job;
	cleanup(netns_done) struct netns ns = NETNS_OF(call->core->gate, job->netns_fd);
	int err = netns_cookie(&ns, &job->cookie);

	if (err < 0)
		fault_sys(&call->fault, -err, "cannot tell the cookie of the network namespace");
	if (!err && !job->queue_mode) {
		err = device_find(&ns, job->device, &job->dev);
		if (err < 0)
			fault_sys(&call->fault, -err,
				  "cannot find interface '%s' in the container's network namespace",
				  job->device);
	}
	return err;
}

static int grant_look(struct call *call)
{
	struct grant *job = call->job;
	cleanup(netns_done) struct netns host = NETNS_OF(call->core->gate, -1);
	int err = look_inside(call);

	if (err < 0)
		return err;
	if (job->queue_mode) {
		err = device_find(&host, job->device, &job->dev);
		if (err < 0)
			return fault_sys(&call->fault, -err, "cannot find device '%s' on the host",
					 job->device);
	}
	err = netns_nsid(job->netns_fd, &job->nsid);
	if (err < 0)
		return fault_sys(&call->fault, -err, "cannot give the network namespace a number");
	return 0;
}

/* Who has each queue of the device: as many places as that has queues, NULL where one is free. */
static const struct lease **find_holders(struct call *call)
{
	const struct grant *job = call->job;
	const struct core *core = call->core;
	const struct lease **holders = call_alloc(call, (job->dev.queues + 1) * sizeof(*holders));

	const struct lease *l = NULL;

	while (holders &&
	       (l = lease_next_on_device(core, job->queue_mode ? core->inode : job->inode,
					 job->dev.ifindex, l))) {
		for (size_t q = 0; q < l->m->n_queues; q++) {
			if (l->m->queues[q] < job->dev.queues) /* it may have had more once */
				holders[l->m->queues[q]] = l;
		}
	}
	return holders;
}

static int judge_queues(struct call *call, const struct lease *const *holders,
			const uint32_t *queues, size_t n)
{
	const struct grant *job = call->job;

	if (n && queues[n - 1] >= job->dev.queues)
		return call_fail(call, INVALID_ARGUMENT, "'%s' has queues 0 to %u, there is no %u",
				 job->device, job->dev.queues - 1, queues[n - 1]);
	for (size_t q = 0; q < n; q++) {
		if (holders[queues[q]])
			return call_fail(call, ALREADY_EXISTS,
					 "queue %u of '%s' is leased to container '%s': take "
					 "another, or revoke that lease",
					 queues[q], job->device, holders[queues[q]]->m->container);
	}
	return 0;
}

/*
 * The lowest that are free, but for queue 0 if there are enough others: that is where most drivers
 * put what no rule of theirs matches, and on the host's device it is the host's.
 */
static int choose_queues(struct call *call, const struct lease *const *holders, uint32_t *out)
{
	const struct grant *job = call->job;
	uint32_t wanted = call->req->grant_lease->queue_count, n_free = 0, n = 0;

	for (uint32_t q = 0; q < job->dev.queues; q++)
		n_free += !holders[q];
	if (n_free < wanted)
		return call_fail(
			call, RESOURCE_EXHAUSTED,
			"%u of the %u queues of '%s' are free, not %u: ask for fewer, or revoke a "
			"lease that has some (`xskctl lease list`)",
			n_free, job->dev.queues, job->device, wanted);
	for (uint32_t q = !holders[0] && n_free > wanted; n < wanted; q++) {
		if (!holders[q])
			out[n++] = q;
	}
	return 0;
}

/* Those named, as many as asked for, or all. @room is for the latter two. */
static int judge_which(struct call *call, uint32_t room[QUEUES_MAX], Xskd__Lease *m)
{
	const Xskd__GrantLeaseRequest *req = call->req->grant_lease;
	const struct grant *job = call->job;
	const struct lease **holders = find_holders(call);

	if (!holders)
		return fault_sys(&call->fault, ENOMEM, "cannot tell which queues are free");
	m->queues = room;
	if (req->queue_count) {
		m->n_queues = req->queue_count;
		return choose_queues(call, holders, room);
	}
	m->n_queues = job->dev.queues < QUEUES_MAX ? job->dev.queues : QUEUES_MAX;
	for (uint32_t i = 0; i < m->n_queues; i++)
		room[i] = i;
	if (req->n_queues) {
		m->queues = req->queues;
		m->n_queues = req->n_queues;
	}
	return judge_queues(call, holders, m->queues, m->n_queues);
}

/* Its device may have been moved, and renamed, since it was loaded. */
static int judge_program(struct call *call, struct program *p)
{
	struct grant *job = call->job;
	Xskd__Program m = *p->m;

	m.interface = (char *)(uintptr_t)job->device;
	m.netns_cookie = job->queue_mode ? call->core->cookie : job->cookie;
	m.ifindex = job->dev.ifindex;
	job->served = p->served;
	job->held = program_hold(p);
	job->program = message_clone(&m);
	return job->program ? 0 : fault_sys(&call->fault, ENOMEM, "cannot note the program");
}

/* What the lease will be, now that the device is known. */
static int grant_judge(struct call *call)
{
	const Xskd__GrantLeaseRequest *req = call->req->grant_lease;
	struct grant *job = call->job;
	struct program *p = program_find(call->core, job->dev.xdp_prog_id);
	uint32_t room[QUEUES_MAX];
	Xskd__Lease m;
	int err;

	if (p && p->leaving)
		p = NULL; /* it would leave the lease behind */
	if (p && p->served && p->served != job->cookie)
		return call_fail(
			call, FAILED_PRECONDITION,
			"the map of program %u on '%s' was given to an earlier lease, which may still "
			"hold it: unload the program and load it again",
			p->m->id, job->device);
	xskd__lease__init(&m);
	err = judge_which(call, room, &m);
	if (err < 0)
		return err;
	m.id = ++call->core->last_id;
	m.container = req->container;
	m.interface = req->interface;
	m.device = (char *)(uintptr_t)job->device;
	m.netns_cookie = job->cookie;
	m.mode = job->queue_mode ? XSKD__LEASE_MODE__LEASE_MODE_QUEUE
				 : XSKD__LEASE_MODE__LEASE_MODE_DEVICE;
	m.all_queues = m.n_queues == job->dev.queues;
	m.n_labels = req->n_labels;
	m.labels = (Xskd__Lease__LabelsEntry **)req->labels; /* the same message, generated twice */
	m.granted_at = (uint64_t)time(NULL);
	m.ifindex = job->dev.ifindex;
	m.program_id = p ? p->m->id : 0;
	m.link_up = job->dev.up;
	job->lease = message_clone(&m);
	if (!job->lease)
		return fault_sys(&call->fault, ENOMEM, "cannot note the lease");
	return p ? judge_program(call, p) : 0;
}

static int write_program(struct call *call)
{
	struct grant *job = call->job;
	const struct program noted = {
		.m = job->program,
		.inode = job->queue_mode ? call->core->inode : job->inode,
		.nsid = job->queue_mode ? -1 : job->nsid,
		.served = job->served,
	};
	Xskd__StateFile file;
	char name[16];

	snprintf(name, sizeof(name), "%u", job->program->id);
	program_file(&noted, &file);
	return state_write(&call->core->state, STATE_PROGRAMS, name, &file, &call->fault);
}

static int grant_write(struct call *call)
{
	struct grant *job = call->job;
	const struct lease noted = {
		.m = job->lease,
		.inode = job->inode,
		.nsid = job->nsid,
		.address = job->dev.address,
	};
	Xskd__StateFile file;
	char name[256];
	int err = job->program ? write_program(call) : 0;

	if (err < 0)
		return err;
	call->made = true;
	lease_file_name(job->lease, name, sizeof(name));
	lease_file(&noted, &file);
	return state_write(&call->core->state, STATE_LEASES, name, &file, &call->fault);
}

static int grant_enter(struct call *call)
{
	struct grant *job = call->job;
	struct core *core = call->core;
	struct program *p;
	struct lease *l;

	/* Of the number of its namespace: it may have been another one's until just now. */
	(void)core->hear(core->arg);
	p = program_find(core, job->held);
	l = lease_add(core, steal_ptr(&job->lease), job->inode, job->nsid);
	if (!l)
		return fault_sys(&call->fault, ENOMEM, "cannot note the lease");
	l->address = job->dev.address;
	l->mtu = job->dev.mtu;
	if (p)
		program_moved(core, p, l->device_inode, job->queue_mode ? -1 : job->nsid,
			      job->queue_mode ? core->cookie : job->cookie, l->m->ifindex,
			      l->m->device);
	else
		p = program_at(core, l->device_inode, l->m->device); /* loaded meanwhile */
	lease_serve(core, l, p && !p->leaving ? p : NULL);
	watch_tell(core, XSKD__EVENT_KIND__EVENT_LEASE_GRANTED, l, NULL, "lease granted");
	return reply_lease(call, l);
}

/* Only after a failure: a lease whose reply was lost stands, and asking again finds it. */
static void grant_undo(struct call *call)
{
	const Xskd__GrantLeaseRequest *req = call->req->grant_lease;
	struct grant *job = call->job;
	Xskd__Lease key;
	char name[256];

	if (!call->failed)
		return;
	xskd__lease__init(&key);
	key.container = req->container;
	key.interface = req->interface;
	lease_file_name(&key, name, sizeof(name));
	job->file_left = state_remove(&call->core->state, STATE_LEASES, name) < 0;
}

static void grant_done(struct call *call)
{
	struct grant *job = call->job;

	program_release(call->core, job->held);
	call->core->files_left |= job->file_left;
	close_fdp(&job->netns_fd);
	if (job->lease)
		xskd__lease__free_unpacked(job->lease, NULL);
	if (job->program)
		xskd__program__free_unpacked(job->program, NULL);
}

const struct method method_grant_lease = {
	.call = XSKD__REQUEST__CALL_GRANT_LEASE,
	.name = "GrantLease",
	.admin = true,
	.audit = true,
	.shape = grant_shape,
	.steps = { { grant_check, false },
		   { grant_look, true },
		   { grant_judge, false },
		   { grant_write, true },
		   { grant_enter, false } },
	.undo = grant_undo,
	.done = grant_done,
};

/* ---- ListLeases ---- */

static ProtobufCMessage *lease_message(struct call *call, void *item, uint64_t *out_id)
{
	const struct lease *l = item;

	(void)call;
	*out_id = l->m->id;
	return &l->m->base;
}

static int own_leases(struct call *call, struct index *out)
{
	const struct core *core = call->core;
	const uint64_t cookie = call->peer.cookie;
	struct lease *l = NULL;
	size_t n = 0;

	while ((l = lease_next_of_netns(core, cookie, l)))
		n++;
	if (page_own(call, &core->leases, n, out) < 0)
		return -ENOMEM;
	while (n && (l = lease_next_of_netns(core, cookie, l)))
		(void)!index_add(out, &l->m->id, l); /* there is room */
	return 0;
}

static int list_leases(struct call *call)
{
	Xskd__ListLeasesReply *reply = call_alloc(call, sizeof(*reply));
	struct index own;
	int err;

	if (!reply)
		return fault_sys(&call->fault, ENOMEM, "cannot make the list");
	xskd__list_leases_reply__init(reply);
	call->reply.result_case = XSKD__REPLY__RESULT_LIST_LEASES;
	call->reply.list_leases = reply;
	err = call->peer.admin ? 0 : own_leases(call, &own);
	if (err < 0)
		return err;
	return page_fill(call, call->peer.admin ? &call->core->leases : &own,
			 &call->req->list_leases->after, lease_message, (void ***)&reply->leases,
			 &reply->n_leases, &reply->next);
}

const struct method method_list_leases = {
	.call = XSKD__REQUEST__CALL_LIST_LEASES,
	.name = "ListLeases",
	.steps = { { list_leases, false } },
};
