// SPDX-License-Identifier: Apache-2.0
#include "manager.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/time.h>

#include "log.h"

#define PASSED_FIRST 3 /* SD_LISTEN_FDS_START */
#define PASSED_MAX   (1 << 20)

/* ---- what it passed ---- */

/* Meant for the process that LISTEN_PID names, and for no child of it. */
static size_t passed_count(void)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
	long count;

	if (!pid || !n || atol(pid) != (long)getpid())
		return 0;
	count = atol(n);
	if (count < 0 || count > PASSED_MAX) {
		log_warning("LISTEN_FDS is '%.16s': taking over nothing", n);
		return 0;
	}
	return (size_t)count;
}

/* The names have colons between them; where there are fewer than descriptors, the rest has none. */
static const char *next_name(char **rest)
{
	char *name = strsep(rest, ":");

	return name ? name : "";
}

void manager_init(struct manager *m)
{
	const char *path = getenv("NOTIFY_SOCKET"), *names = getenv("LISTEN_FDNAMES");
	size_t n = passed_count(), len = path ? strlen(path) : 0;
	char *rest;

	*m = (struct manager){ .address = { .sun_family = AF_UNIX } };
	if (len && len < sizeof(m->address.sun_path)) {
		memcpy(m->address.sun_path, path, len);
		if (*path == '@')
			m->address.sun_path[0] = '\0';
		m->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	}
	m->passed = calloc(n + 1, sizeof(*m->passed));
	m->names = rest = strdup(names ? names : "");
	for (size_t i = 0; i < n; i++) {
		int fd = PASSED_FIRST + (int)i;
		const char *name = rest ? next_name(&rest) : "";

		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			log_warning("descriptor %d ('%.64s') was not passed: %s", fd, name,
				    strerror(errno));
		else if (!m->passed)
			close(fd);
		else
			m->passed[m->n++] = (struct passed){ fd, name };
	}
}

void manager_done(struct manager *m)
{
	for (size_t i = 0; i < m->n; i++)
		close_fdp(&m->passed[i].fd);
	free(m->passed);
	free(m->names);
	*m = (struct manager){ 0 };
}

int manager_take(struct manager *m, bool (*fits)(int fd, const char *name, const void *arg),
		 const void *arg)
{
	for (size_t i = 0; i < m->n; i++) {
		struct passed *p = &m->passed[i];

		if (p->fd >= 0 && fits(p->fd, p->name, arg))
			return steal_fd(&p->fd);
	}
	return -1;
}

/* ---- what it is told ---- */

int manager_tell(const struct manager *m, const char *text, int fd, int wait_ms)
{
	const struct timeval wait = { wait_ms / 1000, wait_ms % 1000 * 1000 };
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };
	struct msghdr msg = {
		.msg_name = (void *)(uintptr_t)&m->address,
		.msg_namelen = m->len,
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	cleanup(close_fdp) int sock = -1;

	if (!m->len)
		return 0;
	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_LEN(sizeof(int));
	}
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) < 0 ||
	    sendmsg(sock, &msg, MSG_NOSIGNAL | (wait_ms ? 0 : MSG_DONTWAIT)) < 0)
		return -errno;
	return 0;
}

void manager_say(const struct manager *m, const char *text)
{
	int err = manager_tell(m, text, -1, 1000);

	if (err < 0)
		log_warning("cannot tell the service manager '%s': %s, ignoring it", text,
			    strerror(-err));
}
