// SPDX-License-Identifier: Apache-2.0
#include "store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"
#include "manager.h"
#include "umem.h"

/* For a manager that has no room for one more message; what is removed is tried again anyway. */
#define WAIT_MS   1000
#define REMOVE_MS 200
#define NAME_SIZE 64

/* In the store they are called xskd-socket-ID and xskd-umem-GROUP. */
#define A_SOCKET "socket"
#define A_UMEM   "umem"

/* ---- in and out ---- */

bool store_is_there(const struct core *core)
{
	return core->manager && core->manager->len;
}

static void file_name(char out[NAME_SIZE], uint64_t id)
{
	snprintf(out, NAME_SIZE, "%" PRIu64, id);
}

static void stored_name(char out[NAME_SIZE], const char *what, uint64_t id)
{
	snprintf(out, NAME_SIZE, "xskd-%s-%" PRIu64, what, id);
}

/*
 * FDPOLL=0 (systemd 246; older ones ignore it): what epoll says of an AF_XDP socket whose device is
 * down is no reason to drop it.
 */
static int tell_put(const struct core *core, const char *what, uint64_t id, int fd)
{
	char name[NAME_SIZE], text[128];

	stored_name(name, what, id);
	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	return manager_tell(core->manager, text, fd, WAIT_MS);
}

static int tell_remove(const struct core *core, const char *what, uint64_t id)
{
	char name[NAME_SIZE], text[128];
	int err;

	if (!store_is_there(core))
		return 0;
	stored_name(name, what, id);
	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	err = manager_tell(core->manager, text, -1, REMOVE_MS);
	/* Without a manager there is no store, or it comes back with what no file knows. */
	return err == -ECONNREFUSED || err == -ENOENT ? 0 : err;
}

static int write_file(const struct core *core, const struct store_group *group, size_t i,
		      struct fault *fault)
{
	Xskd__StateFile file;
	char name[NAME_SIZE];
	struct stat umem;
	int err;

	xskd__state_file__init(&file);
	err = xsk_cookie(group->fds[i], &file.socket_cookie);
	if (!err && fstat(group->memfd, &umem) < 0)
		err = -errno;
	if (err)
		return fault_sys(fault, -err, "cannot tell a socket from others");
	file.socket = group->socks[i];
	file.socket_lease = group->lease;
	file.socket_group = group->id;
	file.umem_inode = umem.st_ino;
	file.umem_bytes = group->umem_bytes;
	file_name(name, group->socks[i]->id);
	return state_write(&core->state, STATE_SOCKETS, name, &file, fault);
}

int store_put(const struct core *core, const struct store_group *group, struct fault *fault)
{
	int err = 0;

	for (size_t i = 0; i < group->n && !err; i++)
		err = write_file(core, group, i, fault);
	if (err < 0)
		return err;
	for (size_t i = 0; i < group->n && !err; i++)
		err = tell_put(core, A_SOCKET, group->socks[i]->id, group->fds[i]);
	if (!err)
		err = tell_put(core, A_UMEM, group->id, group->memfd);
	return err < 0 ? fault_sys(fault, -err, "the service manager does not take them") : 0;
}

void store_drop(struct core *core, uint64_t sock, uint64_t umem)
{
	core->forget(core->arg, sock, umem);
}

int store_forget_umem(const struct core *core, uint64_t group)
{
	return tell_remove(core, A_UMEM, group);
}

int store_forget(const struct core *core, uint64_t sock)
{
	char name[NAME_SIZE];
	int err;

	file_name(name, sock);
	err = state_remove(&core->state, STATE_SOCKETS, name);
	return err ? err : tell_remove(core, A_SOCKET, sock);
}

/* ---- back ---- */

/* What the files say, until all have been read: a group is kept whole, or not at all. */
struct found {
	Xskd__StateFile *file;
	int fd;
	bool kept;
};

struct restore {
	struct core *core;
	struct found *found;
	size_t n;
};

