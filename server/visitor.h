/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP client: its bytes to a request, an answer to its bytes. http-parser does the parsing,
 * and this the waiting: a visitor never has more than its buffer in memory, has a deadline for each
 * request, and is not read while its answer is not taken.
 */
#ifndef XSKD_VISITOR_H
#define XSKD_VISITOR_H

#include <http_parser.h>
#include <uv.h>

#include "base.h"

/* A text that several visitors are being sent. */
struct page {
	uint32_t refs;
	char *text; /* as free() takes it */
	size_t len;
};

struct page *page_new(char *text, size_t len) must_check; /* takes @text over; NULL: no memory */
struct page *page_ref(struct page *page);
void page_unref(struct page *page);

enum visitor_state {
	VISITOR_READS,   /* its request */
	VISITOR_WAITS,   /* for visitor_answer() */
	VISITOR_WRITES,  /* the answer */
	VISITOR_LINGERS, /* has all there is for it, and shall read it before we close */
	VISITOR_CLOSED,
};

struct visitor {
	uv_poll_t poll;
	struct visitor *next;
	/* What it asks of whoever accepted it. */
	void (*wants)(struct visitor *v); /* the metrics: visitor_answer(), now or later */
	void (*gone)(struct visitor *v);  /* closed, and to be freed */
	void *owner, *door;
	int fd;
	enum visitor_state state;
	uint64_t deadline; /* of uv_now() */
	struct http_parser parser;
	char path[32];
	size_t path_len, head_len; /* of the request so far */
	bool complete, body, last; /* last: to be closed after this answer */
	char in[2048];
	size_t in_len;
	char head[384]; /* of the answer */
	size_t out_len, out_done;
	const char *text; /* behind the head: the page's, or constant; NULL: none */
	size_t text_len;
	struct page *page;
};

/* visitor_new() - takes @fd over, also when it fails (NULL). Whoever calls fills in the rest. */
struct visitor *visitor_new(uv_loop_t *loop, int fd) must_check;

/* visitor_go() - start to wait for what it sends. */
void visitor_go(struct visitor *v);

/* visitor_answer() - to one that waits. @page: NULL, there is no memory for one. */
void visitor_answer(struct visitor *v, struct page *page);

/* visitor_close() - now; visitor->gone() follows from the loop. */
void visitor_close(struct visitor *v);

#endif
