// SPDX-License-Identifier: Apache-2.0
#include "readable.h"

static void on_closed(uv_handle_t *handle)
{
	struct readable *r = handle->data;

	close_fdp(&r->fd);
	r->fd = -1;
}

int readable_start(struct readable *r, uv_loop_t *loop, int fd, uv_poll_cb fn, void *owner,
		   struct fault *fault)
{
	int err;

	r->owner = owner;
	r->fd = fd;
	r->poll.data = r;
	err = uv_poll_init(loop, &r->poll, fd);
	if (err < 0) {
		close_fdp(&r->fd);
		r->fd = -1;
		return fault_sys(fault, -err, "cannot watch a file descriptor");
	}
	r->active = true;
	err = uv_poll_start(&r->poll, UV_READABLE, fn);
	return err < 0 ? fault_sys(fault, -err, "cannot watch a file descriptor") : 0;
}

void readable_stop(struct readable *r)
{
	if (r->active)
		uv_close((uv_handle_t *)&r->poll, on_closed);
	r->active = false;
}
