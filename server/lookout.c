// SPDX-License-Identifier: Apache-2.0
#include "lookout.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "channels.h"
#include "hold.h"
#include "log.h"
#include "monitor.h"
#include "survey.h"
#include "sweep.h"

#define ENDS_BATCH   16
#define HEAR_BATCHES 16 /* a millisecond or so */

/* ---- what has ended ---- */

static void on_look(uv_timer_t *timer);

static void sweep_run(void *arg)
{
	sweep_look(((struct lookout *)arg)->sweep);
}

static void sweep_ran(void *arg)
{
	struct lookout *l = arg;
	int delay;

	hold_begin("sweep");
	sweep_note(l->core, l->sweep);
	sweep_free(steal_ptr(&l->sweep));
	l->sweeping = false;
	delay = sweep_delay(l->core);
	if (delay >= 0 && !l->over)
		uv_timer_start(&l->look, on_look, (uint64_t)delay, 0);
}

/* One at a time: behind it, sweep_ran() sees to the doubts that have arisen meanwhile. */
static void sweep_start(struct lookout *l, enum sweep_what what)
{
	if (l->sweeping)
		return;
	l->sweep = sweep_new(l->core, what);
	if (!l->sweep)
		return;
	l->sweeping = lanes_work(l->lanes, sweep_run, sweep_ran, l);
	if (!l->sweeping)
		sweep_free(steal_ptr(&l->sweep));
}

static void on_look(uv_timer_t *timer)
{
	hold_begin("look");
	sweep_start(timer->data, SWEEP_DOUBTFUL);
}

/* ---- what the kernel tells ---- */

/*
 * libuv takes an error of the socket, which is how netlink tells that it had no room, for the end
 * of it, and waits no longer.
 */
static void hear_again(uv_poll_t *poll, int status, uv_poll_cb fn)
{
	if (status < 0)
		uv_poll_start(poll, UV_READABLE, fn);
}

static void survey_run(void *arg)
{
	survey_look(((struct lookout *)arg)->survey);
}

static void survey_start(struct lookout *l);

static void survey_ran(void *arg)
{
	struct lookout *l = arg;

	hold_begin("survey");
	survey_note(l->core, l->survey);
	survey_free(steal_ptr(&l->survey));
	if (l->lost)
		survey_start(l);
}

/*
 * One at a time. What is lost is the newest, so first of all the older news is read: it would seem
 * to be newer than the answers.
 */
static void survey_start(struct lookout *l)
{
	if (l->survey)
		return;
	l->lost = false;
	log_warning("news of network devices was lost: looking at each leased device");
	l->survey = survey_new(l->core);
	if (l->survey && !lanes_work(l->lanes, survey_run, survey_ran, l))
		survey_free(steal_ptr(&l->survey));
}

static void on_news(uv_poll_t *poll, int status, int events)
{
	struct readable *r = poll->data;
	struct lookout *l = r->owner;

	hold_begin("news");
	(void)events;
	if (!monitor_read(r->fd, l->core, &l->lost) && l->lost)
		survey_start(l);
	hear_again(poll, status, on_news);
}

static void on_channels(uv_poll_t *poll, int status, int events)
{
	struct readable *r = poll->data;
	struct lookout *l = r->owner;

	hold_begin("channels");
	(void)events;
	channels_read(r->fd, l->core);
	hear_again(poll, status, on_channels);
}

static void on_ends(uv_poll_t *poll, int status, int events)
{
	struct readable *r = poll->data;
	struct lookout *l = r->owner;
	struct holder *holder;

	hold_begin("ends");
	(void)status;
	(void)events;
	for (int i = 0; i < ENDS_BATCH && (holder = holders_ended(&l->core->holders)); i++)
		sock_doubt(l->core, holder, 0);
}

/* ---- beginning and end ---- */

void lookout_init(struct lookout *l, uv_loop_t *loop, struct core *core, struct lanes *lanes)
{
	*l = (struct lookout){ .loop = loop, .core = core, .lanes = lanes };
	l->news = l->channels = l->ends = READABLE_INIT;
	uv_timer_init(loop, &l->look);
	l->look.data = l;
}

static int watch_channels(struct lookout *l, struct fault *fault)
{
	int fd = channels_open();

	if (fd >= 0)
		return readable_start(&l->channels, l->loop, fd, on_channels, l, fault);
	log_info("no news of changed numbers of queues: %s", strerrordesc_np(-fd));
	return 0;
}

/* The set stays the core's; what the loop waits for is a copy. */
int lookout_holders(struct lookout *l, struct fault *fault)
{
	int err = holders_open(&l->core->holders);
	int fd = err < 0 ? -1 : fcntl(l->core->holders.epoll, F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		return fault_sys(fault, err ? -err : errno, "cannot watch processes");
	return readable_start(&l->ends, l->loop, fd, on_ends, l, fault);
}

int lookout_open(struct lookout *l, struct fault *fault)
{
	int news = monitor_open(fault);
	int err = news < 0 ? news : readable_start(&l->news, l->loop, news, on_news, l, fault);

	return err ? err : watch_channels(l, fault);
}

bool lookout_hear(struct lookout *l)
{
	bool more = true;

	for (int i = 0; i < HEAR_BATCHES && more; i++)
		more = monitor_read(l->news.fd, l->core, &l->lost);
	return !more && !l->lost && !l->survey;
}

void lookout_soon(struct lookout *l)
{
	if (!l->over)
		uv_timer_start(&l->look, on_look, 0, 0);
}

void lookout_tick(struct lookout *l)
{
	sweep_start(l, SWEEP_ALL);
}

void lookout_stop(struct lookout *l)
{
	l->over = true;
	readable_stop(&l->news);
	readable_stop(&l->channels);
	readable_stop(&l->ends);
	uv_close((uv_handle_t *)&l->look, NULL);
}
