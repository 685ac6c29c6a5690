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

/* In the order in which they are taken away. */
static const char *const names[] = { "link", "counters", "map", "prog" };

static int path_of(char *buf, const char *bpf_dir, uint32_t id, const char *what)
{
	/* For the directory itself @what is "": a slash at its end does no harm. */
	int n = snprintf(buf, PATH_MAX, "%s/programs/%u/%s", bpf_dir, id, what);

	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
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

int pin_make(const char *bpf_dir, uint32_t id, struct fault *fault)
{
	char path[PATH_MAX];
	int err = path_of(path, bpf_dir, id, "");

	if (!err && mkdir(path, 0700) < 0)
		err = -errno;
	return err < 0 ? fault_sys(fault, -err, "cannot make %s", path) : 0;
}

int pin_put(const char *bpf_dir, uint32_t id, const char *what, int fd, struct fault *fault)
{
	char path[PATH_MAX];
	int err = path_of(path, bpf_dir, id, what);

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

int pin_remove(const char *bpf_dir, uint32_t id)
{
	char path[PATH_MAX];
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		err = path_of(path, bpf_dir, id, names[i]);
		if (err < 0)
			return err;
		if (unlink(path) < 0 && errno != ENOENT)
			return -errno;
	}
	err = path_of(path, bpf_dir, id, "");
	if (!err && rmdir(path) < 0 && errno != ENOENT)
		err = -errno;
	return err;
}

int pin_each(const char *bpf_dir, void (*fn)(void *arg, uint32_t id), void *arg)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/programs", bpf_dir);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		char *end;
		unsigned long id = strtoul(entry->d_name, &end, 10);

		if (id && id <= UINT32_MAX && !*end)
			fn(arg, (uint32_t)id);
	}
	closedir(dir);
	return 0;
}
