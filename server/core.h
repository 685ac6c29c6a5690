/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon knows: programs, leases, sockets, and who watches. Belongs to the loop thread
 * alone; worker threads get copies of what they need (see call.h). The truth about programs is in
 * the kernel and about leases in state files; this is rebuilt from both at start.
 *
 * A lease, a program and a socket are kept as the very message that clients see, with what concerns
 * only the daemon beside it: so a list is the messages themselves, and a state file is one packed.
 */
#ifndef XSKD_CORE_H
#define XSKD_CORE_H

#include <sys/types.h>
#include <time.h>

#include "fault.h"
#include "fdset.h"
#include "holder.h"
#include "index.h"
#include "metrics.h"
#include "netns.h"
#include "state.h"
#include "xsk.h"

struct limits {
	uint32_t connections; /* of pods; and as many of administrators */
	uint32_t connections_per_netns;
	uint32_t calls_in_flight;   /* of a connection */
	uint32_t calls_per_netns;   /* in flight, of all connections of a pod */
	uint32_t calls_per_second;  /* of a pod */
	uint32_t workers_per_netns; /* that are busy with a pod's calls at a time */
	uint32_t connections_without_lease;
	uint32_t fds_per_netns; /* that a pod was sent and has not taken */
	uint32_t watchers_per_netns;
	uint32_t queued_bytes; /* of a connection that does not read */
	uint32_t queued_bytes_per_netns;
	uint32_t sockets_per_lease;
	uint64_t umem_bytes_per_lease;
	uint64_t ring_bytes_per_lease;
	uint32_t transient_grace; /* seconds that a transient program waits for its first lease */
	uint32_t kept_seconds;    /* that a kept socket waits for another process */
};

struct program {
	Xskd__Program *m;
	ino_t inode;     /* of its namespace; 0: not known (the device was moved) */
	int nsid;        /* of the same, for rtnetlink; -1: the daemon's own; NETNS_UNKNOWN */
	uint64_t served; /* cookie of the namespace that was given its map; 0: none */
	int map_fd;
	time_t spared;      /* transient: until then (CLOCK_MONOTONIC) it may be without a lease */
	uint32_t holds;     /* calls under way that write its state file: it has to outlast them */
	bool leaving;       /* a worker is taking it away: it serves nobody any more */
	bool lent;          /* somebody has its map */
	unsigned int doubt; /* see sweep.h */
	struct seen seen;
};

struct lease {
	Xskd__Lease *m;
	ino_t inode;               /* of the container's namespace */
	int nsid;                  /* of the same, for rtnetlink; -1: not known */
	ino_t device_inode;        /* of the namespace that its device is in */
	int device_nsid;           /* of the same, for rtnetlink; -1: the daemon's own */
	struct hw_address address; /* of its device when it was granted */
	uint32_t mtu;              /* of its device; 0: not known */
	bool gone;                 /* its device is not there: removed, or moved elsewhere */
	uint32_t heard;            /* how often the kernel has told something of its device */
};

struct sock {
	Xskd__Socket *m;
	uint64_t lease;      /* its id */
	uint64_t group;      /* one hand-off: its sockets share a UMEM, and have ids from this on */
	uint64_t conn;       /* SOCKET_AWAITS_BIND: who may bind it */
	time_t deadline;     /* ... and until when (CLOCK_MONOTONIC) */
	Xskd__ZeroCopy wish; /* ... and how */
	bool multi_buffer;
	bool stored;           /* kept beyond the end of the daemon: see store.h */
	int fd;                /* our copy: kept, or waiting for its bind; else -1 */
	int memfd;             /* with one of a kept group; else -1 */
	struct holder *holder; /* whom it was handed to; NULL: has ended, or not to be seen */
	time_t waits;          /* kept: since then (CLOCK_MONOTONIC) without a holder; else 0 */
	unsigned int doubt;    /* see sweep.h */
	struct seen seen;
};

/* A call is at work at this place of a program's map. */
struct claim {
	const void *owner;
	uint32_t program, queue;
};

struct watcher {
	uint64_t conn, call;
	bool admin;
	uint64_t cookie;
};

struct peer;
struct manager;

