// SPDX-License-Identifier: Apache-2.0
/* The configuration of xskd-cni: each key, and what each verb makes of a bad one. */
#include "../support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf.h"
#include "value.h"

#define BASE "'cniVersion': '1.1.0', 'name': 'net', 'type': 'xskd-cni'"

static struct conf conf;
static struct fail why;

/* JSON with ' for ", which C would want to be escaped. */
static json_t *load(const char *text)
{
	char *copy = strdup(text);
	json_error_t at;
	json_t *json;

	assert_non_null(copy);
	for (char *c = copy; *c; c++) {
		if (*c == '\'')
			*c = '"';
	}
	json = json_loads(copy, JSON_REJECT_DUPLICATES, &at);
	if (!json)
		fail_msg("%s: %s", at.text, copy);
	free(copy);
	return json;
}

/* The whole of it. */
static int parse_all(const char *text, enum verb verb)
{
	json_t *json = load(text);
	int err;

	conf_done(&conf);
	why = (struct fail){ .code = 0 };
	err = conf_parse(json, verb, &conf, &why);
	json_decref(json);
	assert_int_equal(err, why.code ? -1 : 0);
	return err;
}

/* What follows the keys that must be there. */
static int parse_as(const char *more, enum verb verb)
{
	char text[4096];

	snprintf(text, sizeof(text), "{ " BASE "%s%s }", *more ? ", " : "", more);
	return parse_all(text, verb);
}

#define good(more) assert_int_equal(parse_as(more, VERB_ADD), 0)

/* Refused by ADD, with this code and these words; DEL goes on all the same. */
static void refuse(const char *more, int code, const char *words)
{
	if (parse_as(more, VERB_ADD) == 0)
		fail_msg("%s is taken", more);
	assert_int_equal(why.code, code);
	if (!strstr(why.msg, words))
		fail_msg("%s: '%s' has no '%s'", more, why.msg, words);
	assert_int_equal(parse_as(more, VERB_STATUS), -1);
	assert_int_equal(parse_as(more, VERB_CHECK), -1);
	assert_int_equal(parse_as(more, VERB_DEL), 0);
	assert_true(conf.socket_dir[0] == '/');
	assert_true(!*conf.log_file || conf.log_file[0] == '/');
	assert_null(strchr(conf.ipam, '/'));
}

#define bad(more, words) refuse(more, FAIL_CONFIG, words)

static int group_done(void **state)
{
	(void)state;
	conf_done(&conf);
	conf = (struct conf){ .json = NULL };
	return 0;
}

/* ---- */

static void defaults(void **state)
{
	(void)state;
	good("");
	assert_int_equal(conf.version, CNI_1_1_0);
	assert_string_equal(conf.name, "net");
	assert_false(conf.queue_mode);
	assert_string_equal(conf.device, "");
	assert_int_equal(conf.queues.n + conf.queue_count, 0);
	assert_int_equal(conf.xdp_mode, XSKD_XDP_AUTO);
	assert_string_equal(conf.object, "");
	assert_string_equal(conf.program, "");
	assert_string_equal(conf.map, "");
	assert_int_equal(conf.n_constants + conf.n_filters, 0);
	assert_false(conf.has_mac || conf.busy_poll);
	assert_int_equal(conf.mtu + conf.channels, 0);
	assert_null(conf.allow_in_use);
	assert_null(conf.prev_result);
	assert_string_equal(conf.ipam, "");
	assert_string_equal(conf.socket_dir, "/run/xskd");
	assert_string_equal(conf.log_file, "");
}

