// SPDX-License-Identifier: Apache-2.0
#include "expose.h"

#include <inttypes.h>

static const char *const names[] = {
	[LABEL_VERSION] = "version", [LABEL_METHOD] = "method",   [LABEL_CODE] = "code",
	[LABEL_LE] = "le",           [LABEL_SOCKET] = "socket",   [LABEL_LIMIT] = "limit",
	[LABEL_MODE] = "mode",       [LABEL_KIND] = "kind",       [LABEL_STATE] = "state",
	[LABEL_WHAT] = "what",       [LABEL_FEATURE] = "feature", [LABEL_DEVICE] = "device",
	[LABEL_QUEUE] = "queue",
};

/* A name of a device may hold any byte but '/', ':' and blanks: also what is no UTF-8. */
static void put_escaped(FILE *out, const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == '\n')
			fputs("\\n", out);
		else if (*c == '\\' || *c == '"')
			fprintf(out, "\\%c", *c);
		else
			fputc(*c < 0x80 ? *c : '?', out);
	}
}

static void put_name(FILE *out, const char *name, const struct label *labels)
{
	char before = '{';

	fputs(name, out);
	for (; labels && labels->key != LABEL_NONE; labels++) {
		fprintf(out, "%c%s=\"", before, names[labels->key]);
		put_escaped(out, labels->value);
		fputc('"', out);
		before = ',';
	}
	fputs(before == ',' ? "} " : " ", out);
}

void expose_family(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void expose_count(FILE *out, const char *name, const struct label *labels, uint64_t value)
{
	put_name(out, name, labels);
	fprintf(out, "%" PRIu64 "\n", value);
}

void expose_number(FILE *out, const char *name, const struct label *labels, double value)
{
	put_name(out, name, labels);
	fprintf(out, "%.15g\n", value);
}
