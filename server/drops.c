// SPDX-License-Identifier: Apache-2.0
#include "drops.h"

#include <errno.h>
#include <string.h>

#include "log.h"
#include "store.h"

/* What is done of it is 0. */
struct drop {
	struct drop *next;
	uint64_t sock, umem;
	char file[]; /* of a lease; else empty */
};

static bool unfile(const struct core *core, const char *name)
{
	int err = state_remove(&core->state, STATE_LEASES, name);

	if (err < 0)
		log_warning("cannot remove the state file of lease '%s' (%s), ignoring it: it is "
			    "found stale at the next start",
			    name, strerrordesc_np(-err));
	return !err;
}

static int forget_umem(const struct core *core, uint64_t *umem)
{
	int err = *umem ? store_forget_umem(core, *umem) : 0;

	*umem = err ? *umem : 0;
	return err;
}

static int forget_sock(const struct core *core, uint64_t *sock)
{
	int err = *sock ? store_forget(core, *sock) : 0;

	*sock = err ? *sock : 0;
	return err;
}

static int forget_all(const struct core *core, struct drop *first)
{
	int err = 0;

	for (struct drop *d = first; d && !err; d = d->next)
		err = forget_umem(core, &d->umem);
	for (struct drop *d = first; d && !err; d = d->next)
		err = forget_sock(core, &d->sock);
	return err;
}

static void work(void *arg)
{
	struct drops *drops = arg;

	for (const struct drop *d = drops->running; d; d = d->next) {
		if (*d->file && !unfile(drops->core, d->file))
			drops->file_left = true;
	}
	drops->err = forget_all(drops->core, drops->running);
}

static struct drop **last_of(struct drop **list)
{
	while (*list)
		list = &(*list)->next;
	return list;
}

static void worked(void *arg)
{
	struct drops *drops = arg;
	struct drop *d = steal_ptr(&drops->running);

	drops->core->files_left |= drops->file_left;
	for (struct drop *done = d; done; done = done->next)
		*done->file = '\0';
	if (drops->err < 0) {
		log_warning("the service manager cannot be told to let sockets go (%s): trying "
			    "again every second",
			    strerror(-drops->err));
		*last_of(&d) = drops->waiting;
		drops->waiting = d;
		return;
	}
	while (d) {
		struct drop *next = d->next;

		free(d);
		d = next;
	}
}

static bool add(struct drops *drops, uint64_t sock, uint64_t umem, const char *file)
{
	size_t size = strlen(file) + 1;
	struct drop *drop = calloc(1, sizeof(*drop) + size);

	if (!drop)
		return false;
	drop->sock = sock;
	drop->umem = umem;
	memcpy(drop->file, file, size);
	*last_of(&drops->waiting) = drop;
	return true;
}

void drops_add(struct drops *drops, uint64_t sock, uint64_t umem)
{
	/* Without memory here and now, rather than never. */
	if (!add(drops, sock, umem, "") &&
	    (forget_umem(drops->core, &umem) < 0 || forget_sock(drops->core, &sock) < 0))
		log_error("no memory to drop a stored socket: it stays until the next start of "
			  "xskd");
}

void drops_unfile(struct drops *drops, const char *name)
{
	if (!add(drops, 0, 0, name) && !unfile(drops->core, name)) /* likewise */
		drops->core->files_left = true;
}

static bool has(const struct drop *d, const char *name)
{
	while (d && strcmp(d->file, name) != 0)
		d = d->next;
	return d;
}

bool drops_has(const struct drops *drops, const char *name)
{
	return has(drops->waiting, name) || has(drops->running, name);
}

void drops_run(struct drops *drops, bool retry)
{
	if (!drops->waiting || drops->running || (drops->err && !retry))
		return;
	drops->running = steal_ptr(&drops->waiting);
	if (!lanes_work(drops->lanes, work, worked, drops)) {
		drops->err = -ENOMEM;
		drops->waiting = steal_ptr(&drops->running);
	}
}

void drops_now(struct drops *drops)
{
	drops->running = steal_ptr(&drops->waiting);
	work(drops);
	worked(drops);
}

void drops_done(struct drops *drops)
{
	drops->running = steal_ptr(&drops->waiting);
	work(drops);
	drops->err = 0;
	worked(drops);
}
