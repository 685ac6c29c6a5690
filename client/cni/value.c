// SPDX-License-Identifier: Apache-2.0
#include "value.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

json_t *value_get(const struct at *at, const char *key)
{
	json_t *value = json_object_get(at->object, key);

	return json_is_null(value) ? NULL : value;
}

int value_bad(const struct at *at, const char *key, const char *want)
{
	cleanup(freep) char *value =
		json_dumps(json_object_get(at->object, key), JSON_COMPACT | JSON_ENCODE_ANY);

	return fail_set(at->fail, FAIL_CONFIG, "%s%s: %s, not %.128s", at->prefix, key, want,
			value ? value : "that");
}

int value_text(const struct at *at, const char *key, size_t max, const char **out)
{
	json_t *value = value_get(at, key);
	const char *text = json_string_value(value);

	*out = "";
	if (!value)
		return 0;
	if (!text || json_string_length(value) > max || strlen(text) != json_string_length(value))
		return value_bad(at, key, "want a text of a sensible length");
	for (const char *c = text; *c; c++) {
		if (iscntrl((unsigned char)*c))
			return value_bad(at, key, "want a text without control characters");
	}
	*out = text;
	return 0;
}

int value_path(const struct at *at, const char *key, const char **out)
{
	if (value_text(at, key, PATH_MAX - 1, out) < 0)
		return -1;
	if (!**out || **out == '/')
		return 0;
	*out = "";
	return value_bad(at, key, "want an absolute path");
}

int value_number(const struct at *at, const char *key, json_int_t min, json_int_t max,
		 json_int_t fallback, json_int_t *out)
{
	const json_t *value = value_get(at, key);
	char want[96];

	*out = fallback;
	if (!value)
		return 0;
	*out = json_integer_value(value);
	if (json_is_integer(value) && *out >= min && *out <= max)
		return 0;
	snprintf(want, sizeof(want), "want a number from %lld to %lld", (long long)min,
		 (long long)max);
	return value_bad(at, key, want);
}

int value_u32(const struct at *at, const char *key, json_int_t min, json_int_t max, uint32_t *out)
{
	json_int_t n;
	int err = value_number(at, key, min, max, *out, &n);

	*out = (uint32_t)n;
	return err;
}

int value_u16(const struct at *at, const char *key, uint16_t *out)
{
	json_int_t n;
	int err = value_number(at, key, 1, UINT16_MAX, 0, &n);

	*out = (uint16_t)n;
	return err;
}

int value_keys(const struct at *at, const char *const *known, enum verb verb)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)at->object, key, value) {
		size_t i = 0;

		while (known[i] && strcmp(known[i], key) != 0)
			i++;
		if (known[i] || strchr(key, '/')) /* a prefix: somebody's own extension */
			continue;

		cleanup(freep) char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

		fail_set(at->fail, FAIL_KEY, "unknown key '%s%.64s' (= %.128s): see xskd-cni(8)",
			 at->prefix, key, text ? text : "?");
		if (verb != VERB_DEL && verb != VERB_GC)
			return -1;
		log_warning("%s", at->fail->msg);
		at->fail->code = 0;
	}
	return 0;
}

bool value_mac(const char *text, uint8_t out[MAC_SIZE])
{
	if (strlen(text) != 3 * MAC_SIZE - 1)
		return false;
	for (size_t i = 0; i < MAC_SIZE; i++) {
		const char *byte = text + 3 * i;

		if (!isxdigit((unsigned char)byte[0]) || !isxdigit((unsigned char)byte[1]) ||
		    (byte[2] && byte[2] != ':'))
			return false;
		out[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return true;
}
