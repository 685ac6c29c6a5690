/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libxskd: AF_XDP sockets from the node's xskd daemon, for programs without privileges.
 *
 * Ten lines before the packet loop:
 *
 *	struct xskd *x;
 *	struct xskd_handoff *h;
 *
 *	if (xskd_open(NULL, 1000, &x) < 0 || xskd_hand_off(x, "eth0", NULL, &h) < 0)
 *		errx(1, "%s", xskd_error(x));
 *	xskd_fill(h);
 *	struct xskd_socket *s = &h->sockets[0];
 *	// From here on it is any AF_XDP program: poll(s->fd), xsk_ring_cons__peek(&s->rx, ...),
 *	// xsk_umem__get_data(h->umem, desc->addr), xsk_ring_prod__submit(&s->fill, ...).
 *
 * Results. Functions that can fail answer 0 or a negative errno, and leave a text that says what
 * failed, on what, why and what to do in xskd_error(). Out parameters are written on success only.
 * Beside errnos of failed system calls, the daemon's refusals are answered as
 *
 *	-EACCES        not allowed: no lease for this namespace, or a queue that is not in it
 *	-ENOENT        no such interface, program, lease or socket
 *	-EEXIST        the queue, or the name, is taken
 *	-EINVAL        the request does not make sense
 *	-EPERM         this connection may not make this call at all (admin calls)
 *	-EDQUOT        a limit of the connection or the lease is reached, fewer queues are free than
 *	               were asked for, or the daemon has no memory or descriptors left
 *	-EBUSY         the state of things forbids it: mend what the text says, then ask again
 *	-EAGAIN        another call is still at the program, the queue or the lease: ask again some
 *	               milliseconds later
 *	-ETIMEDOUT     the deadline has passed; the connection is closed, see xskd_open()
 *	-EOPNOTSUPP    the daemon, the kernel or the driver cannot do it
 *	-ECONNREFUSED, -ENOENT at xskd_open(): no daemon there
 *	-ENOTCONN      the connection has ended, and the daemon is not back, or the call is one that
 *	               is not asked twice (see xskd_open()); the next call tries again
 *	-EPROTO        the daemon's answer is none of this protocol; the connection is closed
 *	-EMFILE        this process has no fd left for those of the answer; the connection is closed
 *	-EMSGSIZE      the request has more texts or queues than a packet holds; nothing was sent
 *	-ESTALE        called in a child of the process that opened the connection, or in another
 *	               network namespace
 *
 * and xskd_status() has the exact gRPC code that the daemon sent.
 *
 * Threads: a struct xskd may be used by one thread at a time; different ones by different threads.
 * Sockets and rings are the application's own: libxskd never touches them after the hand-off,
 * and makes no system call on the packet path.
 *
 * Fork: a child may do nothing with a struct xskd that it inherited but xskd_close() it, which then
 * leaves the parent's connection alone. All fds of libxskd are close-on-exec.
 *
 * Blocking: every call waits for its reply up to the connection's timeout. xskd_fd() and
 * xskd_dispatch() take events in without blocking.
 */
#ifndef XSKD_H
#define XSKD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xdp/xsk.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define XSKD_VERSION_MAJOR 0
#define XSKD_VERSION_MINOR 1
#define XSKD_VERSION_PATCH 0

/* Where a pod finds the daemon. The directory is mounted into the pod, never the socket itself. */
#define XSKD_POD_SOCKET "/run/xskd/pod/xskd.sock"
/* Where the administrator finds it. */
#define XSKD_ADMIN_SOCKET "/run/xskd/admin/xskd.sock"
/* Names another socket for xskd_open(NULL, ...); ignored in setuid programs. */
#define XSKD_SOCKET_ENV "XSKD_SOCKET"

#define XSKD_IFNAME_SIZE    16  /* IFNAMSIZ */
#define XSKD_CONTAINER_SIZE 129 /* a container id has at most 128 characters */
#define XSKD_QUEUES_MAX     63  /* of one hand-off: what fits in a packet beside the UMEM */

