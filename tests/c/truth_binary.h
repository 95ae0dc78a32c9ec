/* SPDX-License-Identifier: BSD-3-Clause */
/* What one element of binary cross-entropy should give, and how far a kernel may be from it. */
#ifndef XN_TEST_TRUTH_BINARY_H
#define XN_TEST_TRUTH_BINARY_H

#include "kernels.h"
#include "truth.h"

typedef struct {
    /* in: of the call, */
    xn_binary_kind kind;
    xn_dtype dtype; /* that is computed in: XN_FLOAT32 or XN_FLOAT64 */
    double smoothing, epsilon, coefficient, alpha;
    int balanced;
    /* and of the element */
    double x, target, pos_weight;
    double weight;           /* of the loss */
    long double scale;       /* of derivatives, weight included, */
    long double scale_error; /* and its relative error */
    /* out */
    expected prob, each, grad, hess;
    expected loss; /* each without the weight */
} truth_element;

void truth_binary(truth_element *e);

#endif
