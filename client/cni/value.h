/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One value of a JSON object, checked for its kind and size. What is absent, null or "" is not
 * given: templates like to write it so. Each answers 0, or -1 with a message that names the value
 * and says what was wanted.
 */
#ifndef CNI_VALUE_H
#define CNI_VALUE_H

#include "env.h"

#define VALUE_TEXT_MAX 255 /* of a name */
#define MAC_SIZE       6

/* Where values are. */
struct at {
	const json_t *object;
	const char *prefix; /* of their names in messages: "filters[2]." */
	struct fail *fail;
};

/* value_get() - NULL: it is not given. Borrowed. */
json_t *value_get(const struct at *at, const char *key);

/* value_bad() - the value is wrong: @want says what would be right. Return: -1. */
int value_bad(const struct at *at, const char *key, const char *want);

/* value_text() - "" if it is not given; value_path() - likewise, and absolute. Borrowed. */
int value_text(const struct at *at, const char *key, size_t max, const char **out) must_check;
int value_path(const struct at *at, const char *key, const char **out) must_check;

/* value_number() - @fallback if it is not given. */
int value_number(const struct at *at, const char *key, json_int_t min, json_int_t max,
		 json_int_t fallback, json_int_t *out) must_check;

/* value_u32() - *@out stays as it is, and value_u16() makes it 0, if it is not given. */
int value_u32(const struct at *at, const char *key, json_int_t min, json_int_t max,
	      uint32_t *out) must_check;
int value_u16(const struct at *at, const char *key, uint16_t *out) must_check;

/*
 * value_keys() - report the keys that are not in @known, which ends with NULL. That fails an ADD,
 * CHECK and STATUS, while DEL and GC only warn: a changed configuration must not keep a pod from
 * ending. A key with a '/' is somebody's own extension.
 */
int value_keys(const struct at *at, const char *const *known, enum verb verb) must_check;

/* value_mac() - "02:00:00:00:00:01" as bytes. */
bool value_mac(const char *text, uint8_t out[MAC_SIZE]);

#endif
