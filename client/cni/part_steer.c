// SPDX-License-Identifier: Apache-2.0
/*
 * Rules of the NIC that bring the pod's packets to its queues. Nobody but this pod has these
 * queues, so a rule that sends there and was not there before is one of its own: no list of rules
 * has to be kept that a kill could make wrong.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attach.h"
#include "log.h"
#include "rule.h"

/* What the rules of one attachment have in common. */
struct steer {
	struct attach *a;
	const char *device;
	const json_t *queues; /* of the lease */
	uint32_t group;       /* 0: none */
	char ipv4[64], ipv6[64];
};

static uint32_t queue_at(const struct steer *s, size_t i)
{
	return (uint32_t)json_integer_value(json_array_get(s->queues, i));
}

static bool has_queue(const struct steer *s, uint64_t queue)
{
	for (size_t i = 0; i < json_array_size(s->queues); i++) {
		if (queue_at(s, i) == queue)
			return true;
	}
	return false;
}

/* The pod's first address of each family, without its prefix. */
static void take_addresses(struct steer *s, const json_t *result)
{
	const json_t *ip;
	size_t i;

	json_array_foreach(json_object_get(result, "ips"), i, ip) {
		const char *address = json_string_value(json_object_get(ip, "address"));
		char *to = address && strchr(address, ':') ? s->ipv6 : s->ipv4;

		if (address && !*to)
			snprintf(to, sizeof(s->ipv4), "%.*s", (int)strcspn(address, "/"), address);
	}
}

/* Where a driver has no rules, that is told, and the pod starts all the same. */
static int cannot(struct steer *s, int err, const char *what)
{
	if (err != -EOPNOTSUPP)
		return fail_errno(s->a->fail, FAIL_REFUSED, err, "cannot %s on '%s'", what,
				  s->device);
	log_warning("the driver of '%s' cannot %s: the pod gets what the NIC's hash brings to its "
		    "queues",
		    s->device, what);
	return 0;
}

/* ---- adding ---- */

/* Who looks whether another pod's ADD, not an administrator, has had rules heeded. */
struct asker {
	const struct steer *steer;
	bool ours;
};

static bool ask_record(void *arg, const char *name)
{
	struct asker *asker = arg;
	const struct attach *a = asker->steer->a;
	cleanup(json_decrefp) json_t *record =
		journal_peek(a->journal->all, JOURNAL_ATTACHED, name);
	const char *device =
		json_string_value(json_object_get(json_object_get(record, "device"), "name"));
	const json_t *rules = json_object_get(record, "rules");

	asker->ours = device && !strcmp(device, asker->steer->device) &&
		      json_is_false(json_object_get(rules, "ntuple"));
	return asker->ours;
}

static int note_before(struct steer *s)
{
	struct attach *a = s->a;
	cleanup(freep) struct rule *rules = NULL;
	json_t *locations = json_array();
	struct asker asker = { s, false };
	bool ntuple = false;
	size_t n = 0;
	int err = rules_read(a->at->ethtool, s->device, &rules, &n);

	/* A driver that keeps rules only while they are heeded has none to list before. */
	if (!err || err == -EOPNOTSUPP)
		err = ethtool_ntuple(a->at->ethtool, s->device, &ntuple);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(locations, json_integer(rules[i].location));
	if (err < 0) {
		json_decref(locations);
		return fail_errno(a->fail, FAIL_REFUSED, err, "cannot read the rules of '%s'",
				  s->device);
	}
	if (ntuple)
		(void)!journals_each(a->journal->all, JOURNAL_ATTACHED, ask_record, &asker);
	return journal_note(
		a->journal, "rules",
		json_pack("{s:o, s:b}", "before", locations, "ntuple", ntuple && !asker.ours),
		a->fail);
}

static int make_group(struct steer *s)
{
	struct attach *a = s->a;
	size_t n = json_array_size(s->queues);
	uint32_t queues[ARGS_QUEUES_MAX];
	int err;

	if (n < 2 || n > ARGS_QUEUES_MAX)
		return 0;
	for (size_t i = 0; i < n; i++)
		queues[i] = queue_at(s, i);
	err = group_add(a->at->ethtool, s->device, queues, n, &s->group);
	if (err == -EOPNOTSUPP || err == -EINVAL) {
		log_warning("the driver of '%s' has no RSS contexts: what the rules match goes to "
			    "queue %u alone",
			    s->device, queues[0]);
		s->group = 0;
		return 0;
	}
	if (err < 0)
		return cannot(s, err, "make an RSS context");
	return journal_note(a->journal, "group", json_integer(s->group), a->fail);
}

