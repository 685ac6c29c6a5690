/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's log, on stderr: a line a message, as text or as one JSON object. journald and
 * container runtimes take it from there and add the rest. Level and format are the only state.
 */
#ifndef XSKD_LOG_H
#define XSKD_LOG_H

#include <stdarg.h>
#include <stddef.h>

#include "base.h"

enum log_level {
	LEVEL_ERROR,
	LEVEL_WARNING,
	LEVEL_INFO,
	LEVEL_DEBUG,
};

/* A name and a value beside the message; a NULL or empty value is left out. */
struct log_field {
	const char *key;
	const char *value;
};

void log_set(enum log_level level, bool json);
bool log_enabled(enum log_level level);

/* log_level_parse() - "error", "warning", "info", "debug"; Return: false if it is none of these. */
bool log_level_parse(const char *word, enum log_level *out);

/* log_flush() - what could not be written when it was said; once a second. */
void log_flush(void);

void log_line(enum log_level level, const char *fmt, ...) printf_like(2, 3);
void log_fields(enum log_level level, const char *message, const struct log_field *fields,
		size_t n);

#define log_error(...)   log_line(LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LEVEL_DEBUG, __VA_ARGS__)

#endif
