// SPDX-License-Identifier: Apache-2.0
/* STATUS: could an ADD succeed now? */
#include <errno.h>
#include <string.h>

#include "attach.h"
#include "device.h"
#include "ipam.h"
#include "verbs.h"

static bool note_any(void *arg, const char *name)
{
	(void)name;
	*(bool *)arg = true;
	return true;
}

static uint32_t count_queues(const struct attach *a)
{
	struct channels c;

	/* A driver that cannot tell has one. */
	if (ethtool_channels(a->host.ethtool, a->link.name, &c) < 0 || !(c.rx + c.combined))
		return 1;
	return c.rx + c.combined;
}

static bool is_wanted(const struct conf *conf, uint32_t queue)
{
	for (size_t i = 0; i < conf->queues.n; i++) {
		if (conf->queues.queues[i] == queue)
			return true;
	}
	return false;
}

/* Queues of the device that pods have: all together, and of those that the configuration names. */
static int count_leased(struct attach *a, uint32_t *out, uint32_t *out_wanted)
{
	struct xskd_lease *leases = NULL;
	size_t n = 0;
	int err = xskd_list_leases(a->x, &leases, &n);

	*out = *out_wanted = 0;
	for (size_t i = 0; i < n && !err; i++) {
		if (!leases[i].queue_mode || leases[i].ifindex != a->link.ifindex)
			continue;
		*out += (uint32_t)leases[i].n_queues;
		for (size_t q = 0; q < leases[i].n_queues; q++)
			*out_wanted += is_wanted(a->conf, leases[i].queues[q]);
	}
	xskd_free(leases);
	return err < 0 ? fail_xskd(a->fail, a->x, err, "cannot list the leases") : 0;
}

static int check_queues(struct attach *a)
{
	const struct conf *conf = a->conf;
	uint32_t all = count_queues(a), leased, taken, count = conf->queue_count;

	if (count_leased(a, &leased, &taken) < 0)
		return -1;
	if (conf->queues.n && conf->queues.queues[conf->queues.n - 1] >= all)
		return fail_set(a->fail, FAIL_UNAVAILABLE,
				"'%s' has queues 0 to %u, there is no %u", a->link.name, all - 1,
				conf->queues.queues[conf->queues.n - 1]);
	if (taken)
		return fail_set(a->fail, FAIL_UNAVAILABLE,
				"%u of the configured queues of '%s' are with pods", taken,
				a->link.name);
	if (!count)
		count = conf->queues.n ? 0 : 1;
	if (leased + count <= all)
		return 0;
	return fail_set(a->fail, FAIL_UNAVAILABLE,
			"%u of the %u queues of '%s' are with pods, and the next one wants %u",
			leased, all, a->link.name, count);
}

static int check_device(struct attach *a)
{
	const struct conf *conf = a->conf;

	/* Which one, is for each pod to say: by deviceID, or by the plugin before this one. */
	if (!*conf->device)
		return 0;
	if (device_find(&a->host.rtnl, a->host.ethtool, conf->device, &a->link, a->fail) < 0)
		return -1;
	if (device_check_free(&a->host.rtnl, &a->link, conf->allow_in_use, a->fail) < 0)
		return -1;
	return conf->queue_mode ? check_queues(a) : 0;
}

static int check_all(struct attach *a, const struct env *env, const struct conf *conf)
{
	struct xskd_info info;
	int err;

	if (attach_daemon(a) < 0)
		return -1;
	err = xskd_get_info(a->x, &info);
	if (err < 0)
		return fail_xskd(a->fail, a->x, err, "xskd does not answer");
	if (check_device(a) < 0)
		return -1;
	return *conf->ipam ? ipam_run(conf->ipam, VERB_STATUS, env, conf->json, -1, NULL, a->fail)
			   : 0;
}

int verb_status(const struct env *env, const struct conf *conf, struct fail *fail)
{
	struct journals all = JOURNALS_INIT;
	struct journal none = JOURNAL_INIT;
	struct attach a;
	bool any = false;
	int err = journals_open(&all, conf->socket_dir, fail);

	if (!err)
		finish_others(&all, env);
	if (!err && journals_each(&all, JOURNAL_ATTACHED, note_any, &any) < 0)
		err = fail_set(fail, FAIL_IO, "cannot list what is attached");
	if (!err) {
		err = attach_open(&a, env, conf, &none, false, fail);
		if (!err)
			err = check_all(&a, env, conf);
		attach_done(&a);
	}
	journals_done(&all);
	/* Pods that run keep their sockets, but get no new ones from a daemon that is not there. */
	if (err && fail->code != FAIL_UNAVAILABLE && fail->code != FAIL_DEGRADED)
		fail->code = any && fail->code == FAIL_TRY_AGAIN ? FAIL_DEGRADED : FAIL_UNAVAILABLE;
	return err;
}
