// SPDX-License-Identifier: Apache-2.0
#include "instance.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>

#include "gate.h"
#include "log.h"
#include "object.h"
#include "pin.h"
#include "shared.h"
#include "xsk_redirect.skel.h"

#define VERIFIER_LOG_SIZE (64 * 1024)
#define VERIFIER_LOG_TAIL (8 * 1024) /* what a client gets: the reason stands at the end */

#ifndef BPF_F_XDP_HAS_FRAGS /* linux/bpf.h of 5.18 */
#define BPF_F_XDP_HAS_FRAGS (1U << 5)
#endif

/* libbpf says on its print hook alone why it could not make sense of an object. */
static __thread char last_warning[256];

__attribute__((format(printf, 2, 0))) static int print_hook(enum libbpf_print_level level,
							    const char *fmt, va_list args)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	if (level == LIBBPF_WARN && !last_warning[0])
		snprintf(last_warning, sizeof(last_warning), "%.255s", text);
	log_debug("%s", text);
	return 0;
}

void instance_log(void)
{
	libbpf_set_print(print_hook);
}

/* ---- making ---- */

struct making {
	const struct instance_spec *spec;
	struct bpf_object *obj;
	struct bpf_program *prog;
	struct bpf_map *map;
	void *elf; /* of a custom object */
	char *log;
	struct fault *fault;
};

static void making_done(struct making *m)
{
	bpf_object__close(m->obj);
	free(m->elf);
	free(m->log);
}

static int open_object(struct making *m)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "xskd", .kernel_log_buf = m->log,
		    .kernel_log_size = VERIFIER_LOG_SIZE);
	const void *elf;
	size_t size;

	if (m->spec->object_fd < 0) {
		elf = xsk_redirect__elf_bytes(&size);
	} else {
		int err = object_read(m->spec->object_fd, INSTANCE_OBJECT_MAX, &m->elf, &size,
				      m->fault);

		if (err < 0)
			return err;
		elf = m->elf;
	}
	last_warning[0] = '\0';
	m->obj = bpf_object__open_mem(elf, size, &opts);
	/* libelf does not pass the errno on; but our own object is one, so it can be nothing else.
	 */
	if (!m->obj && (errno == ENOMEM || m->spec->object_fd < 0))
		return fault_sys(m->fault, ENOMEM, "cannot open the object");
	if (!m->obj)
		return fault_set(m->fault, XSKD__CODE__INVALID_ARGUMENT, errno,
				 "the object is no BPF object that libbpf can read: %s",
				 last_warning[0] ? last_warning : strerrordesc_np(errno));
	return 0;
}

/* Exactly one program is loaded; others that the object may have are left alone. */
static int choose_program(struct making *m)
{
	const char *name = m->spec->program;
	struct bpf_program *p;

	bpf_object__for_each_program(p, m->obj)
	{
		bool xdp = bpf_program__type(p) == BPF_PROG_TYPE_XDP;

		bpf_program__set_autoload(p, false);
		if (*name ? strcmp(bpf_program__name(p), name) != 0 : !xdp)
			continue;
		if (!xdp)
			return fault_set(
				m->fault, XSKD__CODE__INVALID_ARGUMENT, 0,
				"function '%s' of the object is no XDP program: its section must be "
				"\"xdp\" or \"xdp.frags\"",
				name);
		if (m->prog)
			return fault_set(
				m->fault, XSKD__CODE__INVALID_ARGUMENT, 0,
				"the object has several XDP programs ('%s', '%s'): name one",
				bpf_program__name(m->prog), bpf_program__name(p));
		m->prog = p;
	}
	if (!m->prog && *name)
		return fault_set(m->fault, XSKD__CODE__INVALID_ARGUMENT, 0,
				 "the object has no function '%s'", name);
	if (!m->prog)
		return fault_set(m->fault, XSKD__CODE__INVALID_ARGUMENT, 0,
				 "the object has no XDP program: none in a section \"xdp\"");
	bpf_program__set_autoload(m->prog, true);
	return 0;
}