/* A connection. */
struct xskd;

/*
 * Options grow at their end: XSKD_OPTS() says which of them the caller was compiled with, and what
 * it does not set is 0, which is always the default.
 *
 *	struct xskd_handoff_opts o = XSKD_OPTS(xskd_handoff_opts, .zero_copy = XSKD_ZC_NO);
 */
#define XSKD_OPTS(type, ...) ((struct type){ .sz = sizeof(struct type), __VA_ARGS__ })

/* ---- The connection ------------------------------------------------------------------------- */

/*
 * xskd_open() - connect to the daemon.
 * @path: of its socket. NULL: $XSKD_SOCKET, else XSKD_POD_SOCKET.
 * @timeout_ms: for this and for each later call; 0: 5000; negative: for ever. A call that misses
 *	it closes the connection, for a late reply must not be taken for another call's.
 * @out: the connection, also when this fails (then only for xskd_error(), xskd_reconnect() and
 *	xskd_close()); NULL only when there was no memory.
 * The daemon knows the caller by the network namespace in which *this thread* is now: that is where
 * the connection's socket is made (SO_NETNS_COOKIE, Linux 5.14).
 *
 * Once open, it comes back by itself: after -ENOTCONN and -ETIMEDOUT, or when the daemon was
 * restarted unseen, the next call connects again. It waits for the daemon within its own timeout,
 * at most ten seconds. A call whose answer was lost is asked again: all calls have the same outcome
 * twice (xskd_revoke_lease() may count 0), but for xskd_load_program(), xskd_unload_program() and
 * xskd_unload_link(), which are only asked again if the daemon had not read them. xskd_fd() is
 * another then. In a thread that is in another network namespace than the connection is for,
 * -ESTALE.
 */
int xskd_open(const char *path, int timeout_ms, struct xskd **out);

/*
 * xskd_reconnect() - now, and without waiting for the daemon; from now on for the namespace in
 * which this thread is. Sockets that were handed out go on working in any case, and a watch goes
 * on.
 */
int xskd_reconnect(struct xskd *x);

/* xskd_close() - end the connection and free @x (may be NULL). Handed-off sockets live on. */
void xskd_close(struct xskd *x);

/* xskd_error() - the text of the last failure of @x (may be NULL); valid until the next call. */
const char *xskd_error(const struct xskd *x);

/* xskd_log() - with a program that the verifier refused: the end of its log, else "". */
const char *xskd_log(const struct xskd *x);

/* xskd_status() - the gRPC code of the daemon's last answer, 0 for OK; -1: there was none. */
int xskd_status(const struct xskd *x);

/* xskd_status_name() - "PERMISSION_DENIED" for 7; "UNKNOWN" for what is none. */
const char *xskd_status_name(int status);

/* xskd_version() - of the library that runs, "0.1.0"; may differ from the header's. */
const char *xskd_version(void);

struct xskd_info {
	char version[32];      /* the daemon's */
	char kernel[65];       /* release */
	bool admin;            /* this connection may make admin calls */
	uint64_t netns_cookie; /* how the kernel names the caller's network namespace */
	uint64_t started_at;   /* seconds since the epoch */
	bool full_handoff;     /* sockets come bound: Linux 6.4; else libxskd takes two steps */
	bool bind_to_device;   /* unbound sockets are tied to their device */
	bool multi_buffer;     /* packets larger than a frame */
	uint32_t calls_in_flight, connections_per_netns, sockets_per_lease;
	uint64_t umem_bytes_per_lease;
	/* How many there are: of the caller; on the admin socket, of all. */
	uint32_t programs, leases, sockets, connections;
};

/* xskd_get_info() - what the daemon is and can do. */
int xskd_get_info(struct xskd *x, struct xskd_info *out);

struct xskd_limit_hits {
	char limit[32]; /* as in the daemon's metrics, "sockets_per_lease" */
	uint64_t hits;  /* times that it refused something, or made a client wait */
};

