// SPDX-License-Identifier: Apache-2.0
/*
 * What xskd-cni is given: a configuration on stdin, CNI_ARGS, the result of the plugins before it
 * and of an IPAM plugin, a record on disk. Whatever they are, they give values within bounds, or an
 * error that says why and that can be printed.
 */
#include <fcntl.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach.h"
#include "check.h"
#include "device.h"
#include "message.h"
#include "mutate.h"
#include "value.h"

/* The first byte of an input: what the rest is. */
enum kind {
	KIND_CONF,
	KIND_ARGS,
	KIND_RECORD,
	KIND_REPLY,  /* of rtnetlink */
	KIND_RESULT, /* of ADD: a configuration with prevResult, and what IPAM gave as "args" */
	KINDS,
};

static struct journals journals = { .dir = { -1, -1, -1 } };
static char dir[64];
static int file;

static void check_fail(const struct fail *fail)
{
	check(fail->code);
	check(*fail->msg && memchr(fail->msg, '\0', sizeof(fail->msg)));
	check(memchr(fail->details, '\0', sizeof(fail->details)));
	fail_print(fail, "1.0.0"); /* into /dev/null */
}

/* What all that follows relies upon. */
static void check_conf(const struct conf *conf, enum verb verb)
{
	uint8_t mac[MAC_SIZE];

	check(conf->version < CNI_VERSIONS);
	check(verb == VERB_DEL || env_is_container(conf->name));
	check(conf->device && conf->object && conf->program && conf->map);
	check(*conf->socket_dir == '/' && (!*conf->log_file || *conf->log_file == '/'));
	check(!strchr(conf->ipam, '/'));
	check(conf->n_filters <= CONF_FILTERS_MAX);
	if (verb == VERB_DEL) /* has gone on after an error */
		return;
	check(conf->queues.n <= ARGS_QUEUES_MAX && conf->queue_count <= ARGS_QUEUES_MAX);
	for (size_t i = 1; i < conf->queues.n; i++)
		check(conf->queues.queues[i - 1] < conf->queues.queues[i]);
	check(!conf->queues.n || !conf->queue_count);
	check(!conf->prev_result || json_is_object(conf->prev_result));
	check(!conf->queue_mode || (!conf->mtu && !conf->channels && !conf->has_mac));
	check(!conf->mtu || (conf->mtu >= 68 && conf->mtu <= 65535));
	check(conf->channels <= 4096 && !(conf->has_mac && (conf->mac[0] & 1)));
	for (size_t i = 0; i < conf->n_filters; i++) {
		const struct filter *f = &conf->filters[i];

		check(*f->flow && f->queue >= -1 && f->queue <= ARGS_QUEUES_MAX);
		check(!*f->dst_mac || value_mac(f->dst_mac, mac));
	}
	for (size_t i = 0; i < conf->n_constants; i++)
		check(conf->constants[i].name && *conf->constants[i].name);
}

static void put(const uint8_t *data, size_t size)
{
	check(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
	check(lseek(file, 0, SEEK_SET) == 0);
}

static void try_result(struct conf *conf, uint8_t byte)
{
	struct env env = { .container = "c", .ifname = "net1", .netns = "/ns" };
	struct place place = { -1, -1, RTNL_INIT };
	struct attach a = {
		.env = &env,
		.conf = conf,
		.kind = byte % 3,
		.at = &place,
		.link = { .name = "net1", .mtu = 1500, .mac_len = byte % LINK_ADDRESS_MAX },
		.ipam = json_object_get(conf->json, "args"),
	};
	json_t *result = attach_result(&a);
	char *text = json_dumps(result, 0);

	check(json_is_object(result) && text);
	check(json_array_size(json_object_get(result, "interfaces")));
	check(json_is_array(json_object_get(result, "ips")));
	check(json_is_array(json_object_get(result, "routes")));
	free(text);
	json_decref(result);
}

static void try_conf(const uint8_t *data, size_t size, bool result)
{
	static const enum verb all[] = { VERB_ADD, VERB_DEL, VERB_GC, VERB_VERSION };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct fail fail = { .code = 0 };
		struct conf conf;

		put(data, size);
		if (conf_read(file, all[i], &conf, &fail) < 0) {
			check_fail(&fail);
		} else {
			check(!fail.code);
			if (all[i] != VERB_VERSION)
				check_conf(&conf, all[i]);
			if (result && all[i] == VERB_ADD)
				try_result(&conf, data[size - 1]);
		}
		conf_done(&conf);
	}
}

