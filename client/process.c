// SPDX-License-Identifier: Apache-2.0
#include "process.h"

#include <inttypes.h>
#include <stdio.h>

#include "output.h"

static json_t *seccomp_mode(unsigned int mode)
{
	static const char *const names[] = { "none", "strict", "filter" };

	return json_string(mode < ARRAY_SIZE(names) ? names[mode] : "unknown");
}

static void add_capabilities(json_t **to, uint64_t capabilities)
{
	char hex[17];

	snprintf(hex, sizeof(hex), "%016" PRIx64, capabilities);
	output_add(to, "capabilities", json_integer(__builtin_popcountll(capabilities)));
	output_add(to, "cap_eff", json_string(hex));
}

void process_add(json_t **to)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	uint64_t capabilities;
	unsigned int n;

	output_add(to, "uid", output_number(getuid()));
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "CapEff: %" SCNx64, &capabilities) == 1)
			add_capabilities(to, capabilities);
		else if (sscanf(line, "NoNewPrivs: %u", &n) == 1)
			output_add(to, "no_new_privs", json_boolean(n != 0));
		else if (sscanf(line, "Seccomp: %u", &n) == 1)
			output_add(to, "seccomp", seccomp_mode(n));
	}
	fclose(f);
}
