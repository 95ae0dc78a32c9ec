/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the truth share: error units, the sums of a row of logits, the clip of probabilities. */
#ifndef XN_TEST_TRUTH_PARTS_H
#define XN_TEST_TRUTH_PARTS_H

#include "truth.h"

/* Named at the head of truth.c. */
typedef struct {
    long double h, exp, sum, made, tiny, underflow;
} errors;
errors errors_of(const truth *t);

/* A softmax row: its maximum, how often it occurs, and the sum of exp(x - max) over the others. s is NaN if there is no
 * finite maximum. t->plane[PROB] gets the exponentials. */
typedef struct {
    long double max, ties, rest, s, log_s, log_error, mass, dot;
} sums;
sums sum_row(const truth *t, const errors *e);

/* A probability among its row: q = p / S, clipped, and on which side of a bound, if that can be told. */
typedef struct {
    long double q, loss;
    int inside, unsure;
} clipped;
clipped clip(const truth *t, long double p, long double sum, long double error);

/* The results of rows that count nothing, and of rows that have none. */
void drop(truth *t);
void undefined(truth *t);

#endif
