/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes a message in a way that its definition allows: a field gets another value, a list another
 * item. By the descriptors that protobuf-c generates, so that a new call is fuzzed without a word
 * here.
 */
#ifndef XSKD_FUZZ_MUTATE_H
#define XSKD_FUZZ_MUTATE_H

#include "xskd.pb-c.h"

/* mutate_seed() - what all of the below is drawn from. */
void mutate_seed(unsigned int seed);
uint32_t mutate_random(uint32_t below);

/* mutate_request() - @request: as unpacked with the default allocator. */
void mutate_request(Xskd__Request *request);

/* mutate_message() - any message, likewise. */
void mutate_message(ProtobufCMessage *message);

/* mutate_new() - a request of any call, filled in at random; freed as if it had been unpacked. */
Xskd__Request *mutate_new(void);

#endif
