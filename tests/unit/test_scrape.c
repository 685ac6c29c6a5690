// SPDX-License-Identifier: Apache-2.0
/* The text of the metrics: its format, sums of what comes and goes, and that it cannot grow. */
#include "ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expose.h"
#include "scrape.h"

static char *text; /* of the last scrape(), or of expose() */
static size_t len;

static int begin_scrape(void **state)
{
	text = NULL;
	return begin_test(state);
}

static int end_scrape(void **state)
{
	free(text);
	return end_test(state);
}

#define scrape_test(f) cmocka_unit_test_setup_teardown(f, begin_scrape, end_scrape)

/* ---- the format ---- */

static const char *sample(const struct label *labels, uint64_t value)
{
	FILE *out;

	free(text);
	out = open_memstream(&text, &len);
	expose_count(out, "x", labels, value);
	fclose(out);
	return text;
}

static void samples_have_the_form_of_prometheus(void **state)
{
	(void)state;
	assert_string_equal(sample(NULL, 0), "x 0\n");
	assert_string_equal(sample(NULL, UINT64_MAX), "x 18446744073709551615\n");
	assert_string_equal(sample(LABELS({ LABEL_QUEUE, "7" }), 1), "x{queue=\"7\"} 1\n");
	assert_string_equal(sample(LABELS({ LABEL_DEVICE, "eth0" }, { LABEL_QUEUE, "" }), 1),
			    "x{device=\"eth0\",queue=\"\"} 1\n");
}

static void what_would_end_a_value_is_escaped(void **state)
{
	(void)state;
	assert_string_equal(sample(LABELS({ LABEL_DEVICE, "a\"b\\c\nd" }), 1),
			    "x{device=\"a\\\"b\\\\c\\nd\"} 1\n");
	/* A name in Latin-1 would make the whole text invalid. */
	assert_string_equal(sample(LABELS({ LABEL_DEVICE, "\xe4\xff" }), 1),
			    "x{device=\"??\"} 1\n");
}

/* ---- sums of what comes and goes ---- */

static void what_is_new_is_added(void **state)
{
	struct seen seen = { 0 };
	uint64_t total[1] = { 100 };

	(void)state;
	seen_add(&seen, (uint64_t[]){ 5 }, total, 1, false);
	assert_int_equal(total[0], 105);
	seen_add(&seen, (uint64_t[]){ 5 }, total, 1, false);
	assert_int_equal(total[0], 105);
	seen_add(&seen, (uint64_t[]){ 9 }, total, 1, false);
	assert_int_equal(total[0], 109);
}

static void what_an_earlier_daemon_counted_is_not(void **state)
{
	struct seen seen = { 0 };
	uint64_t total[1] = { 0 };

	(void)state;
	seen_add(&seen, (uint64_t[]){ 1000000 }, total, 1, true);
	assert_int_equal(total[0], 0);
	seen_add(&seen, (uint64_t[]){ 1000003 }, total, 1, true);
	assert_int_equal(total[0], 3);
}

static void a_counter_that_fell_began_anew(void **state)
{
	struct seen seen = { 0 };
	uint64_t total[1] = { 0 };

	(void)state;
	seen_add(&seen, (uint64_t[]){ 50 }, total, 1, false);
	seen_add(&seen, (uint64_t[]){ 2 }, total, 1, false);
	assert_int_equal(total[0], 52);
}

/* ---- the whole ---- */

static const char *scrape(void)
{
	struct self self = SELF_INIT;
	struct scrape *s = scrape_new(&w.core, &self, 3, 4);

	assert_non_null(s);
	scrape_read(s);
	scrape_note(&w.core, s);
	free(text);
	text = s->text;
	s->text = NULL;
	scrape_free(s);
	assert_non_null(text);
	return text;
}

static size_t count_lines(const char *of)
{
	size_t n = 0;

	for (; *of; of++)
		n += *of == '\n';
	return n;
}

#define has(line)    assert_non_null(strstr(text, "\n" line "\n"))
#define lacks(words) assert_null(strstr(text, words))

static void gauges_tell_what_there_is(void **state)
{
	(void)state;
	assert_int_equal(grant_code(w.pod_a, "pod-a", "eth0", "", NULL, 0), XSKD__CODE__OK);
	assert_int_equal(grant_code(w.pod_b, "pod-b", "net1", "host0", QUEUES(2, 3)),
			 XSKD__CODE__OK);
	scrape();
	has("xskd_leases{mode=\"device\"} 1");
	has("xskd_leases{mode=\"queue\"} 1");
	has("xskd_leased_queues 6");
	has("xskd_connections{socket=\"admin\"} 3");
	has("xskd_connections{socket=\"pod\"} 4");
	has("xskd_limit{limit=\"calls_in_flight\"} 4");
	has("xskd_calls_total{method=\"GrantLease\",code=\"OK\"} 2");
	has("xskd_calls_total{method=\"GrantLease\",code=\"NOT_FOUND\"} 0");
	has("xskd_call_duration_seconds_bucket{method=\"GrantLease\",le=\"+Inf\"} 2");
	has("xskd_call_duration_seconds_count{method=\"GrantLease\"} 2");
}

