/* SPDX-License-Identifier: Apache-2.0 */
/* Another plugin, run as the specification says: it gives addresses and takes them back. */
#ifndef CNI_IPAM_H
#define CNI_IPAM_H

#include "conf.h"

/*
 * ipam_run() - find @type in env->path, give it @config on stdin and the verb and env in its
 * environment. Its stderr is ours.
 * @lock: inherited by it, so that whoever comes after a killed run waits for the plugin that it has
 *left behind; -1: none.
 * @out_result: what it printed, where there was anything; the caller owns it. NULL: not wanted.
 * A plugin that does not speak the configuration's version is asked again in an older one; one that
 * does not know GC or STATUS has nothing to do there, and that is no failure.
 */
int ipam_run(const char *type, enum verb verb, const struct env *env, const json_t *config,
	     int lock, json_t **out_result, struct fail *fail) must_check;

#endif
