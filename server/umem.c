// SPDX-License-Identifier: Apache-2.0
#include "umem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_xdp.h>
#include <linux/magic.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

#define THP_SIZE  ((uintptr_t)2 << 20)
#define HUGE_PAGE (64 << 10) /* the smallest of any architecture is larger */

static bool has_holes(const struct stat *stat)
{
	return (uint64_t)stat->st_blocks * 512 < (uint64_t)stat->st_size;
}

/* Pages of shmem may be huge ones too, but then nobody tells which. */
static bool is_hugetlb(int memfd, const struct stat *stat)
{
	struct statfs fs;

	return stat->st_blksize >= HUGE_PAGE && fstatfs(memfd, &fs) == 0 &&
	       fs.f_type == HUGETLBFS_MAGIC;
}

int umem_check(struct umem *umem, uint32_t frame_size, struct fault *fault)
{
	const int needed = F_SEAL_SHRINK | F_SEAL_GROW;
	int seals = fcntl(umem->memfd, F_GET_SEALS);
	struct stat stat;

	if (seals < 0 || fstat(umem->memfd, &stat) < 0)
		return fault_set(
			fault, XSKD__CODE__INVALID_ARGUMENT, errno,
			"the UMEM is not a memfd: make it with memfd_create(MFD_ALLOW_SEALING)");
	if ((seals & needed) != needed)
		return fault_set(fault, XSKD__CODE__INVALID_ARGUMENT, 0,
				 "the UMEM's memfd can still change its size: seal it with "
				 "F_SEAL_SHRINK | F_SEAL_GROW");
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
	umem->size = (uint64_t)stat.st_size;
	umem->huge = is_hugetlb(umem->memfd, &stat);
	if (umem->huge && stat.st_size % stat.st_blksize)
		return fault_set(fault, XSKD__CODE__INVALID_ARGUMENT, 0,
				 "the UMEM has %lld bytes, which is no whole number of its huge "
				 "pages of %ld: round its size up",
				 (long long)stat.st_size, (long)stat.st_blksize);
	return 0;
}

struct umem_guard umem_guard_open(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MISSING_SHMEM |
			    UFFD_FEATURE_MISSING_HUGETLBFS,
	};
	cleanup(close_fdp) int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	return (struct umem_guard){
		.fd = fd >= 0 && ioctl(fd, UFFDIO_API, &api) == 0 ? steal_fd(&fd) : -1,
		.self = getpid(),
	};
}

/*
 * No seal forbids to punch holes and leaves the memory writable, so the client can do that after
 * umem_check(), and the pages that pinning then makes are charged to us. With the mapping
 * registered for missing pages the kernel makes none, and fails the fault instead: for its own
 * faults at once, as nobody may handle those here, which is why this needs no privilege. It ends
 * with the mapping. A last page that is UMEM in part is there as a whole.
 */
static int forbid_new_pages(void *area, uint64_t size, const struct umem_guard *guard)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE) - 1;
	struct uffdio_register range = {
		.range = { .start = (uint64_t)(uintptr_t)area, .len = (size + page) & ~page },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return guard->fd >= 0 && ioctl(guard->fd, UFFDIO_REGISTER, &range) < 0 ? -errno : 0;
}

#define BATCH       ((uintptr_t)64 << 10)
#define TOUCHES_MAX 1024 /* UIO_MAXIOV: as many as one call takes */

/*
 * Puts the pages into our page tables. A fault by reading brings the neighbours along that the
 * client has touched (do_fault_around(): 64 KiB, aligned), where pinning has one for each page,
 * which takes five times as long. MADV_POPULATE_READ does it too, but then walks the tables for
 * each page, which takes as long again. So one byte of each batch is read: by the kernel, for who
 * reads what the client can take away gets a SIGBUS. What fails here, pinning tells of.
 */
static void populate(const struct umem *umem, const void *mapped, pid_t self)
{
	uintptr_t at = (uintptr_t)mapped, end = at + umem->size;
	struct iovec touch[TOUCHES_MAX];
	uint8_t bytes[TOUCHES_MAX] = { 0 };

	while (at < end) {
		struct iovec to = { bytes, 0 };

		for (; at < end && to.iov_len < TOUCHES_MAX; at = (at | (BATCH - 1)) + 1)
			touch[to.iov_len++] = (struct iovec){ (void *)at, 1 };
		if (process_vm_readv(self, &to, 1, touch, to.iov_len, 0) < 0)
			break; /* without is only slower */
	}
}

/*
 * Pages that shmem has put together to huge ones are mapped as such only where address and offset
 * fit, which the kernel does not see to by itself. So there is room around the mapping.
 */
static void *map(struct umem *umem)
{
	uint64_t room = umem->huge || umem->size % THP_SIZE ? 0 : THP_SIZE;
	uint64_t size = umem->size + room;
	void *area = NULL, *at;

	if (room)
		area = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			    0);
	if (area == MAP_FAILED)
		return MAP_FAILED;
	at = room ? (char *)area + (-(uintptr_t)area & (THP_SIZE - 1)) : NULL;
	at = mmap(at, umem->size, PROT_READ | PROT_WRITE, MAP_SHARED | (room ? MAP_FIXED : 0),
		  umem->memfd, 0);
	umem->area = room ? area : at == MAP_FAILED ? NULL : at;
	umem->area_size = size;
	return at;
}

static int pin(int fd, struct umem *umem, const struct umem_guard *guard, uint32_t frame_size,
	       uint32_t headroom)
{
	void *at = map(umem);
	const struct xdp_umem_reg reg = {
		.addr = (uint64_t)(uintptr_t)at,
		.len = umem->size,
		.chunk_size = frame_size,
		.headroom = headroom,
	};
	int err;

	if (at == MAP_FAILED)
		return -errno;
	err = forbid_new_pages(at, umem->size, guard);
	if (err < 0)
		return err;
	/* Huge pages are so few that the faults of pinning do not count. */
	if (!umem->huge)
		populate(umem, at, guard->self);
	return setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) < 0 ? -errno : 0;
}

void umem_unmap(struct umem *umem)
{
	if (umem->area)
		munmap(umem->area, umem->area_size);
	umem->area = NULL;
}

int umem_register(int fd, struct umem *umem, const struct umem_guard *guard, uint32_t frame_size,
		  uint32_t headroom, struct fault *fault)
{
	int err = pin(fd, umem, guard, frame_size, headroom);
	struct stat stat;

	if (err < 0)
		umem_unmap(umem);
	if (err < 0 && fstat(umem->memfd, &stat) == 0 && has_holes(&stat))
		return fault_set(
			fault, XSKD__CODE__INVALID_ARGUMENT, -err,
			"somebody punched holes into the UMEM's memfd during the hand-off: "
			"leave it as it is until the reply is there");
	if (err == -EACCES || err == -EPERM) /* mmap(2) knows */
		return fault_set(
			fault, XSKD__CODE__INVALID_ARGUMENT, -err,
			"the UMEM's memfd cannot be written to: open it for reading and writing, and do not "
			"seal it against writing");
	if (err == -ENOBUFS)
		return fault_sys(
			fault, -err,
			"cannot pin %llu KiB of UMEM: the daemon needs CAP_IPC_LOCK or a higher "
			"RLIMIT_MEMLOCK",
			(unsigned long long)umem->size / 1024);
	if (err < 0)
		return fault_sys(
			fault, -err,
			"cannot register a UMEM of %llu KiB with frames of %u, headroom %u",
			(unsigned long long)umem->size / 1024, frame_size, headroom);
	return 0;
}
