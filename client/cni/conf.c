// SPDX-License-Identifier: Apache-2.0
#include "conf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

#define SOCKET_DIR "/run/xskd"
/* Of "Introduce preferred busy-polling", the series that brought it (Linux 5.11). */
#define DEFER_IRQS 2
#define FLUSH_NS   200000

const char *const cni_versions[CNI_VERSIONS] = { "0.3.1", "0.4.0", "1.0.0", "1.1.0" };

static const char *const top_keys[] = {
	/* The specification's, and what runtimes and multus put there. */
	"cniVersion", "cniVersions", "name", "type", "args", "capabilities", "runtimeConfig",
	"prevResult", "ipam", "dns", "disableCheck", "disableGC", "loadOnlyInlinedPlugins",
	"deviceID", "pciBusID", "resourceName", "ipMasq",
	/* Ours. */
	"mode", "device", "queues", "xdpMode", "program", "mac", "mtu", "channels", "busyPoll",
	"filters", "allowInUse", "socketDir", "logFile", NULL
};

static int read_version(const struct at *at, struct conf *conf)
{
	const char *text;

	if (value_text(at, "cniVersion", VALUE_TEXT_MAX, &text) < 0)
		return -1;
	for (size_t i = 0; i < CNI_VERSIONS; i++) {
		if (!strcmp(text, cni_versions[i])) {
			conf->version = (enum cni_version)i;
			return 0;
		}
	}
	return fail_set(
		at->fail, FAIL_VERSION,
		"cniVersion '%s' is none of those that xskd-cni speaks: 0.3.1, 0.4.0, 1.0.0, "
		"1.1.0",
		*text ? text : "0.1.0");
}

static int read_mode(const struct at *at, struct conf *conf)
{
	static const char *const modes[] = { "auto", "native", "generic" };
	const char *mode, *xdp;

	if (value_text(at, "mode", VALUE_TEXT_MAX, &mode) < 0 ||
	    value_text(at, "xdpMode", VALUE_TEXT_MAX, &xdp) < 0)
		return -1;
	conf->queue_mode = !strcmp(mode, "queue");
	if (*mode && !conf->queue_mode && strcmp(mode, "device") != 0)
		return value_bad(at, "mode", "want \"device\" or \"queue\"");
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (!strcmp(xdp, modes[i]) || (!*xdp && !i)) {
			conf->xdp_mode = (enum xskd_xdp_mode)i;
			return 0;
		}
	}
	return value_bad(at, "xdpMode", "want \"auto\", \"native\" or \"generic\"");
}

/* What the runtime chose for this pod goes before what the file says for all. */
static int read_device(const struct at *at, const struct at *runtime, struct conf *conf)
{
	if (value_text(runtime, "deviceID", VALUE_TEXT_MAX, &conf->device) < 0)
		return -1;
	if (!*conf->device && value_text(at, "deviceID", VALUE_TEXT_MAX, &conf->device) < 0)
		return -1;
	if (!*conf->device && value_text(at, "device", VALUE_TEXT_MAX, &conf->device) < 0)
		return -1;
	return 0;
}

static int append_queue(const struct at *at, struct conf *conf, const json_t *value)
{
	char why[ARGS_WHY_SIZE], text[24];

	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    json_integer_value(value) > UINT32_MAX)
		return value_bad(at, "queues", "want an array of numbers");
	snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
	return args_queues(text, &conf->queues, why) < 0 ? value_bad(at, "queues", why) : 0;
}

