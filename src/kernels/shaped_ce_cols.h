/* SPDX-License-Identifier: BSD-3-Clause */
/* Focal loss and poly1 from logits with lanes over rows, on packed blocks: the loop order is explained in
 * softmax_ce_cols.h, contract and visits in shaped_ce.h, formulas in shaped.h. Template: see real.h. */

/* The rows of a strip after the first visit; arrays over lanes. */
typedef struct {
    real scale[XN_T(COL_ROWS)], largest[XN_T(COL_ROWS)], to_one[XN_T(COL_ROWS)];
    real value[XN_T(COL_ROWS)], slope[XN_T(COL_ROWS)]; /* f / 2 and -p f' at the maximum */
    real half_max[XN_T(COL_ROWS)], half_log_s[XN_T(COL_ROWS)];
    real mass[XN_T(COL_ROWS)], weight[XN_T(COL_ROWS)], hess_weight[XN_T(COL_ROWS)];
    double log_s[XN_T(COL_ROWS)];
    XN_T(shaped_sums) sums[XN_T(COL_ROWS) / XN_LANES];
} XN_T(shaped_cols);

/* From the sums of XN_FINISH rows, r and on, to what their second visit needs. */
static inline void XN_T(shaped_cols_begin)(const xn_tile *t, XN_T(shape) k, const XN_T(cols) *s, int64_t r,
                                           XN_T(shaped_cols) *d) {
    xn_finish f;
    XN_T(tops) tops;
#pragma omp simd
    for (int i = 0; i < XN_FINISH; i++) {
        f.max[i] = (double)s->max[r + i];
        f.rest[i] = s->rest[r + i];
        f.ties[i] = s->ties[r + i];
        f.offset[i] = XN_T(offset)(s->max[r + i]);
    }
    xn_finish_rows(&f, 1, 1);
    XN_T(shape_tops)(t, k, &f, &tops);
#pragma omp simd
    for (int i = 0; i < XN_FINISH; i++) {
        d->scale[r + i] = (real)f.scale[i];
        d->largest[r + i] = (real)f.largest[i];
        d->to_one[r + i] = (real)f.to_one[i];
        d->value[r + i] = (real)tops.value[i];
        d->slope[r + i] = (real)tops.slope[i];
        d->half_max[r + i] = (real)(0.5 * f.max[i]);
        d->half_log_s[r + i] = (real)(0.5 * f.log_s[i]);
        d->log_s[r + i] = f.log_s[i];
    }
}

/* The second visit to a group of n classes: p takes the place of the logits, -1 that of the maximum, and v that of the
 * targets. */
XN_INLINE void XN_T(shaped_cols_loop)(int form, int slopes, XN_T(shape) k, const XN_T(cols) *s, XN_T(shaped_cols) *d,
                                      int64_t r, real *restrict group, real *restrict targets, int64_t n) {
    XN_T(references) ref;
    XN_T(refer_lanes)(&ref, s->max + r);
    XN_T(shaped_sums) sums = d->sums[r / XN_LANES];
    for (int64_t c = 0; c < n; c++) {
        real *x = group + c * XN_LANES, *u = targets + c * XN_LANES;
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) {
            const real e = XN_T(lifted)(x[i], ref.shift[i], ref.lowest[i], ref.magic[i]);
            const real p = d->scale[r + i] * e;
            const real half = XN_FMA((real)-0.5, x[i], d->half_max[r + i]) + d->half_log_s[r + i];
            const XN_T(shaped) one = XN_T(shape_class)(form, k, p, 1 - p, half);
            const int top = x[i] == ref.max[i];
            const real value = top ? d->value[r + i] : one.value, slope = top ? d->slope[r + i] : one.slope;
            x[i] = top ? -1 : p;
            u[i] = XN_T(shaped_add)(slopes, &sums, i, u[i], value, slope);
        }
    }
    d->sums[r / XN_LANES] = sums;
}

static inline void XN_T(shaped_cols_visit)(int slopes, XN_T(shape) k, const XN_T(cols) *s, XN_T(shaped_cols) *d,
                                           int64_t r, real *group, real *targets, int64_t n) {
    switch (k.form * 2 + slopes) {
        case XN_FORM_SQUARE * 2: XN_T(shaped_cols_loop)(XN_FORM_SQUARE, 0, k, s, d, r, group, targets, n); break;
        case XN_FORM_SQUARE * 2 + 1: XN_T(shaped_cols_loop)(XN_FORM_SQUARE, 1, k, s, d, r, group, targets, n); break;
        case XN_FORM_POWER * 2: XN_T(shaped_cols_loop)(XN_FORM_POWER, 0, k, s, d, r, group, targets, n); break;
        case XN_FORM_POWER * 2 + 1: XN_T(shaped_cols_loop)(XN_FORM_POWER, 1, k, s, d, r, group, targets, n); break;
        case XN_FORM_POLY1 * 2: XN_T(shaped_cols_loop)(XN_FORM_POLY1, 0, k, s, d, r, group, targets, n); break;
        default: XN_T(shaped_cols_loop)(XN_FORM_POLY1, 1, k, s, d, r, group, targets, n); break;
    }
}

