// SPDX-License-Identifier: Apache-2.0
#include "core.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "instance.h"
#include "keys.h"
#include "log.h"
#include "netns.h"
#include "pin.h"
#include "store.h"

#define LOOPBACK_IFINDEX 1 /* in every namespace: its first device */

static int compare_program(const void *key, const void *item)
{
	uint32_t id = *(const uint32_t *)key, other = ((const struct program *)item)->m->id;

	return id < other ? -1 : id > other;
}

static int compare_ids(uint64_t id, uint64_t other)
{
	return id < other ? -1 : id > other;
}

static int compare_lease(const void *key, const void *item)
{
	return compare_ids(*(const uint64_t *)key, ((const struct lease *)item)->m->id);
}

static int compare_sock(const void *key, const void *item)
{
	return compare_ids(*(const uint64_t *)key, ((const struct sock *)item)->m->id);
}

void core_init(struct core *core, const char *bpf_dir, const struct limits *limits,
	       const struct state *state, struct audit *audit)
{
	*core = (struct core){
		.bpf_dir = bpf_dir,
		.limits = *limits,
		.state = *state,
		.audit = audit,
		.prober = XSK_PROBER_INIT,
		.umem_guard = { .fd = -1 },
		.started_at = time(NULL),
		.programs = INDEX_INIT(compare_program),
		.leases = INDEX_INIT(compare_lease),
		.socks = INDEX_INIT(compare_sock),
	};
	keys_init(core);
	holders_init(&core->holders);
}

void core_done(struct core *core)
{
	/* Nobody is to be told: this is the end of the daemon, not of the leases. */
	core->n_watchers = 0;
	free(steal_ptr(&core->spare));
	for (size_t i = 0; i < core->socks.n; i++)
		((struct sock *)core->socks.at[i])->stored = false; /* in the store it stays */
	while (core->socks.n)
		sock_drop(core, core->socks.at[core->socks.n - 1], 0, NULL);
	while (core->programs.n)
		program_drop(core, core->programs.at[core->programs.n - 1], false);
	while (core->leases.n) {
		struct lease *l = core->leases.at[--core->leases.n];

		xskd__lease__free_unpacked(l->m, NULL);
		free(l);
	}
	index_done(&core->programs);
	index_done(&core->leases);
	keys_done(core);
	index_done(&core->socks);
	holders_done(&core->holders);
	free(core->watchers);
	free(core->claims);
	state_done(&core->state);
}

void *message_clone(const void *message)
{
	const ProtobufCMessage *m = message;
	size_t len = protobuf_c_message_get_packed_size(m);
	cleanup(freep) uint8_t *buf = malloc(len ? len : 1);

	if (!buf)
		return NULL;
	protobuf_c_message_pack(m, buf);
	return protobuf_c_message_unpack(m->descriptor, NULL, len, buf);
}

/* ---- start ---- */

/* A file that is not where it was written was put there by somebody else. */
static bool is_name_of(const char *name, uint32_t id)
{
	char expected[16];

	snprintf(expected, sizeof(expected), "%u", id);
	return !strcmp(name, expected);
}

static bool is_lease(const char *name, const Xskd__Lease *m)
{
	char expected[256];

	if (!m || !*m->container || !*m->interface || !m->n_queues)
		return false;
	lease_file_name(m, expected, sizeof(expected));
	return !strcmp(name, expected);
}

/*
 * Starting over what is there. Where the machine lacks memory or descriptors for it, that says
 * nothing about what is there: then nothing more is judged, and the daemon does not start.
 */
struct restoring {
	struct core *core;
	int err; /* the first shortage */
};

