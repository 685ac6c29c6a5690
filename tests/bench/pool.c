// SPDX-License-Identifier: Apache-2.0
/*
 * LoadProgram and UnloadProgram of an instance from the pool, against what they cannot do without:
 * a round trip with a descriptor, and attaching a program that is attached elsewhere too, for which
 * the kernel waits for nothing. And against a process of xdp-loader, where there is one.
 */
#include <net/if.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach.h"
#include "floor.h"
#include "rows.h"
#include "world.h"

#define POOL   4
#define LOADER "/usr/sbin/xdp-loader"

static struct {
	struct daemon daemon;
	struct pod pod;
	struct xskd *admin;
	struct floor floor;
	uint32_t ifindex;
	int prog;
	char object[300];
	bool has_loader;
} w;

/* ---- the floor ---- */

static void bare(void)
{
	struct row *load = row("round trip + LINK_CREATE, attached elsewhere", "us", NULL, NULL);
	struct row *unload = row("round trip + LINK_DETACH, attached elsewhere", "us", NULL, NULL);
	double began = now_us();
	int link;

	floor_call(w.floor.sock, true);
	link = attach_link(w.prog, w.ifindex);
	row_add(load, now_us() - began);
	began = now_us();
	floor_call(w.floor.sock, false);
	attach_end(link);
	row_add(unload, now_us() - began);
}

/* ---- xdp-loader ---- */

static bool loader(const char *verb)
{
	char *const load[] = { (char[]){ LOADER },
			       (char[]){ "load" },
			       (char[]){ "-m" },
			       (char[]){ "native" },
			       (char[]){ "veth0" },
			       w.object,
			       NULL };
	char *const unload[] = { (char[]){ LOADER }, (char[]){ "unload" }, (char[]){ "veth0" },
				 (char[]){ "--all" }, NULL };
	posix_spawn_file_actions_t files;
	struct row *wall;
	char name[64];
	double began;
	int status;
	pid_t pid;

	snprintf(name, sizeof(name), "xdp-loader %s", verb);
	CHECK(posix_spawn_file_actions_init(&files) == 0);
	CHECK(posix_spawn_file_actions_addopen(&files, 1, "/dev/null", 1, 0) == 0);
	CHECK(posix_spawn_file_actions_addopen(&files, 2, "/dev/null", 1, 0) == 0);
	settle();
	began = now_us();
	CHECK(posix_spawn(&pid, LOADER, &files, NULL, strcmp(verb, "load") ? unload : load,
			  environ) == 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	began = now_us() - began;
	CHECK(posix_spawn_file_actions_destroy(&files) == 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return false;
	wall = row(name, "us", NULL, NULL);
	row_add(wall, began);
	return true;
}

static void look_for_loader(const struct setting *set)
{
	snprintf(w.object, sizeof(w.object), "%s/bpf/xsk_redirect.bpf.o", set->build);
	w.has_loader = access(LOADER, X_OK) == 0;
	if (!w.has_loader) {
		row_note("pool: no xdp-loader here (Debian's package xdp-tools)");
		return;
	}
	w.has_loader = loader("load") && loader("unload");
	if (!w.has_loader)
		row_note("pool: %s load -m native veth0 %s fails", LOADER, w.object);
}

/* ---- ours ---- */

/* One that the pool could not serve is another thing: it is only counted, and the pool gets time.
 */
static void ours(void)
{
	static const char load_floor[] = "round trip + LINK_CREATE, attached elsewhere";
	static const char unload_floor[] = "round trip + LINK_DETACH, attached elsewhere";
	struct row *load = row("LoadProgram from the pool", "us", load_floor, "<=1.5x");
	struct row *unload = row("UnloadProgram of the pool", "us", unload_floor, "<=1.5x");
	struct row *share = row("LoadProgram: from the pool", "%", NULL, NULL);
	const struct xskd_load_opts opts = XSKD_OPTS(xskd_load_opts, .mode = XSKD_XDP_NATIVE);
	struct xskd_program program;
	double took, began = now_us();

	must(w.admin, xskd_load_program(w.admin, "veth0", &opts, &program), "LoadProgram");
	took = now_us() - began;
	row_add(share, program.from_pool ? 100 : 0);
	if (program.from_pool) {
		row_add(load, took);
		if (w.has_loader) {
			row_add(row("LoadProgram from the pool, of xdp-loader", "us",
				    "xdp-loader load", "<=0.01x"),
				took);
		}
	}
	began = now_us();
	must(w.admin, xskd_unload_program(w.admin, program.id, NULL, 0, false), "UnloadProgram");
	if (program.from_pool)
		row_add(unload, now_us() - began);
	else
		sleep_us(200000);
}

void bench_pool(const struct setting *set)
{
	pin_to(CPU_SERVER);
	pod_make(&w.pod);
	device_make(&w.pod, "veth0", "eth0", 4);
	device_make(&w.pod, "veth1", "eth1", 4);
	w.ifindex = if_nametoindex("veth0");
	w.prog = attach_pass();
	(void)attach_link(w.prog, if_nametoindex("veth1")); /* it stays: this is the elsewhere */
	floor_start(&w.floor, FLOOR_PING, NULL, w.prog);
	look_for_loader(set);
	daemon_start_pool(&w.daemon, set, "pool", POOL);
	w.admin = here_open(&w.daemon);

	for (struct rounds r = rounds_for(set->us); rounds(&r);) {
		for (int i = 0; i < 4; i++) { /* the pool is refilled meanwhile */
			settle();
			bare();
			settle();
			ours();
		}
		if (w.has_loader)
			CHECK(loader("load") && loader("unload"));
	}
	floor_stop(&w.floor);
	close(w.prog);
	xskd_close(w.admin);
	daemon_stop(&w.daemon);
}
