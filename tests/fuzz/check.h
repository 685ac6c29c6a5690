/* SPDX-License-Identifier: Apache-2.0 */
/* What every fuzzer needs: libFuzzer's functions, and a way to say that something does not hold. */
#ifndef XSKD_FUZZ_CHECK_H
#define XSKD_FUZZ_CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* <fuzzer/FuzzerInterface.h> declares them for C++ alone. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed);

/* Where check() tells of it; stderr, unless that is to be closed (-close_fd_mask=2). */
extern int check_told;

#define check(good)                                                                          \
	do {                                                                                 \
		if (!(good)) {                                                               \
			dprintf(check_told, "%s:%d: %s does not hold\n", __FILE__, __LINE__, \
				#good);                                                      \
			abort();                                                             \
		}                                                                            \
	} while (0)

/* check_fds() - how many this process has open. */
size_t check_fds(void);

#endif
