// SPDX-License-Identifier: Apache-2.0
/*
 * Sends numbered UDP packets out of one interface, for demo, tests and benchmarks:
 *
 *	sender --interface IF [--count N] [--seconds S] [--rate PPS]
 *	       [--size BYTES] [--dst-mac MAC]
 *
 * Frame: Ethernet, IPv4, UDP, and a 64-bit big-endian sequence number, from 0, at the start of the
 * UDP payload. Ends after --count packets or --seconds, whichever comes first, and prints "sent N".
 * Needs CAP_NET_RAW in the network namespace that it runs in, and sends into no other interface.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC 1000000000ULL

#define BATCH_MAX     64   /* frames for one sendmmsg() */
#define BATCHES_PER_S 1000 /* the grain of --rate: a finer one costs more wake-ups */
#define LAG_MAX       (NSEC_PER_SEC / 100)
#define FRAME_MIN     60 /* Ethernet's least, without its checksum */
#define FRAME_MAX     9014
#define SEQ_AT        (sizeof(struct ether_header) + sizeof(struct iphdr) + sizeof(struct udphdr))

struct options {
	const char *interface;
	uint64_t count;   /* 0: until the time is over */
	uint64_t seconds; /* 0: until all are sent */
	uint64_t rate;    /* packets per second; 0: as fast as it goes */
	uint64_t size;    /* of a frame */
	uint8_t dst_mac[ETH_ALEN];
};

/* The frames of a batch: one buffer each, as sendmmsg() reads them all at once. */
struct batch {
	struct mmsghdr msgs[BATCH_MAX];
	struct iovec iov[BATCH_MAX];
	uint8_t frames[BATCH_MAX][FRAME_MAX];
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(ns / NSEC_PER_SEC),
		.tv_nsec = (long)(ns % NSEC_PER_SEC),
	};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

/* A socket that sends by one interface and receives nothing (protocol 0). */
static int open_socket(const char *interface, uint8_t mac[ETH_ALEN])
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET };
	struct ifreq ifr = { 0 };
	int sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (sock < 0)
		err(1, "socket");
	addr.sll_ifindex = (int)if_nametoindex(interface);
	if (!addr.sll_ifindex || bind(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		err(1, "%s", interface);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", interface);
	if (ioctl(sock, SIOCGIFHWADDR, &ifr) < 0)
		err(1, "%s: hardware address", interface);
	memcpy(mac, ifr.ifr_hwaddr.sa_data, ETH_ALEN);
	return sock;
}

static uint16_t ip_checksum(const struct iphdr *ip)
{
	const uint8_t *bytes = (const uint8_t *)ip;
	uint32_t sum = 0;

	for (size_t i = 0; i < sizeof(*ip); i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* Addresses are of 198.18.0.0/15, which RFC 2544 sets aside for benchmarks. */
static void build_frame(uint8_t *frame, const struct options *opts, const uint8_t src[ETH_ALEN])
{
	size_t len = opts->size - sizeof(struct ether_header);
	struct ether_header eth = { .ether_type = htons(ETHERTYPE_IP) };
	struct iphdr ip = {
		.version = 4,
		.ihl = sizeof(ip) / 4,
		.tot_len = htons((uint16_t)len),
		.ttl = 64,
		.protocol = IPPROTO_UDP,
		.saddr = htonl(0xc6120001),
		.daddr = htonl(0xc6120002),
	};
	struct udphdr udp = {
		.source = htons(9),
		.dest = htons(9), /* discard */
		.len = htons((uint16_t)(len - sizeof(ip))),
	};

	ip.check = ip_checksum(&ip);
	memcpy(eth.ether_dhost, opts->dst_mac, ETH_ALEN);
	memcpy(eth.ether_shost, src, ETH_ALEN);
	memset(frame, 0, opts->size);
	memcpy(frame, &eth, sizeof(eth));
	memcpy(frame + sizeof(eth), &ip, sizeof(ip));
	memcpy(frame + sizeof(eth) + sizeof(ip), &udp, sizeof(udp));
}

static struct batch *batch_new(const struct options *opts, const uint8_t src[ETH_ALEN])
{
	struct batch *b = calloc(1, sizeof(*b));

	if (!b)
		err(1, "memory");
	for (size_t i = 0; i < BATCH_MAX; i++) {
		build_frame(b->frames[i], opts, src);
		b->iov[i] = (struct iovec){ .iov_base = b->frames[i], .iov_len = opts->size };
		b->msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &b->iov[i], .msg_iovlen = 1 };
	}
	return b;
}

/* All @n frames go out, in order: a full queue is waited for. */
static void batch_send(int sock, struct batch *b, unsigned int n, uint64_t seq)
{
	unsigned int done = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint64_t be = htobe64(seq + i);

		memcpy(b->frames[i] + SEQ_AT, &be, sizeof(be));
	}
	while (done < n) {
		int sent = sendmmsg(sock, b->msgs + done, n - done, 0);

		if (sent >= 0)
			done += (unsigned int)sent;
		else if (errno == ENOBUFS || errno == EAGAIN)
			sleep_until(now_ns() + 100000);
		else if (errno != EINTR)
			err(1, "send, after %" PRIu64 " packets", seq + done);
	}
}

static unsigned int batch_size(uint64_t rate)
{
	if (!rate || rate >= (uint64_t)BATCH_MAX * BATCHES_PER_S)
		return BATCH_MAX;
	return rate < BATCHES_PER_S ? 1 : (unsigned int)(rate / BATCHES_PER_S);
}

/*
 * Each batch has its deadline, counted from the start, so that errors of single sleeps do not add
 * up. A longer stall moves the start instead of being made up for: the burst would overflow the
 * rings of a receiver that holds the rate.
 */
static uint64_t send_all(int sock, struct batch *b, const struct options *opts)
{
	uint64_t rate = opts->rate, sent = 0;
	unsigned int size = batch_size(rate);
	uint64_t base = now_ns(), base_sent = 0; /* packet base_sent was due at base */
	uint64_t end = opts->seconds ? base + opts->seconds * NSEC_PER_SEC : UINT64_MAX;

	while (!opts->count || sent < opts->count) {
		unsigned int n = size;

		if (rate) {
			uint64_t after = sent - base_sent;
			uint64_t due = base + after / rate * NSEC_PER_SEC +
				       after % rate * NSEC_PER_SEC / rate;
			uint64_t now = now_ns();

			if (due >= end)
				break;
			if (due > now) {
				sleep_until(due);
			} else if (now - due > LAG_MAX) {
				base = now;
				base_sent = sent;
			}
		}
		if (end != UINT64_MAX && now_ns() >= end)
			break;
		if (opts->count && opts->count - sent < n)
			n = (unsigned int)(opts->count - sent);
		batch_send(sock, b, n, sent);
		sent += n;
	}
	return sent;
}

static void usage(FILE *to, int status)
{
	fputs("usage: sender --interface IF [--count N] [--seconds S] [--rate PPS]\n"
	      "              [--size BYTES] [--dst-mac MAC]\n"
	      "One of --count and --seconds at least. Without --rate as fast as it goes.\n",
	      to);
	exit(status);
}

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || n < min || n > max)
		errx(2, "%s: want a number from %" PRIu64 " to %" PRIu64, text, min, max);
	return n;
}

