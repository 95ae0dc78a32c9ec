/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the truth share: error units, the sums of a row of logits, the clip of probabilities. */
#ifndef XN_TEST_TRUTH_PARTS_H
#define XN_TEST_TRUTH_PARTS_H

#include "truth.h"

/* Named at the head of truth.c. */
typedef struct {
    long double h, exp, sum, made, tiny, underflow;
    long double normal, most; /* the smallest normal number; a sixteenth of the largest: room for sums of a few parts */
} errors;
errors errors_of(const truth *t);

extern const long double E, MOST64; /* 2^-52, and a sixteenth of what float64 holds */

/* A softmax row: its maximum, how often it occurs, and the sum of exp(x - max) over the others. s is NaN if there is no
 * finite maximum. t->plane[PROB] gets the exponentials. */
typedef struct {
    long double max, ties, rest, s, log_s, log_error;
} sums;
sums sum_row(const truth *t, const errors *e);

/* The error of the target of a class. */
long double target_error(const truth *t, const errors *e, int64_t c);

/* Whether a target may be 0 to a kernel, and may be not, so that what it multiplies counts or does not. */
int is_vague(const truth *t, const errors *e, int64_t c);

/* A sum of losses in float64, times the weight of the row. */
expected weighted_loss(mixed_sum sum, long double weight);

/* What derivatives of a weight are: anything where it, or its product with the sum of targets, does not fit. */
freedom slope_freedom(const errors *e, long double weight, long double mass, long double size);
freedom curve_freedom(const errors *e, long double weight, long double steep, long double mass, long double size);

/* The error of a factor that is rounded to the compute type, times what it multiplies: 0 where it is a normal number.
 */
long double lost(const errors *e, long double factor, long double times);

/* A probability among its row: q = p / S, clipped, and on which side of a bound, if that can be told. */
typedef struct {
    long double q, loss;
    int inside, unsure;
    int subnormal; /* q is neither clipped nor a normal number, which the kernels ask for */
} clipped;
clipped clip(const truth *t, const errors *e, long double p, long double sum, long double error);

/* The sum of a row's probabilities, and its relative error. A row that has no quotients gets its results here. */
typedef struct {
    long double value, error;
    int has_quotients;
} prob_sum;
prob_sum sum_probabilities(truth *t, const errors *e);

/* The results of rows that count nothing, of rows that have none, and of those that nothing is said about. */
void drop(truth *t);
void undefined(truth *t, const errors *e);
void untold(truth *t);

#endif
