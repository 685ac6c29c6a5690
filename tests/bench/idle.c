// SPDX-License-Identifier: Apache-2.0
/*
 * idle SOCKET
 *
 * A process with the libraries of the daemon that answers on a socket and does nothing else: what
 * its memory at rest is divided by.
 */
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>
#include <xdp/libxdp.h>

static uv_loop_t loop;

static void on_packet(uv_poll_t *poll, int status, int events)
{
	char buf[256];
	uv_os_fd_t fd;
	ssize_t n;

	(void)events;
	if (uv_fileno((uv_handle_t *)poll, &fd) < 0)
		return;
	n = status < 0 ? -1 : read(fd, buf, sizeof(buf));
	if (n <= 0 || write(fd, buf, (size_t)n) != n)
		uv_poll_stop(poll);
}

static void watch(int fd, uv_poll_cb on_readable)
{
	uv_poll_t *poll = calloc(1, sizeof(*poll));

	if (!poll || uv_poll_init(&loop, poll, fd) < 0 ||
	    uv_poll_start(poll, UV_READABLE, on_readable) < 0)
		exit(1);
}

static void on_client(uv_poll_t *poll, int status, int events)
{
	uv_os_fd_t listener;
	int fd;

	(void)status;
	(void)events;
	if (uv_fileno((uv_handle_t *)poll, &listener) < 0)
		exit(1);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		watch(fd, on_packet);
}

int main(int argc, char **argv)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (argc != 2 || listener < 0 || uv_loop_init(&loop) < 0)
		return 1;
	/* Named, or the linker would leave them out. */
	if (!libbpf_version_string() || libxdp_get_error(NULL) != 0)
		return 1;
	/* Who sees it where it belongs may connect. */
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s.new", argv[1]);
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(listener, 16) < 0 || rename(addr.sun_path, argv[1]) < 0)
		return 1;
	watch(listener, on_client);
	return uv_run(&loop, UV_RUN_DEFAULT);
}
