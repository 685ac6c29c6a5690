// SPDX-License-Identifier: Apache-2.0
#include "fake_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_xdp.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "instance.h"
#include "pin.h"
#include "umem.h"

#define NETNS_MAX  8
#define DEVICE_MAX 32
#define PROG_MAX   128
#define SOCK_MAX   1024
#define SLOT_MAX   2048

#define SIOCGSKNS_ 0x894C

struct space {
	int fd;
	ino_t inode;
	uint64_t cookie;
	int nsid; /* -1: it was given none */
};

/* A program with its one map. Its record stays after its end, so that ids are never used twice. */
struct prog {
	char name[64], map_name[16];
	uint32_t entries;
	bool custom;
	ino_t map;
	struct fake_device *on;
	int pin[4]; /* prog, map, counters, link; -1: not pinned */
};

struct sock {
	ino_t inode; /* 0: free */
	int end;     /* of the pipe: POLLERR tells that nobody holds the other */
	int netns;
	bool umem, rings, bound, zero_copy;
	uint32_t ifindex, queue;
};

/* A place of an XSKMAP that is taken. */
struct slot {
	ino_t map, sock;
	uint32_t queue;
};

enum { PIN_PROG, PIN_MAP, PIN_COUNTERS, PIN_LINK };

static struct space spaces[NETNS_MAX];
static size_t n_spaces;
static struct fake_device devices[DEVICE_MAX];
static size_t n_devices;
static struct prog progs[PROG_MAX]; /* id: its place, counted from 1 */
static uint32_t n_progs;
static struct sock socks[SOCK_MAX];
static size_t n_socks;
static size_t n_mapped; /* UMEMs */
static struct slot slots[SLOT_MAX];
static size_t n_slots;
static uint32_t last_ifindex;

static unsigned int fail_in;
static int fail_with;
static bool has_failed;

/* ---- what it can be told ---- */

void fake_kernel_fail(unsigned int nth, int err)
{
	fail_in = nth;
	fail_with = err;
	has_failed = false;
}

bool fake_kernel_failed(void)
{
	return has_failed;
}

/* Return: the error that this call has to fail with, or 0. */
static int due(void)
{
	if (!fail_in || --fail_in)
		return 0;
	has_failed = true;
	return -fail_with;
}

static int due_fault(struct fault *fault, const char *what)
{
	int err = due();

	return err ? fault_sys(fault, -err, "%s fails because a test wants it to", what) : 0;
}

static ino_t inode_of(int fd)
{
	struct stat stat;

	return fd >= 0 && fstat(fd, &stat) == 0 ? stat.st_ino : 0;
}

/* Not F_DUPFD_CLOEXEC, which tests make fail for the daemon. */
static int copy(int fd)
{
	int mine = dup(fd);

	if (mine >= 0)
		(void)fcntl(mine, F_SETFD, FD_CLOEXEC);
	return mine;
}

static int some_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		abort(); /* a test cannot go on without */
	return fd;
}

void fake_kernel_init(void)
{
	n_spaces = n_devices = n_socks = n_slots = 0;
	n_progs = 0;
	last_ifindex = 1; /* loopback's */
	fake_kernel_fail(0, 0);
	(void)fake_netns_new();
}

static void unpin(struct prog *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(p->pin); i++) {
		close_fdp(&p->pin[i]);
		p->pin[i] = -1;
	}
}

void fake_kernel_done(void)
{
	for (uint32_t i = 0; i < n_progs; i++)
		unpin(&progs[i]);
	for (size_t i = 0; i < n_socks; i++) {
		if (socks[i].inode)
			close(socks[i].end);
	}
	for (size_t i = 0; i < n_spaces; i++)
		close(spaces[i].fd);
	n_spaces = n_socks = 0;
	n_progs = 0;
}

unsigned int fake_kernel_fds(void)
{
	unsigned int n = (unsigned int)n_spaces;

	for (uint32_t i = 0; i < n_progs; i++) {
		for (size_t j = 0; j < ARRAY_SIZE(progs[i].pin); j++)
			n += progs[i].pin[j] >= 0;
	}
	for (size_t i = 0; i < n_socks; i++)
		n += socks[i].inode != 0;
	return n;
}

