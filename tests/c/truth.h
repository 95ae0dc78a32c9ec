/* SPDX-License-Identifier: BSD-3-Clause */
/* What one row should give: the textbook formulas in long double, and how far a kernel may be from them. */
#ifndef XN_TEST_TRUTH_H
#define XN_TEST_TRUTH_H

#include <stdint.h>

#include "xent.h"

enum { GRAD, HESS, PROB, LOG_PROB, PLANES };

/* What a result may be beside a value within the bound. Where something on the way to it does not fit into the type
 * that it is computed in, that is infinity of the value's sign, or, where infinities may meet, anything. */
typedef enum { NOTHING_ELSE, OR_INFINITE, ANYTHING } freedom;

/* A result, its error bound, and what more the bound is on a CPU level without fused multiply-add. */
typedef struct {
    long double value, bound, unfused;
    freedom freedom;
} expected;

typedef struct {
    /* in */
    xn_dtype dtype; /* that is computed in: XN_FLOAT32 or XN_FLOAT64 */
    int64_t classes;
    const long double *x; /* [classes] logits or probabilities */
    const long double *u; /* [classes] effective targets, or NULL where the row has none */
    const long double *u_error; /* [classes] their errors, or NULL: three roundings, unless they are `plain` */
    int64_t label;              /* the one target of the row, whose u is 1; else -1 */
    int plain;                  /* the targets are the caller's own: nothing was rounded to make them */
    int exact;                  /* and all are 0 or 1, so that their sum is exact, too */
    int dropped;
    double weight;         /* of the loss */
    double grad_scale;     /* of gradient and Hessian, weight not included, */
    long double scale_error; /* and its relative error */
    double epsilon;
    double hess_scale;     /* of the Hessian alone */
    int shape; /* truth_shaped_*: of kernels.h, with its coefficient and factor */
    double coefficient, alpha;
    /* out */
    expected loss, lse;
    expected *plane[PLANES]; /* [classes] each, given by the caller */
} truth;

void truth_softmax(truth *t);
void truth_prob(truth *t);
void truth_shaped_softmax(truth *t);
void truth_shaped_prob(truth *t);

/* A value within a bound. */
expected within(long double value, long double bound);

/* A sum whose terms may have both signs: of the terms, of the sizes of all, of the positive and of the negative ones;
 * and its error. */
typedef struct {
    long double value, size, positive, negative, error;
    freedom freedom;
} mixed_sum;
void mixed_add(mixed_sum *s, long double term, long double error);
freedom sum_freedom(const mixed_sum *s); /* what it may be in float64 */

/* A result after it was rounded to the type that it is stored in. */
expected stored(expected e, xn_dtype dtype);

/* Whether a result is what is expected. *ratio gets its error as a fraction of the bound. */
int is_expected(double got, expected e, xn_dtype dtype, int fused, double *ratio);

enum { MOST_ISAS = 3 }; /* that a build has */

/* Whether an instruction set has a fused multiply-add: all have but the baseline of CPUs that may lack it. */
int is_fused(const char *isa);

#endif