static bool note_file(void *arg, const char *name, Xskd__StateFile *file)
{
	struct restore *r = arg;
	struct found *more;
	char expected[NAME_SIZE];

	if (!file->socket || !file->socket->id || !file->socket_group || !file->umem_bytes ||
	    !file->socket->kept || file->socket->state != XSKD__SOCKET_STATE__SOCKET_BOUND ||
	    file->socket->id > r->core->last_id || file->socket_group > file->socket->id)
		return false;
	file_name(expected, file->socket->id);
	if (strcmp(name, expected) != 0)
		return false;
	more = reallocarray(r->found, r->n + 1, sizeof(*r->found));
	if (!more) {
		log_warning("no memory to keep socket %s", name);
		return true;
	}
	r->found = more;
	r->found[r->n] = (struct found){ .file = malloc(sizeof(*file)), .fd = -1 };
	if (!r->found[r->n].file)
		return true;
	/* It moves from the reader's hands into ours. */
	*r->found[r->n].file = *file;
	xskd__state_file__init(file);
	r->n++;
	return true;
}

static bool is_named(const char *name, const char *what, uint64_t id)
{
	char expected[NAME_SIZE];

	stored_name(expected, what, id);
	return !strcmp(name, expected);
}

/* The kernel never gives a cookie again: it is this very socket, whoever stored it. */
static bool is_socket(int fd, const char *name, const void *arg)
{
	const Xskd__StateFile *file = arg;
	uint64_t cookie;

	return is_named(name, A_SOCKET, file->socket->id) && xsk_cookie(fd, &cookie) == 0 &&
	       cookie == file->socket_cookie;
}

static bool is_umem(int fd, const char *name, const void *arg)
{
	const Xskd__StateFile *file = arg;
	struct fault fault = FAULT_INIT;
	struct stat stat;
	struct umem umem = { .memfd = fd };
	int err;

	if (!is_named(name, A_UMEM, file->socket_group) || !file->socket->frame_size)
		return false;
	err = umem_check(&umem, file->socket->frame_size, &fault);
	fault_done(&fault);
	return !err && umem.size == file->umem_bytes && fstat(fd, &stat) == 0 &&
	       stat.st_ino == file->umem_inode;
}

static int take(struct core *core, bool (*fits)(int fd, const char *name, const void *arg),
		const Xskd__StateFile *file)
{
	return core->manager ? manager_take(core->manager, fits, file) : -1;
}

/* Ids come again: by now this one may be that of the program of another pod. */
static bool is_there(const struct core *core, const struct program *p, const struct lease *l)
{
	bool queue_mode = l->m->mode == XSKD__LEASE_MODE__LEASE_MODE_QUEUE;

	return p->m->ifindex == l->m->ifindex &&
	       p->m->netns_cookie == (queue_mode ? core->cookie : l->m->netns_cookie);
}

/* Return: what is wrong with it; NULL: nothing. */
static const char *judge(const struct core *core, const struct found *f)
{
	const Xskd__Socket *m = f->file->socket;
	const struct lease *l = lease_find(core, f->file->socket_lease);
	const struct program *p = program_find(core, m->program_id);

	if (f->fd < 0)
		return "the service manager does not have it";
	if (!l || strcmp(l->m->container, m->container) != 0 ||
	    strcmp(l->m->interface, m->interface) != 0 || !lease_has_queue(l, m->queue))
		return "its lease has ended";
	if (!p || !is_there(core, p, l) || m->queue >= p->m->map_entries)
		return "its program has gone";
	return NULL;
}

static int restore_socket(struct core *core, struct found *f, uint64_t umem_bytes, int memfd)
{
	Xskd__StateFile *file = f->file;
	const struct program *p = program_find(core, file->socket->program_id);
	struct sock *s;
	int err;

	/* A call that was to take it out of the map may have been killed between that and the rest.
	 */
	err = xsk_put_back(p->map_fd, file->socket->queue, f->fd);
	if (err < 0)
		log_warning("cannot put the kept socket %" PRIu64 " back into its map: %s",
			    file->socket->id, strerrordesc_np(-err));
	file->socket->umem_bytes = umem_bytes;
	s = sock_add(core, steal_ptr(&file->socket), file->socket_lease, steal_fd(&f->fd), memfd);
	if (!s)
		return -ENOMEM;
	s->group = file->socket_group;
	s->stored = f->kept = true;
	metrics_count(&core->metrics, TALLY_SOCKETS_FOUND);
	return 0;
}

/*
 * What is left of a group: some of its sockets may have been released one by one. The UMEM was
 * stored last, so without it the hand-off had not come to its end.
 */
