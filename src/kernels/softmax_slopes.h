/* SPDX-License-Identifier: BSD-3-Clause */
/* Gradient and Hessian alone, with labels, of few classes where rows are neighbours: what gradient boosting asks for,
 * in the order that it has. float64 comes in and float32 goes out, so plain sums hold more digits than are wanted: a
 * group of rows is read once, stays in the cache, and leaves without the sums with errors of softmax_ce_cols.h. The
 * exponentials keep their digits: gradients that are rounded once are those of any other good float64 code, bit for bit
 * but for one in many millions, and give the same trees.
 * Formulas and special values are those of softmax_ce.h. Template: see real.h. */
#if XN_READS_REAL && !XN_WRITES_REAL

/* Factors of a strip's rows, and what the outputs of a group follow from. Lanes beyond the last row have a weight of 0.
 */
typedef struct {
    real weight[XN_T(COL_ROWS)], hess_weight[XN_T(COL_ROWS)];
    ireal label[XN_T(COL_ROWS)];
    real largest[XN_LANES], to_one[XN_LANES]; /* the largest probability, and 1 less that */
} XN_T(slopes);

/* Whether these outputs are all that is wanted, and rows are neighbours wherever they are. */
static inline int XN_T(slopes_suffice)(const xn_tile *t) {
    return t->grad.data && t->hess.data && !t->loss && !t->lse && !t->prob.data && !t->log_prob.data && t->label &&
           !XN_T(is_dense)(t) && t->classes <= XN_FEW_CLASSES && t->input.row == 1 && t->grad.row == 1 &&
           t->hess.row == 1;
}

/* Returns 0 if a weight is so large that what underflows before it is multiplied would be seen. */
static inline int XN_T(slopes_weigh)(const xn_tile *t, XN_T(strip) strip, XN_T(slopes) *s) {
    real weight[XN_T(COL_ROWS)];
    ireal wild = 0;
    XN_ZERO(weight);
    XN_ZERO(s->label);
    memcpy(weight, t->weight + strip.first, (size_t)strip.rows * sizeof *weight);
    memcpy(s->label, t->label + strip.first, (size_t)strip.rows * sizeof *s->label);
    const real grad_scale = t->grad_scale, hess_scale = t->hess_scale;
#pragma omp simd reduction(| : wild)
    for (int i = 0; i < XN_T(COL_ROWS); i++) {
        const real product = weight[i] * grad_scale, scaled = weight[i] == 0 ? 0 : product;
        const real curved = scaled * hess_scale;
        s->weight[i] = scaled;
        s->hess_weight[i] = curved;
        wild |= -(ireal) !(fabs(scaled) < (real)0x1p100) | -(ireal) !(fabs(curved) < (real)0x1p100);
    }
    return !wild;
}

/* The logits of a group into x, and their maxima. */
static inline void XN_T(slopes_read)(const xn_tile *t, int64_t row, int64_t rows, real *restrict x,
                                     real *restrict most) {
    real max[XN_LANES];
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) max[i] = -INFINITY;
    for (int64_t c = 0; c < t->classes; c++, x += XN_LANES) {
        const XN_T(stored) *from = XN_T(at)(&t->input, row, c);
        if (rows == XN_LANES) {
            memcpy(x, from, XN_LANES * sizeof(real));
        } else {
            for (int64_t i = 0; i < XN_LANES; i++) x[i] = i < rows ? from[i] : 0;
        }
        __builtin_prefetch(from + XN_T(COL_ROWS));
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) max[i] = XN_T(larger)(x[i], max[i]);
    }
    memcpy(most, max, sizeof max);
}

/* Logits become exponentials, and -1 at the maximum. */
static inline void XN_T(slopes_sum)(int64_t classes, real *restrict x, const real *restrict most, XN_T(slopes) *s) {
    real max[XN_LANES], rest[XN_LANES], ties[XN_LANES];
    memcpy(max, most, sizeof max);
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) rest[i] = ties[i] = 0;
    for (int64_t c = 0; c < classes; c++, x += XN_LANES) {
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) {
            const real e = xn_exp_down(x[i] - max[i]);
            const int tie = x[i] == max[i];
            rest[i] += tie ? 0 : e;
            ties[i] += tie ? 1 : (real)0;
            x[i] = tie ? -1 : e;
        }
    }
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) {
        const real others = ((ties[i] - 1) + rest[i]) + (max[i] - max[i]); /* NaN where the maximum is not finite */
        s->largest[i] = 1 / (1 + others);
        s->to_one[i] = others * s->largest[i];
    }
}

static inline void XN_T(slopes_write)(const xn_tile *t, int64_t row, int64_t rows, const real *restrict e,
                                      const XN_T(slopes) *s, int64_t r) {
    real largest[XN_LANES], to_one[XN_LANES], weight[XN_LANES], hess_weight[XN_LANES];
    ireal label[XN_LANES];
    memcpy(largest, s->largest, sizeof largest);
    memcpy(to_one, s->to_one, sizeof to_one);
    memcpy(weight, s->weight + r, sizeof weight);
    memcpy(hess_weight, s->hess_weight + r, sizeof hess_weight);
    memcpy(label, s->label + r, sizeof label);
    for (int64_t c = 0; c < t->classes; c++, e += XN_LANES) {
        XN_T(written) *grad = XN_T(out_at)(&t->grad, row, c), *hess = XN_T(out_at)(&t->hess, row, c);
        real slope[XN_LANES], curve[XN_LANES];
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) {
            const real p = e[i] < 0 ? largest[i] : e[i] * largest[i];
            const real other = e[i] < 0 ? to_one[i] : 1 - p;
            const real one = label[i] == c ? -other : p;
            const real steep = weight[i] * one, square = hess_weight[i] * (p * other);
            slope[i] = weight[i] == 0 ? 0 : steep;
            curve[i] = hess_weight[i] == 0 ? 0 : square;
        }
        if (rows == XN_LANES) {
            __builtin_prefetch(grad + XN_T(COL_ROWS), 1);
            __builtin_prefetch(hess + XN_T(COL_ROWS), 1);
            XN_T(narrow_lanes)(grad, slope);
            XN_T(narrow_lanes)(hess, curve);
        } else {
            for (int64_t i = 0; i < rows; i++) {
                grad[i] = XN_T(narrowed)(slope[i]);
                hess[i] = XN_T(narrowed)(curve[i]);
            }
        }
    }
}

/* A strip of rows. Returns 0, with its outputs unfinished, if it is not for these formulas. */
static inline int XN_T(slopes_strip)(const xn_tile *t, XN_T(strip) strip) {
    _Alignas(64) real block[XN_FEW_CLASSES * XN_LANES];
    real most[XN_LANES];
    XN_T(slopes) s;
    if (!XN_T(slopes_weigh)(t, strip, &s)) return 0;
    for (int64_t r = 0; r < strip.rows; r += XN_LANES) {
        const int64_t row = strip.first + r, rows = XN_T(least)(strip.rows - r, XN_LANES);
        XN_T(slopes_read)(t, row, rows, block, most);
        XN_T(slopes_sum)(t->classes, block, most, &s);
        XN_T(slopes_write)(t, row, rows, block, &s, r);
    }
    return 1;
}
#endif
