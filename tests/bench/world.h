/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real daemon, and a pod with devices for it to serve. Belongs into namespaces that run.sh
 * made: nothing is cleaned up here that ends with them.
 */
#ifndef XSKD_BENCH_WORLD_H
#define XSKD_BENCH_WORLD_H

#include <sys/types.h>
#include <xskd.h>

/* What the command line says. */
struct setting {
	const char *build; /* where meson put the programs */
	const char *dir;   /* of this run: a tmpfs, with a bpffs at bpf/ */
	double us;         /* that the section may take */
	bool smoke;        /* shows that it runs, no more: the least of everything */
};

struct daemon {
	pid_t pid;
	clockid_t cpu; /* its CPU time */
	int log;       /* its stderr, a file */
	char admin[108], pod[108];
};

/*
 * daemon_start() - on CPU_SERVER, all its threads; ready when this returns. With its usual log,
 * that has an audit line for what is granted. @name: of its directories. Its pool is full then, but
 * in smoke: what happens in the background is none of what is measured.
 */
void daemon_start(struct daemon *d, const struct setting *set, const char *name);
void daemon_stop(struct daemon *d);

/* daemon_start_as_is() - the same, with the limits that it has when nobody configures any. */
void daemon_start_as_is(struct daemon *d, const struct setting *set, const char *name);

/* daemon_start_pool() - the same, with so many instances in the pool; 0: no pool. */
void daemon_start_pool(struct daemon *d, const struct setting *set, const char *name,
		       unsigned int pool);

/* daemon_forget_log() - or it fills the tmpfs: at some 100,000 calls per second it could. */
void daemon_forget_log(const struct daemon *d);

/* A network namespace and the way back. */
struct pod {
	int home, netns;
};

void pod_make(struct pod *p);
void pod_enter(const struct pod *p);
void pod_leave(const struct pod *p);

/*
 * device_make() - a veth with so many queues, here as @name and in the pod as @inside, both up, and
 * silent: the kernel sends nothing of its own.
 */
void device_make(const struct pod *p, const char *name, const char *inside, unsigned int queues);

/* device_down() - down again. */
void device_down(const char *name);

/* here_open() - a connection from here, to the admin socket. pod_open() - from inside the pod. */
struct xskd *here_open(const struct daemon *d);
struct xskd *pod_open(const struct pod *p, const struct daemon *d);

/* must() - end all with the library's text when @result is a failure. */
void must(const struct xskd *x, int result, const char *what);

/* pod_serve() - xskd's default program on @inside, and a lease on all of it. Return: its id. */
uint32_t pod_serve(const struct pod *p, struct xskd *admin, const char *inside);

/* pod_serve_as() - the same for a pod that is not the only one; @container: its name. */
uint32_t pod_serve_as(const struct pod *p, struct xskd *admin, const char *inside,
		      const char *container);

/* The sections. */
void bench_calls(const struct setting *set);
void bench_crowd(const struct setting *set);
void bench_handoff(const struct setting *set);
void bench_syscalls(const struct setting *set);
void bench_load(const struct setting *set);
void bench_pool(const struct setting *set);
void bench_bystander(const struct setting *set);
void bench_neighbour(const struct setting *set);
void bench_packets(const struct setting *set);
void bench_queues(const struct setting *set);
void bench_cni(const struct setting *set);
void bench_memory(const struct setting *set);
void bench_hostile(const struct setting *set);
void bench_scale(const struct setting *set);

#endif