/* Templates like to write these. */
static void nothing(void **state)
{
	static const char *const keys[] = { "mode",       "device",    "deviceID",     "xdpMode",
					    "mac",        "socketDir", "logFile",      "queues",
					    "mtu",        "channels",  "busyPoll",     "filters",
					    "program",    "ipam",      "dns",          "allowInUse",
					    "prevResult", "args",      "runtimeConfig" };
	char text[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		snprintf(text, sizeof(text), "'%s': null", keys[i]);
		good(text);
		assert_string_equal(conf.socket_dir, "/run/xskd");
		assert_false(conf.has_mac || conf.busy_poll || conf.queue_mode);
		assert_null(conf.prev_result);
		if (i > 6)
			continue;
		snprintf(text, sizeof(text), "'%s': ''", keys[i]);
		good(text);
		assert_string_equal(conf.socket_dir, "/run/xskd");
	}
	good("'runtimeConfig': { 'mac': '', 'deviceID': null, 'mtu': null }, 'device': 'a'");
	assert_string_equal(conf.device, "a");
	good("'mode': 'queue', 'mac': null, 'mtu': null, 'channels': null, 'busyPoll': null");
}

static void versions(void **state)
{
	char text[128];

	(void)state;
	for (size_t i = 0; i < CNI_VERSIONS; i++) {
		snprintf(text, sizeof(text), "{ 'cniVersion': '%s', 'name': 'n' }",
			 cni_versions[i]);
		assert_int_equal(parse_all(text, VERB_ADD), 0);
		assert_int_equal(conf.version, i);
	}
	assert_int_equal(parse_all("{ 'cniVersion': '0.2.0', 'name': 'n' }", VERB_ADD), -1);
	assert_int_equal(why.code, FAIL_VERSION);
	assert_int_equal(parse_all("{ 'name': 'n' }", VERB_ADD), -1);
	assert_int_equal(why.code, FAIL_VERSION);
	assert_non_null(strstr(why.msg, "0.1.0"));
	assert_int_equal(parse_all("{ 'cniVersion': 1, 'name': 'n' }", VERB_ADD), -1);
	assert_int_equal(why.code, FAIL_CONFIG);
	/* VERSION wants nothing else. */
	assert_int_equal(parse_all("{ 'cniVersion': '0.4.0', 'x': 1 }", VERB_VERSION), 0);
	assert_int_equal(conf.version, CNI_0_4_0);
	assert_int_equal(parse_all("[]", VERB_ADD), -1);
	assert_int_equal(why.code, FAIL_DECODE);
}

static void names(void **state)
{
	(void)state;
	assert_int_equal(parse_all("{ 'cniVersion': '1.0.0' }", VERB_ADD), -1);
	assert_int_equal(why.code, FAIL_CONFIG);
	assert_int_equal(parse_all("{ 'cniVersion': '1.0.0', 'name': 'a/b' }", VERB_ADD), -1);
	assert_int_equal(parse_all("{ 'cniVersion': '1.0.0', 'name': ['a'] }", VERB_ADD), -1);
	assert_int_equal(parse_all("{ 'cniVersion': '1.0.0', 'name': 'A.b-c_1' }", VERB_ADD), 0);
	assert_string_equal(conf.name, "A.b-c_1");
}

