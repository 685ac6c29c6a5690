// SPDX-License-Identifier: Apache-2.0
#include "mutate.h"

#include <string.h>

#include "base.h"

#define LIST_MAX 70 /* one more than any list may have that is not to be refused */

static uint64_t state;

void mutate_seed(unsigned int seed)
{
	state = seed * 0x9e3779b97f4a7c15ULL + 1;
}

/* xorshift64*: libFuzzer wants the same seed to give the same mutation. */
uint32_t mutate_random(uint32_t below)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)((state * 0x2545f4914f6cdd1dULL) >> 33) % below;
}

#define ANY_OF(list) (list)[mutate_random(ARRAY_SIZE(list))]

static uint64_t some_number(void)
{
	static const uint64_t edges[] = { 63,   64,   65,    256,        512,        1024,
					  2048, 4096, 32768, 65536,      1000,       100,
					  101,  102,  99999, 0x7fffffff, 0xffffffff, UINT64_MAX };

	return mutate_random(3) ? mutate_random(12) : ANY_OF(edges);
}

static char *some_string(void)
{
	static const char *const words[] = {
		"",         "eth0",  "eth0", "net1", "net2",     "host0",
		"host0",    "host1", "a",    "b",    "c",        "a.b-c_d",
		"..",       "a/b",   "xskd", "lo",   "xsks_map", "0123456789abcdef",
		"\xc3\xa9", "\xff",  "%s%n", "a\nb"
	};
	char *s;

	if (mutate_random(40))
		return strdup(ANY_OF(words));
	s = malloc(400);
	if (s) {
		memset(s, 'x', 399);
		s[100 + mutate_random(299)] = '\0';
		s[399] = '\0';
	}
	return s;
}

static void init_bytes(ProtobufCBinaryData *b)
{
	b->len = mutate_random(17);
	b->data = malloc(b->len + 1);
	for (size_t i = 0; i < b->len; i++)
		b->data[i] = (uint8_t)mutate_random(256);
}

static ProtobufCMessage *new_message(const ProtobufCMessageDescriptor *d)
{
	ProtobufCMessage *m = malloc(d->sizeof_message);

	if (!m)
		abort();
	protobuf_c_message_init(d, m);
	return m;
}

static size_t size_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_UINT64:
		return sizeof(uint64_t);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return sizeof(uint32_t); /* int, enum, and protobuf_c_boolean, which is an int */
	}
}

/* Frees what a value owns; the strings of an empty message belong to nobody. */
static void free_value(const ProtobufCFieldDescriptor *f, void *at)
{
	if (f->type == PROTOBUF_C_TYPE_STRING && *(char **)at != protobuf_c_empty_string)
		free(*(char **)at);
	if (f->type == PROTOBUF_C_TYPE_BYTES)
		free(((ProtobufCBinaryData *)at)->data);
	if (f->type == PROTOBUF_C_TYPE_MESSAGE && *(void **)at)
		protobuf_c_message_free_unpacked(*(ProtobufCMessage **)at, NULL);
}

static void new_value(const ProtobufCFieldDescriptor *f, void *at)
{
	uint64_t number = some_number();

	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		*(char **)at = some_string();
		break;
	case PROTOBUF_C_TYPE_BYTES:
		init_bytes(at);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		*(ProtobufCMessage **)at = new_message(f->descriptor);
		mutate_message(*(ProtobufCMessage **)at);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)at = (protobuf_c_boolean)mutate_random(2);
		break;
	case PROTOBUF_C_TYPE_ENUM:
		number = mutate_random(20) ? mutate_random(4) : number;
		memcpy(at, &number, sizeof(uint32_t));
		break;
	default:
		memcpy(at, &number, size_of(f->type)); /* little-endian, as all that xskd runs on */
	}
}

static void mutate_list(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	size_t *n = (size_t *)(void *)((char *)m + f->quantifier_offset);
	char **items = (char **)(void *)((char *)m + f->offset);
	size_t size = size_of(f->type);
	size_t at = *n ? mutate_random((uint32_t)*n) : 0;

	if (*n && mutate_random(3) == 0) {
		free_value(f, *items + at * size);
		memmove(*items + at * size, *items + (at + 1) * size, (*n - at - 1) * size);
		(*n)--;
	} else if (*n && mutate_random(2)) {
		free_value(f, *items + at * size);
		new_value(f, *items + at * size);
	} else if (*n < LIST_MAX) {
		char *more = realloc(*items, (*n + 1) * size);

		if (!more)
			abort();
		*items = more;
		new_value(f, more + *n * size);
		(*n)++;
	}
}

void mutate_message(ProtobufCMessage *m)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;
	const ProtobufCFieldDescriptor *f;
	void *at;

	if (!d->n_fields)
		return;
	f = &d->fields[mutate_random(d->n_fields)];
	at = (char *)m + f->offset;
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		mutate_list(m, f);
	} else if (f->type == PROTOBUF_C_TYPE_MESSAGE && *(void **)at && mutate_random(3)) {
		mutate_message(*(ProtobufCMessage **)at);
	} else {
		free_value(f, at);
		new_value(f, at);
	}
}

static const ProtobufCFieldDescriptor *call_field(uint32_t which)
{
	return protobuf_c_message_descriptor_get_field(&xskd__request__descriptor, which);
}

static void choose_call(Xskd__Request *request)
{
	/* The first two fields are id and timeout_ms, the rest are calls. */
	uint32_t n = xskd__request__descriptor.n_fields - 2;
	const ProtobufCFieldDescriptor *f = &xskd__request__descriptor.fields[2 + mutate_random(n)];

	if (request->call_case)
		protobuf_c_message_free_unpacked((ProtobufCMessage *)request->get_info, NULL);
	request->call_case = (Xskd__Request__CallCase)f->id;
	request->get_info = (void *)new_message(f->descriptor); /* a union of pointers */
}

void mutate_request(Xskd__Request *request)
{
	uint32_t dice = mutate_random(20);

	if (!request->call_case || dice == 0)
		choose_call(request);
	else if (dice == 1)
		request->id = some_number();
	else if (dice == 2)
		request->timeout_ms = (uint32_t)some_number();
	else if (call_field(request->call_case))
		mutate_message((ProtobufCMessage *)request->get_info);
}

Xskd__Request *mutate_new(void)
{
	Xskd__Request *request = (Xskd__Request *)new_message(&xskd__request__descriptor);

	request->id = 1 + mutate_random(5);
	choose_call(request);
	for (uint32_t i = mutate_random(8); i; i--)
		mutate_message((ProtobufCMessage *)request->get_info);
	return request;
}
