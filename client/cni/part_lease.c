// SPDX-License-Identifier: Apache-2.0
/*
 * The XDP program, and the lease. A program is loaded as a transient one: it goes with the last
 * lease that it serves, and by itself when this process is killed before there is a lease.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "attach.h"

#define TRIES    200
#define PAUSE_NS 10000000

static void pause_a_little(void)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };

	nanosleep(&pause, NULL);
}

/* Where the daemon finds the device: 0 stands for the host. */
static int netns_of(const struct attach *a)
{
	return a->at == &a->pod ? a->pod.netns : 0;
}

/* ---- part_program: a device of the pod's own gets a program of its own ---- */

bool attach_clear_orphan(struct attach *a)
{
	struct xskd_program p;

	return attach_daemon(a) == 0 &&
	       xskd_get_program(a->x, 0, a->link.name, netns_of(a), &p) == 0 && p.transient &&
	       !p.leases && xskd_unload_link(a->x, p.id, p.link_id, true) == 0;
}

static int load(struct attach *a, struct xskd_program *out)
{
	const struct conf *conf = a->conf;
	cleanup(close_fdp) int object = -1;
	struct xskd_load_opts opts = XSKD_OPTS(xskd_load_opts, .netns_fd = netns_of(a),
					       .mode = conf->xdp_mode, .transient = true);
	int err;

	if (*conf->object) {
		object = open(conf->object, O_RDONLY | O_CLOEXEC);
		if (object < 0) {
			err = -errno;
			fail_errno(a->fail, FAIL_CONFIG, err, "cannot open the program '%s'",
				   conf->object);
			return err;
		}
		opts.object_fd = object;
		opts.program = *conf->program ? conf->program : NULL;
		opts.map = *conf->map ? conf->map : NULL;
		opts.constants = conf->constants;
		opts.n_constants = conf->n_constants;
	}
	for (int i = 0; i < TRIES; i++) {
		err = xskd_load_program(a->x, a->link.name, &opts, out);
		if (err < 0)
			fail_xskd(a->fail, a->x, err, "cannot load the XDP program on '%s'",
				  a->link.name);
		/* A shared device's program without a lease is another pod's, which is about to
		 * grant. */
		if (err == -EEXIST && a->kind != ATTACH_QUEUES && attach_clear_orphan(a))
			continue;
		if (err != -EAGAIN) /* the one before is on its way out */
			break;
		pause_a_little();
	}
	if (err == 0)
		a->fail->code = 0;
	return err;
}

static int program_add(struct attach *a)
{
	struct xskd_program program;

	if (attach_daemon(a) < 0 ||
	    journal_note(a->journal, "program", json_integer(0), a->fail) < 0 ||
	    load(a, &program) < 0)
		return -1;
	/* The link first: with it, and with no id yet, the program is found by its place. */
	if (journal_note(a->journal, "link", json_integer(program.link_id), a->fail) < 0)
		return -1;
	return journal_note(a->journal, "program", json_integer(program.id), a->fail);
}

/* The daemon may be at it by itself, as when the pod's namespace has just ended. */
static int unload(struct attach *a, uint32_t id, uint32_t link)
{
	int err = xskd_unload_link(a->x, id, link, true);

	for (int i = 0; i < TRIES && err == -EAGAIN; i++) {
		pause_a_little();
		err = xskd_unload_link(a->x, id, link, true);
	}
	return err;
}

static int program_del(struct attach *a)
{
	const json_t *noted = json_object_get(a->journal->json, "program");
	uint32_t id = (uint32_t)json_integer_value(noted);
	uint32_t link = id ? (uint32_t)journal_number(a->journal, "link") : 0;
	struct xskd_program program;
	int err;

	if (!noted || (!id && !a->at))
		return 0;
	if (attach_daemon(a) < 0)
		return -1;
	err = xskd_get_program(a->x, id, id ? NULL : a->link.name, id ? 0 : netns_of(a), &program);
	if (err == -ENOENT) /* it went with its lease */
		return 0;
	/* Killed between the load and the note: the one that is there serves nobody. */
	if (!err && !id && (!program.transient || program.leases))
		return 0;
	if (!err)
		err = unload(a, program.id, link ? link : program.link_id);
	return err < 0 && err != -ENOENT
		       ? fail_xskd(a->fail, a->x, err, "cannot unload the program of '%s'",
				   journal_text(a->journal, "ifname"))
		       : 0;
}

static int program_check(struct attach *a)
{
	uint32_t id = (uint32_t)journal_number(a->journal, "program");
	struct xskd_program program;
	int err = xskd_get_program(a->x, id, NULL, 0, &program);

	if (err == -ENOENT || (!err && (!program.ifindex || a->link.xdp_program != id)))
		return fail_set(a->fail, FAIL_CHANGED,
				"XDP program %u is not on '%s' any more (there is %u)", id,
				a->link.name, a->link.xdp_program);
	return err < 0 ? fail_xskd(a->fail, a->x, err, "cannot look up program %u", id) : 0;
}

