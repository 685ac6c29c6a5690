/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel in memory, linked in place of what server/meson.build calls kernel_lib: namespaces,
 * devices, programs, pins, AF_XDP sockets and XSKMAPs, as far as the request path of the daemon can
 * tell them from the real ones. It needs no privilege, and any of its calls can be made to fail.
 * For tests of policy and for the fuzzer only: what the real kernel does is tested on the real
 * kernel.
 *
 * A namespace is a memfd, told by its inode; the same fd serves as the socket of a peer that lives
 * in it (SIOCGSKNS). An AF_XDP socket is the reading end of a pipe whose other end is kept here: so
 * its places in maps fall free when its last holder closes it, as they do in the kernel.
 *
 * One thread only.
 */
#ifndef XSKD_TESTS_FAKE_KERNEL_H
#define XSKD_TESTS_FAKE_KERNEL_H

#include <stdio.h>

#include "netns.h"
#include "xsk.h"

struct fake_device {
	int netns; /* where it is; -1: there is none */
	struct device dev;
	bool native; /* its driver has native XDP; set at first */
	bool zero_copy;
	int foreign; /* a program that is not xskd's is attached */
};

/* fake_kernel_init() - one namespace, the daemon's own, without devices. */
void fake_kernel_init(void);
void fake_kernel_done(void);

/* fake_netns_new() - Return: its fd, which stays the fake's. The first one is the daemon's own. */
int fake_netns_new(void);
int fake_netns_home(void);
uint64_t fake_netns_cookie(int netns);
ino_t fake_netns_inode(int netns);

struct fake_device *fake_device_add(int netns, const char *name, uint32_t queues);

/* fake_device_move() - to another namespace: kills the sockets that are bound to it. */
void fake_device_move(struct fake_device *dev, int netns);
/* fake_device_remove() - with the program that is on it. */
void fake_device_remove(struct fake_device *dev);

/* fake_object() - a file that instance_make() takes for an object with an XSKMAP of @entries. */
int fake_object(uint32_t entries);

/* fake_kernel_fail() - the @nth call from now on fails with @err, once; 0: none does. */
void fake_kernel_fail(unsigned int nth, int err);
/* fake_kernel_failed() - whether that call has come. */
bool fake_kernel_failed(void);

/* fake_kernel_fds() - how many fds the fake itself holds open. */
unsigned int fake_kernel_fds(void);

/* fake_sockets() - sockets that somebody holds. */
unsigned int fake_sockets(void);
/* fake_is_in_map() - whether the socket behind @fd is at @queue of a map. */
bool fake_is_in_map(int fd, uint32_t queue);
/* fake_is_bound() */
bool fake_is_bound(int fd);

/* fake_unmap() - as umem_unmap(), where the UMEM itself is gone. */
void fake_unmap(void *area);

/*
 * fake_kernel_print() - all that a failed call could have left behind, without numbers that change.
 */
void fake_kernel_print(FILE *out);

/* Link with -Wl,--wrap=ioctl: SIOCGSKNS needs privilege, and a real socket. */
int __wrap_ioctl(int fd, unsigned long request, ...);
int __real_ioctl(int fd, unsigned long request, ...);

#endif
