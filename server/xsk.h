/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AF_XDP system calls: making sockets over a client's UMEM, binding them, and their places in an
 * XSKMAP. All of it may block and belongs on worker threads. The rings are never mapped here.
 */
#ifndef XSKD_XSK_H
#define XSKD_XSK_H

#include <pthread.h>

#include "fault.h"
#include "netns.h"
#include "umem.h"

#define XSK_QUEUES_MAX 63

/* What this kernel can do; found out by trying, for distributions backport. */
struct xsk_features {
	bool full_handoff;   /* rings may be mapped after bind: 6.4 */
	bool bind_to_device; /* bind honours SO_BINDTODEVICE: 6.5 and stable kernels */
	bool multi_buffer;   /* XDP_USE_SG: 6.6 */
};

/* xsk_probe() - in a network namespace made for it; needs CAP_SYS_ADMIN, and so is for the start.
 */
int xsk_probe(struct gate *gate, struct xsk_features *out, struct fault *fault) must_check;

struct xsk_spec {
	const char *device; /* for error texts */
	uint32_t ifindex;
	uint32_t queue[XSK_QUEUES_MAX];
	size_t n;
	uint32_t frame_size, headroom;
	uint32_t fill_size, completion_size, rx_size, tx_size;
	bool zero_copy_required, copy; /* neither: the driver decides */
	bool need_wakeup, multi_buffer;
	bool tied; /* somebody else has them before they are bound: to this device alone */
	uint32_t busy_poll_us, busy_poll_budget;
};

/*
 * xsk_open() - sockets of that namespace. @out_fds: spec->n of them, the
 * caller's. On failure none is left open.
 */
int xsk_open(const struct netns *ns, const struct xsk_spec *spec, int *out_fds,
	     struct fault *fault) must_check;

/*
 * xsk_set_up() - UMEM (registered with the first socket) and rings. The memfd may be closed then;
 * it is left mapped.
 */
int xsk_set_up(const struct xsk_spec *spec, const int *fds, struct umem *umem,
	       const struct umem_guard *guard, struct fault *fault) must_check;

/*
 * xsk_bind() - bind all, in order; those after the first share its UMEM.
 * @bound: so many are already; counted on. A queue whose last holder has ended is freed by the
 *	kernel some 20 to 60 ms later: with -EBUSY go on from there after a while.
 * @out_zero_copy: what the driver granted.
 */
int xsk_bind(const struct xsk_spec *spec, const int *fds, size_t *bound, bool *out_zero_copy,
	     struct fault *fault) must_check;

/*
 * By which xsk_held() looks at places of maps; several threads may. While one does, our own socket
 * is there, and who came between would have his taken out in its stead.
 */
struct xsk_prober {
	int fd;
	pthread_mutex_t turn;
};

#define XSK_PROBER_INIT                       \
	{                                     \
		-1, PTHREAD_MUTEX_INITIALIZER \
	}

/* xsk_prober_open() - the caller closes its fd. */
int xsk_prober_open(struct xsk_prober *prober, struct gate *gate, struct fault *fault) must_check;

/* xsk_insert() - all into the map, each where no other socket is. On failure none stays in. */
int xsk_insert(struct xsk_prober *prober, const struct xsk_spec *spec, const int *fds, int map_fd,
	       struct fault *fault) must_check;

/* xsk_remove() - take whatever is at @queue out of the map. */
void xsk_remove(int map_fd, uint32_t queue);

/*
 * xsk_held() - whether a socket is at @queue of the map. User space cannot look an XSKMAP up, so it
 * is tried with BPF_NOEXIST and a socket of our own.
 */
int xsk_held(struct xsk_prober *prober, int map_fd, uint32_t queue, bool *out) must_check;

/*
 * xsk_put_back() - @fd at @queue of the map, where it should be already: no error where some socket
 * is, which user space cannot look at.
 */
int xsk_put_back(int map_fd, uint32_t queue, int fd) must_check;

/* xsk_cookie() - of an AF_XDP socket: unique until reboot. -EINVAL: it is something else. */
int xsk_cookie(int fd, uint64_t *out) must_check;

struct xdp_statistics;

/* xsk_statistics() - XDP_STATISTICS; what an older kernel does not fill in is 0. */
int xsk_statistics(int fd, struct xdp_statistics *out) must_check;

#endif
