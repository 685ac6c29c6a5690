// SPDX-License-Identifier: Apache-2.0
#include "xsk.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_xdp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "gate.h"
#include "umem.h"

#ifndef XDP_USE_SG /* linux/if_xdp.h of 6.6 */
#define XDP_USE_SG (1 << 4)
#endif
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif
#ifndef SO_BUSY_POLL_BUDGET
#define SO_BUSY_POLL_BUDGET 70
#endif

#define LOOPBACK_IFINDEX 1 /* in every namespace: it is its first device */

/* ---- sockets ---- */

static int set_busy_poll(int fd, const struct xsk_spec *spec, struct fault *fault)
{
	const int on = 1;
	const int us = (int)spec->busy_poll_us, budget = (int)spec->busy_poll_budget;

	if (!us)
		return 0;
	if (setsockopt(fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL, &us, sizeof(us)) < 0 ||
	    (budget &&
	     setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof(budget)) < 0))
		return fault_sys(fault, errno, "cannot set busy polling of %d us, budget %d", us,
				 budget);
	return 0;
}

/*
 * By index and before anybody else has the fd: without CAP_NET_RAW nobody can change it again, so a
 * socket that is passed on unbound can be bound to this device and no other of its namespace.
 */
static int tie(int fd, const struct xsk_spec *spec, struct fault *fault)
{
	const int ifindex = (int)spec->ifindex;

	if (setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &ifindex, sizeof(ifindex)) < 0)
		return fault_sys(fault, errno, "cannot tie an AF_XDP socket to '%s'", spec->device);
	return 0;
}

int xsk_open(const struct netns *ns, const struct xsk_spec *spec, int *out_fds, struct fault *fault)
{
	int fds[XSK_QUEUES_MAX];
	int err = gate_sockets(ns->gate, ns->fd, GATE_XDP, spec->n, fds);

	if (err < 0)
		return fault_sys(fault, -err,
				 "cannot make an AF_XDP socket in the namespace of '%s'",
				 spec->device);
	for (size_t i = 0; i < spec->n && !err; i++) {
		err = spec->tied ? tie(fds[i], spec, fault) : 0;
		if (!err)
			err = set_busy_poll(fds[i], spec, fault);
	}
	if (!err)
		memcpy(out_fds, fds, spec->n * sizeof(*fds));
	for (size_t i = 0; i < spec->n && err < 0; i++)
		close(fds[i]);
	return err;
}

static int set_rings(const struct xsk_spec *spec, int fd)
{
	const struct {
		int option;
		uint32_t entries;
	} rings[] = {
		{ XDP_UMEM_FILL_RING, spec->fill_size },
		{ XDP_UMEM_COMPLETION_RING, spec->completion_size },
		{ XDP_RX_RING, spec->rx_size },
		{ XDP_TX_RING, spec->tx_size },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rings); i++) {
		if (setsockopt(fd, SOL_XDP, rings[i].option, &rings[i].entries,
			       sizeof(rings[i].entries)) < 0)
			return -errno;
	}
	return 0;
}

int xsk_set_up(const struct xsk_spec *spec, const int *fds, struct umem *umem,
	       const struct umem_guard *guard, struct fault *fault)
{
	int err = umem_register(fds[0], umem, guard, spec->frame_size, spec->headroom, fault);

	for (size_t i = 0; i < spec->n && !err; i++) {
		err = set_rings(spec, fds[i]);
		if (err < 0)
			return fault_sys(fault, -err, "cannot make rings of %u/%u/%u/%u entries",
					 spec->fill_size, spec->completion_size, spec->rx_size,
					 spec->tx_size);
	}
	return err;
}

static int bind_fault(const struct xsk_spec *spec, uint32_t queue, int err, struct fault *fault)
{
	if (err == -EBUSY)
		return fault_set(
			fault, XSKD__CODE__ALREADY_EXISTS, EBUSY,
			"queue %u of '%s' is in use by an AF_XDP socket that is not in xskd's map: end "
			"the program that holds it, or take another queue",
			queue, spec->device);
	if (err == -EOPNOTSUPP && spec->zero_copy_required)
		return fault_set(
			fault, XSKD__CODE__UNIMPLEMENTED, EOPNOTSUPP,
			"the driver of '%s' has no zero-copy AF_XDP on queue %u: ask for it as "
			"\"preferred\"",
			spec->device, queue);
	if (err == -EINVAL)
		return fault_set(fault, XSKD__CODE__INVALID_ARGUMENT, EINVAL,
				 "cannot bind to queue %u of '%s': no such queue, or "
				 "frames of %u do not suit the driver",
				 queue, spec->device, spec->frame_size);
	return fault_sys(fault, -err, "cannot bind to queue %u of '%s'", queue, spec->device);
}

