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
};

static int forget_all(const struct core *core, struct drop *first)
{
	int err = 0;

	for (struct drop *d = first; d && !err; d = d->next) {
		err = d->umem ? store_forget_umem(core, d->umem) : 0;
		if (!err)
			d->umem = 0;
	}
	for (struct drop *d = first; d && !err; d = d->next) {
		err = d->sock ? store_forget(core, d->sock) : 0;
		if (!err)
			d->sock = 0;
	}
	return err;
}

static void work(void *arg)
{
	struct drops *drops = arg;

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

void drops_add(struct drops *drops, uint64_t sock, uint64_t umem)
{
	struct drop *drop = calloc(1, sizeof(*drop));

	if (!drop) {
		/* Here and now, rather than never. */
		if (forget_all(drops->core, &(struct drop){ .sock = sock, .umem = umem }) < 0)
			log_error("no memory to drop a stored socket: it stays until the next "
				  "start of xskd");
		return;
	}
	*drop = (struct drop){ .sock = sock, .umem = umem };
	*last_of(&drops->waiting) = drop;
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
