/* SPDX-License-Identifier: BSD-3-Clause */
/* Focal loss, poly1 and KL divergence from probabilities, in both loop orders. Template: see real.h. The formulas:
 * shaped.h.
 *
 * Contract: reads tile->input and the targets, writes tile->loss and tile->grad where they are set; nothing overlaps.
 * No memory is allocated.
 *
 * As in prob_ce.h, with y the input, S its sum and q = y / S clipped to [epsilon, 1 - epsilon]:
 *     loss = sum of u_j f(q_j),   d loss / d y_k = V' / S - v_k / y_k, where v is 0 for what is clipped.
 * KL takes y as it is, clips it and the targets to [epsilon, 1], and has V' = 0. Where epsilon is below the normal
 * numbers, an input among them counts as the smallest normal number, but for 0: there the loss is infinite. */

/* The constants of a tile. */
typedef struct {
    XN_T(shape) shape;
    real half_low, half_high; /* L / 2 at the bounds, */
    real least, most;         /* and 1 - q there; KL: the bounds */
} XN_T(shaped_clip);

static inline XN_T(shaped_clip) XN_T(shaped_clip_of)(const xn_tile *t) {
    const int kl = t->shape == XN_SHAPE_KL;
    return (XN_T(shaped_clip)){
        XN_T(shape_of)(t), (real)(-0.5 * xn_log(t->epsilon)), (real)(-0.5 * xn_log_corrected(1 - t->epsilon, 0)),
        (real)t->epsilon,  kl ? 1 : (real)(1 - t->epsilon),
    };
}

/* Where y is clipped, and what it is divided by. */
static inline XN_T(clip) XN_T(shaped_bounds)(const xn_tile *t, double sum) {
    return t->shape == XN_SHAPE_KL ? (XN_T(clip)){(real)t->epsilon, 1, 1, 0, 1} : XN_T(clip_of)(sum, t->epsilon);
}

XN_INLINE real XN_T(clamped)(real value, real least, real most) {
    const real below = value > most ? most : value;
    return value < least ? least : below;
}

/* u for KL, clipped. */
XN_INLINE real XN_T(shaped_target)(int form, XN_T(shaped_clip) k, real u) {
    return form == XN_FORM_KL ? XN_T(clamped)(u, k.least, k.most) : u;
}

/* log(t / y) / 2 of clipped t and y. */
XN_INLINE real XN_T(half_ratio)(real t, real y) {
    const real t_safe = t < XN_REAL_TINY ? XN_REAL_TINY : t, y_safe = y < XN_REAL_TINY ? XN_REAL_TINY : y;
    const real ratio = (real)0.5 * XN_T(log_quotient)(t_safe, y_safe, 0, 1 / y_safe);
    return y == 0 ? INFINITY : ratio;
}

/* f / 2, and -q f' or 0 where y is clipped. */
XN_INLINE XN_T(shaped) XN_T(shaped_prob_class)(int form, XN_T(shaped_clip) k, XN_T(clip) c, real y, real u) {
    const real inside = XN_T(is_inside)(y, c);
    if (form == XN_FORM_KL) return (XN_T(shaped)){XN_T(half_ratio)(u, XN_T(clamped)(y, k.least, k.most)), inside};
    const real within = y == 0 ? INFINITY : (real)0.5 * XN_T(prob_loss)(y, c, 0, 0); /* 0 is inside if epsilon is 0 */
    const real half = inside != 0 ? within : y > c.high ? k.half_high : k.half_low;
    const real apart = ((c.sum - y) + c.sum_low) * c.inverse; /* 1 - q, exact near 1 */
    const real o = inside != 0 ? apart : y > c.high ? k.least : k.most;
    const XN_T(shaped) s = XN_T(shape_class)(form, k.shape, y * c.inverse, o, half);
    return (XN_T(shaped)){s.value, inside != 0 ? s.slope : 0};
}

/* Lanes over classes. */

