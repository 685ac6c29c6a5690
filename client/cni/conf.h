/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network configuration that the runtime gives on stdin: xskd-cni(8) describes each key. Parsed
 * and checked as a whole before anything is done.
 */
#ifndef CNI_CONF_H
#define CNI_CONF_H

#include "args.h"
#include "value.h"

/* Versions of the CNI specification, oldest first. */
enum cni_version {
	CNI_0_3_1,
	CNI_0_4_0,
	CNI_1_0_0,
	CNI_1_1_0,
	CNI_VERSIONS,
};

extern const char *const cni_versions[CNI_VERSIONS];

#define CONF_BYTES_MAX   (1024 * 1024)
#define CONF_FILTERS_MAX 64

/* One rule of the NIC: what it matches goes to a queue of the lease. */
struct filter {
	const char *flow;            /* "udp4" */
	const char *src_ip, *dst_ip; /* "": any; dst_ip "pod": the address that IPAM gave */
	uint16_t src_port, dst_port; /* 0: any */
	const char *dst_mac;         /* "": any; flow "ether" only, as ether_type is */
	uint16_t ether_type;
	json_int_t queue; /* -1: all of the lease */
};

struct conf {
	json_t *json; /* all of it; the strings below are in it */
	enum cni_version version;
	const char *name;
	bool queue_mode;
	const char *device;       /* a name, a PCI address or a MAC; "": none is configured */
	struct queue_list queues; /* empty: not given */
	uint32_t queue_count;     /* 0: not given */
	enum xskd_xdp_mode xdp_mode;
	const char *object, *program, *map; /* "": not given */
	struct xskd_constant *constants;
	size_t n_constants;
	char **constant_words; /* what @constants point into */
	bool has_mac;
	uint8_t mac[MAC_SIZE];
	uint32_t mtu, channels; /* 0: not given */
	bool busy_poll;
	uint32_t napi_defer_hard_irqs, gro_flush_timeout;
	struct filter filters[CONF_FILTERS_MAX];
	size_t n_filters;
	const json_t *allow_in_use; /* an array of strings, or NULL */
	const char *ipam;           /* its type; "": none */
	const char *socket_dir, *log_file;
	const json_t *prev_result; /* NULL: none */
};

/*
 * conf_read() - from @fd. What is wrong in it fails all verbs but DEL, which warns and goes by what
 * it can read, and by what was noted at ADD.
 */
int conf_read(int fd, enum verb verb, struct conf *conf, struct fail *fail) must_check;

/* conf_parse() - likewise, from JSON, of which it takes a reference. */
int conf_parse(json_t *json, enum verb verb, struct conf *conf, struct fail *fail) must_check;

void conf_done(struct conf *conf);

#endif