static int compare_queues(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int read_queues(const struct at *at, enum verb verb, struct conf *conf)
{
	const json_t *value = value_get(at, "queues"), *item;
	const struct at inside = { value, "queues.", at->fail };
	char why[ARGS_WHY_SIZE];
	size_t i;

	if (!value)
		return 0;
	if (json_is_object(value)) {
		static const char *const keys[] = { "count", NULL };

		if (value_keys(&inside, keys, verb) < 0)
			return -1;
		return value_u32(&inside, "count", 1, ARGS_QUEUES_MAX, &conf->queue_count);
	}
	if (json_is_string(value)) {
		if (args_queues(json_string_value(value), &conf->queues, why) < 0)
			return value_bad(at, "queues", why);
	} else if (json_is_array(value) && json_array_size(value)) {
		json_array_foreach(value, i, item) {
			if (append_queue(at, conf, item) < 0)
				return -1;
		}
	} else {
		return value_bad(at, "queues", "want \"0-3,7\", [0, 1] or {\"count\": 2}");
	}
	qsort(conf->queues.queues, conf->queues.n, sizeof(*conf->queues.queues), compare_queues);
	return 0;
}

static int read_constant(const struct at *at, struct conf *conf, const char *name,
			 const json_t *value)
{
	char why[ARGS_WHY_SIZE], *word = NULL;
	int n = -1;

	if (json_is_integer(value))
		n = asprintf(&word, "%s=%lld", name, (long long)json_integer_value(value));
	else if (json_is_string(value))
		n = asprintf(&word, "%s=%s", name, json_string_value(value));
	else
		return value_bad(at, name, "want a number, or a text as xskctl(1) --set takes it");
	if (n < 0)
		return fail_errno(at->fail, FAIL_IO, -ENOMEM, "cannot read the configuration");
	conf->constant_words[conf->n_constants] = word;
	if (args_constant(word, &conf->constants[conf->n_constants], why) < 0)
		return value_bad(at, name, why);
	conf->n_constants++;
	return 0;
}

static int read_constants(const struct at *at, struct conf *conf)
{
	json_t *value = value_get(at, "constants"), *item;
	const struct at inside = { value, "program.constants.", at->fail };
	const char *name;
	size_t n = json_object_size(value);

	if (!value)
		return 0;
	if (!json_is_object(value))
		return value_bad(at, "constants", "want an object");
	conf->constants = calloc(n + 1, sizeof(*conf->constants));
	conf->constant_words = calloc(n + 1, sizeof(*conf->constant_words));
	if (!conf->constants || !conf->constant_words)
		return fail_errno(at->fail, FAIL_IO, -ENOMEM, "cannot read the configuration");
	json_object_foreach(value, name, item) {
		if (read_constant(&inside, conf, name, item) < 0)
			return -1;
	}
	return 0;
}

static int read_program(const struct at *at, enum verb verb, struct conf *conf)
{
	static const char *const keys[] = { "object", "name", "map", "constants", NULL };
	const json_t *value = value_get(at, "program");
	const struct at inside = { value, "program.", at->fail };

	if (!value)
		return 0;
	if (!json_is_object(value))
		return value_bad(at, "program", "want an object");
	if (value_keys(&inside, keys, verb) < 0 ||
	    value_path(&inside, "object", &conf->object) < 0 ||
	    value_text(&inside, "name", VALUE_TEXT_MAX, &conf->program) < 0 ||
	    value_text(&inside, "map", VALUE_TEXT_MAX, &conf->map) < 0 ||
	    read_constants(&inside, conf) < 0)
		return -1;
	if (!*conf->object)
		return value_bad(&inside, "object", "want the path of a BPF object on the host");
	return 0;
}

static int read_busy_poll(const struct at *at, enum verb verb, struct conf *conf)
{
	static const char *const keys[] = { "napiDeferHardIrqs", "groFlushTimeout", NULL };
	const json_t *value = value_get(at, "busyPoll");
	const struct at inside = { value, "busyPoll.", at->fail };

	conf->napi_defer_hard_irqs = DEFER_IRQS;
	conf->gro_flush_timeout = FLUSH_NS;
	if (!value || json_is_false(value))
		return 0;
	conf->busy_poll = true;
	if (json_is_true(value))
		return 0;
	if (!json_is_object(value))
		return value_bad(at, "busyPoll", "want true, false or an object");
	if (value_keys(&inside, keys, verb) < 0 ||
	    value_u32(&inside, "napiDeferHardIrqs", 0, INT32_MAX, &conf->napi_defer_hard_irqs) < 0)
		return -1;
	return value_u32(&inside, "groFlushTimeout", 0, INT32_MAX, &conf->gro_flush_timeout);
}

/* "" is how a runtime says that it has no opinion. */
static bool is_given(const struct at *at, const char *key)
{
	const json_t *value = value_get(at, key);

	return value && (!json_is_string(value) || json_string_length(value));
}

/* How a device is to be set up concerns all who share it. */
static int refuse_settings(const struct at *at)
{
	static const char *const shared[] = { "mac", "mtu", "channels", "busyPoll" };

	for (size_t i = 0; i < ARRAY_SIZE(shared); i++) {
		if (value_get(at, shared[i]))
			return value_bad(
				at, shared[i],
				"in mode \"queue\" the device belongs to several; set it on the "
				"host");
	}
	return 0;
}

/* What the runtime chose for this pod goes before what the file says for all. */
static int read_settings(const struct at *at, const struct at *runtime, enum verb verb,
			 struct conf *conf)
{
	const struct at *of_mac = is_given(runtime, "mac") ? runtime : at;
	const char *mac;

	if (conf->queue_mode)
		return refuse_settings(at) < 0 ? -1 : refuse_settings(runtime);
	if (value_text(of_mac, "mac", VALUE_TEXT_MAX, &mac) < 0)
		return -1;
	conf->has_mac = *mac;
	if (conf->has_mac && (!value_mac(mac, conf->mac) || (conf->mac[0] & 1)))
		return value_bad(of_mac, "mac",
				 "want the address of one device, such as 02:00:00:00:00:01");
	if (value_u32(is_given(runtime, "mtu") ? runtime : at, "mtu", 68, 65535, &conf->mtu) < 0 ||
	    value_u32(at, "channels", 1, 4096, &conf->channels) < 0)
		return -1;
	return read_busy_poll(at, verb, conf);
}

static int check_address(const struct at *at, const char *key, const char *text, bool ipv6,
			 bool pod)
{
	uint8_t address[16];

	if (!*text || (pod && !strcmp(text, "pod")) ||
	    inet_pton(ipv6 ? AF_INET6 : AF_INET, text, address) == 1)
		return 0;
	return value_bad(at, key, ipv6 ? "want an IPv6 address" : "want an IPv4 address");
}

static int check_filter(const struct at *at, const struct filter *f)
{
	bool ether = !strcmp(f->flow, "ether"), ports = strncmp(f->flow, "ip", 2) != 0;
	bool ipv6 = strchr(f->flow, '6');
	uint8_t mac[MAC_SIZE];

	if (check_address(at, "srcIP", f->src_ip, ipv6, false) < 0 ||
	    check_address(at, "dstIP", f->dst_ip, ipv6, true) < 0)
		return -1;
	if (*f->dst_mac && !value_mac(f->dst_mac, mac))
		return value_bad(at, "dstMAC", "want a MAC address");
	if (ether && (*f->src_ip || *f->dst_ip || f->src_port || f->dst_port))
		return value_bad(at, "flow", "addresses and ports need another flow");
	if (!ether && (*f->dst_mac || f->ether_type))
		return value_bad(at, "flow", "dstMAC and etherType need the flow \"ether\"");
	if (!ports && (f->src_port || f->dst_port))
		return value_bad(at, "flow", "ports need udp, tcp or sctp");
	return 0;
}

static int read_filter(const struct at *at, enum verb verb, struct filter *f)
{
	static const char *const keys[] = { "flow",   "srcIP",     "dstIP", "srcPort", "dstPort",
					    "dstMAC", "etherType", "queue", NULL };
	static const char *const flows[] = { "udp4", "tcp4",  "sctp4", "ip4",  "udp6",
					     "tcp6", "sctp6", "ip6",   "ether" };
	size_t i = 0;

	if (!json_is_object(at->object))
		return fail_set(at->fail, FAIL_CONFIG, "%.*s: want an object",
				(int)strlen(at->prefix) - 1, at->prefix);
	if (value_keys(at, keys, verb) < 0 ||
	    value_text(at, "flow", VALUE_TEXT_MAX, &f->flow) < 0 ||
	    value_text(at, "srcIP", VALUE_TEXT_MAX, &f->src_ip) < 0 ||
	    value_text(at, "dstIP", VALUE_TEXT_MAX, &f->dst_ip) < 0 ||
	    value_text(at, "dstMAC", VALUE_TEXT_MAX, &f->dst_mac) < 0 ||
	    value_u16(at, "srcPort", &f->src_port) < 0 ||
	    value_u16(at, "dstPort", &f->dst_port) < 0 ||
	    value_u16(at, "etherType", &f->ether_type) < 0 ||
	    value_number(at, "queue", 0, ARGS_QUEUES_MAX, -1, &f->queue) < 0)
		return -1;
	while (i < ARRAY_SIZE(flows) && strcmp(flows[i], f->flow) != 0)
		i++;
	if (i == ARRAY_SIZE(flows))
		return value_bad(
			at, "flow",
			"want one of udp4, tcp4, sctp4, ip4, udp6, tcp6, sctp6, ip6, ether");
	return check_filter(at, f);
}

static int read_filters(const struct at *at, enum verb verb, struct conf *conf)
{
	const json_t *value = value_get(at, "filters"), *item;
	size_t i;

	if (!value)
		return 0;
	if (!json_is_array(value) || json_array_size(value) > CONF_FILTERS_MAX)
		return value_bad(at, "filters", "want an array of at most 64 rules");
	json_array_foreach(value, i, item) {
		char prefix[32];
		const struct at inside = { item, prefix, at->fail };

		snprintf(prefix, sizeof(prefix), "filters[%zu].", i);
		if (read_filter(&inside, verb, &conf->filters[i]) < 0)
			return -1;
		conf->n_filters++;
	}
	return 0;
}

static int read_allow(const struct at *at, struct conf *conf)
{
	const json_t *value = value_get(at, "allowInUse"), *item;
	size_t i;

	conf->allow_in_use = value;
	if (value && !json_is_array(value))
		return value_bad(at, "allowInUse", "want an array of names of devices");
	json_array_foreach(value, i, item) {
		if (!json_is_string(item) || !env_is_ifname(json_string_value(item)))
			return value_bad(at, "allowInUse", "want an array of names of devices");
	}
	return 0;
}

static int read_socket_dir(const struct at *at, struct conf *conf)
{
	int err = value_path(at, "socketDir", &conf->socket_dir);

	if (!*conf->socket_dir)
		conf->socket_dir = SOCKET_DIR;
	return err;
}

static int read_ipam(const struct at *at, struct conf *conf)
{
	const json_t *ipam = value_get(at, "ipam");
	const struct at inside = { ipam, "ipam.", at->fail };

	if (ipam && !json_is_object(ipam))
		return value_bad(at, "ipam", "want an object");
	if (value_text(&inside, "type", VALUE_TEXT_MAX, &conf->ipam) < 0)
		return -1;
	if (!strchr(conf->ipam, '/'))
		return 0;
	conf->ipam = "";
	return value_bad(&inside, "type", "want the name of a plugin, without a path");
}

static int read_standard(const struct at *at, struct conf *conf)
{
	static const char *const objects[] = { "prevResult", "dns", "runtimeConfig" };

	for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
		const json_t *value = value_get(at, objects[i]);

		if (value && !json_is_object(value))
			return value_bad(at, objects[i], "want an object");
	}
	conf->prev_result = value_get(at, "prevResult");
	return 0;
}