struct core {
	const char *bpf_dir;
	struct limits limits;
	struct xsk_features features;
	struct gate *gate; /* borrowed */
	struct pool *pool; /* borrowed; NULL while there is none yet */
	struct xsk_prober prober;
	struct umem_guard umem_guard; /* its fd is borrowed */
	struct state state;
	uint64_t cookie; /* of the daemon's own namespace */
	ino_t inode;
	time_t started_at;
	bool ending; /* no call is waited for any more */
	uint32_t connections;
	uint64_t last_id; /* of leases and sockets; in this boot none is given twice */
	struct metrics metrics;
	struct call *spare; /* memory of a call that has ended, for the next; NULL: none */
	struct holders holders;
	struct timespec swept; /* when it was last looked at all sockets: see sweep_due() */
	struct index programs; /* by id */
	struct index leases;   /* by id */
	struct index socks;    /* by id */
	size_t n_gone;         /* leases whose device is not there */
	uint64_t umem_bytes;   /* of all sockets */
	bool files_left;       /* of leases that have ended: one could not be removed */
	/* What is looked up by something else than its id: see keys.h. */
	struct index programs_by_name, programs_by_link;
	struct index leases_by_netns; /* what a pod's call looks up */
	struct index leases_by_container, leases_by_pod, leases_by_device, leases_by_link;
	struct index socks_by_place, socks_by_lease, socks_by_conn;
	struct claim *claims;
	size_t n_claims;
	struct watcher *watchers;
	size_t n_watchers;
	struct audit *audit;     /* the caller's of core_init() */
	struct manager *manager; /* the edge's; NULL: there is none */

	/*
	 * The edge's: hand an event to a connection; close fds, or unmap memory, where that may
	 * block; sweep soon, for there are doubts; see to the pool; whether a namespace has a
	 * connection. None may change the core: whoever calls them is in the middle of that.
	 */
	void (*deliver)(void *arg, const struct watcher *to, const Xskd__Event *event);
	/* @from: who sent them, for they can be anything; NULL: they are ours. */
	void (*reap)(void *arg, struct fdset *fds, const struct peer *from);
	void (*unmap)(void *arg, void *area, size_t size);
	void (*look)(void *arg);
	void (*refill)(void *arg); /* the pool has something to do, perhaps */
	bool (*connected)(void *arg, uint64_t cookie);
	/*
	 * Read all news of the kernel that there is; this one does change the core. Return: whether
	 * it was all, and nothing but the call that asks is under way.
	 */
	bool (*hear)(void *arg);
	/* ... and have the store forget a socket and (not 0) a UMEM: see drops.h. */
	void (*forget)(void *arg, uint64_t sock, uint64_t umem);
	/* ... remove the state file of a lease; and whether that of this name is still on its way.
	 */
	void (*unfile)(void *arg, const char *name);
	bool (*unfiling)(void *arg, const char *name);
	void *arg;
};

/* core_init() - @state becomes the core's; @audit (may be NULL) stays the caller's. */
void core_init(struct core *core, const char *bpf_dir, const struct limits *limits,
	       const struct state *state, struct audit *audit);

/* core_restore() - rebuild from pins and state files; finishes or rolls back what was half done. */
int core_restore(struct core *core, struct fault *fault) must_check;

void core_done(struct core *core);

/* message_clone() - a copy in memory of its own, as protobuf_c_message_free_unpacked() frees it. */
void *message_clone(const void *message) must_check;

/* ---- programs ---- */

/* By name: inode, interface, id. By link: nsid, ifindex, id. */
struct program_key {
	ino_t inode;
	const char *interface;
	int nsid;
	uint32_t ifindex, id;
};

/* program_add() - takes over @m and @map_fd, also when it fails (NULL: no memory). */
struct program *program_add(struct core *core, Xskd__Program *m, ino_t inode, int nsid, int map_fd);
struct program *program_find(const struct core *core, uint32_t id);
/* program_next() - of those on a device, the first with a greater id than @after; NULL: none. */
struct program *program_next(const struct core *core, int nsid, uint32_t ifindex, uint32_t after);
struct program *program_at(const struct core *core, ino_t inode, const char *interface);
/* program_queues() - so many of its device can have packets. */
uint32_t program_queues(const struct program *p);
/* program_serve() - from now on it serves the leases of its device, perhaps granted before. */
void program_serve(struct core *core, const struct program *p);
/* program_is_over() - it is transient, and there is no lease that it could be there for. */
bool program_is_over(const struct program *p);
/* program_moved() - its device is now there, under that name. */
void program_moved(struct core *core, struct program *p, ino_t inode, int nsid, uint64_t cookie,
		   uint32_t ifindex, const char *interface);
