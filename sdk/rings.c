// SPDX-License-Identifier: Apache-2.0
#include "rings.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* The order of struct rings. */
enum { FILL, COMPLETION, RX, TX };

static int map_one(int fd, off_t page_offset, size_t size, struct rings *rings, int which)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
			page_offset);

	if (at == MAP_FAILED)
		return -errno;
	rings->map[which].at = at;
	rings->map[which].size = size;
	return 0;
}

static uint32_t *at_offset(void *map, uint64_t offset)
{
	return (uint32_t *)(void *)((char *)map + offset);
}

static void init_prod(struct xsk_ring_prod *r, void *map, const struct xdp_ring_offset *off,
		      uint32_t size)
{
	r->mask = size - 1;
	r->size = size;
	r->producer = at_offset(map, off->producer);
	r->consumer = at_offset(map, off->consumer);
	r->flags = at_offset(map, off->flags);
	r->ring = at_offset(map, off->desc);
	r->cached_prod = *r->producer;
	/* libxdp keeps it ahead by `size`, see xsk_prod_nb_free(). */
	r->cached_cons = *r->consumer + size;
}

static void init_cons(struct xsk_ring_cons *r, void *map, const struct xdp_ring_offset *off,
		      uint32_t size)
{
	r->mask = size - 1;
	r->size = size;
	r->producer = at_offset(map, off->producer);
	r->consumer = at_offset(map, off->consumer);
	r->flags = at_offset(map, off->flags);
	r->ring = at_offset(map, off->desc);
	r->cached_prod = *r->producer;
	r->cached_cons = *r->consumer;
}

int rings_map(int fd, const struct ring_sizes *sizes, struct xskd_socket *s, struct rings *out)
{
	cleanup(rings_unmap) struct rings rings = { 0 };
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof(off);
	int r;

	if (!is_power_of_two(sizes->fill) || !is_power_of_two(sizes->completion) ||
	    !is_power_of_two(sizes->rx) || !is_power_of_two(sizes->tx))
		return -EINVAL;
	if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len) < 0)
		return -errno;
	/* Before Linux 5.4 the rings had no flags. */
	if (len != sizeof(off))
		return -EOPNOTSUPP;
	r = map_one(fd, XDP_UMEM_PGOFF_FILL_RING,
		    off.fr.desc + (size_t)sizes->fill * sizeof(uint64_t), &rings, FILL);
	if (r == 0)
		r = map_one(fd, XDP_UMEM_PGOFF_COMPLETION_RING,
			    off.cr.desc + (size_t)sizes->completion * sizeof(uint64_t), &rings,
			    COMPLETION);
	if (r == 0)
		r = map_one(fd, XDP_PGOFF_RX_RING,
			    off.rx.desc + (size_t)sizes->rx * sizeof(struct xdp_desc), &rings, RX);
	if (r == 0)
		r = map_one(fd, XDP_PGOFF_TX_RING,
			    off.tx.desc + (size_t)sizes->tx * sizeof(struct xdp_desc), &rings, TX);
	if (r < 0)
		return r;
	init_prod(&s->fill, rings.map[FILL].at, &off.fr, sizes->fill);
	init_cons(&s->completion, rings.map[COMPLETION].at, &off.cr, sizes->completion);
	init_cons(&s->rx, rings.map[RX].at, &off.rx, sizes->rx);
	init_prod(&s->tx, rings.map[TX].at, &off.tx, sizes->tx);
	*out = rings;
	rings = (struct rings){ 0 };
	return 0;
}

void rings_unmap(struct rings *rings)
{
	for (size_t i = 0; i < ARRAY_SIZE(rings->map); i++)
		if (rings->map[i].at)
			munmap(rings->map[i].at, rings->map[i].size);
	*rings = (struct rings){ 0 };
}
