// SPDX-License-Identifier: Apache-2.0
#include "attach.h"

#include <bpf/bpf.h>
#include <linux/if_link.h>
#include <stddef.h>
#include <unistd.h>

#include "rows.h"

#define MOV(reg, value)                                                               \
	{                                                                             \
		.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (reg), .imm = (value) \
	}
#define EXIT                               \
	{                                  \
		.code = BPF_JMP | BPF_EXIT \
	}

static int load(const struct bpf_insn *insns, size_t n)
{
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "bare", "GPL", insns, n, NULL);

	CHECK(fd >= 0);
	return fd;
}

int attach_pass(void)
{
	static const struct bpf_insn insns[] = { MOV(BPF_REG_0, XDP_PASS), EXIT };

	return load(insns, sizeof(insns) / sizeof(*insns));
}

int attach_redirect(int map)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_LDX | BPF_MEM | BPF_W,
		  .dst_reg = BPF_REG_2,
		  .src_reg = BPF_REG_1,
		  .off = offsetof(struct xdp_md, rx_queue_index) },
		{ .code = BPF_LD | BPF_DW, /* | BPF_IMM, which is 0 as well */
		  .dst_reg = BPF_REG_1,
		  .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = map },
		{ 0 },
		MOV(BPF_REG_3, XDP_PASS),
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map },
		EXIT,
	};

	return load(insns, sizeof(insns) / sizeof(*insns));
}

int attach_link(int prog, uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);
	int link = bpf_link_create(prog, (int)ifindex, BPF_XDP, &opts);

	CHECK(link >= 0);
	return link;
}

void attach_end(int link)
{
	CHECK(bpf_link_detach(link) == 0);
	close(link);
}
