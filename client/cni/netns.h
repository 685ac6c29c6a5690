/* SPDX-License-Identifier: Apache-2.0 */
/* Network namespaces by path, and work inside them. The plugin has one thread. */
#ifndef CNI_NETNS_H
#define CNI_NETNS_H

#include "fail.h"

/* netns_open() - @path must be a namespace, and not our own. @out_fd: the caller owns it. */
int netns_open(const char *path, int *out_fd, struct fail *fail) must_check;

/* netns_visit() - run @fn inside. Return: what it answered, or a negative errno. */
int netns_visit(int netns, int (*fn)(void *arg), void *arg) must_check;

/*
 * netns_enable_ipv6() - on the interface @ifname of the current namespace. Container runtimes like
 * to turn it off where no plugin asks for it, and a move between namespaces sets it to the default.
 */
int netns_enable_ipv6(void *ifname) must_check;

/* netns_cookie() - of the namespace in which @sock was made: unique until reboot (Linux 5.14). */
int netns_cookie(int sock, uint64_t *out) must_check;

#endif
