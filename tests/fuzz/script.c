// SPDX-License-Identifier: Apache-2.0
#include "script.h"

#include <string.h>

bool script_next(const uint8_t **at, size_t *left, struct record *out)
{
	const uint8_t *p = *at;

	if (*left < SCRIPT_HEADER)
		return false;
	out->action = p[0] % SCRIPT_ACTIONS;
	out->peer = p[1] % SCRIPT_PEERS;
	out->n_fds = p[2] & 15;
	out->kinds = p[3];
	out->arg = p[4];
	out->len = (uint16_t)(p[5] | p[6] << 8);
	if (out->len > *left - SCRIPT_HEADER)
		out->len = (uint16_t)(*left - SCRIPT_HEADER);
	out->payload = p + SCRIPT_HEADER;
	*at += SCRIPT_HEADER + out->len;
	*left -= SCRIPT_HEADER + (size_t)out->len;
	return true;
}

size_t script_put(uint8_t *at, size_t room, const struct record *r)
{
	if (room < SCRIPT_HEADER + (size_t)r->len)
		return 0;
	at[0] = r->action;
	at[1] = r->peer;
	at[2] = r->n_fds;
	at[3] = r->kinds;
	at[4] = r->arg;
	at[5] = (uint8_t)r->len;
	at[6] = (uint8_t)(r->len >> 8);
	if (r->len)
		memcpy(at + SCRIPT_HEADER, r->payload, r->len);
	return SCRIPT_HEADER + (size_t)r->len;
}
