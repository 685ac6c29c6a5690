// SPDX-License-Identifier: Apache-2.0
/* The CNI plugin: installed, configured, and what killed runs of it have left. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "doctor.h"

#define PLUGIN          "xskd-cni"
#define CONF_DIR        "/etc/cni/net.d"
#define PENDING_SECONDS 60 /* an ADD takes less */

/* Where runtimes look, by default, and where Debian's packages put theirs. */
static const char *const bin_dirs[] = { "/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni" };

static bool find_plugin(struct doctor *d, char out[PATH_MAX])
{
	if (d->cni_bin_dir) {
		snprintf(out, PATH_MAX, "%s/" PLUGIN, d->cni_bin_dir);
		return access(out, X_OK) == 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(bin_dirs); i++) {
		snprintf(out, PATH_MAX, "%s/" PLUGIN, bin_dirs[i]);
		if (access(out, X_OK) == 0)
			return true;
	}
	return false;
}

/* ---- configurations ---- */

static bool is_ours(const json_t *conf)
{
	const json_t *plugins = json_object_get(conf, "plugins");
	const char *type = json_string_value(json_object_get(conf, "type"));

	for (size_t i = 0; !type && i < json_array_size(plugins); i++) {
		const char *t =
			json_string_value(json_object_get(json_array_get(plugins, i), "type"));

		if (t && !strcmp(t, PLUGIN))
			type = t;
	}
	return type && !strcmp(type, PLUGIN);
}

static bool is_conf(const char *name)
{
	const char *end = strrchr(name, '.');

	return end && (!strcmp(end, ".conflist") || !strcmp(end, ".conf") || !strcmp(end, ".json"));
}

static void judge_conf(struct doctor *d, const char *path, unsigned int *ours)
{
	json_error_t error;
	cleanup(json_decrefp) json_t *conf = json_load_file(path, JSON_REJECT_DUPLICATES, &error);

	if (!conf) {
		doctor_find(d, DOCTOR_WARNING, "cni.configuration", path,
			    "is no JSON: line %d: %s; the runtime takes another network, or none",
			    error.line, error.text);
		doctor_advise(d, "Mend it; xskd-cni(8) has examples.");
	} else if (is_ours(conf)) {
		doctor_find(d, DOCTOR_OK, "cni.configuration", path, "has a network of " PLUGIN);
		++*ours;
	}
}

static unsigned int judge_confs(struct doctor *d)
{
	const char *dir_name = d->cni_conf_dir ? d->cni_conf_dir : CONF_DIR;
	unsigned int ours = 0;
	struct dirent **entries;
	int n = scandir(dir_name, &entries, NULL, alphasort);

	if (n < 0 && errno != ENOENT)
		doctor_blind(d, "cni.configuration", dir_name, -errno);
	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/%s", dir_name, entries[i]->d_name);
		if (is_conf(path))
			judge_conf(d, path, &ours);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return ours;
}

/* ---- attachments ---- */

static void judge_pending(struct doctor *d)
{
	char dir_name[PATH_MAX];
	unsigned int n = 0;
	struct dirent *entry;
	DIR *dir;

	snprintf(dir_name, sizeof(dir_name), "%s/cni/pending", d->run_dir);
	dir = opendir(dir_name);
	if (!dir) {
		if (errno != ENOENT)
			doctor_blind(d, "cni.pending", dir_name, -errno);
		return;
	}
	while ((entry = readdir(dir))) {
		struct stat st;

		if (entry->d_name[0] == '.' ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    st.st_mtime + PENDING_SECONDS > time(NULL))
			continue;
		doctor_find(d, DOCTOR_WARNING, "cni.pending", entry->d_name,
			    "is an attachment that is neither made nor taken back, since %lld "
			    "seconds",
			    (long long)time(NULL) - (long long)st.st_mtime);
		doctor_advise(d, "`" PLUGIN " reconcile --socket-dir %s`, with the daemon running.",
			      d->run_dir);
		n++;
	}
	closedir(dir);
	if (!n)
		doctor_find(d, DOCTOR_OK, "cni.pending", dir_name,
			    "has no attachment that is half done");
}

void doctor_cni(struct doctor *d)
{
	char path[PATH_MAX];
	bool found = find_plugin(d, path);
	unsigned int ours = judge_confs(d);

	if (found) {
		doctor_find(d, DOCTOR_OK, "cni.plugin", path, "is installed");
	} else {
		doctor_find(d, ours ? DOCTOR_PROBLEM : DOCTOR_NOTE, "cni.plugin", PLUGIN,
			    ours ? "is not installed, and networks want it: their pods do not start"
				 : "is not installed, and no network of %s wants it",
			    d->cni_conf_dir ? d->cni_conf_dir : CONF_DIR);
		doctor_advise(d,
			      "Copy it to %s, where the runtime looks, or name its directory "
			      "with --cni-bin-dir.",
			      d->cni_bin_dir ? d->cni_bin_dir : bin_dirs[0]);
	}
	judge_pending(d);
}
