/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of a NIC that say which packets go to which queue, and the groups of queues that they may
 * name. @fd: of ethtool_open(). Functions answer 0 or a negative errno; -EOPNOTSUPP: the driver
 * cannot do that at all.
 */
#ifndef CNI_RULE_H
#define CNI_RULE_H

#include "conf.h"

/* Where the rules of a device are, and to which queue or group of queues they send. */
struct rule {
	uint32_t location;
	uint32_t group; /* an RSS context; 0: none, a single queue */
	uint64_t queue;
};

/* rules_read() - all. @out: an array of @out_n, freed by the caller. */
int rules_read(int fd, const char *device, struct rule **out, size_t *out_n) must_check;

/*
 * rule_add() - what @filter matches goes to a queue, or with @group to that group.
 * @pod_ip: stands for the filter's "pod".
 * -EINVAL: @pod_ip is none of the filter's family.
 */
int rule_add(int fd, const char *device, const struct filter *filter, const char *pod_ip,
	     uint32_t group, uint32_t queue, uint32_t *out_location) must_check;
int rule_delete(int fd, const char *device, uint32_t location) must_check;

/* group_add() - an RSS context that spreads packets evenly over these queues. */
int group_add(int fd, const char *device, const uint32_t *queues, size_t n,
	      uint32_t *out_group) must_check;
int group_delete(int fd, const char *device, uint32_t group) must_check;

#endif