/* ---- namespaces ---- */

static struct space *space_of(int fd)
{
	ino_t inode = inode_of(fd);

	for (size_t i = 0; i < n_spaces; i++) {
		if (spaces[i].inode == inode)
			return &spaces[i];
	}
	return NULL;
}

int fake_netns_new(void)
{
	struct space *ns = &spaces[n_spaces];

	if (n_spaces == NETNS_MAX)
		abort();
	ns->fd = some_file("netns");
	ns->inode = inode_of(ns->fd);
	ns->cookie = ++n_spaces;
	ns->nsid = -1;
	return ns->fd;
}

int fake_netns_home(void)
{
	return spaces[0].fd;
}

/* What is meant by a view of it. */
static struct space *space_in(const struct netns *ns)
{
	return ns->fd < 0 ? &spaces[0] : space_of(ns->fd);
}

/* Of a namespace that a test made. */
static struct space *known_space(int netns)
{
	struct space *ns = space_of(netns);

	if (!ns)
		abort();
	return ns;
}

uint64_t fake_netns_cookie(int netns)
{
	return known_space(netns)->cookie;
}

ino_t fake_netns_inode(int netns)
{
	return known_space(netns)->inode;
}

int netns_self(void)
{
	int err = due();

	return err ? err : copy(spaces[0].fd);
}

void netns_done(struct netns *ns)
{
	(void)ns;
}

int netns_cookie(struct netns *ns, uint64_t *out)
{
	const struct space *space = space_in(ns);
	int err = due();

	if (err < 0 || !space)
		return err ? err : -EINVAL;
	*out = space->cookie;
	return 0;
}

int netns_inode(int netns_fd, ino_t *out)
{
	const struct space *ns = space_of(netns_fd);
	int err = due();

	if (err < 0 || !ns)
		return err ? err : -EINVAL;
	*out = ns->inode;
	return 0;
}

int netns_nsid(int netns_fd, int *out)
{
	struct space *ns = space_of(netns_fd);
	int err = due();

	if (err < 0 || !ns)
		return err ? err : -EINVAL;
	if (ns->nsid < 0)
		ns->nsid = (int)(ns - spaces) + 100;
	*out = ns->nsid;
	return 0;
}

/* A new fd for the namespace of a peer whose "socket" is that namespace itself. */
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;
	int err;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request != SIOCGSKNS_)
		return __real_ioctl(fd, request, arg);
	err = due();
	if (err < 0 || !space_of(fd)) {
		errno = err ? -err : ENOTTY;
		return -1;
	}
	return copy(fd);
}

/* ---- devices ---- */

struct fake_device *fake_device_add(int netns, const char *name, uint32_t queues)
{
	struct fake_device *d = &devices[n_devices++];

	if (n_devices > DEVICE_MAX)
		abort();
	last_ifindex++;
	*d = (struct fake_device){
		.netns = netns,
		.native = true,
		.dev = { .ifindex = last_ifindex,
			 .queues = queues,
			 .max_queues = queues,
			 .up = true,
			 .address = { .len = 6, .at = { 2, 0, 0, 0, 0, (uint8_t)last_ifindex } } },
	};
	snprintf(d->dev.name, sizeof(d->dev.name), "%s", name);
	return d;
}

static void kill_bound(const struct fake_device *d)
{
	for (size_t i = 0; i < n_socks; i++) {
		if (socks[i].inode && socks[i].bound && socks[i].ifindex == d->dev.ifindex)
			socks[i].ifindex = 0;
	}
}

void fake_device_move(struct fake_device *dev, int netns)
{
	kill_bound(dev);
	dev->netns = netns;
}

void fake_device_remove(struct fake_device *dev)
{
	kill_bound(dev);
	dev->netns = -1;
	if (dev->dev.xdp_prog_id && !dev->foreign)
		progs[dev->dev.xdp_prog_id - 1].on = NULL;
	dev->dev.xdp_prog_id = 0;
}

