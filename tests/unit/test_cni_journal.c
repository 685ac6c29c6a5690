// SPDX-License-Identifier: Apache-2.0
/* What xskd-cni remembers, and who may work on it. */
#include "../support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal.h"

#define NAME "c1@net1"

static char top[64];
static struct journals all;
static struct fail why;

/* ---- a directory of the test's own ---- */

static int unlink_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int before(void **state)
{
	if (fds_before(state) < 0)
		return -1;
	snprintf(top, sizeof(top), "/tmp/xskd-journal-XXXXXX");
	why = (struct fail){ .code = 0 };
	all = JOURNALS_INIT;
	return mkdtemp(top) && journals_open(&all, top, &why) == 0 ? 0 : -1;
}

static int after(void **state)
{
	journals_done(&all);
	nftw(top, unlink_one, 8, FTW_DEPTH | FTW_PHYS);
	return fds_after(state);
}

#define journal_test(f) cmocka_unit_test_setup_teardown(f, before, after)

static const char *path_of(const char *place, const char *name)
{
	static char paths[2][256]; /* for calls that take two */
	static unsigned int last;
	char *path = paths[++last % 2];

	snprintf(path, sizeof(paths[0]), "%s/cni/%s%s", top, place, name);
	return path;
}

static bool is_there(const char *place, const char *name)
{
	return access(path_of(place, name), F_OK) == 0;
}

