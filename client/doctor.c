// SPDX-License-Identifier: Apache-2.0
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const level_names[DOCTOR_LEVELS] = { "ok", "note", "warning", "problem" };

__attribute__((format(printf, 1, 0))) static json_t *text_of(const char *fmt, va_list ap)
{
	char *text = NULL;
	json_t *value;

	if (vasprintf(&text, fmt, ap) < 0)
		return NULL;
	value = output_text(text);
	free(text);
	return value;
}

void doctor_find(struct doctor *d, enum doctor_level level, const char *check, const char *subject,
		 const char *fmt, ...)
{
	json_t *finding = json_object();
	va_list ap;

	va_start(ap, fmt);
	output_add(&finding, "check", json_string(check));
	output_add(&finding, "level", json_string(level_names[level]));
	output_add(&finding, "subject", output_text(subject));
	output_add(&finding, "finding", text_of(fmt, ap));
	output_add(&finding, "advice", json_null());
	output_append(&d->findings, finding);
	d->count[level]++;
	va_end(ap);
}

void doctor_advise(struct doctor *d, const char *fmt, ...)
{
	json_t *last = json_array_get(d->findings, json_array_size(d->findings) - 1);
	va_list ap;

	va_start(ap, fmt);
	/* Without memory the array is NULL by now, and so is this. */
	if (last && json_object_set_new(last, "advice", text_of(fmt, ap)) < 0) {
		json_decref(d->findings);
		d->findings = NULL;
	}
	va_end(ap);
}

void doctor_blind(struct doctor *d, const char *check, const char *subject, int err)
{
	doctor_find(d, DOCTOR_NOTE, check, subject, "could not be looked at: %s", strerror(-err));
	if (!d->root)
		doctor_advise(d, "Run `xskctl doctor` as root, on the node itself.");
}

int doctor_read(const char *path, char *out, size_t size)
{
	cleanup(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

	if (n < 0)
		return -errno;
	out[n] = '\0';
	if (n && out[n - 1] == '\n')
		out[n - 1] = '\0';
	return 0;
}

int doctor_number(const char *path, long long *out)
{
	char text[64];
	int err = doctor_read(path, text, sizeof(text));

	if (err < 0)
		return err;
	return sscanf(text, "%lld", out) == 1 ? 0 : -EINVAL;
}

const struct xskd_program *doctor_program(const struct doctor *d, uint32_t id)
{
	for (size_t i = 0; i < d->n_programs; i++) {
		if (id && d->programs[i].id == id)
			return &d->programs[i];
	}
	return NULL;
}
