/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel dropped news of devices for want of room: what may have changed is asked for, each
 * leased device at a time. Three steps, as in a method: what to ask for (loop), asking (worker: the
 * node's rtnl lock may be somebody's for long), taking note (loop).
 */
#ifndef XSKD_SURVEY_H
#define XSKD_SURVEY_H

#include "core.h"

struct survey;

/* survey_new() - NULL: there is nothing to ask for, or no memory for it. */
struct survey *survey_new(const struct core *core) must_check;
void survey_look(struct survey *survey);
void survey_note(struct core *core, const struct survey *survey);
void survey_free(struct survey *survey);

#endif
