// SPDX-License-Identifier: Apache-2.0
#include "listen.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "log.h"

#define LOCK_TRIES 500 /* of 10 ms: a daemon that was killed may have much to close */
/*
 * When it is full connect(2) blocks, and who blocks is let in by the kernel in order, one for each
 * thread: so a short one is what keeps a storm of connections from standing before everybody else.
 */
#define BACKLOG 128

static const struct {
	const char *dir;
	mode_t dir_mode, umask;
} sockets[] = {
	[LISTEN_ADMIN] = { "admin", 0700, 0177 },
	[LISTEN_POD] = { "pod", 0755, 0111 },
};

/* Out of the way, whatever it is; its old name is free then. */
static int set_aside(const char *path)
{
	char bad[PATH_MAX];

	if (snprintf(bad, sizeof(bad), "%s.bad", path) >= (int)sizeof(bad))
		return -ENAMETOOLONG;
	log_warning("%s is not what xskd puts there: set aside as %s", path, bad);
	return rename(path, bad) < 0 ? -errno : 0;
}

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int make_dir(const char *path, mode_t mode, struct fault *fault)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return fault_sys(fault, errno, "cannot make %s", path);
	if (chmod(path, mode) < 0) /* whatever the umask was */
		return fault_sys(fault, errno, "cannot set the mode of %s", path);
	return 0;
}

/*
 * A daemon that was killed leaves its gate, which has the lock too, and ends as soon as the system
 * call that it is in does.
 */
int listen_lock(const char *dir, const char *flag, int *out_lock, struct fault *fault)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	cleanup(close_fdp) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return fault_sys(fault, errno, "cannot open %s", dir);
	for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
		if (errno != EWOULDBLOCK || tries == LOCK_TRIES)
			return fault_set(fault, XSKD__CODE__ALREADY_EXISTS, errno,
					 "another xskd uses %s: end it, or name another directory "
					 "with %s",
					 dir, flag);
		nanosleep(&pause, NULL);
	}
	*out_lock = steal_fd(&fd);
	return 0;
}

int listen_dirs(const char *run_dir, int *out_lock, struct fault *fault)
{
	char path[PATH_MAX];
	int err = make_dir(run_dir, 0755, fault);

	for (size_t i = 0; i < LISTENERS && !err; i++) {
		if (snprintf(path, sizeof(path), "%s/%s", run_dir, sockets[i].dir) >=
		    (int)sizeof(path))
			return fault_sys(fault, ENAMETOOLONG, "cannot use %s", run_dir);
		if (access(path, F_OK) == 0 && !is_dir(path) && set_aside(path) < 0)
			return fault_sys(fault, errno, "cannot set %s aside", path);
		err = make_dir(path, sockets[i].dir_mode, fault);
	}
	return err ? err : listen_lock(run_dir, "--run-dir", out_lock, fault);
}

/* The run directory is locked: a socket that is there has nobody behind it any more. */
int listen_unix(const char *path, int type, mode_t mask, int *out, struct fault *fault)
{
	cleanup(close_fdp) int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	mode_t before;
	int bound;

	if (fd < 0)
		return fault_sys(fault, errno, "cannot make a Unix socket");
	if (strlen(path) >= sizeof(addr.sun_path))
		return fault_set(
			fault, XSKD__CODE__INVALID_ARGUMENT, ENAMETOOLONG,
			"--run-dir is too long: the path of a Unix socket, '%s', has at most %zu "
			"characters",
			path, sizeof(addr.sun_path) - 1);
	strcpy(addr.sun_path, path);
	if (unlink(path) < 0 && errno != ENOENT && (errno != EISDIR || set_aside(path) < 0))
		return fault_sys(fault, errno, "cannot remove the old %s", path);
	/* The mode must be right from the first moment, so not by a chmod() afterwards. */
	before = umask(mask);
	bound = bind(fd, (const struct sockaddr *)&addr, sizeof(addr));
	umask(before);
	if (bound < 0 || listen(fd, BACKLOG) < 0)
		return fault_sys(fault, errno, "cannot listen on %s", path);
	*out = steal_fd(&fd);
	return 0;
}

int listen_tcp(const struct sockaddr *addr, const char *name, int *out, struct fault *fault)
{
	cleanup(close_fdp) int fd =
		socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len = addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
						    : sizeof(struct sockaddr_in);
	int on = 1;

	if (fd < 0)
		return fault_sys(fault, errno, "cannot make a socket for %s", name);
	/* A port that the daemon before had is taken by connections that have ended. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (addr->sa_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0))
		return fault_sys(fault, errno, "cannot set up a socket for %s", name);
	if (bind(fd, addr, len) < 0 || listen(fd, BACKLOG) < 0)
		return fault_sys(fault, errno,
				 "cannot listen on %s: name another address in \"metrics\" of the "
				 "configuration, or end what has it",
				 name);
	*out = steal_fd(&fd);
	return 0;
}

static bool is_bound_to(int fd, const char *name, const void *arg)
{
	const char *path = arg;
	struct sockaddr_un bound = { 0 };
	socklen_t len = sizeof(bound), type_len = sizeof(int);
	int type = 0;

	(void)name;
	return getsockname(fd, (struct sockaddr *)&bound, &len) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) == 0 &&
	       type == SOCK_SEQPACKET && !strcmp(bound.sun_path, path) &&
	       fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

int listen_open(struct manager *manager, const char *run_dir, int out[LISTENERS],
		struct fault *fault)
{
	int fds[LISTENERS] = { -1, -1 };
	int err = 0;

	for (enum listener i = 0; i < LISTENERS && !err; i++) {
		char path[PATH_MAX + 32];

		snprintf(path, sizeof(path), "%s/%s/xskd.sock", run_dir, sockets[i].dir);
		fds[i] = manager_take(manager, is_bound_to, path);
		if (fds[i] >= 0)
			log_info("took %s over from the service manager", path);
		else
			err = listen_unix(path, SOCK_SEQPACKET, sockets[i].umask, &fds[i], fault);
	}
	if (err < 0) {
		for (size_t i = 0; i < LISTENERS; i++)
			close_fdp(&fds[i]);
		return err;
	}
	memcpy(out, fds, sizeof(fds));
	return 0;
}
