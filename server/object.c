// SPDX-License-Identifier: Apache-2.0
#include "object.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int object_read(int fd, size_t max, void **out, size_t *out_size, struct fault *fault)
{
	cleanup(freep) char *buf = NULL;
	struct stat stat;
	size_t size, at = 0;

	if (fstat(fd, &stat) < 0)
		return fault_sys(fault, errno, "cannot read the object");
	if (!S_ISREG(stat.st_mode) || stat.st_size == 0 || (uint64_t)stat.st_size > max)
		return fault_set(fault, XSKD__CODE__INVALID_ARGUMENT, 0,
				 "the object must be a regular file or memfd of 1 to %zu bytes",
				 max);
	size = (size_t)stat.st_size;
	buf = malloc(size);
	if (!buf)
		return fault_sys(fault, ENOMEM, "cannot read the object");
	while (at < size) {
		ssize_t n = pread(fd, buf + at, size - at, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EBADF)
			return fault_set(fault, XSKD__CODE__INVALID_ARGUMENT, EBADF,
					 "the object cannot be read: open it for reading");
		if (n <= 0)
			return fault_sys(fault, n ? errno : EIO, "cannot read the object");
		at += (size_t)n;
	}
	*out = steal_ptr(&buf);
	*out_size = size;
	return 0;
}

/* Where the constants are: the bytes of .rodata, and what the object's BTF says of them. */
struct rodata {
	const struct btf *btf;
	const struct btf_type *section;
	char *bytes;
	size_t size;
};

static int find_rodata(struct bpf_object *obj, struct rodata *out, struct fault *fault)
{
	struct bpf_map *map;
	int id;

	*out = (struct rodata){ .btf = bpf_object__btf(obj) };
	bpf_object__for_each_map(map, obj)
	{
		const char *name = bpf_map__name(map);
		size_t len = strlen(name);

		/* libbpf puts the object's name before it and cuts the whole to 15 characters. */
		if (len >= 7 && !strcmp(name + len - 7, ".rodata"))
			out->bytes = (char *)(uintptr_t)bpf_map__initial_value(map, &out->size);
	}
	id = out->btf ? btf__find_by_name_kind(out->btf, ".rodata", BTF_KIND_DATASEC) : -ENOENT;
	if (!out->bytes || id < 0)
		return fault_set(
			fault, XSKD__CODE__INVALID_ARGUMENT, 0,
			"the object has no constants to set: no .rodata with BTF (compile it with "
			"-g, and declare them `const volatile`)");
	out->section = btf__type_by_id(out->btf, (uint32_t)id);
	return 0;
}

static const struct btf_var_secinfo *find_variable(const struct rodata *ro, const char *name)
{
	const struct btf_var_secinfo *var = btf_var_secinfos(ro->section);

	for (unsigned int i = 0; ro->section && i < btf_vlen(ro->section); i++) {
		const struct btf_type *type = btf__type_by_id(ro->btf, var[i].type);

		if (type && !strcmp(btf__name_by_offset(ro->btf, type->name_off), name))
			return &var[i];
	}
	return NULL;
}

/*
 * A number must survive the round trip through the variable, be it read as signed or as unsigned.
 */
static bool fits(int64_t number, uint32_t size)
{
	unsigned int bits = size * 8;

	if (size != 1 && size != 2 && size != 4 && size != 8)
		return false;
	return size == 8 || (number >= -((int64_t)1 << (bits - 1)) && number < (int64_t)1 << bits);
}

static int set_constant(const struct rodata *ro, const struct instance_constant *c,
			struct fault *fault)
{
	const struct btf_var_secinfo *var = find_variable(ro, c->name);

	if (!var || !ro->bytes || (size_t)var->offset + var->size > ro->size)
		return fault_set(fault, XSKD__CODE__INVALID_ARGUMENT, 0,
				 "the object has no constant '%s' in .rodata", c->name);
	if (c->value && c->size != var->size)
		return fault_set(fault, XSKD__CODE__INVALID_ARGUMENT, 0,
				 "constant '%s' has %u bytes, the value given has %zu", c->name,
				 var->size, c->size);
	if (!c->value && !fits(c->number, var->size))
		return fault_set(fault, XSKD__CODE__INVALID_ARGUMENT, 0,
				 "the number %lld does not fit constant '%s' of %u bytes",
				 (long long)c->number, c->name, var->size);
	/*
	 * BPF objects here are of the machine's own byte order; little endian takes the low bytes.
	 */
	if (c->value)
		memcpy(ro->bytes + var->offset, c->value, var->size);
	else if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
		memcpy(ro->bytes + var->offset, &c->number, var->size);
	else
		memcpy(ro->bytes + var->offset, (const char *)&c->number + 8 - var->size,
		       var->size);
	return 0;
}

int object_set_constants(struct bpf_object *obj, const struct instance_constant *constants,
			 size_t n, struct fault *fault)
{
	struct rodata ro;
	int err = find_rodata(obj, &ro, fault);

	for (size_t i = 0; i < n && !err; i++)
		err = set_constant(&ro, &constants[i], fault);
	return err;
}