/*
 * program_drop() - forget it. @alone: nobody can act any more by what he knew of it, see core.hear;
 * else its id must not come again soon.
 */
void program_drop(struct core *core, struct program *p, bool alone);
/* program_forget() - the same of what a worker has removed, and may be forgotten already. */
void program_forget(struct core *core, uint32_t id, bool alone);
/* program_doubt() - it may have lost its device, or the device it: have a sweep look soon. */
void program_doubt(struct core *core, struct program *p);

/*
 * To take a program away is three steps, as in a method: program_leave() (loop), program_remove()
 * (worker), program_drop() (loop). A call whose worker writes the program's state file holds it for
 * so long: the file would outlive the program. Leaving and holding exclude each other, and neither
 * waits.
 */

/* program_leave() - Return: false, it is leaving already, or held. */
bool program_leave(struct core *core, struct program *p) must_check;
/* program_stay() - the end of leaving where it was not dropped after all; no error where it was. */
void program_stay(struct core *core, uint32_t id);
/*
 * program_remove() - blocks: detach it and take its pins and its state file away; no error where
 * there is none.
 */
int program_remove(const struct core *core, uint32_t id) must_check;

/* program_hold() - until program_release(). Return: its id. */
uint32_t program_hold(struct program *p) must_check;
/* program_release() - @id 0: none was held. */
void program_release(const struct core *core, uint32_t id);

/* program_file() - fill in a state file; valid as long as @p is. */
void program_file(const struct program *p, Xskd__StateFile *out);

/* ---- leases ---- */

/*
 * By netns: cookie, interface. By container: that, interface. By pod: inode of its namespace,
 * interface, id. By device: inode of its namespace, ifindex, id. By link: nsid of that, ifindex,
 * id.
 */
struct lease_key {
	uint64_t cookie;
	const char *container, *interface;
	ino_t pod_inode, inode;
	int nsid;
	uint32_t ifindex;
	uint64_t id;
};

/* lease_add() - takes over @m, also when it fails (NULL: no memory). Gives it an id if it has none.
 */
struct lease *lease_add(struct core *core, Xskd__Lease *m, ino_t inode, int nsid);
struct lease *lease_find(const struct core *core, uint64_t id);
struct lease *lease_of(const struct core *core, uint64_t cookie, const char *interface);
struct lease *lease_by_key(const struct core *core, const char *container, const char *interface);
/* lease_in() - the first lease in the container's namespace, its interface being called so. */
struct lease *lease_in(const struct core *core, ino_t inode, const char *interface);
/*
 * lease_next_...() - the first one behind @after (NULL: of all) that is of the namespace, of the
 * container, or on the device; NULL: no more.
 */
struct lease *lease_next_of_netns(const struct core *core, uint64_t cookie,
				  const struct lease *after);
struct lease *lease_next_of_container(const struct core *core, const char *container,
				      const struct lease *after);
struct lease *lease_next_on_device(const struct core *core, ino_t inode, uint32_t ifindex,
				   const struct lease *after);
struct lease *lease_next_on_link(const struct core *core, int nsid, uint32_t ifindex,
				 const struct lease *after);
bool lease_has_queue(const struct lease *l, uint32_t queue);
/* lease_serve() - @p is the program that serves it from now on; NULL: none is. */
void lease_serve(struct core *core, struct lease *l, const struct program *p);
/* lease_drop() - forget it and its sockets; their fds go to the reaper. Tells watchers. */
void lease_drop(struct core *core, struct lease *l, const char *why);
/*
 * lease_end() - the same without a RevokeLease, its places in the map included. Its state file goes
 * some time later; until then nobody is granted what has that name.
 */
