/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the plugin remembers of an attachment: how the device was before, and what has been done to
 * it since. Written before each change, so that whoever comes next (DEL, GC, or any later run) can
 * take back what a killed one left: taking back looks at what is there and repeats safely.
 *
 * SOCKETDIR/cni/CONTAINER@IFNAME          attached; its DEL will come
 * SOCKETDIR/cni/pending/CONTAINER@IFNAME  an ADD that has not ended, or a DEL that could not finish
 * SOCKETDIR/cni/lock/...                  held while somebody works on an attachment or a device
 *
 * All of it goes with a reboot, as what it tells of does.
 */
#ifndef CNI_JOURNAL_H
#define CNI_JOURNAL_H

#include "conf.h"

enum journal_place {
	JOURNAL_ATTACHED,
	JOURNAL_PENDING,
	JOURNAL_LOCK,
	JOURNAL_PLACES,
};

/* The directories. */
struct journals {
	int dir[JOURNAL_PLACES];
	char boot_id[40];
};

#define JOURNALS_INIT ((struct journals){ .dir = { -1, -1, -1 } })

/* journals_open() - below @socket_dir, made where they are missing. */
int journals_open(struct journals *journals, const char *socket_dir, struct fail *fail) must_check;
void journals_done(struct journals *journals);

/* A lock that somebody holds; it ends with the process, too. */
struct held {
	char name[ENV_CONTAINER_MAX + IFNAMSIZ + 2];
	int dir, fd; /* fd -1: not held */
};

#define HELD_NONE ((struct held){ .fd = -1 })

/* journals_claim() - hold @device: whoever takes it or gives it back does, one after another. */
int journals_claim(const struct journals *journals, const char *device, struct held *held,
		   struct fail *fail) must_check;

/* held_drop() - no error if it is not held. */
void held_drop(struct held *held);

/* journals_each() - names at a place, until @fn answers true. */
int journals_each(const struct journals *journals, enum journal_place place,
		  bool (*fn)(void *arg, const char *name), void *arg) must_check;

/* journals_tidy() - remove what runs that were killed while writing have left. */
int journals_tidy(struct journals *journals) must_check;

/* journal_peek() - the record with that name, as it is now; NULL: there is none. */
json_t *journal_peek(const struct journals *journals, enum journal_place place,
		     const char *name) must_check;

struct journal {
	const struct journals *all;
	char name[ENV_CONTAINER_MAX + IFNAMSIZ + 2];
	json_t *json; /* the record; NULL: there is none */
	enum journal_place place;
	struct held held;
};

#define JOURNAL_INIT ((struct journal){ .held = { .fd = -1 } })

/*
 * journal_open() - take the lock of this attachment and read its record, if there is one. One that
 * is damaged, or of an earlier boot, is told in the log and removed.
 * @wait: for whoever has the lock; else -1 with fail->code FAIL_TRY_AGAIN.
 */
int journal_open(struct journal *j, const struct journals *all, const char *container,
		 const char *ifname, bool wait, struct fail *fail) must_check;

/* journal_open_name() - likewise, by a name that journals_each() gave. */
int journal_open_name(struct journal *j, const struct journals *all, const char *name, bool wait,
		      struct fail *fail) must_check;

/* journal_begin() - a new record of this attachment, pending; in memory until journal_write(). */
int journal_begin(struct journal *j, const struct env *env, const struct conf *conf,
		  struct fail *fail) must_check;

/* journal_write() - have the record on disk, at its place. */
int journal_write(struct journal *j, struct fail *fail) must_check;

/* journal_move() - rename it to another place. */
int journal_move(struct journal *j, enum journal_place place, struct fail *fail) must_check;

/* journal_remove() - the end of the record. */
void journal_remove(struct journal *j);

/* journal_done() - give the lock back. */
void journal_done(struct journal *j);

/* journal_key() - split a name; @out_ifname points behind the container in @out_container. */
bool journal_key(const char *name, char out_container[ENV_CONTAINER_MAX + IFNAMSIZ + 2],
		 const char **out_ifname);

/* Values of the record: "" and 0 where there is none. */
const char *journal_text(const struct journal *j, const char *key);
uint64_t journal_number(const struct journal *j, const char *key);

/* journal_set() - takes over @value; NULL, for want of memory, is an error. */
int journal_set(struct journal *j, const char *key, json_t *value, struct fail *fail) must_check;

/* journal_note() - journal_set() and journal_write(). */
int journal_note(struct journal *j, const char *key, json_t *value, struct fail *fail) must_check;

#endif
