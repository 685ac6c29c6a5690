// SPDX-License-Identifier: Apache-2.0
#include "method.h"

#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "netns.h"

static const struct method *const methods[] = {
	[XSKD__REQUEST__CALL_GET_INFO] = &method_get_info,
	[XSKD__REQUEST__CALL_LOAD_PROGRAM] = &method_load_program,
	[XSKD__REQUEST__CALL_UNLOAD_PROGRAM] = &method_unload_program,
	[XSKD__REQUEST__CALL_LIST_PROGRAMS] = &method_list_programs,
	[XSKD__REQUEST__CALL_GET_PROGRAM] = &method_get_program,
	[XSKD__REQUEST__CALL_GRANT_LEASE] = &method_grant_lease,
	[XSKD__REQUEST__CALL_REVOKE_LEASE] = &method_revoke_lease,
	[XSKD__REQUEST__CALL_LIST_LEASES] = &method_list_leases,
	[XSKD__REQUEST__CALL_GET_XSK_MAP] = &method_get_xsk_map,
	[XSKD__REQUEST__CALL_HAND_OFF_SOCKET] = &method_hand_off_socket,
	[XSKD__REQUEST__CALL_BIND_SOCKET] = &method_bind_socket,
	[XSKD__REQUEST__CALL_RELEASE_SOCKET] = &method_release_socket,
	[XSKD__REQUEST__CALL_LIST_SOCKETS] = &method_list_sockets,
	[XSKD__REQUEST__CALL_GET_STATS] = &method_get_stats,
	[XSKD__REQUEST__CALL_WATCH_EVENTS] = &method_watch_events,
};

const struct method *method_find(Xskd__Request__CallCase call)
{
	return (size_t)call < ARRAY_SIZE(methods) ? methods[call] : NULL;
}

static void copy(char *to, size_t size, const char *from)
{
	size_t len = strnlen(from, size - 1);

	memcpy(to, from, len);
	to[len] = '\0';
}

void note_subject(struct call *call, const char *container, const char *interface, uint32_t program)
{
	if (container)
		copy(call->subject.container, sizeof(call->subject.container), container);
	copy(call->subject.interface, sizeof(call->subject.interface), interface);
	call->subject.program = program;
}

/* ---- shape ---- */

/* As dev_valid_name() of net/core/dev.c, and nothing that would need quoting in a log. */
static bool is_of_interface(char c)
{
	return c > ' ' && c < 0x7f && c != '/' && c != ':' && c != '"' && c != '\'' && c != '\\';
}

int shape_interface(struct call *call, const char *name)
{
	size_t len = strnlen(name, IFNAMSIZ);
	bool good = len > 0 && len < IFNAMSIZ && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;

	for (size_t i = 0; i < len && good; i++)
		good = is_of_interface(name[i]);
	if (!good)
		return call_fail(
			call, INVALID_ARGUMENT,
			"'%.32s' is no name of an interface: 1 to 15 characters, without '/', ':', "
			"quotes and blanks",
			name);
	if (!*call->subject.interface)
		note_subject(call, NULL, name, 0);
	return 0;
}

int shape_container(struct call *call, const char *name)
{
	size_t len = strnlen(name, 130);
	bool good = len > 0 && len <= 128 && name[0] != '.';

	for (size_t i = 0; i < len && good; i++)
		good = isalnum((unsigned char)name[i]) || strchr("_-.", name[i]);
	if (!good)
		return call_fail(
			call, INVALID_ARGUMENT,
			"'%.32s' is no container id: 1 to 128 letters, digits, '_', '-', '.'",
			name);
	return 0;
}

int shape_netns(struct call *call, uint32_t place, int *out_fd, ino_t *out_inode)
{
	int fd;

	*out_fd = -1;
	*out_inode = call->core->inode;
	if (!place)
		return 0;
	fd = fdset_take(&call->fds, place);
	if (fd < 0)
		return call_fail(call, INVALID_ARGUMENT, "the packet has no file descriptor %u",
				 place);
	if (netns_inode(fd, out_inode) < 0) {
		call_reap_fd(call, &fd, &call->peer);
		return call_fail(
			call, INVALID_ARGUMENT,
			"file descriptor %u is no network namespace: open /proc/PID/ns/net or "
			"/run/netns/NAME",
			place);
	}
	*out_fd = fd;
	return 0;
}

void shape_lane(struct call *call, ino_t inode, const char *device)
{
	snprintf(call->lane, sizeof(call->lane), "%llu/%s", (unsigned long long)inode, device);
}

void shape_lane_of_lease(struct call *call, const struct lease *l)
{
	snprintf(call->lane, sizeof(call->lane), "lease %llu", (unsigned long long)l->m->id);
}

void shape_lane_of_leases(struct call *call)
{
	snprintf(call->lane, sizeof(call->lane), "leases");
}

int shape_sockets(struct call *call, const uint64_t *ids, size_t n)
{
	const struct sock *s;
	const struct lease *l;

	if (!n || n > XSK_QUEUES_MAX)
		return call_fail(call, INVALID_ARGUMENT, "%s takes 1 to %d sockets, not %zu",
				 call->method->name, XSK_QUEUES_MAX, n);
	s = sock_find(call->core, ids[0]);
	l = s ? lease_find(call->core, s->lease) : NULL;
	if (l)
		shape_lane_of_lease(call, l);
	return 0;
}