/* What has happened since the daemon started. */
struct xskd_activity {
	size_t sz;      /* set it, or use XSKD_OPTS() */
	uint64_t calls; /* that have ended; of these: */
	uint64_t failed_calls;
	uint64_t denied_calls; /* ... that would have granted, handed out or taken away */
	uint64_t malformed_packets, refused_connections;
	uint64_t umem_bytes; /* of all sockets, now */
	/* What was found at start, and what was found to have gone since. */
	uint64_t state_files_set_aside, programs_restored, programs_removed;
	uint64_t leases_restored, leases_stale, sockets_found;
	size_t n_limits; /* that were hit */
	struct xskd_limit_hits limits[24];
	/*
	 * Instances of the default program that shall wait for a LoadProgram; and all that do, also
	 * of custom ones that are loaded repeatedly.
	 */
	uint32_t pool_size, pool_ready;
	bool pool_busy; /* one is still to be made or thrown away */
	/* LoadPrograms that got one, those that found none, and instances that waited again. */
	uint64_t pool_taken, pool_missed, pool_reused;
};

/* xskd_get_activity() - for administrators; zeros from a daemon that is too old to tell. */
int xskd_get_activity(struct xskd *x, struct xskd_activity *out);

/* ---- Sockets: what applications in pods use ------------------------------------------------- */

enum xskd_zero_copy {
	XSKD_ZC_PREFERRED = 0, /* the driver decides; the socket says what it became */
	XSKD_ZC_REQUIRED,      /* or fail */
	XSKD_ZC_NO,            /* copy mode */
};

/*
 * Pages of the UMEM. In huge ones it is made, registered and unmapped faster, which takes a
 * hand-off of much memory to a fifth of its time, and packets find their frames with fewer
 * look-ups. UMEM is rounded up to whole pages.
 */
enum xskd_huge_pages {
	XSKD_HUGE_NO = 0,
	/* Pages of 2 MiB that the administrator set aside (vm.nr_hugepages); -ENOMEM: none free. */
	XSKD_HUGE_REQUIRED,
	/*
	 * Those if there are enough, else such as the kernel can put together (Linux 6.1), else
	 * small ones: umem_page_size says which. To put them together it waits until each CPU has
	 * run a task of its own, so not for nodes where a CPU never comes to that.
	 */
	XSKD_HUGE_PREFERRED,
	XSKD_HUGE_1G, /* pages of 1 GiB that were set aside; -ENOMEM: none free */
};

struct xskd_handoff_opts {
	size_t sz;
	/* One socket for each, in this order; NULL: one, on the lease's first queue. */
	const uint32_t *queues;
	size_t n_queues;
	/*
	 * Of the UMEM, for all sockets together, and rounded up to whole pages. 0: what fills the
	 * fill and the tx ring of each socket.
	 */
	uint32_t frames;
	uint32_t frame_size;                                   /* 2048 (0) or 4096 bytes */
	uint32_t headroom;                                     /* bytes before each packet */
	uint32_t fill_size, completion_size, rx_size, tx_size; /* powers of two; 0: 2048 */
	enum xskd_zero_copy zero_copy;
	bool no_need_wakeup;   /* do without XDP_USE_NEED_WAKEUP */
	bool multi_buffer;     /* XDP_USE_SG: a packet may take several frames */
	uint8_t huge_pages;    /* enum xskd_huge_pages */
	uint32_t busy_poll_us; /* SO_BUSY_POLL, with SO_PREFER_BUSY_POLL; 0: no busy polling */
	uint32_t busy_poll_budget;
	/*
	 * The daemon keeps a copy, and a restarted process gets the same sockets: until
	 * xskd_release(), the end of the lease, or for `limits.keptSeconds` without a process.
	 */
	bool keep;
	const char *container; /* for administrators: whose lease */
	int netns_fd;          /* for administrators: with container, its namespace; 0: none */
};

