/* SPDX-License-Identifier: BSD-3-Clause */
/* Random tiles for the score kernels: memory between guard pages, every instruction set, a check against the truth. */
#ifndef XN_TEST_SCORES_H
#define XN_TEST_SCORES_H

#include "binary.h"

/* Scores alone, or as softmax_ce_rows gives them with its losses. Draws a tile of so many rows and classes, runs it,
 * and checks what is said of each row. */
void run_score_tile(const kernel_set *k, xn_dtype dtype, int64_t rows, int64_t classes, uint64_t seed);

#endif
