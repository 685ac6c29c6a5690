/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Prometheus text format, version 0.0.4: families and their samples, to a stream.
 *
 * The names of labels are an enum: each of them takes few values, or those of the node's hardware.
 * A pod, a container or a cookie cannot become one: that would be a new series for each that ever
 * was.
 */
#ifndef XSKD_EXPOSE_H
#define XSKD_EXPOSE_H

#include <stdint.h>
#include <stdio.h>

enum label_key {
	LABEL_NONE, /* ends a list of labels */
	LABEL_VERSION,
	LABEL_METHOD,
	LABEL_CODE,
	LABEL_LE,
	LABEL_SOCKET,
	LABEL_LIMIT,
	LABEL_MODE,
	LABEL_KIND,
	LABEL_STATE,
	LABEL_WHAT,
	LABEL_FEATURE,
	LABEL_DEVICE, /* of the daemon's own namespace, where names are unique */
	LABEL_QUEUE,
};

struct label {
	enum label_key key;
	const char *value;
};

#define LABELS(...) ((const struct label[]){ __VA_ARGS__, { LABEL_NONE, NULL } })

/* expose_family() - what follows, up to the next one, are its samples. */
void expose_family(FILE *out, const char *name, const char *type, const char *help);

/* expose_count(), expose_number() - a sample. @labels: NULL, it has none. */
void expose_count(FILE *out, const char *name, const struct label *labels, uint64_t value);
void expose_number(FILE *out, const char *name, const struct label *labels, double value);

#endif
