/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An instance: one loaded XDP program with maps of its own. Making one and attaching it are two
 * steps, for a loaded instance can wait, attached elsewhere, for the interface that it will serve.
 *
 * Once pinned (pin.h), an instance lives as long as its pins do, with or without the daemon. All of
 * this blocks: the kernel waits for RCU grace periods when a program is attached or detached.
 */
#ifndef XSKD_INSTANCE_H
#define XSKD_INSTANCE_H

#include "fault.h"
#include "netns.h"

#define INSTANCE_OBJECT_MAX (8 * 1024 * 1024)

struct instance {
	uint32_t id; /* 0: none */
	char name[64];
	char map_name[16];
	uint32_t map_id, map_entries, link_id;
	uint32_t ifindex; /* from the link; 0: not attached, or the device is gone */
	bool custom;
	int prog_fd, map_fd, counters_fd, link_fd;
};

#define INSTANCE_INIT \
	((struct instance){ .prog_fd = -1, .map_fd = -1, .counters_fd = -1, .link_fd = -1 })

struct instance_constant {
	const char *name;
	const uint8_t *value; /* NULL: take number */
	size_t size;
	int64_t number;
};

struct instance_spec {
	int object_fd;       /* -1: the default program */
	const char *program; /* "": the only XDP program of the object */
	const char *map;     /* "": xsks_map */
	const struct instance_constant *constants;
	size_t n_constants;
	uint32_t queues; /* the XSKMAP gets at least as many entries */
};

enum instance_mode {
	INSTANCE_AUTO,
	INSTANCE_NATIVE,
	INSTANCE_GENERIC,
};

/*
 * instance_make() - load it; the default program by the gate, unless that is NULL. The caller ends
 * @out with instance_done(), also after a failure.
 */
int instance_make(struct gate *gate, const struct instance_spec *spec, struct instance *out,
		  struct fault *fault) must_check;

/*
 * instance_attach() - by a bpf_link, to a device of that namespace. Never replaces what is there.
 * @out_granted: INSTANCE_NATIVE or INSTANCE_GENERIC.
 */
int instance_attach(struct instance *in, struct netns *ns, const struct device *dev,
		    enum instance_mode mode, enum instance_mode *out_granted,
		    struct fault *fault) must_check;

/*
 * instance_pin() - program and maps; @hidden: see pin_hide(). The link is pinned once it is there,
 * by instance_pin_link().
 */
int instance_pin(const struct instance *in, const char *bpf_dir, bool hidden,
		 struct fault *fault) must_check;
int instance_pin_link(const struct instance *in, const char *bpf_dir,
		      struct fault *fault) must_check;

/*
 * instance_unpin_link() - detach it and take the link's pin away; no error where there is none.
 * Detached first and explicitly: behind the last unlink(2) the kernel takes its time, and the
 * interface would look taken.
 */
int instance_unpin_link(const char *bpf_dir, uint32_t id) must_check;
/* instance_unpin() - and all other pins. */
int instance_unpin(const char *bpf_dir, uint32_t id) must_check;

/* instance_open() - from its pins. -ENOENT: there is no such directory, or not all in it. */
int instance_open(const char *bpf_dir, uint32_t id, struct instance *out) must_check;

/* instance_ifindex() - where the pinned link is attached now; 0: the device is gone. */
int instance_ifindex(const char *bpf_dir, uint32_t id, uint32_t *out) must_check;

/* instance_counters() - of one queue, all CPUs together. @fd: counters_fd, or an open pin of it. */
int instance_counters(int fd, uint32_t queue, uint64_t *out_redirected,
		      uint64_t *out_passed) must_check;
int instance_open_counters(const char *bpf_dir, uint32_t id) must_check;
/* instance_reset() - to nothing. */
int instance_reset(int fd, uint32_t queue) must_check;

/*
 * instance_detach() - off its device. To close the link does the same, but for a moment the gate
 * that made it may hold it too.
 */
void instance_detach(struct instance *in);

/* instance_done() - close the fds. What is pinned stays. */
void instance_done(struct instance *in);

/* instance_log() - take libbpf's messages over into the daemon's log and into faults. */
void instance_log(void);

#endif