static int restore_group(struct restore *r, struct found *group, size_t n)
{
	struct core *core = r->core;
	cleanup(close_fdp) int memfd = take(core, is_umem, group->file);
	const bool whole = memfd >= 0;
	bool kept = false;

	for (size_t i = 0; i < n; i++) {
		struct found *f = &group[i];
		uint64_t id = f->file->socket->id;
		const char *wrong;
		int err;

		f->fd = take(core, is_socket, f->file);
		wrong = whole ? judge(core, f) : "its UMEM is not in the service manager's store";
		if (wrong) {
			log_info("the kept socket %" PRIu64 " is dropped: %s", id, wrong);
			continue;
		}
		err = restore_socket(core, f, kept ? 0 : f->file->umem_bytes, steal_fd(&memfd));
		if (err < 0)
			return err;
		log_info("kept socket %" PRIu64 " is here again", id);
		kept = true;
	}
	for (size_t i = 0; i < n; i++) {
		if (!group[i].kept)
			store_drop(core, group[i].file->socket->id,
				   kept ? 0 : group[i].file->socket_group);
	}
	return 0;
}

static int compare_found(const void *a, const void *b)
{
	const Xskd__StateFile *x = ((const struct found *)a)->file;
	const Xskd__StateFile *y = ((const struct found *)b)->file;

	if (x->socket_group != y->socket_group)
		return x->socket_group < y->socket_group ? -1 : 1;
	return x->socket->id < y->socket->id ? -1 : x->socket->id > y->socket->id;
}

static int restore_groups(struct restore *r)
{
	int err = 0;

	if (r->n) /* there is no list of none */
		qsort(r->found, r->n, sizeof(*r->found), compare_found);
	for (size_t i = 0, n; i < r->n && !err; i += n) {
		for (n = 1; i + n < r->n; n++) {
			if (r->found[i + n].file->socket_group != r->found[i].file->socket_group)
				break;
		}
		err = restore_group(r, &r->found[i], n);
	}
	return err;
}

int store_restore(struct core *core)
{
	struct restore r = { .core = core };
	int err = state_each(&core->state, STATE_SOCKETS, note_file, &r), failed = 0;

	if (err >= 0)
		failed = restore_groups(&r);
	for (size_t i = 0; i < r.n; i++) {
		struct fdset fds = FDSET_INIT;

		if (r.found[i].fd >= 0 && fdset_add(&fds, r.found[i].fd) > 0)
			core->reap(core->arg, &fds, NULL);
		xskd__state_file__free_unpacked(r.found[i].file, NULL);
	}
	free(r.found);
	return failed < 0 ? failed : err;
}

/* ---- what nobody has taken ---- */

static bool is_any(int fd, const char *name, const void *arg)
{
	(void)fd;
	(void)name;
	(void)arg;
	return true;
}

/* One of them may be an AF_XDP socket, whose close blocks. */
static void close_rest(struct core *core)
{
	struct fdset fds = FDSET_INIT;
	int fd;

	while ((fd = manager_take(core->manager, is_any, NULL)) >= 0) {
		(void)!fdset_add(&fds, fd);
		if (fds.n == FDSET_MAX)
			core->reap(core->arg, &fds, NULL);
	}
	if (fds.n)
		core->reap(core->arg, &fds, NULL);
}

/*
 * Ours without a file leave the store: their removal was cut off. With a newer daemon's files about
 * they may be its own, and stay; so does what is called by no name of ours.
 */
void store_tidy(struct core *core)
{
	bool later = state_has_later(&core->state, STATE_SOCKETS);
	size_t n = 0;

	for (size_t i = 0; i < core->manager->n; i++) {
		const struct passed *p = &core->manager->passed[i];
		const char *dash = strrchr(p->name, '-');
		uint64_t id = dash ? strtoull(dash + 1, NULL, 10) : 0;

		n += p->fd >= 0;
		if (p->fd < 0 || later)
			continue;
		if (id && is_named(p->name, A_SOCKET, id))
			store_drop(core, id, 0);
		else if (id && is_named(p->name, A_UMEM, id))
			store_drop(core, 0, id);
	}
	if (n)
		log_warning("the service manager passed %zu descriptors that no state file knows: "
			    "closing them",
			    n);
	close_rest(core);
}
