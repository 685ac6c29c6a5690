/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What commands print. A command builds JSON, once, and names the columns that a person wants to
 * see of it: both formats come from the same values and cannot disagree.
 *
 * Text that came from outside (labels, messages) may hold anything; in a table its control
 * characters become '?', so that nobody's pod label drives the administrator's terminal.
 */
#ifndef CLIENT_OUTPUT_H
#define CLIENT_OUTPUT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "util.h"

enum output_format {
	OUTPUT_TABLE,
	OUTPUT_JSON,
};

enum column_kind {
	COLUMN_PLAIN = 0, /* as it is; yes or no; null is "-" */
	COLUMN_AGE,       /* seconds since the epoch, as "3m ago" */
	COLUMN_BYTES,     /* "64 MiB" */
	COLUMN_QUEUES,    /* an array of numbers, or of objects with "queue", as "0-3,7" */
	COLUMN_PAIRS,     /* an object, as "k=v,k=v" */
};

struct column {
	const char *title; /* in capitals */
	const char *key;   /* of the JSON object */
	enum column_kind kind;
};

/*
 * output_list() - an array of objects: one line each below a line of titles, or JSON.
 * Return: 0, or -ENOMEM; errors of @to are for the caller to find with ferror().
 */
must_check int output_list(FILE *to, enum output_format format, const json_t *rows,
			   const struct column *columns, size_t n_columns, time_t now);

/* output_record() - one object: a line for each column, its title first, or JSON. */
must_check int output_record(FILE *to, enum output_format format, const json_t *object,
			     const struct column *columns, size_t n_columns, time_t now);

/*
 * output_add(), output_append() - build an object or an array. @value is taken over; NULL, or no
 * room for it, makes *@to NULL, and so all that follows: one look at the result is enough.
 */
void output_add(json_t **to, const char *key, json_t *value);
void output_append(json_t **to, json_t *value);

/* output_text() - as a JSON string; what is not UTF-8 loses its bytes above 127. "" is null. */
json_t *output_text(const char *text);

/* output_number() - as a JSON integer. */
json_t *output_number(uint64_t n);

/* output_id() - a number of which 0 means "none": then null. */
json_t *output_id(uint64_t n);

/* output_queues() - an array of numbers. */
json_t *output_queues(const uint32_t *queues, size_t n);

/* output_safe() - print @text without its control characters. */
void output_safe(FILE *to, const char *text);

#endif
