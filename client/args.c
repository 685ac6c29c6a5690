// SPDX-License-Identifier: Apache-2.0
#include "args.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NETNS_DIR "/run/netns"

printf_like(2, 3) static int refuse(char why[ARGS_WHY_SIZE], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, ARGS_WHY_SIZE, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/*
 * The number that @text begins with. strtoull() alone would take white space, a sign (and negate!)
 * and octal as well.
 */
static bool leading_number(const char *text, uint64_t *out, const char **out_end)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	char *end;

	if (hex ? !isxdigit((unsigned char)text[2]) : !isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	*out = strtoull(text, &end, hex ? 16 : 10);
	*out_end = end;
	return errno == 0;
}

int args_number(const char *text, uint64_t min, uint64_t max, uint64_t *out,
		char why[ARGS_WHY_SIZE])
{
	const char *end;
	uint64_t n;

	if (!leading_number(text, &n, &end) || *end || n < min || n > max)
		return refuse(why, "want a number from %" PRIu64 " to %" PRIu64, min, max);
	*out = n;
	return 0;
}

int args_seconds(const char *text, int *out_ms, char why[ARGS_WHY_SIZE])
{
	const double most = INT_MAX / 1000;
	char *end;
	double s;

	/* strtod() also knows "inf", "nan" and hexadecimal. */
	if (!*text || text[strspn(text, "0123456789.")])
		return refuse(why, "want seconds, such as 5 or 0.5");
	s = strtod(text, &end);
	if (*end || end == text)
		return refuse(why, "want seconds, such as 5 or 0.5");
	if (s > most)
		return refuse(why, "want at most %.0f seconds", most);
	*out_ms = (int)ceil(s * 1000);
	return 0;
}

static int append_queue(struct queue_list *list, size_t *n, uint32_t queue, char why[ARGS_WHY_SIZE])
{
	for (size_t i = 0; i < *n; i++) {
		if (list->queues[i] == queue)
			return refuse(why, "names queue %" PRIu32 " twice", queue);
	}
	if (*n == ARGS_QUEUES_MAX)
		return refuse(why, "want at most %d queues", ARGS_QUEUES_MAX);
	list->queues[(*n)++] = queue;
	return 0;
}

/* One item, "3" or "0-3". @n: how many queues there are, with those of earlier items. */
static int append_range(struct queue_list *list, size_t *n, const char **text,
			char why[ARGS_WHY_SIZE])
{
	uint64_t first, last;

	if (!leading_number(*text, &first, text))
		return refuse(why, "want queues, such as 0-3,7");
	last = first;
	if (**text == '-' && !leading_number(*text + 1, &last, text))
		return refuse(why, "want queues, such as 0-3,7");
	if (last < first)
		return refuse(why, "the range goes backwards");
	if (last > UINT32_MAX)
		return refuse(why, "no queue has such a number");
	for (uint64_t queue = first; queue <= last; queue++) {
		int err = append_queue(list, n, (uint32_t)queue, why);

		if (err < 0)
			return err;
	}
	return 0;
}

int args_queues(const char *text, struct queue_list *list, char why[ARGS_WHY_SIZE])
{
	size_t n = list->n;

	if (!list->queues) {
		list->queues = calloc(ARGS_QUEUES_MAX, sizeof(*list->queues));
		if (!list->queues) {
			refuse(why, "%s", strerror(ENOMEM));
			return -ENOMEM;
		}
	}
	for (;; text++) {
		int err = append_range(list, &n, &text, why);

		if (err < 0)
			return err;
		if (*text != ',')
			break;
	}
	if (*text)
		return refuse(why, "want queues, such as 0-3,7");
	list->n = n;
	return 0;
}

void queue_list_donep(struct queue_list *list)
{
	free(list->queues);
	*list = (struct queue_list){ 0 };
}

int args_pair(char *text, char **out_key, char **out_value, char why[ARGS_WHY_SIZE])
{
	char *equals = strchr(text, '=');

	if (!equals || equals == text)
		return refuse(why, "want KEY=VALUE");
	*equals = '\0';
	*out_key = text;
	*out_value = equals + 1;
	return 0;
}

static int nibble(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

static int decode_hex(char *text, size_t *out_size, char why[ARGS_WHY_SIZE])
{
	size_t len = strlen(text);

	if (!len || len % 2 || strspn(text, "0123456789abcdefABCDEF") != len)
		return refuse(why, "want an even number of hexadecimal digits after hex:");
	for (size_t i = 0; i < len; i += 2)
		text[i / 2] = (char)(nibble(text[i]) << 4 | nibble(text[i + 1]));
	*out_size = len / 2;
	return 0;
}

int args_constant(char *text, struct xskd_constant *out, char why[ARGS_WHY_SIZE])
{
	char *name = NULL, *value = NULL;
	const char *end;
	uint64_t n;
	int err = args_pair(text, &name, &value, why);

	if (err || !value)
		return refuse(why, "want NAME=VALUE");
	if (strncmp(value, "hex:", 4) == 0) {
		size_t size = 0;

		err = decode_hex(value + 4, &size, why);
		if (err == 0)
			*out = (struct xskd_constant){ name, value + 4, size, 0 };
		return err;
	}

	bool negative = *value == '-';

	if (!leading_number(value + negative, &n, &end) || *end)
		return refuse(why, "want a number, or hex: and bytes, after NAME=");
	if (negative && n > (uint64_t)INT64_MAX + 1)
		return refuse(why, "the number does not fit into 64 bits");
	/* Above INT64_MAX it is meant for an unsigned variable: the same 64 bits. */
	*out = (struct xskd_constant){ .name = name, .number = (int64_t)(negative ? 0 - n : n) };
	return 0;
}

int args_netns(const char *text, char **out, char why[ARGS_WHY_SIZE])
{
	char *path;
	int n;

	if (!*text || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return refuse(why, "want a path, or a name below " NETNS_DIR);
	if (strchr(text, '/'))
		n = asprintf(&path, "%s", text);
	else
		n = asprintf(&path, NETNS_DIR "/%s", text);
	if (n < 0) {
		refuse(why, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	*out = path;
	return 0;
}

int args_choice(const char *text, const char *const *choices, unsigned int *out,
		char why[ARGS_WHY_SIZE])
{
	char list[ARGS_WHY_SIZE - 16] = "";

	for (unsigned int i = 0; choices[i]; i++) {
		size_t len = strlen(list);

		if (strcmp(text, choices[i]) == 0) {
			*out = i;
			return 0;
		}
		snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "", choices[i]);
	}
	return refuse(why, "want one of %s", list);
}
