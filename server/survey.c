// SPDX-License-Identifier: Apache-2.0
#include "survey.h"

#include <errno.h>

#include "netns.h"

#define LOOPBACK_IFINDEX 1 /* in every namespace: its first device */

struct item {
	uint64_t lease;
	uint32_t heard;
	int nsid, device_nsid;
	uint32_t ifindex;
	bool netns_gone;
	int err; /* of asking for the device */
	struct device dev;
};

struct survey {
	uint64_t last; /* id of a lease */
	size_t n;
	struct item items[];
};

struct survey *survey_new(const struct core *core)
{
	size_t n = core->leases.n;
	struct survey *survey = n ? malloc(sizeof(*survey) + n * sizeof(survey->items[0])) : NULL;

	if (!survey)
		return NULL;
	survey->n = n;
	survey->last = core->last_id;
	for (size_t i = 0; i < n; i++) {
		const struct lease *l = core->leases.at[i];

		survey->items[i] = (struct item){
			.lease = l->m->id,
			.heard = l->heard,
			.nsid = l->nsid,
			.device_nsid = l->device_nsid,
			.ifindex = l->m->ifindex,
		};
	}
	return survey;
}

/*
 * First of all for the namespaces: to ask for a device may give a number to the namespace of its
 * peer, the very one that a lease remembers of a namespace that has gone.
 */
void survey_look(struct survey *survey)
{
	for (size_t i = 0; i < survey->n; i++) {
		struct item *item = &survey->items[i];

		item->netns_gone =
			device_find_at(item->nsid, LOOPBACK_IFINDEX, &item->dev) == -EINVAL;
	}
	for (size_t i = 0; i < survey->n; i++) {
		struct item *item = &survey->items[i];

		if (!item->netns_gone)
			item->err = device_find_at(item->device_nsid, item->ifindex, &item->dev);
	}
}

/* What was heard of a device since it was asked for is newer than the answer. */
void survey_note(struct core *core, const struct survey *survey)
{
	for (size_t i = 0; i < survey->n; i++) {
		const struct item *item = &survey->items[i];
		const struct lease *l = lease_find(core, item->lease);

		if (!l || l->heard != item->heard)
			continue;
		if (item->netns_gone)
			core_netns_gone(core, item->nsid, survey->last);
		else if (item->err == -ENODEV)
			core_link_gone(core, item->device_nsid, item->ifindex);
		else if (!item->err)
			core_link_changed(core, item->device_nsid, &item->dev);
	}
}

void survey_free(struct survey *survey)
{
	free(survey);
}
