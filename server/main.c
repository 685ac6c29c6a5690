// SPDX-License-Identifier: Apache-2.0
#include <malloc.h>
#include <signal.h>

#include "log.h"
#include "options.h"
#include "outlet.h"
#include "server.h"

int main(int argc, char **argv)
{
	struct fault fault = FAULT_INIT;
	struct options options;
	int status;

	/*
	 * A heap for each worker would cost more memory than their rare allocations cost time. And
	 * what is large stays out of the heap, also once something large has been freed: packet
	 * buffers that nobody fills cost nothing there.
	 */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 64 * 1024);
	switch (options_parse(&options, argc, argv)) {
	case OPTIONS_RUN:
		break;
	case OPTIONS_DONE:
		return 0;
	case OPTIONS_WRONG:
		return 2;
	}
	outlet_open();
	log_set(options.log_level, options.log_json);
	/*
	 * Whoever has the heap grow or shrink waits while a worker has the kernel pin a UMEM, and
	 * so does who wants memory meanwhile: seldom, then. What is not touched costs nothing.
	 */
	mallopt(M_TOP_PAD, 1024 * 1024);
	mallopt(M_TRIM_THRESHOLD, 4 * 1024 * 1024);
	signal(SIGPIPE, SIG_IGN); /* a log reader that went away must not end the daemon */
	status = server_run(&options, &fault);
	if (status < 0)
		log_error("cannot start: %s", fault.text);
	log_flush();
	return status != 0;
}
