// SPDX-License-Identifier: Apache-2.0
/* AF_XDP sockets made for somebody else: xsk.c against the kernel, packets included. */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_xdp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ground.h"
#include "instance.h"
#include "support.h"
#include "umem.h"
#include "xsk.h"
#include "xskd.h"

#define FRAMES 256

static struct xsk_prober prober = XSK_PROBER_INIT;
static struct umem_guard guard;

static struct xsk_spec spec_for(const char *device, uint32_t first, size_t n)
{
	struct xsk_spec spec = {
		.device = device,
		.n = n,
		.frame_size = 2048,
		.fill_size = 64,
		.completion_size = 64,
		.rx_size = 64,
		.tx_size = 64,
		.need_wakeup = true,
	};
	struct device dev;

	assert_int_equal(device_find(&ground, device, &dev), 0);
	spec.ifindex = dev.ifindex;
	for (size_t i = 0; i < n; i++)
		spec.queue[i] = first + (uint32_t)i;
	return spec;
}

static int umem(size_t size, int seals)
{
	int fd = memfd_create("umem", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(fallocate(fd, 0, 0, (off_t)size), 0);
	if (seals)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static int good_umem(void)
{
	return umem(FRAMES * 2048, F_SEAL_SHRINK | F_SEAL_GROW);
}

/* As callers do: queues whose last holder has just ended are waited for. */
static int bind_all(const struct xsk_spec *spec, const int *fds, bool *zero_copy,
		    struct fault *fault)
{
	size_t bound = 0;
	int err;

	for (int tries = 0; tries < 1000; tries++) {
		err = xsk_bind(spec, fds, &bound, zero_copy, fault);
		if (err != -EBUSY)
			break;
		usleep(1000);
	}
	return err;
}

#define GOOD(call)                                           \
	do {                                                 \
		struct fault why = FAULT_INIT;               \
		if ((call) < 0)                              \
			fail_msg("%s: %s", #call, why.text); \
	} while (0)

struct attached {
	struct instance in;
	int sender;
};

static struct attached attach(unsigned int queues)
{
	struct instance_spec spec = { .object_fd = -1, .program = "", .map = "", .queues = queues };
	struct attached a = { .in = INSTANCE_INIT };
	enum instance_mode granted;
	struct device dev;

	ground_veth("xa", "xb", queues);
	assert_int_equal(device_find(&ground, "xb", &dev), 0);
	GOOD(instance_make(ground.gate, &spec, &a.in, &why));
	GOOD(instance_attach(&a.in, &ground, &dev, INSTANCE_NATIVE, &granted, &why));
	a.sender = ground_packet_socket("xa");
	return a;
}

static void detach(struct attached *a)
{
	close(a->sender);
	instance_done(&a->in);
	ground_delete("xa");
}

/* What libxskd does with the sockets that it is given. */
static struct xskd_handoff *adopt(const int *fds, size_t n, int umem_fd)
{
	struct xskd_handoff_opts opts =
		XSKD_OPTS(xskd_handoff_opts, .n_queues = n, .fill_size = 64, .completion_size = 64,
			  .rx_size = 64, .tx_size = 64);
	struct xskd_handoff *h;

	assert_int_equal(xskd_adopt(fds, umem_fd, &opts, &h), 0);
	return h;
}

static unsigned int drain(struct xskd_handoff *h, unsigned int wanted)
{
	unsigned int got = 0;

	for (int tries = 0; tries < 300 && got < wanted; tries++) {
		for (size_t i = 0; i < h->n_sockets; i++) {
			struct xskd_socket *s = &h->sockets[i];
			uint32_t at, n = xsk_ring_cons__peek(&s->rx, 64, &at), to = 0;

			if (!n)
				continue;
			assert_int_equal(xsk_ring_prod__reserve(&s->fill, n, &to), n);
			for (uint32_t k = 0; k < n; k++)
				*xsk_ring_prod__fill_addr(&s->fill, to + k) =
					xsk_ring_cons__rx_desc(&s->rx, at + k)->addr;
			xsk_ring_prod__submit(&s->fill, n);
			xsk_ring_cons__release(&s->rx, n);
			got += n;
		}
		poll(&(struct pollfd){ .fd = h->sockets[0].fd, .events = POLLIN }, 1, 10);
	}
	return got;
}

static bool full_handoff(void)
{
	struct xsk_features f;

	GOOD(xsk_probe(ground.gate, &f, &why));
	return f.full_handoff;
}

static void a_probe_leaves_the_thread_where_it_was(void **state)
{
	cleanup(netns_done) struct netns now = NETNS_OF(NULL, -1);
	struct xsk_features f;
	uint64_t before, after;

	(void)state;
	assert_int_equal(netns_cookie(&ground, &before), 0);
	GOOD(xsk_probe(ground.gate, &f, &why));
	assert_int_equal(netns_cookie(&now, &after), 0);
	assert_int_equal(before, after);
}

static int set_up(const struct xsk_spec *spec, const int *fds, int memfd, uint64_t size,
		  struct fault *fault)
{
	struct umem memory = { .memfd = memfd, .size = size };
	int err = xsk_set_up(spec, fds, &memory, &guard, fault);

	assert_true((err < 0) == !memory.area);
	umem_unmap(&memory);
	return err;
}

static void packets_arrive(void **state)
{
	struct attached a = attach(1);
	struct xsk_spec spec = spec_for("xb", 0, 1);
	struct xskd_handoff *h;
	int memfd = good_umem(), fd;
	bool zero_copy, early = !full_handoff();

	(void)state;
	GOOD(xsk_open(&ground, &spec, &fd, &why));
	assert_true(is_cloexec(fd));
	GOOD(set_up(&spec, &fd, memfd, FRAMES * 2048, &why));
	/* Before Linux 6.4 the rings are mapped first, in two phases; later either way. */
	h = early ? adopt(&fd, 1, memfd) : NULL;
	GOOD(bind_all(&spec, &fd, &zero_copy, &why));
	GOOD(xsk_insert(&prober, &spec, &fd, a.in.map_fd, &why));
	assert_false(zero_copy);
	if (!early)
		h = adopt(&fd, 1, memfd);
	assert_true(xskd_fill(h) > 0);
	ground_send(a.sender, 50);
	assert_int_equal(drain(h, 50), 50);
	xskd_handoff_free(h);
	detach(&a);
}

static void queues_share_one_umem(void **state)
{
	struct attached a = attach(4);
	struct xsk_spec spec = spec_for("xb", 0, 4);
	struct xskd_handoff *h;
	int memfd = good_umem(), fds[4];
	bool zero_copy, early = !full_handoff();

	(void)state;
	GOOD(xsk_open(&ground, &spec, fds, &why));
	GOOD(set_up(&spec, fds, memfd, FRAMES * 2048, &why));
	h = early ? adopt(fds, 4, memfd) : NULL;
	GOOD(bind_all(&spec, fds, &zero_copy, &why));
	GOOD(xsk_insert(&prober, &spec, fds, a.in.map_fd, &why));
	if (!early)
		h = adopt(fds, 4, memfd);
	xskd_fill(h);
	ground_send(a.sender, 40); /* whichever queue the sender's CPU takes */
	assert_int_equal(drain(h, 40), 40);
	xskd_handoff_free(h);
	detach(&a);
}

static void a_second_socket_is_refused(void **state)
{
	struct attached a = attach(1);
	struct xsk_spec spec = spec_for("xb", 0, 1);
	int memfd = good_umem(), first, second;
	struct fault fault = FAULT_INIT;
	bool zero_copy, held;

	(void)state;
	GOOD(xsk_open(&ground, &spec, &first, &why));
	GOOD(set_up(&spec, &first, memfd, FRAMES * 2048, &why));
	GOOD(bind_all(&spec, &first, &zero_copy, &why));
	GOOD(xsk_insert(&prober, &spec, &first, a.in.map_fd, &why));
	assert_int_equal(xsk_held(&prober, a.in.map_fd, 0, &held), 0);
	assert_true(held);

	GOOD(xsk_open(&ground, &spec, &second, &why));
	assert_true(xsk_insert(&prober, &spec, &second, a.in.map_fd, &fault) < 0);
	assert_int_equal(fault.code, XSKD__CODE__ALREADY_EXISTS);
	assert_non_null(strstr(fault.text, "queue 0 of 'xb' has a socket already"));
	close(second);
	close(first);
	for (int i = 0; i < 100 && held; i++) {
		assert_int_equal(xsk_held(&prober, a.in.map_fd, 0, &held), 0);
		usleep(1000);
	}
	assert_false(held);
	close(memfd);
	detach(&a);
}

static void a_queue_is_waited_for_after_its_last_close(void **state)
{
	struct attached a = attach(1);
	struct xsk_spec spec = spec_for("xb", 0, 1);
	int memfd = good_umem();

	(void)state;
	for (int i = 0; i < 4; i++) { /* each bind but the first meets EBUSY for some 20 ms */
		bool zero_copy;
		int fd;

		GOOD(xsk_open(&ground, &spec, &fd, &why));
		GOOD(set_up(&spec, &fd, memfd, FRAMES * 2048, &why));
		GOOD(bind_all(&spec, &fd, &zero_copy, &why));
		close(fd);
	}
	close(memfd);
	detach(&a);
}

struct looking {
	pthread_t thread;
	int map_fd;
	atomic_bool over;
};

static void *look_over_and_over(void *arg)
{
	struct looking *l = arg;
	bool held;

	while (!l->over)
		assert_int_equal(xsk_held(&prober, l->map_fd, 0, &held), 0);
	return NULL;
}

/* As by a sweep, while somebody gives his socket back and gets another one. */
static void a_look_never_takes_a_new_socket_out(void **state)
{
	struct attached a = attach(1);
	struct xsk_spec spec = spec_for("xb", 0, 1);
	const uint32_t queue = 0;
	struct looking l = { .map_fd = a.in.map_fd };
	int memfd = good_umem(), fd, lost = 0;

	(void)state;
	GOOD(xsk_open(&ground, &spec, &fd, &why));
	GOOD(set_up(&spec, &fd, memfd, FRAMES * 2048, &why));
	for (int round = 0; round < 500; round++) {
		l.over = false;
		assert_int_equal(pthread_create(&l.thread, NULL, look_over_and_over, &l), 0);
		for (int i = 0; i < 50; i++) {
			struct fault fault = FAULT_INIT;

			xsk_remove(a.in.map_fd, queue);
			while (xsk_insert(&prober, &spec, &fd, a.in.map_fd, &fault) < 0)
				xsk_remove(a.in.map_fd, queue);
			fault_done(&fault);
		}
		l.over = true;
		pthread_join(l.thread, NULL);
		lost += bpf_map_update_elem(a.in.map_fd, &queue, &fd, BPF_EXIST) < 0;
	}
	assert_int_equal(lost, 0);
	close(memfd);
	close(fd);
	detach(&a);
}

static void zero_copy_that_is_not_there_is_said(void **state)
{
	struct attached a = attach(1);
	struct xsk_spec spec = spec_for("xb", 0, 1);
	int memfd = good_umem(), fd;
	struct fault fault = FAULT_INIT;
	bool zero_copy;

	(void)state;
	spec.zero_copy_required = true;
	GOOD(xsk_open(&ground, &spec, &fd, &why));
	GOOD(set_up(&spec, &fd, memfd, FRAMES * 2048, &why));
	assert_true(bind_all(&spec, &fd, &zero_copy, &fault) < 0);
	assert_int_equal(fault.code, XSKD__CODE__UNIMPLEMENTED);
	assert_non_null(strstr(fault.text, "no zero-copy"));
	close(fd);
	close(memfd);
	detach(&a);
}

static void an_unbound_socket_is_tied_to_its_device(void **state)
{
	struct sockaddr_xdp elsewhere = { .sxdp_family = AF_XDP, .sxdp_flags = XDP_COPY };
	struct attached a = attach(1);
	struct xsk_spec spec = spec_for("xb", 0, 1);
	struct xsk_features features;
	struct device other;
	int memfd = good_umem(), fd;

	(void)state;
	spec.tied = true;
	GOOD(xsk_probe(ground.gate, &features, &why));
	GOOD(xsk_open(&ground, &spec, &fd, &why));
	GOOD(xsk_insert(&prober, &spec, &fd, a.in.map_fd,
			&why)); /* before it is bound, as QEMU needs it */
	GOOD(set_up(&spec, &fd, memfd, FRAMES * 2048, &why));
	assert_int_equal(device_find(&ground, "xa", &other), 0);
	elsewhere.sxdp_ifindex = other.ifindex;
	if (features.bind_to_device) {
		assert_int_equal(bind(fd, (struct sockaddr *)&elsewhere, sizeof(elsewhere)), -1);
		assert_int_equal(errno, EINVAL);
	}
	elsewhere.sxdp_ifindex = spec.ifindex;
	assert_int_equal(bind(fd, (struct sockaddr *)&elsewhere, sizeof(elsewhere)), 0);
	close(fd);
	close(memfd);
	detach(&a);
}

static void bad_umem_is_refused(void **state)
{
	const int both = F_SEAL_SHRINK | F_SEAL_GROW;
	struct fault fault = FAULT_INIT;
	struct umem good = { 0 };
	int pipes[2], fd;

	(void)state;
	struct {
		int fd;
		const char *says;
	} cases[] = {
		{ umem(FRAMES * 2048, 0), "can still change its size" },
		{ umem(FRAMES * 2048, F_SEAL_SHRINK), "can still change its size" },
		{ umem(FRAMES * 2048 + 4096 / 8, both), "no whole number of frames" },
		{ memfd_create("sparse", MFD_CLOEXEC | MFD_ALLOW_SEALING), "holes" },
		{ memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING), "no whole number" },
		{ open("/proc/self/status", O_RDONLY | O_CLOEXEC), "not a memfd" },
	};

	assert_int_equal(ftruncate(cases[3].fd, FRAMES * 2048), 0);
	assert_int_equal(fcntl(cases[3].fd, F_ADD_SEALS, both), 0);
	assert_int_equal(fcntl(cases[4].fd, F_ADD_SEALS, both), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		fault = FAULT_INIT;
		assert_true(umem_check(&(struct umem){ .memfd = cases[i].fd }, 2048, &fault) < 0);
		assert_int_equal(fault.code, XSKD__CODE__INVALID_ARGUMENT);
		if (!strstr(fault.text, cases[i].says))
			fail_msg("case %zu: %s", i, fault.text);
		close(cases[i].fd);
	}
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_true(umem_check(&(struct umem){ .memfd = pipes[0] }, 2048, &fault) < 0);
	close(pipes[0]);
	close(pipes[1]);
	fd = good_umem();
	good.memfd = fd;
	assert_int_equal(umem_check(&good, 2048, &fault), 0);
	assert_int_equal(good.size, FRAMES * 2048);
	assert_false(good.huge);
	close(fd);
}

/* What a client does between the check and the registration; the daemon must not pay for it. */
static void a_hole_punched_late_is_not_filled(void **state)
{
	const off_t sizes[] = { FRAMES * 2048, 64 << 20 };
	struct attached a = attach(1);
	struct xsk_spec spec = spec_for("xb", 0, 1);

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		const off_t holes[] = { 0, sizes[i] / 2, sizes[i] - 4096 };

		for (size_t h = 0; h < sizeof(holes) / sizeof(*holes); h++) {
			int memfd = umem((size_t)sizes[i], F_SEAL_SHRINK | F_SEAL_GROW), fd;
			struct fault fault = FAULT_INIT;
			struct stat stat;

			GOOD(umem_check(&(struct umem){ .memfd = memfd }, 2048, &why));
			assert_int_equal(fallocate(memfd,
						   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						   holes[h], 4096),
					 0);
			GOOD(xsk_open(&ground, &spec, &fd, &why));
			assert_true(set_up(&spec, &fd, memfd, (uint64_t)sizes[i], &fault) < 0);
			assert_int_equal(fault.code, XSKD__CODE__INVALID_ARGUMENT);
			assert_non_null(strstr(fault.text, "holes"));
			assert_int_equal(fstat(memfd, &stat), 0);
			assert_int_equal(stat.st_blocks * 512, sizes[i] - 4096);
			close(fd);
			close(memfd);
		}
	}
	detach(&a);
}

#define NR_HUGEPAGES "/proc/sys/vm/nr_hugepages"
#define HUGE_PAGE    ((off_t)2 << 20)

static int set_aside(int pages)
{
	FILE *f = fopen(NR_HUGEPAGES, "r+e");
	int before = 0;

	if (!f || fscanf(f, "%d", &before) != 1)
		skip();
	rewind(f);
	fprintf(f, "%d", pages < 0 ? -pages - 1 : before + pages);
	fclose(f);
	return before;
}

static void huge_pages_are_taken_and_their_holes_not_filled(void **state)
{
	const int pages = 4;
	int before = set_aside(2 * pages);
	struct attached a = attach(1);
	struct xsk_spec spec = spec_for("xb", 0, 1);

	(void)state;
	for (int hole = -1; hole < pages; hole++) {
		struct umem of = { .memfd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING |
									 MFD_HUGETLB) };
		struct fault fault = FAULT_INIT;
		struct stat stat;
		int fd, err;

		if (of.memfd < 0 || fallocate(of.memfd, 0, 0, pages * HUGE_PAGE) < 0) {
			(void)set_aside(-before - 1);
			skip();
		}
		assert_int_equal(fcntl(of.memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
		GOOD(umem_check(&of, 2048, &why));
		assert_true(of.huge);
		assert_int_equal(of.size, pages * HUGE_PAGE);
		if (hole >= 0)
			assert_int_equal(fallocate(of.memfd,
						   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						   hole * HUGE_PAGE, HUGE_PAGE),
					 0);
		GOOD(xsk_open(&ground, &spec, &fd, &why));
		err = xsk_set_up(&spec, &fd, &of, &guard, &fault);
		if (hole < 0) {
			assert_int_equal(err, 0);
		} else {
			assert_true(err < 0);
			assert_non_null(strstr(fault.text, "holes"));
			assert_int_equal(fstat(of.memfd, &stat), 0);
			assert_int_equal(stat.st_blocks * 512, (pages - 1) * HUGE_PAGE);
		}
		umem_unmap(&of);
		close(fd);
		close(of.memfd);
	}
	detach(&a);
	(void)set_aside(-before - 1);
}

static void a_frozen_map_is_explained(void **state)
{
	struct attached a = attach(1);
	struct xsk_spec spec = spec_for("xb", 0, 1);
	struct fault fault = FAULT_INIT;
	int fd;

	(void)state;
	assert_int_equal(bpf_map_freeze(a.in.map_fd), 0);
	GOOD(xsk_open(&ground, &spec, &fd, &why));
	assert_true(xsk_insert(&prober, &spec, &fd, a.in.map_fd, &fault) < 0);
	assert_non_null(strstr(fault.text, "frozen"));
	close(fd);
	detach(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fd_test(a_probe_leaves_the_thread_where_it_was),
		fd_test(packets_arrive),
		fd_test(queues_share_one_umem),
		fd_test(a_second_socket_is_refused),
		fd_test(a_queue_is_waited_for_after_its_last_close),
		fd_test(a_look_never_takes_a_new_socket_out),
		fd_test(zero_copy_that_is_not_there_is_said),
		fd_test(an_unbound_socket_is_tied_to_its_device),
		fd_test(bad_umem_is_refused),
		fd_test(a_hole_punched_late_is_not_filled),
		fd_test(huge_pages_are_taken_and_their_holes_not_filled),
		fd_test(a_frozen_map_is_explained),
	};
	struct fault fault = FAULT_INIT;

	ground_enter();
	instance_log();
	guard = umem_guard_open();
	if (xsk_prober_open(&prober, ground.gate, &fault) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
