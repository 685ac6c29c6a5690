// SPDX-License-Identifier: Apache-2.0
#include "output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

/* More digits would print what a double cannot hold: 0.1 as 0.10000000000000001. */
#define JSON_STYLE (JSON_INDENT(2) | JSON_REAL_PRECISION(15))

#define GAP 2 /* spaces between columns */

static void drop_if(bool failed, json_t **value)
{
	if (failed) {
		json_decref(*value);
		*value = NULL;
	}
}

void output_add(json_t **to, const char *key, json_t *value)
{
	drop_if(json_object_set_new(*to, key, value) < 0, to); /* it takes NULL for either */
}

void output_append(json_t **to, json_t *value)
{
	drop_if(json_array_append_new(*to, value) < 0, to);
}

json_t *output_text(const char *text)
{
	if (!*text)
		return json_null();

	json_t *string = json_string(text);

	if (string)
		return string;

	cleanup(freep) char *ascii = strdup(text);

	if (!ascii)
		return NULL;
	for (char *c = ascii; *c; c++) {
		if ((unsigned char)*c > 127)
			*c = '?';
	}
	return json_string(ascii);
}

json_t *output_number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

json_t *output_id(uint64_t n)
{
	return n ? output_number(n) : json_null();
}

json_t *output_queues(const uint32_t *queues, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		output_append(&array, json_integer(queues[i]));
	return array;
}

void output_safe(FILE *to, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		/* In UTF-8, U+0080 to U+009F are control characters too: 0xc2 and 0x80 to 0x9f. */
		if (c == 0xc2 && ((unsigned char)text[1] & 0xe0) == 0x80) {
			text++;
			c = '?';
		}
		fputc(c < ' ' || c == 127 ? '?' : c, to);
	}
}

static void print_age(FILE *to, json_int_t then, time_t now)
{
	long long s = (long long)now - then;

	if (s < 0)
		s = 0; /* a clock was set back */
	if (s < 120)
		fprintf(to, "%llds ago", s);
	else if (s < 120 * 60)
		fprintf(to, "%lldm ago", s / 60);
	else if (s < 48 * 3600)
		fprintf(to, "%lldh ago", s / 3600);
	else
		fprintf(to, "%lldd ago", s / 86400);
}

static void print_bytes(FILE *to, json_int_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	size_t unit = 0;

	/* Only whole steps: a limit of 1025 bytes must not read as 1 KiB. */
	while (bytes && bytes % 1024 == 0 && unit + 1 < ARRAY_SIZE(units)) {
		bytes /= 1024;
		unit++;
	}
	fprintf(to, "%" JSON_INTEGER_FORMAT " %s", bytes, units[unit]);
}

static json_int_t queue_at(const json_t *queues, size_t i)
{
	const json_t *item = json_array_get(queues, i);

	return json_integer_value(json_is_object(item) ? json_object_get(item, "queue") : item);
}

static void print_queues(FILE *to, const json_t *queues)
{
	size_t n = json_array_size(queues);

	for (size_t i = 0; i < n;) {
		size_t end = i + 1;

		while (end < n && queue_at(queues, end) == queue_at(queues, end - 1) + 1)
			end++;
		fprintf(to, "%s%" JSON_INTEGER_FORMAT, i ? "," : "", queue_at(queues, i));
		if (end - i > 1)
			fprintf(to, "-%" JSON_INTEGER_FORMAT, queue_at(queues, end - 1));
		i = end;
	}
	if (!n)
		fputc('-', to);
}

static void print_plain(FILE *to, const json_t *value)
{
	if (json_is_string(value))
		output_safe(to, json_string_value(value));
	else if (json_is_integer(value))
		fprintf(to, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_real(value))
		fprintf(to, "%.3f", json_real_value(value));
	else if (json_is_boolean(value))
		fputs(json_is_true(value) ? "yes" : "no", to);
	else
		fputc('-', to);
}

static void print_pairs(FILE *to, json_t *object)
{
	const char *key;
	json_t *value;
	bool any = false;

	json_object_foreach(object, key, value) {
		if (any)
			fputc(',', to);
		output_safe(to, key);
		fputc('=', to);
		print_plain(to, value);
		any = true;
	}
	if (!any)
		fputc('-', to);
}

