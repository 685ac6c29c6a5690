// SPDX-License-Identifier: Apache-2.0
/* The bpffs, and the programs that are pinned in it: those that the daemon knows, and others. */
#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include "doctor.h"

#define BPF_DIR "/sys/fs/bpf/xskd" /* the daemon's default */

#define STRANGERS_MAX 64 /* more are counted, not named */

struct pins {
	struct doctor *d;
	char at[PATH_MAX]; /* where bpf_dir can be looked at: the daemon may see other mounts */
	uint32_t strangers[STRANGERS_MAX];
	size_t n_strangers, n;
};

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == BPF_FS_MAGIC;
}

/*
 * Where they are is the daemon's to know: it keeps the directory open, for its lock. Whatever named
 * it, a flag or a file, this is the one that counts.
 */
static bool find_open(struct doctor *d)
{
	char path[64];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)d->pid);
	dir = d->pid ? opendir(path) : NULL;
	while (dir && !found && (entry = readdir(dir))) {
		char fd[128];
		struct stat st;
		ssize_t n;

		snprintf(fd, sizeof(fd), "%s/%.16s", path, entry->d_name);
		if (stat(fd, &st) < 0 || !S_ISDIR(st.st_mode) || !is_bpffs(fd))
			continue;
		n = readlink(fd, d->bpf_dir, sizeof(d->bpf_dir) / 2);
		found = n > 0 && d->bpf_dir[0] == '/';
		d->bpf_dir[n > 0 ? n : 0] = '\0';
	}
	if (dir)
		closedir(dir);
	return found;
}

static bool other_mounts(const struct doctor *d)
{
	char path[64];
	struct stat own, theirs;

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)d->pid);
	return d->pid && stat(path, &theirs) == 0 && stat("/proc/self/ns/mnt", &own) == 0 &&
	       own.st_ino != theirs.st_ino;
}

/* Programs outlive the daemon only where its bpffs does. */
static void judge_mount(struct pins *p, bool others)
{
	struct doctor *d = p->d;
	struct stat here, there;

	if (!is_bpffs(p->at)) {
		doctor_find(d, d->pid ? DOCTOR_PROBLEM : DOCTOR_WARNING, "bpffs.mount", d->bpf_dir,
			    "is not on a bpffs, so programs cannot be pinned there");
		doctor_advise(d,
			      "`mount -t bpf bpf %s`, and at boot; then restart the daemon, which "
			      "tries the same.",
			      strncmp(d->bpf_dir, "/sys/fs/bpf/", 12) ? d->bpf_dir : "/sys/fs/bpf");
	} else if (others && stat(p->at, &there) == 0 &&
		   (stat(d->bpf_dir, &here) < 0 || here.st_dev != there.st_dev)) {
		doctor_find(d, DOCTOR_WARNING, "bpffs.mount", d->bpf_dir,
			    "is another file system for the daemon than for the node: programs go "
			    "when its mounts do");
		doctor_advise(d, "Mount a bpffs on the node and pass that in: in a container with "
				 "mountPropagation: Bidirectional or HostToContainer, as the "
				 "DaemonSet does.");
	} else {
		doctor_find(d, DOCTOR_OK, "bpffs.mount", d->bpf_dir, "is on a bpffs");
	}
}

/* ---- pins ---- */

static bool has(const struct pins *p, uint32_t id, const char *what)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/programs/%u/%s", p->at, id, what);
	return access(path, F_OK) == 0;
}

static bool is_whole(const struct pins *p, uint32_t id)
{
	return has(p, id, "prog") && has(p, id, "map") && has(p, id, "link");
}

static int look_at_pins(struct pins *p)
{
	char path[PATH_MAX + 32];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/programs", p->at);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(dir))) {
		uint32_t id = (uint32_t)strtoul(entry->d_name, NULL, 10);

		if (!id)
			continue;
		p->n++;
		if (!doctor_program(p->d, id) && p->n_strangers < STRANGERS_MAX)
			p->strangers[p->n_strangers++] = id;
	}
	closedir(dir);
	return 0;
}

/* What is being loaded is pinned before it is listed, and the other way round. */
static bool has_settled(struct pins *p)
{
	struct xskd_program *again = NULL;
	size_t n = 0;

	nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
	if (xskd_list_programs(p->d->ctl->x, &again, &n) < 0)
		return false;
	xskd_free(p->d->programs);
	p->d->programs = again;
	p->d->n_programs = n;
	return true;
}

static void say_stranger(struct pins *p, uint32_t id)
{
	struct doctor *d = p->d;
	char path[PATH_MAX];
	bool attached = has(p, id, "link");

	snprintf(path, sizeof(path), "%.*s/programs/%u", PATH_MAX / 2, d->bpf_dir, id);
	doctor_find(d, DOCTOR_WARNING, "bpffs.stale", path, "%s, and the daemon does not know it",
		    is_whole(p, id) ? "is a pinned program"
		    : attached      ? "is a part of a pinned program"
				    : "is what a load that was killed has left");
	doctor_advise(d, "`rm -r %s`%s; or restart the daemon, which tidies up.", path,
		      attached ? " detaches it" : "");
}

static void judge_pins(struct pins *p)
{
	struct doctor *d = p->d;
	int err = look_at_pins(p);
	unsigned int bad = 0;

	if (err < 0) {
		doctor_blind(d, "bpffs.stale", d->bpf_dir, err);
		return;
	}
	if (!d->asked) {
		doctor_find(d, p->n ? DOCTOR_NOTE : DOCTOR_OK, "bpffs.stale", d->bpf_dir,
			    "has %zu pinned programs%s", p->n,
			    p->n ? ", which work on and which the next daemon takes up" : "");
		return;
	}
	if (p->n_strangers && !has_settled(p))
		return;
	for (size_t i = 0; i < p->n_strangers; i++) {
		char path[PATH_MAX + 32];

		snprintf(path, sizeof(path), "%s/programs/%u", p->at, p->strangers[i]);
		if (!doctor_program(d, p->strangers[i]) && access(path, F_OK) == 0) {
			say_stranger(p, p->strangers[i]);
			bad++;
		}
	}
	for (size_t i = 0; i < d->n_programs; i++) {
		uint32_t id = d->programs[i].id;

		if (is_whole(p, id))
			continue;
		doctor_find(d, DOCTOR_PROBLEM, "bpffs.lost", d->programs[i].interface,
			    "has program %u, whose pins are not all there: it goes with the daemon",
			    id);
		doctor_advise(
			d,
			"Unload it and load it again: `%s program unload %u`. Pods on it need "
			"new sockets then.",
			d->xskctl, id);
		bad++;
	}
	if (!bad)
		doctor_find(d, DOCTOR_OK, "bpffs.stale", d->bpf_dir,
			    "has %zu pinned programs, all of them the daemon's", p->n);
}

void doctor_pins(struct doctor *d)
{
	struct pins p = { .d = d };
	bool others = other_mounts(d);

	if (!d->bpf_dir_given && !find_open(d))
		strcpy(d->bpf_dir, BPF_DIR);
	if (others)
		snprintf(p.at, sizeof(p.at), "/proc/%d/root%.*s", (int)d->pid, PATH_MAX / 2,
			 d->bpf_dir);
	else
		snprintf(p.at, sizeof(p.at), "%s", d->bpf_dir);
	if (!d->root) {
		doctor_blind(d, "bpffs.mount", d->bpf_dir, -EACCES);
		return;
	}
	judge_mount(&p, others);
	judge_pins(&p);
}
