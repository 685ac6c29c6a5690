// SPDX-License-Identifier: Apache-2.0
#include "visitor.h"
#include "hold.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#define HEAD_MAX   8192  /* of a request */
#define LINGER_MAX 65536 /* so much more of what it sends is read and thrown away */
#define PATIENCE   10000 /* ms for a request, from the first to the last byte of its answer */

static const char hint[] = "xskd: the metrics are at /metrics\n";

/* ---- pages ---- */

struct page *page_new(char *text, size_t len)
{
	struct page *page = text ? malloc(sizeof(*page)) : NULL;

	if (!page) {
		free(text);
		return NULL;
	}
	*page = (struct page){ .refs = 1, .text = text, .len = len };
	return page;
}

struct page *page_ref(struct page *page)
{
	if (page)
		page->refs++;
	return page;
}

void page_unref(struct page *page)
{
	if (!page || --page->refs)
		return;
	free(page->text);
	free(page);
}

/* ---- waiting for the socket ---- */

static void on_ready(uv_poll_t *poll, int status, int events);

static void on_closed(uv_handle_t *handle)
{
	struct visitor *v = handle->data;

	close_fdp(&v->fd);
	page_unref(v->page);
	v->gone(v);
}

void visitor_close(struct visitor *v)
{
	if (v->state == VISITOR_CLOSED)
		return;
	v->state = VISITOR_CLOSED;
	uv_close((uv_handle_t *)&v->poll, on_closed);
}

static void set_state(struct visitor *v, enum visitor_state state)
{
	int err = 0;

	v->state = state;
	if (state == VISITOR_WAITS)
		err = uv_poll_stop(&v->poll);
	else
		err = uv_poll_start(&v->poll, state == VISITOR_WRITES ? UV_WRITABLE : UV_READABLE,
				    on_ready);
	if (err < 0)
		visitor_close(v);
}

/* ---- out ---- */

static void begin_request(struct visitor *v)
{
	v->deadline = uv_now(v->poll.loop) + PATIENCE;
	v->complete = v->body = false;
	v->path_len = v->head_len = 0;
	http_parser_pause(&v->parser, 0);
}

static void read_request(struct visitor *v);

static void answered(struct visitor *v)
{
	page_unref(steal_ptr(&v->page));
	if (v->last) {
		/* A close now would cut off what it has not read yet, if we have not read all. */
		(void)shutdown(v->fd, SHUT_WR);
		v->head_len = 0;
		set_state(v, VISITOR_LINGERS);
		return;
	}
	begin_request(v);
	set_state(v, VISITOR_READS);
	if (v->state == VISITOR_READS && v->in_len)
		read_request(v); /* it did not wait for this answer before it asked again */
}

static void send_answer(struct visitor *v)
{
	size_t head_done = v->out_done < v->out_len ? v->out_done : v->out_len;
	size_t text_done = v->out_done - head_done;
	struct iovec iov[] = {
		{ v->head + head_done, v->out_len - head_done },
		{ (char *)(uintptr_t)v->text + text_done, v->text_len - text_done },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };
	ssize_t n = sendmsg(v->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		visitor_close(v);
		return;
	}
	v->out_done += n > 0 ? (size_t)n : 0;
	if (v->out_done == v->out_len + v->text_len)
		answered(v);
	else if (v->state != VISITOR_WRITES)
		set_state(v, VISITOR_WRITES);
}

static void answer(struct visitor *v, const char *status, const char *fields, const char *text,
		   size_t len)
{
	time_t now = time(NULL);
	struct tm tm;
	char date[40];

	v->last |= !http_should_keep_alive(&v->parser);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
	v->out_len = (size_t)snprintf(v->head, sizeof(v->head),
				      "HTTP/1.1 %s\r\n"
				      "Date: %s\r\n"
				      "Content-Length: %zu\r\n"
				      "%s"
				      "Connection: %s\r\n\r\n",
				      status, date, len, fields, v->last ? "close" : "keep-alive");
	v->out_done = 0;
	v->text = text;
	v->text_len = v->parser.method == HTTP_HEAD ? 0 : len;
	send_answer(v);
}

static void answer_text(struct visitor *v, const char *status, const char *fields, const char *text)
{
	char all[128];

	snprintf(all, sizeof(all), "Content-Type: text/plain; charset=utf-8\r\n%s", fields);
	answer(v, status, all, text, strlen(text));
}

/* What came is no request that we take: what comes behind it cannot be told to be one. */
static void refuse(struct visitor *v, const char *status)
{
	v->last = true;
	answer_text(v, status, "", hint);
}

