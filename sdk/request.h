/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the daemon for sockets, and giving them back. */
#ifndef XSKD_SDK_REQUEST_H
#define XSKD_SDK_REQUEST_H

#include "conn.h"
#include "umem.h"

/*
 * request_opts() - take the caller's options, fill in what is left open, and check what would cost
 * memory before the daemon sees it. The rest is the daemon's to judge. @x may be NULL.
 */
int request_opts(struct xskd *x, const struct xskd_handoff_opts *opts,
		 struct xskd_handoff_opts *out) must_check;

/* request_n_sockets() - how many @o asks for. */
size_t request_n_sockets(const struct xskd_handoff_opts *o);

/*
 * request_sockets() - ask for sockets with memory.
 * @map: map the memory too.
 * @out: the answer, with as many sockets as @o asks for.
 * @out_umem: their memory, ours or that of the kept sockets; the caller owns it.
 */
int request_sockets(struct xskd *x, const char *interface, const struct xskd_handoff_opts *o,
		    bool map, struct reply *out, struct umem *out_umem) must_check;

/* request_unbound() - ask for sockets without memory, rings and bind. */
int request_unbound(struct xskd *x, const char *interface, const struct xskd_handoff_opts *o,
		    struct reply *out) must_check;

/* request_release() - we are done with these sockets. */
int request_release(struct xskd *x, uint64_t *ids, size_t n);

#endif
