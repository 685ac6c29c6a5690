// SPDX-License-Identifier: Apache-2.0
#include "lane.h"

#include <string.h>
#include <uv.h>

#include "log.h"

/* The one who closes descriptors has a share of the workers as a pod has: no namespace's cookie. */
#define REAPER UINT64_MAX

/* Something that a worker is to do. */
struct work {
	uv_work_t uv; /* data: the work */
	struct lanes *lanes;
	struct share *share; /* NULL: an administrator's, who waits for nobody */
	struct work *next;   /* behind us in the share */
	void (*fn)(void *arg);
	void (*done)(void *arg); /* on the loop; may free this */
	void *arg;
};

/* What is to be done for one pod. While one has nothing to do there is no share of it. */
struct share {
	uint64_t cookie;
	uint32_t running;
	struct work *first, **last; /* that wait */
};

struct task {
	struct work work;
	uv_timer_t timer;
	bool has_timer;
	struct lanes *lanes;
	struct lane *lane; /* NULL: waits for nobody */
	struct task *next; /* behind us in the lane */
	struct call *call;
	bool (*ended)(void *arg, struct call *call);
	void *arg;
};

struct lane {
	struct lane *next;
	char key[sizeof(((struct call *)0)->lane)];
	struct task *first, **last; /* the first one runs */
};

static void go_on(struct task *task);

static int compare_share(const void *key, const void *item)
{
	uint64_t cookie = *(const uint64_t *)key, other = ((const struct share *)item)->cookie;

	return cookie < other ? -1 : cookie > other;
}

void lanes_init(struct lanes *lanes, struct uv_loop_s *loop, uint32_t workers, uint32_t per_netns)
{
	*lanes = (struct lanes){
		.loop = loop,
		.shares = INDEX_INIT(compare_share),
		.per_netns = per_netns,
		.reapers = workers > 1 ? workers / 2 : 1,
	};
}

void lanes_done(struct lanes *lanes)
{
	index_done(&lanes->shares);
}

/* ---- workers and who may have how many ---- */

static struct share *share_of(struct lanes *lanes, uint64_t cookie)
{
	struct share *share = index_find(&lanes->shares, &cookie);

	if (share)
		return share;
	share = calloc(1, sizeof(*share));
	if (!share)
		return NULL;
	share->cookie = cookie;
	share->last = &share->first;
	if (index_add(&lanes->shares, &cookie, share) == 0)
		return share;
	free(share);
	return NULL;
}

static void work_run(uv_work_t *uv)
{
	struct work *work = uv->data;

	work->fn(work->arg);
}

static void work_ran(uv_work_t *uv, int status);

static void work_start(struct work *work)
{
	if (work->share)
		work->share->running++;
	if (uv_queue_work(work->lanes->loop, &work->uv, work_run, work_ran) < 0)
		abort(); /* only fails when we pass no function */
}

/* A worker is free again: for the next of the same pod, unless nobody is. */
static void share_go_on(struct lanes *lanes, struct share *share)
{
	struct work *next = share->first;

	share->running--;
	if (next) {
		share->first = next->next;
		if (!share->first)
			share->last = &share->first;
		work_start(next);
	} else if (!share->running) {
		index_remove(&lanes->shares, &share->cookie);
		free(share);
	}
}

static void work_ran(uv_work_t *uv, int status)
{
	struct work *work = uv->data;

	(void)status; /* work is never cancelled */
	if (work->share)
		share_go_on(work->lanes, work->share);
	work->done(work->arg);
}

/*
 * Workers take what there is in the order in which it came, so who could have all of them would: of
 * each pod only so much is put before them at a time, the rest waits here. Return: whether it does.
 */
static bool work_add(struct work *work, struct lanes *lanes, uint64_t cookie)
{
	uint32_t most = cookie == REAPER ? lanes->reapers : lanes->per_netns;

	work->uv.data = work;
	work->lanes = lanes;
	work->share = cookie ? share_of(lanes, cookie) : NULL; /* no memory: rather unfair */
	work->next = NULL;
	if (!work->share || work->share->running < most) {
		work_start(work);
		return false;
	}
	*work->share->last = work;
	work->share->last = &work->next;
	return true;
}

/* ---- lanes ---- */

static struct lane *lane_find(struct lanes *lanes, const char *key)
{
	struct lane *lane;

	for (lane = lanes->first; lane; lane = lane->next) {
		if (!strcmp(lane->key, key))
			return lane;
	}
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return NULL;
	memcpy(lane->key, key, sizeof(lane->key));
	lane->last = &lane->first;
	lane->next = lanes->first;
	lanes->first = lane;
	return lane;
}

static void lane_remove(struct lanes *lanes, struct lane *lane)
{
	struct lane **at = &lanes->first;

	while (*at != lane)
		at = &(*at)->next;
	*at = lane->next;
	free(lane);
}

/* Return: whether it is the task's turn at once. */
static bool lane_join(struct lane *lane, struct task *task)
{
	bool first = !lane->first;

	task->lane = lane;
	*lane->last = task;
	lane->last = &task->next;
	return first;
}

