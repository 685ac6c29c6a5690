// SPDX-License-Identifier: Apache-2.0
/* The NICs of this network namespace, and what of them is in the way of AF_XDP. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>

#include "bpf.h"
#include "doctor.h"
#include "ethtool.h"
#include "netdev.h"
#include "rtnl.h"

/* What fits a page beside headroom and the tail that the kernel needs, for most drivers. */
#define MTU_OF_A_PAGE 3498

struct look {
	struct doctor *d;
	struct link *links;
	size_t n_links, n_silent;
	int ethtool;
	struct netdev netdev;
	bool kernel_tells; /* what drivers can */
};

static bool is_leased(const struct doctor *d, const struct link *link)
{
	for (size_t i = 0; i < d->n_leases; i++) {
		if (d->leases[i].queue_mode && d->leases[i].ifindex == link->ifindex)
			return true;
	}
	return false;
}

static bool is_queue_leased(const struct doctor *d, const struct link *link, uint32_t queue)
{
	for (size_t i = 0; i < d->n_leases; i++) {
		const struct xskd_lease *l = &d->leases[i];

		for (size_t q = 0; l->queue_mode && l->ifindex == link->ifindex && q < l->n_queues;
		     q++) {
			if (l->queues[q] == queue)
				return true;
		}
	}
	return false;
}

/* ---- what it is ---- */

