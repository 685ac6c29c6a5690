// SPDX-License-Identifier: Apache-2.0
/* The device itself: found, claimed and recorded; then moved into the pod, and home again. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "attach.h"
#include "device.h"
#include "log.h"

/* Hardware of a namespace that has ended comes home behind its back (net/core/net_namespace.c). */
#define HOMECOMING_MS 5000

static json_t *record_of(const struct attach *a)
{
	return json_object_get(a->journal->json, "device");
}

static const char *old_name(const struct attach *a)
{
	const char *name = json_string_value(json_object_get(record_of(a), "name"));

	return name ? name : "";
}

/* ---- part_device ---- */

struct holder {
	const struct journals *all;
	const char *wanted;
	struct fail *fail;
};

/* For the message: who has the device that is not on the host. */
static bool name_holder(void *arg, const char *name)
{
	static const char *const keys[] = { "name", "bus", "mac", "permanent" };
	const struct holder *holder = arg;
	cleanup(json_decrefp) json_t *record = journal_peek(holder->all, JOURNAL_ATTACHED, name);
	const json_t *device = json_object_get(record, "device");
	const char *container, *pod;
	bool found = false;

	for (size_t i = 0; i < ARRAY_SIZE(keys) && !found; i++) {
		const char *text = json_string_value(json_object_get(device, keys[i]));

		found = text && !strcmp(text, holder->wanted);
	}
	container = json_string_value(json_object_get(record, "container"));
	pod = json_string_value(json_object_get(record, "pod"));
	if (found)
		fail_set(holder->fail, FAIL_DEVICE,
			 "device '%s' is with container '%s'%s%s%s until that ends", holder->wanted,
			 container, pod ? " (pod " : "", pod ? pod : "", pod ? ")" : "");
	return found;
}

static int find_on_host(struct attach *a)
{
	const struct conf *conf = a->conf;

	if (!*conf->device)
		return fail_set(a->fail, FAIL_CONFIG,
				"no device: set \"device\" to a name, PCI address or MAC (or have "
				"multus give a deviceID)");
	if (device_find(&a->host.rtnl, a->host.ethtool, conf->device, &a->link, a->fail) < 0) {
		struct holder holder = { a->journal->all, conf->device, a->fail };

		if (a->fail->code == FAIL_DEVICE)
			(void)!journals_each(a->journal->all, JOURNAL_ATTACHED, name_holder,
					     &holder);
		return -1;
	}
	a->at = &a->host;
	return 0;
}

/* Two ADDs may have found the same device: the second one finds that it has gone. */
static int take(struct attach *a)
{
	char name[IFNAMSIZ];

	memcpy(name, a->link.name, sizeof(name));
	if (journals_claim(a->journal->all, name, &a->held, a->fail) < 0)
		return -1;
	return find_on_host(a);
}

static int check_name_free(struct attach *a)
{
	struct link other;
	int err = rtnl_link(&a->pod.rtnl, a->env->ifname, 0, &other);

	if (err == -ENODEV)
		return 0;
	if (err < 0)
		return fail_errno(a->fail, FAIL_IO, err, "cannot look into the pod's namespace");
	return fail_set(a->fail, FAIL_NAME,
			"the pod has an interface '%s' already: CNI_IFNAME must be free",
			a->env->ifname);
}

static int find_in_pod(struct attach *a)
{
	const struct conf *conf = a->conf;
	int err;

	if (conf->has_mac || conf->mtu || conf->channels || conf->busy_poll)
		log_warning("mac, mtu, channels and busyPoll are for the plugin that made '%s': "
			    "ignored",
			    a->env->ifname);
	err = rtnl_link(&a->pod.rtnl, a->env->ifname, 0, &a->link);

	a->at = &a->pod;
	return err < 0 ? fail_errno(a->fail, FAIL_DEVICE, err,
				    "cannot find the interface '%s' of prevResult in the pod",
				    a->env->ifname)
		       : 0;
}

static int note_pod(struct attach *a)
{
	const struct env *env = a->env;

	if (!*env->pod)
		return 0;
	return journal_set(a->journal, "pod", json_sprintf("%s/%s", env->namespace, env->pod),
			   a->fail);
}

static int device_add(struct attach *a)
{
	json_t *record;
	int err = a->kind == ATTACH_THERE ? find_in_pod(a) : find_on_host(a);

	if (!err && a->kind == ATTACH_MOVED)
		err = take(a);
	if (!err && a->kind != ATTACH_THERE)
		err = device_check_free(&a->host.rtnl, &a->link, a->conf->allow_in_use, a->fail);
	if (!err && a->kind == ATTACH_MOVED)
		err = check_name_free(a);
	/* Before anything is set, for with a program on a device not all can be. */
	if (!err && a->kind == ATTACH_MOVED && a->link.xdp_program)
		(void)attach_clear_orphan(a);
	if (err < 0)
		return -1;
	record = device_record(&a->at->rtnl, a->at->ethtool, &a->link);
	if (!record)
		return fail_set(a->fail, FAIL_IO, "cannot read the state of device '%s'",
				a->link.name);
	if (a->kind == ATTACH_THERE)
		json_object_set_new(record, "podIfindex", json_integer(a->link.ifindex));
	return journal_set(a->journal, "device", record, a->fail) < 0 || note_pod(a) < 0
		       ? -1
		       : journal_write(a->journal, a->fail);
}

/* Its record is the last thing to go, with all of the attachment. */
static int device_del(struct attach *a)
{
	(void)a;
	return 0;
}