static void lane_leave(struct task *task)
{
	struct lane *lane = task->lane;

	if (!lane)
		return;
	lane->first = task->next;
	if (lane->first)
		go_on(lane->first);
	else
		lane_remove(task->lanes, lane);
}

/* ---- tasks ---- */

static void on_timer_closed(uv_handle_t *timer)
{
	free(timer->data);
}

static void task_done(struct task *task)
{
	task->lanes->running--;
	call_free(task->call);
	lane_leave(task);
	if (task->has_timer)
		uv_close((uv_handle_t *)&task->timer, on_timer_closed);
	else
		free(task);
}

static void task_work(struct task *task, void (*fn)(void *arg), void (*done)(void *arg))
{
	const struct peer *peer = &task->call->peer;

	task->work.fn = fn;
	task->work.done = done;
	task->work.arg = task;
	if (work_add(&task->work, task->lanes, peer->admin ? 0 : peer->cookie))
		metrics_limit(&task->call->core->metrics, LIMIT_WORKERS_PER_NETNS);
}

static void undo(void *task)
{
	call_undo(((struct task *)task)->call);
}

static void undone(void *task)
{
	task_done(task);
}

/* Counted once its reply is out: the client does not wait for that. */
static bool answer(struct call *call, bool (*ended)(void *arg, struct call *call), void *arg)
{
	bool sent = ended(arg, call);

	call_note(call);
	return sent;
}

static void finish(struct task *task)
{
	bool sent = answer(task->call, task->ended, task->arg);

	if (call_must_undo(task->call, sent))
		task_work(task, undo, undone);
	else
		task_done(task);
}

static void step(void *task)
{
	call_work(((struct task *)task)->call);
}

static void stepped(void *task)
{
	go_on(task);
}

static void on_timer(uv_timer_t *timer)
{
	struct task *task = timer->data;

	call_resume(task->call);
	go_on(task);
}

/* A call that has to wait for the kernel waits here, and not on a worker. */
static void pause_task(struct task *task)
{
	if (!task->has_timer)
		uv_timer_init(task->lanes->loop, &task->timer);
	task->timer.data = task;
	task->has_timer = true;
	uv_timer_start(&task->timer, on_timer, task->call->pause_ms, 0);
}

static void act(struct task *task, enum call_state state)
{
	if (state == CALL_ENDED)
		finish(task);
	else if (state == CALL_PAUSE)
		pause_task(task);
	else
		task_work(task, step, stepped);
}

static void go_on(struct task *task)
{
	act(task, call_run(task->call));
}

static void fail(struct call *call, bool (*ended)(void *arg, struct call *call), void *arg)
{
	fault_set(&call->fault, XSKD__CODE__RESOURCE_EXHAUSTED, ENOMEM,
		  "the daemon has no memory left");
	call->failed = true;
	(void)answer(call, ended, arg);
	call_free(call);
}

void lanes_run(struct lanes *lanes, struct call *call, bool (*ended)(void *arg, struct call *call),
	       void *arg)
{
	enum call_state state = *call->lane ? CALL_WORK : call_run(call);
	struct lane *lane = NULL;
	struct task *task;

	/* Most calls neither block nor wait: these need nothing of the below. */
	if (state == CALL_ENDED) {
		(void)answer(call, ended, arg); /* what has not blocked has made nothing to undo */
		call_free(call);
		return;
	}
	task = calloc(1, sizeof(*task));
	if (task && *call->lane)
		lane = lane_find(lanes, call->lane);
	if (!task || (*call->lane && !lane)) {
		free(task);
		fail(call, ended, arg);
		return;
	}
	*task = (struct task){ .lanes = lanes, .call = call, .ended = ended, .arg = arg };
	lanes->running++;
	if (!lane)
		act(task, state);
	else if (lane_join(lane, task))
		go_on(task);
}

/* ---- other work ---- */

struct job {
	struct work work;
	void (*fn)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

static void job_run(void *arg)
{
	struct job *job = arg;

	job->fn(job->arg);
}

static void job_ran(void *arg)
{
	struct job *job = arg;

	job->work.lanes->running--;
	if (job->done)
		job->done(job->arg);
	free(job);
}

static bool add_job(struct lanes *lanes, uint64_t cookie, void (*fn)(void *arg),
		    void (*done)(void *arg), void *arg)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return false;
	*job = (struct job){
		.work = { .fn = job_run, .done = job_ran, .arg = job },
		.fn = fn,
		.done = done,
		.arg = arg,
	};
	lanes->running++;
	(void)work_add(&job->work, lanes, cookie);
	return true;
}

bool lanes_work(struct lanes *lanes, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	return add_job(lanes, 0, work, done, arg);
}

static void close_all(void *arg)
{
	fdset_done(arg);
}

void lanes_reap(struct lanes *lanes, struct fdset *fds)
{
	struct fdset *mine = fdset_left(fds) ? calloc(1, sizeof(*mine)) : NULL;

	if (!mine) {
		fdset_done(fds); /* no memory: rather late than leaked */
		return;
	}
	fdset_move(mine, fds);
	if (!add_job(lanes, REAPER, close_all, free, mine)) {
		fdset_done(mine);
		free(mine);
	}
}