void lease_end(struct core *core, struct lease *l, const char *why);
/* lease_gone() - its device is not there any more; lease_back(): it is again, perhaps another. */
void lease_gone(struct core *core, struct lease *l);
void lease_back(struct core *core, struct lease *l, uint32_t ifindex);
/* lease_renamed() - its device is called so now. */
void lease_renamed(struct lease *l, const char *device);
void lease_file(const struct lease *l, Xskd__StateFile *out);
/* lease_file_name() - of its state file. */
void lease_file_name(const Xskd__Lease *m, char *out, size_t size);

/* ---- sockets ---- */

/* By place: program, queue, id. By lease: that, id. By connection: that, id. */
struct sock_key {
	uint32_t program, queue;
	uint64_t lease, conn, id;
};

/* sock_add() - takes over @m, @fd and @memfd, likewise. */
struct sock *sock_add(struct core *core, Xskd__Socket *m, uint64_t lease, int fd, int memfd);
struct sock *sock_find(const struct core *core, uint64_t id);
/* sock_at() - the newest at this place. */
struct sock *sock_at(const struct core *core, uint32_t program, uint32_t queue);
/*
 * sock_next_...() - the first one behind @after (NULL: of all) of a lease, of one of its hand-offs,
 * or of a program.
 */
struct sock *sock_next_of_lease(const struct core *core, uint64_t lease, const struct sock *after);
struct sock *sock_next_of_group(const struct core *core, uint64_t lease, uint64_t group,
				const struct sock *after);
struct sock *sock_next_of_program(const struct core *core, uint32_t program,
				  const struct sock *after);
/*
 * sock_drop() - forget it; its fds go to the reaper. @kind: the event that watchers get, 0: none.
 */
void sock_drop(struct core *core, struct sock *s, Xskd__EventKind kind, const char *why);
/* sock_drop_pending() - those that @conn should have bound; 0: those whose time is over. */
void sock_drop_pending(struct core *core, uint64_t conn);
/* sock_hold() - it was handed to that process, over the connection @conn with the fd @sock. */
void sock_hold(struct core *core, struct sock *s, int sock, pid_t pid, uint64_t conn);
/* sock_doubt() - a process has ended, or with @holder NULL a connection: look at its sockets. */
void sock_doubt(struct core *core, struct holder *holder, uint64_t conn);
/* sock_forget_waiting() - let go of what was kept for a process that has not come in time. */
void sock_forget_waiting(struct core *core);
/*
 * sock_drop_stale() - those at this place that are not of @group: they have ended unseen, as a
 * newer socket's taking the place has proved.
 */
void sock_drop_stale(struct core *core, uint32_t program, uint32_t queue, uint64_t group);
/* sock_drop_all() - all of @lease, or, with 0, all of @program. */
void sock_drop_all(struct core *core, uint64_t lease, uint32_t program, Xskd__EventKind kind,
		   const char *why);

/*
 * sock_claim() - these places are @owner's until sock_unclaim(). Return: 0; -EBUSY: one of them is
 * somebody's; -ENOMEM.
 */
int sock_claim(struct core *core, const void *owner, uint32_t program, const uint32_t *queues,
	       size_t n) must_check;
void sock_unclaim(struct core *core, const void *owner);
/* sock_claimed() - whether a place of that program's is anybody's. */
bool sock_claimed(const struct core *core, uint32_t program);

/* ---- events ---- */

int watch_add(struct core *core, const struct watcher *w) must_check;
void watch_drop(struct core *core, uint64_t conn);

/* watch_tell() - an event of @l, and of @s unless NULL. */
void watch_tell(struct core *core, Xskd__EventKind kind, const struct lease *l,
		const struct sock *s, const char *message);

/* ---- what the kernel reports of devices; nsid -1: the daemon's own namespace ---- */

void core_link_changed(struct core *core, int nsid, const struct device *dev);
void core_queues_changed(struct core *core, int nsid, uint32_t ifindex, uint32_t queues);
void core_link_gone(struct core *core, int nsid, uint32_t ifindex);
/* @last: the newest lease that was there when it had gone; others have got its number since. */
void core_netns_gone(struct core *core, int nsid, uint64_t last);

#endif
