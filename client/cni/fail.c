// SPDX-License-Identifier: Apache-2.0
#include "fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

printf_like(3, 0) static void tell(struct fail *fail, int code, const char *fmt, va_list ap)
{
	fail->code = code;
	fail->details[0] = '\0';
	vsnprintf(fail->msg, sizeof(fail->msg), fmt, ap);
}

static void append(struct fail *fail, const char *why)
{
	size_t used = strlen(fail->msg);

	snprintf(fail->msg + used, sizeof(fail->msg) - used, ": %s", why);
}

int fail_set(struct fail *fail, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(fail, code, fmt, ap);
	va_end(ap);
	return -1;
}

int fail_errno(struct fail *fail, int code, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(fail, code, fmt, ap);
	va_end(ap);
	append(fail, strerrordesc_np(-err));
	return -1;
}

static bool may_pass(const struct xskd *x, int err)
{
	switch (err) {
	case -EAGAIN:
	case -ETIMEDOUT:
	case -ENOTCONN:
	case -ECONNREFUSED:
		return true;
	default: /* a missing socket is a missing daemon, a missing lease is not */
		return xskd_status(x) < 0 && err == -ENOENT;
	}
}

int fail_xskd(struct fail *fail, const struct xskd *x, int err, const char *fmt, ...)
{
	const char *text = xskd_error(x);
	va_list ap;

	va_start(ap, fmt);
	tell(fail, may_pass(x, err) ? FAIL_TRY_AGAIN : FAIL_REFUSED, fmt, ap);
	va_end(ap);
	append(fail, *text ? text : strerrordesc_np(-err));
	snprintf(fail->details, sizeof(fail->details), "%s", xskd_log(x));
	return -1;
}

/*
 * A text that may be another program's, and may have been cut within a character: what is not UTF-8
 * would make no JSON.
 */
static json_t *text_json(char *text)
{
	json_t *value = json_string(text);

	for (size_t len = strlen(text), cut = 1; !value && cut < 4 && cut <= len; cut++) {
		text[len - cut] = '\0';
		value = json_string(text);
	}
	for (char *c = text; !value && *c; c++)
		*c = (char)(*c & 0x80 ? '?' : *c);
	return value ? value : json_string(text);
}

void fail_print(const struct fail *fail, const char *cni_version)
{
	struct fail copy = *fail;
	cleanup(json_decrefp) json_t *msg = text_json(copy.msg);
	cleanup(json_decrefp) json_t *details = text_json(copy.details);
	cleanup(json_decrefp) json_t *error = json_pack(
		"{s:s, s:i, s:O}", "cniVersion", cni_version, "code", fail->code, "msg", msg);

	if (error && json_string_length(details))
		json_object_set(error, "details", details);
	if (!error || json_dumpf(error, stdout, JSON_INDENT(4)) < 0)
		printf("{ \"cniVersion\": \"%s\", \"code\": %d, \"msg\": \"out of memory\" }",
		       cni_version, fail->code);
	putchar('\n');
}
