/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ethtool(8) would be run for: channels, and rules that say which packets go to which queue.
 * By ioctl(2), which every driver has; the netlink interface cannot set rules (as of Linux 6.12).
 * Functions answer 0 or a negative errno; -EOPNOTSUPP: the driver cannot do that at all.
 */
#ifndef CNI_ETHTOOL_H
#define CNI_ETHTOOL_H

#include <linux/ethtool.h>
#include <net/if.h>

#include "conf.h"

/* ethtool_open() - a socket for these calls, in the calling thread's namespace. */
int ethtool_open(void) must_check;

/* ethtool_bus() - where the device sits, "0000:3b:00.0"; "" for one that is not hardware. */
void ethtool_bus(int fd, const char *device, char out[ETHTOOL_BUSINFO_LEN]);

struct channels {
	uint32_t rx, tx, combined;
};

int ethtool_channels(int fd, const char *device, struct channels *out) must_check;
int ethtool_set_channels(int fd, const char *device, const struct channels *channels) must_check;

/* ethtool_spread() - @n queues for receiving, in the way in which this driver counts them. */
int ethtool_spread(int fd, const char *device, uint32_t n, struct channels *out) must_check;

/* ethtool_ntuple() - whether the driver heeds rules now; ethtool_set_ntuple() makes it so. */
int ethtool_ntuple(int fd, const char *device, bool *out) must_check;
int ethtool_set_ntuple(int fd, const char *device, bool on) must_check;

/* Where the rules of a device are, and to which queue or group of queues they send. */
struct rule {
	uint32_t location;
	uint32_t group; /* an RSS context; 0: none, a single queue */
	uint64_t queue;
};

/* ethtool_rules() - all. @out: an array of @out_n, freed by the caller. */
int ethtool_rules(int fd, const char *device, struct rule **out, size_t *out_n) must_check;

/*
 * ethtool_add_rule() - what @filter matches goes to a queue, or with @group to that group.
 * @pod_ip: stands for the filter's "pod".
 * -EINVAL: @pod_ip is none of the filter's family.
 */
int ethtool_add_rule(int fd, const char *device, const struct filter *filter, const char *pod_ip,
		     uint32_t group, uint32_t queue, uint32_t *out_location) must_check;
int ethtool_delete_rule(int fd, const char *device, uint32_t location) must_check;

/* ethtool_add_group() - an RSS context that spreads packets evenly over these queues. */
int ethtool_add_group(int fd, const char *device, const uint32_t *queues, size_t n,
		      uint32_t *out_group) must_check;
int ethtool_delete_group(int fd, const char *device, uint32_t group) must_check;

#endif