static struct fake_device *device_by(int netns, const char *name, uint32_t ifindex)
{
	for (size_t i = 0; i < n_devices; i++) {
		struct fake_device *d = &devices[i];

		if (d->netns == netns &&
		    (name ? !strcmp(d->dev.name, name) : d->dev.ifindex == ifindex))
			return d;
	}
	return NULL;
}

int device_find(struct netns *ns, const char *name, struct device *out)
{
	const struct space *space = space_in(ns);
	const struct fake_device *d = space ? device_by(space->fd, name, 0) : NULL;
	int err = due();

	if (err < 0 || !d)
		return err ? err : -ENODEV;
	*out = d->dev;
	return 0;
}

int device_find_at(int nsid, uint32_t ifindex, struct device *out)
{
	const struct space *ns = nsid < 0 ? &spaces[0] : NULL;
	const struct fake_device *d;
	int err = due();

	for (size_t i = 0; i < n_spaces && !ns; i++)
		ns = spaces[i].nsid == nsid ? &spaces[i] : NULL;
	if (err < 0 || !ns)
		return err ? err : -EINVAL;
	*out = (struct device){ .name = "lo", .ifindex = 1, .queues = 1, .max_queues = 1 };
	if (ifindex == 1)
		return 0;
	d = device_by(ns->fd, NULL, ifindex);
	if (!d)
		return -ENODEV;
	*out = d->dev;
	return 0;
}

int netns_only_device(struct netns *ns, uint32_t ifindex, bool *out)
{
	const struct space *space = space_in(ns);
	int err = due();

	if (err < 0 || !space)
		return err ? err : -EINVAL;
	*out = true;
	for (size_t i = 0; i < n_devices; i++) {
		if (devices[i].netns == space->fd && devices[i].dev.ifindex != ifindex)
			*out = false;
	}
	return 0;
}

/* ---- programs ---- */

int fake_object(uint32_t entries)
{
	int fd = some_file("object");

	if (write(fd, &entries, sizeof(entries)) != sizeof(entries))
		abort();
	return fd;
}

/* An object is its number of map entries; 0 stands for one that the verifier refuses. */
static int read_object(const struct instance_spec *spec, struct prog *p, struct fault *fault)
{
	uint32_t entries;

	if (pread(spec->object_fd, &entries, sizeof(entries), 0) != sizeof(entries))
		return fault_set(fault, XSKD__CODE__INVALID_ARGUMENT, 0, "this is no object");
	if (!entries) {
		char *log = strdup("0: (85) call no_such_helper#9999\ninvalid func\n");

		if (log)
			fault_log(fault, log);
		return fault_set(fault, XSKD__CODE__INVALID_ARGUMENT, EINVAL,
				 "the kernel refused the program '%s'", spec->program);
	}
	if (*spec->map && strcmp(spec->map, "xsks_map") != 0)
		return fault_set(fault, XSKD__CODE__INVALID_ARGUMENT, 0,
				 "the object has no map '%s'", spec->map);
	if (entries > p->entries)
		p->entries = entries;
	p->custom = true;
	return 0;
}

int instance_make(struct gate *gate, const struct instance_spec *spec, struct instance *out,
		  struct fault *fault)
{
	struct prog *p = &progs[n_progs];
	int err = due_fault(fault, "instance_make()");

	(void)gate;
	if (err < 0)
		return err;
	if (n_progs == PROG_MAX)
		return fault_sys(fault, ENOSPC, "the fake kernel has no room for programs");
	*p = (struct prog){ .entries = spec->queues, .pin = { -1, -1, -1, -1 } };
	if (spec->object_fd >= 0) {
		err = read_object(spec, p, fault);
		if (err < 0)
			return err;
	}
	snprintf(p->name, sizeof(p->name), "%s", *spec->program ? spec->program : "xskd");
	snprintf(p->map_name, sizeof(p->map_name), "xsks_map");
	out->prog_fd = some_file("prog");
	out->map_fd = some_file("map");
	out->counters_fd = p->custom ? -1 : some_file("counters");
	p->map = inode_of(out->map_fd);
	out->id = ++n_progs;
	out->map_id = out->id + 1000;
	out->map_entries = p->entries;
	out->custom = p->custom;
	snprintf(out->name, sizeof(out->name), "%s", p->name);
	snprintf(out->map_name, sizeof(out->map_name), "%s", p->map_name);
	return 0;
}

