// SPDX-License-Identifier: Apache-2.0
#include "lane.h"

#include <string.h>
#include <uv.h>

#include "log.h"

struct task {
	uv_work_t work; /* data: the task */
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

static void task_done(struct task *task)
{
	task->lanes->running--;
	call_free(task->call);
	lane_leave(task);
	free(task);
}

static void undo(uv_work_t *work)
{
	call_undo(((struct task *)work->data)->call);
}

static void undone(uv_work_t *work, int status)
{
	(void)status; /* work is never cancelled */
	task_done(work->data);
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

	if (!call_must_undo(task->call, sent))
		task_done(task);
	else if (uv_queue_work(task->lanes->loop, &task->work, undo, undone) < 0)
		abort(); /* only fails when we pass no function */
}

static void step(uv_work_t *work)
{
	call_work(((struct task *)work->data)->call);
}

static void stepped(uv_work_t *work, int status)
{
	(void)status;
	go_on(work->data);
}

static void go_on(struct task *task)
{
	if (call_run(task->call) == CALL_ENDED)
		finish(task);
	else if (uv_queue_work(task->lanes->loop, &task->work, step, stepped) < 0)
		abort();
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
	struct lane *lane = NULL;
	struct task *task;

	/* Most calls neither block nor wait: these need nothing of the below. */
	if (!*call->lane && call_run(call) == CALL_ENDED) {
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
	task->work.data = task;
	lanes->running++;
	if (!lane) { /* its blocking step is due */
		if (uv_queue_work(lanes->loop, &task->work, step, stepped) < 0)
			abort();
	} else if (lane_join(lane, task)) {
		go_on(task);
	}
}

/* ---- other work ---- */

struct job {
	uv_work_t work;
	struct lanes *lanes;
	void (*fn)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

static void job_run(uv_work_t *work)
{
	struct job *job = work->data;

	job->fn(job->arg);
}

static void job_ran(uv_work_t *work, int status)
{
	struct job *job = work->data;

	(void)status;
	job->lanes->running--;
	if (job->done)
		job->done(job->arg);
	free(job);
}

bool lanes_work(struct lanes *lanes, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return false;
	*job = (struct job){ .lanes = lanes, .fn = work, .done = done, .arg = arg };
	job->work.data = job;
	lanes->running++;
	if (uv_queue_work(lanes->loop, &job->work, job_run, job_ran) < 0)
		abort();
	return true;
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
	if (!lanes_work(lanes, close_all, free, mine)) {
		fdset_done(mine);
		free(mine);
	}
}
