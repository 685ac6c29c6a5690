// SPDX-License-Identifier: Apache-2.0
#include <malloc.h>
#include <signal.h>

#include "options.h"
#include "server.h"

int main(int argc, char **argv)
{
	struct fault fault = FAULT_INIT;
	struct options options;
	int status;

	switch (options_parse(&options, argc, argv)) {
	case OPTIONS_RUN:
		break;
	case OPTIONS_DONE:
		return 0;
	case OPTIONS_WRONG:
		return 2;
	}
	log_set(options.log_level, options.log_json);
	/* A heap for each worker would cost more memory than their rare allocations cost time. */
	mallopt(M_ARENA_MAX, 1);
	signal(SIGPIPE, SIG_IGN); /* a log reader that went away must not end the daemon */
	status = server_run(&options, &fault);
	if (status < 0)
		log_error("cannot start: %s", fault.text);
	return status != 0;
}
