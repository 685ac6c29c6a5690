// SPDX-License-Identifier: Apache-2.0
#include "umem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define HUGE_PAGE ((uint64_t)2 << 20)

/* Linux 6.3. Where vm.memfd_noexec is 2, there are no memfds without it. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static int new_memfd(unsigned int flags)
{
	int fd = memfd_create("xskd-umem", flags | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("xskd-umem", flags);
	return fd < 0 ? -errno : fd;
}

int umem_create(uint64_t size, bool huge_pages)
{
	uint64_t page = huge_pages ? HUGE_PAGE : (uint64_t)sysconf(_SC_PAGESIZE);
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;

	if (huge_pages)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;

	cleanup(close_fdp) int fd = new_memfd(flags);
	int r;

	if (fd < 0)
		return fd;
	/*
	 * Allocated here and now: charged to our memory cgroup and not to the daemon's, and a lack
	 * of memory is an error here and not a SIGBUS later.
	 */
	do {
		r = fallocate(fd, 0, 0, (off_t)((size + page - 1) / page * page));
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return errno == ENOSPC ? -ENOMEM : -errno;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return steal_fd(&fd);
}

/* Linux 5.14. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static int map(struct umem *umem, bool fresh)
{
	const int prot = PROT_READ | PROT_WRITE;
	struct stat st;
	size_t size;
	void *at;

	if (fstat(umem->fd, &st) < 0)
		return -errno;
	if (st.st_size <= 0)
		return -EINVAL;
	size = (size_t)st.st_size;
	at = mmap(NULL, size, prot, MAP_SHARED | (fresh ? 0 : MAP_POPULATE), umem->fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	/* By a fifth faster than MAP_POPULATE for pages that are allocated but not yet cleared. */
	if (fresh && madvise(at, size, MADV_POPULATE_WRITE) < 0 && errno == EINVAL)
		(void)mmap(at, size, prot, MAP_SHARED | MAP_POPULATE | MAP_FIXED, umem->fd, 0);
	umem->at = at;
	umem->size = size;
	return 0;
}

void umem_map(struct umem *umem, bool fresh)
{
	umem->error = map(umem, fresh);
}

void umem_done(struct umem *umem)
{
	if (umem->at)
		munmap(umem->at, umem->size);
	close_fdp(&umem->fd);
	*umem = UMEM_INIT;
}
