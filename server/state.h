/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state files: --run-dir/state/programs/ID and .../leases/CONTAINER@INTERFACE. Each begins with
 * the CRC-32 of the rest, which is one packed StateFile. A file appears whole or not at all (it is
 * written aside and renamed), and is gone after a reboot with the kernel objects that it describes.
 */
#ifndef XSKD_STATE_H
#define XSKD_STATE_H

#include "fault.h"
#include "state.pb-c.h"

enum state_kind {
	STATE_PROGRAMS,
	STATE_LEASES,
	STATE_KINDS,
};

struct state {
	int dir[STATE_KINDS];
	char boot_id[40];
};

#define STATE_INIT ((struct state){ .dir = { -1, -1 } })

/* state_open() - make the directories under @run_dir and open them. */
int state_open(struct state *st, const char *run_dir, struct fault *fault) must_check;
void state_done(struct state *st);

/* state_write() - blocks; replaces what was there. version and boot_id are filled in here. */
int state_write(const struct state *st, enum state_kind kind, const char *name,
		Xskd__StateFile *file, struct fault *fault) must_check;

/* state_remove() - blocks; no error if there is none. */
int state_remove(const struct state *st, enum state_kind kind, const char *name) must_check;

/*
 * state_each() - read them all. @fn gets each good file; what it leaves in @file is freed. Files
 * that are damaged or foreign are renamed to .bad-NAME, logged, and otherwise ignored; those of an
 * earlier boot are removed. Return: how many were set aside, or negative.
 */
int state_each(const struct state *st, enum state_kind kind,
	       void (*fn)(void *arg, const char *name, Xskd__StateFile *file),
	       void *arg) must_check;

#endif
