// SPDX-License-Identifier: Apache-2.0
/* What ADD answers in each version, and the messages that rtnetlink is asked with. */
#include "../support.h"

#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>

#include "attach.h"
#include "device.h"
#include "message.h"

/* ---- results ---- */

static const char addresses[] =
	"{'ips': [{'version': '4', 'address': '10.0.0.5/24', 'gateway': '10.0.0.1',"
	"          'interface': 7},"
	"         {'address': 'fd00::5/64', 'x': 1}],"
	" 'routes': [{'dst': '0.0.0.0/0'}], 'dns': {'domain': 'ipam'}}";

static const char before[] =
	"{'cniVersion': '0.3.1', 'x': {'y': 1}, 'routes': [{'dst': '10.1.0.0/16'}],"
	" 'interfaces': [{'name': 'veth1'}, {'name': 'net1', 'sandbox': '/ns', 'mac': 'm'}],"
	" 'ips': [{'address': '10.1.0.2/16', 'interface': 1}], 'dns': {'domain': 'before'}}";

static json_t *load(const char *text)
{
	char copy[2048];
	json_error_t at;
	json_t *json;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *c = copy; *c; c++) {
		if (*c == '\'')
			*c = '"';
	}
	json = json_loads(copy, 0, &at);
	if (!json)
		fail_msg("%s: %s", at.text, copy);
	return json;
}

/* One attachment that has been made, all but for the kernel. */
struct made {
	struct conf conf;
	struct env env;
	struct attach attach;
};

static struct attach *make(struct made *m, enum cni_version version, enum attach_kind kind,
			   const char *prev)
{
	char text[2048];
	json_t *json;
	struct fail fail;

	snprintf(text, sizeof(text),
		 "{'cniVersion': '%s', 'name': 'net', 'socketDir': '/s', 'prevResult': %s}",
		 cni_versions[version], prev ? prev : "null");
	json = load(text);
	assert_int_equal(conf_parse(json, VERB_ADD, &m->conf, &fail), 0);
	json_decref(json);
	m->env = (struct env){ .container = "c", .netns = "/ns", .ifname = "net1" };
	m->attach = (struct attach){
		.env = &m->env,
		.conf = &m->conf,
		.kind = kind,
		.host = { .netns = -1, .ethtool = -1 },
		.pod = { .netns = -1, .ethtool = -1 },
		.link = { .mtu = 1400, .mac = { 2, 0, 0, 0, 0, 0xab }, .mac_len = 6 },
	};
	m->attach.at = kind == ATTACH_QUEUES ? &m->attach.host : &m->attach.pod;
	strcpy(m->attach.link.name, kind == ATTACH_QUEUES ? "eth9" : "net1");
	return &m->attach;
}

/* The result has to be this, with ' for ". */
static void expect(struct made *m, const char *want)
{
	json_t *result = attach_result(&m->attach), *wanted = load(want);
	char *text;

	assert_non_null(result);
	text = json_dumps(result, JSON_COMPACT);
	if (!json_equal(result, wanted))
		fail_msg("%s, want %s", text, want);
	free(text);
	json_decref(wanted);
	json_decref(result);
	json_decref(m->attach.ipam);
	conf_done(&m->conf);
}

static void without_ipam(void **state)
{
	struct made m;

	(void)state;
	make(&m, CNI_1_0_0, ATTACH_MOVED, NULL);
	expect(&m, "{'cniVersion': '1.0.0', 'ips': [], 'routes': [], 'interfaces': "
		   "[{'name': 'net1', 'mac': '02:00:00:00:00:ab', 'sandbox': '/ns'}]}");
	make(&m, CNI_1_1_0, ATTACH_MOVED, NULL);
	expect(&m, "{'cniVersion': '1.1.0', 'ips': [], 'routes': [], 'interfaces': "
		   "[{'name': 'net1', 'mac': '02:00:00:00:00:ab', 'sandbox': '/ns', "
		   "'mtu': 1400, 'socketPath': '/s/pod/xskd.sock'}]}");
	make(&m, CNI_1_1_0, ATTACH_QUEUES, NULL);
	expect(&m, "{'cniVersion': '1.1.0', 'ips': [], 'routes': [], 'interfaces': "
		   "[{'name': 'eth9', 'mac': '02:00:00:00:00:ab', "
		   "'mtu': 1400, 'socketPath': '/s/pod/xskd.sock'}]}");
}

