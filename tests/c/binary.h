/* SPDX-License-Identifier: BSD-3-Clause */
/* Random tiles for the binary kernels: memory between guard pages, every instruction set, a check against the truth. */
#ifndef XN_TEST_BINARY_H
#define XN_TEST_BINARY_H

#include "kernels.h"
#include "truth.h"

/* The same kernel of some instruction sets, best first. */
typedef struct {
    const char *name;
    const char *const *isas;
    int count;
    xn_kernel *kernel[MOST_ISAS];
} kernel_set;

/* Draws a tile of so many rows and classes, runs it, and checks results, bits, and one row alone. */
void run_binary_tile(const kernel_set *k, xn_dtype dtype, int64_t rows, int64_t classes, uint64_t seed);

#endif