static int read_name(const struct at *at, struct conf *conf)
{
	if (value_text(at, "name", VALUE_TEXT_MAX, &conf->name) < 0)
		return -1;
	/* The specification's pattern is the one of container ids. */
	return env_is_container(conf->name)
		       ? 0
		       : value_bad(at, "name", "want letters, digits, '_', '.' and '-'");
}

/* DEL goes on: the record knows what to take back, and a pod must be able to end. */
static bool goes_on(int err, const struct at *at, enum verb verb)
{
	if (err < 0 && verb == VERB_DEL) {
		log_warning("%s; going by what was noted", at->fail->msg);
		at->fail->code = 0;
		return true;
	}
	return err == 0;
}

static bool parse(const struct at *at, enum verb verb, struct conf *conf)
{
	const struct at runtime = { value_get(at, "runtimeConfig"), "runtimeConfig.", at->fail };

	return goes_on(read_version(at, conf), at, verb) &&
	       goes_on(read_socket_dir(at, conf), at, verb) &&
	       goes_on(read_ipam(at, conf), at, verb) &&
	       goes_on(read_standard(at, conf), at, verb) &&
	       goes_on(value_path(at, "logFile", &conf->log_file), at, verb) &&
	       goes_on(value_keys(at, top_keys, verb), at, verb) &&
	       goes_on(read_name(at, conf), at, verb) && goes_on(read_mode(at, conf), at, verb) &&
	       goes_on(read_device(at, &runtime, conf), at, verb) &&
	       goes_on(read_queues(at, verb, conf), at, verb) &&
	       goes_on(read_program(at, verb, conf), at, verb) &&
	       goes_on(read_settings(at, &runtime, verb, conf), at, verb) &&
	       goes_on(read_filters(at, verb, conf), at, verb) &&
	       goes_on(read_allow(at, conf), at, verb);
}