static int choose_map(struct making *m)
{
	const char *name = *m->spec->map ? m->spec->map : XSKS_MAP_NAME;
	struct bpf_map *map = bpf_object__find_map_by_name(m->obj, name);

	if (!map)
		return fault_set(m->fault, XSKD__CODE__INVALID_ARGUMENT, 0,
				 "the object has no map '%s': name its XSKMAP", name);
	if (bpf_map__type(map) != BPF_MAP_TYPE_XSKMAP || bpf_map__key_size(map) != 4 ||
	    bpf_map__value_size(map) != 4)
		return fault_set(
			m->fault, XSKD__CODE__INVALID_ARGUMENT, 0,
			"map '%s' of the object is no XSKMAP with keys and values of 4 bytes",
			name);
	m->map = map;
	return 0;
}

/* Maps belong to their instance: no sharing through LIBBPF_PIN_BY_NAME, and room for all queues. */
static int shape_maps(struct making *m)
{
	struct bpf_map *counters = bpf_object__find_map_by_name(m->obj, COUNTERS_MAP_NAME);
	struct bpf_map *map;
	int err = 0;

	bpf_object__for_each_map(map, m->obj) err = err ? err : bpf_map__set_pin_path(map, NULL);
	if (!err && bpf_map__max_entries(m->map) < m->spec->queues)
		err = bpf_map__set_max_entries(m->map, m->spec->queues);
	if (!err && m->spec->object_fd < 0)
		err = bpf_map__set_max_entries(counters, m->spec->queues);
	if (err < 0)
		return fault_sys(m->fault, -err, "cannot shape the program's maps");
	return 0;
}

/* As the verifier says it: arithmetic that could leak under speculation, and tracing helpers. */
static bool wants_perfmon(const char *log)
{
	return strstr(log, "!root") || strstr(log, "bpf_trace_printk") ||
	       strstr(log, "bpf_probe_read");
}

static int load_object(struct making *m)
{
	int err;

	last_warning[0] = '\0';
	err = bpf_object__load(m->obj);
	if (err >= 0)
		return 0;

	size_t len = strnlen(m->log, VERIFIER_LOG_SIZE);

	if (len > VERIFIER_LOG_TAIL)
		memmove(m->log, m->log + len - VERIFIER_LOG_TAIL, VERIFIER_LOG_TAIL + 1);
	fault_sys(m->fault, -err, "the kernel refused the program '%s'",
		  bpf_program__name(m->prog));
	if (err == -EPERM)
		fault_set(
			m->fault, XSKD__CODE__FAILED_PRECONDITION, EPERM,
			"loading a BPF program is not permitted: xskd needs CAP_BPF and CAP_NET_ADMIN");
	else if (len && wants_perfmon(m->log))
		fault_set(
			m->fault, XSKD__CODE__INVALID_ARGUMENT, -err,
			"the kernel takes the program '%s' only from holders of CAP_PERFMON: write "
			"it another way, or give xskd that capability and set \"perfmon\": true in "
			"its configuration",
			bpf_program__name(m->prog));
	else if (len && err != -ENOMEM && err != -EMFILE && err != -ENFILE)
		m->fault->code = XSKD__CODE__INVALID_ARGUMENT; /* it reached the verifier */
	if (len)
		fault_log(m->fault, steal_ptr(&m->log));
	return err;
}

/* Kernels before 5.18 refuse the flag for frags; there the program does without. */
static int load_program(struct making *m)
{
	int err;

	if (m->spec->object_fd < 0)
		(void)bpf_program__set_flags(m->prog, BPF_F_XDP_HAS_FRAGS);
	err = load_object(m);
	if (err != -EINVAL || m->spec->object_fd >= 0 || m->fault->log)
		return err;
	bpf_object__close(steal_ptr(&m->obj));
	m->prog = NULL;
	fault_done(m->fault);
	err = open_object(m);
	if (!err)
		err = choose_program(m);
	if (!err)
		err = choose_map(m);
	if (!err)
		err = shape_maps(m);
	return err ? err : load_object(m);
}

