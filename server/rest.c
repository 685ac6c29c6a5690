// SPDX-License-Identifier: Apache-2.0
#include "rest.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Only what cannot be written: private pages that were would be lost, not given back. */
static int forget_segments(struct dl_phdr_info *info, size_t size, void *arg)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;

	(void)size;
	(void)arg;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t from = (info->dlpi_addr + p->p_vaddr) & ~page;
		uintptr_t to = (info->dlpi_addr + p->p_vaddr + p->p_memsz + page) & ~page;

		if (p->p_type == PT_LOAD && !(p->p_flags & PF_W))
			(void)madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return 0;
}

void rest_begin(void)
{
	malloc_trim(0);
	dl_iterate_phdr(forget_segments, NULL);
}
