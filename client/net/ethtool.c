// SPDX-License-Identifier: Apache-2.0
#include "ethtool.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

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

void ethtool_bus(int fd, const char *device, char out[ETHTOOL_BUSINFO_LEN])
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };

	if (ethtool_call(fd, device, &info) < 0)
		info.bus_info[0] = '\0';
	snprintf(out, ETHTOOL_BUSINFO_LEN, "%.*s", ETHTOOL_BUSINFO_LEN - 1, info.bus_info);
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
