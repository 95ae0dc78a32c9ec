/* SPDX-License-Identifier: BSD-3-Clause */
/* What scoring says of one row, by its formulas in long double, and how far a kernel may be from it. */
#ifndef XN_TEST_SCORE_TRUTH_H
#define XN_TEST_SCORE_TRUTH_H

#include <stdint.h>

#include "xent.h"

typedef struct {
    long double confidence, brier, of_confidence, of_brier; /* values and bounds, where `is_told` */
    int64_t best, rank;
    int is_told, has_nan, is_negative; /* the latter: a probability is */
} score_truth;

/* Of the logits or probabilities of a row, as they stand in an array of this dtype. */
score_truth truth_of_scores(const double *x, int64_t classes, int64_t label, xn_dtype dtype, int is_prob);

/* Fails where a confidence or a Brier score is beyond its bound; returns whether the truth tells anything of them. */
int check_score_figures(const score_truth *t, const char *isa, int64_t row, double confidence, double brier);

#endif
