/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's loop: listeners, signals, the clock, the kernel's news, and the end. */
#ifndef XSKD_SERVER_H
#define XSKD_SERVER_H

#include "options.h"

/*
 * server_run() - until SIGTERM or SIGINT. Return: 0; 1, it had to end, and has said why; or
 * negative with @fault: it could not start.
 */
int server_run(const struct options *options, struct fault *fault) must_check;

#endif
