// SPDX-License-Identifier: Apache-2.0
#include "pin.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "log.h"

/*
 * No dot, for the kernel keeps those names for itself; beside the others, for a first Landlock lets
 * nothing move between directories.
 */
#define POOL_PREFIX "pool-"

/* In the order in which they are taken away. */
static const char *const names[] = { "link", "counters", "map", "prog" };

/* For the directory itself @what is "": a slash at its end does no harm. */
static int path_in(char *buf, const char *bpf_dir, const char *prefix, uint32_t id,
		   const char *what)
{
	int n = snprintf(buf, PATH_MAX, "%s/programs/%s%u/%s", bpf_dir, prefix, id, what);

	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int path_of(char *buf, const char *bpf_dir, uint32_t id, const char *what)
{
	return path_in(buf, bpf_dir, "", id, what);
}

static bool on_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == BPF_FS_MAGIC;
}

static int make_dir(const char *path)
{
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/*
 * /sys is no place for mkdir(2), so a bpffs is mounted over the parent of the directory there, as
 * every BPF tool does; elsewhere over the directory itself.
 */
static int mount_bpffs(const char *bpf_dir, struct fault *fault)
{
	char target[PATH_MAX];
	char *slash;

	snprintf(target, sizeof(target), "%s", bpf_dir);
	slash = strrchr(target, '/');
	if (!strncmp(bpf_dir, "/sys/fs/bpf/", 12) && slash)
		snprintf(target, sizeof(target), "/sys/fs/bpf");
	else if (make_dir(target) < 0)
		return fault_sys(fault, errno, "cannot make %s", target);
	if (mount("bpf", target, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return fault_sys(fault, errno,
				 "cannot mount a bpffs on %s: mount one there yourself, or name a "
				 "directory on one with --bpf-dir",
				 target);
	log_info("mounted a bpffs on %s", target);
	return 0;
}

int pin_mount(const char *bpf_dir, struct fault *fault)
{
	size_t len = strlen(bpf_dir);
	char path[PATH_MAX];
	char *slash;
	int err;

	if (*bpf_dir != '/' || len > PATH_MAX - 64)
		return fault_set(fault, XSKD__CODE__INVALID_ARGUMENT, 0,
				 "--bpf-dir '%s' is no absolute path", bpf_dir);
	memcpy(path, bpf_dir, len + 1);
	slash = strrchr(path, '/');
	*slash = '\0';
	if (!on_bpffs(bpf_dir) && !on_bpffs(path)) {
		err = mount_bpffs(bpf_dir, fault);
		if (err < 0)
			return err;
	}
	err = make_dir(bpf_dir);
	snprintf(path, sizeof(path), "%s/programs", bpf_dir);
	if (!err)
		err = make_dir(path);
	if (err < 0)
		return fault_sys(fault, -err, "cannot make %s", path);
	return 0;
}

int pin_make(const char *bpf_dir, uint32_t id, bool hidden, struct fault *fault)
{
	char path[PATH_MAX];
	int err = path_in(path, bpf_dir, hidden ? POOL_PREFIX : "", id, "");

	if (!err && mkdir(path, 0700) < 0)
		err = -errno;
	return err < 0 ? fault_sys(fault, -err, "cannot make %s", path) : 0;
}

int pin_put(const char *bpf_dir, uint32_t id, bool hidden, const char *what, int fd,
	    struct fault *fault)
{
	char path[PATH_MAX];
	int err = path_in(path, bpf_dir, hidden ? POOL_PREFIX : "", id, what);

	if (!err && bpf_obj_pin(fd, path) < 0)
		err = -errno;
	return err < 0 ? fault_sys(fault, -err, "cannot pin %s", path) : 0;
}

int pin_get(const char *bpf_dir, uint32_t id, const char *what)
{
	char path[PATH_MAX];
	int err = path_of(path, bpf_dir, id, what);
	int fd = err ? err : bpf_obj_get(path);

	return fd < 0 && !err ? -errno : fd;
}

static int drop(const char *bpf_dir, const char *prefix, uint32_t id, const char *what)
{
	char path[PATH_MAX];
	int err = path_in(path, bpf_dir, prefix, id, what);

	return !err && unlink(path) < 0 && errno != ENOENT ? -errno : err;
}

int pin_drop(const char *bpf_dir, uint32_t id, const char *what)
{
	return drop(bpf_dir, "", id, what);
}

int pin_remove(const char *bpf_dir, uint32_t id, bool hidden)
{
	const char *prefix = hidden ? POOL_PREFIX : "";
	char path[PATH_MAX];
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names) && !err; i++)
		err = drop(bpf_dir, prefix, id, names[i]);
	if (!err)
		err = path_in(path, bpf_dir, prefix, id, "");
	if (!err && rmdir(path) < 0 && errno != ENOENT)
		err = -errno;
	return err;
}

int pin_hide(const char *bpf_dir, uint32_t id, bool hide)
{
	char shown[PATH_MAX], hidden[PATH_MAX];
	int err = path_of(shown, bpf_dir, id, "");

	if (!err)
		err = path_in(hidden, bpf_dir, POOL_PREFIX, id, "");
	if (err < 0)
		return err;
	shown[strlen(shown) - 1] = hidden[strlen(hidden) - 1] = '\0';
	return (hide ? rename(shown, hidden) : rename(hidden, shown)) < 0 ? -errno : 0;
}

/* @hidden: those that wait, else the others. */
static int each(const char *bpf_dir, bool hidden, void (*fn)(void *arg, uint32_t id), void *arg)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/programs", bpf_dir);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		size_t skip = hidden ? strlen(POOL_PREFIX) : 0;
		char *end;
		unsigned long id;

		if (strncmp(entry->d_name, POOL_PREFIX, skip) != 0)
			continue;
		id = strtoul(entry->d_name + skip, &end, 10);
		if (id && id <= UINT32_MAX && !*end)
			fn(arg, (uint32_t)id);
	}
	closedir(dir);
	return 0;
}

int pin_each(const char *bpf_dir, void (*fn)(void *arg, uint32_t id), void *arg)
{
	return each(bpf_dir, false, fn, arg);
}

static void remove_hidden(void *arg, uint32_t id)
{
	const char *bpf_dir = arg;

	if (pin_remove(bpf_dir, id, true) < 0)
		log_warning("cannot remove the pins of program %u, which waited in the pool of an "
			    "earlier daemon, ignoring them",
			    id);
}

int pin_remove_hidden(const char *bpf_dir)
{
	return each(bpf_dir, true, remove_hidden, (void *)(uintptr_t)bpf_dir);
}
