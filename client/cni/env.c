// SPDX-License-Identifier: Apache-2.0
#include "env.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define ARGS_MAX  8192
#define PATHS_MAX 8192

static const char *const verbs[] = { "ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION" };

const char *env_verb(enum verb verb)
{
	return verbs[verb];
}

/* The specification's pattern, and short enough for a lease. */
bool env_is_container(const char *word)
{
	size_t len = strnlen(word, ENV_CONTAINER_MAX + 1);

	if (!len || len > ENV_CONTAINER_MAX || !isalnum((unsigned char)word[0]))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)word[i]) && !strchr("_.-", word[i]))
			return false;
	}
	return true;
}

/* As dev_valid_name() of net/core/dev.c, and nothing that would need quoting in a file name. */
bool env_is_ifname(const char *word)
{
	size_t len = strnlen(word, IFNAMSIZ);

	if (!len || len >= IFNAMSIZ || !strcmp(word, ".") || !strcmp(word, ".."))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isgraph((unsigned char)word[i]) || strchr("/:@%\"'\\", word[i]))
			return false;
	}
	return true;
}

static int read_verb(struct env *env, struct fail *fail)
{
	const char *word = getenv("CNI_COMMAND");

	if (!word)
		word = "";
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (!strcmp(word, verbs[i])) {
			env->verb = (enum verb)i;
			return 0;
		}
	}
	return fail_set(fail, FAIL_ENVIRONMENT, "unknown CNI_COMMAND: '%.32s'", word);
}

static int read_word(const char *name, size_t max, const char **out, struct fail *fail)
{
	const char *word = getenv(name);
	size_t len = word ? strlen(word) : 0;

	*out = word ? word : "";
	if (len > max)
		return fail_set(fail, FAIL_ENVIRONMENT, "%s has %zu bytes, more than %zu", name,
				len, max);
	for (size_t i = 0; i < len; i++) {
		if (iscntrl((unsigned char)word[i]))
			return fail_set(fail, FAIL_ENVIRONMENT, "%s has control characters", name);
	}
	return 0;
}

/* All that are missing are named at once. */
static int missing(const struct env *env, struct fail *fail)
{
	const struct {
		const char *name, *value;
		bool needed;
	} words[] = {
		{ "CNI_CONTAINERID", env->container, env->verb <= VERB_CHECK },
		{ "CNI_NETNS", env->netns, env->verb == VERB_ADD || env->verb == VERB_CHECK },
		{ "CNI_IFNAME", env->ifname, env->verb <= VERB_CHECK },
		{ "CNI_PATH", env->path, env->verb == VERB_GC },
	};
	char names[128] = "";

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (words[i].needed && !*words[i].value) {
			size_t used = strlen(names);

			snprintf(names + used, sizeof(names) - used, "%s%s", used ? ", " : "",
				 words[i].name);
		}
	}
	if (!*names)
		return 0;
	return fail_set(fail, FAIL_ENVIRONMENT, "%s needs %s in the environment",
			env_verb(env->verb), names);
}

static int take_arg(struct env *env, const char *key, size_t key_len, const char *value, size_t len,
		    struct fail *fail)
{
	const struct {
		const char *key;
		char *to;
		size_t size;
	} known[] = {
		{ "K8S_POD_NAME", env->pod, sizeof(env->pod) },
		{ "K8S_POD_NAMESPACE", env->namespace, sizeof(env->namespace) },
		{ "K8S_POD_UID", env->uid, sizeof(env->uid) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strlen(known[i].key) != key_len || memcmp(key, known[i].key, key_len) != 0)
			continue;
		if (len >= known[i].size)
			return fail_set(fail, FAIL_ENVIRONMENT,
					"CNI_ARGS: %s has %zu bytes, more than %zu", known[i].key,
					len, known[i].size - 1);
		memcpy(known[i].to, value, len);
		known[i].to[len] = '\0';
	}
	return 0;
}

/* KEY=VALUE;KEY=VALUE. What is not known is for other plugins. */
int env_args(struct env *env, struct fail *fail)
{
	for (const char *at = env->args; *at;) {
		size_t len = strcspn(at, ";");
		const char *equals = memchr(at, '=', len);

		if (len && (!equals || equals == at))
			return fail_set(fail, FAIL_ENVIRONMENT, "CNI_ARGS: '%.*s' is no KEY=VALUE",
					len > 64 ? 64 : (int)len, at);
		if (len && take_arg(env, at, (size_t)(equals - at), equals + 1,
				    (size_t)(at + len - equals - 1), fail) < 0)
			return -1;
		at += len + (at[len] == ';');
	}
	return 0;
}

int env_read(struct env *env, struct fail *fail)
{
	*env = (struct env){ .container = "", .netns = "", .ifname = "", .args = "", .path = "" };
	/* A probe for versions comes with whatever the runtime has at hand. */
	if (read_verb(env, fail) < 0)
		return -1;
	if (env->verb == VERB_VERSION)
		return 0;
	if (read_word("CNI_CONTAINERID", ENV_CONTAINER_MAX, &env->container, fail) < 0 ||
	    read_word("CNI_NETNS", PATH_MAX - 1, &env->netns, fail) < 0 ||
	    read_word("CNI_IFNAME", IFNAMSIZ - 1, &env->ifname, fail) < 0 ||
	    read_word("CNI_ARGS", ARGS_MAX, &env->args, fail) < 0 ||
	    read_word("CNI_PATH", PATHS_MAX, &env->path, fail) < 0 || missing(env, fail) < 0)
		return -1;
	if (env->verb > VERB_CHECK)
		return 0;
	if (!env_is_container(env->container))
		return fail_set(fail, FAIL_ENVIRONMENT,
				"CNI_CONTAINERID '%.128s' is no container id: a letter or digit, "
				"then those, '_', '.' and '-'",
				env->container);
	if (!env_is_ifname(env->ifname))
		return fail_set(
			fail, FAIL_ENVIRONMENT,
			"CNI_IFNAME '%.15s' is no name of an interface: 1 to 15 characters, "
			"without '/', ':', '@', '%%', quotes and blanks",
			env->ifname);
	return env_args(env, fail);
}
