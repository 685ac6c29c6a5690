// SPDX-License-Identifier: Apache-2.0
/* The daemon's process, by /proc: its limits, its capabilities, its namespaces. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "doctor.h"

#define SUBJECT "daemon"

/* What the daemon itself keeps; without the rest it does not start, see xskd(8). */
static const struct {
	unsigned int number;
	const char *name, *without;
} wanted[] = {
	{ CAP_BPF, "CAP_BPF", "it can load no program" },
	{ CAP_NET_ADMIN, "CAP_NET_ADMIN", "it can attach no program and enter no lease" },
};

/* Opens below /proc/PID/, or with "" the directory itself. */
static void path_of(const struct doctor *d, const char *name, char out[64])
{
	snprintf(out, 64, "/proc/%d/%s", (int)d->pid, name);
}

/* ---- files ---- */

static long count_fds(const struct doctor *d)
{
	char path[64];
	DIR *dir;
	long n = -2; /* . and .. */

	path_of(d, "fd", path);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

#define FDS_FEW  2048  /* a few hundred pods with their programs */
#define FDS_FULL 17408 /* as many connections as the daemon takes unless told otherwise */

static void judge_files(struct doctor *d, unsigned long long soft, unsigned long long hard)
{
	long open = count_fds(d);

	if (open < 0) {
		doctor_blind(d, "daemon.open-files", SUBJECT, (int)open);
	} else if ((unsigned long long)open * 10 > soft * 8) {
		doctor_find(d, DOCTOR_PROBLEM, "daemon.open-files", SUBJECT,
			    "has %ld of its %llu file descriptors open: soon it turns clients away",
			    open, soft);
		doctor_advise(d,
			      "Raise LimitNOFILE= of the unit, or now `prlimit --pid %d "
			      "--nofile=65536`.",
			      (int)d->pid);
	} else if (soft < FDS_FULL) {
		doctor_find(d, soft < FDS_FEW ? DOCTOR_WARNING : DOCTOR_NOTE, "daemon.open-files",
			    SUBJECT,
			    "may have %llu files open (%llu at most), and has %ld; connections of "
			    "its limits.connections want %d",
			    soft, hard, open, FDS_FULL);
		doctor_advise(d,
			      "Raise LimitNOFILE= of the unit, or now `prlimit --pid %d "
			      "--nofile=65536`; or lower limits.connections.",
			      (int)d->pid);
	} else {
		doctor_find(d, DOCTOR_OK, "daemon.open-files", SUBJECT,
			    "has %ld of %llu file descriptors open", open, soft);
	}
}

/* ---- memory that may be pinned ---- */

static void judge_memlock(struct doctor *d, unsigned long long soft, uint64_t capabilities)
{
	uint64_t umem = d->asked ? d->info.umem_bytes_per_lease : 0;

	if (capabilities & 1ULL << CAP_IPC_LOCK) {
		doctor_find(d, DOCTOR_OK, "daemon.memlock", SUBJECT,
			    "may pin packet memory without a limit of its own");
	} else if (soft == ~0ULL) {
		doctor_find(d, DOCTOR_OK, "daemon.memlock", SUBJECT,
			    "may pin packet memory: RLIMIT_MEMLOCK is unlimited");
	} else {
		doctor_find(d, DOCTOR_PROBLEM, "daemon.memlock", SUBJECT,
			    "may pin %llu KiB of packet memory for all leases together, and one "
			    "lease is allowed %" PRIu64 " KiB",
			    soft / 1024, umem / 1024);
		doctor_advise(d, "Give it CAP_IPC_LOCK, or LimitMEMLOCK=infinity.");
	}
}

/* ---- capabilities ---- */

static void judge_capabilities(struct doctor *d, uint64_t have, uint64_t bound)
{
	unsigned int missing = 0;

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (have & 1ULL << wanted[i].number)
			continue;
		doctor_find(d, DOCTOR_PROBLEM, "daemon.capabilities", SUBJECT, "lacks %s: %s",
			    wanted[i].name, wanted[i].without);
		doctor_advise(d, "Give it: AmbientCapabilities= and CapabilityBoundingSet= of the "
				 "unit, securityContext.capabilities.add of the container.");
		missing++;
	}
	if (missing)
		return;
	doctor_find(d, DOCTOR_OK, "daemon.capabilities", SUBJECT,
		    "has the capabilities that it needs, and %d in all",
		    __builtin_popcountll(have));
	if (__builtin_popcountll(bound) < 20)
		return;
	doctor_find(d, DOCTOR_NOTE, "daemon.privileges", SUBJECT,
		    "could gain %d capabilities: nothing bounds them", __builtin_popcountll(bound));
	doctor_advise(d, "Run it by the unit or the DaemonSet that come with it.");
}

/* ---- reading them ---- */

static int read_limit(const struct doctor *d, const char *name, unsigned long long *out_soft,
		      unsigned long long *out_hard)
{
	char path[64], line[256], soft[32], hard[32];
	size_t len = strlen(name);
	int err = -ENODATA;
	FILE *f;

	path_of(d, "limits", path);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (err && fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, len) != 0 ||
		    sscanf(line + len, " %31s %31s", soft, hard) != 2)
			continue;
		*out_soft = strcmp(soft, "unlimited") ? strtoull(soft, NULL, 10) : ~0ULL;
		*out_hard = strcmp(hard, "unlimited") ? strtoull(hard, NULL, 10) : ~0ULL;
		err = 0;
	}
	fclose(f);
	return err;
}

static int read_capabilities(const struct doctor *d, uint64_t *out_have, uint64_t *out_bound)
{
	char path[64], line[256];
	int found = 0;
	FILE *f;

	path_of(d, "status", path);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		found += sscanf(line, "CapEff: %" SCNx64, out_have) == 1;
		found += sscanf(line, "CapBnd: %" SCNx64, out_bound) == 1;
	}
	fclose(f);
	return found == 2 ? 0 : -ENODATA;
}

static void judge_netns(struct doctor *d)
{
	struct stat own, theirs;
	char path[64];

	path_of(d, "ns/net", path);
	if (stat(path, &theirs) < 0 || stat("/proc/self/ns/net", &own) < 0)
		return; /* who may not see this was told so above */
	if (own.st_ino == theirs.st_ino)
		return;
	doctor_find(d, DOCTOR_WARNING, "daemon.netns", SUBJECT,
		    "is in another network namespace than xskctl: the interfaces below are not "
		    "its own");
	doctor_advise(d, "Look from there: `nsenter --net=/proc/%d/ns/net xskctl doctor`.",
		      (int)d->pid);
}

void doctor_process(struct doctor *d)
{
	unsigned long long soft = 0, hard = 0;
	uint64_t have = 0, bound = 0;
	int err;

	if (!d->pid)
		return;
	err = read_limit(d, "Max open files", &soft, &hard);
	if (err)
		doctor_blind(d, "daemon.open-files", SUBJECT, err);
	else
		judge_files(d, soft, hard);
	err = read_capabilities(d, &have, &bound);
	if (err) {
		doctor_blind(d, "daemon.capabilities", SUBJECT, err);
		return;
	}
	judge_capabilities(d, have, bound);
	if (read_limit(d, "Max locked memory", &soft, &hard) == 0)
		judge_memlock(d, soft, have);
	judge_netns(d);
}
