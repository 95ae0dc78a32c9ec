/* SPDX-License-Identifier: BSD-3-Clause */
/* What libFuzzer calls: the target that FUZZ_TARGET names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "xent.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static const fuzz_target *target;

static void print_counts(void) {
    int64_t checked, told;
    fuzz_counts(&checked, &told);
    if (checked > 0) fprintf(stderr, "results: %lld compared, %lld told\n", (long long)checked, (long long)told);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    for (target = fuzz_targets; strcmp(target->name, FUZZ_TARGET) != 0;) target++;
    xn_init();
    atexit(print_counts);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    rng r = rng_of_bytes(bytes, size);
    target->run(&r);
    if (failure_count()) abort();
    return 0;
}