int instance_attach(struct instance *in, struct netns *ns, const struct device *dev,
		    enum instance_mode mode, enum instance_mode *out_granted, struct fault *fault)
{
	const struct space *space = space_in(ns);
	struct fake_device *d = space ? device_by(space->fd, NULL, dev->ifindex) : NULL;
	int err = due_fault(fault, "instance_attach()");

	if (err < 0)
		return err;
	if (!d)
		return fault_sys(fault, ENODEV, "cannot attach");
	if (d->dev.xdp_prog_id)
		return fault_set(fault, XSKD__CODE__ALREADY_EXISTS, EBUSY,
				 "interface '%s' already has XDP program %u", dev->name,
				 d->dev.xdp_prog_id);
	if (mode == INSTANCE_NATIVE && !d->native)
		return fault_sys(fault, EOPNOTSUPP, "no native XDP on '%s'", dev->name);
	*out_granted = mode == INSTANCE_GENERIC || !d->native ? INSTANCE_GENERIC : INSTANCE_NATIVE;
	d->dev.xdp_prog_id = in->id;
	progs[in->id - 1].on = d;
	in->link_fd = some_file("link");
	in->link_id = in->id + 2000;
	in->ifindex = dev->ifindex;
	return 0;
}

static void detach(struct prog *p)
{
	if (p->on)
		p->on->dev.xdp_prog_id = 0;
	p->on = NULL;
}

int instance_pin(const struct instance *in, const char *bpf_dir, bool hidden, struct fault *fault)
{
	const int fds[] = { in->prog_fd, in->map_fd, in->counters_fd };

	(void)hidden;
	(void)bpf_dir;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		int err = fds[i] < 0 ? 0 : due_fault(fault, "instance_pin()");

		if (err < 0)
			return err; /* what is pinned stays so, as in the kernel */
		if (fds[i] >= 0)
			progs[in->id - 1].pin[i] = copy(fds[i]);
	}
	return 0;
}

int instance_pin_link(const struct instance *in, const char *bpf_dir, struct fault *fault)
{
	int err = due_fault(fault, "instance_pin_link()");

	(void)bpf_dir;
	if (!err)
		progs[in->id - 1].pin[PIN_LINK] = copy(in->link_fd);
	return err;
}

static struct prog *pinned(uint32_t id)
{
	return id && id <= n_progs && progs[id - 1].pin[PIN_PROG] >= 0 ? &progs[id - 1] : NULL;
}

int instance_open(const char *bpf_dir, uint32_t id, struct instance *out)
{
	const struct prog *p = pinned(id);
	int err = due();

	(void)bpf_dir;
	*out = INSTANCE_INIT;
	if (err < 0 || !p || p->pin[PIN_LINK] < 0)
		return err ? err : -ENOENT;
	out->id = id;
	out->prog_fd = copy(p->pin[PIN_PROG]);
	out->map_fd = copy(p->pin[PIN_MAP]);
	out->link_fd = copy(p->pin[PIN_LINK]);
	out->counters_fd = p->custom ? -1 : copy(p->pin[PIN_COUNTERS]);
	out->custom = p->custom;
	out->map_entries = p->entries;
	out->map_id = id + 1000;
	out->link_id = id + 2000;
	out->ifindex = p->on ? p->on->dev.ifindex : 0;
	snprintf(out->name, sizeof(out->name), "%s", p->name);
	snprintf(out->map_name, sizeof(out->map_name), "%s", p->map_name);
	return 0;
}

int instance_ifindex(const char *bpf_dir, uint32_t id, uint32_t *out)
{
	const struct prog *p = pinned(id);
	int err = due();

	(void)bpf_dir;
	if (err < 0)
		return err;
	if (!p || p->pin[PIN_LINK] < 0)
		return -ENOENT;
	*out = p->on ? p->on->dev.ifindex : 0;
	return 0;
}

