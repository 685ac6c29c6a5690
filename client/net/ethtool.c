// SPDX-License-Identifier: Apache-2.0
#include "ethtool.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define STRINGS_MAX 1024  /* features that a kernel may know: it has some 70 */
#define TABLE_MAX   65536 /* entries; what a driver says is not taken at its word */

int ethtool_open(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

int ethtool_call(int fd, const char *device, void *data)
{
	struct ifreq request = { .ifr_data = data };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	return ioctl(fd, SIOCETHTOOL, &request) < 0 ? -errno : 0;
}

static void get_info(int fd, const char *device, struct ethtool_drvinfo *out)
{
	*out = (struct ethtool_drvinfo){ .cmd = ETHTOOL_GDRVINFO };
	if (ethtool_call(fd, device, out) < 0)
		out->bus_info[0] = out->driver[0] = '\0';
}

void ethtool_bus(int fd, const char *device, char out[ETHTOOL_BUSINFO_LEN])
{
	struct ethtool_drvinfo info;

	get_info(fd, device, &info);
	snprintf(out, ETHTOOL_BUSINFO_LEN, "%.*s", ETHTOOL_BUSINFO_LEN - 1, info.bus_info);
}

void ethtool_driver(int fd, const char *device, char out[32])
{
	struct ethtool_drvinfo info;

	get_info(fd, device, &info);
	snprintf(out, 32, "%.31s", info.driver);
}

/* ---- channels ---- */

static int get_channels(int fd, const char *device, struct ethtool_channels *out)
{
	*out = (struct ethtool_channels){ .cmd = ETHTOOL_GCHANNELS };
	return ethtool_call(fd, device, out);
}

int ethtool_channels(int fd, const char *device, struct channels *out)
{
	struct ethtool_channels c;
	int err = get_channels(fd, device, &c);

	*out = (struct channels){ c.rx_count, c.tx_count, c.combined_count };
	return err;
}

int ethtool_max_channels(int fd, const char *device, struct channels *out)
{
	struct ethtool_channels c;
	int err = get_channels(fd, device, &c);

	*out = (struct channels){ c.max_rx, c.max_tx, c.max_combined };
	return err;
}

int ethtool_set_channels(int fd, const char *device, const struct channels *channels)
{
	struct ethtool_channels c;
	int err = get_channels(fd, device, &c);

	if (err < 0)
		return err;
	c.cmd = ETHTOOL_SCHANNELS;
	c.rx_count = channels->rx;
	c.tx_count = channels->tx;
	c.combined_count = channels->combined;
	return ethtool_call(fd, device, &c);
}

int ethtool_spread(int fd, const char *device, uint32_t n, struct channels *out)
{
	struct ethtool_channels c;
	int err = get_channels(fd, device, &c);

	if (err < 0)
		return err;
	if (c.max_combined)
		*out = (struct channels){ 0, 0, n };
	else
		*out = (struct channels){ n, n, 0 };
	return n > c.max_combined && (n > c.max_rx || n > c.max_tx) ? -ERANGE : 0;
}

/* ---- settings ---- */

static int get_flags(int fd, const char *device, struct ethtool_value *out)
{
	*out = (struct ethtool_value){ .cmd = ETHTOOL_GFLAGS };
	return ethtool_call(fd, device, out);
}

int ethtool_ntuple(int fd, const char *device, bool *out)
{
	struct ethtool_value flags;
	int err = get_flags(fd, device, &flags);

	*out = flags.data & ETH_FLAG_NTUPLE;
	return err;
}

int ethtool_set_ntuple(int fd, const char *device, bool on)
{
	struct ethtool_value flags;
	int err = get_flags(fd, device, &flags);

	if (err < 0)
		return err;
	flags.cmd = ETHTOOL_SFLAGS;
	flags.data = on ? flags.data | ETH_FLAG_NTUPLE : flags.data & ~(uint32_t)ETH_FLAG_NTUPLE;
	return ethtool_call(fd, device, &flags);
}

/* The place of @name among the features that this kernel knows. */
static int find_feature(int fd, const char *device, const char *name, uint32_t *out)
{
	union {
		struct ethtool_sset_info head;
		uint32_t words[sizeof(struct ethtool_sset_info) / sizeof(uint32_t) + 1];
	} count = { .head = { .cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ULL << ETH_SS_FEATURES } };
	cleanup(freep) struct ethtool_gstrings *names = NULL;
	int err = ethtool_call(fd, device, &count);
	uint32_t size;

	if (err < 0)
		return err;
	size = count.head.data[0];
	if (!count.head.sset_mask || size > STRINGS_MAX)
		return -EOPNOTSUPP;
	names = calloc(1, sizeof(*names) + (size_t)size * ETH_GSTRING_LEN);
	if (!names)
		return -ENOMEM;
	names->cmd = ETHTOOL_GSTRINGS;
	names->string_set = ETH_SS_FEATURES;
	names->len = size;
	err = ethtool_call(fd, device, names);
	for (uint32_t i = 0; !err && i < names->len && i < size; i++) {
		const char *at = (const char *)&names->data[(size_t)i * ETH_GSTRING_LEN];

		if (strncmp(at, name, ETH_GSTRING_LEN) == 0) {
			*out = i;
			return 0;
		}
	}
	return err ? err : -ENOENT;
}

int ethtool_feature(int fd, const char *device, const char *name, bool *out)
{
	cleanup(freep) struct ethtool_gfeatures *features =
		calloc(1, sizeof(*features) + STRINGS_MAX / 32 * sizeof(features->features[0]));
	uint32_t bit = 0;
	int err = features ? find_feature(fd, device, name, &bit) : -ENOMEM;

	if (err < 0)
		return err;
	features->cmd = ETHTOOL_GFEATURES;
	features->size = STRINGS_MAX / 32;
	err = ethtool_call(fd, device, features);
	if (!err)
		*out = features->features[bit / 32].active & 1U << bit % 32;
	return err;
}

int ethtool_spread_table(int fd, const char *device, uint32_t **out, size_t *out_n)
{
	struct ethtool_rxfh_indir size = { .cmd = ETHTOOL_GRXFHINDIR };
	cleanup(freep) struct ethtool_rxfh_indir *table = NULL;
	int err = ethtool_call(fd, device, &size);

	if (err < 0)
		return err;
	if (!size.size || size.size > TABLE_MAX)
		return -EOPNOTSUPP;
	table = calloc(1, sizeof(*table) + size.size * sizeof(uint32_t));
	*out = calloc(size.size, sizeof(uint32_t));
	if (!table || !*out) {
		free(*out);
		return -ENOMEM;
	}
	table->cmd = ETHTOOL_GRXFHINDIR;
	table->size = size.size;
	err = ethtool_call(fd, device, table);
	*out_n = table->size < size.size ? table->size : size.size;
	if (err < 0)
		free(*out);
	else
		memcpy(*out, table->ring_index, *out_n * sizeof(uint32_t));
	return err;
}
