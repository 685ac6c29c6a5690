// SPDX-License-Identifier: Apache-2.0
#include "scrape.h"

#include <fcntl.h>
#include <linux/if_xdp.h>
#include <string.h>

#include "instance.h"
#include "pool.h"

/* ---- what the core knows ---- */

static void count_leases(struct scrape *s, const struct core *core)
{
	for (size_t i = 0; i < core->leases.n; i++) {
		const struct lease *l = core->leases.at[i];
		bool queue = l->m->mode == XSKD__LEASE_MODE__LEASE_MODE_QUEUE;

		s->gauges[queue ? GAUGE_LEASES_QUEUE : GAUGE_LEASES_DEVICE]++;
		s->gauges[GAUGE_LEASED_QUEUES] += l->m->n_queues;
	}
}

static enum gauge gauge_of_program(const Xskd__Program *m)
{
	if (m->mode == XSKD__XDP_MODE__XDP_MODE_NATIVE)
		return m->custom ? GAUGE_PROGRAMS_NATIVE_CUSTOM : GAUGE_PROGRAMS_NATIVE;
	return m->custom ? GAUGE_PROGRAMS_GENERIC_CUSTOM : GAUGE_PROGRAMS_GENERIC;
}

static void copy_programs(struct scrape *s, const struct core *core)
{
	for (size_t i = 0; i < core->programs.n; i++) {
		const struct program *p = core->programs.at[i];
		struct scraped_program *to = &s->programs[s->n_programs];

		s->gauges[gauge_of_program(p->m)]++;
		if (p->m->custom) /* it counts in its own way, if at all */
			continue;
		to->id = p->m->id;
		to->queues = program_queues(p);
		to->old = p->m->loaded_at < (uint64_t)core->started_at;
		to->seen = p->seen;
		if (p->inode == core->inode && p->m->ifindex)
			strncpy(to->device, p->m->interface, sizeof(to->device) - 1);
		s->n_programs++;
	}
}

static void copy_socks(struct scrape *s, const struct core *core)
{
	for (size_t i = 0; i < core->socks.n; i++) {
		const struct sock *sock = core->socks.at[i];
		struct scraped_sock *to = &s->socks[s->n_socks];
		bool awaits = sock->m->state == XSKD__SOCKET_STATE__SOCKET_AWAITS_BIND;

		s->gauges[awaits          ? GAUGE_SOCKETS_AWAIT_BIND
			  : sock->m->kept ? GAUGE_SOCKETS_KEPT
					  : GAUGE_SOCKETS_HELD]++;
		s->gauges[GAUGE_UMEM_BYTES] += sock->m->umem_bytes;
		if (awaits || sock->fd < 0)
			continue;
		to->fd = fcntl(sock->fd, F_DUPFD_CLOEXEC, 3);
		if (to->fd < 0)
			continue; /* next time */
		to->id = sock->m->id;
		to->old = sock->m->handed_off_at < (uint64_t)core->started_at;
		to->seen = sock->seen;
		s->n_socks++;
	}
}

static void copy_pool(struct scrape *s, const struct core *core)
{
	struct pool_info info = { 0 };

	if (core->pool)
		pool_info(core->pool, &info);
	s->gauges[GAUGE_POOL_SIZE] = info.size;
	s->gauges[GAUGE_POOL_READY] = info.ready;
	s->pool[POOL_TAKEN] = info.taken;
	s->pool[POOL_MISSED] = info.missed;
	s->pool[POOL_REUSED] = info.reused;
}

struct scrape *scrape_new(const struct core *core, const struct self *self, uint32_t admins,
			  uint32_t pods)
{
	struct scrape *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->programs = calloc(core->programs.n + 1, sizeof(*s->programs));
	s->socks = calloc(core->socks.n + 1, sizeof(*s->socks));
	if (!s->programs || !s->socks) {
		scrape_free(s);
		return NULL;
	}
	s->bpf_dir = core->bpf_dir;
	s->self = self;
	s->limits = core->limits;
	s->features = core->features;
	s->starts = core->state.starts;
	s->metrics = core->metrics;
	s->gauges[GAUGE_CONNECTIONS_ADMIN] = admins;
	s->gauges[GAUGE_CONNECTIONS_POD] = pods;
	s->gauges[GAUGE_WATCHERS] = core->n_watchers;
	count_leases(s, core);
	copy_programs(s, core);
	copy_socks(s, core);
	copy_pool(s, core);
	return s;
}

