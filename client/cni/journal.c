// SPDX-License-Identifier: Apache-2.0
#include "journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "log.h"

#define RECORD_FORMAT 1
#define RECORD_MAX    (2 * CONF_BYTES_MAX)

static const char *const places[JOURNAL_PLACES] = { "", "pending", "lock" };

/* ---- the directories ---- */

static int read_boot_id(char *out, size_t size)
{
	cleanup(close_fdp) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

	if (n < 0)
		return -errno;
	out[n] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return 0;
}

static int open_dir(int at, const char *name)
{
	if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
		return -1;
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int journals_open(struct journals *journals, const char *socket_dir, struct fail *fail)
{
	cleanup(close_fdp) int run = -1;
	int err;

	/* The daemon makes it, but it may never have run. */
	if (mkdir(socket_dir, 0755) < 0 && errno != EEXIST)
		return fail_errno(fail, FAIL_IO, -errno, "cannot make the directory '%s'",
				  socket_dir);
	run = open(socket_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	journals->dir[0] = run < 0 ? -1 : open_dir(run, "cni");
	for (size_t i = 1; i < JOURNAL_PLACES && journals->dir[0] >= 0; i++)
		journals->dir[i] = open_dir(journals->dir[0], places[i]);
	for (size_t i = 0; i < JOURNAL_PLACES; i++) {
		if (journals->dir[i] < 0)
			return fail_errno(fail, FAIL_IO, -errno, "cannot make '%s/cni/%s'",
					  socket_dir, places[i]);
	}
	err = read_boot_id(journals->boot_id, sizeof(journals->boot_id));
	return err < 0 ? fail_errno(fail, FAIL_IO, err, "cannot tell which boot this is") : 0;
}

void journals_done(struct journals *journals)
{
	for (size_t i = 0; i < JOURNAL_PLACES; i++)
		close_fdp(&journals->dir[i]);
	*journals = JOURNALS_INIT;
}

/* ---- locks ---- */

static int lock_once(int dir, const char *name, bool wait)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) < 0) {
		int err = -errno;

		if (err == -EINTR)
			continue;
		close(fd);
		return err;
	}
	return fd;
}

/* The file may have been unlinked by the one who had the lock before: then it locks nothing. */
static int lock_take(const struct journals *all, const char *name, bool wait, struct held *held)
{
	held->dir = all->dir[JOURNAL_LOCK];
	snprintf(held->name, sizeof(held->name), "%s", name);
	for (;;) {
		struct stat ours, named;

		held->fd = lock_once(held->dir, name, wait);
		if (held->fd < 0)
			return held->fd;
		if (fstat(held->fd, &ours) == 0 && fstatat(held->dir, name, &named, 0) == 0 &&
		    ours.st_ino == named.st_ino)
			return 0;
		close(held->fd);
		held->fd = -1;
	}
}

void held_drop(struct held *held)
{
	if (held->fd < 0)
		return;
	unlinkat(held->dir, held->name, 0);
	close(held->fd);
	held->fd = -1;
}

int journals_claim(const struct journals *journals, const char *device, struct held *held,
		   struct fail *fail)
{
	char name[IFNAMSIZ + 1];
	int err;

	snprintf(name, sizeof(name), ".%s", device); /* no container id begins like that */
	err = lock_take(journals, name, true, held);
	return err < 0 ? fail_errno(fail, FAIL_IO, err, "cannot lock device '%s'", device) : 0;
}

static int each(int at, bool hidden, bool (*fn)(void *arg, const char *name), void *arg)
{
	int fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		int err = -errno;

		close_fdp(&fd);
		return err;
	}
	while ((entry = readdir(dir))) {
		if (strchr(entry->d_name, '@') && (entry->d_name[0] == '.') == hidden &&
		    fn(arg, entry->d_name))
			break;
	}
	closedir(dir);
	return 0;
}

int journals_each(const struct journals *journals, enum journal_place place,
		  bool (*fn)(void *arg, const char *name), void *arg)
{
	return each(journals->dir[place], false, fn, arg);
}

/* Whoever wrote it holds the lock, or was killed. */
static bool remove_aside(void *arg, const char *name)
{
	const struct journals *journals = arg;
	struct held held = HELD_NONE;

	if (lock_take(journals, name + 1, false, &held) == 0)
		unlinkat(journals->dir[JOURNAL_PENDING], name, 0);
	held_drop(&held);
	return false;
}

/* Of one that was killed before it had a record; else somebody holds it. */
static bool remove_lock(void *arg, const char *name)
{
	struct held held = HELD_NONE;

	(void)!lock_take(arg, name, false, &held);
	held_drop(&held);
	return false;
}

int journals_tidy(struct journals *journals)
{
	int err = each(journals->dir[JOURNAL_PENDING], true, remove_aside, journals);

	return err ? err : each(journals->dir[JOURNAL_LOCK], false, remove_lock, journals);
}

/* ---- one ---- */

bool journal_key(const char *name, char out_container[ENV_CONTAINER_MAX + IFNAMSIZ + 2],
		 const char **out_ifname)
{
	size_t len = strlen(name);
	char *at;

	if (len >= ENV_CONTAINER_MAX + IFNAMSIZ + 2)
		return false;
	memcpy(out_container, name, len + 1);
	at = strchr(out_container, '@');
	if (!at)
		return false;
	*at = '\0';
	*out_ifname = at + 1;
	return env_is_container(out_container) && env_is_ifname(*out_ifname);
}

