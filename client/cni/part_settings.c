// SPDX-License-Identifier: Apache-2.0
/* How the device is set up: MAC, MTU, channels, busy polling; and how it was before. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "attach.h"
#include "device.h"
#include "netns.h"

static json_t *record_of(const struct attach *a)
{
	return json_object_get(a->journal->json, "device");
}

static json_int_t noted(const struct attach *a, const char *key)
{
	return json_integer_value(json_object_get(record_of(a), key));
}

static bool was(const struct attach *a, const char *flag)
{
	return json_is_true(json_object_get(record_of(a), flag));
}

/* ---- sysfs ---- */

/*
 * /sys shows the devices of the namespace of whoever mounted it. A mount of our own that is
 * attached nowhere (Linux 5.2) shows those of ours.
 */
static int open_sysfs(void)
{
	cleanup(close_fdp) int fs = fsopen("sysfs", FSOPEN_CLOEXEC);
	int mount;

	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	mount = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	return mount < 0 ? -errno : mount;
}

static int open_value(const struct attach *a, int sysfs, const char *value, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "class/net/%s/%s", a->link.name, value);
	fd = openat(sysfs, path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int read_value(const struct attach *a, int sysfs, const char *value, json_int_t *out)
{
	cleanup(close_fdp) int fd = open_value(a, sysfs, value, O_RDONLY);
	char text[32] = "";

	if (fd < 0)
		return fd;
	if (read(fd, text, sizeof(text) - 1) < 0)
		return -errno;
	*out = strtoll(text, NULL, 10);
	return 0;
}

static int write_value(const struct attach *a, int sysfs, const char *value, json_int_t n)
{
	cleanup(close_fdp) int fd = open_value(a, sysfs, value, O_WRONLY);
	char text[32];
	int len = snprintf(text, sizeof(text), "%lld", (long long)n);

	if (fd < 0)
		return fd;
	return write(fd, text, (size_t)len) < 0 ? -errno : 0;
}

#define DEFER "napi_defer_hard_irqs"
#define FLUSH "gro_flush_timeout"

/* ---- before ---- */

static int note_channels(struct attach *a)
{
	struct channels c;
	int err = ethtool_channels(a->host.ethtool, a->link.name, &c);

	if (err < 0)
		return fail_errno(a->fail, FAIL_REFUSED, err, "cannot tell the channels of '%s'",
				  a->link.name);
	return journal_set(a->journal, "channels",
			   json_pack("{s:I, s:I, s:I}", "rx", (json_int_t)c.rx, "tx",
				     (json_int_t)c.tx, "combined", (json_int_t)c.combined),
			   a->fail);
}

static int note_busy_poll(struct attach *a, int sysfs)
{
	json_int_t defer = 0, flush = 0;
	int err = read_value(a, sysfs, DEFER, &defer);

	if (!err)
		err = read_value(a, sysfs, FLUSH, &flush);
	if (err)
		return fail_errno(a->fail, FAIL_REFUSED, err, "cannot read " DEFER " of '%s'",
				  a->link.name);
	return journal_set(a->journal, "busyPoll",
			   json_pack("{s:I, s:I}", DEFER, defer, FLUSH, flush), a->fail);
}

static int note_mac(struct attach *a)
{
	char mac[3 * LINK_ADDRESS_MAX];

	device_mac(a->conf->mac, MAC_SIZE, mac);
	if (json_object_set_new(record_of(a), "newMAC", json_string(mac)) < 0)
		return fail_errno(a->fail, FAIL_IO, -ENOMEM, "cannot note the MAC");
	return 0;
}

/* ---- after ---- */

static int set_link(struct attach *a)
{
	const struct link_change down = { .mask = IFF_UP };
	const struct link_change change = {
		.mac = a->conf->has_mac ? a->conf->mac : NULL,
		.mac_len = MAC_SIZE,
		.mtu = a->conf->mtu,
	};
	/* Many drivers take neither while they run, and on its way to the pod it stops anyway. */
	int err = a->link.up ? rtnl_change(&a->host.rtnl, a->link.ifindex, &down) : 0;

	if (!err)
		err = rtnl_change(&a->host.rtnl, a->link.ifindex, &change);
	return err < 0 ? attach_refused(a, &a->host, err, "set MAC or MTU of") : 0;
}

static int set_channels(struct attach *a)
{
	struct channels c;
	int err = ethtool_spread(a->host.ethtool, a->link.name, a->conf->channels, &c);

	if (!err)
		err = ethtool_set_channels(a->host.ethtool, a->link.name, &c);
	return err < 0 ? fail_errno(a->fail, FAIL_REFUSED, err, "cannot give '%s' %u channels",
				    a->link.name, a->conf->channels)
		       : 0;
}

static int set_busy_poll(struct attach *a, int sysfs, json_int_t defer, json_int_t flush)
{
	int err = write_value(a, sysfs, DEFER, defer);

	if (!err)
		err = write_value(a, sysfs, FLUSH, flush);
	return err < 0 ? fail_errno(a->fail, FAIL_REFUSED, err, "cannot set " DEFER " of '%s'",
				    a->link.name)
		       : 0;
}

static int settings_add(struct attach *a)
{
	const struct conf *conf = a->conf;
	cleanup(close_fdp) int sysfs = conf->busy_poll ? open_sysfs() : -1;

	if (conf->busy_poll && sysfs < 0)
		return fail_errno(a->fail, FAIL_REFUSED, sysfs, "cannot open sysfs");
	if ((conf->channels && note_channels(a) < 0) ||
	    (conf->busy_poll && note_busy_poll(a, sysfs) < 0) || (conf->has_mac && note_mac(a) < 0))
		return -1;
	if (!conf->channels && !conf->busy_poll && !conf->has_mac && !conf->mtu)
		return 0;
	if (journal_write(a->journal, a->fail) < 0)
		return -1;
	if ((conf->has_mac || conf->mtu) && set_link(a) < 0)
		return -1;
	if (conf->channels && set_channels(a) < 0)
		return -1;
	return conf->busy_poll ? set_busy_poll(a, sysfs, conf->napi_defer_hard_irqs,
					       conf->gro_flush_timeout)
			       : 0;
}

/* ---- and back ---- */

static int restore_link(struct attach *a)
{
	const char *mac = json_string_value(json_object_get(record_of(a), "mac"));
	char now[3 * LINK_ADDRESS_MAX];
	uint8_t bytes[MAC_SIZE];
	struct link_change change = {
		.flags = (was(a, "promisc") ? IFF_PROMISC : 0U) |
			 (was(a, "allmulti") ? IFF_ALLMULTI : 0U) |
			 (was(a, "noarp") ? IFF_NOARP : 0U),
		.mask = IFF_PROMISC | IFF_ALLMULTI | IFF_NOARP,
		.mtu = (uint32_t)noted(a, "mtu"),
	};
	const struct link_change down = { .mask = IFF_UP };
	int err = 0;

	if (strcmp(device_mac(a->link.mac, a->link.mac_len, now), mac) != 0 &&
	    value_mac(mac, bytes)) {
		change.mac = bytes;
		change.mac_len = MAC_SIZE;
	}
	if (!change.mac && change.mtu == a->link.mtu && a->link.promisc == was(a, "promisc") &&
	    a->link.allmulti == was(a, "allmulti") && a->link.noarp == was(a, "noarp"))
		return 0;
	if (a->link.up)
		err = rtnl_change(&a->host.rtnl, a->link.ifindex, &down);
	if (!err)
		err = rtnl_change(&a->host.rtnl, a->link.ifindex, &change);
	return err < 0 ? attach_refused(a, &a->host, err, "give its old settings to") : 0;
}

static int restore_channels(struct attach *a)
{
	const json_t *old = json_object_get(a->journal->json, "channels");
	const struct channels c = {
		(uint32_t)json_integer_value(json_object_get(old, "rx")),
		(uint32_t)json_integer_value(json_object_get(old, "tx")),
		(uint32_t)json_integer_value(json_object_get(old, "combined")),
	};
	struct channels now;
	int err = old ? ethtool_channels(a->host.ethtool, a->link.name, &now) : 0;

	if (old && !err && memcmp(&now, &c, sizeof(c)) != 0)
		err = ethtool_set_channels(a->host.ethtool, a->link.name, &c);
	return err < 0 ? fail_errno(a->fail, FAIL_REFUSED, err, "cannot give '%s' its old channels",
				    a->link.name)
		       : 0;
}

static int restore_busy_poll(struct attach *a)
{
	const json_t *old = json_object_get(a->journal->json, "busyPoll");
	cleanup(close_fdp) int sysfs = old ? open_sysfs() : -1;

	if (!old)
		return 0;
	return set_busy_poll(a, sysfs, json_integer_value(json_object_get(old, DEFER)),
			     json_integer_value(json_object_get(old, FLUSH)));
}

/* A move takes addresses and routes away; whoever allowed to use this device had some. */
static int restore_up(struct attach *a)
{
	const struct link_change up = { .flags = IFF_UP, .mask = IFF_UP };
	int err = 0;

	if (was(a, "up"))
		err = rtnl_change(&a->host.rtnl, a->link.ifindex, &up);
	if (err < 0)
		return attach_refused(a, &a->host, err, "set up");
	if (rtnl_has_ipv6(json_object_get(record_of(a), "addresses")))
		(void)!netns_enable_ipv6(a->link.name); /* the address will tell */
	err = rtnl_restore(&a->host.rtnl, a->link.ifindex,
			   json_object_get(record_of(a), "addresses"),
			   json_object_get(record_of(a), "routes"));
	return err < 0 ? attach_refused(a, &a->host, err, "give addresses and routes back to") : 0;
}

static int settings_del(struct attach *a)
{
	/* Not there: never taken, or gone for good; not on the host: part_move has said why. */
	if (a->at != &a->host)
		return 0;
	return restore_link(a) < 0 || restore_channels(a) < 0 || restore_busy_poll(a) < 0 ||
			       restore_up(a) < 0
		       ? -1
		       : 0;
}

/* A later plugin of the chain may have changed them: prevResult has what they should be. */
static int settings_check(struct attach *a)
{
	const json_t *should = attach_interface(a->conf->prev_result, a->env->ifname, NULL);
	const char *mac = json_string_value(json_object_get(should, "mac"));
	const json_t *mtu = json_object_get(should, "mtu");
	char now[3 * LINK_ADDRESS_MAX];

	if (mac && *mac && strcasecmp(mac, device_mac(a->link.mac, a->link.mac_len, now)) != 0)
		return fail_set(a->fail, FAIL_CHANGED, "'%s' has the MAC %s, not %s", a->link.name,
				now, mac);
	if (json_is_integer(mtu) && json_integer_value(mtu) != a->link.mtu)
		return fail_set(a->fail, FAIL_CHANGED, "'%s' has the MTU %u, not %lld",
				a->link.name, a->link.mtu, (long long)json_integer_value(mtu));
	return 0;
}

const struct part part_settings = {
	.name = "settings",
	.kinds = 1U << ATTACH_MOVED,
	.add = settings_add,
	.del = settings_del,
	.check = settings_check,
};
