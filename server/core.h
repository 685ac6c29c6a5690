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
	unsigned int doubt; /* see sweep.h */
	struct seen seen;
};

struct lease {
	Xskd__Lease *m;
	ino_t inode;               /* of the container's namespace */
	int nsid;                  /* of the same, for rtnetlink; -1: not known */
	struct hw_address address; /* of its device when it was granted */
	uint32_t mtu;              /* of its device; 0: not known */
	bool gone;                 /* its device is not there: removed, or moved elsewhere */
};

struct sock {
	Xskd__Socket *m;
	uint64_t lease;      /* its id */
	uint64_t group;      /* one hand-off: its sockets share a UMEM; id of the first */
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

struct manager;

struct core {
	const char *bpf_dir;
	struct limits limits;
	struct xsk_features features;
	struct gate *gate; /* borrowed */
	int prober;        /* for xsk_held() */
	struct state state;
	uint64_t cookie; /* of the daemon's own namespace */
	ino_t inode;
	time_t started_at;
	uint32_t connections;
	uint64_t last_id; /* of leases and sockets; in this boot none is given twice */
	struct metrics metrics;
	struct holders holders;
	struct timespec swept;        /* when it was last looked for sockets that have ended */
	struct index programs;        /* by id */
	struct index leases;          /* by id */
	struct index leases_by_netns; /* by cookie, interface: what a pod's call looks up */
	struct index socks;           /* by id */
	struct claim *claims;
	size_t n_claims;
	struct watcher *watchers;
	size_t n_watchers;
	struct audit *audit;     /* the caller's of core_init() */
	struct manager *manager; /* the edge's; NULL: there is none */

	/*
	 * The edge's: hand an event to a connection; close fds where closing may block; sweep soon,
	 * for there are doubts; whether a namespace has a connection. None may change the core:
	 * whoever calls them is in the middle of that.
	 */
	void (*deliver)(void *arg, const struct watcher *to, const Xskd__Event *event);
	void (*reap)(void *arg, struct fdset *fds);
	void (*look)(void *arg);
	bool (*connected)(void *arg, uint64_t cookie);
	/* ... and have the store forget a socket and (not 0) a UMEM: see drops.h. */
	void (*forget)(void *arg, uint64_t sock, uint64_t umem);
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

/* program_add() - takes over @m and @map_fd, also when it fails (NULL: no memory). */
struct program *program_add(struct core *core, Xskd__Program *m, ino_t inode, int map_fd);
struct program *program_find(const struct core *core, uint32_t id);
struct program *program_at(const struct core *core, ino_t inode, const char *interface);
/* program_serve() - from now on it serves the leases of its device, perhaps granted before. */
void program_serve(struct core *core, const struct program *p);
/* program_is_over() - it is transient, and there is no lease that it could be there for. */
bool program_is_over(const struct program *p);
/* program_moved() - its device is now there, under that name. */
void program_moved(struct program *p, ino_t inode, int nsid, uint64_t cookie, uint32_t ifindex,
		   const char *interface);
void program_drop(struct core *core, struct program *p);
/* program_doubt() - it may have lost its device, or the device it: have a sweep look soon. */
void program_doubt(struct core *core, struct program *p);

/*
 * To take a program away is three steps, as in a method: program_leave() (loop), program_remove()
 * (worker), program_drop() (loop). A call whose worker writes the program's state file holds it for
 * so long: the file would outlive the program. Leaving and holding exclude each other, and neither
 * waits.
 */

/* program_leave() - Return: false, it is leaving already, or held. */
bool program_leave(struct program *p) must_check;
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

/* What a connection's namespace and the interface that it names select. */
struct lease_key {
	uint64_t cookie;
	const char *interface;
};

int lease_compare(const void *key, const void *item);

/* lease_add() - takes over @m, also when it fails (NULL: no memory). Gives it an id if it has none.
 */
struct lease *lease_add(struct core *core, Xskd__Lease *m, ino_t inode, int nsid);
struct lease *lease_find(const struct core *core, uint64_t id);
struct lease *lease_of(const struct core *core, uint64_t cookie, const char *interface);
struct lease *lease_by_key(const struct core *core, const char *container, const char *interface);
bool lease_has_queue(const struct lease *l, uint32_t queue);
/* lease_inode() - of the namespace that its device is in. */
ino_t lease_inode(const struct core *core, const struct lease *l);
/* lease_serve() - @p is the program that serves it from now on; NULL: none is. */
void lease_serve(struct core *core, struct lease *l, const struct program *p);
/* lease_drop() - forget it and its sockets; their fds go to the reaper. Tells watchers. */
void lease_drop(struct core *core, struct lease *l, const char *why);
/* lease_end() - the same without a RevokeLease, its state file and its places in the map included.
 */
void lease_end(struct core *core, struct lease *l, const char *why);
/* lease_renamed() - its device is called so now. */
void lease_renamed(struct lease *l, const char *device);
void lease_file(const struct lease *l, Xskd__StateFile *out);
/* lease_file_name() - of its state file. */
void lease_file_name(const Xskd__Lease *m, char *out, size_t size);

/* ---- sockets ---- */

/* sock_add() - takes over @m, @fd and @memfd, likewise. */
struct sock *sock_add(struct core *core, Xskd__Socket *m, uint64_t lease, int fd, int memfd);
struct sock *sock_find(const struct core *core, uint64_t id);
/* sock_at() - the newest at this place. */
struct sock *sock_at(const struct core *core, uint32_t program, uint32_t queue);
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
void core_netns_gone(struct core *core, int nsid);

#endif
