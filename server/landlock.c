// SPDX-License-Identifier: Apache-2.0
#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* linux/landlock.h of Debian 12 ends at version 2. */
#define FS_TRUNCATE     (1ULL << 14) /* 3 */
#define FS_IOCTL_DEV    (1ULL << 15) /* 5 */
#define NET_CONNECT_TCP (1ULL << 1)  /* 4 */
#define SCOPE_ABSTRACT  (1ULL << 0)  /* 6 */

struct ruleset {
	__u64 fs, net, scoped;
};

static const __u64 reads = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const __u64 writes = LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE |
			    LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |
			    LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE |
			    LANDLOCK_ACCESS_FS_REMOVE_DIR;
static const __u64 of_files = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
			      LANDLOCK_ACCESS_FS_EXECUTE | FS_TRUNCATE;

/*
 * What is handled is forbidden unless a rule allows it. Signals are left to the filter of system
 * calls: Landlock would also keep back the one that ends the gate when the daemon dies.
 */
static struct ruleset all_of(int abi, bool abstract)
{
	struct ruleset r = { .fs = LANDLOCK_ACCESS_FS_REFER - 1 };

	if (abi >= 2)
		r.fs |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		r.fs |= FS_TRUNCATE;
	if (abi >= 4)
		r.net = NET_CONNECT_TCP;
	if (abi >= 5)
		r.fs |= FS_IOCTL_DEV;
	if (abi >= 6)
		r.scoped = abstract ? 0U : SCOPE_ABSTRACT;
	return r;
}

static int add(int ruleset, const struct landlock_rule *rule, __u64 handled)
{
	cleanup(close_fdp) int fd = open(rule->path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr attr = { .parent_fd = fd, .allowed_access = reads };
	struct stat stat;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &stat) < 0)
		return -errno;
	if (rule->may == LANDLOCK_WRITE)
		attr.allowed_access |= writes;
	if (rule->may == LANDLOCK_RUN)
		attr.allowed_access |= LANDLOCK_ACCESS_FS_EXECUTE;
	if (!S_ISDIR(stat.st_mode))
		attr.allowed_access &= of_files;
	attr.allowed_access &= handled;
	return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &attr, 0) < 0
		       ? -errno
		       : 0;
}

int landlock_enter(const struct landlock_rule *rules, size_t n, bool abstract)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset all = all_of((int)abi, abstract);
	/* An older kernel refuses what is behind the part that it knows, unless it is zero. */
	cleanup(close_fdp) int ruleset =
		abi <= 0 ? -1 : (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
	int err = 0;

	if (abi <= 0) /* not built, not turned on, or kept back by a container's filter */
		return 0;
	if (ruleset < 0)
		return -errno;
	for (size_t i = 0; i < n && !err; i++)
		err = add(ruleset, &rules[i], all.fs);
	if (!err && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		err = -errno;
	return err ? err : (int)abi;
}
