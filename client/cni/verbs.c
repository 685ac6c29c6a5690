// SPDX-License-Identifier: Apache-2.0
/* ADD, DEL, CHECK, GC, and what is left of those that were killed. STATUS is in status.c. */
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attach.h"
#include "ipam.h"
#include "log.h"

/* ---- by the record alone ---- */

/* The environment and configuration of an attachment, as its record has them. */
struct recorded {
	struct env env;
	struct conf conf;
};

static int recorded_open(struct recorded *r, const struct journal *j, struct fail *fail)
{
	*r = (struct recorded){ .env = {
					.verb = VERB_DEL,
					.container = journal_text(j, "container"),
					.netns = journal_text(j, "netns"),
					.ifname = journal_text(j, "ifname"),
					.args = journal_text(j, "args"),
					.path = journal_text(j, "path"),
				} };
	if (env_args(&r->env, fail) < 0)
		return -1;
	return conf_parse(json_object_get(j->json, "config"), VERB_DEL, &r->conf, fail);
}

static int delete_recorded(struct journal *j, bool patient, struct fail *fail)
{
	struct recorded r;
	struct attach a;
	int err = recorded_open(&r, j, fail);

	if (!err) {
		err = attach_open(&a, &r.env, &r.conf, j, false, fail);
		a.patient = patient;
		if (!err)
			err = attach_del(&a);
		attach_done(&a);
	}
	conf_done(&r.conf);
	return err;
}

/* ---- what was left ---- */

struct sweep {
	const struct journals *all;
	const char *except; /* a name: that one is being worked on */
	struct fail *fail;  /* of the first that is still left */
};

static bool finish_one(void *arg, const char *name)
{
	struct sweep *sweep = arg;
	struct journal j = JOURNAL_INIT;
	struct fail fail = { .code = 0 };

	/* One whose lock is taken has somebody who works on it. */
	if (strcmp(name, sweep->except) != 0 &&
	    journal_open_name(&j, sweep->all, name, false, &fail) == 0 && j.json &&
	    j.place == JOURNAL_PENDING && delete_recorded(&j, false, &fail) < 0 &&
	    !sweep->fail->code)
		*sweep->fail = fail;
	journal_done(&j);
	return false;
}

static int finish_left(struct journals *all, const char *except, struct fail *fail)
{
	struct sweep sweep = { all, except, fail };
	int err = journals_tidy(all);

	if (!err)
		err = journals_each(all, JOURNAL_PENDING, finish_one, &sweep);
	if (err < 0)
		return fail_errno(fail, FAIL_IO, err, "cannot list what is left to be done");
	return fail->code ? -1 : 0;
}

void finish_others(struct journals *all, const struct env *env)
{
	struct fail ignored = { .code = 0 };
	char name[ENV_CONTAINER_MAX + IFNAMSIZ + 2];

	snprintf(name, sizeof(name), "%s@%s", env->container, env->ifname);
	(void)!finish_left(all, name, &ignored);
}

int reconcile(const char *socket_dir, struct fail *fail)
{
	struct journals all = JOURNALS_INIT;
	int err = journals_open(&all, socket_dir, fail);

	if (!err)
		err = finish_left(&all, "", fail);
	journals_done(&all);
	return err;
}

/* ---- ADD, CHECK, DEL ---- */

struct session {
	struct journals all;
	struct journal journal;
	struct attach attach;
};

static int session_open(struct session *s, const struct env *env, const struct conf *conf,
			bool need_pod, struct fail *fail)
{
	s->all = JOURNALS_INIT;
	s->journal = JOURNAL_INIT;
	if (journals_open(&s->all, conf->socket_dir, fail) < 0)
		return -1;
	finish_others(&s->all, env);
	if (journal_open(&s->journal, &s->all, env->container, env->ifname, true, fail) < 0)
		return -1;
	/* An ADD before this one was killed, and the runtime has not asked for its DEL. */
	if (env->verb == VERB_ADD && s->journal.json && s->journal.place == JOURNAL_PENDING &&
	    delete_recorded(&s->journal, false, fail) < 0)
		return -1;
	return attach_open(&s->attach, env, conf, &s->journal, need_pod, fail);
}

static void session_done(struct session *s)
{
	if (s->attach.journal)
		attach_done(&s->attach);
	journal_done(&s->journal);
	journals_done(&s->all);
}

int verb_add(const struct env *env, const struct conf *conf, json_t **out_result, struct fail *fail)
{
	struct session s = { .attach = { .journal = NULL } };
	int err = session_open(&s, env, conf, true, fail);

	if (!err)
		err = attach_add(&s.attach);
	if (!err) {
		*out_result = attach_result(&s.attach);
		if (!*out_result)
			err = fail_errno(fail, FAIL_IO, -ENOMEM, "cannot print the result");
	}
	session_done(&s);
	return err;
}