/* Each unknown key is named with its value; DEL and GC only warn. */
static void unknown_keys(void **state)
{
	static const struct {
		const char *more, *words;
	} keys[] = {
		{ "'devcie': 'eth0'", "'devcie' (= \"eth0\")" },
		{ "'busyPoll': { 'x': [1] }", "'busyPoll.x' (= [1])" },
		{ "'program': { 'object': '/o', 'x': null }", "'program.x' (= null)" },
		{ "'filters': [{ 'flow': 'ip4' }, { 'flow': 'ip4', 'x': {} }]",
		  "'filters[1].x' (= {})" },
		{ "'queues': { 'count': 1, 'x': 1 }", "'queues.x'" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		refuse(keys[i].more, FAIL_KEY, keys[i].words);
		assert_int_equal(parse_as(keys[i].more, VERB_GC), 0);
		assert_int_equal(parse_as(keys[i].more, VERB_DEL), 0);
	}
	good("'cni.dev/valid-attachments': [], 'a/b': 5");
	good("'cniVersions': [], 'args': {}, 'capabilities': {}, 'disableCheck': true, "
	     "'disableGC': true, 'loadOnlyInlinedPlugins': true, 'pciBusID': 'x', "
	     "'resourceName': 'y', 'ipMasq': false, 'dns': {}, 'runtimeConfig': { 'ips': [] }");
}

/* A DEL goes by the right directory, whatever else is wrong. */
static void lenient(void **state)
{
	static const char *const more[] = {
		"'mode': 5",          "'prevResult': 5",       "'dns': []",
		"'ipam': []",         "'ipam': { 'type': 5 }", "'ipam': { 'type': '../x' }",
		"'runtimeConfig': 5", "'unheard': 5",          "'filters': 5"
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
		snprintf(text, sizeof(text), "%s, 'socketDir': '/x'", more[i]);
		assert_int_equal(parse_as(text, VERB_DEL), 0);
		assert_string_equal(conf.socket_dir, "/x");
		assert_null(strchr(conf.ipam, '/'));
		assert_int_equal(parse_as(text, VERB_ADD), -1);
	}
	assert_int_equal(parse_all("{ 'cniVersion': '9.0.0', 'socketDir': '/x' }", VERB_DEL), 0);
	assert_string_equal(conf.socket_dir, "/x");
	assert_int_equal(parse_all("{ 'cniVersion': '1.0.0', 'socketDir': '/x' }", VERB_DEL), 0);
	assert_string_equal(conf.socket_dir, "/x");
}

static void modes(void **state)
{
	(void)state;
	good("'mode': 'device', 'xdpMode': 'native'");
	assert_false(conf.queue_mode);
	assert_int_equal(conf.xdp_mode, XSKD_XDP_NATIVE);
	good("'mode': 'queue', 'xdpMode': 'generic'");
	assert_true(conf.queue_mode);
	assert_int_equal(conf.xdp_mode, XSKD_XDP_GENERIC);
	good("'xdpMode': 'auto'");
	assert_int_equal(conf.xdp_mode, XSKD_XDP_AUTO);
	bad("'mode': 'Queue'", "mode: want");
	bad("'mode': true", "mode: want");
	bad("'xdpMode': 'offload'", "xdpMode: want");
}

/* runtimeConfig before deviceID before device. */
static void devices(void **state)
{
	(void)state;
	good("'device': 'a'");
	assert_string_equal(conf.device, "a");
	good("'device': 'a', 'deviceID': '0000:3b:00.0'");
	assert_string_equal(conf.device, "0000:3b:00.0");
	good("'device': 'a', 'deviceID': 'b', 'runtimeConfig': { 'deviceID': 'c' }");
	assert_string_equal(conf.device, "c");
	good("'device': 'a', 'deviceID': '', 'runtimeConfig': { 'deviceID': '' }");
	assert_string_equal(conf.device, "a");
	bad("'device': 5", "device: want");
	bad("'device': 'a\\u0001'", "control characters");
	bad("'device': 'a\\nb'", "control characters");
	bad("'runtimeConfig': { 'deviceID': 5 }", "runtimeConfig.deviceID: want");
	bad("'runtimeConfig': []", "runtimeConfig: want");
}

static void queues(void **state)
{
	static const uint32_t want[] = { 0, 1, 2, 7 };

	(void)state;
	good("'queues': '7,0-2'");
	assert_int_equal(conf.queues.n, 4);
	assert_memory_equal(conf.queues.queues, want, sizeof(want));
	good("'queues': [2, 7, 1, 0]");
	assert_int_equal(conf.queues.n, 4);
	assert_memory_equal(conf.queues.queues, want, sizeof(want));
	assert_int_equal(conf.queue_count, 0);
	good("'queues': { 'count': 1024 }");
	assert_int_equal(conf.queue_count, 1024);
	assert_int_equal(conf.queues.n, 0);
	good("'queues': [4294967295]");
	bad("'queues': ''", "queues: ");
	bad("'queues': '1,1'", "twice");
	bad("'queues': '3-1'", "queues: ");
	bad("'queues': '0-1024'", "queues: ");
	bad("'queues': []", "queues: want");
	bad("'queues': [1, 1]", "twice");
	bad("'queues': ['1']", "want an array of numbers");
	bad("'queues': [-1]", "want an array of numbers");
	bad("'queues': [4294967296]", "want an array of numbers");
	bad("'queues': [1.0]", "want an array of numbers");
	bad("'queues': { 'count': 0 }", "queues.count: want a number from 1 to 1024");
	bad("'queues': { 'count': 4097 }", "queues.count: want");
	bad("'queues': { 'count': '2' }", "queues.count: want");
	bad("'queues': { 'count': -4294967295 }", "queues.count: want");
	bad("'queues': 3", "queues: want");
	bad("'queues': true", "queues: want");
}

/* {} would be no choice at all. */
static void empty_queues(void **state)
{
	(void)state;
	good("'mode': 'queue', 'queues': {}");
	assert_int_equal(conf.queue_count, 0);
	good("'queues': { 'count': null }");
	assert_int_equal(conf.queue_count, 0);
}

static void programs(void **state)
{
	static const uint8_t bytes[] = { 0x0a, 0x0b };

	(void)state;
	good("'program': { 'object': '/x.o', 'name': 'f', 'map': 'm', 'constants': "
	     "{ 'a': 5, 'b': '0x1f', 'c': 'hex:0a0b', 'd': -1 } }");
	assert_string_equal(conf.object, "/x.o");
	assert_string_equal(conf.program, "f");
	assert_string_equal(conf.map, "m");
	assert_int_equal(conf.n_constants, 4);
	for (size_t i = 0; i < conf.n_constants; i++) {
		const struct xskd_constant *c = &conf.constants[i];

		assert_int_equal(strlen(c->name), 1);
		if (*c->name == 'a')
			assert_int_equal(c->number, 5);
		else if (*c->name == 'b')
			assert_int_equal(c->number, 31);
		else if (*c->name == 'd')
			assert_int_equal(c->number, -1);
		else
			assert_memory_equal(c->value, bytes, c->size);
	}
	good("'program': { 'object': '/x.o', 'constants': null, 'name': '' }");
	good("'program': { 'object': '/x.o', 'constants': {} }");
	bad("'program': {}", "program.object: want");
	bad("'program': { 'object': 'x.o' }", "program.object: want an absolute path");
	bad("'program': { 'name': 'f' }", "program.object: want");
	bad("'program': '/x.o'", "program: want an object");
	bad("'program': { 'object': '/x.o', 'map': 5 }", "program.map: want");
	bad("'program': { 'object': '/x.o', 'constants': [] }", "constants: want an object");
	bad("'program': { 'object': '/x.o', 'constants': { 'a': 1, 'b': 'z', 'c': 2 } }",
	    "program.constants.b: ");
	bad("'program': { 'object': '/x.o', 'constants': { 'a': 1.5 } }",
	    "program.constants.a: want");
	bad("'program': { 'object': '/x.o', 'constants': { 'a': null } }",
	    "program.constants.a: want");
	bad("'program': { 'object': '/x.o', 'constants': { '': 1 } }", "program.constants.: ");
	/* What is a name and a value already is no name. */
	bad("'program': { 'object': '/x.o', 'constants': { 'a=b': 1 } }", "program.constants.a=b");
}

static void macs(void **state)
{
	static const uint8_t one[] = { 2, 0, 0, 0, 0, 1 }, two[] = { 2, 0, 0, 0, 0xab, 0xff };
	static const char *const texts[] = { "",
					     "02:00:00:00:00",
					     "02:00:00:00:00:01:02",
					     "2:00:00:00:00:01",
					     "02:00:00:00:00:1",
					     "02-00-00-00-00-01",
					     "02:00:00:00:00:0g",
					     "02:00:00:00:00:01 ",
					     " 02:00:00:00:00:01",
					     "02: 1:00:00:00:01",
					     "02:+1:00:00:00:01",
					     "02:-1:00:00:00:01",
					     "0x:00:00:00:00:01",
					     "02:0x:00:00:00:01" };
	uint8_t out[MAC_SIZE];

	(void)state;
	assert_true(value_mac("02:00:00:00:aB:Ff", out));
	assert_memory_equal(out, two, sizeof(two));
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (value_mac(texts[i], out))
			fail_msg("'%s' is a MAC", texts[i]);
	}
	good("'mac': '02:00:00:00:00:01'");
	assert_true(conf.has_mac);
	assert_memory_equal(conf.mac, one, sizeof(one));
	good("'mac': '02:00:00:00:00:01', 'runtimeConfig': { 'mac': '02:00:00:00:ab:ff' }");
	assert_memory_equal(conf.mac, two, sizeof(two));
	good("'mac': '02:00:00:00:00:01', 'runtimeConfig': { 'mac': '' }");
	assert_memory_equal(conf.mac, one, sizeof(one));
	bad("'mac': '01:00:00:00:00:01'", "mac: want the address of one device");
	bad("'mac': 'x'", "mac: want");
	bad("'mac': 5", "mac: want");
	bad("'runtimeConfig': { 'mac': 'x' }", "runtimeConfig.mac: want");
}

