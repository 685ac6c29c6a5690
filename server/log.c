// SPDX-License-Identifier: Apache-2.0
#include "log.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "outlet.h"

static const char *const level_name[] = {
	[LEVEL_ERROR] = "error",
	[LEVEL_WARNING] = "warning",
	[LEVEL_INFO] = "info",
	[LEVEL_DEBUG] = "debug",
};

static enum log_level log_level = LEVEL_INFO;
static bool log_json;

void log_set(enum log_level level, bool json)
{
	log_level = level;
	log_json = json;
}

bool log_enabled(enum log_level level)
{
	return level <= log_level;
}

bool log_level_parse(const char *word, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_name); i++) {
		if (!strcmp(word, level_name[i])) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

static void timestamp(char *buf, size_t size)
{
	struct timespec now;
	struct tm tm;
	char seconds[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf, size, "%s.%03ldZ", seconds, now.tv_nsec / 1000000);
}

/* Texts come from outside too: what is not printable must not reach a terminal, nor end a line. */
static char plain(char c)
{
	return (char)((unsigned char)c < ' ' || (unsigned char)c >= 0x7f ? '?' : c);
}

static void append(char *line, size_t size, size_t *at, const char *s)
{
	for (; *s && *at + 2 < size; s++)
		line[(*at)++] = plain(*s);
	line[*at] = '\0';
}

/* A quote must not end the value, and let the rest of it pass for fields of ours. */
static void append_quoted(char *line, size_t size, size_t *at, const char *s)
{
	append(line, size, at, "\"");
	for (; *s && *at + 3 < size; s++)
		line[(*at)++] = (char)(*s == '"' ? '\'' : plain(*s));
	append(line, size, at, "\"");
}

/* What is no UTF-8 is no JSON either, but must not be missing for that. */
static json_t *json_text(const char *s)
{
	json_t *text = json_string(s);
	char copy[1024];
	size_t n = 0;

	if (text)
		return text;
	for (; *s && n + 1 < sizeof(copy); s++)
		copy[n++] = plain(*s);
	return json_stringn(copy, n);
}

/* A line leaves in one write, so that lines of several threads and processes do not mix. */
static void put_json(const char *time, enum log_level level, const char *message,
		     const struct log_field *fields, size_t n)
{
	json_t *line = json_pack("{s:s, s:s, s:o}", "time", time, "level", level_name[level], "msg",
				 json_text(message));

	for (size_t i = 0; line && i < n; i++) {
		if (fields[i].value && *fields[i].value)
			json_object_set_new(line, fields[i].key, json_text(fields[i].value));
	}

	char *text = line ? json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

	const char lost[] = "{\"level\":\"error\",\"msg\":\"message lost\"}\n";
	size_t len = text ? strlen(text) : sizeof(lost) - 1;

	if (text)
		text[len++] = '\n'; /* in the place of its NUL */
	outlet_put(text ? text : lost, len);
	free(text);
	json_decref(line);
}

static void put_text(const char *time, enum log_level level, const char *message,
		     const struct log_field *fields, size_t n)
{
	char line[2048];
	size_t at = (size_t)snprintf(line, sizeof(line), "%s %-7s ", time, level_name[level]);

	append(line, sizeof(line), &at, message);
	for (size_t i = 0; i < n; i++) {
		if (!fields[i].value || !*fields[i].value)
			continue;

		append(line, sizeof(line), &at, " ");
		append(line, sizeof(line), &at, fields[i].key);
		append(line, sizeof(line), &at, "=");
		(strpbrk(fields[i].value, " \"=") ? append_quoted : append)(line, sizeof(line), &at,
									    fields[i].value);
	}
	line[at++] = '\n';
	outlet_put(line, at);
}

void log_fields(enum log_level level, const char *message, const struct log_field *fields, size_t n)
{
	char time[64];

	if (!log_enabled(level))
		return;
	timestamp(time, sizeof(time));
	(log_json ? put_json : put_text)(time, level, message, fields, n);
}

void log_flush(void)
{
	unsigned int lost = outlet_flush();

	if (lost)
		log_warning("%u lines of this log were lost: its reader did not take them in time",
			    lost);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char message[1024];
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	log_fields(level, message, NULL, 0);
}
