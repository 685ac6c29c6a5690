/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By what leases, programs and sockets are looked up beside their ids, so that no call walks all of
 * them: each has indexes of its kind, and is in all of these or in none. What an index goes by must
 * not change while the thing is in it.
 */
#ifndef XSKD_KEYS_H
#define XSKD_KEYS_H

#include "core.h"

void keys_init(struct core *core);
void keys_done(struct core *core);

/* keys_add_...() - 0; or -ENOMEM, and it is in none. */
int keys_add_lease(struct core *core, struct lease *l) must_check;
int keys_add_program(struct core *core, struct program *p) must_check;
int keys_add_sock(struct core *core, struct sock *s) must_check;

/* keys_remove_...() - what was removed last can be added again without an error. */
void keys_remove_lease(struct core *core, const struct lease *l);
void keys_remove_program(struct core *core, const struct program *p);
void keys_remove_sock(struct core *core, const struct sock *s);

#endif