/* ---- permission, existence ---- */

static int no_lease(struct call *call, const char *interface)
{
	const struct lease *other = lease_next_of_netns(call->core, call->peer.cookie, NULL);

	if (other)
		return call_fail(
			call, PERMISSION_DENIED,
			"this network namespace has a lease on '%s', none on '%s': name that interface",
			other->m->interface, interface);
	if (call->peer.cookie == call->core->cookie)
		return call_fail(
			call, PERMISSION_DENIED,
			"no lease on '%s' for the host's own network namespace, and there cannot be "
			"one: run the program in a pod or a network namespace of its own",
			interface);
	return call_fail(
		call, PERMISSION_DENIED,
		"this network namespace (cookie %llu) has no lease on '%s': the CNI plugin grants one "
		"to each pod of an xskd network, an administrator with `xskctl lease grant`",
		(unsigned long long)call->peer.cookie, interface);
}

int find_lease(struct call *call, const char *container, const char *interface, struct lease **out)
{
	struct lease *l;

	if (container && *container) {
		if (!call->peer.admin)
			return call_fail(
				call, PERMISSION_DENIED,
				"only administrators may name a container; leave it empty");
		l = lease_by_key(call->core, container, interface);
		if (!l)
			return call_fail(call, NOT_FOUND, "container '%s' has no lease on '%s'",
					 container, interface);
	} else {
		l = lease_of(call->core, call->peer.cookie, interface);
		if (!l)
			return no_lease(call, interface);
	}
	note_subject(call, l->m->container, l->m->interface, 0);
	*out = l;
	return 0;
}

int find_program(struct call *call, uint32_t id, ino_t inode, const char *interface,
		 struct program **out)
{
	struct program *p =
		id ? program_find(call->core, id) : program_at(call->core, inode, interface);

	if (!p && id)
		return call_fail(call, NOT_FOUND, "xskd has no program %u: `xskctl program list`",
				 id);
	if (!p)
		return call_fail(
			call, NOT_FOUND,
			"xskd has no program on '%s' of that namespace: `xskctl program list`",
			interface);
	note_subject(call, "", p->m->interface, p->m->id);
	*out = p;
	return 0;
}

int refuse_leaving(struct call *call, const struct program *p)
{
	if (p->leaving)
		return call_fail(call, UNAVAILABLE,
				 "program %u on '%s' is being unloaded: ask again", p->m->id,
				 p->m->interface);
	return call_fail(call, UNAVAILABLE,
			 "program %u on '%s' cannot go while a lease is granted on it, or its map "
			 "given out: ask again",
			 p->m->id, p->m->interface);
}

int program_of(struct call *call, const struct lease *l, struct program **out)
{
	struct program *p = program_find(call->core, l->m->program_id);

	if (l->gone)
		return call_fail(
			call, FAILED_PRECONDITION,
			"the device of this lease, '%s', was removed or moved to another namespace: "
			"have it brought back, or the pod started anew",
			l->m->device);
	if (!p || p->leaving || p->m->ifindex != l->m->ifindex)
		return call_fail(
			call, FAILED_PRECONDITION,
			"no XDP program of xskd's is on '%s': an administrator has to load one first "
			"(`xskctl program load %s`)",
			l->m->device, l->m->device);
	if (p->served && p->served != l->m->netns_cookie)
		return call_fail(
			call, FAILED_PRECONDITION,
			"the map of program %u on '%s' was given to an earlier lease, which may still "
			"hold it: unload the program and load it again",
			p->m->id, l->m->device);
	*out = p;
	return 0;
}

/* ---- lists ---- */

int page_own(struct call *call, const struct index *all, size_t n, struct index *out)
{
	*out = INDEX_INIT(all->compare);
	out->at = call_alloc(call, (n + 1) * sizeof(*out->at));
	out->room = n;
	return out->at ? 0 : fault_sys(&call->fault, ENOMEM, "cannot make the list");
}

int page_fill(struct call *call, const struct index *ix, const void *after,
	      ProtobufCMessage *(*message)(struct call *call, void *item, uint64_t *out_id),
	      void ***out, size_t *out_n, uint64_t *out_next)
{
	size_t first = index_after(ix, after), n = 0, bytes = 0;
	void **page = call_alloc(call, (ix->n - first + 1) * sizeof(*page));
	uint64_t last = 0;

	if (!page)
		return fault_sys(&call->fault, ENOMEM, "cannot make the list");
	*out_next = 0;
	for (size_t i = first; i < ix->n; i++) {
		uint64_t id;
		ProtobufCMessage *m = message(call, ix->at[i], &id);

		if (!m)
			continue;
		bytes += protobuf_c_message_get_packed_size(m) + 8;
		if (bytes > PAGE_MAX && n) {
			*out_next = last;
			break;
		}
		page[n++] = m;
		last = id;
	}
	*out = page;
	*out_n = n;
	return 0;
}
