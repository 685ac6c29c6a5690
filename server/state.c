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

static const char *const kind_name[] = {
	[STATE_PROGRAMS] = "programs",
	[STATE_LEASES] = "leases",
};

static int open_dir(int parent, const char *name)
{
	int fd;

	if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
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

int state_open(struct state *st, const char *run_dir, struct fault *fault)
{
	cleanup(close_fdp) int run = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup(close_fdp) int top = run < 0 ? -errno : open_dir(run, "state");
	int err;

	if (top < 0)
		return fault_sys(fault, -top, "cannot open %s/state", run_dir);
	err = read_boot_id(st->boot_id, sizeof(st->boot_id));
	if (err < 0)
		return fault_sys(fault, -err, "cannot read the kernel's boot id");
	for (size_t i = 0; i < STATE_KINDS; i++) {
		st->dir[i] = open_dir(top, kind_name[i]);
		if (st->dir[i] < 0)
			return fault_sys(fault, -st->dir[i], "cannot open %s/state/%s", run_dir,
					 kind_name[i]);
	}
	return 0;
}

void state_done(struct state *st)
{
	for (size_t i = 0; i < STATE_KINDS; i++) {
		close_fdp(&st->dir[i]);
		st->dir[i] = -1;
	}
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

	if ((size_t)snprintf(aside, sizeof(aside), ".new-%s", name) >= sizeof(aside))
		return -ENAMETOOLONG;

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

int state_write(const struct state *st, enum state_kind kind, const char *name,
		Xskd__StateFile *file, struct fault *fault)
{
	cleanup(freep) uint8_t *buf = NULL;
	char boot_id[sizeof(st->boot_id)];
	uint32_t crc;
	size_t len;
	int err;

	memcpy(boot_id, st->boot_id, sizeof(boot_id));
	file->version = STATE_VERSION;
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

int state_remove(const struct state *st, enum state_kind kind, const char *name)
{
	return unlinkat(st->dir[kind], name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static Xskd__StateFile *read_file(int dir, const char *name)
{
	/* O_NONBLOCK: it might be a fifo, whose open would wait for a writer. */
	cleanup(close_fdp) int fd =
		openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	cleanup(freep) uint8_t *buf = NULL;
	struct stat stat;
	uint32_t crc;
	size_t size;

	if (fd < 0 || fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode))
		return NULL;
	if (stat.st_size <= (off_t)sizeof(crc) || stat.st_size > STATE_FILE_MAX)
		return NULL;
	size = (size_t)stat.st_size;
	buf = malloc(size);
	if (!buf || read(fd, buf, size) != stat.st_size)
		return NULL;
	memcpy(&crc, buf, sizeof(crc));
	if (crc != crc32(0, buf + sizeof(crc), (uInt)(size - sizeof(crc))))
		return NULL;
	return xskd__state_file__unpack(NULL, size - sizeof(crc), buf + sizeof(crc));
}

/* Return: 1, to be counted. */
static int set_aside(int dir, const char *name, const char *why)
{
	char bad[NAME_MAX + 1];

	log_warning("state file '%s' %s: set aside as '.bad-%s', ignoring it", name, why, name);
	if ((size_t)snprintf(bad, sizeof(bad), ".bad-%s", name) >= sizeof(bad) ||
	    renameat(dir, name, dir, bad) < 0)
		(void)unlinkat(dir, name, 0); /* or it would be reported at every start */
	return 1;
}

/* Return: how many were set aside. */
static int load(const struct state *st, int dir, const char *name,
		void (*fn)(void *arg, const char *name, Xskd__StateFile *file), void *arg)
{
	Xskd__StateFile *file = read_file(dir, name);
	int bad = 0;

	if (!file)
		return set_aside(dir, name, "is damaged");
	if (file->version != STATE_VERSION)
		bad = set_aside(dir, name, "has a version that this daemon does not know");
	else if (strcmp(file->boot_id, st->boot_id) != 0)
		(void)unlinkat(dir, name, 0); /* best effort: it will be refused again next time */
	else
		fn(arg, name, file);
	xskd__state_file__free_unpacked(file, NULL);
	return bad;
}

int state_each(const struct state *st, enum state_kind kind,
	       void (*fn)(void *arg, const char *name, Xskd__StateFile *file), void *arg)
{
	struct dirent **entries;
	/* In the order of their names, so that a restart always finds the same. */
	int n = scandirat(st->dir[kind], ".", &entries, NULL, alphasort), bad = 0;

	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;

		if (!strncmp(name, ".new-", 5))
			(void)unlinkat(st->dir[kind], name,
				       0); /* its writer was killed: never valid */
		else if (name[0] != '.')
			bad += load(st, st->dir[kind], name, fn, arg);
		free(entries[i]);
	}
	free(entries);
	return bad;
}
