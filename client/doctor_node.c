// SPDX-License-Identifier: Apache-2.0
/* The node as a whole: what it may run out of, and who keeps the daemon running. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "doctor.h"

#define LITTLE_KIB (256 * 1024) /* a fifth of a default limit of packet memory, or so */

static void judge_files(struct doctor *d)
{
	unsigned long long used, unused, most;
	char text[128];
	int err = doctor_read("/proc/sys/fs/file-nr", text, sizeof(text));

	if (err < 0 || sscanf(text, "%llu %llu %llu", &used, &unused, &most) != 3) {
		doctor_blind(d, "node.files", "open files", err < 0 ? err : -EINVAL);
	} else if (used / 8 > most / 10) {
		doctor_find(d, DOCTOR_WARNING, "node.files", "open files", "%llu of at most %llu",
			    used, most);
		doctor_advise(d, "`sysctl -w fs.file-max=%llu`, and in /etc/sysctl.d.", most * 2);
	} else {
		doctor_find(d, DOCTOR_OK, "node.files", "open files", "%llu of at most %llu", used,
			    most);
	}
}

struct memory {
	unsigned long long available, huge, huge_free;
};

static int read_memory(struct memory *out)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];

	*out = (struct memory){ 0 };
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		(void)!sscanf(line, "MemAvailable: %llu", &out->available);
		(void)!sscanf(line, "HugePages_Total: %llu", &out->huge);
		(void)!sscanf(line, "HugePages_Free: %llu", &out->huge_free);
	}
	fclose(f);
	return 0;
}

static void judge_memory(struct doctor *d)
{
	struct memory m;
	int err = read_memory(&m);

	if (err < 0) {
		doctor_blind(d, "node.memory", "memory", err);
		return;
	}
	if (m.available < LITTLE_KIB) {
		doctor_find(d, DOCTOR_WARNING, "node.memory", "memory",
			    "%llu MiB are available: packet memory is pinned, and cannot be "
			    "swapped out",
			    m.available / 1024);
		doctor_advise(d, "Give pods smaller limits.umemBytesPerLease, or the node memory.");
	} else {
		doctor_find(d, DOCTOR_OK, "node.memory", "memory", "%llu MiB are available",
			    m.available / 1024);
	}
	if (!m.huge)
		return;
	doctor_find(d, m.huge_free ? DOCTOR_OK : DOCTOR_NOTE, "node.huge-pages", "huge pages",
		    "%llu of %llu are free", m.huge_free, m.huge);
	if (!m.huge_free)
		doctor_advise(d, "Hand-offs that ask for them fail: `sysctl -w "
				 "vm.nr_hugepages=N` for more.");
}

/* The last part of its cgroup's path says who started it. */
static void judge_keeper(struct doctor *d)
{
	char path[64], text[1024];
	const char *keeper = NULL;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)d->pid);
	if (!d->pid || doctor_read(path, text, sizeof(text)) < 0)
		return;
	if (strstr(text, "xskd.service"))
		keeper = "systemd's unit xskd.service";
	else if (strstr(text, "kubepods"))
		keeper = "a pod of Kubernetes";
	else if (strstr(text, ".service") || strstr(text, "docker") || strstr(text, "libpod"))
		keeper = "another service or container";
	if (keeper) {
		doctor_find(d, DOCTOR_OK, "node.keeper", "daemon", "is kept by %s", keeper);
	} else {
		doctor_find(d, DOCTOR_NOTE, "node.keeper", "daemon",
			    "was started by hand: nobody restarts it when it ends");
		doctor_advise(d, "`systemctl enable --now xskd`, or the DaemonSet.");
	}
}

void doctor_node(struct doctor *d)
{
	judge_files(d);
	judge_memory(d);
	judge_keeper(d);
}
