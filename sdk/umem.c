// SPDX-License-Identifier: Apache-2.0
#include "umem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#include "conn.h"

#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

/* Linux 6.3. Where vm.memfd_noexec is 2, there are no memfds without it. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
/* Linux 5.14. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
/* Linux 6.1. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* ---- Made ----------------------------------------------------------------------------------- */

static int new_memfd(unsigned int flags)
{
	int fd = memfd_create("xskd-umem", flags | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("xskd-umem", flags);
	return fd < 0 ? -errno : fd;
}

static int seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ? -errno : 0;
}

static uint64_t whole_pages(uint64_t size, size_t page_size)
{
	return (size + page_size - 1) / page_size * page_size;
}

static int allocate(int fd, uint64_t size)
{
	int r;

	do {
		r = fallocate(fd, 0, 0, (off_t)size);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

#define PIECE      ((size_t)64 << 10)
#define PIECES_MAX 64

/*
 * Of small pages each is got and cleared at one go, where fallocate(2) leaves the clearing to a
 * fault for each page: by a fifth faster, page tables included.
 */
static int write_zeros(int fd, uint64_t size)
{
	static const uint8_t zeros[PIECE];
	struct iovec pieces[PIECES_MAX];

	while (size) {
		int n = 0;
		ssize_t done;

		for (uint64_t left = size; left && n < PIECES_MAX; left -= pieces[n++].iov_len)
			pieces[n] = (struct iovec){ (void *)(uintptr_t)zeros,
						    left < PIECE ? (size_t)left : PIECE };
		done = writev(fd, pieces, n);
		if (done < 0 && errno != EINTR)
			return -errno;
		size -= done > 0 ? (uint64_t)done : 0;
	}
	return 0;
}

/*
 * Allocated here and now: charged to our memory cgroup and not to the daemon's, and a lack of
 * memory is an error here and not a SIGBUS later.
 */
static int allocated(struct umem *out, uint64_t size, size_t page_size, unsigned int flags)
{
	cleanup(close_fdp) int fd = new_memfd(MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
	int r;

	if (fd < 0)
		return fd;
	size = whole_pages(size, page_size);
	r = flags ? allocate(fd, size) : write_zeros(fd, size); /* hugetlbfs has no write(2) */
	if (r < 0)
		return r == -ENOSPC ? -ENOMEM : r;
	r = seal(fd);
	if (r < 0)
		return r;
	*out = (struct umem){ .fd = steal_fd(&fd), .size = (size_t)size, .page_size = page_size };
	return 0;
}

/* Where pages of @page_size can be mapped as such, which the kernel looks after for hugetlb only.
 */
static void *map_aligned(int fd, size_t size, size_t page_size)
{
	char *room = mmap(NULL, size + page_size, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t head, tail;
	void *at;

	if (room == MAP_FAILED)
		return MAP_FAILED;
	head = (page_size - (uintptr_t)room % page_size) % page_size;
	tail = page_size - head;
	at = mmap(room + head, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	if (at == MAP_FAILED) {
		munmap(room, size + page_size);
		return MAP_FAILED;
	}
	if (head)
		munmap(room, head);
	munmap(room + head + size, tail);
	return at;
}

/*
 * One page in each place, for the kernel to put a huge one there; MADV_COLLAPSE needs no permission
 * of the administrator's (shmem_enabled), and fills the rest with zeros. Where it cannot, the rest
 * comes in small pages.
 */
static int gather(struct umem *umem)
{
	const size_t small = (size_t)sysconf(_SC_PAGESIZE);

	(void)madvise(umem->at, umem->size, MADV_HUGEPAGE);
	for (size_t at = 0; at < umem->size; at += 2 * MIB) {
		if (madvise((char *)umem->at + at, small, MADV_POPULATE_WRITE) < 0)
			return -errno;
	}
	umem->page_size = madvise(umem->at, umem->size, MADV_COLLAPSE) == 0 ? 2 * MIB : small;
	return madvise(umem->at, umem->size, MADV_POPULATE_WRITE) < 0 ? -errno : 0;
}

static int transparent(struct umem *out, uint64_t size)
{
	cleanup(umem_done) struct umem umem = UMEM_INIT;
	void *at;
	int r;

	umem.fd = new_memfd(MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (umem.fd < 0)
		return umem.fd;
	umem.size = (size_t)whole_pages(size, 2 * MIB);
	if (ftruncate(umem.fd, (off_t)umem.size) < 0)
		return -errno;
	at = map_aligned(umem.fd, umem.size, 2 * MIB);
	if (at == MAP_FAILED)
		return -errno;
	umem.at = at;
	r = gather(&umem);
	if (r == 0)
		r = seal(umem.fd);
	if (r < 0)
		return r;
	*out = umem;
	umem = UMEM_INIT;
	return 0;
}

/* ---- Huge pages ----------------------------------------------------------------------------- */

static unsigned long long count_of(size_t page_size, const char *what)
{
	unsigned long long n = 0;
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%zukB/%s",
		 page_size / 1024, what);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%llu", &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

static int hugetlb(struct umem *out, uint64_t size, size_t page_size)
{
	return allocated(out, size, page_size,
			 MFD_HUGETLB | (page_size == GIB ? MFD_HUGE_1GB : MFD_HUGE_2MB));
}

static int hugetlb_fail(struct xskd *x, int error, uint64_t size, size_t page_size)
{
	const char *unit = page_size == GIB ? "GiB" : "MiB";
	unsigned long long n = page_size == GIB ? 1 : 2;

	if (error != -ENOMEM)
		return conn_fail(x, error, "cannot get packet memory in huge pages of %llu %s: %m",
				 n, unit);
	return conn_fail(
		x, error,
		"%llu huge pages of %llu %s are needed for the packet memory; the node has %llu, of "
		"which %llu are free: raise `%s`, in a pod also its limit `hugepages-%llu%.2s`",
		(unsigned long long)(whole_pages(size, page_size) / page_size), n, unit,
		count_of(page_size, "nr_hugepages"), count_of(page_size, "free_hugepages"),
		page_size == GIB ? "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages"
				 : "sysctl vm.nr_hugepages",
		n, unit);
}

int umem_create(struct xskd *x, struct umem *out, uint64_t size, enum xskd_huge_pages huge)
{
	size_t huge_size = huge == XSKD_HUGE_1G ? GIB : 2 * MIB;
	int r = -EINVAL;

	if (huge)
		r = hugetlb(out, size, huge_size);
	if (r < 0 && (huge == XSKD_HUGE_REQUIRED || huge == XSKD_HUGE_1G))
		return hugetlb_fail(x, r, size, huge_size);
	if (r < 0 && huge == XSKD_HUGE_PREFERRED)
		r = transparent(out, size);
	if (r < 0)
		r = allocated(out, size, (size_t)sysconf(_SC_PAGESIZE), 0);
	if (r < 0)
		return conn_fail(x, r, "cannot get %llu bytes of packet memory: %m",
				 (unsigned long long)size);
	return 0;
}

/* ---- Mapped --------------------------------------------------------------------------------- */

/*
 * A fault by reading brings its neighbours along, 64 KiB, as far as they are there: quicker than
 * MAP_POPULATE, which walks the tables for each page. Nobody else has it yet, so nothing can be
 * missing.
 */
static void touch(const void *at, size_t size)
{
	const volatile uint8_t *p = at;

	for (size_t i = 0; i < size; i += PIECE)
		(void)p[i];
}

static int map(struct umem *umem, bool fresh)
{
	const int prot = PROT_READ | PROT_WRITE;
	struct statfs fs;
	size_t size = umem->size; /* 0: somebody else made it */
	struct stat st;
	void *at;

	if (!size) {
		if (fstat(umem->fd, &st) < 0)
			return -errno;
		if (st.st_size <= 0)
			return -EINVAL;
		size = (size_t)st.st_size;
	}
	at = mmap(NULL, size, prot, MAP_SHARED | (fresh ? 0 : MAP_POPULATE), umem->fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	if (fresh)
		touch(at, size);
	umem->at = at;
	umem->size = size;
	if (!umem->page_size && fstatfs(umem->fd, &fs) == 0)
		umem->page_size = fs.f_type == HUGETLBFS_MAGIC ? (size_t)fs.f_bsize
							       : (size_t)sysconf(_SC_PAGESIZE);
	return 0;
}

void umem_map(struct umem *umem, bool fresh)
{
	if (!umem->at)
		umem->error = map(umem, fresh);
}

void umem_done(struct umem *umem)
{
	if (umem->at)
		munmap(umem->at, umem->size);
	close_fdp(&umem->fd);
	*umem = UMEM_INIT;
}