XN_INLINE void XN_T(shaped_prob_lanes)(int form, XN_T(shaped_clip) k, XN_T(clip) c, const real *y, const real *u,
                                       real *restrict v, XN_T(shaped_sums) *restrict sums, ireal skip) {
#pragma omp simd
    for (ireal i = 0; i < XN_LANES; i++) {
        const real clipped = XN_T(shaped_target)(form, k, u[i]);
        const real target = i < skip ? 0 : clipped;
        const XN_T(shaped) s = XN_T(shaped_prob_class)(form, k, c, y[i], target);
        v[i] = XN_T(shaped_add)(1, sums, (int)i, target, s.value, s.slope);
    }
}

XN_INLINE void XN_T(shaped_prob_loop)(int form, XN_T(shaped_clip) k, XN_T(clip) c, const real *y, const real *u,
                                      real *restrict v, XN_T(shaped_sums) *restrict sums, int64_t n) {
    int64_t j = 0;
    for (; j + XN_LANES <= n; j += XN_LANES) XN_T(shaped_prob_lanes)(form, k, c, y + j, u + j, v + j, sums, 0);
    if (j == n) return;
    real last_y[XN_LANES], last_u[XN_LANES], last_v[XN_LANES];
    XN_T(last_vector)(last_y, y + n, n - j, c.sum);
    XN_T(last_vector)(last_u, u + n, n - j, 0);
    XN_T(shaped_prob_lanes)(form, k, c, last_y, last_u, last_v, sums, (ireal)(XN_LANES - (n - j)));
    memcpy(v + j, last_v + (XN_LANES - (n - j)), (size_t)(n - j) * sizeof(real));
}

static inline void XN_T(shaped_prob_visit)(XN_T(shaped_clip) k, XN_T(clip) c, const real *y, const real *u, real *v,
                                           XN_T(shaped_sums) *sums, int64_t n) {
    switch (k.shape.form) {
        case XN_FORM_SQUARE: XN_T(shaped_prob_loop)(XN_FORM_SQUARE, k, c, y, u, v, sums, n); break;
        case XN_FORM_POWER: XN_T(shaped_prob_loop)(XN_FORM_POWER, k, c, y, u, v, sums, n); break;
        case XN_FORM_KL: XN_T(shaped_prob_loop)(XN_FORM_KL, k, c, y, u, v, sums, n); break;
        default: XN_T(shaped_prob_loop)(XN_FORM_POLY1, k, c, y, u, v, sums, n); break;
    }
}

/* The first term of a gradient, weight included; KL has none. */
static inline real XN_T(shaped_base)(const xn_tile *t, double weight, double mass, double sum) {
    return t->shape == XN_SHAPE_KL ? 0 : XN_T(prob_base)(weight, mass, sum);
}

/* 0, or NaN for a row that sums to 0, whose quotients are all undefined. */
static inline double XN_T(shaped_missing)(double sum) {
    const double inverse = 1 / sum;
    return inverse - inverse;
}

