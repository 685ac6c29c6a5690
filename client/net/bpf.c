// SPDX-License-Identifier: Apache-2.0
#include "bpf.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

/* Return: what the command does, or a negative errno. Its fds are close-on-exec. */
static int call(enum bpf_cmd command, union bpf_attr *attr)
{
	long n = syscall(SYS_bpf, command, attr, sizeof(*attr));

	return n < 0 ? -errno : (int)n;
}

static int forget(int fd)
{
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

int bpf_try_program(void)
{
	static const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_XDP,
		.insns = (uintptr_t)pass,
		.insn_cnt = ARRAY_SIZE(pass),
		.license = (uintptr_t) "GPL",
	};

	return forget(call(BPF_PROG_LOAD, &attr));
}

int bpf_try_xskmap(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_XSKMAP,
		.key_size = 4,
		.value_size = 4,
		.max_entries = 1,
	};

	return forget(call(BPF_MAP_CREATE, &attr));
}

static int info_of(int fd, void *out, uint32_t size)
{
	union bpf_attr attr = {
		.info = { .bpf_fd = (uint32_t)fd, .info_len = size, .info = (uintptr_t)out },
	};

	return call(BPF_OBJ_GET_INFO_BY_FD, &attr);
}

int bpf_program_name(uint32_t id, char out[BPF_NAME_SIZE])
{
	union bpf_attr attr = { .prog_id = id };
	cleanup(close_fdp) int fd = call(BPF_PROG_GET_FD_BY_ID, &attr);
	struct bpf_prog_info info = { 0 };
	int err = fd < 0 ? fd : info_of(fd, &info, sizeof(info));

	if (err < 0)
		return err;
	snprintf(out, BPF_NAME_SIZE, "%.15s", info.name);
	return 0;
}

static int next_link(uint32_t *link)
{
	union bpf_attr attr = { .start_id = *link };
	int err = call(BPF_LINK_GET_NEXT_ID, &attr);

	*link = attr.next_id;
	return err;
}

int bpf_link_of(uint32_t id, uint32_t ifindex, uint32_t *out)
{
	uint32_t link = 0;
	int err;

	while ((err = next_link(&link)) == 0) {
		union bpf_attr attr = { .link_id = link };
		cleanup(close_fdp) int fd = call(BPF_LINK_GET_FD_BY_ID, &attr);
		struct bpf_link_info info = { 0 };

		if (fd >= 0 && info_of(fd, &info, sizeof(info)) == 0 &&
		    info.type == BPF_LINK_TYPE_XDP && info.prog_id == id &&
		    info.xdp.ifindex == ifindex) {
			*out = link;
			return 0;
		}
	}
	return err;
}
