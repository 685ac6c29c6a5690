// SPDX-License-Identifier: Apache-2.0
/* The run directory: who may reach which socket, and what killed daemons have left. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "doctor.h"

#define ASIDE_SECONDS 60 /* a file that is being written is older than that by no means */

static const struct {
	const char *name;
	mode_t type, mode;
	const char *wider, *narrower; /* what a mode with more, or with less, comes to */
} paths[] = {
	{ "", S_IFDIR, 0755, "others may replace the sockets", "pods cannot reach their socket" },
	{ "pod", S_IFDIR, 0755, "others may replace the socket", "pods cannot reach their socket" },
	{ "pod/xskd.sock", S_IFSOCK, 0666, "", "pods that are not root cannot connect" },
	{ "admin", S_IFDIR, 0700, "other users may reach the admin socket",
	  "administrators cannot reach their socket" },
	{ "admin/xskd.sock", S_IFSOCK, 0600,
	  "other users may control the node, were it not for the directory",
	  "administrators cannot connect" },
	{ "state", S_IFDIR, 0700, "other users may read which pod has what", "" },
};

static void judge_path(struct doctor *d, size_t i)
{
	char path[PATH_MAX];
	struct stat st;
	mode_t mode;

	snprintf(path, sizeof(path), "%s%s%s", d->run_dir, *paths[i].name ? "/" : "",
		 paths[i].name);
	if (lstat(path, &st) < 0) {
		if (errno != ENOENT)
			doctor_blind(d, "files.mode", path, -errno);
		if (errno != ENOENT || !d->pid) /* without a daemon, there need be none */
			return;
		doctor_find(d, DOCTOR_PROBLEM, "files.mode", path, "is not there");
		doctor_advise(d, "Restart the daemon, which makes it: `systemctl restart xskd`.");
		return;
	}
	mode = st.st_mode & 07777;
	if ((st.st_mode & S_IFMT) != paths[i].type) {
		doctor_find(d, DOCTOR_PROBLEM, "files.mode", path, "is no %s",
			    paths[i].type == S_IFDIR ? "directory" : "socket");
		doctor_advise(d, "Remove it and restart the daemon.");
	} else if (mode != paths[i].mode) {
		doctor_find(d, DOCTOR_PROBLEM, "files.mode", path, "has mode %04o, not %04o: %s",
			    mode, paths[i].mode,
			    mode & ~paths[i].mode ? paths[i].wider : paths[i].narrower);
		doctor_advise(d, "`chmod %04o %s`.", paths[i].mode, path);
	} else if (st.st_uid != 0 && d->pid) {
		doctor_find(d, DOCTOR_NOTE, "files.mode", path, "belongs to uid %u, not to root",
			    st.st_uid);
	} else {
		doctor_find(d, DOCTOR_OK, "files.mode", path, "has mode %04o", mode);
	}
}

/* ---- state files ---- */

static void judge_state_file(struct doctor *d, const char *path, const char *name,
			     unsigned int *strange)
{
	struct stat st;

	if (!strncmp(name, ".bad-", 5)) {
		doctor_find(d, DOCTOR_WARNING, "files.state", path,
			    "was damaged, and set aside: what it told of was taken back");
		doctor_advise(d,
			      "The daemon's log of its start has the reason. If its pod has no "
			      "lease any more, recreate the pod. Then `rm '%s'`.",
			      path);
	} else if (!strncmp(name, ".new-", 5) && lstat(path, &st) == 0 &&
		   st.st_mtime + ASIDE_SECONDS < time(NULL)) {
		doctor_find(d, DOCTOR_NOTE, "files.state", path,
			    "is what a daemon that was killed was writing; it is not used");
		doctor_advise(d, "The next start removes it; or `rm '%s'`.", path);
	} else {
		return;
	}
	++*strange;
}

/* @depth: directories that may be below. */
static void walk_state(struct doctor *d, const char *path, int depth, unsigned int *strange)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	if (!dir) {
		if (errno != ENOENT)
			doctor_blind(d, "files.state", path, -errno);
		return;
	}
	while ((entry = readdir(dir))) {
		char below[PATH_MAX];

		if (snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) >=
		    (int)sizeof(below))
			continue;
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.' && depth > 0)
			walk_state(d, below, depth - 1, strange);
		else if (entry->d_type != DT_DIR)
			judge_state_file(d, below, entry->d_name, strange);
	}
	closedir(dir);
}

void doctor_paths(struct doctor *d)
{
	char path[PATH_MAX];
	unsigned int strange = 0;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		judge_path(d, i);
	snprintf(path, sizeof(path), "%s/state", d->run_dir);
	walk_state(d, path, 1, &strange);
	if (!strange && access(path, R_OK) == 0)
		doctor_find(d, DOCTOR_OK, "files.state", path, "has no damaged file");
}