static int describe(struct instance *in)
{
	struct bpf_prog_info prog = { 0 };
	struct bpf_map_info map = { 0 };
	uint32_t len = sizeof(prog);

	if (bpf_obj_get_info_by_fd(in->prog_fd, &prog, &len) < 0)
		return -errno;
	len = sizeof(map);
	if (bpf_obj_get_info_by_fd(in->map_fd, &map, &len) < 0)
		return -errno;
	in->id = prog.id;
	in->map_id = map.id;
	in->map_entries = map.max_entries;
	if (!in->name[0])
		snprintf(in->name, sizeof(in->name), "%s", prog.name);
	snprintf(in->map_name, sizeof(in->map_name), "%.15s", map.name);
	return 0;
}

/* The object goes, its descriptors stay: duplicates are the instance's own. */
static int take_out(struct making *m, struct instance *out)
{
	struct bpf_map *counters = bpf_object__find_map_by_name(m->obj, COUNTERS_MAP_NAME);
	int err;

	out->custom = m->spec->object_fd >= 0;
	snprintf(out->name, sizeof(out->name), "%s", bpf_program__name(m->prog));
	out->prog_fd = fcntl(bpf_program__fd(m->prog), F_DUPFD_CLOEXEC, 3);
	out->map_fd = fcntl(bpf_map__fd(m->map), F_DUPFD_CLOEXEC, 3);
	if (!out->custom)
		out->counters_fd = fcntl(bpf_map__fd(counters), F_DUPFD_CLOEXEC, 3);
	if (out->prog_fd < 0 || out->map_fd < 0 || (!out->custom && out->counters_fd < 0))
		return fault_sys(m->fault, errno, "cannot keep the loaded program");
	err = describe(out);
	if (err < 0)
		return fault_sys(m->fault, -err, "cannot ask for the loaded program");
	return 0;
}

static int make_by_gate(struct gate *gate, uint32_t queues, struct instance *out,
			struct fault *fault)
{
	int fds[GATE_PROGRAM_FDS];
	int err = gate_program(gate, queues, fds);

	if (err < 0)
		return fault_sys(fault, -err, "cannot load the default program");
	out->prog_fd = fds[GATE_PROG];
	out->map_fd = fds[GATE_MAP];
	out->counters_fd = fds[GATE_COUNTERS];
	err = describe(out);
	return err < 0 ? fault_sys(fault, -err, "cannot ask for the loaded program") : 0;
}

static int make(const struct instance_spec *spec, struct instance *out, struct fault *fault)
{
	struct making m = { .spec = spec, .fault = fault, .log = malloc(VERIFIER_LOG_SIZE) };
	int err;

	if (!m.log)
		return fault_sys(fault, ENOMEM, "cannot load a program");
	m.log[0] = '\0';
	err = open_object(&m);
	if (!err)
		err = choose_program(&m);
	if (!err)
		err = choose_map(&m);
	if (!err && spec->n_constants)
		err = object_set_constants(m.obj, spec->constants, spec->n_constants, fault);
	if (!err)
		err = shape_maps(&m);
	if (!err)
		err = load_program(&m);
	if (!err)
		err = take_out(&m, out);
	making_done(&m);
	return err;
}

int instance_make(struct gate *gate, const struct instance_spec *spec, struct instance *out,
		  struct fault *fault)
{
	return gate && spec->object_fd < 0 ? make_by_gate(gate, spec->queues, out, fault)
					   : make(spec, out, fault);
}

/* ---- attaching ---- */

static int foreign_fault(const struct netns *ns, const struct device *dev, struct fault *fault)
{
	struct gate_holder holder = { .name = "?" };
	char how[160];

	(void)!gate_holder(ns->gate, dev->xdp_prog_id, dev->ifindex, &holder);
	if (holder.link)
		snprintf(how, sizeof(how),
			 "bpf_link %u: end its owner, or `bpftool link detach id %u`", holder.link,
			 holder.link);
	else if (!strcmp(holder.name, "xdp_dispatcher"))
		snprintf(how, sizeof(how),
			 "the dispatcher of libxdp, netlink attach: `xdp-loader unload %s --all`",
			 dev->name);
	else
		snprintf(how, sizeof(how), "netlink attach: `ip link set dev %s xdp off`",
			 dev->name);
	return fault_set(
		fault, XSKD__CODE__ALREADY_EXISTS, EBUSY,
		"interface '%s' already has XDP program '%s' (id %u, %s), which xskd does not "
		"replace: detach it, or use another interface",
		dev->name, holder.name, dev->xdp_prog_id, how);
}