static inline void XN_T(shaped_prob_row)(const xn_tile *t, XN_T(shaped_clip) k, int64_t row) {
    real targets[XN_T(FLUSH) + XN_LANES], copy[XN_T(FLUSH) + XN_LANES], v[XN_T(FLUSH) + XN_LANES];
    const double sum = t->shape == XN_SHAPE_KL ? 1 : XN_T(prob_sum)(0, t, row);
    const XN_T(clip) c = XN_T(shaped_bounds)(t, sum);
    XN_T(shaped_sums) sums;
    XN_T(shaped_clear)(&sums);
    for (int64_t j = 0; j < t->classes; j += XN_T(FLUSH)) {
        if (xn_stops_at(t, j)) break;
        const int64_t n = XN_T(least)(t->classes - j, XN_T(FLUSH));
        const real *u = XN_T(targets)(t, row, j, n, targets);
        XN_T(shaped_prob_visit)(k, c, XN_T(inputs)(t, row, j, n, copy), u, v, &sums, n);
    }
    const double half = XN_T(flushed)(sums.loss, sums.loss_error) + XN_T(shaped_missing)(sum);
    if (t->loss) t->loss[row] = 2 * (t->alpha * half) * t->weight[row];
    if (!t->grad.data) return;
    const double weight = xn_alpha_weight(t, row);
    const real base = XN_T(shaped_base)(t, weight, XN_T(flushed)(sums.mass, sums.mass_error), sum);
    for (int64_t j = 0; j < t->classes; j += XN_T(FLUSH)) {
        if (xn_stops_at(t, j)) break;
        const int64_t n = XN_T(least)(t->classes - j, XN_T(FLUSH));
        const real *y = XN_T(inputs)(t, row, j, n, copy);
        if (t->classes > XN_T(FLUSH))
            XN_T(shaped_prob_visit)(k, c, y, XN_T(targets)(t, row, j, n, targets), v, &sums, n);
#pragma omp simd
        for (int64_t i = 0; i < n; i++) v[i] = XN_T(prob_slope)(y[i], v[i], c, base, (real)weight);
        XN_T(put)(&t->grad, row, j, v, n);
    }
}

static void XN_T(shaped_prob_rows)(const xn_tile *t) {
    const XN_T(shaped_clip) k = XN_T(shaped_clip_of)(t);
    for (int64_t row = 0; row < t->rows; row++) {
        if (XN_T(is_dropped)(t, row)) {
            if (t->loss) t->loss[row] = 0;
            if (t->grad.data) XN_T(prob_zero)(t, row);
        } else {
            XN_T(shaped_prob_row)(t, k, row);
        }
    }
}

/* Lanes over rows. */

XN_INLINE void XN_T(shaped_prob_cols_loop)(int form, XN_T(shaped_clip) k, const XN_T(prob_cols) *s,
                                           XN_T(shaped_sums) *all, int64_t r, const real *group, real *restrict targets,
                                           int64_t n) {
    XN_T(shaped_sums) sums = all[r / XN_LANES];
    for (int64_t c = 0; c < n; c++) {
        const real *y = group + c * XN_LANES;
        real *u = targets + c * XN_LANES;
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) {
            const real target = XN_T(shaped_target)(form, k, u[i]);
            const XN_T(shaped) one = XN_T(shaped_prob_class)(form, k, XN_T(prob_clip)(s, r + i), y[i], target);
            u[i] = XN_T(shaped_add)(1, &sums, i, target, one.value, one.slope);
        }
    }
    all[r / XN_LANES] = sums;
}

static inline void XN_T(shaped_prob_cols_visit)(XN_T(shaped_clip) k, const XN_T(prob_cols) *s, XN_T(shaped_sums) *all,
                                                int64_t r, const real *group, real *targets, int64_t n) {
    switch (k.shape.form) {
        case XN_FORM_SQUARE: XN_T(shaped_prob_cols_loop)(XN_FORM_SQUARE, k, s, all, r, group, targets, n); break;
        case XN_FORM_POWER: XN_T(shaped_prob_cols_loop)(XN_FORM_POWER, k, s, all, r, group, targets, n); break;
        case XN_FORM_KL: XN_T(shaped_prob_cols_loop)(XN_FORM_KL, k, s, all, r, group, targets, n); break;
        default: XN_T(shaped_prob_cols_loop)(XN_FORM_POLY1, k, s, all, r, group, targets, n); break;
    }
}

