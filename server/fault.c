// SPDX-License-Identifier: Apache-2.0
#include "fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * Texts quote what clients sent, which may be anything: but a proto3 string has to be UTF-8, and a
 * log or a terminal wants no control characters.
 */
static void make_plain(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text >= 0x7f || (*text < ' ' && *text != '\n'))
			*text = '?';
	}
}

int fault_set(struct fault *f, Xskd__Code code, int err, const char *fmt, ...)
{
	va_list args;

	f->code = code;
	f->err = err;
	va_start(args, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, args);
	va_end(args);
	make_plain(f->text);
	return err ? -err : -EINVAL;
}

void fault_log(struct fault *f, char *log)
{
	free(f->log);
	f->log = log;
	make_plain(log);
}

bool fault_is_shortage(int err)
{
	return err == -ENOMEM || err == -EMFILE || err == -ENFILE || err == -ENOBUFS ||
	       err == -ETOOMANYREFS;
}

static Xskd__Code code_of(int err)
{
	switch (err) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return XSKD__CODE__NOT_FOUND;
	case EEXIST:
	case EBUSY:
		return XSKD__CODE__FAILED_PRECONDITION;
	case ENOMEM:
	case ENOBUFS:
	case ENOSPC:
	case EMFILE:
	case ENFILE:
		return XSKD__CODE__RESOURCE_EXHAUSTED;
	case EOPNOTSUPP:
		return XSKD__CODE__UNIMPLEMENTED;
	default:
		return XSKD__CODE__INTERNAL;
	}
}

int fault_sys(struct fault *f, int err, const char *fmt, ...)
{
	size_t at;
	va_list args;

	err = abs(err);
	f->code = code_of(err);
	f->err = err;
	va_start(args, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, args);
	va_end(args);
	make_plain(f->text);
	at = strlen(f->text);
	snprintf(f->text + at, sizeof(f->text) - at, ": %s", strerrordesc_np(err));
	return err ? -err : -EINVAL;
}

/* Half a KiB of text need not be cleared for each call that does not fail. */
void fault_init(struct fault *f)
{
	f->code = XSKD__CODE__OK;
	f->err = 0;
	*f->text = '\0';
	f->log = NULL;
}

void fault_done(struct fault *f)
{
	free(f->log);
	fault_init(f);
}
