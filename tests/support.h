/* SPDX-License-Identifier: Apache-2.0 */
/* What every cmocka test here shares. Include it instead of <cmocka.h>. */
#ifndef XSKD_TESTS_SUPPORT_H
#define XSKD_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A test that fails when it leaves an fd open that it did not find open, or closes one too many. */
#define fd_test(f) cmocka_unit_test_setup_teardown(f, fds_before, fds_after)

int fds_before(void **state);
int fds_after(void **state);

/* An fd that is no other's: of an empty memfd. */
int some_fd(void);

/* Whether @fd is open and close-on-exec. */
int is_cloexec(int fd);

/* Milliseconds of CLOCK_MONOTONIC. */
int64_t now_ms(void);

#endif
