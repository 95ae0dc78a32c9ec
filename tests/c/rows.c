/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows of logits and probabilities: common ones, and those where a kernel may go wrong. */
#include <float.h>
#include <math.h>

#include "field.h"

static void fill_normal(rng *r, int64_t classes, double *x, double offset, double scale) {
    for (int64_t c = 0; c < classes; c++) x[c] = offset + scale * rng_normal(r);
}

static void draw_logits(rng *r, xn_dtype dtype, int64_t n, double *x) {
    static const double offsets[] = {-1e6, -5000, -700, 300, 511.9, 513, 2047, 2049, 1e6};
    const double huge = dtype == XN_FLOAT32 ? 3e38 : 8e307; /* differences may overflow in float32 alone */
    const int64_t kind = rng_int(r, 0, 23);
    fill_normal(r, n, x, 0, kind == 0 ? 50 : kind == 1 ? 1e-3 : 3);
    switch (kind) {
        case 2: /* the reduced range ends, and differences are taken first */
        case 3: fill_normal(r, n, x, offsets[rng_int(r, 0, 8)], 3); break;
        case 4: /* ties */
            for (int64_t c = 0; c < n; c++) x[c] = (double)rng_int(r, 0, 2);
            break;
        case 5: /* confident */
        case 6: x[rng_int(r, 0, n - 1)] += 20 + 100 * rng_unit(r); break;
        case 7: /* masked classes */
        case 8:
            for (int64_t c = 0; c < n; c++)
                if (rng_chance(r, 30)) x[c] = -INFINITY;
            break;
        case 9: fill_normal(r, n, x, 5 * rng_normal(r), 0); break;
        case 10: x[rng_int(r, 0, n - 1)] = NAN; break;
        case 11: x[rng_int(r, 0, n - 1)] = INFINITY; break;
        case 12: fill_normal(r, n, x, -INFINITY, 0); break;
        case 13: /* overflow */
            for (int64_t c = 0; c < n; c++) x[c] = rng_chance(r, 50) ? huge : -huge;
            break;
        case 14: /* every block has a larger maximum than the one before */
            for (int64_t c = 0; c < n; c++) x[c] += 0.01 * (double)c;
            break;
        case 15: /* signed zeros and numbers that vanish beside them */
            for (int64_t c = 0; c < n; c++)
                x[c] = rng_chance(r, 30) ? -0.0 : rng_chance(r, 50) ? 0.0 : -1e-30 * x[c] * x[c];
            break;
        case 16: /* nothing but -inf for long, then numbers */
            for (int64_t c = 0; c + 1 < n; c++)
                if (c < n / 2) x[c] = -INFINITY;
            break;
        default: break;
    }
}

static void draw_probabilities(rng *r, int64_t n, double *x) {
    static const double scales[] = {1e-20, 1e-3, 10, 1e20};
    const int64_t kind = rng_int(r, 0, 15);
    double sum = 0;
    for (int64_t c = 0; c < n; c++) sum += x[c] = exp((kind == 0 ? 8 : 2) * rng_normal(r));
    if (kind != 1)
        for (int64_t c = 0; c < n; c++) x[c] /= sum;
    const int64_t one = rng_int(r, 0, n - 1);
    const double scale = scales[rng_int(r, 0, 3)], other = rng_chance(r, 50) ? 0 : 1e-9 / (double)n;
    switch (kind) {
        case 2:
        case 3:
            for (int64_t c = 0; c < n; c++) x[c] *= scale;
            break;
        case 4: /* exact zeros, which are clipped */
        case 5:
            for (int64_t c = 0; c < n; c++)
                if (c != one && rng_chance(r, 40)) x[c] = 0;
            break;
        case 6: /* sure, or nearly */
        case 7:
            for (int64_t c = 0; c < n; c++) x[c] = c == one ? 1 : other;
            break;
        case 8: x[one] = NAN; break;
        case 9:
            for (int64_t c = 0; c < n; c++) x[c] = 0;
            break;
        default: break;
    }
}

void draw_row(rng *r, int is_prob, xn_dtype dtype, int64_t classes, double *x) {
    if (is_prob) {
        draw_probabilities(r, classes, x);
    } else {
        draw_logits(r, dtype, classes, x);
    }
    if (dtype == XN_FLOAT64) return;
    for (int64_t c = 0; c < classes; c++) x[c] = (double)(float)x[c];
}