static void try_args(const uint8_t *data, size_t size)
{
	struct fail fail = { .code = 0 };
	char *text = strndup((const char *)data, size);
	struct env env = { .args = text };

	check(text);
	if (env_args(&env, &fail) < 0)
		check_fail(&fail);
	check(memchr(env.pod, '\0', sizeof(env.pod)) && memchr(env.uid, '\0', sizeof(env.uid)));
	check(memchr(env.namespace, '\0', sizeof(env.namespace)));
	if (env_is_ifname(text))
		check(*text && strlen(text) < IFNAMSIZ && !strchr(text, '/'));
	if (env_is_container(text))
		check(*text && strlen(text) <= ENV_CONTAINER_MAX && !strchr(text, '/'));
	free(text);
}

/* Boot id and format are made to fit, or nothing behind them would ever be reached. */
static void try_record(const uint8_t *data, size_t size)
{
	json_t *json = json_loadb((const char *)data, size, 0, NULL);
	char *text = NULL;
	struct journal j;
	struct fail fail;
	int fd =
		openat(journals.dir[JOURNAL_PENDING], "c@net1", O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (json_is_object(json)) {
		json_object_set_new(json, "bootID", json_string(journals.boot_id));
		json_object_set_new(json, "format", json_integer(1));
		text = json_dumps(json, 0);
	}
	if (text) {
		data = (const uint8_t *)text;
		size = strlen(text);
	}
	check(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
	check(journal_open_name(&j, &journals, "c@net1", false, &fail) == 0);
	check(text ? json_is_object(j.json) : true);
	if (j.json) {
		struct env env = { .args = journal_text(&j, "args") };
		struct conf conf;

		(void)!env_args(&env, &fail);
		if (conf_parse(json_object_get(j.json, "config"), VERB_DEL, &conf, &fail) == 0)
			check_conf(&conf, VERB_DEL);
		conf_done(&conf);
		(void)journal_number(&j, "program");
		check(journal_note(&j, "x", json_true(), &fail) == 0);
		journal_remove(&j);
	}
	journal_done(&j);
	check(faccessat(journals.dir[JOURNAL_PENDING], "c@net1", F_OK, 0) < 0);
	free(text);
	json_decref(json);
}

/* The kernel is to be trusted, but only so far: what it says is read within its bounds. */
static void try_reply(const uint8_t *data, size_t size)
{
	struct nlmsghdr *reply = malloc(sizeof(*reply) + size);
	struct rtattr *a = NULL;

	check(reply);
	*reply = (struct nlmsghdr){ .nlmsg_len = (uint32_t)(sizeof(*reply) + size) };
	memcpy(reply + 1, data, size);
	while ((a = attr_next(reply, sizeof(struct ifinfomsg), a)))
		check((uint8_t *)RTA_DATA(a) + RTA_PAYLOAD(a) <= (uint8_t *)(reply + 1) + size &&
		      attr_u32(a) <= UINT32_MAX);
	free(reply);
}

static void remove_dir(void)
{
	static const char *const subs[] = { "cni/pending", "cni/lock", "cni", "" };
	char path[96];

	for (size_t i = 0; i < ARRAY_SIZE(subs); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, subs[i]);
		(void)rmdir(path);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct fail fail;

	(void)argc;
	(void)argv;
	snprintf(dir, sizeof(dir), "/dev/shm/xskd-fuzz-XXXXXX");
	check(mkdtemp(dir));
	check(journals_open(&journals, dir, &fail) == 0);
	atexit(remove_dir);
	file = memfd_create("input", MFD_CLOEXEC);
	check(file >= 0 && freopen("/dev/null", "w", stdout));
	/* Each run warns of much, so stderr is to be closed (-close_fd_mask=2). */
	check_told = dup(STDERR_FILENO);
	check(check_told >= 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t before = check_fds();
	enum kind kind;

	if (!size)
		return 0;
	kind = data[0] % KINDS;
	data++;
	size--;
	if (kind == KIND_CONF || (kind == KIND_RESULT && size))
		try_conf(data, size, kind == KIND_RESULT);
	else if (kind == KIND_ARGS)
		try_args(data, size);
	else if (kind == KIND_RECORD)
		try_record(data, size);
	else if (kind == KIND_REPLY)
		try_reply(data, size);
	check(check_fds() == before);
	return 0;
}

/* ---- mutation: jansson counts no edges, so nothing would lead libFuzzer to an object ---- */

#define ANY_OF(list) (list)[mutate_random(ARRAY_SIZE(list))]

static json_t *some_value(unsigned int depth);

static json_t *some_word(void)
{
	static const char *const words[] = { "",
					     "1.1.0",
					     "0.3.1",
					     "9.9.9",
					     "net1",
					     "eth0",
					     "0000:3b:00.0",
					     "queue",
					     "device",
					     "native",
					     "generic",
					     "0-3,7",
					     "1,1",
					     "02:00:00:00:00:01",
					     "01:00:00:00:00:01",
					     "/run/x",
					     "x.o",
					     "udp4",
					     "ip6",
					     "ether",
					     "pod",
					     "10.0.0.5",
					     "fd00::5",
					     "10.0.0.5/24",
					     "fd00::5/64",
					     "hex:0a0b",
					     "0x1f",
					     "host-local",
					     "../x",
					     "\xc3\xa4",
					     "a\nb",
					     "moved",
					     "there",
					     "queues",
					     "a=b;c=d",
					     "K8S_POD_NAME=x" };
	json_t *text;
	char *much;
	size_t n;

	if (mutate_random(30))
		return json_string(ANY_OF(words));
	n = 100 + mutate_random(5000);
	much = malloc(2 * n + 1);
	check(much);
	for (size_t i = 0; i < n; i++)
		memcpy(much + 2 * i, "\xc3\xa4", 3);
	text = json_string(much);
	free(much);
	return text;
}

static const char *some_key(void)
{
	static const char *const keys[] = { "cniVersion",
					    "name",
					    "type",
					    "args",
					    "runtimeConfig",
					    "prevResult",
					    "ipam",
					    "dns",
					    "deviceID",
					    "mode",
					    "device",
					    "queues",
					    "xdpMode",
					    "program",
					    "mac",
					    "mtu",
					    "channels",
					    "busyPoll",
					    "filters",
					    "allowInUse",
					    "socketDir",
					    "logFile",
					    "object",
					    "map",
					    "constants",
					    "count",
					    "flow",
					    "srcIP",
					    "dstIP",
					    "srcPort",
					    "dstPort",
					    "dstMAC",
					    "etherType",
					    "queue",
					    "interfaces",
					    "ips",
					    "routes",
					    "sandbox",
					    "address",
					    "interface",
					    "config",
					    "kind",
					    "cookie",
					    "container",
					    "ifname",
					    "netns",
					    "path",
					    "unheard",
					    "a/b",
					    "\xc3\xa4",
					    "groFlushTimeout",
					    "napiDeferHardIrqs" };

	return ANY_OF(keys);
}

static json_t *some_value(unsigned int depth)
{
	static const json_int_t edges[] = { -1,        0,          1,         67,       68,
					    1500,      4096,       4097,      65535,    65536,
					    INT32_MAX, UINT32_MAX, INT64_MAX, INT64_MIN };
	uint32_t n = mutate_random(4);
	json_t *value;

	switch (mutate_random(depth > 4 ? 6 : 9)) {
	case 0:
		return mutate_random(2) ? json_true() : json_null();
	case 1:
		return json_real(0.5 * mutate_random(100));
	case 2:
		return json_integer(ANY_OF(edges));
	case 3:
		return json_integer(mutate_random(16));
	case 4:
	case 5:
		return some_word();
	case 6:
		value = json_array();
		while (n--)
			json_array_append_new(value, some_value(depth + 1));
		return value;
	default:
		value = json_object();
		while (n--)
			json_object_set_new(value, some_key(), some_value(depth + 1));
		return value;
	}
}

/* A value somewhere below is changed, added or deleted. */
static void change(json_t *at, unsigned int depth)
{
	json_t *below = NULL, *item;
	const char *key, *which = some_key();
	size_t n = json_array_size(at), i = 0, target;

	if (json_is_array(at)) {
		below = n ? json_array_get(at, mutate_random((uint32_t)n)) : NULL;
		if ((json_is_object(below) || json_is_array(below)) && mutate_random(4))
			change(below, depth + 1);
		else if (n && mutate_random(3) == 0)
			json_array_remove(at, mutate_random((uint32_t)n));
		else
			json_array_append_new(at, some_value(depth));
		return;
	}
	target = mutate_random((uint32_t)json_object_size(at) + 1);
	json_object_foreach(at, key, item) {
		if (i++ == target) {
			which = key;
			below = item;
		}
	}
	if ((json_is_object(below) || json_is_array(below)) && mutate_random(4))
		change(below, depth + 1);
	else if (below && mutate_random(5) == 0)
		json_object_del(at, which);
	else
		json_object_set_new(at, which, some_value(depth));
}

static json_t *some_base(void)
{
	return json_pack("{s:s, s:s, s:s}", "cniVersion", ANY_OF(cni_versions), "name", "net",
			 "type", "xskd-cni");
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	json_t *json = NULL;
	size_t len;

	mutate_seed(seed);
	if (!size || max < 2 || mutate_random(8) == 0)
		return LLVMFuzzerMutate(data, size, max);
	if (data[0] % KINDS == KIND_ARGS || data[0] % KINDS == KIND_REPLY)
		return 1 + LLVMFuzzerMutate(data + 1, size - 1, max - 1);
	json = json_loadb((char *)data + 1, size - 1, 0, NULL);
	if (!json_is_object(json)) {
		json_decref(json);
		json = some_base();
	}
	for (uint32_t i = 1 + mutate_random(4); i; i--)
		change(json, 0);
	len = json_dumpb(json, (char *)data + 1, max - 1, JSON_COMPACT);
	json_decref(json);
	return len < max ? 1 + len : size;
}
