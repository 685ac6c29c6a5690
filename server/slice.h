/* SPDX-License-Identifier: Apache-2.0 */
/* How long the scheduler lets a thread run at a time, and so how soon it comes when it wakes up. */
#ifndef XSKD_SLICE_H
#define XSKD_SLICE_H

/*
 * slice_short() - for the calling thread, which is never busy for long: it is put before threads of
 * the same priority that are, and gets no more of the CPU than they do. Threads that it makes later
 * inherit it. From Linux 6.12 on; before, this changes nothing.
 */
void slice_short(void);

/* slice_long() - for one that is busy to no purpose: whoever wakes up comes before it at once. */
void slice_long(void);

#endif