static void settings(void **state)
{
	(void)state;
	good("'mtu': 68, 'channels': 1");
	assert_int_equal(conf.mtu, 68);
	assert_int_equal(conf.channels, 1);
	good("'mtu': 68, 'runtimeConfig': { 'mtu': 65535 }, 'channels': 4096");
	assert_int_equal(conf.mtu, 65535);
	bad("'mtu': 67", "mtu: want a number from 68 to 65535, not 67");
	bad("'mtu': 65536", "mtu: want");
	bad("'mtu': '1500'", "mtu: want");
	bad("'mtu': 1500.0", "mtu: want");
	bad("'mtu': 4294968796", "mtu: want"); /* 1500, cut to 32 bits */
	bad("'runtimeConfig': { 'mtu': 1 }", "runtimeConfig.mtu: want");
	bad("'channels': 0", "channels: want");
	bad("'channels': 4097", "channels: want");

	good("'busyPoll': false");
	assert_false(conf.busy_poll);
	good("'busyPoll': true");
	assert_true(conf.busy_poll);
	assert_int_equal(conf.napi_defer_hard_irqs, 2);
	assert_int_equal(conf.gro_flush_timeout, 200000);
	good("'busyPoll': {}");
	assert_true(conf.busy_poll);
	good("'busyPoll': { 'napiDeferHardIrqs': 0, 'groFlushTimeout': 2147483647 }");
	assert_int_equal(conf.napi_defer_hard_irqs, 0);
	assert_int_equal(conf.gro_flush_timeout, 2147483647);
	bad("'busyPoll': 1", "busyPoll: want");
	bad("'busyPoll': { 'napiDeferHardIrqs': -1 }", "busyPoll.napiDeferHardIrqs: want");
	bad("'busyPoll': { 'groFlushTimeout': 2147483648 }", "busyPoll.groFlushTimeout: want");
	/* A shared device is nobody's to set up. */
	bad("'mode': 'queue', 'mac': '02:00:00:00:00:01'", "mac: in mode \"queue\"");
	bad("'mode': 'queue', 'mtu': 1500", "mtu: in mode \"queue\"");
	bad("'mode': 'queue', 'channels': 1", "channels: in mode \"queue\"");
	bad("'mode': 'queue', 'busyPoll': true", "busyPoll: in mode \"queue\"");
	bad("'mode': 'queue', 'runtimeConfig': { 'mtu': 1500 }", "runtimeConfig.mtu: in mode");
}

