/* SPDX-License-Identifier: Apache-2.0 */
/* BPF objects in the file system: BPF_DIR/programs/ID/{prog,map,counters,link}. */
#ifndef XSKD_PIN_H
#define XSKD_PIN_H

#include "fault.h"

/* pin_mount() - see that @bpf_dir exists on a bpffs; mounts one where it is missing. */
int pin_mount(const char *bpf_dir, struct fault *fault) must_check;

/* pin_make() - the directory of @id. @hidden: see pin_hide(). */
int pin_make(const char *bpf_dir, uint32_t id, bool hidden, struct fault *fault) must_check;

/* pin_put() - give @fd the name @what in it; keeps the object alive. */
int pin_put(const char *bpf_dir, uint32_t id, bool hidden, const char *what, int fd,
	    struct fault *fault) must_check;

/* pin_get() - Return: an fd that the caller owns, or a negative errno. */
int pin_get(const char *bpf_dir, uint32_t id, const char *what) must_check;

/* pin_drop() - take the name @what away; no error where it is not. */
int pin_drop(const char *bpf_dir, uint32_t id, const char *what) must_check;

/* pin_remove() - the whole directory, the link first: that detaches the program. */
int pin_remove(const char *bpf_dir, uint32_t id, bool hidden) must_check;

/* pin_each() - all ids that have a directory. */
int pin_each(const char *bpf_dir, void (*fn)(void *arg, uint32_t id), void *arg) must_check;

/*
 * pin_hide() - programs of the pool that wait for a device are pinned beside the others, as
 * BPF_DIR/programs/pool-ID. That they are there is nobody's business, and of no use to the next
 * daemon.
 */
int pin_hide(const char *bpf_dir, uint32_t id, bool hide) must_check;
/* pin_remove_hidden() - all that an earlier daemon left. */
int pin_remove_hidden(const char *bpf_dir) must_check;

#endif