void visitor_answer(struct visitor *v, struct page *page)
{
	if (v->state != VISITOR_WAITS)
		return;
	if (!page) {
		answer_text(v, "503 Service Unavailable", "",
			    "xskd has no memory for its metrics: ask again\n");
		return;
	}
	v->page = page_ref(page);
	answer(v, "200 OK", "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n",
	       page->text, page->len);
}

/* ---- in ---- */

static int on_url(http_parser *parser, const char *at, size_t len)
{
	struct visitor *v = parser->data;

	for (size_t i = 0; i < len && v->path_len < sizeof(v->path); i++)
		v->path[v->path_len++] = at[i];
	return 0;
}

static int on_headers_complete(http_parser *parser)
{
	struct visitor *v = parser->data;

	v->body = (parser->flags & F_CHUNKED) ||
		  (parser->content_length && parser->content_length != UINT64_MAX);
	parser->upgrade = parser->method == HTTP_CONNECT; /* other protocols are offered in vain */
	return v->body ? 1 : 0;
}

static int on_message_complete(http_parser *parser)
{
	struct visitor *v = parser->data;

	v->complete = true;
	http_parser_pause(parser, 1);
	return 0;
}

static const struct http_parser_settings settings = {
	.on_url = on_url,
	.on_headers_complete = on_headers_complete,
	.on_message_complete = on_message_complete,
};

static bool is_path(const struct visitor *v, const char *path)
{
	size_t len = strlen(path);

	return v->path_len >= len && v->path_len < sizeof(v->path) && !memcmp(v->path, path, len) &&
	       (v->path_len == len || v->path[len] == '?');
}

static void handle(struct visitor *v)
{
	v->last |= v->body || v->parser.upgrade;
	if (v->parser.http_major != 1)
		refuse(v, "505 HTTP Version Not Supported");
	else if (v->parser.method != HTTP_GET && v->parser.method != HTTP_HEAD)
		answer_text(v, "405 Method Not Allowed", "Allow: GET, HEAD\r\n", hint);
	else if (v->body)
		refuse(v, "413 Payload Too Large");
	else if (is_path(v, "/"))
		answer_text(v, "200 OK", "", hint);
	else if (!is_path(v, "/metrics"))
		answer_text(v, "404 Not Found", "", hint);
	else {
		set_state(v, VISITOR_WAITS);
		if (v->state == VISITOR_WAITS)
			v->wants(v);
	}
}

static void read_request(struct visitor *v)
{
	size_t n = http_parser_execute(&v->parser, &settings, v->in, v->in_len);

	v->head_len += n;
	if (v->complete) {
		v->in_len -= n;
		memmove(v->in, v->in + n, v->in_len);
		handle(v);
	} else if (HTTP_PARSER_ERRNO(&v->parser) != HPE_OK) {
		refuse(v, "400 Bad Request");
	} else {
		v->in_len = 0;
		if (v->head_len > HEAD_MAX)
			refuse(v, "431 Request Header Fields Too Large");
	}
}

static void linger(struct visitor *v)
{
	ssize_t n = recv(v->fd, v->in, sizeof(v->in), MSG_DONTWAIT);

	v->head_len += n > 0 ? (size_t)n : 0;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || v->head_len > LINGER_MAX)
		visitor_close(v);
}

static void receive(struct visitor *v)
{
	ssize_t n = recv(v->fd, v->in, sizeof(v->in), MSG_DONTWAIT);

	if (n > 0) {
		v->in_len = (size_t)n;
		read_request(v);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		visitor_close(v);
	}
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct visitor *v = poll->data;

	hold_begin("visitor");
	(void)events;
	if (status < 0)
		visitor_close(v);
	else if (v->state == VISITOR_READS)
		receive(v);
	else if (v->state == VISITOR_WRITES)
		send_answer(v);
	else if (v->state == VISITOR_LINGERS)
		linger(v);
}

/* ---- the beginning ---- */

struct visitor *visitor_new(uv_loop_t *loop, int fd)
{
	struct visitor *v = calloc(1, sizeof(*v));

	if (!v || uv_poll_init(loop, &v->poll, fd) < 0) {
		close_fdp(&fd);
		free(v);
		return NULL;
	}
	v->poll.data = v;
	v->fd = fd;
	http_parser_init(&v->parser, HTTP_REQUEST);
	v->parser.data = v;
	return v;
}

void visitor_go(struct visitor *v)
{
	begin_request(v);
	set_state(v, VISITOR_READS);
}
