// SPDX-License-Identifier: Apache-2.0
/* Hand-offs whose sockets are kept: finding them again, and having them outlive the daemon. */
#include <string.h>

#include "handoff.h"
#include "log.h"

/* All sockets of one kept hand-off, in the order of the queues asked for; or none. */
bool handoff_find_kept(struct call *call, const struct lease *l)
{
	struct handoff *job = call->job;
	const struct core *core = call->core;
	uint64_t group = 0;
	size_t found = 0, size = 0;
	const struct sock *s = NULL;

	while ((s = sock_next_of_lease(core, l->m->id, s))) {
		if (!s->m->kept)
			continue;
		for (size_t q = 0; q < job->spec.n; q++) {
			if (job->spec.queue[q] != s->m->queue || (group && s->group != group))
				continue;
			group = s->group;
			job->socks[q] = s->m->id;
			found++;
		}
	}
	while (group && (s = sock_next_of_group(core, l->m->id, group, s)))
		size++;
	if (found == job->spec.n && size == found)
		return true;
	memset(job->socks, 0, sizeof(job->socks));
	return false;
}

static enum stored_state store(const struct core *core, const struct store_group *group)
{
	const Xskd__Socket *first = group->socks[0];
	struct fault fault = FAULT_INIT;
	enum stored_state state = STORED;

	if (!store_is_there(core))
		return NOT_STORED;
	if (store_put(core, group, &fault) < 0) {
		log_warning("the sockets kept for '%s' on '%s' will end with the daemon: %s",
			    first->container, first->interface, fault.text);
		state = HALF_STORED;
	}
	fault_done(&fault);
	return state;
}

void handoff_settle(struct call *call)
{
	struct handoff *job = call->job;
	const struct store_group group = {
		.socks = job->made,
		.fds = job->fds,
		.n = job->spec.n,
		.id = job->made[0]->id,
		.lease = job->lease,
		.memfd = job->umem.memfd,
		.umem_bytes = job->umem.size,
	};

	for (size_t i = 0; i < job->spec.n; i++) {
		job->made[i]->state = job->unbound   ? XSKD__SOCKET_STATE__SOCKET_UNBOUND
				      : job->n_bound ? XSKD__SOCKET_STATE__SOCKET_BOUND
						     : XSKD__SOCKET_STATE__SOCKET_AWAITS_BIND;
		job->made[i]->zero_copy = job->zero_copy;
	}
	if (job->keep && job->n_bound)
		job->stored = store(call->core, &group);
}

void handoff_note_stored(struct core *core, struct sock *s, uint64_t id, uint64_t umem,
			 enum stored_state stored)
{
	if (s)
		s->stored = stored == STORED;
	if (stored == HALF_STORED || (stored == STORED && !s))
		store_drop(core, id, umem);
}