int verb_check(const struct env *env, const struct conf *conf, struct fail *fail)
{
	struct session s = { .attach = { .journal = NULL } };
	int err = session_open(&s, env, conf, true, fail);

	if (!err)
		err = attach_check(&s.attach);
	session_done(&s);
	return err;
}

int verb_del(const struct env *env, const struct conf *conf, struct fail *fail)
{
	struct session s = { .attach = { .journal = NULL } };
	int err = session_open(&s, env, conf, false, fail);

	s.attach.patient = true;
	/* A pod must be able to end, whatever is wrong: the record says what is left to be done. */
	if (!err && attach_del(&s.attach) < 0) {
		log_warning("'%s' of container '%s' is left half attached for now: %s", env->ifname,
			    env->container, fail->msg);
		fail->code = 0;
	}
	session_done(&s);
	return err;
}

/* ---- GC ---- */

struct gc {
	const struct journals *all;
	const struct conf *conf;
	struct fail *fail; /* the first */
};

static bool is_valid(const struct conf *conf, const char *container, const char *ifname)
{
	const json_t *list = json_object_get(conf->json, "cni.dev/valid-attachments"), *item;
	size_t i;

	json_array_foreach(list, i, item) {
		const char *id = json_string_value(json_object_get(item, "containerID"));
		const char *name = json_string_value(json_object_get(item, "ifname"));

		if (id && name && !strcmp(id, container) && !strcmp(name, ifname))
			return true;
	}
	return false;
}

static bool collect(void *arg, const char *name)
{
	struct gc *gc = arg;
	char container[ENV_CONTAINER_MAX + IFNAMSIZ + 2];
	struct journal j = JOURNAL_INIT;
	struct fail fail = { .code = 0 };
	const char *ifname;

	if (!journal_key(name, container, &ifname) || is_valid(gc->conf, container, ifname))
		return false;
	if (journal_open_name(&j, gc->all, name, true, &fail) == 0 && j.json &&
	    !strcmp(journal_text(&j, "network"), gc->conf->name))
		(void)!delete_recorded(&j, true, &fail);
	journal_done(&j);
	if (fail.code && !gc->fail->code)
		*gc->fail = fail;
	return false;
}

static const char *network_of(const struct xskd_lease *lease)
{
	for (size_t i = 0; i < lease->n_labels; i++) {
		if (!strcmp(lease->labels[i].key, "network"))
			return lease->labels[i].value;
	}
	return "";
}

/* Leases without a record: somebody has removed it. */
static void collect_leases(struct gc *gc, struct attach *a)
{
	struct xskd_lease *leases = NULL;
	size_t n = 0;
	int err = attach_daemon(a) < 0 ? 0 : xskd_list_leases(a->x, &leases, &n);

	for (size_t i = 0; i < n && !err; i++) {
		if (!strcmp(network_of(&leases[i]), gc->conf->name) &&
		    !is_valid(gc->conf, leases[i].container, leases[i].interface))
			err = xskd_revoke_lease(a->x, leases[i].container, leases[i].interface,
						NULL);
	}
	if (err < 0)
		fail_xskd(a->fail, a->x, err, "cannot collect the leases");
	xskd_free(leases);
}

int verb_gc(const struct env *env, const struct conf *conf, struct fail *fail)
{
	struct journals all = JOURNALS_INIT;
	struct fail first = { .code = 0 };
	struct gc gc = { &all, conf, &first };
	struct attach a = { .conf = conf, .fail = fail };
	int err;

	if (!json_is_array(json_object_get(conf->json, "cni.dev/valid-attachments")))
		return fail_set(
			fail, FAIL_CONFIG,
			"GC needs the list 'cni.dev/valid-attachments': without it all pods "
			"would lose their devices");
	if (journals_open(&all, conf->socket_dir, fail) < 0)
		return -1;
	finish_others(&all, env);
	err = journals_each(&all, JOURNAL_PENDING, collect, &gc);
	if (!err)
		err = journals_each(&all, JOURNAL_ATTACHED, collect, &gc);
	if (err < 0)
		fail_errno(fail, FAIL_IO, err, "cannot list what is attached");
	else
		collect_leases(&gc, &a);
	xskd_close(a.x);
	journals_done(&all);
	if (!first.code)
		first = *fail;
	fail->code = 0;
	if (*conf->ipam && ipam_run(conf->ipam, VERB_GC, env, conf->json, -1, NULL, fail) < 0 &&
	    !first.code)
		first = *fail;
	*fail = first;
	return first.code ? -1 : 0;
}
