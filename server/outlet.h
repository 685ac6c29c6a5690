/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the log leaves: standard error, which nobody waits for. A pipe or socket whose reader has
 * stopped takes no more at some time; then lines are kept for a while, the newest are left out when
 * that is too much, and whoever reads on is told how many.
 */
#ifndef XSKD_OUTLET_H
#define XSKD_OUTLET_H

#include "base.h"

/* outlet_open() - before the sandbox, and before there is another thread or process. */
void outlet_open(void);

/* outlet_put() - a line, with its end; by any thread. */
void outlet_put(const char *line, size_t len);

/* outlet_flush() - what is kept. Return: how many lines were left out, once nothing is kept. */
unsigned int outlet_flush(void);

#endif
