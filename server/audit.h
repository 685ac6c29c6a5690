/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit trail: a line in the log for each descriptor that was granted or denied, and for each
 * change of programs and leases. A process that asks the same over and over gets one line at once,
 * and from then on one a second that says how many more there were: nothing is left out, and nobody
 * can flood the log.
 */
#ifndef XSKD_AUDIT_H
#define XSKD_AUDIT_H

#include "base.h"

struct audit;
struct call;
struct peer;

/* audit_new() - NULL: no memory. */
struct audit *audit_new(void) must_check;
void audit_free(struct audit *audit);

/* audit_note() - @call has ended. */
void audit_note(struct audit *audit, const struct call *call);

/*
 * audit_may() - whether a line about @peer may be written now. Of one namespace there are only so
 * many a second, or it could fill the disk, and have the reader of the log drop others' lines.
 */
bool audit_may(struct audit *audit, const struct peer *peer);

/* audit_flush() - write out what was only counted; once a second. */
void audit_flush(struct audit *audit);

#endif
