/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state files: --run-dir/state/programs/ID, .../leases/CONTAINER@INTERFACE and .../sockets/ID.
 * Each begins with the CRC-32 of the rest, which is one packed StateFile. A file appears whole or
 * not at all (it is written aside and renamed), and is gone after a reboot with the kernel objects
 * that it describes.
 */
#ifndef XSKD_STATE_H
#define XSKD_STATE_H

#include "fault.h"
#include "state.pb-c.h"

enum state_kind {
	STATE_PROGRAMS,
	STATE_LEASES,
	STATE_SOCKETS,
	STATE_KINDS,
};

struct state {
	int dir[STATE_KINDS];
	char boot_id[40];
	uint32_t version; /* of what is written; what is higher is not for this daemon */
	uint64_t starts;  /* of daemons here since the node's boot, this one's among them */
};

#define STATE_INIT ((struct state){ .dir = { -1, -1, -1 } })

/* state_open() - make the directories under @run_dir and open them. */
int state_open(struct state *st, const char *run_dir, struct fault *fault) must_check;
void state_done(struct state *st);

/* state_write() - blocks; replaces what was there. version and boot_id are filled in here. */
int state_write(const struct state *st, enum state_kind kind, const char *name,
		Xskd__StateFile *file, struct fault *fault) must_check;

/* state_remove() - blocks; no error if there is none. */
int state_remove(const struct state *st, enum state_kind kind, const char *name) must_check;
/* state_remove_all() - the same for all whose names begin with @prefix; tries each of them. */
int state_remove_all(const struct state *st, enum state_kind kind, const char *prefix) must_check;

/* state_is_later() - whether a newer daemon's file of that name waits for it here. */
bool state_is_later(const struct state *st, enum state_kind kind, const char *name) must_check;

/* state_has_later() - whether any does. */
bool state_has_later(const struct state *st, enum state_kind kind) must_check;

/*
 * state_each() - read them all. @fn gets each good file, and says whether it has what its name
 * says; what it leaves in @file is freed. Those that are damaged or somebody else's are renamed to
 * .bad-NAME, those of a newer daemon to .later-NAME, from where that takes them back; both are
 * logged, and otherwise ignored. Those of an earlier boot are removed.
 * Return: how many were set aside; negative: the directory cannot be read.
 */
int state_each(const struct state *st, enum state_kind kind,
	       bool (*fn)(void *arg, const char *name, Xskd__StateFile *file),
	       void *arg) must_check;

#endif
