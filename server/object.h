/* SPDX-License-Identifier: Apache-2.0 */
/* A custom BPF object: reading it, and setting its constants before it is loaded. */
#ifndef XSKD_OBJECT_H
#define XSKD_OBJECT_H

#include "instance.h"

struct bpf_object;

/*
 * object_read() - a private copy of the file behind @fd, from its start, so that nobody can change
 * it while libbpf parses it. @out: to be freed by the caller.
 */
int object_read(int fd, size_t max, void **out, size_t *out_size, struct fault *fault) must_check;

/* object_set_constants() - give variables of .rodata their values; an unknown name is an error. */
int object_set_constants(struct bpf_object *obj, const struct instance_constant *constants,
			 size_t n, struct fault *fault) must_check;

#endif
