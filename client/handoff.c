// SPDX-License-Identifier: Apache-2.0
#include "handoff.h"

void handoff_args_donep(struct handoff_args *args)
{
	queue_list_donep(&args->queues);
}

static int option_queue(struct ctl *ctl, struct handoff_args *args)
{
	if (args_queues(optarg, &args->queues, ctl->why) < 0)
		return ctl_bad(ctl, "--queue", optarg);
	if (args->queues.n > XSKD_QUEUES_MAX)
		return ctl_misused(ctl, "one hand-off has at most %d queues", XSKD_QUEUES_MAX);
	args->opts.queues = args->queues.queues;
	args->opts.n_queues = args->queues.n;
	return CTL_OK;
}

static int option_zero_copy(struct ctl *ctl, struct handoff_args *args)
{
	static const char *const words[] = { "preferred", "required", "no", NULL };
	static const enum xskd_zero_copy values[] = { XSKD_ZC_PREFERRED, XSKD_ZC_REQUIRED,
						      XSKD_ZC_NO };
	unsigned int i;

	if (args_choice(optarg, words, &i, ctl->why) < 0)
		return ctl_bad(ctl, "--zero-copy", optarg);
	args->opts.zero_copy = values[i];
	return CTL_OK;
}

static int option_huge_pages(struct ctl *ctl, struct handoff_args *args)
{
	static const char *const words[] = { "required", "preferred", "1G", NULL };
	static const uint8_t values[] = { XSKD_HUGE_REQUIRED, XSKD_HUGE_PREFERRED, XSKD_HUGE_1G };
	unsigned int i = 0;

	if (optarg && args_choice(optarg, words, &i, ctl->why) < 0)
		return ctl_bad(ctl, "--huge-pages", optarg);
	args->opts.huge_pages = values[i];
	return CTL_OK;
}

static int option_number(struct ctl *ctl, const char *name, uint32_t *out)
{
	uint64_t n;

	if (args_number(optarg, 1, UINT32_MAX, &n, ctl->why) < 0)
		return ctl_bad(ctl, name, optarg);
	*out = (uint32_t)n;
	return CTL_OK;
}

static int option_ring_size(struct ctl *ctl, struct xskd_handoff_opts *opts)
{
	int status = option_number(ctl, "--ring-size", &opts->rx_size);

	if (status == CTL_OK)
		opts->fill_size = opts->completion_size = opts->tx_size = opts->rx_size;
	return status;
}

int handoff_option(struct ctl *ctl, struct handoff_args *args, int c)
{
	switch (c) {
	case OPT_QUEUE:
		return option_queue(ctl, args);
	case OPT_ZERO_COPY:
		return option_zero_copy(ctl, args);
	case OPT_KEEP:
		args->opts.keep = true;
		return CTL_OK;
	case OPT_HUGE_PAGES:
		return option_huge_pages(ctl, args);
	case OPT_BUSY_POLL:
		return option_number(ctl, "--busy-poll", &args->opts.busy_poll_us);
	case OPT_FRAMES:
		return option_number(ctl, "--frames", &args->opts.frames);
	case OPT_FRAME_SIZE:
		return option_number(ctl, "--frame-size", &args->opts.frame_size);
	case OPT_RING_SIZE:
		return option_ring_size(ctl, &args->opts);
	default:
		return ctl->stop;
	}
}