static int device_check(struct attach *a)
{
	struct place *expected = a->kind == ATTACH_QUEUES ? &a->host : &a->pod;

	if (a->at != expected)
		return fail_set(a->fail, FAIL_CHANGED, "device '%s' is not %s any more",
				old_name(a),
				a->kind == ATTACH_QUEUES ? "on the host" : "in the pod");
	if (a->kind != ATTACH_QUEUES && strcmp(a->link.name, a->env->ifname) != 0)
		return fail_set(a->fail, FAIL_CHANGED, "interface '%s' was renamed to '%s'",
				a->env->ifname, a->link.name);
	if (a->kind != ATTACH_QUEUES && !a->link.up)
		return fail_set(a->fail, FAIL_CHANGED, "interface '%s' is down", a->link.name);
	return 0;
}

const struct part part_device = {
	.name = "record",
	.kinds = 1U << ATTACH_MOVED | 1U << ATTACH_THERE | 1U << ATTACH_QUEUES,
	.add = device_add,
	.del = device_del,
	.check = device_check,
};

/* ---- part_move ---- */

static int move_add(struct attach *a)
{
	const struct link_change change = { .netns_fd = a->pod.netns, .name = a->env->ifname };
	uint32_t ifindex = a->link.ifindex;
	int err = rtnl_change(&a->host.rtnl, ifindex, &change);

	if (err < 0)
		return attach_refused(a, &a->host, err, "move into the pod the device");
	err = rtnl_link(&a->pod.rtnl, a->env->ifname, 0, &a->link);
	if (err < 0)
		return fail_errno(a->fail, FAIL_REFUSED, err, "cannot find '%s' after the move",
				  a->env->ifname);
	a->at = &a->pod;
	if (json_object_set_new(record_of(a), "podIfindex", json_integer(a->link.ifindex)) < 0)
		return fail_errno(a->fail, FAIL_IO, -ENOMEM, "cannot note the move");
	return journal_write(a->journal, a->fail);
}

static int find_home(struct attach *a)
{
	int sure = device_again(&a->host.rtnl, a->host.ethtool, record_of(a), a->env->ifname, false,
				&a->link);

	if (sure > 0)
		a->at = &a->host;
	return sure < 0 ? fail_errno(a->fail, FAIL_IO, sure, "cannot look for device '%s'",
				     old_name(a))
			: 0;
}

/* Hardware that is plugged in is somewhere; what is made of software ends with its namespace. */
static bool is_plugged_in(const struct attach *a)
{
	const char *bus = json_string_value(json_object_get(record_of(a), "bus"));
	char path[96];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.32s", bus ? bus : "");
	return bus && *bus && !strchr(bus, '/') && access(path, F_OK) == 0;
}

/* Under the name that the kernel gave it on its way home, if its own was taken. */
static int wait_for_it(struct attach *a)
{
	const struct timespec pause = { .tv_nsec = 20 * 1000000 };
	int patience = a->patient && a->pod.netns < 0 ? HOMECOMING_MS : 0;

	for (int waited = 0; !a->at && is_plugged_in(a); waited += 20) {
		if (find_home(a) < 0)
			return -1;
		if (!a->at && waited >= patience)
			return fail_set(a->fail, FAIL_DEVICE,
					"device '%s' is plugged in, but neither on the host nor in "
					"the pod (yet)",
					old_name(a));
		if (!a->at)
			nanosleep(&pause, NULL);
	}
	return 0;
}

static int rename_home(struct attach *a)
{
	const struct link_change down = { .mask = IFF_UP };
	const struct link_change name = { .name = old_name(a) };
	char what[64];
	int err = 0;

	if (!strcmp(a->link.name, old_name(a)))
		return 0;
	/* Before 6.2 a device that is up does not take a new name. */
	if (a->link.up)
		err = rtnl_change(&a->host.rtnl, a->link.ifindex, &down);
	if (!err)
		err = rtnl_change(&a->host.rtnl, a->link.ifindex, &name);
	snprintf(what, sizeof(what), "give the name '%s' back to", old_name(a));
	if (err < 0)
		return attach_refused(a, &a->host, err, what);
	a->link.up = false;
	snprintf(a->link.name, sizeof(a->link.name), "%s", old_name(a));
	return 0;
}

static int move_home(struct attach *a)
{
	const struct link_change change = { .netns_fd = a->host.netns, .name = old_name(a) };
	int err = rtnl_change(&a->pod.rtnl, a->link.ifindex, &change);

	a->at = NULL;
	/* A pod may have changed its MAC: its name is what we know it by now. */
	if (!err && rtnl_link(&a->host.rtnl, old_name(a), 0, &a->link) == 0)
		a->at = &a->host;
	/* It may have moved all the same, and only its name was taken. */
	else if (find_home(a) < 0)
		return -1;
	return a->at ? 0 : attach_refused(a, &a->pod, err, "move home the device");
}

static int move_del(struct attach *a)
{
	if (!record_of(a))
		return 0;
	if (wait_for_it(a) < 0)
		return -1;
	if (a->at == &a->pod && move_home(a) < 0)
		return -1;
	if (!a->at) {
		log_warning("device '%s' has gone: there is nothing to bring home", old_name(a));
		return 0;
	}
	return rename_home(a);
}

static int move_check(struct attach *a)
{
	(void)a; /* part_device has looked where it is */
	return 0;
}

const struct part part_move = {
	.name = "device",
	.kinds = 1U << ATTACH_MOVED,
	.add = move_add,
	.del = move_del,
	.check = move_check,
};