int instance_open_counters(const char *bpf_dir, uint32_t id)
{
	const struct prog *p = pinned(id);
	int err = due();

	(void)bpf_dir;
	if (err < 0)
		return err;
	if (!p || p->custom)
		return -ENOENT;
	return copy(p->pin[PIN_COUNTERS]);
}

int instance_counters(int fd, uint32_t queue, uint64_t *out_redirected, uint64_t *out_passed)
{
	int err = due();

	if (err < 0 || fd < 0)
		return err ? err : -EBADF;
	*out_redirected = queue + 1000;
	*out_passed = queue + 2000;
	return 0;
}

void instance_detach(struct instance *in)
{
	if (in->id && in->id <= n_progs)
		detach(&progs[in->id - 1]);
}

void instance_done(struct instance *in)
{
	struct prog *p = in->id && in->id <= n_progs ? &progs[in->id - 1] : NULL;

	/* The last holder of a link that is not pinned takes the program off. */
	if (p && in->link_fd >= 0 && p->pin[PIN_LINK] < 0)
		detach(p);
	close_fdp(&in->link_fd);
	close_fdp(&in->counters_fd);
	close_fdp(&in->map_fd);
	close_fdp(&in->prog_fd);
	*in = INSTANCE_INIT;
}

int instance_unpin(const char *bpf_dir, uint32_t id)
{
	struct prog *p = id && id <= n_progs ? &progs[id - 1] : NULL;
	int err = due();

	(void)bpf_dir;
	if (err < 0)
		return err;
	if (p) {
		detach(p);
		unpin(p);
	}
	return 0;
}

int pin_each(const char *bpf_dir, void (*fn)(void *arg, uint32_t id), void *arg)
{
	int err = due();

	(void)bpf_dir;
	for (uint32_t id = 1; id <= n_progs && !err; id++) {
		if (pinned(id))
			fn(arg, id);
	}
	return err;
}

/* ---- AF_XDP sockets ---- */

static void empty_slots(ino_t sock)
{
	for (size_t i = n_slots; i--;) {
		if (slots[i].sock == sock)
			slots[i] = slots[--n_slots];
	}
}

/* Forgets the sockets that nobody holds any more. */
static void collect(void)
{
	static struct pollfd ends[SOCK_MAX];
	size_t kept = 0;

	for (size_t i = 0; i < n_socks; i++)
		ends[i] = (struct pollfd){ .fd = socks[i].end };
	if (!n_socks || poll(ends, n_socks, 0) <= 0)
		return;
	for (size_t i = 0; i < n_socks; i++) {
		if (ends[i].revents & POLLERR) {
			empty_slots(socks[i].inode);
			close(socks[i].end);
		} else {
			socks[kept++] = socks[i];
		}
	}
	n_socks = kept;
}

static struct sock *find_sock(int fd)
{
	ino_t inode = inode_of(fd);

	for (size_t i = 0; i < n_socks; i++) {
		if (socks[i].inode == inode)
			return &socks[i];
	}
	return NULL;
}

/* Of a socket that the daemon says it holds. */
static struct sock *sock_of(int fd)
{
	struct sock *s = find_sock(fd);

	if (!s)
		abort();
	return s;
}

unsigned int fake_sockets(void)
{
	collect();
	return (unsigned int)n_socks;
}

bool fake_is_bound(int fd)
{
	const struct sock *s = find_sock(fd);

	return s && s->bound;
}

int umem_check(struct umem *umem, uint32_t frame_size, struct fault *fault)
{
	const int needed = F_SEAL_SHRINK | F_SEAL_GROW;
	int seals = fcntl(umem->memfd, F_GET_SEALS);
	struct stat stat;
	int err = due_fault(fault, "umem_check()");

	if (err < 0)
		return err;
	if (seals < 0 || fstat(umem->memfd, &stat) < 0 || (seals & needed) != needed ||
	    stat.st_size < (off_t)frame_size || stat.st_size % frame_size)
		return fault_set(fault, XSKD__CODE__INVALID_ARGUMENT, 0, "this is no UMEM");
	umem->size = (uint64_t)stat.st_size;
	return 0;
}