/* One AF_XDP socket, bound, with its rings mapped: libxdp's accessors work on them. */
struct xskd_socket {
	int fd; /* poll it; setsockopt and sendto as with any AF_XDP socket */
	uint32_t queue;
	bool zero_copy; /* as granted */
	bool need_wakeup;
	uint64_t id; /* the daemon's number for it */
	struct xsk_ring_prod fill, tx;
	struct xsk_ring_cons completion, rx;
};

/* What a hand-off brings: sockets, and the UMEM that they share. */
struct xskd_handoff {
	void *umem; /* the packet memory; xsk_umem__get_data(umem, desc->addr) */
	size_t umem_size;
	int umem_fd; /* its memfd */
	uint32_t frame_size, headroom;
	uint32_t ifindex;
	/*
	 * The frames that belong to the application now. After a fresh hand-off these are all.
	 * After a resumed one, those that were in no ring: what the earlier process held. Take them
	 * from the end: frames[--n_frames].
	 */
	uint64_t *frames;
	size_t n_frames;
	bool resumed;       /* `keep`: the sockets of an earlier process, with its packets */
	size_t lost_frames; /* resumed: that the kernel or the driver may still write to */
	struct xskd_socket *sockets;
	size_t n_sockets;
	/* As granted. Of a resumed hand-off huge pages are known only if they were set aside. */
	size_t umem_page_size;
};

/*
 * xskd_hand_off() - get AF_XDP sockets, bound and in the XDP program's map.
 * @interface: its name in the pod.
 * @opts: NULL: one socket, on the lease's first queue, defaults.
 * @out: freed with xskd_handoff_free(). The caller owns the fds and the memory.
 *
 * Needs no capability, no bpf(2), no socket(AF_XDP) and no locked memory. The UMEM is a memfd that
 * this call makes, so it counts against the caller's memory cgroup.
 * With `keep`, sockets that the daemon still has for these queues are resumed instead: their sizes
 * stand, whatever @opts say, and so do their packets.
 *
 * -EACCES: no lease. -EEXIST: a queue has another holder, or was not free within a second of its
 * last holder's end. -EBUSY: no XDP program of xskd's is on the interface, or the lease's device
 * has gone. -EAGAIN: a call of the lease that had a queue before is still at it. -EOPNOTSUPP:
 * zero-copy was required and the driver cannot. -ENOMEM: no memory, or no huge pages; the text says
 * how many there are.
 */
int xskd_hand_off(struct xskd *x, const char *interface, const struct xskd_handoff_opts *opts,
		  struct xskd_handoff **out);

/*
 * xskd_fill() - put the application's frames into the fill rings, in equal parts, as many as fit.
 * Return: how many. The rest stays in @h->frames, for sending say.
 */
size_t xskd_fill(struct xskd_handoff *h);

/*
 * xskd_handoff_free() - unmap the rings and the UMEM, close the sockets, free @h (may be NULL).
 * An AF_XDP socket lives until its last ring mapping is gone, whatever close(2) was told
 * (net/xdp/xsk.c: each mapping holds the file), so do not merely close the fds.
 * Blocks for some milliseconds: the kernel waits until no CPU uses the socket any more.
 */
void xskd_handoff_free(struct xskd_handoff *h);

/*
 * xskd_hand_off_fds() - the same hand-off without mapping anything: for a process that passes the
 * sockets on, to one that it starts or over a socket of its own.
 * @out: one fd for each queue, in order, as many as there are queues (at least one); the caller
 *	owns them.
 * @out_umem: the UMEM's memfd; the caller owns it. With @unbound -1.
 * @unbound: sockets of the pod's namespace without UMEM, rings and bind, tied to the interface and
 *	already in the map, as libxdp's xsk_umem__create_with_fd() and QEMU's sock-fds= want them.
 *	Their UMEM counts against RLIMIT_MEMLOCK. Only for a lease on a whole device.
 *
 * A kernel before 6.4 lets nobody map the rings of a bound socket: there, -EOPNOTSUPP unless
 * @unbound. -EBUSY: the sockets that were kept have other sizes than @opts.
 */