/* Losses, and what the gradients need, of all rows of a strip. */
static inline void XN_T(shaped_cols_finish)(const xn_tile *t, XN_T(strip) strip, XN_T(shaped_cols) *d) {
    for (int64_t r = 0; r < strip.rows; r++) {
        const XN_T(shaped_sums) *sums = d->sums + r / XN_LANES;
        const int64_t lane = r % XN_LANES, row = strip.first + r;
        const int dropped = XN_T(is_dropped)(t, row);
        const double missing = d->log_s[r] - d->log_s[r]; /* NaN where the maximum is not finite */
        const double half = XN_T(added)(sums->loss[lane], sums->loss_error[lane]) + missing;
        if (t->loss) t->loss[row] = dropped ? 0 : 2 * (t->alpha * half) * t->weight[row];
        d->mass[r] = (real)(XN_T(added)(sums->mass[lane], sums->mass_error[lane]) + missing);
        const double weight = dropped ? 0 : xn_alpha_weight(t, row);
        d->weight[r] = (real)weight;
        d->hess_weight[r] = (real)(weight * t->hess_scale);
    }
    for (int64_t r = strip.rows; r < strip.padded; r++) d->mass[r] = d->weight[r] = d->hess_weight[r] = 0;
}

/* The third visit: gradients of a group, in place of its p. */
static inline void XN_T(shaped_cols_grad)(const XN_T(shaped_cols) *d, int64_t r, real *group, const real *v,
                                          int64_t n) {
    for (int64_t c = 0; c < n; c++) {
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) {
            const real one = group[c * XN_LANES + i], mass = d->mass[r + i], weight = d->weight[r + i];
            const real p = one < 0 ? d->largest[r + i] : one;
            const real slope = XN_T(ce_slope)(mass * p, one < 0, v[c * XN_LANES + i], mass, d->to_one[r + i], weight);
            group[c * XN_LANES + i] = weight == 0 ? 0 : slope;
        }
    }
}

/* The third visit to a packed block. */
static inline void XN_T(shaped_cols_write)(const xn_tile *t, XN_T(strip) strip, const XN_T(shaped_cols) *d, real *block,
                                           const real *targets, XN_T(leaving) *out, int64_t from, int64_t n,
                                           XN_T(stream) *stream) {
    if (t->hess.data) {
        real ones[XN_LANES];
        for (int i = 0; i < XN_LANES; i++) ones[i] = 1;
        for (int64_t r = 0; r < strip.padded; r += XN_LANES)
            XN_T(cols_hess)(out->lanes + r * n, block + r * n, ones, d->largest + r, d->to_one + r, d->mass + r,
                            d->hess_weight + r, n);
        XN_T(unpack)(&t->hess, out->lanes, strip, from, n);
    }
    if (!t->grad.data) return;
    for (int64_t r = 0; r < strip.padded; r += XN_LANES)
        XN_T(shaped_cols_grad)(d, r, block + r * n, targets + r * n, n);
    XN_T(cols_put_grad)(t, strip, block, out, from, n, stream);
}

static void XN_T(shaped_ce_cols)(const xn_tile *t) {
    const XN_T(shape) k = XN_T(shape_of)(t);
    const xn_tile view = XN_T(shaped_view)(t);
    const int single = t->classes <= XN_FEW_CLASSES, slopes = XN_T(shaped_slopes)(t);
    XN_T(cols) s;
    XN_T(shaped_cols) d;
    _Alignas(64) real block[XN_T(PACKED)], targets[XN_T(PACKED)];
    XN_T(leaving) out;
    XN_T(stream) stream;
    XN_T(stream_start)(&stream);
    XN_T(strip) strip;
    for (int64_t first = 0; first < t->rows; first += strip.rows) {
        strip = XN_T(strip_at)(t, first);
        XN_T(cols_scan)(&view, strip, &s, block, targets);
        for (int64_t r = 0; r < strip.rows; r += XN_FINISH) XN_T(shaped_cols_begin)(t, k, &s, r, &d);
        for (int64_t r = 0; r < strip.padded; r += XN_LANES) XN_T(shaped_clear)(d.sums + r / XN_LANES);
        for (int visit = 2; visit <= (slopes ? 3 : 2); visit++) {
            for (int64_t from = 0; from < t->classes; from += XN_FEW_CLASSES) {
                const int64_t n = XN_T(least)(t->classes - from, XN_FEW_CLASSES);
                if (xn_stops_block(t, strip.rows, n)) break;
                const int again = visit == 2 || !single;
                if (!single) XN_T(pack)(block, &t->input, strip, from, n);
                if (again) XN_T(pack_targets)(targets, t, strip, from, n);
                for (int64_t r = 0; r < strip.padded; r += XN_LANES) {
                    if (again) XN_T(shaped_cols_visit)(slopes, k, &s, &d, r, block + r * n, targets + r * n, n);
                }
                if (visit == 3) XN_T(shaped_cols_write)(t, strip, &d, block, targets, &out, from, n, &stream);
            }
            if (visit == 2) XN_T(shaped_cols_finish)(t, strip, &d);
        }
    }
    XN_T(ce_write_end)(t, &stream);
}
