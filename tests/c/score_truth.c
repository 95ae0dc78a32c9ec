/* SPDX-License-Identifier: BSD-3-Clause */
/* What scoring says of a row, by its formulas in long double, with bounds of the errors.
 *
 * With h half an ulp of the compute type, e = exp(x - m) errs by h (|x - m| + 8) of itself: by the rounded difference
 * and by exp; p / m by 4 h. Lanes of the type add up to 64 terms, which costs 64 h of the sum. Confidence and Brier
 * score follow in float64. What is below the normal numbers is lost: `tiny` of each class. */
#include "score_truth.h"

#include <inttypes.h>
#include <math.h>

#include "harness.h"

/* What needs comparisons alone, and the maximum. */
static score_truth order_of(const double *x, int64_t classes, int64_t label, int is_prob, double *max) {
    score_truth t = {.best = -1};
    *max = -INFINITY;
    for (int64_t c = 0; c < classes; c++) {
        t.has_nan |= isnan(x[c]);
        t.is_negative |= is_prob && x[c] < 0;
        if (x[c] > *max || t.best < 0) *max = x[c], t.best = c;
        t.rank += x[c] > x[label] || (x[c] == x[label] && c < label);
    }
    return t;
}

score_truth truth_of_scores(const double *row, int64_t classes, int64_t label, xn_dtype dtype, int is_prob) {
    double max;
    score_truth t = order_of(row, classes, label, is_prob, &max);
    const int is_double = dtype == XN_FLOAT64 || dtype == XN_FLOAT64_TO_FLOAT32;
    const long double h = is_double ? 0x1p-53L : 0x1p-24L, tiny = is_double ? 0x1p-1000L : 0x1p-120L;
    const double normal = is_double ? 0x1p-1020 : 0x1p-124, most = is_double ? 0x1p1020 : 0x1p124;
    if (t.has_nan || t.is_negative || !isfinite(max) || (is_prob && !(max > normal && max < most))) return t;
    t.is_told = 1;
    long double sum = 0, squares = 0, of_sum = 0, of_squares = 0, off = 0;
    for (int64_t c = 0; c < classes; c++) {
        const long double x = (long double)row[c], distance = (long double)max - x;
        const long double e = is_prob ? x / (long double)max : distance > 11000 ? 0 : expl(-distance);
        const long double error = h * (is_prob ? 4 : distance > 11000 ? 0 : distance + 8) + 64 * h;
        sum += e;
        of_sum += x < (long double)max ? error * e + tiny : 0;
        of_squares += x < (long double)max ? (2 * error + 64 * h) * e * e + tiny : 0;
        if (c == label) continue;
        off += e;
        squares += e * e;
    }
    /* What is said of the label is taken off the sums of all: it errs as they do. */
    const long double wrong = off / sum, grain = 16 * 0x1p-53L;
    t.confidence = 1 / sum;
    t.of_confidence = (of_sum / sum + grain) / sum;
    t.brier = wrong * wrong + squares / (sum * sum);
    t.of_brier = 2 * wrong * (2 * of_sum / sum + grain * (1 + wrong)) + (2 * of_sum / sum) * (2 * of_sum / sum) +
                 2 * of_squares / (sum * sum) + t.brier * (2 * of_sum / sum + 2 * grain) + grain * grain;
    if (row[label] < max) t.of_brier += grain; /* sums without the label are differences, in float64, beside a 1 */
    return t;
}

int check_score_figures(const score_truth *t, const char *isa, int64_t row, double confidence, double brier) {
    if (!t->is_told || !is_long_double_whole()) return 0;
    if (!(fabsl((long double)confidence - t->confidence) <= t->of_confidence))
        fail("%s: row %" PRId64 ": confidence %.17g, not %.20Lg; bound %.3Lg", isa, row, confidence, t->confidence,
             t->of_confidence);
    if (!(fabsl((long double)brier - t->brier) <= t->of_brier))
        fail("%s: row %" PRId64 ": Brier %.17g, not %.20Lg; bound %.3Lg", isa, row, brier, t->brier, t->of_brier);
    return 1;
}