/* Times of 20 us, 20 us, 3 ms and a minute. */
static void buckets_are_cumulative(void **state)
{
	struct method_metrics *m = &w.core.metrics.methods[CASE(GET_XSK_MAP)];

	(void)state;
	m->calls[XSKD__CODE__OK] = 3;
	m->calls[XSKD__CODE__UNAVAILABLE] = 1;
	m->within[1] = 2;
	m->within[8] = 1;
	m->ns = 60003040000;
	scrape();
	has("xskd_call_duration_seconds_bucket{method=\"GetXskMap\",le=\"1e-05\"} 0");
	has("xskd_call_duration_seconds_bucket{method=\"GetXskMap\",le=\"2.5e-05\"} 2");
	has("xskd_call_duration_seconds_bucket{method=\"GetXskMap\",le=\"0.0025\"} 2");
	has("xskd_call_duration_seconds_bucket{method=\"GetXskMap\",le=\"0.005\"} 3");
	has("xskd_call_duration_seconds_bucket{method=\"GetXskMap\",le=\"5\"} 3");
	has("xskd_call_duration_seconds_bucket{method=\"GetXskMap\",le=\"+Inf\"} 4");
	has("xskd_call_duration_seconds_sum{method=\"GetXskMap\"} 60.00304");
	has("xskd_call_duration_seconds_count{method=\"GetXskMap\"} 4");
}

/* The fake's counters: redirected 1000 and the queue's number, passed 2000 and that. */
static void programs_are_told_by_queue_on_the_host_and_as_a_sum_in_pods(void **state)
{
	(void)state;
	world_load(&w, fake_netns_home(), "host1");
	world_load(&w, w.pod_a, "eth0");
	world_load(&w, w.pod_b, "eth0");
	scrape();
	has("xskd_queue_redirected_packets_total{device=\"host1\",queue=\"0\"} 1000");
	has("xskd_queue_passed_packets_total{device=\"host1\",queue=\"0\"} 2000");
	lacks("device=\"eth0\"");
	has("xskd_pod_redirected_packets_total 6007");
	has("xskd_pod_passed_packets_total 12007");
	scrape();
	has("xskd_pod_redirected_packets_total 6007");
}

static void a_restart_does_not_count_again(void **state)
{
	(void)state;
	world_load(&w, w.pod_a, "eth0");
	world_restart(&w);
	w.core.started_at++; /* the program was loaded in an earlier second */
	scrape();
	has("xskd_pod_redirected_packets_total 0");
	has("xskd_reconciled_total{what=\"program_restored\"} 1");
}

/* Pods come and go, and nothing of them is a label: the text has as many lines as without any. */
static void pods_make_no_series(void **state)
{
	char name[32];
	size_t before;

	(void)state;
	scrape();
	before = count_lines(text);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "container-%d", i);
		assert_int_equal(grant_code(w.pod_a, name, "eth0", "", NULL, 0), XSKD__CODE__OK);
		assert_int_equal(revoked(name, ""), 1);
	}
	assert_int_equal(grant_code(w.pod_a, "container-x", "eth0", "", NULL, 0), XSKD__CODE__OK);
	world_load(&w, w.pod_a, "eth0");
	scrape();
	lacks("container-");
	lacks("eth0");
	assert_int_equal(count_lines(text), before);
}

static void every_family_has_a_help_and_a_type_once(void **state)
{
	char *line, *rest;
	char help[128] = "", family[128] = "";

	(void)state;
	scrape();
	rest = text;
	while ((line = strsep(&rest, "\n")) && *line) {
		if (sscanf(line, "# HELP %127s", help) == 1)
			continue;
		if (sscanf(line, "# TYPE %127s", family) == 1)
			assert_string_equal(help, family);
		else
			assert_memory_equal(line, family, strlen(family));
	}
	assert_non_null(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scrape_test(samples_have_the_form_of_prometheus),
		scrape_test(what_would_end_a_value_is_escaped),
		scrape_test(what_is_new_is_added),
		scrape_test(what_an_earlier_daemon_counted_is_not),
		scrape_test(a_counter_that_fell_began_anew),
		scrape_test(gauges_tell_what_there_is),
		scrape_test(buckets_are_cumulative),
		scrape_test(programs_are_told_by_queue_on_the_host_and_as_a_sum_in_pods),
		scrape_test(a_restart_does_not_count_again),
		scrape_test(pods_make_no_series),
		scrape_test(every_family_has_a_help_and_a_type_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
