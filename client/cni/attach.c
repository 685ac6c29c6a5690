// SPDX-License-Identifier: Apache-2.0
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "device.h"
#include "log.h"
#include "netns.h"

#define DAEMON_TIMEOUT_MS 20000 /* the runtime waits for minutes; a load takes some 20 ms */

static const struct part *const parts[] = {
	&part_device,  &part_settings, &part_program, &part_move,
	&part_address, &part_lease,    &part_steer,
};

static const char *const kinds[] = { "moved", "there", "queues" };

/* ---- where it works ---- */

static int open_sockets(void *arg)
{
	struct place *place = arg;
	int err = rtnl_open(&place->rtnl);

	if (err < 0)
		return err;
	place->ethtool = ethtool_open();
	return place->ethtool < 0 ? place->ethtool : 0;
}

static int open_host(struct attach *a)
{
	int err;

	a->host.netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	err = a->host.netns < 0 ? -errno : open_sockets(&a->host);
	return err < 0 ? fail_errno(a->fail, FAIL_IO, err, "cannot open rtnetlink") : 0;
}

/* A path may lead to another pod's namespace by now: only its cookie tells. */
static bool is_strange(const struct attach *a)
{
	const json_t *noted = json_object_get(a->journal->json, "cookie");

	return noted && (uint64_t)json_integer_value(noted) != a->cookie;
}

static void forget_pod(struct attach *a)
{
	rtnl_done(&a->pod.rtnl);
	close_fdp(&a->pod.ethtool);
	close_fdp(&a->pod.netns);
	a->pod = (struct place){ -1, -1, RTNL_INIT };
}

static int open_pod(struct attach *a, bool need)
{
	/* A runtime may have forgotten it by the time of DEL. */
	const char *path = *a->env->netns ? a->env->netns : journal_text(a->journal, "netns");
	struct fail *fail = a->fail;
	int err;

	if (!*path || netns_open(path, &a->pod.netns, fail) < 0) {
		if (need)
			return -1;
		fail->code = 0;
		return 0;
	}
	err = netns_visit(a->pod.netns, open_sockets, &a->pod);
	if (!err)
		err = netns_cookie(a->pod.rtnl.fd, &a->cookie);
	if (err < 0)
		return fail_errno(fail, FAIL_NETNS, err, "cannot enter the network namespace '%s'",
				  path);
	if (is_strange(a) && need)
		return fail_set(fail, FAIL_NETNS,
				"'%s' is not the network namespace that '%s' was attached to", path,
				a->env->container);
	if (is_strange(a))
		forget_pod(a);
	return 0;
}

static enum attach_kind find_kind(const struct attach *a)
{
	const char *noted = journal_text(a->journal, "kind");

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!strcmp(noted, kinds[i]))
			return (enum attach_kind)i;
	}
	if (a->conf->queue_mode)
		return ATTACH_QUEUES;
	return !*a->conf->device && attach_interface(a->conf->prev_result, a->env->ifname, NULL)
		       ? ATTACH_THERE
		       : ATTACH_MOVED;
}

int attach_open(struct attach *a, const struct env *env, const struct conf *conf,
		struct journal *journal, bool need_pod, struct fail *fail)
{
	*a = (struct attach){
		.env = env,
		.conf = conf,
		.journal = journal,
		.fail = fail,
		.host = { -1, -1, RTNL_INIT },
		.pod = { -1, -1, RTNL_INIT },
		.held = HELD_NONE,
	};
	a->kind = find_kind(a);
	return open_host(a) < 0 || open_pod(a, need_pod) < 0 ? -1 : 0;
}

static void place_done(struct place *place)
{
	rtnl_done(&place->rtnl);
	close_fdp(&place->ethtool);
	close_fdp(&place->netns);
}

void attach_done(struct attach *a)
{
	held_drop(&a->held);
	place_done(&a->host);
	place_done(&a->pod);
	xskd_close(a->x);
	json_decref(a->ipam);
}

int attach_daemon(struct attach *a)
{
	cleanup(freep) char *path = NULL;
	int err;

	if (a->x && xskd_fd(a->x) >= 0)
		return 0;
	if (asprintf(&path, "%s/admin/xskd.sock", a->conf->socket_dir) < 0) {
		path = NULL;
		return fail_errno(a->fail, FAIL_IO, -ENOMEM, "cannot connect to xskd");
	}
	xskd_close(a->x);
	err = xskd_open(path, DAEMON_TIMEOUT_MS, &a->x);
	return err < 0 ? fail_xskd(a->fail, a->x, err,
				   "xskd does not answer on this node (is its "
				   "service or DaemonSet running?)")
		       : 0;
}

