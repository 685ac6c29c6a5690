// SPDX-License-Identifier: Apache-2.0
/* The daemon, as a client sees it: there, of the right version, and what it knows. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "doctor.h"

#define SUBJECT "daemon"

/*
 * Whoever has locked the run directory is the daemon, whether or not it answers. (The other end of
 * its socket may be systemd, which made it.)
 */
static pid_t holder_of(const char *dir)
{
	FILE *f = fopen("/proc/locks", "re");
	unsigned int major, minor;
	unsigned long long inode;
	char line[256];
	struct stat st;
	pid_t found = 0;
	int pid;

	if (!f)
		return 0;
	while (!found && stat(dir, &st) == 0 && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*d: FLOCK %*s WRITE %d %x:%x:%llu", &pid, &major, &minor,
			   &inode) == 4 &&
		    inode == st.st_ino && makedev(major, minor) == st.st_dev && pid > 0)
			found = pid;
	}
	fclose(f);
	return found;
}

static pid_t peer_of(const struct xskd *x)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (!x || getsockopt(xskd_fd(x), SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return 0;
	return peer.pid;
}

/* Nobody answers: is nobody there, or does somebody hang? */
static void say_unreachable(struct doctor *d, int err)
{
	const char *why = xskd_error(d->ctl->x);

	if (d->pid) {
		doctor_find(d, DOCTOR_PROBLEM, "daemon.reachable", SUBJECT,
			    "process %d does not answer: %s", (int)d->pid, why);
		doctor_advise(d, "See its log; restart it, which loses no packet: "
				 "`systemctl restart xskd`.");
	} else if (err == -EACCES || err == -EPERM) {
		doctor_blind(d, "daemon.reachable", SUBJECT, err);
	} else {
		doctor_find(d, DOCTOR_PROBLEM, "daemon.reachable", SUBJECT, "is not there: %s",
			    why);
		doctor_advise(d, "Start it: `systemctl start xskd`; its log says why it ended: "
				 "`journalctl -u xskd`. Sockets that were handed out work on.");
	}
}

static void say_version(struct doctor *d)
{
	const struct xskd_info *info = &d->info;
	long long up = (long long)time(NULL) - (long long)info->started_at;

	doctor_find(d, DOCTOR_OK, "daemon.reachable", SUBJECT,
		    "xskd %s answers; up for %lld seconds; %u programs, %u leases, %u sockets, "
		    "%u connections",
		    info->version, up > 0 ? up : 0, info->programs, info->leases, info->sockets,
		    info->connections);
	if (!strcmp(info->version, XSKD_VERSION))
		return;
	doctor_find(d, DOCTOR_WARNING, "daemon.version", SUBJECT, "is of version %s, xskctl of %s",
		    info->version, XSKD_VERSION);
	doctor_advise(d, "After an upgrade restart it, which loses no packet: "
			 "`systemctl restart xskd`.");
}

static void say_features(struct doctor *d)
{
	const struct xskd_info *info = &d->info;

	if (info->full_handoff) {
		doctor_find(d, DOCTOR_OK, "daemon.handoff", SUBJECT,
			    "hands sockets off in one call%s",
			    info->multi_buffer ? ", with packets larger than a frame" : "");
	} else {
		doctor_find(d, DOCTOR_NOTE, "daemon.handoff", SUBJECT,
			    "hands sockets off in two steps: kernel %s, or its configuration, "
			    "wants it so",
			    info->kernel);
		doctor_advise(d, "Linux 6.4 lets a client map the rings of a bound socket.");
	}
}

/*
 * A limit that was met is no fault in itself: somebody asked for more, or was made to wait. But who
 * looks for the reason of a refusal finds it here.
 */
static void say_limits(struct doctor *d)
{
	struct xskd_activity a = XSKD_OPTS(xskd_activity);

	if (xskd_get_activity(d->ctl->x, &a) < 0)
		return;
	for (size_t i = 0; i < a.n_limits; i++) {
		bool files = !strcmp(a.limits[i].limit, "open_files");

		doctor_find(d, files ? DOCTOR_WARNING : DOCTOR_NOTE, "daemon.limit",
			    a.limits[i].limit, "was reached %" PRIu64 " times since the start",
			    a.limits[i].hits);
		if (files)
			doctor_advise(d, "Clients were turned away: raise LimitNOFILE= of the unit "
					 "and restart it, which also begins a new count.");
		else
			doctor_advise(d, "If that was no mistake of a client, raise it in the "
					 "configuration: xskd(8), limits.");
	}
	if (!a.n_limits)
		doctor_find(d, DOCTOR_OK, "daemon.limit", SUBJECT,
			    "has refused nothing for a limit; %" PRIu64 " of %" PRIu64
			    " calls failed",
			    a.failed_calls, a.calls);
	if (a.state_files_set_aside)
		doctor_find(d, DOCTOR_NOTE, "daemon.restored", SUBJECT,
			    "set %" PRIu64 " damaged or foreign state files aside at its start",
			    a.state_files_set_aside);
}

static void ask(struct doctor *d)
{
	struct xskd *x = d->ctl->x;
	int err = xskd_get_info(x, &d->info);

	if (err < 0) {
		say_unreachable(d, err);
		return;
	}
	say_version(d);
	say_features(d);
	if (!d->info.admin) {
		doctor_blind(d, "daemon.admin", "its programs and leases",
			     d->ctl->admin_err ? d->ctl->admin_err : -EPERM);
		return;
	}
	err = xskd_list_programs(x, &d->programs, &d->n_programs);
	if (!err)
		err = xskd_list_leases(x, &d->leases, &d->n_leases);
	if (!err)
		err = xskd_list_sockets(x, &d->sockets, &d->n_sockets);
	if (err < 0) {
		doctor_find(d, DOCTOR_PROBLEM, "daemon.lists", SUBJECT,
			    "cannot list what it has: %s", xskd_error(x));
		doctor_advise(d, "See its log.");
	}
	d->asked = err == 0;
	say_limits(d);
}

void doctor_daemon(struct doctor *d)
{
	int err = ctl_reach(d->ctl, CTL_ADMIN);

	d->pid = holder_of(d->run_dir);
	if (err < 0)
		say_unreachable(d, err);
	else
		ask(d);
	if (!d->pid && err == 0)
		d->pid = peer_of(d->ctl->x);
}
