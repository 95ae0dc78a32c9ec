/* SPDX-License-Identifier: BSD-3-Clause */
/* Focal loss and poly1 from logits, lanes over classes. Template: see real.h. The formulas: shaped.h.
 *
 * Contract: reads tile->input and the targets, writes tile->loss, tile->grad and tile->hess where they are set. The
 * gradient may be the input itself; otherwise nothing overlaps. No memory is allocated.
 *
 * The first visit to a row is that of softmax_ce.h. The second has p, L = log S + (m - x) and 1 - p, and sums the
 * loss and V; the third writes the gradient. What is at the maximum, where 1 - p may be tiny, is computed once for
 * the row, in float64, from the sum of the others. Elsewhere p <= 1/2, so that 1 - p has the digits of p. */

/* f / 2 and -p f' of the classes at the maximum of XN_FINISH rows. */
typedef struct {
    double value[XN_FINISH], slope[XN_FINISH];
} XN_T(tops);

XN_INLINE void XN_T(shape_tops_loop)(int form, double c, const xn_finish *f, XN_T(tops) *tops) {
#pragma omp simd
    for (int i = 0; i < XN_FINISH; i++) {
        const double o = f->to_one[i], log_s = f->log_s[i], p = f->largest[i];
        if (form == XN_FORM_POLY1) {
            tops->value[i] = 0.5 * XN_FMA64(c, o, log_s);
            tops->slope[i] = XN_FMA64(c, p, 1.0);
        } else {
            const double safe = o < 0x1p-1000 ? 0x1p-1000 : o;
            const double power = form == XN_FORM_SQUARE ? o * o : xn_exp_negative(c * xn_log_corrected(safe, 0));
            const double slope = power * XN_FMA64(c * p, log_s / safe, 1.0);
            tops->value[i] = 0.5 * (o < 0x1p-1000 ? 0.0 : power * log_s);
            tops->slope[i] = o < 0x1p-1000 ? 0.0 : slope;
        }
    }
}

static inline void XN_T(shape_tops)(const xn_tile *t, XN_T(shape) k, const xn_finish *f, XN_T(tops) *tops) {
    switch (k.form) {
        case XN_FORM_SQUARE: XN_T(shape_tops_loop)(XN_FORM_SQUARE, t->coefficient, f, tops); break;
        case XN_FORM_POWER: XN_T(shape_tops_loop)(XN_FORM_POWER, t->coefficient, f, tops); break;
        default: XN_T(shape_tops_loop)(XN_FORM_POLY1, (double)k.epsilon, f, tops); break;
    }
}

/* The tile as the first visit and its end shall see it: without targets and outputs, but as if log-probabilities were
 * wanted, which need both the scale of the exponentials and, again, the logits. */
static inline xn_tile XN_T(shaped_view)(const xn_tile *t) {
    xn_tile view = *t;
    view.target.data = NULL;
    view.label = NULL;
    view.loss = NULL;
    view.grad.data = NULL;
    view.hess.data = NULL;
    view.log_prob = t->input;
    return view;
}

/* Whether there is a third visit. */
static inline int XN_T(shaped_slopes)(const xn_tile *t) {
    return t->grad.data || t->hess.data;
}

/* What the second and third visit need of a row. */
typedef struct {
    real value, slope; /* f / 2 and -p f' at the maximum */
    real max, half_max, half_log_s;
} XN_T(shaped_row);

/* n <= FLUSH classes of a row. */
typedef struct {
    const real *x, *u;
    real p[XN_T(FLUSH) + 2 * XN_LANES], v[XN_T(FLUSH) + XN_LANES]; /* p after LANES elements of headroom */
    real targets[XN_T(FLUSH) + XN_LANES], copy[XN_T(FLUSH) + XN_LANES];
} XN_T(shaped_block);

XN_INLINE void XN_T(shaped_lanes)(int form, int slopes, XN_T(shape) k, XN_T(shaped_row) r, const real *x, const real *p,
                                  const real *u, real *restrict v, XN_T(shaped_sums) *restrict sums) {
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) {
        const real half = XN_FMA((real)-0.5, x[i], r.half_max) + r.half_log_s;
        const XN_T(shaped) s = XN_T(shape_class)(form, k, p[i], 1 - p[i], half);
        const real value = x[i] == r.max ? r.value : s.value, slope = x[i] == r.max ? r.slope : s.slope;
        v[i] = XN_T(shaped_add)(slopes, sums, i, u[i], value, slope);
    }
}

