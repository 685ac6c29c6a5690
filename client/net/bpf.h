/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few bpf(2) commands that tell what is there, and two harmless trials. Without libbpf: pods
 * have xskctl too, and need no ELF loader for it. Functions answer 0 or a negative errno.
 */
#ifndef CLIENT_BPF_H
#define CLIENT_BPF_H

#include <stdbool.h>
#include <stdint.h>

#include "util.h"

#define BPF_NAME_SIZE 16 /* BPF_OBJ_NAME_LEN */

/* bpf_try_program() - load an XDP program that passes everything, and forget it. */
int bpf_try_program(void) must_check;

/* bpf_try_xskmap() - make an XSKMAP, and forget it. */
int bpf_try_xskmap(void) must_check;

/* bpf_program_name() - of the program with this id; "" if it has none. */
int bpf_program_name(uint32_t id, char out[BPF_NAME_SIZE]) must_check;

/* bpf_link_of() - the bpf_link that holds program @id on a device; -ENOENT: none does. */
int bpf_link_of(uint32_t id, uint32_t ifindex, uint32_t *out) must_check;

#endif
