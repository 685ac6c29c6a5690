// SPDX-License-Identifier: Apache-2.0
#include "bare.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_xdp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rows.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

enum { FILL, COMPLETION, RX, TX };

/*
 * Pages that fallocate() got are cleared at the first touch. MAP_POPULATE touches a shared mapping
 * by reading, which first looks in vain for neighbours that are ready: a fifth slower than by
 * writing.
 */
static void make_umem(struct bare *b, enum bare_memory memory)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;

	b->memfd = -1;
	if (memory != BARE_ANON) {
		flags = MAP_SHARED;
		b->memfd = memfd_create("bare", MFD_CLOEXEC | MFD_ALLOW_SEALING |
							(memory == BARE_HUGE ? MFD_HUGETLB : 0));
		CHECK(b->memfd >= 0 && fallocate(b->memfd, 0, 0, (off_t)b->size) == 0);
		CHECK(fcntl(b->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	}
	b->umem = mmap(NULL, b->size, PROT_READ | PROT_WRITE, flags, b->memfd, 0);
	CHECK(b->umem != MAP_FAILED);
	CHECK(madvise(b->umem, b->size, MADV_POPULATE_WRITE) == 0);
}

static void register_umem(const struct bare *b)
{
	struct xdp_umem_reg reg = {
		.addr = (uint64_t)(uintptr_t)b->umem,
		.len = b->size,
		.chunk_size = BARE_FRAME,
	};

	CHECK(setsockopt(b->fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) == 0);
}

static uint32_t *in_map(const struct bare *b, int which, uint64_t offset)
{
	return (uint32_t *)(void *)((char *)b->map[which].at + offset);
}

static void shape_prod(struct bare *b, int which, const struct xdp_ring_offset *off,
		       struct xsk_ring_prod *r)
{
	*r = (struct xsk_ring_prod){
		.cached_cons = BARE_RING,
		.mask = BARE_RING - 1,
		.size = BARE_RING,
		.producer = in_map(b, which, off->producer),
		.consumer = in_map(b, which, off->consumer),
		.ring = in_map(b, which, off->desc),
		.flags = in_map(b, which, off->flags),
	};
}

static void shape_cons(struct bare *b, int which, const struct xdp_ring_offset *off,
		       struct xsk_ring_cons *r)
{
	*r = (struct xsk_ring_cons){
		.mask = BARE_RING - 1,
		.size = BARE_RING,
		.producer = in_map(b, which, off->producer),
		.consumer = in_map(b, which, off->consumer),
		.ring = in_map(b, which, off->desc),
		.flags = in_map(b, which, off->flags),
	};
}

static void make_rings(struct bare *b)
{
	static const int option[] = { XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING,
				      XDP_TX_RING };
	static const off_t page[] = { XDP_UMEM_PGOFF_FILL_RING, XDP_UMEM_PGOFF_COMPLETION_RING,
				      XDP_PGOFF_RX_RING, XDP_PGOFF_TX_RING };
	const int entries = BARE_RING;
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof(off);

	for (int i = FILL; i <= TX; i++)
		CHECK(setsockopt(b->fd, SOL_XDP, option[i], &entries, sizeof(entries)) == 0);
	CHECK(getsockopt(b->fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len) == 0);
	b->map[FILL].size = off.fr.desc + BARE_RING * sizeof(uint64_t);
	b->map[COMPLETION].size = off.cr.desc + BARE_RING * sizeof(uint64_t);
	b->map[RX].size = off.rx.desc + BARE_RING * sizeof(struct xdp_desc);
	b->map[TX].size = off.tx.desc + BARE_RING * sizeof(struct xdp_desc);
	for (int i = FILL; i <= TX; i++) {
		b->map[i].at = mmap(NULL, b->map[i].size, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_POPULATE, b->fd, page[i]);
		CHECK(b->map[i].at != MAP_FAILED);
	}
	shape_prod(b, FILL, &off.fr, &b->fill);
	shape_cons(b, COMPLETION, &off.cr, &b->completion);
	shape_cons(b, RX, &off.rx, &b->rx);
	shape_prod(b, TX, &off.tx, &b->tx);
}

/*
 * Queues are taken in turn, so that the last holder of this one is long gone: no waiting for EBUSY,
 * unless some other process holds up the machine.
 */
static void bind_to(const struct bare *b, const struct bare *first, uint32_t ifindex,
		    uint32_t queue)
{
	const struct sockaddr_xdp addr = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = first ? XDP_SHARED_UMEM : XDP_USE_NEED_WAKEUP,
		.sxdp_shared_umem_fd = first ? (uint32_t)first->fd : 0,
		.sxdp_ifindex = ifindex,
		.sxdp_queue_id = queue,
	};

	for (int tries = 0; bind(b->fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0;
	     tries++) {
		CHECK(errno == EBUSY && tries < 2000);
		sleep_us(2000);
	}
}

static void make_socket(struct bare *b, const struct pod *pod)
{
	pod_enter(pod);
	b->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	pod_leave(pod);
	CHECK(b->fd >= 0);
}

void bare_open(struct bare *b, const struct pod *pod, uint32_t ifindex, uint32_t queue, size_t size,
	       enum bare_memory memory)
{
	memset(b, 0, sizeof(*b));
	b->size = size;
	make_umem(b, memory);
	make_socket(b, pod);
	register_umem(b);
	make_rings(b);
	bind_to(b, NULL, ifindex, queue);
}

void bare_share(struct bare *b, const struct bare *first, const struct pod *pod, uint32_t ifindex,
		uint32_t queue)
{
	memset(b, 0, sizeof(*b));
	b->shares = true;
	b->umem = first->umem;
	b->size = first->size;
	b->memfd = -1;
	make_socket(b, pod);
	make_rings(b);
	bind_to(b, first, ifindex, queue);
}

void bare_fill(struct bare *b, uint32_t first)
{
	uint32_t at;

	CHECK(xsk_ring_prod__reserve(&b->fill, BARE_RING, &at) == BARE_RING);
	for (uint32_t i = 0; i < BARE_RING; i++)
		*xsk_ring_prod__fill_addr(&b->fill, at + i) = (uint64_t)(first + i) * BARE_FRAME;
	xsk_ring_prod__submit(&b->fill, BARE_RING);
}

void bare_insert(const struct bare *b, int map, uint32_t queue)
{
	CHECK(bpf_map_update_elem(map, &queue, &b->fd, BPF_NOEXIST) == 0);
}

void bare_close(struct bare *b)
{
	for (int i = FILL; i <= TX; i++)
		CHECK(munmap(b->map[i].at, b->map[i].size) == 0);
	if (!b->shares)
		CHECK(munmap(b->umem, b->size) == 0);
	close(b->fd);
	if (b->memfd >= 0)
		close(b->memfd);
}