json_t *journal_peek(const struct journals *journals, enum journal_place place, const char *name)
{
	cleanup(close_fdp) int fd =
		openat(journals->dir[place], name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	cleanup(freep) char *text = NULL;
	struct stat st;
	ssize_t len;

	/* A record is renamed into its place whole, and never changes there. */
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > RECORD_MAX)
		return NULL;
	text = malloc((size_t)st.st_size + 1);
	len = text ? read(fd, text, (size_t)st.st_size) : -1;
	return len < 0 ? NULL : json_loadb(text, (size_t)len, JSON_REJECT_DUPLICATES, NULL);
}

static void aside_name(const struct journal *j, char out[sizeof(j->name) + 1])
{
	snprintf(out, sizeof(j->name) + 1, ".%s", j->name);
}

static void read_journal(struct journal *j)
{
	const enum journal_place order[] = { JOURNAL_PENDING, JOURNAL_ATTACHED };
	char aside[sizeof(j->name) + 1];

	aside_name(j, aside);
	unlinkat(j->all->dir[JOURNAL_PENDING], aside, 0); /* of one that was killed */
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		j->place = order[i];
		j->json = journal_peek(j->all, order[i], j->name);
		if (j->json && !strcmp(journal_text(j, "bootID"), j->all->boot_id) &&
		    journal_number(j, "format") == RECORD_FORMAT)
			return;
		if (!j->json && faccessat(j->all->dir[order[i]], j->name, F_OK, 0) < 0)
			continue;
		/* The devices that it tells of are not what they were. */
		log_warning("the record of '%s' is damaged or of an earlier boot: ignoring it",
			    j->name);
		json_decref(j->json);
		j->json = NULL;
		unlinkat(j->all->dir[order[i]], j->name, 0);
	}
}

int journal_open_name(struct journal *j, const struct journals *all, const char *name, bool wait,
		      struct fail *fail)
{
	int err;

	*j = JOURNAL_INIT;
	j->all = all;
	snprintf(j->name, sizeof(j->name), "%s", name);
	err = lock_take(all, name, wait, &j->held);
	if (err == -EWOULDBLOCK)
		return fail_set(fail, FAIL_TRY_AGAIN, "somebody else works on '%s'", name);
	if (err < 0)
		return fail_errno(fail, FAIL_IO, err, "cannot lock the record of '%s'", name);
	read_journal(j);
	return 0;
}

int journal_open(struct journal *j, const struct journals *all, const char *container,
		 const char *ifname, bool wait, struct fail *fail)
{
	char name[sizeof(j->name)];

	snprintf(name, sizeof(name), "%s@%s", container, ifname);
	return journal_open_name(j, all, name, wait, fail);
}

int journal_begin(struct journal *j, const struct env *env, const struct conf *conf,
		  struct fail *fail)
{
	json_t *config = json_copy(conf->json);

	/* Of use to ADD alone, and as large as the other plugins like. */
	json_object_del(config, "prevResult");
	j->place = JOURNAL_PENDING;
	j->json = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "format",
			    RECORD_FORMAT, "bootID", j->all->boot_id, "network", conf->name,
			    "container", env->container, "ifname", env->ifname, "netns", env->netns,
			    "path", env->path, "args", env->args, "config", config);
	/* CNI_ARGS and paths are whatever bytes somebody put there. */
	return j->json ? 0
		       : fail_set(
				 fail, FAIL_ENVIRONMENT,
				 "CNI_NETNS, CNI_PATH or CNI_ARGS is no UTF-8, or there is no memory");
}

static int write_whole(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			text += n, len -= (size_t)n;
	}
	return 0;
}

int journal_write(struct journal *j, struct fail *fail)
{
	cleanup(freep) char *text = json_dumps(j->json, JSON_COMPACT);
	char aside[sizeof(j->name) + 1];
	int dir = j->all->dir[JOURNAL_PENDING], err = text ? 0 : -ENOMEM;

	/*
	 * Whoever has the lock is the only one to write, so a fixed name will do: one that a killed
	 * run left is written over, or tidied up.
	 */
	aside_name(j, aside);
	if (!err) {
		cleanup(close_fdp) int fd = openat(
			dir, aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

		err = fd < 0 ? -errno : write_whole(fd, text, strlen(text));
	}
	if (!err && renameat(dir, aside, j->all->dir[j->place], j->name) < 0)
		err = -errno;
	if (err < 0) {
		unlinkat(dir, aside, 0);
		return fail_errno(fail, FAIL_IO, err, "cannot write the record of '%s'", j->name);
	}
	return 0;
}

int journal_move(struct journal *j, enum journal_place place, struct fail *fail)
{
	if (j->place != place &&
	    renameat(j->all->dir[j->place], j->name, j->all->dir[place], j->name) < 0)
		return fail_errno(fail, FAIL_IO, -errno, "cannot move the record of '%s'", j->name);
	j->place = place;
	return 0;
}

void journal_remove(struct journal *j)
{
	if (j->json && unlinkat(j->all->dir[j->place], j->name, 0) < 0 && errno != ENOENT)
		log_warning("cannot remove the record of '%s': %s", j->name,
			    strerrordesc_np(errno));
	json_decref(j->json);
	j->json = NULL;
}

void journal_done(struct journal *j)
{
	held_drop(&j->held);
	json_decref(j->json);
	*j = JOURNAL_INIT;
}

const char *journal_text(const struct journal *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j->json, key));

	return text ? text : "";
}

uint64_t journal_number(const struct journal *j, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(j->json, key));
}

int journal_set(struct journal *j, const char *key, json_t *value, struct fail *fail)
{
	if (!value || json_object_set_new(j->json, key, value) < 0)
		return fail_errno(fail, FAIL_IO, -ENOMEM, "cannot note '%s'", key);
	return 0;
}

int journal_note(struct journal *j, const char *key, json_t *value, struct fail *fail)
{
	return journal_set(j, key, value, fail) < 0 ? -1 : journal_write(j, fail);
}
