/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of policy ask the core for, in a word each. */
#ifndef XSKD_TESTS_ASK_H
#define XSKD_TESTS_ASK_H

#include "support.h"

#include "world.h"

#define CASE(name) XSKD__REQUEST__CALL_##name
#define QUEUES(...) \
	(const uint32_t[]){ __VA_ARGS__ }, ARRAY_SIZE(((const uint32_t[]){ __VA_ARGS__ }))

/* The world of the test that runs: new for each. */
extern struct world w;

int begin_test(void **state);
int end_test(void **state);

#define world_test(f) cmocka_unit_test_setup_teardown(f, begin_test, end_test)

/* The code of an answer that is not looked at further; where it is an error, it says why. */
int code_of(struct answer a);

struct answer grant(int netns, const char *container, const char *interface, const char *device,
		    const uint32_t *queues, size_t n);

int grant_code(int netns, const char *container, const char *interface, const char *device,
	       const uint32_t *queues, size_t n);

struct answer revoke_leases(const char *container, const char *interface);

uint32_t revoked(const char *container, const char *interface);

void init_handoff(Xskd__HandOffSocketRequest *m, const char *interface);

#endif
