// SPDX-License-Identifier: Apache-2.0
#include "gate_serve.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "instance.h"
#include "log.h"
#include "packet.h"

/* ---- namespaces ---- */

static int enter(int netns_fd)
{
	return netns_fd >= 0 && setns(netns_fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

/* In the wrong namespace, the next request that names none would act on a stranger's devices. */
static void leave(int netns_fd, int home)
{
	if (netns_fd < 0 || setns(home, CLONE_NEWNET) == 0)
		return;
	log_error("gate: cannot return to its network namespace: %s", strerror(errno));
	abort();
}

/* ---- what it can do ---- */

static int make_socket(uint32_t kind)
{
	int fd = kind == GATE_XDP ? socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0)
				  : socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return fd < 0 ? -errno : fd;
}

static int do_sockets(const struct gate_request *req, struct fdset *in, int home, struct fdset *out)
{
	cleanup(close_fdp) int netns_fd = fdset_take(in, 1);
	int err = enter(netns_fd);

	for (uint32_t i = 0; i < req->n && !err; i++) {
		int fd = make_socket(req->kind);

		err = fd < 0 ? fd : 0;
		if (!err && fdset_add(out, fd) < 0)
			err = -EMFILE;
	}
	leave(netns_fd, home);
	return err;
}

static int do_link(const struct gate_request *req, struct fdset *in, int home, struct fdset *out)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = req->flags);
	cleanup(close_fdp) int prog_fd = fdset_take(in, 1);
	cleanup(close_fdp) int netns_fd = fdset_take(in, 2);
	int err = enter(netns_fd);
	int fd = err ? err : bpf_link_create(prog_fd, (int)req->ifindex, BPF_XDP, &opts);

	leave(netns_fd, home);
	if (fd < 0)
		return fd;
	return fdset_add(out, fd) < 0 ? -EMFILE : 0;
}

static int do_program(const struct gate_request *req, struct fdset *out)
{
	const struct instance_spec spec = {
		.object_fd = -1, .program = "", .map = "", .queues = req->n
	};
	struct instance in = INSTANCE_INIT;
	struct fault fault = FAULT_INIT;
	int *const fds[] = { &in.prog_fd, &in.map_fd, &in.counters_fd };
	int err = instance_make(NULL, &spec, &in, &fault);

	if (err < 0)
		log_error("gate: %s", fault.text);
	for (size_t i = 0; i < ARRAY_SIZE(fds) && !err; i++)
		err = fdset_add(out, steal_fd(fds[i])) < 0 ? -EMFILE : 0;
	instance_done(&in);
	fault_done(&fault);
	return err;
}

static int do_holder(const struct gate_request *req, struct gate_holder *out)
{
	cleanup(close_fdp) int prog_fd = bpf_prog_get_fd_by_id(req->program);
	struct bpf_prog_info prog = { 0 };
	uint32_t len = sizeof(prog), id = 0;

	if (prog_fd < 0 || bpf_obj_get_info_by_fd(prog_fd, &prog, &len) < 0)
		return -errno;
	memcpy(out->name, prog.name, sizeof(out->name));
	while (bpf_link_get_next_id(id, &id) == 0) {
		cleanup(close_fdp) int fd = bpf_link_get_fd_by_id(id);
		struct bpf_link_info info = { 0 };

		len = sizeof(info);
		if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 &&
		    info.type == BPF_LINK_TYPE_XDP && info.prog_id == req->program &&
		    info.xdp.ifindex == req->ifindex) {
			out->link = id;
			break;
		}
	}
	return 0;
}

/* ---- requests ---- */

static bool is_request(const struct gate_request *req, size_t len, const struct fdset *fds)
{
	if (len != sizeof(*req))
		return false;
	switch (req->op) {
	case GATE_SOCKETS:
		return fds->n <= 1 && req->n && req->n <= PACKET_FDS && req->kind <= GATE_RTNETLINK;
	case GATE_LINK:
		return (fds->n == 1 || fds->n == 2) &&
		       (req->flags == XDP_FLAGS_SKB_MODE || req->flags == XDP_FLAGS_DRV_MODE);
	case GATE_PROGRAM:
	case GATE_HOLDER:
		return fds->n == 0;
	}
	return false;
}

/* An answer whose fds cannot be sent is sent without: the daemon waits for one. */
static int answer(int channel, struct gate_reply *reply, const struct fdset *fds)
{
	int err = packet_send(channel, 0, (uint8_t *)reply, sizeof(*reply), fds);

	if (err < 0) {
		reply->err = err;
		err = packet_send(channel, 0, (uint8_t *)reply, sizeof(*reply), NULL);
	}
	return err;
}

static int serve_one(int channel, int home)
{
	struct fdset in = FDSET_INIT, out = FDSET_INIT;
	struct gate_reply reply = { 0 };
	struct gate_request req;
	size_t len;
	int err;

	err = packet_recv(channel, 0, (uint8_t *)&req, sizeof(req), &len, &in);
	if (err == PACKET_SHORT) {
		reply.err = -EMFILE;
		return answer(channel, &reply, NULL);
	}
	if (err != PACKET_OK)
		return err == -EINTR ? PACKET_OK : err; /* a debugger was here */
	if (is_request(&req, len, &in)) {
		reply.err = req.op == GATE_SOCKETS   ? do_sockets(&req, &in, home, &out)
			    : req.op == GATE_LINK    ? do_link(&req, &in, home, &out)
			    : req.op == GATE_PROGRAM ? do_program(&req, &out)
						     : do_holder(&req, &reply.holder);
		if (reply.err < 0)
			fdset_done(&out);
		err = answer(channel, &reply, &out);
	} else {
		err = PACKET_BAD;
	}
	fdset_done(&out);
	fdset_done(&in);
	return err;
}

int gate_serve(int channel, int home)
{
	int err;

	do
		err = serve_one(channel, home);
	while (err == PACKET_OK);
	if (err == PACKET_EOF)
		return 0;
	return err < 0 ? err : -EPROTO;
}
