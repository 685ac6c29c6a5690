// SPDX-License-Identifier: Apache-2.0
#include "ground.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gate.h"
#include "sandbox.h"
#include "support.h"

struct netns ground = NETNS_OF(NULL, -1);

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "ground: %s: %s\n", what, strerror(errno));
	exit(1);
}

void ground_enter(void)
{
	struct fault fault = FAULT_INIT;
	const struct sandbox sandbox = { 0 };
	struct device lo;

	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root\n");
		exit(77);
	}
	must(unshare(CLONE_NEWNET | CLONE_NEWNS) == 0, "unshare");
	must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private mounts");
	must(mount("tmpfs", "/tmp", "tmpfs", 0, NULL) == 0, "tmpfs");
	must(mkdir("/tmp/bpf", 0700) == 0 && mkdir(GROUND_RUN, 0700) == 0, "mkdir");
	must(mount("bpf", "/tmp/bpf", "bpf", 0, NULL) == 0, "bpffs");
	ground_run("ip link set lo up");
	must(gate_start(2, -1, &sandbox, &ground.gate, &fault) == 0, "gate");
	must(device_find(&ground, "lo", &lo) == 0,
	     "loopback"); /* which opens what later tests use */
}

void ground_run(const char *fmt, ...)
{
	char command[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("'%s' failed", command);
}

void ground_veth(const char *one, const char *other, unsigned int queues)
{
	ground_run(
		"ip link add %s numrxqueues %u numtxqueues %u type veth peer name %s numrxqueues %u "
		"numtxqueues %u",
		one, queues, queues, other, queues, queues);
	/* Neighbour discovery would be traffic that a test has not sent. */
	ground_run("echo 1 > /proc/sys/net/ipv6/conf/%s/disable_ipv6", one);
	ground_run("echo 1 > /proc/sys/net/ipv6/conf/%s/disable_ipv6", other);
	ground_run("ip link set %s up && ip link set %s up", one, other);
}

void ground_delete(const char *device)
{
	ground_run("ip link del %s", device);
}

int ground_packet_socket(const char *device)
{
	struct sockaddr_ll addr = {
		.sll_family = AF_PACKET,
		.sll_ifindex = (int)if_nametoindex(device),
		.sll_protocol = htons(ETH_P_ALL),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

void ground_send(int packet_socket, unsigned int n)
{
	uint8_t frame[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };

	for (unsigned int i = 0; i < n; i++) {
		memcpy(frame + 14, &i, sizeof(i));
		assert_int_equal(send(packet_socket, frame, sizeof(frame), 0), sizeof(frame));
	}
}