int xsk_open(const struct netns *ns, const struct xsk_spec *spec, int *out_fds, struct fault *fault)
{
	const struct space *space = space_in(ns);

	collect();
	if (!space)
		return fault_sys(fault, EINVAL, "cannot make an AF_XDP socket");
	for (size_t i = 0; i < spec->n; i++) {
		int err = due_fault(fault, "xsk_open()");
		int ends[2];

		if (!err && (n_socks == SOCK_MAX || pipe2(ends, O_CLOEXEC) < 0))
			err = fault_sys(fault, EMFILE, "cannot make an AF_XDP socket");
		if (err < 0) {
			while (i--)
				close(steal_fd(&out_fds[i]));
			return err;
		}
		out_fds[i] = ends[0];
		socks[n_socks++] = (struct sock){ .inode = inode_of(ends[0]),
						  .end = ends[1],
						  .netns = space->fd };
	}
	return 0;
}

void umem_unmap(struct umem *umem)
{
	fake_unmap(umem->area);
	umem->area = NULL;
}

void fake_unmap(void *area)
{
	n_mapped -= !!area;
	free(area);
}

int xsk_set_up(const struct xsk_spec *spec, const int *fds, struct umem *umem,
	       const struct umem_guard *guard, struct fault *fault)
{
	(void)guard;
	for (size_t i = 0; i < spec->n; i++) {
		struct sock *s = sock_of(fds[i]);
		int err = due_fault(fault, "xsk_set_up()");

		if (err < 0)
			return err;
		s->umem = i == 0;
		s->rings = true;
	}
	umem->area = malloc(1);
	n_mapped += !!umem->area;
	return 0;
}

static int bind_one(const struct xsk_spec *spec, const int *fds, size_t i)
{
	struct sock *s = sock_of(fds[i]);
	const struct sock *first = sock_of(fds[0]);
	const struct fake_device *d = device_by(s->netns, NULL, spec->ifindex);

	if (s->bound)
		return -EBUSY;
	if (!d)
		return -ENODEV;
	if (!s->rings || spec->queue[i] >= d->dev.queues || (i ? s->umem : !s->umem) ||
	    !first->umem)
		return -EINVAL;
	if (spec->zero_copy_required && !d->zero_copy)
		return -EOPNOTSUPP;
	for (size_t j = 0; j < n_socks; j++) {
		if (socks[j].bound && socks[j].ifindex == spec->ifindex &&
		    socks[j].queue == spec->queue[i])
			return -EBUSY;
	}
	s->bound = true;
	s->ifindex = spec->ifindex;
	s->queue = spec->queue[i];
	s->zero_copy = d->zero_copy && !spec->copy;
	return 0;
}

int xsk_bind(const struct xsk_spec *spec, const int *fds, size_t *bound, bool *out_zero_copy,
	     struct fault *fault)
{
	collect();
	for (; *bound < spec->n; ++*bound) {
		size_t i = *bound;
		int err = due_fault(fault, "xsk_bind()");

		if (err < 0)
			return err;
		err = bind_one(spec, fds, i);
		if (err == -EBUSY)
			return fault_set(fault, XSKD__CODE__ALREADY_EXISTS, EBUSY,
					 "queue %u of '%s' is in use", spec->queue[i],
					 spec->device);
		if (err < 0)
			return fault_sys(fault, -err, "cannot bind to queue %u of '%s'",
					 spec->queue[i], spec->device);
	}
	*out_zero_copy = sock_of(fds[0])->zero_copy;
	return 0;
}

/* ---- maps ---- */

static uint32_t entries_of(ino_t map)
{
	for (uint32_t i = 0; i < n_progs; i++) {
		if (progs[i].map == map)
			return progs[i].entries;
	}
	return 0;
}

static struct slot *slot_at(ino_t map, uint32_t queue)
{
	for (size_t i = 0; i < n_slots; i++) {
		if (slots[i].map == map && slots[i].queue == queue)
			return &slots[i];
	}
	return NULL;
}