static int add_rule(struct steer *s, const struct filter *f)
{
	bool all = f->queue < 0;
	uint32_t location, queue = all ? queue_at(s, 0) : (uint32_t)f->queue;
	const char *pod_ip = strchr(f->flow, '6') ? s->ipv6 : s->ipv4;
	int err;

	if (!has_queue(s, queue))
		return fail_set(s->a->fail, FAIL_CONFIG,
				"a filter sends to queue %u, which the pod does not have", queue);
	if (!strcmp(f->dst_ip, "pod") && !*pod_ip)
		return fail_set(
			s->a->fail, FAIL_CONFIG,
			"a filter for %s wants the pod's address, but IPAM gave none of that "
			"family",
			f->flow);
	err = rule_add(s->a->at->ethtool, s->device, f, pod_ip, all ? s->group : 0, queue,
		       &location);
	return err < 0 ? cannot(s, err, "take a steering rule") : 0;
}

/* In queue mode a pod with an address wants what is sent to it, without being asked. */
static size_t default_filters(const struct steer *s, struct filter out[2])
{
	size_t n = 0;

	if (*s->ipv4)
		out[n++] = (struct filter){ "ip4", "", "pod", 0, 0, "", 0, -1 };
	if (*s->ipv6)
		out[n++] = (struct filter){ "ip6", "", "pod", 0, 0, "", 0, -1 };
	return n;
}

static int steer_open(struct steer *s, struct attach *a)
{
	*s = (struct steer){
		.a = a,
		.device = a->link.name,
		.queues = json_object_get(a->journal->json, "queues"),
		.group = (uint32_t)journal_number(a->journal, "group"),
	};
	/* Several pods may set rules of a shared device, and each looks for a free place. */
	if (a->kind == ATTACH_QUEUES && a->held.fd < 0)
		return journals_claim(a->journal->all, s->device, &a->held, a->fail);
	return 0;
}

static int steer_add(struct attach *a)
{
	struct filter defaults[2];
	const struct filter *filters = a->conf->filters;
	size_t n = a->conf->n_filters;
	struct steer s;
	int err;

	if (steer_open(&s, a) < 0)
		return -1;
	take_addresses(&s, a->ipam);
	if (!n && a->kind == ATTACH_QUEUES) {
		filters = defaults;
		n = default_filters(&s, defaults);
	}
	/* What is asked for by name may be an address that an earlier plugin gave. */
	take_addresses(&s, a->conf->prev_result);
	if (!n)
		return 0;
	if (note_before(&s) < 0)
		return -1;
	err = ethtool_set_ntuple(a->at->ethtool, s.device, true);
	if (err < 0)
		return cannot(&s, err, "steer packets by rules");
	if (make_group(&s) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (add_rule(&s, &filters[i]) < 0)
			return -1;
	}
	return 0;
}

/* ---- deleting ---- */

static bool was_before(const json_t *before, uint32_t location)
{
	const json_t *value;
	size_t i;

	json_array_foreach(before, i, value) {
		if (json_integer_value(value) == location)
			return true;
	}
	return false;
}

static bool is_ours(const struct steer *s, const struct rule *rule)
{
	if (s->a->kind != ATTACH_QUEUES)
		return true;
	return rule->group ? rule->group == s->group : has_queue(s, rule->queue);
}

static int delete_rules(struct steer *s, const json_t *before, size_t *out_left)
{
	struct attach *a = s->a;
	cleanup(freep) struct rule *rules = NULL;
	int err = rules_read(a->at->ethtool, s->device, &rules, out_left);
	size_t n = err ? 0 : *out_left;

	for (size_t i = 0; i < n && !err; i++) {
		if (was_before(before, rules[i].location) || !is_ours(s, &rules[i]))
			continue;
		err = rule_delete(a->at->ethtool, s->device, rules[i].location);
		*out_left -= !err;
	}
	return err == -EOPNOTSUPP ? 0 : err;
}

static int steer_del(struct attach *a)
{
	const json_t *noted = json_object_get(a->journal->json, "rules");
	size_t left = 0;
	struct steer s;
	int err;

	if (!noted || !a->at)
		return 0;
	if (steer_open(&s, a) < 0)
		return -1;
	err = delete_rules(&s, json_object_get(noted, "before"), &left);
	if (!err && s.group)
		err = group_delete(a->at->ethtool, s.device, s.group);
	if (!err && !left && !json_is_true(json_object_get(noted, "ntuple")))
		err = ethtool_set_ntuple(a->at->ethtool, s.device, false);
	return err < 0 && err != -EOPNOTSUPP
		       ? fail_errno(a->fail, FAIL_REFUSED, err, "cannot delete the rules of '%s'",
				    s.device)
		       : 0;
}

static int steer_check(struct attach *a)
{
	(void)a; /* an administrator may have changed rules: that is what they are for */
	return 0;
}

const struct part part_steer = {
	.name = "steering rules",
	.kinds = 1U << ATTACH_MOVED | 1U << ATTACH_THERE | 1U << ATTACH_QUEUES,
	.add = steer_add,
	.del = steer_del,
	.check = steer_check,
};
