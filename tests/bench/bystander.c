// SPDX-License-Identifier: Apache-2.0
/*
 * How long somebody waits who changes a link that has nothing to do with xskd (RTM_SETLINK, its
 * alias), while programs are attached and detached back to back on another device: by bare system
 * calls, as every loader does it, and by xskd, without and with its pool. The kernel attaches a new
 * program under the rtnl lock, and waits for a grace period with it.
 */
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attach.h"
#include "churn.h"
#include "rows.h"
#include "world.h"

#define POOL     4
#define PAUSE_US 300
#define PHASE_US 200000

static struct {
	struct daemon daemon, pooled;
	struct pod pod;
	struct xskd *admin, *pool_admin;
	uint32_t ifindex, bystander;
	int rtnl;
	atomic_ulong from_pool; /* programs */
} w;

/* ---- the bystander ---- */

static void set_alias(void)
{
	static unsigned int number;
	struct {
		struct nlmsghdr head;
		struct ifinfomsg info;
		struct rtattr attr;
		char alias[16];
	} request = {
		.head.nlmsg_type = RTM_SETLINK,
		.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		.info.ifi_index = (int)w.bystander,
		.attr.rta_type = IFLA_IFALIAS,
	};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char rest[512];
	} answer;
	size_t len = (size_t)snprintf(request.alias, sizeof(request.alias), "x%u", number++);

	request.attr.rta_len = (unsigned short)RTA_LENGTH(len);
	request.head.nlmsg_len = (uint32_t)(offsetof(typeof(request), alias) + RTA_ALIGN(len));
	CHECK(send(w.rtnl, &request, request.head.nlmsg_len, 0) == request.head.nlmsg_len);
	CHECK(recv(w.rtnl, &answer, sizeof(answer), 0) > 0);
	CHECK(answer.head.nlmsg_type == NLMSG_ERROR && answer.error.error == 0);
}

static void look(struct row *row)
{
	const double until = now_us() + PHASE_US;

	do {
		double began = now_us();

		set_alias();
		row_add(row, now_us() - began);
		sleep_us(PAUSE_US);
	} while (now_us() < until);
}

/* ---- who loads ---- */

static void bare_turn(void *arg)
{
	int prog = attach_pass();

	(void)arg;
	attach_end(attach_link(prog, w.ifindex));
	close(prog);
}

static void our_turn(void *arg)
{
	const struct xskd_load_opts opts = XSKD_OPTS(xskd_load_opts, .mode = XSKD_XDP_NATIVE);
	struct xskd *admin = arg;
	struct xskd_program program;

	must(admin, xskd_load_program(admin, "veth0", &opts, &program), "LoadProgram");
	atomic_fetch_add(&w.from_pool, program.from_pool);
	must(admin, xskd_unload_program(admin, program.id, NULL, 0, false), "UnloadProgram");
}

/* The pause at the end: what the last turn left behind is none of the next phase's. */
static void phase(const char *who, const char *base, const char *target, void (*turn)(void *),
		  void *arg)
{
	char name[64], rate[64], share[64];
	struct churn churn;
	unsigned long turns;
	double us = now_us();

	snprintf(name, sizeof(name), "RTM_SETLINK, %s", who);
	snprintf(rate, sizeof(rate), "%s: programs", who);
	snprintf(share, sizeof(share), "%s: of these from it", who);
	atomic_store(&w.from_pool, 0);
	if (turn)
		churn_start(&churn, turn, arg, CPU_SERVER);
	look(row(name, "us", base, target));
	if (!turn)
		return;
	us = now_us() - us;
	turns = churn_stop(&churn);
	row_add(row(rate, "1/s", NULL, NULL), (double)turns * 1e6 / us);
	if (arg == w.pool_admin)
		row_add(row(share, "%", NULL, NULL),
			100.0 * (double)atomic_load(&w.from_pool) / (double)turns);
	sleep_us(60000);
}

void bench_bystander(const struct setting *set)
{
	static const char quiet[] = "RTM_SETLINK, quiet";

	pod_make(&w.pod);
	device_make(&w.pod, "veth0", "eth0", 4);
	device_make(&w.pod, "veth1", "eth1", 1);
	w.ifindex = if_nametoindex("veth0");
	w.bystander = if_nametoindex("veth1");
	w.rtnl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	CHECK(w.ifindex && w.bystander && w.rtnl >= 0);
	daemon_start_pool(&w.daemon, set, "bystander", 0);
	w.admin = here_open(&w.daemon);
	daemon_start_pool(&w.pooled, set, "pooled", POOL);
	w.pool_admin = here_open(&w.pooled);
	pin_to(CPU_CLIENT);

	for (struct rounds r = rounds_for(set->us); rounds(&r);) {
		phase("quiet", NULL, NULL, NULL, NULL);
		phase("bare loader", quiet, NULL, bare_turn, NULL);
		phase("LoadProgram without pool", quiet, NULL, our_turn, w.admin);
		phase("LoadProgram from the pool", quiet, "p99<=1.5x", our_turn, w.pool_admin);
	}
	close(w.rtnl);
	xskd_close(w.admin);
	daemon_stop(&w.daemon);
	xskd_close(w.pool_admin);
	daemon_stop(&w.pooled);
}