int conf_parse(json_t *json, enum verb verb, struct conf *conf, struct fail *fail)
{
	const struct at at = { json, "", fail };

	*conf = (struct conf){
		.json = json_incref(json),
		.version = CNI_VERSIONS - 1,
		.name = "",
		.device = "",
		.object = "",
		.program = "",
		.map = "",
		.ipam = "",
		.socket_dir = SOCKET_DIR,
		.log_file = "",
	};
	if (!json_is_object(json))
		return fail_set(fail, FAIL_DECODE, "the configuration is no JSON object");
	if (verb == VERB_VERSION)
		return read_version(&at, conf);
	return parse(&at, verb, conf) ? 0 : -1;
}

int conf_read(int fd, enum verb verb, struct conf *conf, struct fail *fail)
{
	cleanup(freep) char *text = malloc(CONF_BYTES_MAX + 1);
	cleanup(json_decrefp) json_t *json = NULL;
	json_error_t where;
	size_t len = 0;
	ssize_t n;

	*conf = (struct conf){ .json = NULL };
	if (!text)
		return fail_errno(fail, FAIL_IO, -ENOMEM, "cannot read the configuration");
	while ((n = read(fd, text + len, CONF_BYTES_MAX + 1 - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		return fail_errno(fail, FAIL_IO, -errno, "cannot read the configuration");
	if (len > CONF_BYTES_MAX)
		return fail_set(fail, FAIL_DECODE, "the configuration has more than %d bytes",
				CONF_BYTES_MAX);
	json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	if (!json)
		return fail_set(fail, FAIL_DECODE, "the configuration is no JSON: line %d: %s",
				where.line, where.text);
	return conf_parse(json, verb, conf, fail);
}

void conf_done(struct conf *conf)
{
	queue_list_donep(&conf->queues);
	for (size_t i = 0; conf->constant_words && i <= conf->n_constants; i++)
		free(conf->constant_words[i]);
	free(conf->constant_words);
	free(conf->constants);
	json_decref(conf->json);
}
