/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attachment of a pod: what ADD makes, CHECK looks at and DEL takes back. It is made in parts,
 * each of which knows how to add, delete and check its own share; a failed ADD deletes the parts in
 * reverse, and a DEL does the same. Deleting goes by the journal and by what is there, so it may be
 * repeated, and it does not matter at which point an ADD was killed.
 */
#ifndef CNI_ATTACH_H
#define CNI_ATTACH_H

#include "ethtool.h"
#include "journal.h"
#include "rtnl.h"

/* How the pod comes to its device. */
enum attach_kind {
	ATTACH_MOVED,  /* the device moves into the pod */
	ATTACH_THERE,  /* an earlier plugin of the chain has put it there */
	ATTACH_QUEUES, /* it stays on the host, the pod has queues of it */
};

/* A namespace to work in. */
struct place {
	int netns;   /* -1: it is not there */
	int ethtool; /* socket for ethtool calls */
	struct rtnl rtnl;
};

struct attach {
	const struct env *env;
	const struct conf *conf;
	struct journal *journal;
	struct fail *fail;
	enum attach_kind kind;
	bool patient; /* wait for what takes its time: it is this attachment that is asked for */
	struct place host, pod;
	uint64_t cookie;  /* of the pod's namespace */
	struct xskd *x;   /* attach_daemon() */
	struct held held; /* of the device */

	/* Where the device is, as far as it was found. */
	struct place *at; /* NULL: nowhere */
	struct link link;

	json_t *ipam; /* what the IPAM plugin answered to ADD */
};

struct part {
	const char *name;
	unsigned int kinds; /* bits of enum attach_kind */
	int (*add)(struct attach *a);
	int (*del)(struct attach *a);
	int (*check)(struct attach *a);
};

/* In the order of ADD. */
extern const struct part part_device, part_settings, part_program, part_move, part_address,
	part_lease, part_steer;

/*
 * attach_open() - set up @a; the namespaces are opened. @need_pod: fail if the pod's is not there.
 * Everything pointed to stays the caller's.
 */
int attach_open(struct attach *a, const struct env *env, const struct conf *conf,
		struct journal *journal, bool need_pod, struct fail *fail) must_check;
void attach_done(struct attach *a);

int attach_add(struct attach *a) must_check;
int attach_check(struct attach *a) must_check;

/*
 * attach_del() - all that can be deleted is, and the record goes with it. Return: -1: something is
 * left; a->fail says what came first, and the record stays, pending.
 */
int attach_del(struct attach *a) must_check;

/* attach_daemon() - connect to the daemon, once. */
int attach_daemon(struct attach *a) must_check;

/*
 * attach_clear_orphan() - unload the program that an ADD which was killed behind its call has left
 * on the device: the daemon would collect it only after a while. Return: whether there was one.
 */
bool attach_clear_orphan(struct attach *a);

/* attach_refused() - the kernel refused a change of the device. Return: -1. */
int attach_refused(struct attach *a, struct place *at, int err, const char *what);

/*
 * attach_interface() - the pod's interface of that name in a result; the host's end of a pair may
 * have the same name, but no sandbox. NULL: there is none. Borrowed. @out_index may be NULL.
 */
json_t *attach_interface(const json_t *result, const char *name, size_t *out_index);

/* attach_result() - the result of ADD, which the caller owns; NULL: no memory. */
json_t *attach_result(const struct attach *a) must_check;

#endif
