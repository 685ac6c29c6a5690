// SPDX-License-Identifier: Apache-2.0
/*
 * The text of --config: whatever it is, it gives options within bounds or an error that says why.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "mutate.h"
#include "options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct options o = {
		.run_dir = "/run",
		.bpf_dir = "/bpf",
		.workers = 1,
		.limits = { .connections = 1,
			    .connections_per_netns = 1,
			    .calls_in_flight = 1,
			    .queued_bytes = 65536,
			    .sockets_per_lease = 1,
			    .umem_bytes_per_lease = 4096 },
	};
	struct fault fault = FAULT_INIT;
	int err = options_parse_json(&o, (const char *)data, size, &fault);

	check(err <= 0 && (err == 0 || *fault.text));
	check(memchr(o.run_dir, '\0', sizeof(o.run_dir)) && *o.run_dir == '/');
	check(memchr(o.bpf_dir, '\0', sizeof(o.bpf_dir)) && *o.bpf_dir == '/');
	check(o.log_level <= LEVEL_DEBUG);
	check(o.workers >= 1 && o.workers <= 128);
	check(o.limits.connections >= 1 && o.limits.connections_per_netns >= 1);
	check(o.limits.calls_in_flight >= 1 && o.limits.sockets_per_lease >= 1);
	check(o.limits.queued_bytes >= 65536 && o.limits.umem_bytes_per_lease >= 4096);
	fault_done(&fault);
	return 0;
}

/* ---- mutation: jansson counts no edges, so nothing would lead libFuzzer to an object ---- */

static json_t *some_value(void)
{
	static const char *const words[] = { "/run/xskd", "relative", "",         "info",
					     "debug",     "text",     "json",     "auto",
					     "/",         "loud",     "two-phase" };

	switch (mutate_random(7)) {
	case 0:
		return json_string(words[mutate_random(ARRAY_SIZE(words))]);
	case 1:
		return json_integer((json_int_t)mutate_random(UINT32_MAX) << mutate_random(33));
	case 2:
		return json_real(0.5 * mutate_random(100));
	case 3:
		return mutate_random(2) ? json_true() : json_null();
	case 4:
		return json_array();
	default:
		return json_integer((json_int_t)mutate_random(2000) - 2);
	}
}

static json_t *some_object(const char *const *keys, uint32_t n)
{
	json_t *object = json_object();

	for (uint32_t i = mutate_random(n); i; i--)
		(void)json_object_set_new(object, keys[mutate_random(n)], some_value());
	return object;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	static const char *const top[] = { "runDir",  "bpfDir",  "logLevel", "logFormat",
					   "handOff", "workers", "limits",   "unknown" };
	static const char *const inner[] = { "connections",          "connectionsPerNetns",
					     "callsInFlight",        "callsPerNetns",
					     "callsPerSecond",       "queuedBytes",
					     "socketsPerLease",      "umemBytesPerLease",
					     "transientGraceSeconds" };
	json_t *object;
	size_t len;

	mutate_seed(seed);
	if (mutate_random(3))
		return LLVMFuzzerMutate(data, size, max);
	object = some_object(top, ARRAY_SIZE(top));
	if (mutate_random(2))
		(void)json_object_set_new(object, "limits", some_object(inner, ARRAY_SIZE(inner)));
	len = json_dumpb(object, (char *)data, max, 0);
	json_decref(object);
	return len <= max ? len : size;
}
