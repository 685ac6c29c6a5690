// SPDX-License-Identifier: Apache-2.0
#include "umem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_xdp.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

static bool has_holes(const struct stat *stat)
{
	return (uint64_t)stat->st_blocks * 512 < (uint64_t)stat->st_size;
}

int umem_check(int memfd, uint32_t frame_size, uint64_t *out_size, struct fault *fault)
{
	const int needed = F_SEAL_SHRINK | F_SEAL_GROW;
	int seals = fcntl(memfd, F_GET_SEALS);
	struct stat stat;

	if (seals < 0 || fstat(memfd, &stat) < 0)
		return fault_set(
			fault, XSKD__CODE__INVALID_ARGUMENT, errno,
			"the UMEM is not a memfd: make it with memfd_create(MFD_ALLOW_SEALING)");
	if ((seals & needed) != needed)
		return fault_set(fault, XSKD__CODE__INVALID_ARGUMENT, 0,
				 "the UMEM's memfd can still change its size: seal it with "
				 "F_SEAL_SHRINK | F_SEAL_GROW");
	if ((seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) ||
	    (fcntl(memfd, F_GETFL) & O_ACCMODE) != O_RDWR)
		return fault_set(
			fault, XSKD__CODE__INVALID_ARGUMENT, 0,
			"the UMEM's memfd cannot be written to: open it for reading and writing, and do not "
			"seal it against writing");
	if (stat.st_size < (off_t)frame_size || stat.st_size % frame_size)
		return fault_set(
			fault, XSKD__CODE__INVALID_ARGUMENT, 0,
			"the UMEM has %lld bytes, which is no whole number of frames of %u",
			(long long)stat.st_size, frame_size);
	if (has_holes(&stat))
		return fault_set(
			fault, XSKD__CODE__INVALID_ARGUMENT, 0,
			"the UMEM's memfd has holes: fallocate(2) all of its %lld bytes first, so "
			"that they count against your own memory limit",
			(long long)stat.st_size);
	*out_size = (uint64_t)stat.st_size;
	return 0;
}

/*
 * No seal forbids to punch holes and leaves the memory writable, so the client can do that after
 * umem_check(), and the pages that pinning then makes are charged to us. With the mapping
 * registered for missing pages the kernel makes none, and fails the fault instead: for its own
 * faults at once, as nobody may handle those here, which is why this needs no privilege. Return:
 * the userfaultfd, to be closed when all pages are pinned; -1: this kernel has none.
 */
static int forbid_new_pages(void *area, uint64_t size)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MISSING_SHMEM |
			    UFFD_FEATURE_MISSING_HUGETLBFS,
	};
	struct uffdio_register range = {
		.range = { .start = (uint64_t)(uintptr_t)area, .len = size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0)
		return -1;
	if (ioctl(fd, UFFDIO_API, &api) < 0 || ioctl(fd, UFFDIO_REGISTER, &range) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/*
 * The registration pins the pages themselves; the mapping is needed only while it runs. Pages that
 * the client has touched come into our page tables by MADV_POPULATE_READ in batches, and else one
 * by one.
 */
static int pin(int fd, int memfd, uint64_t size, uint32_t frame_size, uint32_t headroom)
{
	void *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	cleanup(close_fdp) int guard = -1;
	struct xdp_umem_reg reg = {
		.addr = (uint64_t)(uintptr_t)area,
		.len = size,
		.chunk_size = frame_size,
		.headroom = headroom,
	};
	int err = 0;

	if (area == MAP_FAILED)
		return -errno;
	guard = forbid_new_pages(area, size);
	(void)madvise(area, size, MADV_POPULATE_READ); /* 5.14; without it is only slower */
	if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) < 0)
		err = -errno;
	munmap(area, size);
	return err;
}

int umem_register(int fd, int memfd, uint64_t size, uint32_t frame_size, uint32_t headroom,
		  struct fault *fault)
{
	int err = pin(fd, memfd, size, frame_size, headroom);
	struct stat stat;

	if (err < 0 && fstat(memfd, &stat) == 0 && has_holes(&stat))
		return fault_set(
			fault, XSKD__CODE__INVALID_ARGUMENT, -err,
			"somebody punched holes into the UMEM's memfd during the hand-off: "
			"leave it as it is until the reply is there");
	if (err == -ENOBUFS)
		return fault_sys(
			fault, -err,
			"cannot pin %llu KiB of UMEM: the daemon needs CAP_IPC_LOCK or a higher "
			"RLIMIT_MEMLOCK",
			(unsigned long long)size / 1024);
	if (err < 0)
		return fault_sys(
			fault, -err,
			"cannot register a UMEM of %llu KiB with frames of %u, headroom %u",
			(unsigned long long)size / 1024, frame_size, headroom);
	return 0;
}
