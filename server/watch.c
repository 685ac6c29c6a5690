// SPDX-License-Identifier: Apache-2.0
/* Who is told of what happens: see core.h. */
#include <errno.h>
#include <stdio.h>

#include "core.h"

int watch_add(struct core *core, const struct watcher *w)
{
	struct watcher *all = reallocarray(core->watchers, core->n_watchers + 1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	core->watchers = all;
	all[core->n_watchers++] = *w;
	return 0;
}

void watch_drop(struct core *core, uint64_t conn)
{
	size_t kept = 0;

	for (size_t i = 0; i < core->n_watchers; i++) {
		if (core->watchers[i].conn != conn)
			core->watchers[kept++] = core->watchers[i];
	}
	core->n_watchers = kept;
}

void watch_tell(struct core *core, Xskd__EventKind kind, const struct lease *l,
		const struct sock *s, const char *message)
{
	Xskd__Event event;
	char text[256];

	if (s)
		snprintf(text, sizeof(text), "socket of queue %u of '%s': %s", s->m->queue,
			 l->m->interface, message);
	else
		snprintf(text, sizeof(text), "'%s': %s", l->m->interface, message);
	xskd__event__init(&event);
	event.kind = kind;
	event.at = (uint64_t)time(NULL);
	event.container = l->m->container;
	event.interface = l->m->interface;
	event.lease = l->m->id;
	event.socket = s ? s->m->id : 0;
	event.queue = s ? s->m->queue : 0;
	event.message = text;
	for (size_t i = 0; i < core->n_watchers; i++) {
		const struct watcher *w = &core->watchers[i];

		if (w->admin || w->cookie == l->m->netns_cookie)
			core->deliver(core->arg, w, &event);
	}
}
