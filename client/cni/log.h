/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is worth telling beside the answer on stdout: warnings go to stderr, where runtimes log
 * them, and, like one line for each run, to "logFile" if there is one. The one global thing of the
 * plugin, so that no function needs a handle for it.
 */
#ifndef CNI_LOG_H
#define CNI_LOG_H

#include "env.h"

/* log_open() - append to @path ("": stderr alone); lines name the attachment of @env. */
int log_open(const char *path, const struct env *env, struct fail *fail) must_check;

printf_like(1, 2) void log_warning(const char *fmt, ...);

/* log_outcome() - how the run ended; only for the file, as the runtime knows it. */
void log_outcome(const struct fail *fail);

#endif