static void with_ipam(void **state)
{
	struct made m;

	(void)state;
	for (enum cni_version v = CNI_0_3_1; v < CNI_1_0_0; v++) {
		char want[1024];

		make(&m, v, ATTACH_MOVED, NULL)->ipam = load(addresses);
		snprintf(want, sizeof(want),
			 "{'cniVersion': '%s', 'dns': {'domain': 'ipam'}, "
			 "'routes': [{'dst': '0.0.0.0/0'}], 'ips': ["
			 "{'version': '4', 'address': '10.0.0.5/24', 'gateway': '10.0.0.1', "
			 "'interface': 0}, {'version': '6', 'address': 'fd00::5/64', 'x': 1, "
			 "'interface': 0}], 'interfaces': "
			 "[{'name': 'net1', 'mac': '02:00:00:00:00:ab', 'sandbox': '/ns'}]}",
			 cni_versions[v]);
		expect(&m, want);
	}
	make(&m, CNI_1_0_0, ATTACH_QUEUES, NULL)->ipam = load(addresses);
	expect(&m, "{'cniVersion': '1.0.0', 'dns': {'domain': 'ipam'}, "
		   "'routes': [{'dst': '0.0.0.0/0'}], 'ips': ["
		   "{'address': '10.0.0.5/24', 'gateway': '10.0.0.1'}, "
		   "{'address': 'fd00::5/64', 'x': 1}], 'interfaces': "
		   "[{'name': 'eth9', 'mac': '02:00:00:00:00:ab'}]}");
}

/* What was there before is passed on, ours is behind it. */
static void behind_others(void **state)
{
	struct made m;

	(void)state;
	make(&m, CNI_1_0_0, ATTACH_QUEUES, before)->ipam = load(addresses);
	expect(&m,
	       "{'cniVersion': '1.0.0', 'x': {'y': 1}, 'dns': {'domain': 'ipam'},"
	       " 'routes': [{'dst': '10.1.0.0/16'}, {'dst': '0.0.0.0/0'}],"
	       " 'interfaces': [{'name': 'veth1'}, {'name': 'net1', 'sandbox': '/ns', 'mac': 'm'},"
	       "                {'name': 'eth9', 'mac': '02:00:00:00:00:ab'}],"
	       " 'ips': [{'address': '10.1.0.2/16', 'interface': 1},"
	       "         {'address': '10.0.0.5/24', 'gateway': '10.0.0.1'},"
	       "         {'address': 'fd00::5/64', 'x': 1}]}");
	make(&m, CNI_1_1_0, ATTACH_MOVED,
	     "{'interfaces': [{'name': 'eth0', 'sandbox': '/ns'}], 'dns': {'domain': 'before'}}")
		->ipam = load("{'ips': [{'address': '10.0.0.5/24'}], 'dns': {}}");
	expect(&m, "{'cniVersion': '1.1.0', 'dns': {'domain': 'before'}, 'routes': [], "
		   "'interfaces': [{'name': 'eth0', 'sandbox': '/ns'}, "
		   "{'name': 'net1', 'mac': '02:00:00:00:00:ab', 'sandbox': '/ns', 'mtu': 1400, "
		   "'socketPath': '/s/pod/xskd.sock'}], "
		   "'ips': [{'address': '10.0.0.5/24', 'interface': 1}]}");
}