static void print_cell(FILE *to, const json_t *object, const struct column *column, time_t now)
{
	json_t *value = json_object_get(object, column->key);

	if (column->kind == COLUMN_AGE && json_integer_value(value) > 0)
		print_age(to, json_integer_value(value), now);
	else if (column->kind == COLUMN_BYTES && json_is_integer(value))
		print_bytes(to, json_integer_value(value));
	else if (column->kind == COLUMN_QUEUES)
		print_queues(to, value);
	else if (column->kind == COLUMN_PAIRS)
		print_pairs(to, value);
	else
		print_plain(to, column->kind == COLUMN_AGE ? NULL : value);
}

/* A cell as text of its own, freed by the caller; NULL: no memory. */
static char *format_cell(const json_t *object, const struct column *column, time_t now)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	print_cell(f, object, column, now);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* Columns that a terminal needs: bytes of UTF-8 that begin a character. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void print_padded(FILE *to, const char *text, size_t width, bool last)
{
	fputs(text, to);
	if (last)
		fputc('\n', to);
	else
		fprintf(to, "%*s", (int)(width - width_of(text) + GAP), "");
}

/* Cells of a table, line after line, with the width of each column. */
struct grid {
	size_t lines, columns;
	char **cells;
	size_t *widths;
};

static void grid_donep(struct grid *g)
{
	for (size_t i = 0; g->cells && i < g->lines * g->columns; i++)
		free(g->cells[i]);
	free(g->cells);
	free(g->widths);
}

static int grid_init(struct grid *g, const json_t *rows, const struct column *columns, size_t n,
		     time_t now)
{
	*g = (struct grid){ .lines = json_array_size(rows), .columns = n };
	g->cells = calloc(g->lines * n + 1, sizeof(*g->cells)); /* + 1: never of size 0 */
	g->widths = calloc(n + 1, sizeof(*g->widths));
	if (!g->cells || !g->widths)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		g->widths[i] = width_of(columns[i].title);
	for (size_t i = 0; i < g->lines * n; i++) {
		char *cell = format_cell(json_array_get(rows, i / n), &columns[i % n], now);

		if (!cell)
			return -ENOMEM;
		g->cells[i] = cell;
		if (width_of(cell) > g->widths[i % n])
			g->widths[i % n] = width_of(cell);
	}
	return 0;
}

static int print_json(FILE *to, const json_t *value)
{
	/* The only other failure is that of writing, which ferror() tells. */
	if (json_dumpf(value, to, JSON_STYLE) < 0 && !ferror(to))
		return -ENOMEM;
	fputc('\n', to);
	return 0;
}

int output_list(FILE *to, enum output_format format, const json_t *rows,
		const struct column *columns, size_t n_columns, time_t now)
{
	if (format == OUTPUT_JSON)
		return print_json(to, rows);

	cleanup(grid_donep) struct grid g = { 0 };
	int err = grid_init(&g, rows, columns, n_columns, now);

	if (err < 0)
		return err;
	for (size_t i = 0; i < n_columns; i++)
		print_padded(to, columns[i].title, g.widths[i], i + 1 == n_columns);
	for (size_t i = 0; i < g.lines * n_columns; i++) {
		size_t column = i % n_columns;

		print_padded(to, g.cells[i], g.widths[column], column + 1 == n_columns);
	}
	return 0;
}

int output_record(FILE *to, enum output_format format, const json_t *object,
		  const struct column *columns, size_t n_columns, time_t now)
{
	size_t width = 0;

	if (format == OUTPUT_JSON)
		return print_json(to, object);
	for (size_t i = 0; i < n_columns; i++) {
		if (width_of(columns[i].title) > width)
			width = width_of(columns[i].title);
	}
	for (size_t i = 0; i < n_columns; i++) {
		cleanup(freep) char *cell = format_cell(object, &columns[i], now);

		if (!cell)
			return -ENOMEM;
		print_padded(to, columns[i].title, width, false);
		print_padded(to, cell, 0, true);
	}
	return 0;
}
