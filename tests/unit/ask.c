// SPDX-License-Identifier: Apache-2.0
#include "ask.h"

struct world w;

int begin_test(void **state)
{
	int err = fds_before(state);

	world_init(&w);
	return err;
}

int end_test(void **state)
{
	world_done(&w);
	return fds_after(state);
}

int code_of(struct answer a)
{
	int code = answer_code(&a);
	bool says_why = code == XSKD__CODE__OK || *answer_text(&a);

	answer_done(&a);
	assert_true(says_why);
	return code;
}

struct answer grant(int netns, const char *container, const char *interface, const char *device,
		    const uint32_t *queues, size_t n)
{
	Xskd__GrantLeaseRequest m = EMPTY(grant_lease_request);

	m.container = str(container);
	m.interface = str(interface);
	m.device = str(device);
	m.queues = (uint32_t *)(uintptr_t)queues;
	m.n_queues = n;
	m.netns_fd = 1;
	return ask(&w, &w.admin, CASE(GRANT_LEASE), &m, &netns, 1);
}

int grant_code(int netns, const char *container, const char *interface, const char *device,
	       const uint32_t *queues, size_t n)
{
	return code_of(grant(netns, container, interface, device, queues, n));
}

struct answer revoke_leases(const char *container, const char *interface)
{
	Xskd__RevokeLeaseRequest m = EMPTY(revoke_lease_request);

	m.container = str(container);
	m.interface = str(interface);
	return ask(&w, &w.admin, CASE(REVOKE_LEASE), &m, NULL, 0);
}

uint32_t revoked(const char *container, const char *interface)
{
	struct answer a = revoke_leases(container, interface);
	uint32_t n = a.m->revoke_lease->revoked;

	answer_done(&a);
	return n;
}

void init_handoff(Xskd__HandOffSocketRequest *m, const char *interface)
{
	xskd__hand_off_socket_request__init(m);
	m->interface = str(interface);
	m->umem_fd = 1;
}
