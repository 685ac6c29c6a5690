// SPDX-License-Identifier: Apache-2.0
/*
 * Packets per second through a socket that was handed off, against one that this process makes as
 * root. Both are there all the time, on two veths that are alike, and packets go to the one and the
 * other in short bursts: what changes on the machine changes for both.
 *
 * Packets are made by the kernel (BPF_F_TEST_XDP_LIVE_FRAMES), which costs it so little that it is
 * the way from the veth to the socket that is measured. That runs in softirq on the sender's CPU;
 * the receiver has the other.
 */
#include <bpf/bpf.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "bare.h"
#include "receiver.h"
#include "rows.h"
#include "world.h"

#define BURST 100000
#define SIZE  (8 << 20)

/* Of a burst, in percent. Who loses more was kept from its CPU by some other process. */
#define LOST_MOST 5.0

/* For a pair of bursts that counts; half as long if none has to be repeated. */
#define PAIR_US 250000

/* One way from the sender to a socket. */
struct way {
	int sender; /* a program that sends what it is given out of the veth */
	struct receiver to;
	struct row *rate, *lost;
};

struct result {
	double rate, lost;
};

static unsigned char frame[FRAME];

/* return bpf_redirect(ifindex, 0); */
static int load_sender(const char *device)
{
	struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd;

	insns[0].imm = (int)if_nametoindex(device);
	fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "sender", "GPL", insns,
			   sizeof(insns) / sizeof(*insns), NULL);
	CHECK(insns[0].imm && fd >= 0);
	return fd;
}

static void send_burst(void *arg)
{
	const struct way *way = arg;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame),
		    .repeat = BURST, .batch_size = 64, .flags = BPF_F_TEST_XDP_LIVE_FRAMES);

	CHECK(bpf_prog_test_run_opts(way->sender, &opts) == 0);
}

static struct result burst(struct way *way)
{
	struct taken t = receivers_burst(&way->to, 1, send_burst, way);

	/* Where this process did not run before all was over, there is no rate. */
	return (struct result){ .rate = t.us > 0 ? (double)t.packets / t.us : 0,
				.lost = 100.0 * (BURST - (double)t.packets) / BURST };
}

/*
 * One burst each. @must_count: take it whatever was lost. Return: whether it counted. What was lost
 * counts always.
 */
static bool pair(struct way *ways, unsigned int first, bool must_count)
{
	struct result result[2];

	for (unsigned int i = 0; i < 2; i++)
		result[(first + i) % 2] = burst(&ways[(first + i) % 2]);
	for (unsigned int i = 0; i < 2; i++)
		row_add(ways[i].lost, result[i].lost);
	if (result[0].rate <= 0 || result[1].rate <= 0)
		return false;
	if (!must_count && (result[0].lost > LOST_MOST || result[1].lost > LOST_MOST))
		return false;
	for (unsigned int i = 0; i < 2; i++)
		row_add(ways[i].rate, result[i].rate);
	return true;
}

/* As many pairs in each fifth, or a fifth of the samples would not be one of the time. */
static void pairs(struct way *ways, double us)
{
	const double until = now_us() + us;
	const unsigned int wanted = 1 + (unsigned int)(us / PAIR_US);

	for (unsigned int n = 0; n < wanted;)
		n += pair(ways, n, now_us() > until);
}

/* New sockets for each: where in memory they happen to lie is part of the noise. */
static void bursts(struct xskd *client, const struct pod *pod, const int *map, struct way *ways,
		   double us)
{
	static const uint32_t queue;
	const struct xskd_handoff_opts opts =
		XSKD_OPTS(xskd_handoff_opts, .frames = SIZE / BARE_FRAME);
	struct xskd_handoff *h;
	struct bare b;
	uint32_t ifindex;

	pod_enter(pod);
	ifindex = if_nametoindex("eth1");
	pod_leave(pod);
	bare_open(&b, pod, ifindex, queue, SIZE, BARE_ANON);
	bare_insert(&b, *map, queue);
	bare_fill(&b, 0);
	ways[0].to.fill = &b.fill;
	ways[0].to.rx = &b.rx;
	ways[0].to.umem = b.umem;
	must(client, xskd_hand_off(client, "eth0", &opts, &h), "HandOffSocket");
	CHECK(xskd_fill(h) == BARE_RING);
	ways[1].to.fill = &h->sockets[0].fill;
	ways[1].to.rx = &h->sockets[0].rx;
	ways[1].to.umem = h->umem;
	pairs(ways, us);
	xskd_handoff_free(h);
	bare_close(&b);
	sleep_us(100000); /* until the queues are free again */
}

void bench_packets(const struct setting *set)
{
	struct way ways[] = {
		{ .rate = row("packets, hand-made socket", "Mpps", NULL, NULL),
		  .lost = row("lost, hand-made socket", "%", NULL, NULL) },
		{ .rate = row("packets, handed-off socket", "Mpps", "packets, hand-made socket",
			      ">=0.98x"),
		  .lost = row("lost, handed-off socket", "%", "lost, hand-made socket", NULL) },
	};
	struct daemon d;
	struct pod pod;
	struct xskd *admin, *client;
	uint32_t program;
	int map;

	frame_make(frame);
	pin_to(CPU_CLIENT);
	pod_make(&pod);
	device_make(&pod, "veth0", "eth0", 1);
	device_make(&pod, "veth1", "eth1", 1);
	daemon_start(&d, set, "packets");
	admin = here_open(&d);
	(void)pod_serve(&pod, admin, "eth0");
	program = pod_serve(&pod, admin, "eth1");
	must(admin, xskd_get_program_map(admin, program, &map, NULL), "GetXskMap");
	client = pod_open(&pod, &d);
	ways[0].sender = load_sender("veth1");
	ways[1].sender = load_sender("veth0");
	for (int f = 0; f < FIFTHS; f++)
		bursts(client, &pod, &map, ways, set->us / FIFTHS);
	close(ways[0].sender);
	close(ways[1].sender);
	close(map);
	xskd_close(client);
	xskd_close(admin);
	daemon_stop(&d);
}
