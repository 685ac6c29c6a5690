// SPDX-License-Identifier: Apache-2.0
#include "exporter.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>

#include "hold.h"
#include "listen.h"
#include "log.h"
#include "scrape.h"
#include "visitor.h"

#define INSIDE_MAX 32  /* visitors of a door: with their descriptors */
#define APART_MS   100 /* from one collection to the next: anybody on the node may ask */

/* ---- collecting ---- */

static void answer_all(struct exporter *e, struct page *page)
{
	struct visitor *next;

	for (struct visitor *v = e->visitors; v; v = next) {
		next = v->next;
		visitor_answer(v, page);
	}
}

static void collect_run(void *arg)
{
	scrape_read(((struct exporter *)arg)->scrape);
}

static void collect_ran(void *arg)
{
	struct exporter *e = arg;
	struct page *page;

	hold_begin("collected metrics");
	scrape_note(e->core, e->scrape);
	page = page_new(steal_ptr(&e->scrape->text), e->scrape->len);
	scrape_free(steal_ptr(&e->scrape));
	answer_all(e, page);
	page_unref(page);
}

static void collect(struct exporter *e)
{
	e->wanted = false;
	e->begun_at = uv_now(e->loop);
	e->scrape = scrape_new(e->core, &e->self, e->conns->n_admins, e->conns->n_pods);
	if (e->scrape && lanes_work(e->lanes, collect_run, collect_ran, e))
		return;
	if (e->scrape)
		scrape_free(steal_ptr(&e->scrape));
	answer_all(e, NULL);
}

static void on_soon(uv_timer_t *timer)
{
	struct exporter *e = timer->data;

	hold_begin("metrics");
	if (e->wanted && !e->scrape)
		collect(e);
}

/* Whoever comes while a collection is under way gets that one. */
static void on_wants(struct visitor *v)
{
	struct exporter *e = v->owner;
	uint64_t age = uv_now(e->loop) - e->begun_at;

	if (e->scrape || e->wanted)
		return;
	e->wanted = true;
	uv_timer_start(&e->soon, on_soon, age < APART_MS ? APART_MS - age : 0, 0);
}

/* ---- visitors ---- */

static void door_open(struct door *door);

static void on_gone(struct visitor *v)
{
	struct exporter *e = v->owner;
	struct door *door = v->door;
	struct visitor **at = &e->visitors;

	while (*at != v)
		at = &(*at)->next;
	*at = v->next;
	free(v);
	door->inside--;
	if (!e->stopped)
		door_open(door);
}

static void on_visit(uv_poll_t *poll, int status, int events)
{
	struct door *door = poll->data;
	struct visitor *v;
	int fd = status < 0 ? -1 : accept4(door->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	hold_begin("visit");
	(void)events;
	if (fd < 0) {
		if (status < 0 || (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)) {
			/* No descriptor, say: whoever is there waits until the next tick. */
			uv_poll_stop(poll);
			door->open = false;
		}
		return;
	}
	v = visitor_new(door->exporter->loop, fd);
	if (!v)
		return;
	v->owner = door->exporter;
	v->door = door;
	v->wants = on_wants;
	v->gone = on_gone;
	v->next = door->exporter->visitors;
	door->exporter->visitors = v;
	if (++door->inside == INSIDE_MAX) {
		uv_poll_stop(poll);
		door->open = false;
	}
	visitor_go(v);
}

static void door_open(struct door *door)
{
	if (door->fd < 0 || door->open || door->inside >= INSIDE_MAX)
		return;
	door->open = uv_poll_start(&door->poll, UV_READABLE, on_visit) == 0;
}

void exporter_tick(struct exporter *e)
{
	struct visitor *next;

	for (struct visitor *v = e->visitors; v; v = next) {
		next = v->next;
		if (v->deadline <= uv_now(e->loop))
			visitor_close(v);
	}
	for (size_t i = 0; i < DOORS; i++)
		door_open(&e->doors[i]);
}

/* ---- beginning and end ---- */

void exporter_init(struct exporter *e, struct conns *conns)
{
	*e = (struct exporter){
		.loop = conns->loop,
		.core = conns->core,
		.conns = conns,
		.lanes = conns->lanes,
		.self = SELF_INIT,
	};
	for (size_t i = 0; i < DOORS; i++)
		e->doors[i].fd = -1;
	uv_timer_init(e->loop, &e->soon);
	e->soon.data = e;
}

static int door_make(struct exporter *e, enum door_kind kind, int fd, struct fault *fault)
{
	struct door *door = &e->doors[kind];
	int err = uv_poll_init(e->loop, &door->poll, fd);

	if (err < 0) {
		close_fdp(&fd);
		return fault_sys(fault, -err, "cannot watch the metrics' socket");
	}
	door->poll.data = door;
	door->exporter = e;
	door->fd = fd;
	door_open(door);
	return 0;
}

int exporter_open(struct exporter *e, const struct options *o, struct fault *fault)
{
	char path[PATH_MAX + 32];
	int fd, err;

	snprintf(path, sizeof(path), "%s/admin/metrics.sock", o->run_dir);
	err = listen_unix(path, SOCK_STREAM, 0177, &fd, fault);
	if (!err)
		err = door_make(e, DOOR_UNIX, fd, fault);
	if (!err && o->metrics.any.sa_family != AF_UNSPEC) {
		err = listen_tcp(&o->metrics.any, o->metrics_name, &fd, fault);
		if (!err)
			err = door_make(e, DOOR_TCP, fd, fault);
		if (!err)
			log_info("metrics are at http://%s/metrics too", o->metrics_name);
	}
	if (err < 0)
		return err;
	self_open(&e->self);
	collect(e);
	return 0;
}

static void on_door_closed(uv_handle_t *handle)
{
	struct door *door = handle->data;

	close_fdp(&door->fd);
	door->fd = -1;
}

void exporter_stop(struct exporter *e)
{
	if (e->stopped)
		return;
	e->stopped = true;
	for (size_t i = 0; i < DOORS; i++) {
		if (e->doors[i].fd >= 0)
			uv_close((uv_handle_t *)&e->doors[i].poll, on_door_closed);
	}
	for (struct visitor *v = e->visitors; v; v = v->next)
		visitor_close(v);
	uv_close((uv_handle_t *)&e->soon, NULL);
}

void exporter_done(struct exporter *e)
{
	self_done(&e->self);
}