int xsk_bind(const struct xsk_spec *spec, const int *fds, size_t *bound, bool *out_zero_copy,
	     struct fault *fault)
{
	uint32_t flags = (spec->zero_copy_required ? XDP_ZEROCOPY : 0U) |
			 (spec->copy ? XDP_COPY : 0U) |
			 (spec->need_wakeup ? XDP_USE_NEED_WAKEUP : 0U) |
			 (spec->multi_buffer ? XDP_USE_SG : 0U);
	struct xdp_options options = { 0 };
	socklen_t len = sizeof(options);

	for (; *bound < spec->n; ++*bound) {
		size_t i = *bound;
		/* With a shared UMEM the kernel takes mode and wake-up from the first socket. */
		struct sockaddr_xdp addr = {
			.sxdp_family = AF_XDP,
			.sxdp_flags = (uint16_t)(i ? XDP_SHARED_UMEM : flags),
			.sxdp_ifindex = spec->ifindex,
			.sxdp_queue_id = spec->queue[i],
			.sxdp_shared_umem_fd = i ? (uint32_t)fds[0] : 0,
		};

		if (bind(fds[i], (const struct sockaddr *)&addr, sizeof(addr)) < 0)
			return bind_fault(spec, spec->queue[i], -errno, fault);
	}
	if (getsockopt(fds[0], SOL_XDP, XDP_OPTIONS, &options, &len) < 0)
		return fault_sys(fault, errno, "cannot ask for the mode of a socket on '%s'",
				 spec->device);
	*out_zero_copy = options.flags & XDP_OPTIONS_ZEROCOPY;
	return 0;
}

int xsk_cookie(int fd, uint64_t *out)
{
	socklen_t len = sizeof(*out), domain_len = sizeof(int);
	int domain;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_len) < 0)
		return errno == ENOTSOCK ? -EINVAL : -errno;
	if (domain != AF_XDP)
		return -EINVAL;
	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, out, &len) < 0 ? -errno : 0;
}

int xsk_statistics(int fd, struct xdp_statistics *out)
{
	socklen_t len = sizeof(*out);

	memset(out, 0, sizeof(*out));
	return getsockopt(fd, SOL_XDP, XDP_STATISTICS, out, &len) < 0 ? -errno : 0;
}

/* ---- the map ---- */

static int insert_fault(const struct xsk_spec *spec, uint32_t queue, int err, struct fault *fault)
{
	if (err == -EEXIST)
		return fault_set(
			fault, XSKD__CODE__ALREADY_EXISTS, EEXIST,
			"queue %u of '%s' has a socket already: it is free again when its holder "
			"closes it (`xskctl socket list` tells who)",
			queue, spec->device);
	if (err == -EPERM)
		return fault_set(
			fault, XSKD__CODE__FAILED_PRECONDITION, EPERM,
			"the XSKMAP of '%s' was frozen by somebody who holds it: unload the program "
			"and load it again",
			spec->device);
	if (err == -E2BIG)
		return fault_set(
			fault, XSKD__CODE__FAILED_PRECONDITION, E2BIG,
			"the XSKMAP of '%s' ends before queue %u: the interface got more queues since "
			"the program was loaded; unload it and load it again",
			spec->device, queue);
	return fault_sys(fault, -err, "cannot put a socket into the XSKMAP of '%s' at queue %u",
			 spec->device, queue);
}

int xsk_insert(struct xsk_prober *prober, const struct xsk_spec *spec, const int *fds, int map_fd,
	       struct fault *fault)
{
	for (size_t i = 0; i < spec->n; i++) {
		int err;

		pthread_mutex_lock(&prober->turn);
		err = bpf_map_update_elem(map_fd, &spec->queue[i], &fds[i], BPF_NOEXIST);
		pthread_mutex_unlock(&prober->turn);

		if (err < 0) {
			uint32_t queue = spec->queue[i];

			while (i--)
				xsk_remove(map_fd, spec->queue[i]);
			return insert_fault(spec, queue, err, fault);
		}
	}
	return 0;
}

void xsk_remove(int map_fd, uint32_t queue)
{
	(void)bpf_map_delete_elem(map_fd,
				  &queue); /* ENOENT: its socket has ended, which is as good */
}

int xsk_put_back(int map_fd, uint32_t queue, int fd)
{
	int err = bpf_map_update_elem(map_fd, &queue, &fd, BPF_NOEXIST);

	return err == -EEXIST ? 0 : err;
}

