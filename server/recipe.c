// SPDX-License-Identifier: Apache-2.0
#include "recipe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define CHUNK (64 * 1024)

/* ---- one ---- */

void spec_done(struct instance_spec *spec)
{
	struct instance_constant *constants =
		(struct instance_constant *)(uintptr_t)spec->constants;

	for (size_t i = 0; i < spec->n_constants; i++) {
		free((void *)(uintptr_t)constants[i].name);
		free((void *)(uintptr_t)constants[i].value);
	}
	free(constants);
	free((void *)(uintptr_t)spec->program);
	free((void *)(uintptr_t)spec->map);
	close_fdp(&spec->object_fd);
	*spec = (struct instance_spec){ .object_fd = -1 };
}

static uint8_t *clone_bytes(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size);

	return copy ? memcpy(copy, bytes, size) : NULL;
}

static bool clone_constants(const struct instance_spec *from, struct instance_spec *to)
{
	struct instance_constant *copy = calloc(from->n_constants + 1, sizeof(*copy));

	if (!copy)
		return false;
	to->constants = copy;
	to->n_constants = from->n_constants;
	for (size_t i = 0; i < from->n_constants; i++) {
		const struct instance_constant *c = &from->constants[i];

		copy[i] = (struct instance_constant){ .name = strdup(c->name),
						      .size = c->size,
						      .number = c->number };
		if (c->value)
			copy[i].value = clone_bytes(c->value, c->size);
		if (!copy[i].name || (c->value && !copy[i].value))
			return false;
	}
	return true;
}

/* Read by its size now; one that grows meanwhile is cut, and fits nothing that is loaded later. */
static int copy_object(int from)
{
	cleanup(close_fdp) int to = memfd_create("xskd-object", MFD_CLOEXEC);
	cleanup(freep) char *buf = malloc(CHUNK);
	off_t at = 0;
	ssize_t n;

	if (to < 0 || !buf)
		return -1;
	while ((n = pread(from, buf, CHUNK, at)) > 0 && at < INSTANCE_OBJECT_MAX) {
		if (pwrite(to, buf, (size_t)n, at) != n)
			return -1;
		at += n;
	}
	return n < 0 ? -1 : steal_fd(&to);
}

/* @object_fd: what the copy gets; it takes it over, also when it fails. */
static bool clone_spec(const struct instance_spec *from, int object_fd, struct instance_spec *to)
{
	*to = (struct instance_spec){ .object_fd = object_fd, .queues = from->queues };
	to->program = strdup(from->program);
	to->map = strdup(from->map);
	if (to->program && to->map && clone_constants(from, to) &&
	    (object_fd >= 0 || from->object_fd < 0))
		return true;
	spec_done(to);
	return false;
}

/* ---- the same? ---- */

static bool same_object(int a, int b)
{
	cleanup(freep) char *buf = malloc(2 * (size_t)CHUNK);
	struct stat sa, sb;

	if (a < 0 || b < 0)
		return a < 0 && b < 0;
	if (!buf || fstat(a, &sa) < 0 || fstat(b, &sb) < 0 || sa.st_size != sb.st_size)
		return false;
	for (off_t at = 0; at < sa.st_size;) {
		ssize_t n = pread(a, buf, CHUNK, at);

		if (n <= 0 || pread(b, buf + CHUNK, CHUNK, at) != n ||
		    memcmp(buf, buf + CHUNK, (size_t)n) != 0)
			return false;
		at += n;
	}
	return true;
}

static bool same_constant(const struct instance_constant *a, const struct instance_constant *b)
{
	if (strcmp(a->name, b->name) != 0 || !a->value != !b->value)
		return false;
	return a->value ? a->size == b->size && !memcmp(a->value, b->value, a->size)
			: a->number == b->number;
}

