// SPDX-License-Identifier: Apache-2.0
/*
 * xskctl watch: events as they come, a line each. A daemon that is restarted is waited for, and a
 * line of its own says that events may be missing.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl.h"

#define RETRY_MS 200 /* while there is no daemon */

struct watch {
	const struct ctl *ctl;
	int status; /* CTL_OK until a line could not be printed */
};

static const char *kind_name(enum xskd_event_kind kind)
{
	static const char *const names[] = {
		[XSKD_EVENT_SOCKET_LOST] = "socket-lost",
		[XSKD_EVENT_LINK_DOWN] = "link-down",
		[XSKD_EVENT_LINK_UP] = "link-up",
		[XSKD_EVENT_LEASE_REVOKED] = "lease-revoked",
		[XSKD_EVENT_LEASE_GRANTED] = "lease-granted",
		[XSKD_EVENT_SOCKET_RELEASED] = "socket-released",
		[XSKD_EVENT_PROGRAM_LOST] = "program-lost",
		[XSKD_EVENT_DEVICE_CHANGED] = "device-changed",
	};

	if (kind == XSKD_EVENT_RECONNECTED)
		return "reconnected";
	/* A newer daemon has events that this program does not know. */
	if ((size_t)kind >= ARRAY_SIZE(names) || !names[kind])
		return "unknown";
	return names[kind];
}

static const char *text_of(const char *text)
{
	return text ? text : "";
}

static json_t *event_json(const struct xskd_event *e)
{
	json_t *o = json_object();

	output_add(&o, "event", json_string(kind_name(e->kind)));
	output_add(&o, "at", output_number(e->at));
	output_add(&o, "container", output_text(text_of(e->container)));
	output_add(&o, "interface", output_text(text_of(e->interface)));
	output_add(&o, "socket", output_id(e->socket));
	output_add(&o, "queue", e->socket ? output_number(e->queue) : json_null());
	output_add(&o, "message", output_text(text_of(e->message)));
	return o;
}

static void print_word(const json_t *event, const char *key)
{
	const char *text = json_string_value(json_object_get(event, key));

	fputc(' ', stdout);
	output_safe(stdout, text ? text : "-");
}

/* 12:30:01 socket-lost CONTAINER INTERFACE queue 0 socket 3: the device is gone */
static void print_line(const json_t *event)
{
	time_t at = (time_t)json_integer_value(json_object_get(event, "at"));
	const json_t *socket = json_object_get(event, "socket");
	struct tm tm;
	char clock[32] = "-";

	if (localtime_r(&at, &tm))
		strftime(clock, sizeof(clock), "%Y-%m-%d %H:%M:%S", &tm);
	fputs(clock, stdout);
	print_word(event, "event");
	print_word(event, "container");
	print_word(event, "interface");
	if (json_is_integer(socket))
		printf(" queue %" JSON_INTEGER_FORMAT " socket %" JSON_INTEGER_FORMAT,
		       json_integer_value(json_object_get(event, "queue")),
		       json_integer_value(socket));
	fputc(':', stdout);
	print_word(event, "message");
	fputc('\n', stdout);
}

static void print_event(const struct xskd_event *e, void *arg)
{
	struct watch *watch = arg;
	cleanup(json_decrefp) json_t *event = event_json(e);

	if (watch->status != CTL_OK)
		return;
	if (!event) {
		watch->status = ctl_error(watch->ctl, "no memory");
		return;
	}
	if (watch->ctl->format == OUTPUT_JSON) {
		/* One line: who reads a stream of these reads lines. */
		(void)json_dumpf(event, stdout, JSON_COMPACT); /* ctl_flush() tells */
		fputc('\n', stdout);
	} else {
		print_line(event);
	}
	watch->status = ctl_flush(watch->ctl);
}

static int watch_loop(struct ctl *ctl, struct watch *watch)
{
	while (watch->status == CTL_OK) {
		/*
		 * Also for POLLHUP: a reader that went away is noticed without waiting for an
		 * event.
		 */
		struct pollfd fds[] = {
			{ .fd = xskd_fd(ctl->x), .events = POLLIN },
			{ .fd = STDOUT_FILENO, .events = 0 },
		};
		int err;

		if (poll(fds, ARRAY_SIZE(fds), fds[0].fd < 0 ? RETRY_MS : -1) < 0 && errno != EINTR)
			return ctl_error(ctl, "poll: %s", strerror(errno));
		if (fds[1].revents)
			return CTL_OK;
		err = xskd_dispatch(ctl->x);
		if (err == -ENOTCONN && fds[0].fd >= 0)
			ctl_failed(ctl, err); /* once; then it is waited for */
		if (err < 0 && err != -ENOTCONN) {
			ctl_failed(ctl, err);
			return CTL_UNREACHABLE;
		}
	}
	return watch->status;
}

int cmd_watch(struct ctl *ctl, int argc, char **argv)
{
	struct watch watch = { .ctl = ctl, .status = CTL_OK };
	int err;

	if (!ctl_begin(ctl, argc, argv, CTL_ADMIN))
		return ctl->stop;
	err = xskd_watch(ctl->x, print_event, &watch);
	if (err < 0)
		return ctl_failed(ctl, err);
	return watch_loop(ctl, &watch);
}
