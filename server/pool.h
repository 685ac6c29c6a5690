/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool: instances of the default program that wait, each with maps of its own, attached to
 * devices of a network namespace of the daemon's own. One that is attached somewhere already goes
 * on a second device, and comes off it, without the kernel's waiting for a grace period (see
 * prime.h): so a LoadProgram takes no longer than its system calls.
 *
 * An instance that goes on a client's device keeps its place in the pool for as long as there is
 * room, so that it can come off as fast. Afterwards it waits again, if nobody was given its map;
 * else it is thrown away behind the client's back. Instances that wait are pinned but for their
 * link, and the namespace is held by fds alone: whatever end the daemon comes to, the kernel takes
 * the devices away, and the next start finds instances half made.
 *
 * All attaching and detaching of the daemon goes through here, with or without a pool, and is done
 * one at a time: one that holds the rtnl lock must not wait in the kernel for another.
 *
 * Everything here blocks and is for worker threads, but for pool_mark(), pool_settle(),
 * pool_info() and pool_wants().
 */
#ifndef XSKD_POOL_H
#define XSKD_POOL_H

#include "instance.h"

#define POOL_SIZE_MAX 16

struct pool;

struct pool_info {
	uint32_t size;   /* that shall wait */
	uint32_t ready;  /* that do */
	bool busy;       /* one is still to be made or thrown away */
	uint64_t taken;  /* LoadPrograms that were served */
	uint64_t missed; /* ... that were not: none was there, or none with so many queues */
	uint64_t reused; /* came back from a device, to wait again */
};

/*
 * pool_open() - at start, behind wake_setup(), before privileges are given up.
 * @size: so many shall wait; 0: no pool.
 * @bpf_dir, @gate: borrowed.
 */
int pool_open(uint32_t size, const char *bpf_dir, struct gate *gate, struct pool **out,
	      struct fault *fault) must_check;

/* pool_close() - instances that wait go; NULL is no pool. */
void pool_close(struct pool *pool);

/*
 * pool_make() - an instance for a device: one that waits, else a new one. The caller ends @out with
 * instance_done().
 * @out_ready: it waited. Then it is pinned already, and instance's place is the caller's until
 *	pool_settle().
 */
int pool_make(struct pool *pool, const struct instance_spec *spec, struct instance *out,
	      bool *out_ready, struct fault *fault) must_check;

/* pool_attach() - instance_attach(). */
int pool_attach(struct pool *pool, struct instance *in, struct netns *ns, const struct device *dev,
		enum instance_mode mode, enum instance_mode *out_granted,
		struct fault *fault) must_check;

/*
 * pool_remove() - instance_unpin(); but an instance that has or gets a place in the pool stays
 * there until pool_settle().
 */
int pool_remove(struct pool *pool, uint32_t id) must_check;

/*
 * pool_mark() - whether an instance that is about to be removed may serve another device: nobody
 * has its map, and nobody is putting a socket there.
 */
void pool_mark(struct pool *pool, uint32_t id, bool clean);

/*
 * pool_settle() - it was removed, and nobody knows it by its id any more: it may wait again. No
 * error if it has no place in the pool.
 * @clean: as pool_mark(); false, it is thrown away.
 */
void pool_settle(struct pool *pool, uint32_t id, bool clean);

/* pool_wants() - whether there is something to do for pool_step(). */
bool pool_wants(struct pool *pool);

/* pool_step() - make one instance, or throw one away. */
void pool_step(struct pool *pool);

void pool_info(struct pool *pool, struct pool_info *out);

#endif
