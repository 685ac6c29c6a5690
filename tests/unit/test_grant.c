// SPDX-License-Identifier: Apache-2.0
/* Who gets a lease, and what ends it. */
#include "ask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void a_lease_of_a_device_has_all_its_queues(void **state)
{
	struct answer a = grant(w.pod_a, "a", "eth0", "", NULL, 0);
	const Xskd__Lease *l = a.m->grant_lease->lease;

	(void)state;
	assert_int_equal(l->mode, XSKD__LEASE_MODE__LEASE_MODE_DEVICE);
	assert_true(l->all_queues);
	assert_int_equal(l->n_queues, 4);
	assert_int_equal(l->netns_cookie, w.a.cookie);
	assert_int_equal(l->ifindex, w.eth_a->dev.ifindex);
	assert_string_equal(l->device, "eth0");
	assert_int_equal(l->program_id, 0);
	assert_true(l->link_up);
	answer_done(&a);
}

static void a_lease_of_queues_is_of_the_hosts_device(void **state)
{
	struct answer a = grant(w.pod_b, "b", "net1", "host0", QUEUES(2, 3));
	const Xskd__Lease *l = a.m->grant_lease->lease;

	(void)state;
	assert_int_equal(l->mode, XSKD__LEASE_MODE__LEASE_MODE_QUEUE);
	assert_false(l->all_queues);
	assert_int_equal(l->n_queues, 2);
	assert_int_equal(l->netns_cookie, w.b.cookie);
	assert_int_equal(l->ifindex, w.host0->dev.ifindex);
	assert_string_equal(l->interface, "net1");
	assert_string_equal(l->device, "host0");
	answer_done(&a);
}

static uint64_t granted_id(struct answer a)
{
	uint64_t id = a.m->grant_lease ? a.m->grant_lease->lease->id : 0;

	answer_done(&a);
	return id;
}

static void granting_the_same_again_answers_with_the_same(void **state)
{
	uint64_t first = granted_id(grant(w.pod_b, "b", "net1", "host0", QUEUES(2, 3)));
	uint64_t whole = granted_id(grant(w.pod_a, "a", "eth0", "", NULL, 0));

	(void)state;
	assert_int_equal(granted_id(grant(w.pod_b, "b", "net1", "host0", QUEUES(2, 3))), first);
	assert_int_equal(granted_id(grant(w.pod_a, "a", "eth0", "", NULL, 0)), whole);
	assert_int_equal(granted_id(grant(w.pod_a, "a", "eth0", "", QUEUES(0, 1, 2, 3))), whole);
	assert_int_equal(w.core.leases.n, 2);
}