/* Old kernels want one that has an RX ring (xsk_is_setup_for_bpf_map()). */
int xsk_prober_open(struct xsk_prober *prober, struct gate *gate, struct fault *fault)
{
	const uint32_t entries = 2;
	int err = gate_sockets(gate, -1, GATE_XDP, 1, &prober->fd);

	if (!err && setsockopt(prober->fd, SOL_XDP, XDP_RX_RING, &entries, sizeof(entries)) < 0)
		err = -errno;
	return err < 0 ? fault_sys(fault, -err, "cannot make an AF_XDP socket") : 0;
}

int xsk_held(struct xsk_prober *prober, int map_fd, uint32_t queue, bool *out)
{
	int err;

	pthread_mutex_lock(&prober->turn);
	err = bpf_map_update_elem(map_fd, &queue, &prober->fd, BPF_NOEXIST);
	if (err == 0)
		xsk_remove(map_fd, queue);
	pthread_mutex_unlock(&prober->turn);
	if (err < 0 && err != -EEXIST)
		return err;
	*out = err == -EEXIST;
	return 0;
}

/* ---- what the kernel can do ---- */

#define PROBE_FRAMES 16
#define PROBE_RING   4

static const struct xsk_spec probe_spec = {
	.device = "lo",
	.ifindex = LOOPBACK_IFINDEX,
	.n = 1,
	.frame_size = 4096,
	.fill_size = PROBE_RING,
	.completion_size = PROBE_RING,
	.rx_size = PROBE_RING,
	.tx_size = PROBE_RING,
};

static int probe_bind(int fd, uint16_t flags)
{
	struct sockaddr_xdp addr = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = (uint16_t)(flags | XDP_COPY),
		.sxdp_ifindex = LOOPBACK_IFINDEX,
	};

	return bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
}

static bool can_map_bound(int fd)
{
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof(off);
	void *ring;

	if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len) < 0)
		return false;
	ring = mmap(NULL, off.fr.desc + PROBE_RING * sizeof(uint64_t), PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, XDP_UMEM_PGOFF_FILL_RING);
	if (ring == MAP_FAILED)
		return false;
	munmap(ring, off.fr.desc + PROBE_RING * sizeof(uint64_t));
	return true;
}

/* Loopback takes AF_XDP sockets in copy mode; in a new namespace its one queue is free. */
static int probe_in(const struct netns *ns, struct umem *umem, struct xsk_features *out,
		    struct fault *fault)
{
	const struct umem_guard none = { .fd = -1 };
	const int elsewhere = LOOPBACK_IFINDEX + 1;
	int fds[2] = { -1, -1 };
	int err = xsk_open(ns, &probe_spec, &fds[0], fault);

	if (!err)
		err = xsk_open(ns, &probe_spec, &fds[1], fault);
	for (size_t i = 0; i < 2 && !err; i++) {
		err = xsk_set_up(&probe_spec, &fds[i], umem, &none, fault);
		umem_unmap(umem);
	}
	if (!err) {
		int bound = probe_bind(fds[0], XDP_USE_SG);

		out->multi_buffer = bound == 0;
		if (bound < 0)
			bound = probe_bind(fds[0], 0);
		if (bound < 0)
			err = fault_sys(fault, -bound, "cannot bind an AF_XDP socket to loopback");
		out->full_handoff = !bound && can_map_bound(fds[0]);
		(void)setsockopt(fds[1], SOL_SOCKET, SO_BINDTOIFINDEX, &elsewhere,
				 sizeof(elsewhere));
		out->bind_to_device = probe_bind(fds[1], 0) == -EINVAL;
	}
	close_fdp(&fds[1]);
	close_fdp(&fds[0]);
	return err;
}

int xsk_probe(struct gate *gate, struct xsk_features *out, struct fault *fault)
{
	struct umem umem = { .size = PROBE_FRAMES * probe_spec.frame_size };
	cleanup(close_fdp) int memfd = memfd_create("xskd-probe", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	cleanup(close_fdp) int empty = netns_new();

	if (empty < 0)
		return fault_sys(fault, -empty, "cannot make a network namespace");
	if (memfd < 0 || fallocate(memfd, 0, 0, (off_t)umem.size) < 0)
		return fault_sys(fault, errno, "cannot prepare the test of AF_XDP");
	umem.memfd = memfd;
	*out = (struct xsk_features){ 0 };
	return probe_in(&NETNS_OF(gate, empty), &umem, out, fault);
}