static int create_link(struct instance *in, const struct netns *ns, uint32_t ifindex,
		       uint32_t flags)
{
	int fd = gate_link(ns->gate, ns->fd, in->prog_fd, ifindex, flags);

	if (fd < 0)
		return fd;
	in->link_fd = fd;
	return 0;
}

static int attach_fault(struct netns *ns, const struct device *dev, enum instance_mode mode,
			int err, struct fault *fault)
{
	struct device now;

	if ((err == -EBUSY || err == -EEXIST) && device_find(ns, dev->name, &now) == 0 &&
	    now.xdp_prog_id)
		return foreign_fault(ns, &now, fault);
	if (mode == INSTANCE_NATIVE && err == -EOPNOTSUPP)
		return fault_set(
			fault, XSKD__CODE__UNIMPLEMENTED, EOPNOTSUPP,
			"the driver of '%s' has no native XDP: ask for mode auto or generic",
			dev->name);
	if (mode == INSTANCE_NATIVE && err == -ERANGE)
		return fault_set(
			fault, XSKD__CODE__FAILED_PRECONDITION, ERANGE,
			"native XDP on '%s' does not work with its MTU (on veth: its peer's): lower "
			"it, or ask for mode auto or generic",
			dev->name);
	return fault_sys(fault, -err, "cannot attach an XDP program to '%s'", dev->name);
}

int instance_attach(struct instance *in, struct netns *ns, const struct device *dev,
		    enum instance_mode mode, enum instance_mode *out_granted, struct fault *fault)
{
	enum instance_mode granted = mode == INSTANCE_GENERIC ? INSTANCE_GENERIC : INSTANCE_NATIVE;
	struct bpf_link_info info = { 0 };
	uint32_t len = sizeof(info);
	int err;

	if (dev->xdp_prog_id)
		return foreign_fault(ns, dev, fault);
	err = create_link(in, ns, dev->ifindex,
			  granted == INSTANCE_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
	/* Not for what is soon over, as generic is for life. -EPIPE: the gate has gone. */
	if (err < 0 && err != -EBUSY && err != -EEXIST && err != -EPIPE &&
	    !fault_is_shortage(err) && mode == INSTANCE_AUTO) {
		log_info("native XDP on '%s' is not possible (%s), taking generic", dev->name,
			 strerrordesc_np(-err));
		granted = INSTANCE_GENERIC;
		err = create_link(in, ns, dev->ifindex, XDP_FLAGS_SKB_MODE);
	}
	if (err < 0)
		return attach_fault(ns, dev, granted, err, fault);
	if (bpf_obj_get_info_by_fd(in->link_fd, &info, &len) < 0)
		return fault_sys(fault, errno, "cannot ask for the link on '%s'", dev->name);
	in->link_id = info.id;
	in->ifindex = dev->ifindex;
	*out_granted = granted;
	return 0;
}

/* ---- pins ---- */

int instance_pin(const struct instance *in, const char *bpf_dir, bool hidden, struct fault *fault)
{
	int err = pin_make(bpf_dir, in->id, hidden, fault);

	if (!err)
		err = pin_put(bpf_dir, in->id, hidden, "prog", in->prog_fd, fault);
	if (!err)
		err = pin_put(bpf_dir, in->id, hidden, "map", in->map_fd, fault);
	if (!err && in->counters_fd >= 0)
		err = pin_put(bpf_dir, in->id, hidden, "counters", in->counters_fd, fault);
	return err;
}

int instance_pin_link(const struct instance *in, const char *bpf_dir, struct fault *fault)
{
	return pin_put(bpf_dir, in->id, false, "link", in->link_fd, fault);
}

int instance_unpin_link(const char *bpf_dir, uint32_t id)
{
	cleanup(close_fdp) int link = pin_get(bpf_dir, id, "link");

	if (fault_is_shortage(link))
		return link; /* it may well be there */
	/* A kernel that cannot (before 5.10) does it at the unlink. */
	if (link >= 0)
		(void)bpf_link_detach(link);
	return pin_drop(bpf_dir, id, "link");
}

int instance_unpin(const char *bpf_dir, uint32_t id)
{
	int err = instance_unpin_link(bpf_dir, id);

	return err ? err : pin_remove(bpf_dir, id, false);
}

/* A shortage of descriptors is not taken for a pin that is not there. */
static int judge_pins(const struct instance *in)
{
	const int needed[] = { in->prog_fd, in->map_fd, in->link_fd };
	int err = fault_is_shortage(in->counters_fd) ? in->counters_fd : 0;

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		if (needed[i] < 0 && !fault_is_shortage(err))
			err = fault_is_shortage(needed[i]) ? needed[i] : -ENOENT;
	}
	return err;
}

