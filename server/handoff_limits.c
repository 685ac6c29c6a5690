// SPDX-License-Identifier: Apache-2.0
/* What one lease may have at a time: sockets, UMEM, and the kernel's memory for rings. */
#include <linux/if_xdp.h>

#include "handoff.h"

static bool is_asked_for(const struct handoff *job, const struct sock *s)
{
	for (size_t q = 0; q < job->spec.n; q++) {
		if (s->m->program_id == job->program && s->m->queue == job->spec.queue[q])
			return true;
	}
	return false;
}

/* Whether a socket of the same hand-off, and with it their UMEM, may live on at another queue. */
static bool lives_on(const struct call *call, const struct lease *l, uint64_t group)
{
	const struct sock *s = NULL;

	while ((s = sock_next_of_group(call->core, l->m->id, group, s))) {
		if (!is_asked_for(call->job, s))
			return true;
	}
	return false;
}

/*
 * Sockets at the queues asked for are not counted: if they still lived, the insertion would fail.
 */
static void count(const struct call *call, const struct lease *l, uint64_t *out_bytes,
		  size_t *out_sockets)
{
	const struct sock *s = NULL;

	*out_bytes = l->m->umem_bytes;
	*out_sockets = l->m->sockets;
	while ((s = sock_next_of_lease(call->core, l->m->id, s))) {
		*out_sockets -= is_asked_for(call->job, s);
		if (s->m->umem_bytes && !lives_on(call, l, s->group))
			*out_bytes -= s->m->umem_bytes;
	}
}

/* What the kernel allocates for the rings, which nobody's memory cgroup is charged for. */
static uint64_t ring_bytes(uint64_t rx, uint64_t tx, uint64_t fill, uint64_t completion)
{
	return (rx + tx) * sizeof(struct xdp_desc) + (fill + completion) * sizeof(uint64_t);
}

static int check_rings(struct call *call, const struct lease *l)
{
	const struct handoff *job = call->job;
	const struct xsk_spec *spec = &job->spec;
	const struct sock *s = NULL;
	uint64_t most = call->core->limits.ring_bytes_per_lease;
	uint64_t bytes = spec->n * ring_bytes(spec->rx_size, spec->tx_size, spec->fill_size,
					      spec->completion_size);

	while ((s = sock_next_of_lease(call->core, l->m->id, s))) {
		if (!is_asked_for(job, s))
			bytes += ring_bytes(s->m->rx_size, s->m->tx_size, s->m->fill_size,
					    s->m->completion_size);
	}
	if (job->unbound || bytes <= most)
		return 0;
	metrics_limit(&call->core->metrics, LIMIT_RING_BYTES_PER_LEASE);
	return call_fail(
		call, RESOURCE_EXHAUSTED,
		"the rings of this lease's sockets would take %llu KiB of the kernel's memory, and "
		"%llu they may: ask for smaller rings (`limits.ringBytesPerLease` in the daemon's "
		"configuration)",
		(unsigned long long)bytes / 1024, (unsigned long long)most / 1024);
}

int handoff_limits(struct call *call, const struct lease *l)
{
	const struct handoff *job = call->job;
	const struct limits *limits = &call->core->limits;
	uint64_t bytes;
	size_t sockets;

	count(call, l, &bytes, &sockets);
	if (job->spec.n + sockets > limits->sockets_per_lease) {
		metrics_limit(&call->core->metrics, LIMIT_SOCKETS_PER_LEASE);
		return call_fail(
			call, RESOURCE_EXHAUSTED,
			"%zu sockets beside the %zu that this lease has are more than the %u it may "
			"have (`limits.socketsPerLease` in the daemon's configuration)",
			job->spec.n, sockets, limits->sockets_per_lease);
	}
	if (bytes + job->umem.size > limits->umem_bytes_per_lease) {
		metrics_limit(&call->core->metrics, LIMIT_UMEM_BYTES_PER_LEASE);
		return call_fail(
			call, RESOURCE_EXHAUSTED,
			"a UMEM of %llu KiB beside the %llu KiB that this lease has is more than the "
			"%llu KiB it may have (`limits.umemBytesPerLease` in the daemon's "
			"configuration)",
			(unsigned long long)job->umem.size / 1024, (unsigned long long)bytes / 1024,
			(unsigned long long)limits->umem_bytes_per_lease / 1024);
	}
	return check_rings(call, l);
}
