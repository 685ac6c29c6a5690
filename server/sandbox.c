// SPDX-License-Identifier: Apache-2.0
#include "sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "filter.h"
#include "landlock.h"
#include "log.h"

/* ---- capabilities ---- */

/* Who keeps it. */
enum { START = 0, DAEMON = 1 << 0, GATE = 1 << 1 };

/* xskd(8) says the same at more length. */
static const struct need {
	unsigned int capability;
	const char *name;
	unsigned int who;
	const char *what;
} needs[] = {
	{ CAP_BPF, "CAP_BPF", DAEMON, "load programs" },
	{ CAP_NET_ADMIN, "CAP_NET_ADMIN", DAEMON | GATE,
	  "load XDP programs and look into namespaces" },
	{ CAP_IPC_LOCK, "CAP_IPC_LOCK", DAEMON, "pin packet memory" },
	{ CAP_PERFMON, "CAP_PERFMON", DAEMON, "load the custom programs of \"perfmon\"" },
	{ CAP_NET_BROADCAST, "CAP_NET_BROADCAST", START, "hear of devices in all namespaces" },
	{ CAP_NET_RAW, "CAP_NET_RAW", GATE, "make AF_XDP sockets" },
	{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN", GATE, "enter the network namespaces of pods" },
};

static bool is_needed(const struct sandbox *sandbox, const struct need *need)
{
	return need->capability != CAP_PERFMON || sandbox->perfmon;
}

int sandbox_check(const struct sandbox *sandbox, struct fault *fault)
{
	if (capng_get_caps_process() < 0)
		return fault_sys(fault, EPERM, "cannot tell the capabilities of this process");
	for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
		if (!is_needed(sandbox, &needs[i]) ||
		    capng_have_capability(CAPNG_PERMITTED, needs[i].capability))
			continue;
		if (needs[i].capability != CAP_IPC_LOCK)
			return fault_set(
				fault, XSKD__CODE__FAILED_PRECONDITION, EPERM,
				"%s is missing, to %s: run xskd as root, or give it that capability "
				"(CapabilityBoundingSet= of its unit, securityContext of its "
				"container)",
				needs[i].name, needs[i].what);
		log_warning("CAP_IPC_LOCK is missing: packet memory of pods counts against "
			    "RLIMIT_MEMLOCK");
	}
	return 0;
}

/*
 * The bounding set only shrinks with CAP_SETPCAP, which xskd does not ask for: with no new
 * privileges nothing that is in it alone can be got. @out: what is left, in words.
 */
static int drop_capabilities(const struct sandbox *sandbox, unsigned int who, char *out,
			     size_t size)
{
	const capng_type_t all = CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET;
	bool has[ARRAY_SIZE(needs)], may_bound;
	size_t at = 0;
	int err = 0;

	capng_get_caps_process();
	for (size_t i = 0; i < ARRAY_SIZE(needs); i++)
		has[i] = capng_have_capability(CAPNG_PERMITTED, needs[i].capability);
	may_bound = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < ARRAY_SIZE(needs) && !err; i++) {
		if (!(needs[i].who & who) || !has[i] || !is_needed(sandbox, &needs[i]))
			continue;
		err = capng_update(CAPNG_ADD, all, needs[i].capability);
		if (at < size)
			at += (size_t)snprintf(out + at, size - at, "%s%s", at ? ", " : "",
					       needs[i].name);
	}
	if (!err && may_bound) /* or libcap-ng would complain of it in the log */
		err = capng_apply(CAPNG_SELECT_BOUNDS);
	if (!err)
		err = capng_apply(CAPNG_SELECT_CAPS);
	return err ? -EPERM : 0;
}

/* ---- files ---- */

/* Symbols in reports of sanitizers come from other programs: such builds may read and run all. */
#ifdef XSKD_SANITIZED
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/*
 * What the daemon reads at run time: libbpf the number of CPUs and, for custom programs, the
 * kernel's types; the metrics its own usage.
 */
static int close_files(const struct sandbox *sandbox)
{
	const char *notify = getenv("NOTIFY_SOCKET");
	const struct landlock_rule rules[] = {
		{ sandbox->run_dir, LANDLOCK_WRITE },
		{ sandbox->bpf_dir, LANDLOCK_WRITE },
		{ "/dev/null", LANDLOCK_WRITE },
		{ "/proc/self", LANDLOCK_READ },
		{ "/sys/devices/system/cpu", LANDLOCK_READ },
		{ "/sys/kernel/btf", LANDLOCK_READ },
		{ "/", LANDLOCK_RUN }, /* the last one, for sanitizers alone */
	};

#ifdef XSKD_COVERAGE
	return 0; /* it writes its counters beside its objects */
#endif
	return landlock_enter(rules, ARRAY_SIZE(rules) - !SANITIZED, notify && *notify == '@');
}

/* ---- daemon and gate ---- */

int sandbox_daemon(const struct sandbox *sandbox, struct fault *fault)
{
	char capabilities[160] = "";
	int files, err;

	if (sandbox->off) {
		log_warning("the sandbox is OFF (\"sandbox\" in the configuration): whoever breaks "
			    "into this process has all of root's power on this node");
		return 0;
	}
	err = drop_capabilities(sandbox, DAEMON, capabilities, sizeof(capabilities));
	if (err < 0)
		return fault_sys(fault, -err, "cannot drop capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fault_sys(fault, errno, "cannot rule out new privileges");
	files = close_files(sandbox);
	if (files < 0)
		return fault_sys(fault, -files, "cannot set up Landlock");
	err = filter_daemon();
	if (err < 0)
		return fault_sys(fault, -err,
				 "cannot filter system calls: xskd needs a kernel with seccomp, or "
				 "\"sandbox\": false in its configuration");
	log_info("confined: %s; no new privileges; system calls filtered; files by Landlock %d%s",
		 capabilities, files, files ? "" : " (this kernel has none)");
	return 0;
}

int sandbox_gate(const struct sandbox *sandbox)
{
	char capabilities[160];
	const struct landlock_rule everything = { "/", LANDLOCK_RUN };
	int err;

	if (sandbox->off)
		return 0;
	err = drop_capabilities(sandbox, GATE, capabilities, sizeof(capabilities));
	if (!err && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		err = -errno;
	if (!err)
		err = landlock_enter(&everything, SANITIZED, false);
	return err < 0 ? err : 0;
}

int sandbox_gate_calls(const struct sandbox *sandbox, pid_t daemon)
{
	return sandbox->off ? 0 : filter_gate(daemon);
}