XN_INLINE void XN_T(shaped_loop)(int form, int slopes, XN_T(shape) k, XN_T(shaped_row) r, XN_T(shaped_block) *b,
                                 int64_t n, XN_T(shaped_sums) *restrict sums) {
    const real *p = b->p + XN_LANES;
    int64_t j = 0;
    for (; j + XN_LANES <= n; j += XN_LANES)
        XN_T(shaped_lanes)(form, slopes, k, r, b->x + j, p + j, b->u + j, b->v + j, sums);
    if (j == n) return;
    real x[XN_LANES], q[XN_LANES], u[XN_LANES], v[XN_LANES];
    XN_T(last_vector)(x, b->x + n, n - j, 0);
    XN_T(last_vector)(q, p + n, n - j, 0);
    XN_T(last_vector)(u, b->u + n, n - j, 0);
    XN_T(shaped_lanes)(form, slopes, k, r, x, q, u, v, sums);
    memcpy(b->v + j, v + (XN_LANES - (n - j)), (size_t)(n - j) * sizeof(real));
}

/* The second visit to a block: probabilities, v, and what they add to the sums. */
static inline void XN_T(shaped_visit)(const xn_tile *t, XN_T(shape) k, int64_t row, int64_t from, int64_t n,
                                      const XN_T(row) *done, XN_T(exps) kept, XN_T(shaped_row) r, XN_T(shaped_block) *b,
                                      XN_T(shaped_sums) *sums) {
    b->x = XN_T(inputs)(t, row, from, n, b->copy);
    b->u = XN_T(targets)(t, row, from, n, b->targets);
    XN_T(prob_kept)(b->p + XN_LANES, b->x, n, done, 1, kept);
    switch (k.form * 2 + XN_T(shaped_slopes)(t)) {
        case XN_FORM_SQUARE * 2: XN_T(shaped_loop)(XN_FORM_SQUARE, 0, k, r, b, n, sums); break;
        case XN_FORM_SQUARE * 2 + 1: XN_T(shaped_loop)(XN_FORM_SQUARE, 1, k, r, b, n, sums); break;
        case XN_FORM_POWER * 2: XN_T(shaped_loop)(XN_FORM_POWER, 0, k, r, b, n, sums); break;
        case XN_FORM_POWER * 2 + 1: XN_T(shaped_loop)(XN_FORM_POWER, 1, k, r, b, n, sums); break;
        case XN_FORM_POLY1 * 2: XN_T(shaped_loop)(XN_FORM_POLY1, 0, k, r, b, n, sums); break;
        default: XN_T(shaped_loop)(XN_FORM_POLY1, 1, k, r, b, n, sums); break;
    }
}

/* n <= FLUSH elements of Hessian and gradient, all 0 where the row is dropped. The gradient goes last: it may overwrite
 * b->x. */
static inline void XN_T(shaped_write)(const xn_tile *t, int64_t row, int64_t from, int64_t n,
                                      const XN_T(shaped_block) *b, real max, real mass, real to_one, double scaled,
                                      XN_T(stream) *stream) {
    real space[XN_T(FLUSH) + XN_LANES];
    const real weight = (real)scaled;
    if (t->hess.data) {
        XN_T(ce_hess)(space, b ? b->p + XN_LANES : NULL, b ? b->x : NULL, n, max, to_one, mass,
                      (real)(scaled * t->hess_scale));
        XN_T(put)(&t->hess, row, from, space, n);
    }
    if (!t->grad.data) return;
    real *grad = XN_T(ce_grad_room)(t, row, from, space, stream);
    if (weight == 0) {
        memset(grad, 0, (size_t)n * sizeof(real));
    } else {
        const real *p = b->p + XN_LANES;
        for (int64_t j = 0; j < n; j++)
            grad[j] = XN_T(ce_slope)(mass * p[j], b->x[j] == max, b->v[j], mass, to_one, weight);
    }
    XN_T(ce_put_grad)(t, row, from, grad, n, stream);
}

static inline void XN_T(shaped_drop)(const xn_tile *t, int64_t row, XN_T(stream) *stream) {
    if (t->loss) t->loss[row] = 0;
    for (int64_t j = 0; XN_T(shaped_slopes)(t) && j < t->classes && !xn_stops_at(t, j); j += XN_T(FLUSH))
        XN_T(shaped_write)(t, row, j, XN_T(least)(t->classes - j, XN_T(FLUSH)), NULL, 0, 0, 0, 0, stream);
}

