/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kept sockets that outlive the daemon: the service manager holds a copy of each and of its UMEM,
 * and a state file has what the kernel cannot tell of them. Without a service manager they are not
 * stored, and end with the daemon.
 *
 * In the order of: the files of all sockets of a hand-off, their descriptors, their UMEM's. So a
 * kill leaves files without descriptors, or a group without its UMEM, which were never handed out:
 * both are dropped at the next start. The way back is the file first: a descriptor without one is
 * taken out of the store.
 */
#ifndef XSKD_STORE_H
#define XSKD_STORE_H

#include "core.h"

/* A hand-off that is to be stored. */
struct store_group {
	Xskd__Socket *const *socks;
	const int *fds; /* of each */
	size_t n;
	uint64_t id, lease;
	int memfd;
	uint64_t umem_bytes;
};

/* store_is_there() - whether what is kept can be stored. */
bool store_is_there(const struct core *core);

/*
 * store_put() - blocks: at most for seconds, where the manager does not read. After a failure
 * store_drop() is due for each socket.
 */
int store_put(const struct core *core, const struct store_group *group,
	      struct fault *fault) must_check;

/* store_drop() - have it forgotten; @umem: id of the group whose last socket it is, else 0. */
void store_drop(struct core *core, uint64_t sock, uint64_t umem);

/*
 * store_forget_umem(), store_forget() - the edge's part of that, on a worker. Return: 0; negative:
 * the manager has no room for the message, so try again.
 */
int store_forget_umem(const struct core *core, uint64_t group) must_check;
int store_forget(const struct core *core, uint64_t sock) must_check;

/*
 * store_restore() - at start, when programs and leases are there: what was stored is kept again.
 * Return: how many files were set aside; negative: no memory.
 */
int store_restore(struct core *core) must_check;

/* store_tidy() - at the end of the start: what the manager passed and nobody took leaves the store.
 */
void store_tidy(struct core *core);

#endif
