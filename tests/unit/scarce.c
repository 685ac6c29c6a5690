// SPDX-License-Identifier: Apache-2.0
#include "scarce.h"

#include <errno.h>
#include <fcntl.h>
#include <protobuf-c/protobuf-c.h>
#include <stdarg.h>
#include <string.h>

static enum scarce kind;
static unsigned int left; /* 0: nothing fails */
static bool is_paused, has_failed;

void scarce_from(enum scarce what, unsigned int nth)
{
	kind = what;
	left = nth;
	is_paused = has_failed = false;
}

void scarce_pause(bool paused)
{
	is_paused = paused;
}

bool scarce_end(void)
{
	left = 0;
	return has_failed;
}

static bool fails(enum scarce what, int err)
{
	if (what != kind || is_paused || !left || --left)
		return false;
	has_failed = true;
	errno = err;
	return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
int __real_openat64(int dir, const char *name, int flags, ...);
int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
ssize_t __real_write(int fd, const void *buf, size_t len);
int __real_fcntl64(int fd, int command, ...);
ProtobufCMessage *__real_protobuf_c_message_unpack(const ProtobufCMessageDescriptor *d,
						   ProtobufCAllocator *allocator, size_t len,
						   const uint8_t *data);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);
int __wrap_openat64(int dir, const char *name, int flags, ...);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);
ssize_t __wrap_write(int fd, const void *buf, size_t len);
int __wrap_fcntl64(int fd, int command, ...);
ProtobufCMessage *__wrap_protobuf_c_message_unpack(const ProtobufCMessageDescriptor *d,
						   ProtobufCAllocator *allocator, size_t len,
						   const uint8_t *data);

void *__wrap_malloc(size_t size)
{
	return fails(SCARCE_MEMORY, ENOMEM) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails(SCARCE_MEMORY, ENOMEM) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails(SCARCE_MEMORY, ENOMEM) ? NULL : __real_realloc(p, size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return fails(SCARCE_MEMORY, ENOMEM) ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *s)
{
	return fails(SCARCE_MEMORY, ENOMEM) ? NULL : __real_strdup(s);
}

int __wrap_openat64(int dir, const char *name, int flags, ...)
{
	va_list args;
	unsigned int mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, unsigned int) : 0;
	va_end(args);
	return fails(SCARCE_FDS, EMFILE) ? -1 : __real_openat64(dir, name, flags, mode);
}

int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return fails(SCARCE_FILES, EIO) ? -1 : __real_renameat(from_dir, from, to_dir, to);
}

ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
	return fails(SCARCE_FILES, ENOSPC) ? -1 : __real_write(fd, buf, len);
}

int __wrap_fcntl64(int fd, int command, ...)
{
	va_list args;
	long arg;

	va_start(args, command);
	arg = va_arg(args, long); /* as the system call takes it */
	va_end(args);
	if (command == F_DUPFD_CLOEXEC && fails(SCARCE_FDS, EMFILE))
		return -1;
	return __real_fcntl64(fd, command, arg);
}

/* ---- what the library allocates for us ---- */

static void *allocate(void *unused, size_t size)
{
	(void)unused;
	return __wrap_malloc(size);
}

static void release(void *unused, void *p)
{
	(void)unused;
	free(p);
}

ProtobufCMessage *__wrap_protobuf_c_message_unpack(const ProtobufCMessageDescriptor *d,
						   ProtobufCAllocator *allocator, size_t len,
						   const uint8_t *data)
{
	ProtobufCAllocator mine = { allocate, release, NULL };

	return __real_protobuf_c_message_unpack(d, allocator ? allocator : &mine, len, data);
}