static void filters(void **state)
{
	char text[4096] = "'filters': [";

	(void)state;
	good("'filters': []");
	good("'filters': [{ 'flow': 'udp4', 'srcIP': '10.0.0.1', 'dstIP': 'pod', 'srcPort': 1, "
	     "'dstPort': 65535, 'queue': 3 }, { 'flow': 'ether', 'dstMAC': '01:00:00:00:00:01', "
	     "'etherType': 35063 }, { 'flow': 'tcp6', 'srcIP': 'fd00::1' }]");
	assert_int_equal(conf.n_filters, 3);
	assert_string_equal(conf.filters[0].flow, "udp4");
	assert_string_equal(conf.filters[0].src_ip, "10.0.0.1");
	assert_string_equal(conf.filters[0].dst_ip, "pod");
	assert_int_equal(conf.filters[0].src_port, 1);
	assert_int_equal(conf.filters[0].dst_port, 65535);
	assert_int_equal(conf.filters[0].queue, 3);
	assert_string_equal(conf.filters[1].dst_mac, "01:00:00:00:00:01");
	assert_int_equal(conf.filters[1].ether_type, 35063);
	assert_true(conf.filters[1].queue == -1);
	assert_string_equal(conf.filters[2].dst_ip, "");
	bad("'filters': {}", "filters: want an array");
	bad("'filters': [5]", "filters[0]: want an object");
	bad("'filters': [{}]", "filters[0].flow: want one of");
	bad("'filters': [{ 'flow': 'udp' }]", "filters[0].flow: want one of");
	bad("'filters': [{ 'flow': 'ip4' }, { 'flow': 'ip4', 'srcIP': 'pod' }]",
	    "filters[1].srcIP: want an IPv4 address");
	bad("'filters': [{ 'flow': 'ip4', 'dstIP': 'fd00::1' }]", "dstIP: want an IPv4 address");
	bad("'filters': [{ 'flow': 'ip6', 'dstIP': '10.0.0.1' }]", "dstIP: want an IPv6 address");
	bad("'filters': [{ 'flow': 'ip4', 'dstIP': '10.0.0.0/8' }]", "dstIP: want");
	bad("'filters': [{ 'flow': 'ip4', 'dstPort': 80 }]", "ports need udp, tcp or sctp");
	bad("'filters': [{ 'flow': 'udp4', 'dstPort': 0 }]", "dstPort: want");
	bad("'filters': [{ 'flow': 'udp4', 'dstPort': 65536 }]", "dstPort: want");
	bad("'filters': [{ 'flow': 'udp4', 'dstPort': '80' }]", "dstPort: want");
	bad("'filters': [{ 'flow': 'udp4', 'dstMAC': '02:00:00:00:00:01' }]", "need the flow");
	bad("'filters': [{ 'flow': 'udp4', 'etherType': 2048 }]", "need the flow");
	bad("'filters': [{ 'flow': 'ether', 'dstIP': 'pod' }]", "need another flow");
	bad("'filters': [{ 'flow': 'ether', 'dstPort': 80 }]", "need another flow");
	bad("'filters': [{ 'flow': 'ether', 'dstMAC': 'x' }]", "dstMAC: want a MAC");
	bad("'filters': [{ 'flow': 'ip4', 'queue': -1 }]", "queue: want");
	bad("'filters': [{ 'flow': 'ip4', 'queue': '1' }]", "queue: want");
	for (int i = 0; i < CONF_FILTERS_MAX; i++)
		strcat(text, i ? ", { 'flow': 'ip4' }" : "{ 'flow': 'ip4' }");
	strcat(text, "]");
	good(text);
	assert_int_equal(conf.n_filters, CONF_FILTERS_MAX);
	strcpy(text + strlen(text) - 1, ", { 'flow': 'ip4' }]");
	bad(text, "at most 64");
}

