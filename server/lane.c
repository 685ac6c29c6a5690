// SPDX-License-Identifier: Apache-2.0
#include "lane.h"

#include <string.h>
#include <sys/mman.h>
#include <uv.h>

#include "hold.h"
#include "log.h"

/* The one who closes descriptors has a share of the workers as a pod has: no namespace's cookie. */
#define REAPER UINT64_MAX
/* Who unmaps has another: a close that waits behind it would keep a queue busy for so long. */
#define UNMAPPER (UINT64_MAX - 1)
/* Who closes what strangers sent may have to wait for whatever they thought of. */
#define DISPOSER (UINT64_MAX - 2)
/* And who hangs up on them, for what they left there. */
#define HANGER (UINT64_MAX - 3)

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
	bool undo; /* when it ends */
};

struct lane {
	struct lane *next;
	char key[sizeof(((struct call *)0)->lane)];
	struct task *first, **last; /* the first one runs */
	bool leaving;               /* one has ended, and the next one is begun */
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

	hold_begin("work");
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
	uint32_t most = cookie >= UNMAPPER ? lanes->reapers
			: cookie >= HANGER ? (lanes->reapers + 3) / 4
					   : lanes->per_netns;

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

/* Those that fail at once, in a loop: a thousand of them would be a deep recursion. */
static void lane_leave(struct task *task)
{
	struct lanes *lanes = task->lanes;
	struct lane *lane = task->lane;
	struct task *next;

	if (!lane)
		return;
	lane->first = task->next;
	if (lane->leaving)
		return; /* we were called from the loop below */
	lane->leaving = true;
	while ((next = lane->first)) {
		go_on(next);
		if (lane->first == next)
			break; /* it is under way */
	}
	lane->leaving = false;
	if (!lane->first)
		lane_remove(lanes, lane);
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

/*
 * Of what went with the reply the client may have closed its copy by now, and ours be the last. The
 * next call of the lane waits for it: it may want the queue of this very socket.
 */
static void wind_up(void *arg)
{
	struct task *task = arg;

	if (task->undo)
		call_undo(task->call);
	fdset_done(&task->call->out);
}

static void wound_up(void *task)
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

	task->undo = call_must_undo(task->call, sent);
	if (task->undo || fdset_left(&task->call->out))
		task_work(task, wind_up, wound_up);
	else
		task_done(task);
}

static void step(void *task)
{
	call_work(((struct task *)task)->call);
}

static void stepped(void *task)
{
	hold_name(((struct task *)task)->call->method->name);
	go_on(task);
}

static void on_timer(uv_timer_t *timer)
{
	struct task *task = timer->data;

	hold_begin("pause");
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
	uint32_t *count; /* as one of which it is under way */
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

	--*job->count;
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
		.count = cookie == DISPOSER ? &lanes->disposing
			 : cookie == HANGER ? &lanes->hanging_up
					    : &lanes->running,
	};
	++*job->count;
	(void)work_add(&job->work, lanes, cookie);
	return true;
}

bool lanes_work(struct lanes *lanes, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	return add_job(lanes, 0, work, done, arg);
}

bool lanes_dispose(struct lanes *lanes, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	return add_job(lanes, DISPOSER, work, done, arg);
}

bool lanes_hang_up(struct lanes *lanes, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	return add_job(lanes, HANGER, work, done, arg);
}

/* ---- what is over ---- */

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

/* Nobody waits for it, and who has just been answered goes first: on one CPU workers would. */
#define UNMAP_AFTER_MS 1

struct mapping {
	uv_timer_t timer;
	struct lanes *lanes;
	void *area;
	size_t size;
};

static void unmap(void *arg)
{
	struct mapping *m = arg;

	munmap(m->area, m->size);
}

static void on_unmap_closed(uv_handle_t *timer)
{
	struct mapping *m = timer->data;

	m->lanes->running--;
	if (!add_job(m->lanes, UNMAPPER, unmap, free, m)) {
		unmap(m); /* no memory: rather late than leaked */
		free(m);
	}
}

static void on_unmap(uv_timer_t *timer)
{
	uv_close((uv_handle_t *)timer, on_unmap_closed);
}

void lanes_unmap(struct lanes *lanes, void *area, size_t size)
{
	struct mapping *m = malloc(sizeof(*m));

	if (!m) {
		munmap(area, size);
		return;
	}
	*m = (struct mapping){ .lanes = lanes, .area = area, .size = size };
	lanes->running++;
	uv_timer_init(lanes->loop, &m->timer);
	m->timer.data = m;
	uv_timer_start(&m->timer, on_unmap, UNMAP_AFTER_MS, 0);
}
