// SPDX-License-Identifier: Apache-2.0
#include "state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "log.h"

#define STATE_VERSION  1
#define STATE_FILE_MAX (256 * 1024)
#define SAID_MAX       10 /* of one kind: so many bad files are named in the log */

#define STARTS "starts" /* beside the kinds' directories */

/* What files are called that are no state, yet or any more. */
#define NEW   ".new-"   /* being written */
#define BAD   ".bad-"   /* damaged, or somebody else's */
#define LATER ".later-" /* of a newer daemon, for it */

static const char *const kind_name[] = {
	[STATE_PROGRAMS] = "programs",
	[STATE_LEASES] = "leases",
	[STATE_SOCKETS] = "sockets",
};

static int aside_name(char out[NAME_MAX + 1], const char *prefix, const char *name)
{
	int n = snprintf(out, NAME_MAX + 1, "%s%s", prefix, name);

	return n <= NAME_MAX ? 0 : -ENAMETOOLONG;
}

static int try_dir(int parent, const char *name)
{
	int fd;

	if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Whatever else is there in its place, a file or a link to somewhere, is nobody's state. */
static int open_dir(int parent, const char *name)
{
	int fd = try_dir(parent, name);
	char bad[NAME_MAX + 1];

	if ((fd != -ENOTDIR && fd != -ELOOP) || aside_name(bad, BAD, name) < 0)
		return fd;
	log_warning("'%s' is no directory: set aside as '%s', and made anew", name, bad);
	if (renameat(parent, name, parent, bad) < 0)
		return -errno;
	return try_dir(parent, name);
}

static int read_boot_id(char *out, size_t size)
{
	cleanup(close_fdp) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

	if (n <= 0)
		return errno ? -errno : -EIO;
	out[n] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return 0;
}

static int write_all(int fd, const uint8_t *buf, size_t len)
{
	while (len) {
		ssize_t n = write(fd, buf, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			buf += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/*
 * No fsync: the directory is a tmpfs, and what matters is a crash of this process, not of the node.
 */
static int write_renamed(int dir, const char *name, const uint8_t *buf, size_t len)
{
	char aside[NAME_MAX + 1];
	int err;

	err = aside_name(aside, NEW, name);
	if (err < 0)
		return err;

	cleanup(close_fdp) int fd =
		openat(dir, aside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	err = write_all(fd, buf, len);
	if (!err && renameat(dir, aside, dir, name) < 0)
		err = -errno;
	if (err < 0)
		(void)unlinkat(dir, aside, 0); /* the next write truncates it anyway */
	return err;
}

/*
 * A number as text. What cannot be read counts from one again, as it does after a reboot, which has
 * emptied the directory: a rate takes either for what it is.
 */
static uint64_t count_start(int top)
{
	cleanup(close_fdp) int fd =
		openat(top, STARTS, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char text[24] = "";
	uint64_t starts;
	int len, err;

	if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	starts = strtoull(text, NULL, 10) + 1;
	len = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)starts);
	err = write_renamed(top, STARTS, (const uint8_t *)text, (size_t)len);
	if (err < 0)
		log_warning("cannot count this start in state/" STARTS " (%s), ignoring it",
			    strerrordesc_np(-err));
	return starts;
}

int state_open(struct state *st, const char *run_dir, struct fault *fault)
{
	cleanup(close_fdp) int run = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup(close_fdp) int top = run < 0 ? -errno : open_dir(run, "state");
	int err;

	if (top < 0)
		return fault_sys(fault, -top, "cannot open %s/state", run_dir);
	st->version = STATE_VERSION;
	err = read_boot_id(st->boot_id, sizeof(st->boot_id));
	if (err < 0)
		return fault_sys(fault, -err, "cannot read the kernel's boot id");
	for (size_t i = 0; i < STATE_KINDS; i++) {
		st->dir[i] = open_dir(top, kind_name[i]);
		if (st->dir[i] < 0)
			return fault_sys(fault, -st->dir[i], "cannot open %s/state/%s", run_dir,
					 kind_name[i]);
	}
	st->starts = count_start(top);
	return 0;
}

void state_done(struct state *st)
{
	for (size_t i = 0; i < STATE_KINDS; i++) {
		close_fdp(&st->dir[i]);
		st->dir[i] = -1;
	}
}

int state_write(const struct state *st, enum state_kind kind, const char *name,
		Xskd__StateFile *file, struct fault *fault)
{
	cleanup(freep) uint8_t *buf = NULL;
	char boot_id[sizeof(st->boot_id)];
	uint32_t crc;
	size_t len;
	int err;

	memcpy(boot_id, st->boot_id, sizeof(boot_id));
	file->version = st->version;
	file->boot_id = boot_id;
	len = xskd__state_file__get_packed_size(file);
	buf = malloc(sizeof(crc) + len);
	if (!buf)
		return fault_sys(fault, ENOMEM, "cannot write state file '%s'", name);
	xskd__state_file__pack(file, buf + sizeof(crc));
	crc = (uint32_t)crc32(0, buf + sizeof(crc), (uInt)len);
	memcpy(buf, &crc, sizeof(crc));
	err = write_renamed(st->dir[kind], name, buf, sizeof(crc) + len);
	if (err < 0)
		return fault_sys(fault, -err, "cannot write state file '%s/%s'", kind_name[kind],
				 name);
	return 0;
}

/* With what a newer daemon wrote of the same: it would come back with that one. */
int state_remove(const struct state *st, enum state_kind kind, const char *name)
{
	char later[NAME_MAX + 1];

	if (unlinkat(st->dir[kind], name, 0) < 0 && errno != ENOENT)
		return -errno;
	if (aside_name(later, LATER, name) == 0)
		(void)unlinkat(st->dir[kind], later, 0);
	return 0;
}

static int is_later(const struct dirent *entry)
{
	return !strncmp(entry->d_name, LATER, strlen(LATER));
}

bool state_is_later(const struct state *st, enum state_kind kind, const char *name)
{
	char later[NAME_MAX + 1];

	return aside_name(later, LATER, name) == 0 &&
	       faccessat(st->dir[kind], later, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int state_remove_all(const struct state *st, enum state_kind kind, const char *prefix)
{
	struct dirent **entries;
	int n = scandirat(st->dir[kind], ".", &entries, NULL, NULL), err = 0;

	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		int removed = strncmp(entries[i]->d_name, prefix, strlen(prefix))
				      ? 0
				      : state_remove(st, kind, entries[i]->d_name);

		err = err ? err : removed;
		free(entries[i]);
	}
	free(entries);
	return err;
}

bool state_has_later(const struct state *st, enum state_kind kind)
{
	struct dirent **entries;
	int n = scandirat(st->dir[kind], ".", &entries, is_later, NULL);

	for (int i = 0; i < n; i++)
		free(entries[i]);
	if (n >= 0)
		free(entries);
	return n > 0;
}

/* ---- reading ---- */

struct reading {
	const struct state *st;
	enum state_kind kind;
	bool (*fn)(void *arg, const char *name, Xskd__StateFile *file);
	void *arg;
	int bad; /* were set aside */
};

static void *unpack_alloc(void *lacks, size_t size)
{
	void *p = malloc(size);

	*(bool *)lacks |= !p;
	return p;
}

static void unpack_free(void *lacks, void *p)
{
	(void)lacks;
	free(p);
}

/*
 * @out: NULL, it is damaged. Return: 0; or a negative errno: what the machine lacks just now says
 * nothing about the file.
 */
static int read_file(int dir, const char *name, Xskd__StateFile **out)
{
	/* O_NONBLOCK: it might be a fifo, whose open would wait for a writer. */
	cleanup(close_fdp) int fd =
		openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	cleanup(freep) uint8_t *buf = NULL;
	bool lacks = false;
	ProtobufCAllocator allocator = { unpack_alloc, unpack_free, &lacks };
	struct stat stat;
	uint32_t crc;
	size_t size;

	*out = NULL;
	if (fd < 0)
		return fault_is_shortage(-errno) ? -errno : 0;
	if (fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode))
		return 0;
	if (stat.st_size <= (off_t)sizeof(crc) || stat.st_size > STATE_FILE_MAX)
		return 0;
	size = (size_t)stat.st_size;
	buf = malloc(size);
	if (!buf)
		return -ENOMEM;
	if (read(fd, buf, size) != stat.st_size)
		return 0;
	memcpy(&crc, buf, sizeof(crc));
	if (crc != crc32(0, buf + sizeof(crc), (uInt)(size - sizeof(crc))))
		return 0;
	*out = xskd__state_file__unpack(&allocator, size - sizeof(crc), buf + sizeof(crc));
	return lacks ? -ENOMEM : 0;
}

/* Each of them is set aside, but there may be a hundred thousand, and the log has to be read. */
static void set_aside(struct reading *r, const char *prefix, const char *name, const char *why)
{
	int dir = r->st->dir[r->kind];
	char aside[NAME_MAX + 1];

	if (r->bad++ < SAID_MAX)
		log_warning("state file '%s/%s' %s: set aside as '%s%s', ignoring it",
			    kind_name[r->kind], name, why, prefix, name);
	if (aside_name(aside, prefix, name) < 0 || renameat(dir, name, dir, aside) < 0)
		(void)unlinkat(dir, name, 0); /* or it would be reported at every start */
}

static int load(struct reading *r, const char *name)
{
	const struct state *st = r->st;
	Xskd__StateFile *file;
	int err = read_file(st->dir[r->kind], name, &file);

	if (err < 0)
		return err;
	if (!file || !file->version)
		set_aside(r, BAD, name, "is damaged");
	else if (strcmp(file->boot_id, st->boot_id) != 0)
		(void)unlinkat(st->dir[r->kind], name, 0); /* best effort: it is refused again */
	else if (file->version > st->version)
		set_aside(r, LATER, name, "is of a newer xskd, which will take it back");
	else if (!r->fn(r->arg, name, file))
		set_aside(r, BAD, name, "is not what its name says");
	if (file)
		xskd__state_file__free_unpacked(file, NULL);
	return 0;
}

/* What an older daemon has set aside and this one knows, unless it was written anew meanwhile. */
static int load_later(struct reading *r, const char *later)
{
	const struct state *st = r->st;
	const char *name = later + strlen(LATER);
	int dir = st->dir[r->kind];
	Xskd__StateFile *file;
	int err = read_file(dir, later, &file);
	bool current = file && !strcmp(file->boot_id, st->boot_id);
	bool known = current && file->version <= st->version;

	if (err < 0)
		return err;
	if (file)
		xskd__state_file__free_unpacked(file, NULL);
	if (current && !known)
		return 0; /* it still waits for its daemon */
	if (known && *name && renameat2(dir, later, dir, name, RENAME_NOREPLACE) == 0) {
		log_info("took state file '%s/%s' back", kind_name[r->kind], name);
		return load(r, name);
	}
	log_info(
		"state file '%s/%s' was written anew, or damaged, since it was set aside: removing it",
		kind_name[r->kind], later);
	(void)unlinkat(dir, later, 0);
	return 0;
}

/* Its writer was killed: never valid. A directory of that name was nobody's of us. */
static void remove_new(struct reading *r, const char *name)
{
	int dir = r->st->dir[r->kind];

	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		set_aside(r, BAD, name, "is no file");
}

int state_each(const struct state *st, enum state_kind kind,
	       bool (*fn)(void *arg, const char *name, Xskd__StateFile *file), void *arg)
{
	struct reading r = { .st = st, .kind = kind, .fn = fn, .arg = arg };
	struct dirent **entries;
	/* In the order of their names, so that a restart always finds the same. */
	int n = scandirat(st->dir[kind], ".", &entries, NULL, alphasort), err = 0;

	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;

		if (!err && !strncmp(name, NEW, strlen(NEW)))
			remove_new(&r, name);
		else if (!err && !strncmp(name, LATER, strlen(LATER)))
			err = load_later(&r, name);
		else if (!err && name[0] != '.')
			err = load(&r, name);
		free(entries[i]);
	}
	free(entries);
	if (r.bad > SAID_MAX)
		log_warning("%d more files in '%s' were set aside", r.bad - SAID_MAX,
			    kind_name[kind]);
	return err ? err : r.bad;
}