static void others(void **state)
{
	(void)state;
	good("'allowInUse': ['eth0', 'eth1'], 'ipam': { 'type': 'host-local', 'x': 1 }, "
	     "'socketDir': '/s', 'logFile': '/l', 'prevResult': { 'x': 1 }, 'dns': { 'x': 1 }");
	assert_int_equal(json_array_size(conf.allow_in_use), 2);
	assert_string_equal(conf.ipam, "host-local");
	assert_string_equal(conf.socket_dir, "/s");
	assert_string_equal(conf.log_file, "/l");
	assert_int_equal(json_object_size(conf.prev_result), 1);
	good("'ipam': {}");
	assert_string_equal(conf.ipam, "");
	bad("'allowInUse': 'eth0'", "allowInUse: want");
	bad("'allowInUse': [5]", "allowInUse: want");
	bad("'allowInUse': ['a/b']", "allowInUse: want");
	bad("'ipam': 'host-local'", "ipam: want");
	bad("'ipam': { 'type': '../x' }", "ipam.type: want");
	bad("'ipam': { 'type': 5 }", "ipam.type: want");
	bad("'dns': []", "dns: want");
	bad("'prevResult': []", "prevResult: want");
	bad("'socketDir': 's'", "socketDir: want an absolute path");
	bad("'socketDir': 5", "socketDir: want");
	bad("'logFile': 'l'", "logFile: want an absolute path");
	bad("'logFile': {}", "logFile: want");
}

