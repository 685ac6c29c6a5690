/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the runtime can ask for. Each of ADD, DEL, CHECK, GC and STATUS first finishes what killed
 * runs have left, whoever's it was.
 */
#ifndef CNI_VERBS_H
#define CNI_VERBS_H

#include "journal.h"

/* verb_add() - @out_result: the caller owns it. */
int verb_add(const struct env *env, const struct conf *conf, json_t **out_result,
	     struct fail *fail) must_check;

/*
 * verb_del() - fails only where it cannot even be noted that something is left; what is left is
 * finished later.
 */
int verb_del(const struct env *env, const struct conf *conf, struct fail *fail) must_check;
int verb_check(const struct env *env, const struct conf *conf, struct fail *fail) must_check;
int verb_gc(const struct env *env, const struct conf *conf, struct fail *fail) must_check;
int verb_status(const struct env *env, const struct conf *conf, struct fail *fail) must_check;

/*
 * finish_others() - what was left of other attachments than that of @env. It is not this run's
 * business if some of it cannot be finished yet: that is logged.
 */
void finish_others(struct journals *all, const struct env *env);

/* reconcile() - finish what was left, below @socket_dir. -1: something is still left. */
int reconcile(const char *socket_dir, struct fail *fail) must_check;

#endif