static bool same(const struct instance_spec *a, const struct instance_spec *b)
{
	if (strcmp(a->program, b->program) != 0 || strcmp(a->map, b->map) != 0 ||
	    a->n_constants != b->n_constants)
		return false;
	for (size_t i = 0; i < a->n_constants; i++) {
		if (!same_constant(&a->constants[i], &b->constants[i]))
			return false;
	}
	return same_object(a->object_fd, b->object_fd);
}

/* ---- all ---- */

void recipes_init(struct recipes *recipes, pthread_mutex_t *mutex, uint32_t queues)
{
	const struct instance_spec plain = {
		.object_fd = -1, .program = "", .map = "", .queues = queues
	};

	*recipes = (struct recipes){ .mutex = mutex, .last_id = RECIPE_DEFAULT };
	pthread_mutex_init(&recipes->reading, NULL);
	for (size_t i = 0; i < RECIPES_MAX; i++)
		recipes->at[i].spec.object_fd = -1;
	if (clone_spec(&plain, -1, &recipes->at[0].spec))
		recipes->at[0].id = RECIPE_DEFAULT;
}

void recipes_done(struct recipes *recipes)
{
	for (size_t i = 0; i < RECIPES_MAX; i++)
		spec_done(&recipes->at[i].spec);
	pthread_mutex_destroy(&recipes->reading);
}

struct recipe *recipes_find(struct recipes *recipes, uint64_t id)
{
	for (size_t i = 0; i < RECIPES_MAX && id; i++) {
		if (recipes->at[i].id == id)
			return &recipes->at[i];
	}
	return NULL;
}

bool recipe_is_wanted(const struct recipe *recipe)
{
	return !recipe->hopeless && (recipe->id == RECIPE_DEFAULT || recipe->loads > 1);
}

/* The default program's place is nobody else's. */
static struct recipe *oldest(struct recipes *recipes)
{
	struct recipe *found = &recipes->at[1];

	for (size_t i = 2; i < RECIPES_MAX; i++) {
		if (recipes->at[i].used < found->used)
			found = &recipes->at[i];
	}
	return found;
}

static struct recipe *replace(struct recipes *recipes, const struct instance_spec *spec)
{
	struct recipe *r = oldest(recipes);
	struct instance_spec old, copy;
	int object = copy_object(spec->object_fd);

	if (object < 0 || !clone_spec(spec, object, &copy))
		return NULL;
	pthread_mutex_lock(recipes->mutex);
	old = r->spec;
	*r = (struct recipe){ .id = ++recipes->last_id, .spec = copy };
	pthread_mutex_unlock(recipes->mutex);
	spec_done(&old);
	return r;
}

/* Only who is reading changes what a recipe is; so comparing needs nothing else. */
uint64_t recipes_note(struct recipes *recipes, const struct instance_spec *spec, bool add)
{
	struct recipe *found = NULL;
	uint64_t id = 0;

	pthread_mutex_lock(&recipes->reading);
	for (size_t i = 0; i < RECIPES_MAX && !found; i++) {
		if (recipes->at[i].id && same(&recipes->at[i].spec, spec))
			found = &recipes->at[i];
	}
	if (!found && add)
		found = replace(recipes, spec);
	pthread_mutex_lock(recipes->mutex);
	if (found) {
		found->loads++;
		found->used = ++recipes->clock;
		if (spec->queues > found->spec.queues)
			found->spec.queues = spec->queues;
		id = found->id;
	}
	pthread_mutex_unlock(recipes->mutex);
	pthread_mutex_unlock(&recipes->reading);
	return id;
}

bool recipes_copy(struct recipes *recipes, uint64_t id, struct instance_spec *out)
{
	const struct recipe *r;
	bool ok;

	pthread_mutex_lock(&recipes->reading);
	r = recipes_find(recipes, id);
	ok = r &&
	     clone_spec(&r->spec,
			r->spec.object_fd < 0 ? -1 : fcntl(r->spec.object_fd, F_DUPFD_CLOEXEC, 3),
			out);
	pthread_mutex_unlock(&recipes->reading);
	return ok;
}