int attach_refused(struct attach *a, struct place *at, int err, const char *what)
{
	const char *why = at->rtnl.why;

	return fail_errno(a->fail, FAIL_REFUSED, err, "cannot %s '%s'%s%s%s", what, a->link.name,
			  *why ? " (" : "", why, *why ? ")" : "");
}

/* ---- adding ---- */

/* The device, wherever it is now; a record without one has not got that far. */
static int locate(struct attach *a)
{
	const json_t *record = json_object_get(a->journal->json, "device");
	struct place *const places[] = { &a->pod, &a->host };
	struct link link;
	int best = 0;

	a->at = NULL;
	for (size_t i = 0; record && i < ARRAY_SIZE(places); i++) {
		bool in_pod = places[i] == &a->pod;
		int sure;

		if (places[i]->netns < 0 || (in_pod && a->kind == ATTACH_QUEUES))
			continue;
		sure = device_again(&places[i]->rtnl, places[i]->ethtool, record, a->env->ifname,
				    in_pod, &link);
		if (sure < 0)
			return fail_errno(a->fail, FAIL_IO, sure, "cannot look for device '%s'",
					  json_string_value(json_object_get(record, "name")));
		if (sure > best) {
			best = sure;
			a->at = places[i];
			a->link = link;
		}
	}
	return 0;
}

static bool concerns(const struct part *part, const struct attach *a)
{
	return part->kinds & (1U << a->kind);
}

/* What is found on the way down may be only half there: that is no reason to stop. */
static int delete_from(struct attach *a, size_t n)
{
	struct fail first = { .code = 0 }, *told = a->fail;
	struct fail now;

	a->fail = &now;
	while (n--) {
		now.code = 0;
		if (!concerns(parts[n], a) || parts[n]->del(a) == 0)
			continue;
		log_warning("cannot take back the %s of '%s' yet: %s", parts[n]->name,
			    a->journal->name, now.msg);
		if (!first.code)
			first = now;
	}
	a->fail = told;
	if (first.code)
		*told = first;
	return first.code ? -1 : 0;
}

static void roll_back(struct attach *a, size_t n)
{
	struct fail why = *a->fail;

	/* What is left is for the DEL that follows, or for any other run. */
	if (locate(a) == 0 && delete_from(a, n) == 0)
		journal_remove(a->journal);
	*a->fail = why;
}

int attach_add(struct attach *a)
{
	if (a->journal->json)
		return fail_set(a->fail, FAIL_NAME,
				"container '%s' has '%s' already: DEL it before another ADD",
				a->env->container, a->env->ifname);
	if (journal_begin(a->journal, a->env, a->conf, a->fail) < 0 ||
	    journal_set(a->journal, "kind", json_string(kinds[a->kind]), a->fail) < 0 ||
	    journal_set(a->journal, "cookie", json_integer((json_int_t)a->cookie), a->fail) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (concerns(parts[i], a) && parts[i]->add(a) < 0) {
			roll_back(a, i + 1);
			return -1;
		}
	}
	if (journal_move(a->journal, JOURNAL_ATTACHED, a->fail) < 0) {
		roll_back(a, ARRAY_SIZE(parts));
		return -1;
	}
	return 0;
}

/* ---- deleting, checking ---- */

static int claim_again(struct attach *a)
{
	const json_t *record = json_object_get(a->journal->json, "device");
	const char *name = json_string_value(json_object_get(record, "name"));

	if (a->kind != ATTACH_MOVED || !name || a->held.fd >= 0)
		return 0;
	return journals_claim(a->journal->all, name, &a->held, a->fail);
}

int attach_del(struct attach *a)
{
	/* First of all it must be known that this has to be finished. */
	if (a->journal->json && journal_move(a->journal, JOURNAL_PENDING, a->fail) < 0)
		return -1;
	if (claim_again(a) < 0 || locate(a) < 0 || delete_from(a, ARRAY_SIZE(parts)) < 0)
		return -1;
	journal_remove(a->journal);
	return 0;
}

int attach_check(struct attach *a)
{
	if (!a->journal->json || a->journal->place != JOURNAL_ATTACHED)
		return fail_set(a->fail, FAIL_CHANGED,
				"there is no record of '%s' for container '%s': it was never "
				"attached, or another boot ago",
				a->env->ifname, a->env->container);
	if (attach_daemon(a) < 0 || locate(a) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (concerns(parts[i], a) && parts[i]->check(a) < 0)
			return -1;
	}
	return 0;
}