int xskd_hand_off_fds(struct xskd *x, const char *interface, const struct xskd_handoff_opts *opts,
		      bool unbound, int *out, int *out_umem);

/*
 * xskd_adopt() - map the rings and the UMEM of sockets that xskd_hand_off_fds() gave to another
 * process. @fds and @umem_fd are @out's from then on, and close-on-exec; on failure they stay the
 * caller's.
 * @opts: the same that the hand-off was given: the sockets themselves do not tell their sizes.
 *	n_queues says how many fds there are; queues may be NULL.
 * Frames are found as after a resumed hand-off. What only the daemon knows is 0 in @out: ifindex,
 * and the sockets' ids.
 */
int xskd_adopt(const int *fds, int umem_fd, const struct xskd_handoff_opts *opts,
	       struct xskd_handoff **out);

/*
 * xskd_release() - tell the daemon that these sockets are done with: they leave the map, and a kept
 * copy is closed. Only needed with `keep`; otherwise the end of a socket is seen anyway.
 */
int xskd_release(struct xskd *x, const struct xskd_handoff *h);

/*
 * xskd_get_xsk_map() - the XSKMAP of the program on @interface, for programs that make and insert
 * their sockets themselves (DPDK, CNDP).
 * @out_fd: the caller owns it. @out_entries (may be NULL): its size.
 * Inserting needs bpf(2), which the container runtimes' default seccomp profiles refuse, and making
 * a socket needs CAP_NET_RAW: prefer xskd_hand_off(). Granted to a lease that holds all queues of a
 * whole device; -EBUSY otherwise.
 */
int xskd_get_xsk_map(struct xskd *x, const char *interface, int *out_fd, uint32_t *out_entries);

struct xskd_queue_stats {
	uint32_t queue;
	bool held;           /* a socket is in the map */
	uint64_t redirected; /* packets that the default program gave to a socket */
	uint64_t passed;     /* ... to the kernel's network stack */
	bool has_socket;     /* the rest is known: the daemon keeps a copy of the socket */
	uint64_t rx_dropped, rx_invalid_descs, tx_invalid_descs;
	uint64_t rx_ring_full, rx_fill_ring_empty_descs, tx_ring_empty_descs;
};

/*
 * xskd_get_stats() - counters of each queue of the lease on @interface, or, for administrators with
 * @interface NULL, of @program.
 * @out: an array of @out_n, freed with xskd_free().
 * Of its own sockets an application asks the kernel: getsockopt(fd, SOL_XDP, XDP_STATISTICS).
 */
int xskd_get_stats(struct xskd *x, const char *interface, uint32_t program,
		   struct xskd_queue_stats **out, size_t *out_n);

/* ---- Programs: for administrators and the CNI plugin ---------------------------------------- */

enum xskd_xdp_mode {
	XSKD_XDP_AUTO = 0, /* native, else generic; never in an answer */
	XSKD_XDP_NATIVE,
	XSKD_XDP_GENERIC,
};

struct xskd_constant {
	const char *name;  /* a variable in .rodata */
	const void *value; /* as many bytes as it has; NULL: take `number` */
	size_t size;
	int64_t number;
};

struct xskd_load_opts {
	size_t sz;
	int netns_fd;        /* where the interface is; 0: the daemon's own network namespace */
	int object_fd;       /* a BPF ELF object; 0: xskd's default program */
	const char *program; /* function in the object; NULL: its only XDP program */
	const char *map;     /* its XSKMAP; NULL: "xsks_map" */
	const struct xskd_constant *constants;
	size_t n_constants;
	enum xskd_xdp_mode mode;
	bool transient; /* it goes when the last lease that it serves has ended */
};

struct xskd_program {
	uint32_t id; /* the kernel's, as `bpftool prog` shows it; may come again once it is unloaded
		      */
	char name[64];
	char interface[XSKD_IFNAME_SIZE];
	uint32_t ifindex; /* 0: the interface is gone */
	uint64_t netns_cookie;
	enum xskd_xdp_mode mode; /* as granted */
	bool custom;
	char map[16];
	uint32_t map_entries, map_id, link_id;
	bool map_given; /* its XSKMAP was handed out; it can serve no other lease */
	bool from_pool; /* it was ready and waiting when it was loaded */
	uint64_t loaded_at;
	bool transient;  /* goes with the last lease that it serves */
	uint32_t leases; /* that it serves now */
};