static void parse_mac(const char *text, uint8_t mac[ETH_ALEN])
{
	int end = 0;

	int n = sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
		       &mac[3], &mac[4], &mac[5], &end);

	if (n != ETH_ALEN || text[end])
		errx(2, "%s: want a MAC address such as 02:00:00:00:00:01", text);
}

static void parse_options(int argc, char **argv, struct options *opts)
{
	static const struct option longs[] = {
		{ "interface", required_argument, NULL, 'i' },
		{ "count", required_argument, NULL, 'c' },
		{ "seconds", required_argument, NULL, 's' },
		{ "rate", required_argument, NULL, 'r' },
		{ "size", required_argument, NULL, 'z' },
		{ "dst-mac", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*opts = (struct options){ .size = FRAME_MIN };
	memset(opts->dst_mac, 0xff, sizeof(opts->dst_mac));
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'i':
			opts->interface = optarg;
			break;
		case 'c':
			opts->count = number(optarg, 1, UINT64_MAX);
			break;
		case 's':
			opts->seconds = number(optarg, 1, 1000000);
			break;
		case 'r':
			opts->rate = number(optarg, 1, NSEC_PER_SEC);
			break;
		case 'z':
			opts->size = number(optarg, FRAME_MIN, FRAME_MAX);
			break;
		case 'd':
			parse_mac(optarg, opts->dst_mac);
			break;
		case 'h':
			usage(stdout, 0);
			break;
		default:
			usage(stderr, 2);
		}
	}
	if (optind != argc || !opts->interface || (!opts->count && !opts->seconds))
		usage(stderr, 2);
}

int main(int argc, char **argv)
{
	struct options opts;
	uint8_t src[ETH_ALEN];

	parse_options(argc, argv, &opts);

	int sock = open_socket(opts.interface, src);
	struct batch *b = batch_new(&opts, src);

	printf("sent %" PRIu64 "\n", send_all(sock, b, &opts));
	free(b);
	close(sock);
	return 0;
}