int instance_open(const char *bpf_dir, uint32_t id, struct instance *out)
{
	struct bpf_link_info info = { 0 };
	uint32_t len = sizeof(info);
	int err;

	*out = INSTANCE_INIT;
	out->prog_fd = pin_get(bpf_dir, id, "prog");
	out->map_fd = pin_get(bpf_dir, id, "map");
	out->link_fd = pin_get(bpf_dir, id, "link");
	out->counters_fd = pin_get(bpf_dir, id, "counters");
	out->custom = out->counters_fd < 0;
	err = judge_pins(out);
	if (!err)
		err = describe(out);
	if (!err && bpf_obj_get_info_by_fd(out->link_fd, &info, &len) < 0)
		err = -errno;
	if (err < 0) {
		instance_done(out);
		return err;
	}
	out->link_id = info.id;
	out->ifindex = info.xdp.ifindex;
	return 0;
}

int instance_ifindex(const char *bpf_dir, uint32_t id, uint32_t *out)
{
	cleanup(close_fdp) int fd = pin_get(bpf_dir, id, "link");
	struct bpf_link_info info = { 0 };
	uint32_t len = sizeof(info);

	if (fd < 0)
		return fd;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -errno;
	*out = info.xdp.ifindex;
	return 0;
}

int instance_open_counters(const char *bpf_dir, uint32_t id)
{
	return pin_get(bpf_dir, id, "counters");
}

int instance_counters(int fd, uint32_t queue, uint64_t *out_redirected, uint64_t *out_passed)
{
	int cpus = libbpf_num_possible_cpus();
	cleanup(freep) struct queue_counters *values =
		cpus > 0 ? calloc((size_t)cpus, sizeof(*values)) : NULL;
	uint64_t redirected = 0, passed = 0;

	if (!values)
		return cpus < 0 ? cpus : -ENOMEM;
	if (bpf_map_lookup_elem(fd, &queue, values) < 0)
		return -errno;
	for (int i = 0; i < cpus; i++) {
		redirected += values[i].redirected;
		passed += values[i].passed;
	}
	*out_redirected = redirected;
	*out_passed = passed;
	return 0;
}

int instance_reset(int fd, uint32_t queue)
{
	int cpus = libbpf_num_possible_cpus();
	cleanup(freep) struct queue_counters *zero =
		cpus > 0 ? calloc((size_t)cpus, sizeof(*zero)) : NULL;

	if (!zero)
		return cpus < 0 ? cpus : -ENOMEM;
	return bpf_map_update_elem(fd, &queue, zero, BPF_ANY) < 0 ? -errno : 0;
}

void instance_detach(struct instance *in)
{
	if (in->link_fd >= 0)
		(void)bpf_link_detach(in->link_fd);
}

void instance_done(struct instance *in)
{
	close_fdp(&in->link_fd);
	close_fdp(&in->counters_fd);
	close_fdp(&in->map_fd);
	close_fdp(&in->prog_fd);
	*in = INSTANCE_INIT;
}