/*
 * xskd_load_program() - load an XDP program with maps of its own and attach it to @interface.
 * The program stays, pinned, until it is unloaded or the interface goes, also without the daemon.
 * One that is transient goes with its last lease, or where it gets none within a minute of loading.
 * -EEXIST: an XDP program is there already; the text says whose. -EINVAL with xskd_log(): the
 * verifier refused it. -EOPNOTSUPP: the driver has no native XDP, and it was asked for.
 */
int xskd_load_program(struct xskd *x, const char *interface, const struct xskd_load_opts *opts,
		      struct xskd_program *out);

/*
 * xskd_unload_program() - detach and forget it. By @id, or, with 0, by @interface in the namespace
 * @netns_fd (0: the daemon's). -EBUSY: sockets receive through it, and not @force.
 */
int xskd_unload_program(struct xskd *x, uint32_t id, const char *interface, int netns_fd,
			bool force);

/*
 * xskd_unload_link() - the same for whoever has written @id down and comes back later: only as long
 * as it is attached by @link_id, both as xskd_load_program() told. The id of a program may come
 * again, for another interface; that of a link never does. -ENOENT: it was unloaded.
 */
int xskd_unload_link(struct xskd *x, uint32_t id, uint32_t link_id, bool force);

/* xskd_get_program() - one of them; arguments as above. */
int xskd_get_program(struct xskd *x, uint32_t id, const char *interface, int netns_fd,
		     struct xskd_program *out);

/* xskd_get_program_map() - the XSKMAP of a program; the caller owns @out_fd. */
int xskd_get_program_map(struct xskd *x, uint32_t id, int *out_fd, uint32_t *out_entries);

/* xskd_list_programs() - all. @out: an array of @out_n, freed with xskd_free(). */
int xskd_list_programs(struct xskd *x, struct xskd_program **out, size_t *out_n);

/* ---- Leases: for administrators and the CNI plugin ------------------------------------------ */

struct xskd_label {
	const char *key, *value;
};

struct xskd_lease_opts {
	size_t sz;
	const char *device; /* queue mode: a netdev of the daemon's namespace; NULL: device mode */
	const uint32_t *queues; /* NULL: all */
	size_t n_queues;
	const struct xskd_label *labels; /* for people: "pod", "namespace", "uid" */
	size_t n_labels;
	/*
	 * Instead of queues: so many of those that no other lease has; the daemon takes the lowest,
	 * but queue 0 last, where most drivers put what they have no rule for. 0: queues says it.
	 */
	uint32_t queue_count;
};

struct xskd_lease {
	char container[XSKD_CONTAINER_SIZE];
	char interface[XSKD_IFNAME_SIZE]; /* in the container */
	char device[XSKD_IFNAME_SIZE];    /* the netdev, where it is */
	bool queue_mode;                  /* the device stays in the daemon's namespace */
	bool all_queues, link_up;
	uint64_t netns_cookie;
	uint32_t ifindex, program_id; /* program_id 0: none serves it yet */
	uint32_t sockets;             /* handed out and alive */
	uint64_t umem_bytes;
	uint64_t granted_at;
	const uint32_t *queues;
	size_t n_queues;
	const struct xskd_label *labels;
	size_t n_labels;
};

/*
 * xskd_grant_lease() - allow the network namespace @netns_fd (of @container) to have sockets of
 * @interface. Device mode: @interface is in that namespace and belongs to the container alone.
 * @out (may be NULL): the lease, freed with xskd_free(). Where the daemon chose the queues, it says
 *	which.
 * Idempotent; -EEXIST when the key is there with another namespace, device, queues or number of
 * queues, or when another lease has one of the queues. -EDQUOT: fewer than queue_count are free.
 */
