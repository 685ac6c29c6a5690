// SPDX-License-Identifier: Apache-2.0
#include "audit.h"

#include <stdio.h>
#include <string.h>

#include "call.h"
#include "log.h"

#define ENTRIES 256 /* a power of two; who collides is written out at once */

/*
 * What a process has asked, on whichever of its connections, and how often it has asked the same
 * since.
 */
struct entry {
	const struct method *method; /* NULL: nobody's */
	struct entry *next;          /* of those that are somebody's */
	struct peer peer;
	bool denied;
	Xskd__Code code;
	uint32_t more;
	struct subject subject;
};

#define LINES_A_SECOND 32
#define SPENDERS       256 /* a power of two; who collides shares */

/* What a namespace has had written in this second. */
struct spender {
	uint64_t cookie;
	uint32_t lines, left_out;
};

struct audit {
	struct entry entries[ENTRIES], *used;
	struct spender spenders[SPENDERS];
};

struct audit *audit_new(void)
{
	return calloc(1, sizeof(struct audit));
}

void audit_free(struct audit *audit)
{
	if (audit)
		audit_flush(audit);
	free(audit);
}

bool audit_may(struct audit *audit, const struct peer *peer)
{
	struct spender *s;

	if (!audit || peer->admin)
		return true;
	s = &audit->spenders[peer->cookie % SPENDERS];
	s->cookie = peer->cookie;
	if (s->lines++ < LINES_A_SECOND)
		return true;
	s->left_out++;
	return false;
}

static void put(struct audit *audit, const struct entry *e, uint32_t times, const char *reason)
{
	const struct subject *of = &e->subject;
	char pid[16], uid[16], netns[24], count[16] = "", subject[192];

	if (!audit_may(audit, &e->peer))
		return;
	snprintf(pid, sizeof(pid), "%d", (int)e->peer.pid);
	snprintf(uid, sizeof(uid), "%u", e->peer.uid);
	snprintf(netns, sizeof(netns), "%llu", (unsigned long long)e->peer.cookie);
	if (of->program)
		snprintf(subject, sizeof(subject), "program %u on %s", of->program, of->interface);
	else
		snprintf(subject, sizeof(subject), "%s%s%s", of->container,
			 *of->container ? "@" : "", of->interface);
	if (times)
		snprintf(count, sizeof(count), "%u", times);
	log_fields(LEVEL_INFO, "audit",
		   (struct log_field[]){
			   { "call", e->method->name },
			   { "result", e->denied ? "denied" : "granted" },
			   { "subject", subject },
			   { "peer", e->peer.admin ? "admin" : "pod" },
			   { "pid", pid },
			   { "uid", uid },
			   { "netns_cookie", netns },
			   { "again", count },
			   { "reason", reason },
		   },
		   9);
}

static void flush(struct audit *audit, struct entry *e)
{
	if (e->more)
		put(audit, e, e->more, NULL);
	e->more = 0;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	return (hash ^ value) * 0x9e3779b97f4a7c15; /* 2^64 by the golden ratio */
}

static struct entry *entry_of(struct audit *audit, const struct call *call)
{
	const struct subject *of = &call->subject;
	uint64_t hash =
		mix((uint64_t)call->method->call * 32 + (call->failed ? call->fault.code : 0),
		    (uint64_t)call->peer.pid);

	hash = mix(mix(hash, call->peer.cookie), of->program);
	for (const char *at = of->interface; *at; at++)
		hash = mix(hash, (uint8_t)*at);
	for (const char *at = of->container; *at; at++)
		hash = mix(hash, (uint8_t)*at);
	return &audit->entries[(hash >> 32) % ENTRIES];
}

static bool is_same(const struct entry *e, const struct call *call)
{
	const struct peer *a = &e->peer, *b = &call->peer;

	return e->method == call->method && a->pid == b->pid && a->uid == b->uid &&
	       a->cookie == b->cookie && a->admin == b->admin && e->denied == call->failed &&
	       (!call->failed || e->code == call->fault.code) &&
	       e->subject.program == call->subject.program &&
	       !strcmp(e->subject.interface, call->subject.interface) &&
	       !strcmp(e->subject.container, call->subject.container);
}

void audit_note(struct audit *audit, const struct call *call)
{
	struct entry *e;

	if (!call->method || !call->method->audit)
		return;
	if (call->failed)
		metrics_count(&call->core->metrics, TALLY_DENIED);
	if (!audit || !log_enabled(LEVEL_INFO))
		return;
	e = entry_of(audit, call);
	if (is_same(e, call)) {
		e->more++;
		return;
	}
	flush(audit, e);
	if (!e->method) {
		e->next = audit->used;
		audit->used = e;
	}
	e->method = call->method;
	e->peer = call->peer;
	e->denied = call->failed;
	e->code = call->fault.code;
	e->subject = call->subject;
	put(audit, e, 0, call->failed ? call->fault.text : NULL);
}

void audit_flush(struct audit *audit)
{
	/* Who has been silent for that long is forgotten: when he asks again, he gets a whole line.
	 */
	for (struct entry **at = &audit->used, *e; (e = *at);) {
		if (e->more) {
			flush(audit, e);
			at = &e->next;
		} else {
			e->method = NULL;
			*at = e->next;
		}
	}
	for (size_t i = 0; i < SPENDERS; i++) {
		struct spender *s = &audit->spenders[i];

		if (s->left_out)
			log_warning("network namespace %llu: %u more lines in this second are left "
				    "out",
				    (unsigned long long)s->cookie, s->left_out);
		*s = (struct spender){ 0 };
	}
}