/* The second and third visit to a row, which is the i-th in `kept`. */
static inline void XN_T(shaped_finish_row)(const xn_tile *t, XN_T(shape) k, int64_t row, const XN_T(row) *done,
                                           double value, double slope, const XN_T(kept) *kept, int64_t i,
                                           XN_T(shaped_block) *b, XN_T(stream) *stream) {
    const XN_T(shaped_row) r = {(real)value, (real)slope, done->max, (real)(0.5 * (double)done->max),
                                (real)(0.5 * done->log_s)};
    const double missing = done->log_s - done->log_s; /* 0, or NaN where the maximum is not finite */
    XN_T(exps) exps;
    XN_T(shaped_sums) sums;
    XN_T(shaped_clear)(&sums);
    for (int64_t j = 0; j < t->classes; j += XN_T(FLUSH)) {
        if (xn_stops_at(t, j)) break;
        XN_T(find_kept)(&exps, t, kept, i, j, done);
        XN_T(shaped_visit)(t, k, row, j, XN_T(least)(t->classes - j, XN_T(FLUSH)), done, exps, r, b, &sums);
    }
    const double half = XN_T(flushed)(sums.loss, sums.loss_error) + missing;
    const real mass = (real)(XN_T(flushed)(sums.mass, sums.mass_error) + missing);
    if (t->loss) t->loss[row] = 2 * (t->alpha * half) * t->weight[row];
    const double weight = xn_alpha_weight(t, row);
    for (int64_t j = 0; XN_T(shaped_slopes)(t) && j < t->classes; j += XN_T(FLUSH)) {
        if (xn_stops_at(t, j)) break;
        const int64_t n = XN_T(least)(t->classes - j, XN_T(FLUSH));
        if (t->classes > XN_T(FLUSH)) {
            XN_T(find_kept)(&exps, t, kept, i, j, done);
            XN_T(shaped_visit)(t, k, row, j, n, done, exps, r, b, &sums);
        }
        XN_T(shaped_write)(t, row, j, n, b, done->max, mass, (real)done->to_one, weight, stream);
    }
}

/* ce_finish for these rows, and what stands at their maxima. */
static inline void XN_T(shaped_finish)(const xn_tile *view, XN_T(shape) k, int64_t first, int rows, const xn_part *part,
                                       XN_T(row) *done, XN_T(tops) *tops) {
    xn_finish f;
    XN_T(ce_finish)(view, first, rows, part, done);
    XN_ZERO(f.log_s);
    XN_ZERO(f.largest);
    XN_ZERO(f.to_one);
    for (int i = 0; i < rows; i++) {
        f.log_s[i] = done[i].log_s;
        f.largest[i] = done[i].largest;
        f.to_one[i] = done[i].to_one;
    }
    XN_T(shape_tops)(view, k, &f, tops);
}

static void XN_T(shaped_ce_rows)(const xn_tile *t) {
    const XN_T(shape) k = XN_T(shape_of)(t);
    const xn_tile view = XN_T(shaped_view)(t);
    xn_part part[XN_FINISH];
    XN_T(row) done[XN_FINISH];
    XN_T(tops) tops;
    XN_T(kept) kept;
    XN_T(shaped_block) block;
    XN_T(stream) stream;
    XN_T(keep)(&kept, t);
    XN_T(stream_start)(&stream);
    for (int i = 0; i < XN_LANES; i++) block.p[i] = 0;
    const int64_t group = XN_T(rows_together)(t, &kept);
    for (int64_t first = 0; first < t->rows; first += group) {
        const int n = (int)XN_T(least)(t->rows - first, group);
        if (t->classes <= XN_T(BLOCK)) {
            XN_T(ce_scan_short)(&view, first, n, part, &kept);
        } else {
            for (int i = 0; i < n; i++) XN_T(ce_scan_row)(&view, first + i, part + i, &kept, i);
        }
        XN_T(shaped_finish)(&view, k, first, n, part, done, &tops);
        for (int i = 0; i < n; i++) {
            if (XN_T(is_dropped)(t, first + i)) {
                XN_T(shaped_drop)(t, first + i, &stream);
            } else {
                XN_T(shaped_finish_row)(t, k, first + i, done + i, tops.value[i], tops.slope[i], &kept, i, &block,
                                        &stream);
            }
        }
    }
    XN_T(ce_write_end)(t, &stream);
}