/* ---- conf_read() ---- */

static int read_bytes(const char *text, size_t len, enum verb verb)
{
	int fd = memfd_create("conf", MFD_CLOEXEC), err;

	assert_true(fd >= 0 && write(fd, text, len) == (ssize_t)len && lseek(fd, 0, 0) == 0);
	conf_done(&conf);
	why = (struct fail){ .code = 0 };
	err = conf_read(fd, verb, &conf, &why);
	close(fd);
	return err;
}

static void read_all(void **state)
{
	static const char text[] = "{\"cniVersion\": \"1.0.0\", \"name\": \"n\"}";
	static const char *const odd[] = { "",
					   " ",
					   "{",
					   "5",
					   "{} {}",
					   "{\"name\": \"a\", \"name\": \"b\"}",
					   "{\"name\": \"\xff\"}",
					   "{\"name\": \"\\u0000\"}" };
	char *big = malloc(CONF_BYTES_MAX + 1);

	(void)state;
	assert_non_null(big);
	assert_int_equal(read_bytes(text, strlen(text), VERB_ADD), 0);
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		assert_int_equal(read_bytes(odd[i], strlen(odd[i]), VERB_ADD), -1);
		assert_int_equal(why.code, FAIL_DECODE);
	}
	memset(big, ' ', CONF_BYTES_MAX + 1);
	memcpy(big, text, strlen(text));
	assert_int_equal(read_bytes(big, CONF_BYTES_MAX, VERB_ADD), 0);
	assert_int_equal(read_bytes(big, CONF_BYTES_MAX + 1, VERB_ADD), -1);
	assert_int_equal(why.code, FAIL_DECODE);
	assert_int_equal(read_bytes(text, 10, VERB_ADD), -1);
	conf_done(&conf);
	why = (struct fail){ .code = 0 };
	assert_int_equal(conf_read(-1, VERB_ADD, &conf, &why), -1);
	assert_int_equal(why.code, FAIL_IO);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),     cmocka_unit_test(nothing),
		cmocka_unit_test(versions),     cmocka_unit_test(names),
		cmocka_unit_test(unknown_keys), cmocka_unit_test(lenient),
		cmocka_unit_test(modes),        cmocka_unit_test(devices),
		cmocka_unit_test(queues),       cmocka_unit_test(empty_queues),
		cmocka_unit_test(programs),     cmocka_unit_test(macs),
		cmocka_unit_test(settings),     cmocka_unit_test(filters),
		cmocka_unit_test(others),       fd_test(read_all),
	};

	return cmocka_run_group_tests(tests, NULL, group_done);
}
