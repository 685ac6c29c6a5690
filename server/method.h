/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of methods, and what several of them check alike. A new call is a message pair in
 * xskd.proto, a row in method.c, and its steps in the file of its noun.
 */
#ifndef XSKD_METHOD_H
#define XSKD_METHOD_H

#include "call.h"

/* method_find() - Return: NULL where there is no such call. */
const struct method *method_find(Xskd__Request__CallCase call);

/* do_program.c */
extern const struct method method_load_program;
extern const struct method method_unload_program;
extern const struct method method_list_programs;
extern const struct method method_get_program;

/* do_lease.c */
extern const struct method method_grant_lease;
extern const struct method method_list_leases;

/* do_revoke.c */
extern const struct method method_revoke_lease;

/* do_map.c */
extern const struct method method_get_xsk_map;
extern const struct method method_get_stats;

/* do_handoff.c */
extern const struct method method_hand_off_socket;

/* do_bind.c */
extern const struct method method_bind_socket;

/* do_socket.c */
extern const struct method method_release_socket;
extern const struct method method_list_sockets;

/* do_info.c */
extern const struct method method_get_info;
extern const struct method method_watch_events;

/* note_subject() - what the audit line is about; @container NULL: as it was. */
void note_subject(struct call *call, const char *container, const char *interface,
		  uint32_t program);

/* ---- shape ---- */

/* shape_interface() - a name that the kernel would take; also sets the audit line's subject. */
int shape_interface(struct call *call, const char *name) must_check;

/* shape_container() - 1 to 128 of letters, digits, '_', '-', '.', not beginning with '.'. */
int shape_container(struct call *call, const char *name) must_check;

/*
 * shape_netns() - take the namespace fd at @place out of the packet. @place 0: none; then @out_fd
 * is -1 and @out_inode the daemon's own.
 */
int shape_netns(struct call *call, uint32_t place, int *out_fd, ino_t *out_inode) must_check;

/* shape_lane() - calls on the same device wait for each other. */
void shape_lane(struct call *call, ino_t inode, const char *device);

/* shape_lane_of_lease() - or only those under the same lease: no pod waits for another one's. */
void shape_lane_of_lease(struct call *call, const struct lease *l);

/*
 * shape_lane_of_leases() - leases exclude each other by container, namespace, device and queue, so
 * all that grants or revokes one waits for all else that does. It takes some 100 us, or, where a
 * transient program goes with its last lease, what the kernel takes to detach one.
 */
void shape_lane_of_leases(struct call *call);

/*
 * shape_sockets() - for calls on sockets that were handed out: as many as fit one hand-off, in the
 * lane of the hand-offs of their lease.
 */
int shape_sockets(struct call *call, const uint64_t *ids, size_t n) must_check;

/* ---- permission, existence ---- */

/* find_lease() - of the caller's namespace, or, with @container, an administrator's choice. */
int find_lease(struct call *call, const char *container, const char *interface,
	       struct lease **out) must_check;

/* find_program() - by id, or with 0 by place. */
int find_program(struct call *call, uint32_t id, ino_t inode, const char *interface,
		 struct program **out) must_check;

/*
 * refuse_leaving() - an answer for calls on a program that is leaving, or was going to when another
 * call held it: either is over within milliseconds.
 */
int refuse_leaving(struct call *call, const struct program *p);

/* program_of() - the program that serves a lease. */
int program_of(struct call *call, const struct lease *l, struct program **out) must_check;

/* ---- lists ---- */

/* What fits in a page: the envelope and the last item's overhead have to go in the packet too. */
#define PAGE_MAX (PACKET_MAX - 4096)

/*
 * page_own() - an index for @n items of @all, those of a pod: in the order in which pages go on, so
 * that nothing else is looked at. In the call's memory; fails without it.
 */
int page_own(struct call *call, const struct index *all, size_t n, struct index *out) must_check;

/*
 * page_fill() - the items of @ix after @after, as many as fit. @message: of an item, NULL: not for
 * this caller. @out_next: to be asked for next, 0: that was all.
 */
int page_fill(struct call *call, const struct index *ix, const void *after,
	      ProtobufCMessage *(*message)(struct call *call, void *item, uint64_t *out_id),
	      void ***out, size_t *out_n, uint64_t *out_next) must_check;

#endif
