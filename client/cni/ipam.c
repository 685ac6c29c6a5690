// SPDX-License-Identifier: Apache-2.0
#include "ipam.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define ANSWER_MAX (1024 * 1024)

static int find(const char *type, const char *path, char *out, size_t size, struct fail *fail)
{
	for (const char *at = path; *at;) {
		size_t len = strcspn(at, ":");

		if (len && (size_t)snprintf(out, size, "%.*s/%s", (int)len, at, type) < size &&
		    access(out, X_OK) == 0)
			return 0;
		at += len + (at[len] == ':');
	}
	return fail_set(fail, FAIL_CONFIG,
			"IPAM plugin '%s' is not in CNI_PATH (%.256s): install it there", type,
			path);
}

/* ---- its environment ---- */

/* Ours, with the words of the attachment in place of those that we were given. */
static char **make_environment(enum verb verb, const struct env *env)
{
	const char *const words[][2] = {
		{ "CNI_COMMAND", env_verb(verb) }, { "CNI_CONTAINERID", env->container },
		{ "CNI_NETNS", env->netns },       { "CNI_IFNAME", env->ifname },
		{ "CNI_ARGS", env->args },         { "CNI_PATH", env->path },
	};
	size_t n = 0, used = 0;
	char **out;

	while (environ[n])
		n++;
	out = calloc(n + ARRAY_SIZE(words) + 1, sizeof(*out));
	for (size_t i = 0; out && i < n; i++) {
		if (strncmp(environ[i], "CNI_", 4) != 0 && (out[used] = strdup(environ[i])))
			used++;
	}
	for (size_t i = 0; out && i < ARRAY_SIZE(words); i++) {
		if (*words[i][1] && asprintf(&out[used], "%s=%s", words[i][0], words[i][1]) >= 0)
			used++;
	}
	if (out)
		out[used] = NULL;
	return out;
}

static void free_words(char ***words)
{
	for (char **at = *words; at && *at; at++)
		free(*at);
	free(*words);
}

/* ---- running it ---- */

