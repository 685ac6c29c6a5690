// SPDX-License-Identifier: Apache-2.0
/* Programs, leases and sockets, as the daemon lists them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "doctor.h"

#define BIND_SECONDS 60 /* a client binds at once, or never */

static void judge_program(struct doctor *d, const struct xskd_program *p)
{
	char subject[32];

	snprintf(subject, sizeof(subject), "program %u", p->id);
	if (!p->ifindex) {
		doctor_find(d, DOCTOR_NOTE, "lease.program", subject,
			    "was on '%s', which has gone; the daemon removes it within a second",
			    p->interface);
	} else if (p->mode == XSKD_XDP_GENERIC) {
		doctor_find(d, DOCTOR_WARNING, "lease.program", subject,
			    "is on '%s' in generic mode: each packet is copied by the network "
			    "stack first, several times slower than native",
			    p->interface);
		doctor_advise(
			d,
			"The findings on the device say what may be in the way. `%s program "
			"unload %u`, then load it with --mode native, which says why it cannot.",
			d->xskctl, p->id);
	}
}

static void judge_lease(struct doctor *d, const struct xskd_lease *l)
{
	char subject[XSKD_CONTAINER_SIZE + XSKD_IFNAME_SIZE + 2];
	bool good = true;

	snprintf(subject, sizeof(subject), "%s@%s", l->container, l->interface);
	if (!l->link_up) {
		doctor_find(d, DOCTOR_WARNING, "lease.link", subject,
			    "has device '%s', which is down or has no carrier: nothing comes in",
			    l->device);
		if (l->queue_mode)
			doctor_advise(d, "`ip link set dev %s up`; else look at its cable or peer.",
				      l->device);
		else
			doctor_advise(d,
				      "In the pod: `ip link set dev %s up`; if it was taken away, "
				      "recreate the pod.",
				      l->interface);
		good = false;
	}
	if (!l->program_id) {
		doctor_find(d, DOCTOR_PROBLEM, "lease.program", subject,
			    "has no XDP program on '%s': it can have no socket", l->device);
		if (l->queue_mode)
			doctor_advise(d, "`%s program load %s`.", d->xskctl, l->device);
		else
			doctor_advise(
				d,
				"`%s program load %s --netns` and its namespace, or recreate the "
				"pod; if the pod has gone, `%s lease revoke --container %s`.",
				d->xskctl, l->interface, d->xskctl, l->container);
		good = false;
	}
	if (good)
		doctor_find(d, DOCTOR_OK, "lease.what", subject,
			    "%zu queues of '%s', %u sockets, %" PRIu64 " KiB of packet memory",
			    l->n_queues, l->device, l->sockets, l->umem_bytes / 1024);
}

/* One that has as many sockets, or as much memory, as it may: its next hand-off is refused. */
static void judge_limits(struct doctor *d, const struct xskd_lease *l)
{
	const struct xskd_info *info = &d->info;
	bool sockets = info->sockets_per_lease && l->sockets >= info->sockets_per_lease;

	/* Half a limit left is none for a pod that takes the same again. */
	if (!sockets && l->umem_bytes * 10 <= info->umem_bytes_per_lease * 9)
		return;
	doctor_find(d, DOCTOR_WARNING, "lease.limit", l->container,
		    "has %u of at most %u sockets and %" PRIu64 " of at most %" PRIu64
		    " KiB of packet memory",
		    l->sockets, info->sockets_per_lease, l->umem_bytes / 1024,
		    info->umem_bytes_per_lease / 1024);
	doctor_advise(d, "Raise limits.%s of the daemon, or have the pod use less.",
		      sockets ? "socketsPerLease" : "umemBytesPerLease");
}

static void judge_sockets(struct doctor *d)
{
	size_t kept = 0;

	for (size_t i = 0; i < d->n_sockets; i++) {
		const struct xskd_held_socket *s = &d->sockets[i];
		char subject[32];

		kept += s->kept;
		if (s->bound || (long long)s->handed_off_at + BIND_SECONDS > (long long)time(NULL))
			continue;
		snprintf(subject, sizeof(subject), "socket %" PRIu64, s->id);
		doctor_find(d, DOCTOR_NOTE, "lease.unbound", subject,
			    "queue %u of '%s', of process %d, is not bound yet: packets to it are "
			    "dropped",
			    s->queue, s->device, s->pid);
		doctor_advise(d, "See whether that program hangs; its end frees the queue.");
	}
	if (kept)
		doctor_find(d, DOCTOR_OK, "lease.kept", "sockets",
			    "%zu are kept for the next process of their pods", kept);
}

void doctor_leases(struct doctor *d)
{
	if (!d->asked)
		return;
	for (size_t i = 0; i < d->n_programs; i++)
		judge_program(d, &d->programs[i]);
	for (size_t i = 0; i < d->n_leases; i++) {
		judge_lease(d, &d->leases[i]);
		judge_limits(d, &d->leases[i]);
	}
	judge_sockets(d);
	if (!d->n_leases)
		doctor_find(d, DOCTOR_OK, "lease.what", "leases", "there are none");
}