/* Truth is the pinned link: a program without one was half made, or half unloaded. */
static bool restore_program(void *arg, const char *name, Xskd__StateFile *file)
{
	struct restoring *r = arg;
	struct core *core = r->core;
	struct instance in = INSTANCE_INIT;
	struct program *p = NULL;

	if (r->err)
		return true;
	if (!file->program || !file->program->id || !is_name_of(name, file->program->id))
		return false;

	uint32_t id = file->program->id;
	int err = instance_open(core->bpf_dir, id, &in);

	if (!err && in.id == id && in.ifindex) {
		file->program->ifindex = in.ifindex;
		file->program->leases = 0; /* they are found after it */
		p = program_add(core, steal_ptr(&file->program), (ino_t)file->netns_inode,
				file->netns_inode == core->inode ? -1 : file->nsid,
				steal_fd(&in.map_fd));
		err = p ? 0 : -ENOMEM;
	}
	instance_done(&in);
	if (fault_is_shortage(err)) {
		r->err = err;
		return true;
	}
	if (p) {
		p->served = file->served;
		p->lent = true; /* perhaps */
		metrics_count(&core->metrics, TALLY_PROGRAMS_RESTORED);
		log_info("found program %u ('%s') on '%s'", id, p->m->name, p->m->interface);
		return true;
	}
	log_info("program %u is not attached any more: clearing up after it", id);
	metrics_count(&core->metrics, TALLY_PROGRAMS_REMOVED);
	err = program_remove(core, id);
	if (err < 0)
		log_warning("cannot clear up after program %u (%s), ignoring it", id,
			    strerrordesc_np(-err));
	return true;
}

static void remove_stray(void *arg, uint32_t id)
{
	struct core *core = arg;
	char name[16];
	int err;

	if (program_find(core, id))
		return;
	snprintf(name, sizeof(name), "%u", id);
	if (state_is_later(&core->state, STATE_PROGRAMS, name)) {
		log_warning("program %u is of a newer xskd: leaving it alone", id);
		return;
	}
	log_info("program %u was left half made: removing it", id);
	metrics_count(&core->metrics, TALLY_PROGRAMS_REMOVED);
	err = instance_unpin(core->bpf_dir, id);
	if (err < 0)
		log_warning("cannot remove the pins of program %u (%s), ignoring them", id,
			    strerrordesc_np(-err));
}

/* Sockets that were handed out before: the map tells which queues have one, and nothing more. */
static void restore_sockets(struct core *core, struct lease *l)
{
	struct program *p = program_find(core, l->m->program_id);

	for (size_t i = 0; p && i < l->m->n_queues; i++) {
		Xskd__Socket seen;
		bool held;

		if (l->m->queues[i] >= p->m->map_entries ||
		    sock_at(core, p->m->id, l->m->queues[i]) ||
		    xsk_held(&core->prober, p->map_fd, l->m->queues[i], &held) < 0 || !held)
			continue;
		xskd__socket__init(&seen);
		seen.queue = l->m->queues[i];
		seen.container = l->m->container;
		seen.interface = l->m->interface;
		seen.device = l->m->device;
		seen.program_id = p->m->id;

		Xskd__Socket *m = message_clone(&seen);

		if (m && sock_add(core, m, l->m->id, -1, -1)) /* it is a note, not a right */
			metrics_count(&core->metrics, TALLY_SOCKETS_FOUND);
	}
}

static bool restore_lease(void *arg, const char *name, Xskd__StateFile *file)
{
	struct restoring *r = arg;
	struct core *core = r->core;
	struct device lo;
	struct lease *l;
	int err;

	if (r->err)
		return true;
	if (!is_lease(name, file->lease))
		return false;
	err = device_find_at(file->nsid, LOOPBACK_IFINDEX, &lo);
	file->lease->sockets = 0;
	file->lease->umem_bytes = 0;
	if (file->lease->id > core->last_id || lease_find(core, file->lease->id))
		file->lease->id = 0; /* of an older daemon, or a copy: it gets a new one */
	l = lease_add(core, steal_ptr(&file->lease), (ino_t)file->netns_inode, file->nsid);
	if (!l || fault_is_shortage(err)) {
		r->err = l ? err : -ENOMEM;
		return true;
	}
	if (file->address.len && file->address.len <= sizeof(l->address.at)) {
		l->address.len = (uint8_t)file->address.len;
		memcpy(l->address.at, file->address.data, file->address.len);
	}
	/* One that has ended was there first, so that its program is known to have had it. */
	if (err == -EINVAL)
		lease_end(core, l, "its network namespace has gone");
	return true;
}