/* An interface that an earlier plugin made is not listed twice. */
static void in_a_chain(void **state)
{
	struct made m;

	(void)state;
	make(&m, CNI_1_0_0, ATTACH_THERE, before)->ipam =
		load("{'ips': [{'address': '10.0.0.5/24'}]}");
	expect(&m,
	       "{'cniVersion': '1.0.0', 'x': {'y': 1}, 'dns': {'domain': 'before'},"
	       " 'routes': [{'dst': '10.1.0.0/16'}],"
	       " 'interfaces': [{'name': 'veth1'}, {'name': 'net1', 'sandbox': '/ns', 'mac': 'm'}],"
	       " 'ips': [{'address': '10.1.0.2/16', 'interface': 1},"
	       "         {'address': '10.0.0.5/24', 'interface': 1}]}");
	make(&m, CNI_1_1_0, ATTACH_THERE, "{'interfaces': [{'name': 'net1', 'sandbox': '/ns'}]}");
	expect(&m, "{'cniVersion': '1.1.0', 'routes': [], 'ips': [], 'interfaces': "
		   "[{'name': 'net1', 'sandbox': '/ns', 'mtu': 1400, "
		   "'socketPath': '/s/pod/xskd.sock'}]}");
	/* One of that name on the host is another one. */
	make(&m, CNI_1_1_0, ATTACH_THERE,
	     "{'interfaces': [{'name': 'net1'}, {'name': 'net1', 'sandbox': '/ns'}]}");
	expect(&m, "{'cniVersion': '1.1.0', 'routes': [], 'ips': [], 'interfaces': "
		   "[{'name': 'net1'}, {'name': 'net1', 'sandbox': '/ns', 'mtu': 1400, "
		   "'socketPath': '/s/pod/xskd.sock'}]}");
}

/* Other plugins' results may be anything; what can be kept is kept. */
static void odd(void **state)
{
	struct made m;

	(void)state;
	make(&m, CNI_1_0_0, ATTACH_MOVED,
	     "{'interfaces': 5, 'ips': {}, 'routes': null, 'dns': [], 'cniVersion': {}}")
		->ipam = load("{'ips': [5, {}, {'address': 5}], 'routes': 5, 'dns': 5}");
	expect(&m, "{'cniVersion': '1.0.0', 'routes': [], 'dns': [], "
		   "'ips': [5, {'interface': 0}, {'address': 5, 'interface': 0}], 'interfaces': "
		   "[{'name': 'net1', 'mac': '02:00:00:00:00:ab', 'sandbox': '/ns'}]}");
	make(&m, CNI_1_0_0, ATTACH_THERE, "{'interfaces': [5, {'name': 5}, {'name': 'net1'}]}")
		->ipam = load("[]");
	m.attach.link.mac_len = 0;
	json_decref(attach_result(&m.attach));
	json_decref(m.attach.ipam);
	conf_done(&m.conf);
}

static void macs(void **state)
{
	static const uint8_t bytes[LINK_ADDRESS_MAX] = { 0, 1, 0xff, 0xa0 };
	char out[3 * LINK_ADDRESS_MAX];

	(void)state;
	assert_string_equal(device_mac(bytes, 0, out), "");
	assert_string_equal(device_mac(bytes, 1, out), "00");
	assert_string_equal(device_mac(bytes, 4, out), "00:01:ff:a0");
	assert_int_equal(strlen(device_mac(bytes, LINK_ADDRESS_MAX, out)),
			 3 * LINK_ADDRESS_MAX - 1);
}

/* ---- messages ---- */

static void build(void **state)
{
	const struct ifinfomsg info = { .ifi_index = 5 };
	struct rtattr *nest, *a;
	struct message m;

	(void)state;
	message_init(&m, RTM_NEWLINK, NLM_F_CREATE, &info, sizeof(info));
	assert_int_equal(m.header.nlmsg_len, NLMSG_LENGTH(sizeof(info)));
	assert_int_equal(m.header.nlmsg_flags, NLM_F_REQUEST | NLM_F_CREATE);
	assert_null(attr_next(&m.header, sizeof(info), NULL));
	message_put(&m, IFLA_IFNAME, "eth", 4);
	message_put(&m, IFLA_ADDRESS, "abcde", 5); /* is padded */
	nest = message_put_nest(&m, IFLA_LINKINFO);
	message_put_u32(&m, 1, 0x12345678);
	message_put_u32(&m, 2, 7);
	message_end_nest(&m, nest);
	message_put_u32(&m, IFLA_MTU, 1500);

	a = attr_next(&m.header, sizeof(info), NULL);
	assert_int_equal(a->rta_type, IFLA_IFNAME);
	assert_string_equal(RTA_DATA(a), "eth");
	a = attr_next(&m.header, sizeof(info), a);
	assert_int_equal(a->rta_type, IFLA_ADDRESS);
	assert_int_equal(RTA_PAYLOAD(a), 5);
	assert_int_equal(attr_u32(a), 0x64636261);
	a = attr_next(&m.header, sizeof(info), a);
	assert_int_equal(a->rta_type, IFLA_LINKINFO);
	assert_int_equal(RTA_PAYLOAD(a), 16);
	a = attr_next(&m.header, sizeof(info), a);
	assert_int_equal(a->rta_type, IFLA_MTU);
	assert_int_equal(attr_u32(a), 1500);
	assert_null(attr_next(&m.header, sizeof(info), a));
}

