/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that a process has needed to start, and does not need to run. */
#ifndef XSKD_REST_H
#define XSKD_REST_H

/*
 * rest_begin() - give it back: free heap to the kernel, and of program and libraries the pages that
 * are in the page cache anyway. What is still needed of them comes back when it is touched, within
 * a microsecond each. Fails silently: nothing depends on it.
 */
void rest_begin(void);

#endif
