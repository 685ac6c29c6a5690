/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ethtool(8) would be run for. By ioctl(2), which every driver has; the netlink interface
 * cannot set rules of queues (as of Linux 6.12).
 * Functions answer 0 or a negative errno; -EOPNOTSUPP: the driver cannot do that at all.
 */
#ifndef CLIENT_ETHTOOL_H
#define CLIENT_ETHTOOL_H

#include <linux/ethtool.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "util.h"

/* ethtool_open() - a socket for these calls, in the calling thread's namespace. */
int ethtool_open(void) must_check;

/* ethtool_call() - @data: one of the structs of <linux/ethtool.h>, its cmd set. */
int ethtool_call(int fd, const char *device, void *data) must_check;

/* ethtool_bus() - where the device sits, "0000:3b:00.0"; "" for one that is not hardware. */
void ethtool_bus(int fd, const char *device, char out[ETHTOOL_BUSINFO_LEN]);

/* ethtool_driver() - the name of its driver; "" where it does not tell. */
void ethtool_driver(int fd, const char *device, char out[32]);

/* ethtool_feature() - whether "rx-lro", say, is on; -ENOENT: the kernel knows none of that name. */
int ethtool_feature(int fd, const char *device, const char *name, bool *out) must_check;

/*
 * ethtool_spread_table() - the queues to which RSS sends what no rule matches.
 * @out: an array of @out_n, freed by the caller.
 */
int ethtool_spread_table(int fd, const char *device, uint32_t **out, size_t *out_n) must_check;

struct channels {
	uint32_t rx, tx, combined;
};

int ethtool_channels(int fd, const char *device, struct channels *out) must_check;
int ethtool_max_channels(int fd, const char *device, struct channels *out) must_check;
int ethtool_set_channels(int fd, const char *device, const struct channels *channels) must_check;

/* ethtool_spread() - @n queues for receiving, in the way in which this driver counts them. */
int ethtool_spread(int fd, const char *device, uint32_t n, struct channels *out) must_check;

/* ethtool_ntuple() - whether the driver heeds rules now; ethtool_set_ntuple() makes it so. */
int ethtool_ntuple(int fd, const char *device, bool *out) must_check;
int ethtool_set_ntuple(int fd, const char *device, bool on) must_check;

#endif