/* Its stdin is a file in memory: with pipes both ends could wait for the other. */
static int make_stdin(const json_t *config)
{
	cleanup(close_fdp) int fd = memfd_create("cni-config", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (json_dumpfd(config, fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -EIO;
	return steal_fd(&fd);
}

static int spawn(const char *path, char **environment, int in, int out, int lock, pid_t *pid)
{
	char *const argv[] = { (char *)(uintptr_t)path, NULL };
	posix_spawn_file_actions_t actions;
	int err = posix_spawn_file_actions_init(&actions);

	if (err)
		return -err;
	err = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	if (!err)
		err = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	/* flock(2) is of the open file: it holds until the last copy of it is closed. */
	if (!err && lock >= 0)
		err = posix_spawn_file_actions_adddup2(&actions, lock, STDERR_FILENO + 1);
	if (!err)
		err = posix_spawn(pid, path, &actions, NULL, argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	return -err;
}

static int read_answer(int fd, char *buf, size_t size, size_t *out_len)
{
	ssize_t n;

	*out_len = 0;
	do {
		n = read(fd, buf + *out_len, size - *out_len);
		if (n > 0)
			*out_len += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

struct answer {
	bool failed;
	int status;   /* as waitpid(2) has it */
	json_t *json; /* NULL: it printed none */
};

static int run(const char *path, char **environment, const json_t *config, int lock,
	       struct answer *out)
{
	cleanup(freep) char *buf = malloc(ANSWER_MAX);
	cleanup(close_fdp) int in = make_stdin(config);
	int ends[2], err;
	size_t len = 0;
	pid_t pid;

	if (!buf || in < 0)
		return buf ? in : -ENOMEM;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	err = spawn(path, environment, in, ends[1], lock, &pid);
	close(ends[1]);
	if (!err) {
		err = read_answer(ends[0], buf, ANSWER_MAX, &len);
		if (!err && len == ANSWER_MAX)
			err = -EMSGSIZE;
		if (err <
		    0) /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): spawn() was good */
			kill(pid, SIGKILL);
		/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): likewise */
		while (waitpid(pid, &out->status, 0) < 0 && errno == EINTR)
			;
		out->failed = !WIFEXITED(out->status) || WEXITSTATUS(out->status) != 0;
		out->json = json_loadb(buf, len, 0, NULL);
	}
	close(ends[0]);
	return err;
}

/* ---- what it said ---- */

static int take_error(const char *type, enum verb verb, const struct answer *answer,
		      struct fail *fail)
{
	const json_t *code = json_object_get(answer->json, "code");
	const char *msg = json_string_value(json_object_get(answer->json, "msg"));
	const char *details = json_string_value(json_object_get(answer->json, "details"));

	if (!json_is_integer(code)) {
		bool killed = WIFSIGNALED(answer->status);

		return fail_set(fail, FAIL_IO,
				"IPAM plugin '%s' ended its %s with %s %d and without an error of "
				"the CNI specification",
				type, env_verb(verb), killed ? "signal" : "status",
				killed ? WTERMSIG(answer->status) : WEXITSTATUS(answer->status));
	}
	fail_set(fail, (int)json_integer_value(code), "IPAM plugin '%s': %s", type,
		 msg ? msg : "?");
	snprintf(fail->details, sizeof(fail->details), "%s", details ? details : "");
	if (fail->code <= 0) /* it failed all the same */
		fail->code = FAIL_IO;
	return -1;
}

static int run_once(const char *type, enum verb verb, const struct env *env, const json_t *config,
		    int lock, json_t **out_result, struct fail *fail)
{
	cleanup(free_words) char **environment = make_environment(verb, env);
	struct answer answer = { .failed = false };
	char path[PATH_MAX];
	int err;

	if (find(type, env->path, path, sizeof(path), fail) < 0)
		return -1;
	err = environment ? run(path, environment, config, lock, &answer) : -ENOMEM;
	if (err == -EMSGSIZE)
		fail_set(fail, FAIL_DECODE, "IPAM plugin '%s' answered with more than %d bytes",
			 type, ANSWER_MAX);
	else if (err < 0)
		fail_errno(fail, FAIL_IO, err, "cannot run the IPAM plugin '%s'", path);
	else if (answer.failed)
		err = take_error(type, verb, &answer, fail);
	else if (out_result && !answer.json)
		err = fail_set(fail, FAIL_DECODE, "IPAM plugin '%s' printed no result", type);
	if (!err && out_result) {
		*out_result = answer.json;
		answer.json = NULL;
	}
	json_decref(answer.json);
	return err < 0 ? -1 : 0;
}

static enum cni_version version_of(const json_t *config)
{
	const char *text = json_string_value(json_object_get(config, "cniVersion"));
	unsigned int v = CNI_VERSIONS;

	while (--v && (!text || strcmp(text, cni_versions[v]) != 0))
		;
	return (enum cni_version)v;
}

int ipam_run(const char *type, enum verb verb, const struct env *env, const json_t *config,
	     int lock, json_t **out_result, struct fail *fail)
{
	cleanup(json_decrefp) json_t *copy = json_copy((json_t *)(uintptr_t)config);
	enum cni_version version = version_of(config);

	while (run_once(type, verb, env, copy, lock, out_result, fail) < 0) {
		bool optional = verb == VERB_GC || verb == VERB_STATUS;

		/* Older ones look for a container before they look at the verb. */
		if (optional && (fail->code == FAIL_VERSION || fail->code == FAIL_CONTAINER ||
				 fail->code == FAIL_ENVIRONMENT)) {
			fail->code = 0;
			return 0;
		}
		if (fail->code != FAIL_VERSION || version == 0)
			return -1;
		version--;
		/* Results of these versions are alike but for what is new in each. */
		if (json_object_set_new(copy, "cniVersion", json_string(cni_versions[version])) < 0)
			return fail_errno(fail, FAIL_IO, -ENOMEM, "cannot run the IPAM plugin");
		fail->code = 0;
	}
	return 0;
}