/*
 * The kernel gives the number of a namespace that has gone to another one, and one pod's eth0 looks
 * like the next one's. Two things tell them apart: a program of ours on it, whose file has the
 * cookie of its namespace, which is never used again; and, where that was unloaded, the hardware
 * address. An older daemon did not note that, and goes by the program that was there at the grant.
 */
static bool has_its_device(const struct core *core, const struct lease *l, const struct device *dev)
{
	const struct program *p = program_find(core, dev->xdp_prog_id);

	if (l->m->mode == XSKD__LEASE_MODE__LEASE_MODE_QUEUE)
		return true;
	if (p && p->m->netns_cookie == l->m->netns_cookie)
		return true; /* whatever it is called now */
	if (!l->address.len)
		return !strcmp(dev->name, l->m->device) &&
		       (!l->m->program_id || dev->xdp_prog_id == l->m->program_id);
	return dev->address.len == l->address.len &&
	       !memcmp(dev->address.at, l->address.at, l->address.len);
}

/*
 * Apart from restore_lease(), and after all of it: to ask for a device may give a number to the
 * namespace of its peer, the very one that a lease remembers of a namespace that has gone.
 */
static int settle_lease(struct core *core, struct lease *l)
{
	bool queue_mode = l->m->mode == XSKD__LEASE_MODE__LEASE_MODE_QUEUE;
	struct device dev;
	int err = device_find_at(queue_mode ? -1 : l->nsid, l->m->ifindex, &dev);

	if (fault_is_shortage(err))
		return err;
	l->m->link_up = !err && dev.up;
	l->mtu = err ? 0 : dev.mtu;
	if (!err && has_its_device(core, l, &dev)) {
		log_info("found lease of '%s' on '%s'", l->m->container, l->m->interface);
		metrics_count(&core->metrics, TALLY_LEASES_RESTORED);
		/* Its file names the device and the program of when it was granted. */
		if (strcmp(l->m->device, dev.name) != 0)
			lease_renamed(l, dev.name);
		lease_serve(core, l, program_find(core, dev.xdp_prog_id));
		restore_sockets(core, l);
		return 0;
	}
	lease_end(core, l, "its device is not there any more");
	return 0;
}

/* Return: 0, or negative. */
static int restore_each(struct core *core, enum state_kind kind,
			bool (*fn)(void *arg, const char *name, Xskd__StateFile *file))
{
	struct restoring r = { .core = core };
	int bad = state_each(&core->state, kind, fn, &r);

	for (int i = 0; i < bad; i++)
		metrics_count(&core->metrics, TALLY_FILES_SET_ASIDE);
	return bad < 0 ? bad : r.err;
}

static int restore_stored(struct core *core)
{
	int bad = store_restore(core);

	for (int i = 0; i < bad; i++)
		metrics_count(&core->metrics, TALLY_FILES_SET_ASIDE);
	return bad < 0 ? bad : 0;
}

/*
 * Ids go on from the microseconds since boot: no daemon gives so many, so none is given again after
 * a restart, and no file has to say where they ended.
 */
static uint64_t first_id(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int core_restore(struct core *core, struct fault *fault)
{
	int err;

	core->last_id = first_id();
	err = restore_each(core, STATE_PROGRAMS, restore_program);

	if (!err)
		err = pin_remove_hidden(core->bpf_dir);
	if (!err)
		err = pin_each(core->bpf_dir, remove_stray, core);
	if (!err)
		err = restore_each(core, STATE_LEASES, restore_lease);
	if (!err)
		err = restore_stored(core);
	for (size_t i = core->leases.n; i-- && !err;)
		err = settle_lease(core, core->leases.at[i]);
	return err < 0 ? fault_sys(fault, -err, "cannot read what is there already") : 0;
}
