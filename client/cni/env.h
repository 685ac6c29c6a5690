/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the runtime says in the environment. All of it is checked here, once: from then on a
 * container id can be a file name, and an interface name fits the kernel.
 */
#ifndef CNI_ENV_H
#define CNI_ENV_H

#include <net/if.h>

#include "fail.h"

#define ENV_CONTAINER_MAX 128 /* what a lease's key holds */

enum verb {
	VERB_ADD,
	VERB_DEL,
	VERB_CHECK,
	VERB_GC,
	VERB_STATUS,
	VERB_VERSION,
};

struct env {
	enum verb verb;
	/* Borrowed from the environment, or from the journal; "" where there is none. */
	const char *container, *netns, *ifname, *args, *path;
	/* Of CNI_ARGS, for people. */
	char pod[256], namespace[256], uid[64];
};

/* env_verb() - "ADD", ... */
const char *env_verb(enum verb verb);

/* env_read() - what the verb needs must be there; the rest may. */
int env_read(struct env *env, struct fail *fail) must_check;

/* env_args() - fill in pod, namespace and uid from env->args. */
int env_args(struct env *env, struct fail *fail) must_check;

/* env_is_container(), env_is_ifname() - whether a word may be one. */
bool env_is_container(const char *word);
bool env_is_ifname(const char *word);

#endif