/* ---- what the kernel knows ---- */

void seen_add(struct seen *seen, const uint64_t *now, uint64_t *totals, size_t n, bool old)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t before = seen->any ? seen->value[i] : old ? now[i] : 0;

		totals[i] += now[i] >= before ? now[i] - before : now[i];
		seen->value[i] = now[i];
	}
	seen->any = true;
}

static void read_program(struct scrape *s, struct scraped_program *p)
{
	cleanup(close_fdp) int fd = instance_open_counters(s->bpf_dir, p->id);
	uint64_t sum[METRICS_VERDICTS] = { 0 }, nowhere[METRICS_VERDICTS] = { 0 };

	if (fd < 0)
		return; /* unloaded meanwhile */
	p->each = calloc(p->queues + 1, sizeof(*p->each));
	for (uint32_t q = 0; p->each && q < p->queues; q++) {
		if (instance_counters(fd, q, &p->each[q].redirected, &p->each[q].passed) < 0) {
			free(steal_ptr(&p->each));
			return;
		}
		sum[METRICS_REDIRECTED] += p->each[q].redirected;
		sum[METRICS_PASSED] += p->each[q].passed;
	}
	seen_add(&p->seen, sum, *p->device ? nowhere : s->metrics.pods, METRICS_VERDICTS, p->old);
}

static void read_sock(struct scrape *s, struct scraped_sock *sock)
{
	struct xdp_statistics x;

	if (xsk_statistics(sock->fd, &x) < 0)
		return;

	const uint64_t now[METRICS_XDP] = {
		[METRICS_RX_DROPPED] = x.rx_dropped,
		[METRICS_RX_RING_FULL] = x.rx_ring_full,
		[METRICS_FILL_RING_EMPTY] = x.rx_fill_ring_empty_descs,
		[METRICS_RX_INVALID] = x.rx_invalid_descs,
		[METRICS_TX_INVALID] = x.tx_invalid_descs,
		[METRICS_TX_RING_EMPTY] = x.tx_ring_empty_descs,
	};

	seen_add(&sock->seen, now, s->metrics.kept, METRICS_XDP, sock->old);
}

/* Here, for a copy may be the last by now, and closing that blocks. */
static void close_socks(struct scrape *s)
{
	for (size_t i = 0; i < s->n_socks; i++) {
		close_fdp(&s->socks[i].fd);
		s->socks[i].fd = -1;
	}
}

void scrape_read(struct scrape *s)
{
	FILE *out;
	bool failed;

	for (size_t i = 0; i < s->n_programs; i++)
		read_program(s, &s->programs[i]);
	for (size_t i = 0; i < s->n_socks; i++)
		read_sock(s, &s->socks[i]);
	close_socks(s);
	self_read(s->self, &s->usage);
	out = open_memstream(&s->text, &s->len);
	if (!out)
		return;
	scrape_render(s, out);
	failed = ferror(out);
	if (fclose(out) != 0 || failed)
		free(steal_ptr(&s->text));
}

/* ---- afterwards ---- */

void scrape_note(struct core *core, const struct scrape *s)
{
	memcpy(core->metrics.pods, s->metrics.pods, sizeof(core->metrics.pods));
	memcpy(core->metrics.kept, s->metrics.kept, sizeof(core->metrics.kept));
	for (size_t i = 0; i < s->n_programs; i++) {
		struct program *p = program_find(core, s->programs[i].id);

		if (p)
			p->seen = s->programs[i].seen;
	}
	for (size_t i = 0; i < s->n_socks; i++) {
		struct sock *sock = sock_find(core, s->socks[i].id);

		if (sock)
			sock->seen = s->socks[i].seen;
	}
}

void scrape_free(struct scrape *s)
{
	for (size_t i = 0; i < s->n_programs; i++)
		free(s->programs[i].each);
	close_socks(s);
	free(s->programs);
	free(s->socks);
	free(s->text);
	free(s);
}
