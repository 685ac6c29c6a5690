/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which device is meant, whether it may be taken, and how it is known again: its name changes with
 * every move, and its index and MAC may.
 */
#ifndef CNI_DEVICE_H
#define CNI_DEVICE_H

#include "ethtool.h"
#include "rtnl.h"
#include "value.h"

/*
 * device_find() - by name, PCI address or MAC, in the namespace of @rtnl and @ethtool.
 * -1 with fail->code FAIL_DEVICE: there is none, or it is not the only one.
 */
int device_find(struct rtnl *rtnl, int ethtool, const char *wanted, struct link *out,
		struct fail *fail) must_check;

/*
 * device_check_free() - fail if the host needs the device: an address, a default route, a bridge or
 * bond that it belongs to, or such things on a device that sits on top of it.
 * @allowed: names of devices that may be taken all the same, an array; NULL: none.
 */
int device_check_free(struct rtnl *rtnl, const struct link *link, const json_t *allowed,
		      struct fail *fail) must_check;

/* device_record() - how it is now, for device_is() and for giving it back; NULL: no memory. */
json_t *device_record(struct rtnl *rtnl, int ethtool, const struct link *link) must_check;

/*
 * device_again() - find the recorded device in this namespace. Return: how sure that is, above 0;
 * 0: it is not here; or a negative errno. There may be a lookalike in the other namespace: take the
 * surer one.
 * @pod_name: what it is called in the pod.
 */
int device_again(struct rtnl *rtnl, int ethtool, const json_t *record, const char *pod_name,
		 bool in_pod, struct link *out) must_check;

/* device_mac() - printed as usual. */
const char *device_mac(const uint8_t *mac, size_t len, char out[3 * LINK_ADDRESS_MAX]);

#endif