int xskd_grant_lease(struct xskd *x, const char *container, const char *interface, int netns_fd,
		     const struct xskd_lease_opts *opts, struct xskd_lease **out);

/*
 * xskd_revoke_lease() - end it. @interface NULL: all of @container. No error when there is none.
 * Takes a transient program that served no other lease with it.
 * @out_revoked (may be NULL): how many.
 */
int xskd_revoke_lease(struct xskd *x, const char *container, const char *interface,
		      uint32_t *out_revoked);

/*
 * xskd_list_leases() - all, or the caller's own. @out: an array of @out_n, freed with xskd_free().
 */
int xskd_list_leases(struct xskd *x, struct xskd_lease **out, size_t *out_n);

struct xskd_held_socket {
	uint64_t id;
	char container[XSKD_CONTAINER_SIZE];
	char interface[XSKD_IFNAME_SIZE];
	char device[XSKD_IFNAME_SIZE];
	uint32_t queue, program_id;
	bool bound, zero_copy, kept, need_wakeup;
	uint32_t frame_size;
	uint64_t umem_bytes;
	uint64_t handed_off_at;
	int32_t pid; /* of the process that asked; it may have ended */
	uint32_t uid;
};

/*
 * xskd_list_sockets() - those that are alive: who holds what, since when. Freed with xskd_free().
 */
int xskd_list_sockets(struct xskd *x, struct xskd_held_socket **out, size_t *out_n);

/* xskd_free() - what lists and xskd_grant_lease() gave (may be NULL). */
void xskd_free(void *block);

/* ---- Events --------------------------------------------------------------------------------- */

enum xskd_event_kind {
	XSKD_EVENT_UNKNOWN = 0,
	XSKD_EVENT_SOCKET_LOST = 1, /* it will never receive again; poll(2) does not tell */
	XSKD_EVENT_LINK_DOWN = 2,
	XSKD_EVENT_LINK_UP = 3,
	XSKD_EVENT_LEASE_REVOKED = 4,
	XSKD_EVENT_LEASE_GRANTED = 5,
	XSKD_EVENT_SOCKET_RELEASED = 6,
	XSKD_EVENT_PROGRAM_LOST = 7,   /* its device has no program of xskd's any more */
	XSKD_EVENT_DEVICE_CHANGED = 8, /* renamed, or with another MTU or number of queues */
	/*
	 * libxskd's own: the daemon was restarted, and this connection is there again. Events may
	 * have been missed, so look at what there is (xskd_list_leases() ...).
	 */
	XSKD_EVENT_RECONNECTED = 1000,
};

struct xskd_event {
	enum xskd_event_kind kind;
	uint64_t at; /* seconds since the epoch */
	const char *container, *interface, *message;
	uint64_t socket; /* 0: concerns no single socket */
	uint32_t queue;
};

/* Must not use the connection that it was called for; the strings live until it returns. */
typedef void (*xskd_event_fn)(const struct xskd_event *event, void *arg);

/*
 * xskd_watch() - have @fn called for each event from now on: inside xskd_dispatch(), and inside
 * any other call on @x that meets one while it waits for its reply. Called again, it replaces @fn
 * and @arg. Events that nobody takes in pile up; the daemon hangs up when more than
 * `limits.queuedBytes` do, or when there is no room for one for 30 seconds.
 */
int xskd_watch(struct xskd *x, xskd_event_fn fn, void *arg);

/* xskd_fd() - to poll for reading, in anybody's event loop; belongs to @x. -1: not connected. */
int xskd_fd(const struct xskd *x);

/*
 * xskd_dispatch() - take in what has arrived, without blocking. Call it when xskd_fd() is readable.
 * Return: the number of events; negative errno: the connection has ended. With a watch, call it
 * again after a moment, say five times a second: it connects anew as soon as the daemon is there,
 * on another xskd_fd(), and XSKD_EVENT_RECONNECTED comes first.
 */
int xskd_dispatch(struct xskd *x);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