const struct part part_program = {
	.name = "program",
	.kinds = 1U << ATTACH_MOVED | 1U << ATTACH_THERE,
	.add = program_add,
	.del = program_del,
	.check = program_check,
};

/* ---- part_lease ---- */

static int grant(struct attach *a, struct xskd_lease **out)
{
	const struct env *env = a->env;
	const struct conf *conf = a->conf;
	const bool shared = a->kind == ATTACH_QUEUES;
	struct xskd_label labels[4] = { { "network", conf->name } };
	struct xskd_lease_opts opts =
		XSKD_OPTS(xskd_lease_opts, .device = shared ? a->link.name : NULL,
			  .queues = conf->queues.n ? conf->queues.queues : NULL,
			  .n_queues = conf->queues.n, .labels = labels, .n_labels = 1);
	int err;

	opts.queue_count = conf->queue_count;
	if (shared && !conf->queues.n && !conf->queue_count)
		opts.queue_count = 1;
	if (*env->pod)
		labels[opts.n_labels++] = (struct xskd_label){ "pod", env->pod };
	if (*env->namespace)
		labels[opts.n_labels++] = (struct xskd_label){ "namespace", env->namespace };
	if (*env->uid)
		labels[opts.n_labels++] = (struct xskd_label){ "uid", env->uid };
	err = xskd_grant_lease(a->x, env->container, env->ifname, a->pod.netns, &opts, out);
	return err < 0 ? fail_xskd(a->fail, a->x, err, "cannot grant the lease") : 0;
}

/*
 * A shared program comes with the first lease and goes with the last one, while other pods come and
 * go: with a lease of our own it stays, so the lease comes first.
 */
static int grant_served(struct attach *a, struct xskd_lease **out)
{
	for (int i = 0; i < TRIES; i++) {
		struct xskd_program program;
		int err;

		if (grant(a, out) < 0)
			return -1;
		if ((*out)->program_id)
			return 0;
		xskd_free(*out);
		*out = NULL;
		if (a->kind != ATTACH_QUEUES)
			return fail_set(
				a->fail, FAIL_REFUSED,
				"the XDP program of '%s' was taken off while it was attached",
				a->link.name);
		err = load(a, &program);
		if (err < 0 && err != -EEXIST)
			return -1;
		if (err < 0)
			pause_a_little(); /* another pod has loaded it, or it is somebody else's */
	}
	return -1; /* a->fail has what the daemon said of the program that is there */
}

static json_t *queues_json(const uint32_t *queues, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, json_integer(queues[i]));
	return array;
}

static void free_lease(struct xskd_lease **lease)
{
	xskd_free(*lease);
}

static int lease_add(struct attach *a)
{
	cleanup(free_lease) struct xskd_lease *lease = NULL;

	if (attach_daemon(a) < 0 || journal_note(a->journal, "queues", json_array(), a->fail) < 0 ||
	    grant_served(a, &lease) != 0)
		return -1;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it was granted */
	return journal_note(a->journal, "queues", queues_json(lease->queues, lease->n_queues),
			    a->fail);
}

static int lease_del(struct attach *a)
{
	int err;

	/* Without a record there may be a lease all the same: somebody removed the record. */
	if (a->journal->json && !json_object_get(a->journal->json, "queues"))
		return 0;
	if (attach_daemon(a) < 0)
		return -1;
	err = xskd_revoke_lease(a->x, a->env->container, a->env->ifname, NULL);
	return err < 0 ? fail_xskd(a->fail, a->x, err, "cannot revoke the lease") : 0;
}

static const struct xskd_lease *find_lease(const struct attach *a, const struct xskd_lease *leases,
					   size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(leases[i].container, a->env->container) &&
		    !strcmp(leases[i].interface, a->env->ifname))
			return &leases[i];
	}
	return NULL;
}

static int lease_check(struct attach *a)
{
	cleanup(free_lease) struct xskd_lease *leases = NULL;
	const struct xskd_lease *lease;
	size_t n;
	int err = xskd_list_leases(a->x, &leases, &n);

	if (err < 0)
		return fail_xskd(a->fail, a->x, err, "cannot list the leases");
	lease = find_lease(a, leases, n);
	if (!lease || lease->netns_cookie != a->cookie)
		return fail_set(a->fail, FAIL_CHANGED,
				"the pod has no lease on '%s' any more: its next hand-off would be "
				"refused",
				a->env->ifname);

	cleanup(json_decrefp) json_t *queues = queues_json(lease->queues, lease->n_queues);

	if (!json_equal(queues, json_object_get(a->journal->json, "queues")))
		return fail_set(a->fail, FAIL_CHANGED, "the lease on '%s' is on other queues",
				a->env->ifname);
	if (!lease->program_id)
		return fail_set(a->fail, FAIL_CHANGED, "no XDP program serves the lease on '%s'",
				a->env->ifname);
	return 0;
}

const struct part part_lease = {
	.name = "lease",
	.kinds = 1U << ATTACH_MOVED | 1U << ATTACH_THERE | 1U << ATTACH_QUEUES,
	.add = lease_add,
	.del = lease_del,
	.check = lease_check,
};
