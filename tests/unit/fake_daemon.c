// SPDX-License-Identifier: Apache-2.0
#include "fake_daemon.h"

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static void *serve(void *arg)
{
	struct fake_daemon *d = arg;

	for (int nth = 0;; nth++) {
		int conn = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC);

		if (conn < 0)
			return NULL;
		d->script(d, conn, nth);
		close(conn);
	}
}

void fake_start(struct fake_daemon *d, fake_script *script)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/xskd-test-XXXXXX";

	assert(mkdtemp(dir));
	snprintf(d->path, sizeof(d->path), "%s/sock", dir);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", d->path);
	d->script = script;
	d->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert(d->listener >= 0);
	assert(bind(d->listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	assert(listen(d->listener, 4) == 0);
	assert(pthread_create(&d->thread, NULL, serve, d) == 0);
}

void fake_stop(struct fake_daemon *d)
{
	/* Wakes accept4(2), which close(2) would not. */
	shutdown(d->listener, SHUT_RDWR);
	pthread_join(d->thread, NULL);
	close(d->listener);
	unlink(d->path);
	*strrchr(d->path, '/') = '\0';
	rmdir(d->path);
}

Xskd__Request *fake_receive(int conn, struct fdset *out_fds)
{
	static uint8_t buf[PACKET_MAX];
	size_t len = 0;

	if (packet_recv(conn, 0, buf, sizeof(buf), &len, out_fds) != PACKET_OK)
		return NULL;

	Xskd__Request *req = xskd__request__unpack(NULL, len, buf);

	assert(req && req->id);
	return req;
}

void fake_send(int conn, const Xskd__Reply *reply, const struct fdset *fds)
{
	static uint8_t buf[PACKET_MAX];
	size_t len = xskd__reply__get_packed_size(reply);

	assert(len <= sizeof(buf));
	xskd__reply__pack(reply, buf);

	int r = packet_send(conn, 0, buf, len, fds);

	assert(r == PACKET_OK || r == PACKET_EOF);
}

uint64_t fake_id(int conn)
{
	struct fdset fds = FDSET_INIT;
	Xskd__Request *req = fake_receive(conn, &fds);
	uint64_t id = req ? req->id : 0;

	if (req)
		xskd__request__free_unpacked(req, NULL);
	fdset_done(&fds);
	return id;
}

void fake_info(int conn, uint64_t id)
{
	Xskd__Reply reply = XSKD__REPLY__INIT;
	Xskd__GetInfoReply info;
	char version[] = "9.8.7";

	xskd__get_info_reply__init(&info);
	info.version = version;
	info.netns_cookie = 42;
	reply.id = id;
	reply.result_case = XSKD__REPLY__RESULT_GET_INFO;
	reply.get_info = &info;
	fake_send(conn, &reply, NULL);
}

void fake_status(int conn, uint64_t id, Xskd__Code code, int system_errno, const char *text)
{
	Xskd__Reply reply = XSKD__REPLY__INIT;
	Xskd__Status status;
	char log[] = "the log";

	xskd__status__init(&status);
	status.code = code;
	status.system_errno = system_errno;
	status.message = (char *)(uintptr_t)text;
	status.log = log;
	reply.id = id;
	reply.status = &status;
	fake_send(conn, &reply, NULL);
}

void fake_event(int conn, uint64_t id, Xskd__EventKind kind, uint64_t socket)
{
	Xskd__Reply reply = XSKD__REPLY__INIT;
	Xskd__Event event;
	char interface[] = "eth0";

	xskd__event__init(&event);
	event.kind = kind;
	event.socket = socket;
	event.interface = interface;
	reply.id = id;
	reply.result_case = XSKD__REPLY__RESULT_EVENT;
	reply.event = &event;
	fake_send(conn, &reply, NULL);
}