static void write_file(const char *place, const char *name, const char *text)
{
	FILE *file = fopen(path_of(place, name), "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0 && fclose(file) == 0);
}

static size_t count(const char *place)
{
	DIR *dir = opendir(path_of(place, ""));
	struct dirent *entry;
	size_t n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		n += entry->d_type == DT_REG;
	closedir(dir);
	return n;
}

static struct journal opened(const char *name)
{
	struct journal j = JOURNAL_INIT;

	assert_int_equal(journal_open_name(&j, &all, name, false, &why), 0);
	return j;
}

/* A new record of c1@net1, in memory. */
static struct journal begun(void)
{
	const struct env env = { .container = "c1",
				 .ifname = "net1",
				 .netns = "/run/netns/x",
				 .path = "/p",
				 .args = "A=b" };
	struct journal j = JOURNAL_INIT;
	json_t *json = json_pack("{s:s, s:s, s:{}, s:i}", "cniVersion", "1.0.0", "name", "net",
				 "prevResult", "cni.dev/x", 1);
	struct conf conf;

	assert_int_equal(conf_parse(json, VERB_ADD, &conf, &why), 0);
	assert_int_equal(journal_open(&j, &all, "c1", "net1", false, &why), 0);
	assert_null(j.json);
	assert_int_equal(journal_begin(&j, &env, &conf, &why), 0);
	conf_done(&conf);
	json_decref(json);
	return j;
}

/* ---- records ---- */

static void life(void **state)
{
	struct journal j = begun();
	const json_t *config;
	struct stat st;

	(void)state;
	assert_int_equal(j.place, JOURNAL_PENDING);
	assert_false(is_there("pending/", NAME)); /* not before it is written */
	assert_int_equal(journal_note(&j, "program", json_integer(7), &why), 0);
	assert_true(is_there("pending/", NAME));
	assert_int_equal(stat(path_of("pending/", NAME), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(path_of("", ""), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	journal_done(&j);

	j = opened(NAME);
	assert_int_equal(j.place, JOURNAL_PENDING);
	assert_string_equal(journal_text(&j, "container"), "c1");
	assert_string_equal(journal_text(&j, "ifname"), "net1");
	assert_string_equal(journal_text(&j, "netns"), "/run/netns/x");
	assert_string_equal(journal_text(&j, "path"), "/p");
	assert_string_equal(journal_text(&j, "args"), "A=b");
	assert_string_equal(journal_text(&j, "network"), "net");
	assert_int_equal(journal_number(&j, "program"), 7);
	assert_string_equal(journal_text(&j, "program"), "");
	assert_string_equal(journal_text(&j, "nothing"), "");
	assert_int_equal(journal_number(&j, "nothing"), 0);
	config = json_object_get(j.json, "config");
	assert_non_null(json_object_get(config, "cni.dev/x"));
	assert_null(json_object_get(config, "prevResult"));

	assert_int_equal(journal_move(&j, JOURNAL_ATTACHED, &why), 0);
	assert_false(is_there("pending/", NAME));
	assert_true(is_there("", NAME));
	assert_int_equal(journal_move(&j, JOURNAL_ATTACHED, &why), 0);
	journal_done(&j);
	j = opened(NAME);
	assert_int_equal(j.place, JOURNAL_ATTACHED);
	assert_int_equal(journal_note(&j, "more", json_true(), &why), 0);
	assert_int_equal(journal_move(&j, JOURNAL_PENDING, &why), 0);
	journal_remove(&j);
	assert_null(j.json);
	assert_false(is_there("", NAME) || is_there("pending/", NAME));
	journal_remove(&j); /* again */
	journal_done(&j);
	journal_done(&j);
	assert_int_equal(count("") + count("pending/") + count("lock/"), 0);
}

static void never_written(void **state)
{
	struct journal j = begun();

	(void)state;
	journal_remove(&j);
	journal_done(&j);
	j = begun();
	assert_int_equal(journal_move(&j, JOURNAL_ATTACHED, &why), -1);
	assert_int_equal(why.code, FAIL_IO);
	assert_int_equal(journal_set(&j, "x", NULL, &why), -1);
	journal_done(&j);
	assert_int_equal(count("lock/"), 0);
}

/* What cannot be written is said, and what was there stays. */
static void not_writable(void **state)
{
	struct journal j = begun();
	const struct env env = {
		.container = "c1", .ifname = "net1", .netns = "/run/\xff", .path = "", .args = ""
	};
	const struct conf conf = { .name = "net" };

	(void)state;
	assert_int_equal(journal_note(&j, "a", json_integer(1), &why), 0);
	assert_int_equal(mkdir(path_of("pending/", "." NAME), 0700), 0);
	assert_int_equal(journal_note(&j, "a", json_integer(2), &why), -1);
	assert_int_equal(why.code, FAIL_IO);
	assert_int_equal(rmdir(path_of("pending/", "." NAME)), 0);
	journal_done(&j);
	j = opened(NAME);
	assert_int_equal(journal_number(&j, "a"), 1);
	journal_remove(&j);
	assert_int_equal(journal_begin(&j, &env, &conf, &why), -1);
	assert_int_equal(why.code, FAIL_ENVIRONMENT);
	journal_done(&j);
}

static void damaged(void **state)
{
	static const char *const texts[] = {
		"", "{", "[]", "5", "{}", "{\"format\": 1}", "\xff\xfe", "{\"a\": 1, \"a\": 2}"
	};
	struct journal j;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		write_file("", NAME, texts[i]);
		write_file("pending/", NAME, texts[i]);
		j = opened(NAME);
		assert_null(j.json);
		assert_false(is_there("", NAME) || is_there("pending/", NAME));
		journal_done(&j);
	}
	/* A link is no record, whatever it leads to. */
	j = begun();
	assert_int_equal(journal_note(&j, "a", json_true(), &why), 0);
	journal_done(&j);
	assert_int_equal(rename(path_of("pending/", NAME), path_of("", "aside")), 0);
	assert_int_equal(symlink("../aside", path_of("pending/", NAME)), 0);
	j = opened(NAME);
	assert_null(j.json);
	assert_false(is_there("pending/", NAME));
	assert_true(is_there("", "aside"));
	journal_done(&j);
}

static void other_boot(void **state)
{
	struct journal j = begun();

	(void)state;
	assert_int_equal(journal_note(&j, "bootID", json_string("another"), &why), 0);
	journal_done(&j);
	j = opened(NAME);
	assert_null(j.json);
	journal_done(&j);
	assert_false(is_there("pending/", NAME));

	j = begun();
	assert_int_equal(journal_note(&j, "format", json_integer(2), &why), 0);
	journal_done(&j);
	j = opened(NAME);
	assert_null(j.json);
	journal_done(&j);
}

/* One that is damaged does not hide the good one. */
static void two_records(void **state)
{
	struct journal j = begun();

	(void)state;
	assert_int_equal(journal_write(&j, &why), 0);
	assert_int_equal(journal_move(&j, JOURNAL_ATTACHED, &why), 0);
	write_file("pending/", NAME, "{");
	journal_done(&j);
	j = opened(NAME);
	assert_non_null(j.json);
	assert_int_equal(j.place, JOURNAL_ATTACHED);
	assert_false(is_there("pending/", NAME));
	journal_done(&j);
}

/* What a killed writer has left beside the record goes with the next one who has the lock. */
static void aside(void **state)
{
	struct journal j;

	(void)state;
	write_file("pending/", "." NAME, "{");
	j = opened(NAME);
	assert_null(j.json);
	journal_remove(&j);
	journal_done(&j);
	assert_false(is_there("pending/", "." NAME));
}

/* ---- locks ---- */

static void locks(void **state)
{
	struct journal j = opened(NAME), other = JOURNAL_INIT, second = JOURNAL_INIT;

	(void)state;
	assert_true(is_cloexec(j.held.fd));
	assert_int_equal(journal_open_name(&second, &all, NAME, false, &why), -1);
	assert_int_equal(why.code, FAIL_TRY_AGAIN);
	assert_null(second.json);
	journal_done(&second); /* after a failure, too */
	assert_true(is_there("lock/", NAME));
	other = opened("c1@net2");
	journal_done(&other);
	journal_done(&j);
	assert_false(is_there("lock/", NAME));
	second = opened(NAME);
	journal_done(&second);
	assert_int_equal(count("lock/"), 0);
}

/* Many at once: never two have it, though each unlinks the file that it has locked. */
static void many(void **state)
{
	char counter[128];
	int left = 0;

	(void)state;
	snprintf(counter, sizeof(counter), "%s/counter", top);
	for (int child = 0; child < 4; child++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		for (int i = 0; !pid && i < 200; i++) {
			struct journal j = JOURNAL_INIT;

			if (journal_open(&j, &all, "c1", "net1", true, &why) < 0)
				_exit(1);
			if (mkdir(counter, 0700) < 0) /* somebody else is in here */
				_exit(2);
			rmdir(counter);
			journal_done(&j);
		}
		if (!pid)
			_exit(0);
	}
	for (int child = 0; child < 4; child++) {
		int status = -1;

		assert_true(wait(&status) > 0);
		left += status;
	}
	assert_int_equal(left, 0);
	assert_int_equal(count("lock/"), 0);
}

/* The lock ends with whoever held it, and what is left of it locks nobody out. */
static void killed(void **state)
{
	struct journal j;
	int status = 0;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (!pid) {
		j = opened(NAME);
		(void)!journal_note(&j, "x", json_true(), &why);
		_exit(0);
	}
	assert_true(waitpid(pid, &status, 0) == pid);
	assert_true(is_there("lock/", NAME));
	j = opened(NAME);
	journal_done(&j);
	assert_false(is_there("lock/", NAME));
}

static void claims(void **state)
{
	struct held held = HELD_NONE, again = HELD_NONE;

	(void)state;
	assert_int_equal(journals_claim(&all, "eth0", &held, &why), 0);
	assert_true(is_cloexec(held.fd));
	assert_int_equal(journals_claim(&all, "eth1", &again, &why), 0);
	held_drop(&again);
	held_drop(&again);
	held_drop(&held);
	assert_int_equal(journals_claim(&all, "eth0", &held, &why), 0);
	held_drop(&held);
	assert_int_equal(count("lock/"), 0);
}

/* ---- all of them ---- */

static bool tell(void *arg, const char *name)
{
	char *names = arg;

	strcat(names, name);
	return strlen(names) > 20;
}

static void each(void **state)
{
	char names[256] = "";

	(void)state;
	write_file("", "a@b", "");
	write_file("", ".c@d", "");
	write_file("", "e", "");
	assert_int_equal(journals_each(&all, JOURNAL_ATTACHED, tell, names), 0);
	assert_string_equal(names, "a@b");
	assert_int_equal(journals_each(&all, JOURNAL_PENDING, tell, names), 0);
	assert_string_equal(names, "a@b");
	write_file("", "12345678901@12345", "");
	write_file("", "12345678902@12345", "");
	assert_int_equal(journals_each(&all, JOURNAL_ATTACHED, tell, names), 0);
	assert_in_range(strlen(names), 20, 40); /* ended when told */
}

static void keys(void **state)
{
	static const char *const bad[] = { "", "@", "a@", "@b", "a", "a@b@c", ".a@b", "a@b/c" };
	char container[ENV_CONTAINER_MAX + IFNAMSIZ + 2], name[300];
	const char *ifname;

	(void)state;
	assert_true(journal_key("a.b@net1", container, &ifname));
	assert_string_equal(container, "a.b");
	assert_string_equal(ifname, "net1");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(journal_key(bad[i], container, &ifname));
	memset(name, 'x', sizeof(name));
	strcpy(name + ENV_CONTAINER_MAX, "@123456789012345");
	assert_true(journal_key(name, container, &ifname));
	assert_string_equal(ifname, "123456789012345");
	memset(name, 'x', sizeof(name));
	strcpy(name + 250, "@a");
	assert_false(journal_key(name, container, &ifname));
}

/* A directory that cannot be had. */
static void no_directory(void **state)
{
	struct journals other = JOURNALS_INIT;
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/a/b", top);
	assert_int_equal(journals_open(&other, path, &why), -1);
	assert_int_equal(why.code, FAIL_IO);
	journals_done(&other);
	snprintf(path, sizeof(path), "%s/a", top); /* is made */
	assert_int_equal(journals_open(&other, path, &why), 0);
	journals_done(&other);
	write_file("", "file", "");
	assert_int_equal(journals_open(&other, path_of("", "file"), &why), -1);
	journals_done(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		journal_test(life),    journal_test(never_written), journal_test(not_writable),
		journal_test(damaged), journal_test(other_boot),    journal_test(two_records),
		journal_test(aside),   journal_test(locks),         journal_test(many),
		journal_test(killed),  journal_test(claims),        journal_test(each),
		journal_test(keys),    journal_test(no_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