/* The first visit: the rows' sums and bounds. Leaves the last block packed. */
static inline void XN_T(shaped_prob_cols_scan)(const xn_tile *t, XN_T(strip) strip, XN_T(prob_cols) *s, real *block) {
    for (int64_t r = 0; r < strip.padded; r++) s->sum[r] = s->sum_error[r] = 0;
    for (int64_t from = 0; from < t->classes; from += XN_FEW_CLASSES) {
        const int64_t n = XN_T(least)(t->classes - from, XN_FEW_CLASSES);
        if (xn_stops_block(t, strip.rows, n)) break;
        XN_T(pack)(block, &t->input, strip, from, n);
        for (int64_t r = 0; r < strip.padded; r += XN_LANES)
            XN_T(prob_cols_sum)(0, t, strip, s, r, block + r * n, from, n);
    }
    XN_T(prob_cols_clip)(t, strip, s);
    const XN_T(clip) c = XN_T(shaped_bounds)(t, 1);
    for (int64_t r = 0; t->shape == XN_SHAPE_KL && r < strip.padded; r++) {
        s->sum[r] = 1;
        s->low[r] = c.low;
        s->high[r] = c.high;
        s->whole[r] = s->inverse[r] = 1;
        s->whole_low[r] = 0;
    }
}

static inline void XN_T(shaped_prob_cols_finish)(const xn_tile *t, XN_T(strip) strip, XN_T(prob_cols) *s,
                                                 const XN_T(shaped_sums) *all) {
    for (int64_t r = 0; r < strip.rows; r++) {
        const XN_T(shaped_sums) *sums = all + r / XN_LANES;
        const int64_t lane = r % XN_LANES, row = strip.first + r;
        const int dropped = XN_T(is_dropped)(t, row);
        const double half = XN_T(added)(sums->loss[lane], sums->loss_error[lane]) + XN_T(shaped_missing)(s->sum[r]);
        const double mass = XN_T(added)(sums->mass[lane], sums->mass_error[lane]);
        if (t->loss) t->loss[row] = dropped ? 0 : 2 * (t->alpha * half) * t->weight[row];
        const double weight = dropped ? 0 : xn_alpha_weight(t, row);
        s->weight[r] = (real)weight;
        s->base[r] = XN_T(shaped_base)(t, weight, mass, s->sum[r]);
    }
    for (int64_t r = strip.rows; r < strip.padded; r++) s->weight[r] = s->base[r] = 0;
}

static void XN_T(shaped_prob_cols)(const xn_tile *t) {
    const XN_T(shaped_clip) k = XN_T(shaped_clip_of)(t);
    const int single = t->classes <= XN_FEW_CLASSES;
    _Alignas(64) real block[XN_T(PACKED)], targets[XN_T(PACKED)];
    XN_T(leaving) out;
    XN_T(prob_cols) s;
    XN_T(shaped_sums) sums[XN_T(COL_ROWS) / XN_LANES];
    XN_T(stream) stream;
    XN_T(stream_start)(&stream);
    XN_T(strip) strip;
    for (int64_t first = 0; first < t->rows; first += strip.rows) {
        strip = XN_T(strip_at)(t, first);
        XN_T(shaped_prob_cols_scan)(t, strip, &s, block);
        for (int64_t r = 0; r < strip.padded; r += XN_LANES) XN_T(shaped_clear)(sums + r / XN_LANES);
        for (int visit = 2; visit <= (t->grad.data ? 3 : 2); visit++) {
            for (int64_t from = 0; from < t->classes; from += XN_FEW_CLASSES) {
                const int64_t n = XN_T(least)(t->classes - from, XN_FEW_CLASSES);
                if (xn_stops_block(t, strip.rows, n)) break;
                const int again = visit == 2 || !single;
                if (!single) XN_T(pack)(block, &t->input, strip, from, n);
                if (again) XN_T(pack_targets)(targets, t, strip, from, n);
                for (int64_t r = 0; r < strip.padded; r += XN_LANES) {
                    real *group = block + r * n, *v = targets + r * n;
                    if (again) XN_T(shaped_prob_cols_visit)(k, &s, sums, r, group, v, n);
                    if (visit == 3) XN_T(prob_cols_grad_dense)(&s, r, group, v, n);
                }
                if (visit == 3) XN_T(cols_put_grad)(t, strip, block, &out, from, n, &stream);
            }
            if (visit == 2) XN_T(shaped_prob_cols_finish)(t, strip, &s, sums);
        }
    }
    XN_T(ce_write_end)(t, &stream);
}
