// SPDX-License-Identifier: Apache-2.0
#include "smaps.h"

#include <stdio.h>

#include "rows.h"

struct memory memory_of(pid_t pid)
{
	struct memory m = { 0 };
	char path[64], line[256];
	double part;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "re");
	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "Rss: %lf", &m.rss);
		sscanf(line, "Pss: %lf", &m.pss);
		sscanf(line, "Private_Dirty: %lf", &m.dirty);
		sscanf(line, "Anonymous: %lf", &m.anon);
		if (sscanf(line, "Pss_Anon: %lf", &part) == 1 ||
		    sscanf(line, "Pss_File: %lf", &part) == 1)
			m.own += part;
	}
	fclose(f);
	CHECK(m.rss > 0);
	return m;
}