static unsigned int count_interrupts(const char *device)
{
	char path[64 + IFNAMSIZ];
	unsigned int n = 0;
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/class/net/%s/device/msi_irqs", device);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

static void print_queues(struct look *look, const struct link *link, char out[64])
{
	struct channels now, most;

	if (ethtool_channels(look->ethtool, link->name, &now) < 0 ||
	    ethtool_max_channels(look->ethtool, link->name, &most) < 0)
		snprintf(out, 64, "one queue");
	else
		snprintf(out, 64, "%u of at most %u queues", now.rx + now.combined,
			 most.combined ? most.combined : most.rx);
}

static const char *print_xdp(bool known, uint64_t xdp)
{
	if (!known)
		return "";
	if (!(xdp & NETDEV_XDP_BASIC) || !(xdp & NETDEV_XDP_REDIRECT))
		return ", no native XDP";
	return xdp & NETDEV_XDP_ZEROCOPY ? ", native XDP with zero-copy"
					 : ", native XDP without zero-copy";
}

static void say_what(struct look *look, const struct link *link, bool known, uint64_t xdp)
{
	char driver[32], queues[64], interrupts[32] = "";
	unsigned int n = count_interrupts(link->name);

	ethtool_driver(look->ethtool, link->name, driver);
	print_queues(look, link, queues);
	if (n)
		snprintf(interrupts, sizeof(interrupts), ", %u interrupts", n);
	doctor_find(look->d, DOCTOR_OK, "device.what", link->name, "driver %s, %s%s, MTU %u, %s%s",
		    *driver ? driver : "unknown", queues, interrupts, link->mtu,
		    !link->up       ? "down"
		    : link->running ? "up"
				    : "up without a carrier",
		    print_xdp(known, xdp));
}

/* ---- programs on it ---- */

static void advise_foreign(struct doctor *d, const struct link *link, const char *name)
{
	uint32_t held;

	if (bpf_link_of(link->xdp_program, link->ifindex, &held) == 0)
		doctor_advise(d,
			      "It is held by bpf_link %u: end its owner, or `bpftool link detach "
			      "id %u`; or use another interface.",
			      held, held);
	else if (!strcmp(name, "xdp_dispatcher"))
		doctor_advise(
			d,
			"It is the dispatcher of libxdp: `xdp-loader unload %s --all`; or use "
			"another interface.",
			link->name);
	else
		doctor_advise(d,
			      "`ip link set dev %s %s off`, if nobody needs it; or use another "
			      "interface.",
			      link->name,
			      link->xdp_attached == XDP_ATTACHED_SKB  ? "xdpgeneric"
			      : link->xdp_attached == XDP_ATTACHED_HW ? "xdpoffload"
								      : "xdp");
}

static void say_foreign(struct doctor *d, const struct link *link)
{
	char name[BPF_NAME_SIZE] = "?";
	bool leased = is_leased(d, link);

	if (link->xdp_attached == XDP_ATTACHED_MULTI) {
		doctor_find(d, leased ? DOCTOR_PROBLEM : DOCTOR_NOTE, "device.foreign", link->name,
			    "has several XDP programs, which xskd does not replace");
		doctor_advise(d, "`ip -d link show dev %s` names them.", link->name);
		return;
	}
	(void)!bpf_program_name(link->xdp_program, name);
	doctor_find(d, leased ? DOCTOR_PROBLEM : DOCTOR_NOTE, "device.foreign", link->name,
		    "has XDP program '%s' (id %u), which is not xskd's and which xskd does not "
		    "replace%s",
		    name, link->xdp_program, leased ? ", though leases have its queues" : "");
	advise_foreign(d, link, name);
}

static void judge_program(struct doctor *d, const struct link *link)
{
	const struct xskd_program *p = doctor_program(d, link->xdp_program);

	if (!link->xdp_attached)
		return;
	if (p) {
		doctor_find(d, DOCTOR_OK, "device.program", link->name,
			    "has program %u of xskd, '%s', for %u leases", p->id, p->name,
			    p->leases);
	} else if (d->asked) {
		say_foreign(d, link);
	} else {
		doctor_find(d, DOCTOR_NOTE, "device.program", link->name,
			    "has XDP program %u, of which only the daemon can tell whose it is",
			    link->xdp_program);
	}
}

/* ---- what is in the way ---- */

/* Packets merged by the NIC do not fit what XDP sees: drivers refuse native XDP, or do it wrong. */
static void judge_merging(struct look *look, const struct link *link)
{
	static const char *const names[] = { "rx-lro", "rx-gro-hw" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		bool on = false;

		if (ethtool_feature(look->ethtool, link->name, names[i], &on) < 0 || !on)
			continue;
		doctor_find(look->d, is_leased(look->d, link) ? DOCTOR_WARNING : DOCTOR_NOTE,
			    "device.merging", link->name,
			    "has %s on: the NIC merges packets, and many drivers refuse native XDP "
			    "then",
			    names[i]);
		doctor_advise(look->d, "`ethtool -K %s %s off`.", link->name, names[i]);
	}
}

static void judge_mtu(struct doctor *d, const struct link *link, bool known, uint64_t xdp)
{
	/* A driver without native XDP has no limit, and a word of its own above. */
	if (link->mtu <= MTU_OF_A_PAGE ||
	    (known && (xdp & NETDEV_XDP_FRAGMENTS || !(xdp & NETDEV_XDP_BASIC))))
		return;
	doctor_find(d, is_leased(d, link) ? DOCTOR_WARNING : DOCTOR_NOTE, "device.mtu", link->name,
		    "has an MTU of %u: packets do not fit one page, and %s takes native XDP only "
		    "up to about %d",
		    link->mtu, known ? "its driver" : "many a driver", MTU_OF_A_PAGE);
	doctor_advise(d,
		      "`ip link set dev %s mtu %d`, or load the program with --mode generic, which "
		      "is slow.",
		      link->name, MTU_OF_A_PAGE);
}

/* "weight 1 1 0 0": RSS to the queues that no lease has. Return: whether there are any. */
static bool print_weights(struct look *look, const struct link *link, char *out, size_t size)
{
	struct channels c;
	size_t len = 0;
	bool any = false;

	if (ethtool_channels(look->ethtool, link->name, &c) < 0)
		return false;
	for (uint32_t q = 0; q < c.rx + c.combined && len + 3 < size; q++) {
		bool free_queue = !is_queue_leased(look->d, link, q);

		len += (size_t)snprintf(out + len, size - len, " %d", free_queue);
		any |= free_queue;
	}
	return any;
}

/* A queue of a pod that RSS still sends to takes the host's packets away from it. */
static void judge_spread(struct look *look, const struct link *link)
{
	cleanup(freep) uint32_t *table = NULL;
	char weights[512] = "";
	size_t n = 0, hit = 0;
	uint32_t example = 0;

	if (!is_leased(look->d, link) ||
	    ethtool_spread_table(look->ethtool, link->name, &table, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		if (is_queue_leased(look->d, link, table[i])) {
			example = table[i];
			hit++;
		}
	}
	if (!hit)
		return;
	doctor_find(look->d, DOCTOR_WARNING, "device.rss", link->name,
		    "spreads packets that are for the host over queues that leases have (%zu of "
		    "%zu entries, queue %u say): pods receive them, and the host does not",
		    hit, n, example);
	if (print_weights(look, link, weights, sizeof(weights)))
		doctor_advise(look->d, "`ethtool -X %s weight%s`.", link->name, weights);
	else
		doctor_advise(look->d, "Leave the host a queue: end a lease, or add queues with "
				       "`ethtool -L`.");
}

static void judge_device(struct look *look, const struct link *link)
{
	uint64_t xdp = 0;
	bool known = look->kernel_tells && netdev_xdp(&look->netdev, link->ifindex, &xdp) == 0;

	/* A node has hundreds of virtual ones, and most are nobody's business here. */
	if (*link->kind && !link->xdp_attached && !is_leased(look->d, link)) {
		look->n_silent++;
		return;
	}
	say_what(look, link, known, xdp);
	judge_program(look->d, link);
	judge_mtu(look->d, link, known, xdp);
	judge_merging(look, link);
	judge_spread(look, link);
}

/* ---- all of them ---- */

static bool take_link(void *arg, const struct link *link)
{
	struct look *look = arg;
	struct link *more;

	if (link->loopback)
		return false;
	more = reallocarray(look->links, look->n_links + 1, sizeof(*more));
	if (!more)
		return true;
	look->links = more;
	look->links[look->n_links++] = *link;
	return false;
}

void doctor_devices(struct doctor *d)
{
	struct look look = { .d = d, .ethtool = ethtool_open(), .netdev = NETDEV_INIT };
	struct rtnl rtnl = RTNL_INIT;
	int err = rtnl_open(&rtnl);

	if (!err)
		err = rtnl_each_link(&rtnl, take_link, &look);
	look.kernel_tells = netdev_open(&look.netdev) == 0;
	if (err)
		doctor_blind(d, "device.what", "network devices", err < 0 ? err : -ENOMEM);
	for (size_t i = 0; i < look.n_links; i++)
		judge_device(&look, &look.links[i]);
	if (look.n_silent)
		doctor_find(d, DOCTOR_OK, "device.what", "virtual devices",
			    "%zu more have no XDP program and no lease", look.n_silent);
	netdev_done(&look.netdev);
	rtnl_done(&rtnl);
	close_fdp(&look.ethtool);
	free(look.links);
}