bool fake_is_in_map(int fd, uint32_t queue)
{
	ino_t inode = inode_of(fd);

	for (size_t i = 0; i < n_slots; i++) {
		if (slots[i].sock == inode && slots[i].queue == queue)
			return true;
	}
	return false;
}

static int insert_one(int map_fd, uint32_t queue, int fd)
{
	ino_t map = inode_of(map_fd);

	if (queue >= entries_of(map))
		return -E2BIG;
	if (slot_at(map, queue))
		return -EEXIST;
	if (n_slots == SLOT_MAX)
		return -ENOMEM;
	slots[n_slots++] = (struct slot){ map, inode_of(fd), queue };
	return 0;
}

int xsk_insert(struct xsk_prober *prober, const struct xsk_spec *spec, const int *fds, int map_fd,
	       struct fault *fault)
{
	(void)prober;
	collect();
	for (size_t i = 0; i < spec->n; i++) {
		int err = due();

		if (!err)
			err = insert_one(map_fd, spec->queue[i], fds[i]);
		if (err < 0) {
			uint32_t queue = spec->queue[i];

			while (i--)
				xsk_remove(map_fd, spec->queue[i]);
			if (err == -EEXIST)
				return fault_set(fault, XSKD__CODE__ALREADY_EXISTS, EEXIST,
						 "queue %u has a socket already", queue);
			return fault_sys(fault, -err, "cannot insert at queue %u", queue);
		}
	}
	return 0;
}

void xsk_remove(int map_fd, uint32_t queue)
{
	struct slot *s = slot_at(inode_of(map_fd), queue);

	if (s)
		*s = slots[--n_slots];
}

/* The other end is the fake's, and tells one from all others. */
int xsk_cookie(int fd, uint64_t *out)
{
	int err = due();

	if (err < 0 || !find_sock(fd))
		return err ? err : -EINVAL;
	*out = inode_of(fd);
	return 0;
}

int xsk_put_back(int map_fd, uint32_t queue, int fd)
{
	struct xsk_spec spec = { .device = "", .queue = { queue }, .n = 1 };
	struct fault fault = FAULT_INIT;
	int err = xsk_insert(NULL, &spec, &fd, map_fd, &fault);

	fault_done(&fault);
	return err == -EEXIST ? 0 : err;
}

int xsk_held(struct xsk_prober *prober, int map_fd, uint32_t queue, bool *out)
{
	ino_t map = inode_of(map_fd);
	int err = due();

	(void)prober;
	collect();
	if (err < 0 || queue >= entries_of(map))
		return err ? err : -E2BIG;
	*out = slot_at(map, queue) != NULL;
	return 0;
}

int xsk_statistics(int fd, struct xdp_statistics *out)
{
	int err = due();

	if (err < 0 || !find_sock(fd))
		return err ? err : -EBADF;
	*out = (struct xdp_statistics){ .rx_dropped = 7 };
	return 0;
}

/* ---- what is there ---- */

void fake_kernel_print(FILE *out)
{
	collect();
	for (size_t i = 0; i < n_devices; i++)
		fprintf(out, "device %s: %s\n", devices[i].dev.name,
			devices[i].dev.xdp_prog_id ? "has a program" : "bare");
	for (uint32_t i = 0; i < n_progs; i++) {
		const struct prog *p = &progs[i];

		if (p->on || p->pin[0] >= 0 || p->pin[1] >= 0 || p->pin[2] >= 0 || p->pin[3] >= 0)
			fprintf(out, "program on %s, pins %d%d%d%d\n",
				p->on ? p->on->dev.name : "nothing", p->pin[0] >= 0, p->pin[1] >= 0,
				p->pin[2] >= 0, p->pin[3] >= 0);
	}
	for (size_t i = 0; i < n_socks; i++)
		fprintf(out, "AF_XDP socket, bound %d to queue %u, in a map %d\n", socks[i].bound,
			socks[i].queue, fake_is_in_map(socks[i].end, socks[i].queue));
	fprintf(out, "%zu places of maps are taken, %zu UMEMs mapped\n", n_slots, n_mapped);
}