static void the_same_key_with_something_else_is_refused(void **state)
{
	(void)state;
	world_grant(&w, w.pod_b, "b", "net1", "host0", QUEUES(2, 3));
	assert_int_equal(grant_code(w.pod_b, "b", "net1", "host0", QUEUES(2)),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(grant_code(w.pod_b, "b", "net1", "host0", NULL, 0),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(grant_code(w.pod_b, "b", "net1", "host1", QUEUES(0)),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(grant_code(w.pod_a, "b", "net1", "host0", QUEUES(2, 3)),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(w.core.leases.n, 1);
}

static void an_interface_of_a_namespace_has_one_lease(void **state)
{
	(void)state;
	world_grant(&w, w.pod_a, "a", "eth0", NULL, NULL, 0);
	assert_int_equal(grant_code(w.pod_a, "other", "eth0", "", NULL, 0),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(grant_code(w.pod_a, "other", "eth0", "host0", QUEUES(0)),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(grant_code(w.pod_b, "other", "eth0", "", NULL, 0), XSKD__CODE__OK);
}

static void queues_do_not_overlap(void **state)
{
	(void)state;
	world_grant(&w, w.pod_b, "b", "net1", "host0", QUEUES(2, 3));
	assert_int_equal(grant_code(w.pod_a, "a", "net1", "host0", QUEUES(3, 4)),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(grant_code(w.pod_a, "a", "net1", "host0", NULL, 0),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(grant_code(w.pod_a, "a", "net1", "host0", QUEUES(0, 1, 4)),
			 XSKD__CODE__OK);
	assert_int_equal(grant_code(w.pod_a, "a", "net2", "host0", QUEUES(5, 8)),
			 XSKD__CODE__INVALID_ARGUMENT); /* 0 to 7 */
	assert_int_equal(grant_code(w.pod_a, "a", "net2", "host0", QUEUES(5, 7)), XSKD__CODE__OK);
}

static void queues_are_named_in_order_and_once(void **state)
{
	(void)state;
	assert_int_equal(grant_code(w.pod_b, "b", "net1", "host0", QUEUES(3, 2)),
			 XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(grant_code(w.pod_b, "b", "net1", "host0", QUEUES(2, 2)),
			 XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(w.core.leases.n, 0);
}

static struct answer grant_count(int netns, const char *container, const char *device,
				 uint32_t count)
{
	Xskd__GrantLeaseRequest m = EMPTY(grant_lease_request);

	m.container = str(container);
	m.interface = str("net1");
	m.device = str(device);
	m.netns_fd = 1;
	m.queue_count = count;
	return ask(&w, &w.admin, CASE(GRANT_LEASE), &m, &netns, 1);
}

/* Which queues a container got, as "1 2"; freed by the caller. */
static char *chosen(int netns, const char *container, const char *device, uint32_t count)
{
	struct answer a = grant_count(netns, container, device, count);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	for (size_t i = 0; a.m->grant_lease && i < a.m->grant_lease->lease->n_queues; i++)
		fprintf(out, "%s%u", i ? " " : "", a.m->grant_lease->lease->queues[i]);
	fclose(out);
	answer_done(&a);
	return text;
}

static void assert_chosen(int netns, const char *container, const char *device, uint32_t count,
			  const char *queues)
{
	cleanup(freep) char *text = chosen(netns, container, device, count);

	assert_string_equal(text, queues);
}

static void the_lowest_free_queues_are_chosen_and_0_last(void **state)
{
	int third = fake_netns_new();

	(void)state;
	assert_chosen(w.pod_a, "a", "host0", 2, "1 2");
	world_grant(&w, w.pod_b, "b", "eth7", "host0", QUEUES(4));
	assert_chosen(w.pod_b, "b", "host0", 3, "3 5 6");
	assert_chosen(third, "c", "host0", 2, "0 7");
	assert_int_equal(revoked("c", ""), 1);
	assert_chosen(third, "c", "host0", 1, "7");
}

static void all_may_be_chosen(void **state)
{
	struct answer a = grant_count(w.pod_b, "b", "host1", 1);

	(void)state;
	assert_int_equal(a.m->grant_lease->lease->queues[0], 0);
	assert_true(a.m->grant_lease->lease->all_queues);
	answer_done(&a);
	assert_chosen(w.pod_a, "a", "host0", 8, "0 1 2 3 4 5 6 7");
}

static void too_few_free_queues_are_counted(void **state)
{
	struct answer a;

	(void)state;
	world_grant(&w, w.pod_a, "a", "net1", "host0", QUEUES(0, 1, 2, 3, 4, 6));
	a = grant_count(w.pod_b, "b", "host0", 3);
	assert_int_equal(answer_code(&a), XSKD__CODE__RESOURCE_EXHAUSTED);
	assert_non_null(strstr(answer_text(&a), "2 of the 8 queues of 'host0' are free, not 3"));
	assert_non_null(strstr(answer_text(&a), "xskctl lease list"));
	answer_done(&a);
	assert_int_equal(w.core.leases.n, 1);
	assert_chosen(w.pod_b, "b", "host0", 2, "5 7");
}

static void as_many_queues_again_are_the_same_lease(void **state)
{
	uint64_t first = granted_id(grant_count(w.pod_b, "b", "host0", 2));

	(void)state;
	assert_int_not_equal(first, 0);
	assert_int_equal(granted_id(grant_count(w.pod_b, "b", "host0", 2)), first);
	assert_int_equal(granted_id(grant(w.pod_b, "b", "net1", "host0", QUEUES(1, 2))), first);
	assert_int_equal(code_of(grant_count(w.pod_b, "b", "host0", 3)),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(code_of(grant_count(w.pod_b, "b", "host1", 2)),
			 XSKD__CODE__ALREADY_EXISTS);
	assert_int_equal(w.core.leases.n, 1);
}

static void queues_are_named_or_counted(void **state)
{
	Xskd__GrantLeaseRequest m = EMPTY(grant_lease_request);
	uint32_t queues[] = { 1 };

	(void)state;
	m.container = str("b");
	m.interface = str("net1");
	m.device = str("host0");
	m.netns_fd = 1;
	m.queues = queues;
	m.n_queues = 1;
	m.queue_count = 1;
	assert_int_equal(code_of(ask(&w, &w.admin, CASE(GRANT_LEASE), &m, &w.pod_b, 1)),
			 XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(code_of(grant_count(w.pod_b, "b", "host0", 1025)),
			 XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(code_of(grant_count(w.pod_b, "b", "host0", UINT32_MAX)),
			 XSKD__CODE__INVALID_ARGUMENT);
	assert_int_equal(code_of(grant_count(w.pod_b, "b", "host0", 1024)),
			 XSKD__CODE__RESOURCE_EXHAUSTED);
}

/* In device mode, too: the rest of the device is nobody's. */
static void queues_of_a_pods_own_device_are_counted(void **state)
{
	Xskd__GrantLeaseRequest m = EMPTY(grant_lease_request);
	struct answer a;

	(void)state;
	m.container = str("a");
	m.interface = str("eth0");
	m.netns_fd = 1;
	m.queue_count = 3;
	a = ask(&w, &w.admin, CASE(GRANT_LEASE), &m, &w.pod_a, 1);
	assert_int_equal(a.m->grant_lease->lease->n_queues, 3);
	assert_int_equal(a.m->grant_lease->lease->queues[0], 1);
	assert_false(a.m->grant_lease->lease->all_queues);
	answer_done(&a);
}

static void there_is_no_lease_for_the_hosts_namespace(void **state)
{
	Xskd__GrantLeaseRequest m = EMPTY(grant_lease_request);

	(void)state;
	assert_int_equal(grant_code(fake_netns_home(), "h", "host0", "", NULL, 0),
			 XSKD__CODE__INVALID_ARGUMENT);
	m.container = str("h");
	m.interface = str("host0");
	assert_int_equal(code_of(ask(&w, &w.admin, CASE(GRANT_LEASE), &m, NULL, 0)),
			 XSKD__CODE__INVALID_ARGUMENT);
}

static void there_is_no_lease_of_a_device_that_is_not_there(void **state)
{
	(void)state;
	assert_int_equal(grant_code(w.pod_a, "a", "eth7", "", NULL, 0), XSKD__CODE__NOT_FOUND);
	assert_int_equal(grant_code(w.pod_a, "a", "net1", "host7", NULL, 0), XSKD__CODE__NOT_FOUND);
	assert_int_equal(w.core.leases.n, 0);
}

static void labels_have_bounds(void **state)
{
	Xskd__GrantLeaseRequest__LabelsEntry entries[17], *list[17];
	Xskd__GrantLeaseRequest m = EMPTY(grant_lease_request);
	char longest[258];
	struct answer a;

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[257] = '\0';
	m.container = str("a");
	m.interface = str("eth0");
	m.netns_fd = 1;
	m.labels = list;
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		xskd__grant_lease_request__labels_entry__init(&entries[i]);
		entries[i].key = entries[i].value = longest + 1;
		list[i] = &entries[i];
	}
	m.n_labels = 17;
	assert_int_equal(code_of(ask(&w, &w.admin, CASE(GRANT_LEASE), &m, &w.pod_a, 1)),
			 XSKD__CODE__INVALID_ARGUMENT);
	m.n_labels = 16;
	entries[3].value = longest;
	assert_int_equal(code_of(ask(&w, &w.admin, CASE(GRANT_LEASE), &m, &w.pod_a, 1)),
			 XSKD__CODE__INVALID_ARGUMENT);
	entries[3].value = str("");
	entries[3].key = str("");
	assert_int_equal(code_of(ask(&w, &w.admin, CASE(GRANT_LEASE), &m, &w.pod_a, 1)),
			 XSKD__CODE__INVALID_ARGUMENT);
	entries[3].key = str("pod");
	a = ask(&w, &w.admin, CASE(GRANT_LEASE), &m, &w.pod_a, 1);
	assert_int_equal(a.m->grant_lease->lease->n_labels, 16);
	assert_string_equal(a.m->grant_lease->lease->labels[3]->key, "pod");
	answer_done(&a);
}

static void revoking_takes_what_is_named_and_no_more(void **state)
{
	(void)state;
	world_grant(&w, w.pod_a, "a", "eth0", NULL, NULL, 0);
	world_grant(&w, w.pod_a, "a", "net1", "host0", QUEUES(0));
	world_grant(&w, w.pod_a, "a", "net2", "host0", QUEUES(1));
	world_grant(&w, w.pod_b, "b", "net1", "host0", QUEUES(2));
	assert_int_equal(revoked("a", "net1"), 1);
	assert_int_equal(revoked("a", "net1"), 0);
	assert_int_equal(revoked("nobody", ""), 0);
	assert_int_equal(revoked("a", ""), 2);
	assert_int_equal(w.core.leases.n, 1);
	assert_int_equal(w.core.leases_by_netns.n, 1);
}

static void what_was_revoked_can_be_granted_again(void **state)
{
	(void)state;
	world_grant(&w, w.pod_b, "b", "net1", "host0", QUEUES(2, 3));
	assert_int_equal(revoked("b", ""), 1);
	assert_int_equal(grant_code(w.pod_a, "a", "net1", "host0", QUEUES(3)), XSKD__CODE__OK);
}

static void leases_survive_the_daemon(void **state)
{
	char *before, *after;

	(void)state;
	world_pods(&w);
	before = world_print(&w);
	world_restart(&w);
	after = world_print(&w);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_lease_of_a_device_has_all_its_queues),
		world_test(a_lease_of_queues_is_of_the_hosts_device),
		world_test(granting_the_same_again_answers_with_the_same),
		world_test(the_same_key_with_something_else_is_refused),
		world_test(an_interface_of_a_namespace_has_one_lease),
		world_test(queues_do_not_overlap),
		world_test(queues_are_named_in_order_and_once),
		world_test(the_lowest_free_queues_are_chosen_and_0_last),
		world_test(all_may_be_chosen),
		world_test(too_few_free_queues_are_counted),
		world_test(as_many_queues_again_are_the_same_lease),
		world_test(queues_are_named_or_counted),
		world_test(queues_of_a_pods_own_device_are_counted),
		world_test(there_is_no_lease_for_the_hosts_namespace),
		world_test(there_is_no_lease_of_a_device_that_is_not_there),
		world_test(labels_have_bounds),
		world_test(revoking_takes_what_is_named_and_no_more),
		world_test(what_was_revoked_can_be_granted_again),
		world_test(leases_survive_the_daemon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