/* A reply that is cut, or that lies about its lengths, is not read behind its end. */
static void cut(void **state)
{
	const struct ifinfomsg info = { .ifi_index = 5 };
	struct message m;
	struct rtattr *a;
	uint32_t len;

	(void)state;
	message_init(&m, RTM_NEWLINK, 0, &info, sizeof(info));
	message_put_u32(&m, IFLA_MTU, 1500);
	message_put(&m, IFLA_IFNAME, "x", 1); /* the padding is not there */
	len = m.header.nlmsg_len - 3;
	for (uint32_t n = NLMSG_LENGTH(sizeof(info)); n <= len; n++) {
		unsigned int count = 0;

		m.header.nlmsg_len = n;
		for (a = NULL; (a = attr_next(&m.header, sizeof(info), a));)
			count++;
		assert_int_equal(count, n >= len ? 2 : n >= NLMSG_LENGTH(sizeof(info)) + 8 ? 1 : 0);
	}
	a = attr_next(&m.header, sizeof(info), NULL);
	for (size_t n = 0; n < RTA_LENGTH(0); n++) {
		a->rta_len = (uint16_t)n; /* would never end */
		assert_null(attr_next(&m.header, sizeof(info), NULL));
	}
	a->rta_len = RTA_LENGTH(3);
	assert_int_equal(attr_u32(a), 0);
	a->rta_len = UINT16_MAX;
	assert_null(attr_next(&m.header, sizeof(info), NULL));
}

/* Asking needs no privilege; the loopback device is in every namespace. */
static void ask(void **state)
{
	static const char *const bad[] = {
		"",          "x",           "10.0.0.256",  "10.0.0.1/33", "fd00::/129",
		"10.0.0.1/", "10.0.0.1/-1", "10.0.0.1/8x", "/8",          "10.0.0.1/8/8"
	};
	struct rtnl rtnl = RTNL_INIT;
	struct link link;

	(void)state;
	assert_int_equal(rtnl_open(&rtnl), 0);
	assert_int_equal(rtnl_link(&rtnl, "lo", 0, &link), 0);
	assert_true(link.loopback && link.ifindex);
	assert_string_equal(link.name, "lo");
	assert_int_equal(rtnl_link(&rtnl, NULL, link.ifindex, &link), 0);
	assert_string_equal(link.name, "lo");
	assert_int_equal(rtnl_link(&rtnl, "no-such-device", 0, &link), -ENODEV);
	assert_int_equal(rtnl_link(&rtnl, NULL, INT32_MAX, &link), -ENODEV);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		json_t *route = json_pack("{s:s}", "dst", bad[i]);

		assert_int_equal(rtnl_add_address(&rtnl, link.ifindex, bad[i]), -EINVAL);
		assert_int_equal(rtnl_add_route(&rtnl, link.ifindex, route, NULL), -EINVAL);
		json_decref(route);
	}
	rtnl_done(&rtnl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_ipam),
		cmocka_unit_test(with_ipam),
		cmocka_unit_test(behind_others),
		cmocka_unit_test(in_a_chain),
		cmocka_unit_test(odd),
		cmocka_unit_test(macs),
		cmocka_unit_test(build),
		cmocka_unit_test(cut),
		fd_test(ask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
