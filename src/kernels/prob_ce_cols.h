/* SPDX-License-Identifier: BSD-3-Clause */
/* Cross-entropy from probabilities with lanes over rows, on packed blocks: the loop order is explained in
 * softmax_ce_cols.h, contract and formulas in prob_ce.h. Template: see real.h. */

/* The rows of a strip; arrays over lanes. */
typedef struct {
    double sum[XN_T(COL_ROWS)], loss[XN_T(COL_ROWS)], inside[XN_T(COL_ROWS)];
    double sum_error[XN_T(COL_ROWS)], loss_error[XN_T(COL_ROWS)], inside_error[XN_T(COL_ROWS)]; /* see add() */
    real at_label[XN_T(COL_ROWS)];
    real least[XN_T(COL_ROWS)], most[XN_T(COL_ROWS)]; /* of the row's probabilities, with tile->sight */
    real low[XN_T(COL_ROWS)], high[XN_T(COL_ROWS)], inverse[XN_T(COL_ROWS)]; /* clip of the row, */
    real whole[XN_T(COL_ROWS)], whole_low[XN_T(COL_ROWS)];
    real base[XN_T(COL_ROWS)], at[XN_T(COL_ROWS)], weight[XN_T(COL_ROWS)];
} XN_T(prob_cols);

static inline XN_T(clip) XN_T(prob_clip)(const XN_T(prob_cols) *s, int64_t r) {
    return (XN_T(clip)){s->low[r], s->high[r], s->whole[r], s->whole_low[r], s->inverse[r]};
}

/* Adds a group of n classes to the sums of its rows, which begin at row r of the strip, and with `seeing`, a constant
 * to the callers, to their extremes. */
XN_INLINE void XN_T(prob_cols_sum)(int seeing, const xn_tile *t, XN_T(strip) strip, XN_T(prob_cols) *s, int64_t r,
                                   const real *group, int64_t from, int64_t n) {
    double sum[XN_LANES], error[XN_LANES];
    real least[XN_LANES], most[XN_LANES];
    memcpy(least, s->least + r, sizeof least);
    memcpy(most, s->most + r, sizeof most);
    memcpy(sum, s->sum + r, sizeof sum);
    memcpy(error, s->sum_error + r, sizeof error);
    for (int64_t c = 0; c < n; c++) {
        XN_T(fetch_strip)(&t->input, strip, 2, r, from, c, n);
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) XN_T(add)(sum + i, error + i, (double)group[c * XN_LANES + i]);
        if (seeing) XN_T(see_lanes)(least, most, group + c * XN_LANES, XN_LANES);
    }
    memcpy(s->least + r, least, sizeof least);
    memcpy(s->most + r, most, sizeof most);
    memcpy(s->sum + r, sum, sizeof sum);
    memcpy(s->sum_error + r, error, sizeof error);
}

/* `slopes`, a constant to the callers: the gradient is wanted, and with it the mass of what is not clipped. */
XN_INLINE void XN_T(prob_cols_dot)(int slopes, const xn_tile *t, XN_T(strip) strip, XN_T(prob_cols) *s, int64_t r,
                                   const real *group, const real *targets, int64_t from, int64_t n, real log_low,
                                   real log_high) {
    for (int64_t c = 0; c < n; c += XN_T(COL_FLUSH)) {
        real dot[XN_LANES], mass[XN_LANES];
        XN_ZERO(dot);
        XN_ZERO(mass);
        const int64_t end = XN_T(least)(n, c + XN_T(COL_FLUSH));
        for (int64_t k = c; k < end; k++) {
            const real *p = group + k * XN_LANES, *u = targets + k * XN_LANES;
            if (t->target.data) XN_T(fetch_strip)(&t->target, strip, 2, r, from, k, n);
#pragma omp simd
            for (int i = 0; i < XN_LANES; i++) {
                const XN_T(clip) clip = XN_T(prob_clip)(s, r + i);
                dot[i] = XN_FMA(u[i], XN_T(prob_term)(u[i], p[i], clip, log_low, log_high), dot[i]);
                if (slopes) mass[i] = XN_FMA(u[i], XN_T(is_inside)(p[i], clip), mass[i]);
            }
        }
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) {
            XN_T(add)(s->loss + r + i, s->loss_error + r + i, (double)dot[i]);
            XN_T(add)(s->inside + r + i, s->inside_error + r + i, (double)mass[i]);
        }
    }
}

/* Where the rows' probabilities are clipped. */
static inline void XN_T(prob_cols_clip)(const xn_tile *t, XN_T(strip) strip, XN_T(prob_cols) *s) {
#pragma omp simd
    for (int64_t r = 0; r < strip.padded; r++) s->sum[r] = XN_T(finite_sum)(XN_T(added)(s->sum[r], s->sum_error[r]));
    if (t->sight) {
        for (int64_t r = 0; r < strip.rows; r++) XN_T(see)(t->sight, s->least[r], s->most[r], s->sum[r]);
        for (int64_t r = 0; r < strip.padded; r++) s->sum[r] = 1;
    }
#pragma omp simd
    for (int64_t r = 0; r < strip.padded; r++) {
        const XN_T(clip) clip = XN_T(clip_of)(s->sum[r], t->epsilon);
        s->low[r] = clip.low;
        s->high[r] = clip.high;
        s->whole[r] = clip.sum;
        s->whole_low[r] = clip.sum_low;
        s->inverse[r] = clip.inverse;
    }
}

/* Losses, and what the gradients need, of all rows of a strip. */
static inline void XN_T(prob_cols_finish)(const xn_tile *t, XN_T(strip) strip, XN_T(prob_cols) *s) {
    const int dense = XN_T(is_dense)(t);
    double one[XN_T(COL_ROWS)];
    for (int64_t r = 0; !dense && r < strip.padded; r += XN_LANES) {
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++)
            one[r + i] = XN_T(prob_loss_label)((double)s->at_label[r + i], s->sum[r + i], t->epsilon);
    }
    for (int64_t r = 0; r < strip.rows; r++) {
        const int64_t row = strip.first + r;
        const int dropped = XN_T(is_dropped)(t, row);
        const double loss = dense ? XN_T(added)(s->loss[r], s->loss_error[r]) : one[r];
        if (t->loss) t->loss[row] = dropped ? 0 : loss * t->weight[row];
        if (!t->grad.data) continue;
        const double weight = dropped ? 0 : t->weight[row] * t->grad_scale;
        s->weight[r] = (real)weight;
        s->at[r] = 0;
        if (dense) {
            const double inside = XN_T(added)(s->inside[r], s->inside_error[r]);
            s->base[r] = XN_T(prob_base)(weight, inside, s->sum[r]);
        } else {
            XN_T(prob_grad_label)((double)s->at_label[r], s->sum[r], t->epsilon, weight, s->at + r, s->base + r);
        }
    }
}

/* Gradients of a group of rows with dense targets, in place of the probabilities. */
static inline void XN_T(prob_cols_grad_dense)(const XN_T(prob_cols) *s, int64_t r, real *group, const real *targets,
                                              int64_t n) {
    for (int64_t c = 0; c < n; c++) {
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) {
            const int64_t k = c * XN_LANES + i;
            const real slope =
                XN_T(prob_slope)(group[k], targets[k], XN_T(prob_clip)(s, r + i), s->base[r + i], s->weight[r + i]);
            group[k] = s->weight[r + i] == 0 ? 0 : slope;
        }
    }
}

/* Gradients of a group of rows with one target. */
static inline void XN_T(prob_cols_grad_label)(const xn_tile *t, XN_T(strip) strip, const XN_T(prob_cols) *s, int64_t r,
                                              real *group, int64_t from, int64_t n) {
    for (int64_t c = 0; c < n; c++) {
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) group[c * XN_LANES + i] = s->weight[r + i] == 0 ? 0 : s->base[r + i];
    }
    for (int64_t i = r; i < XN_T(least)(strip.rows, r + XN_LANES); i++) {
        const int64_t y = t->label[strip.first + i] - from;
        if ((uint64_t)y < (uint64_t)n && s->weight[i] != 0) group[y * XN_LANES + (i - r)] = s->at[i];
    }
}

/* The first visit: sums, and with dense targets a second one: losses. Leaves the last block packed. */
static inline void XN_T(prob_cols_scan)(const xn_tile *t, XN_T(strip) strip, XN_T(prob_cols) *s, real *block,
                                        real *targets, real log_low, real log_high) {
    const int single = t->classes <= XN_FEW_CLASSES;
#pragma omp simd
    for (int64_t r = 0; r < strip.padded; r++) {
        s->sum[r] = s->loss[r] = s->inside[r] = 0;
        s->sum_error[r] = s->loss_error[r] = s->inside_error[r] = 0;
        s->at_label[r] = s->base[r] = s->weight[r] = 0;
        s->least[r] = INFINITY;
        s->most[r] = -INFINITY;
    }
    for (int64_t from = 0; from < t->classes; from += XN_FEW_CLASSES) {
        const int64_t n = XN_T(least)(t->classes - from, XN_FEW_CLASSES);
        if (xn_stops_block(t, strip.rows, n)) break;
        XN_T(pack)(block, &t->input, strip, from, n);
        XN_T(take_at_labels)(t, strip, block, from, n, s->at_label);
        for (int64_t r = 0; r < strip.padded; r += XN_LANES) {
            if (t->sight) {
                XN_T(prob_cols_sum)(1, t, strip, s, r, block + r * n, from, n);
            } else {
                XN_T(prob_cols_sum)(0, t, strip, s, r, block + r * n, from, n);
            }
        }
    }
    XN_T(prob_cols_clip)(t, strip, s);
    for (int64_t from = 0; XN_T(is_dense)(t) && from < t->classes; from += XN_FEW_CLASSES) {
        const int64_t n = XN_T(least)(t->classes - from, XN_FEW_CLASSES);
        if (xn_stops_block(t, strip.rows, n)) break;
        if (!single) XN_T(pack)(block, &t->input, strip, from, n);
        XN_T(pack_targets)(targets, t, strip, from, n);
        for (int64_t r = 0; r < strip.padded; r += XN_LANES) {
            const real *group = block + r * n, *u = targets + r * n;
            if (t->grad.data) {
                XN_T(prob_cols_dot)(1, t, strip, s, r, group, u, from, n, log_low, log_high);
            } else {
                XN_T(prob_cols_dot)(0, t, strip, s, r, group, u, from, n, log_low, log_high);
            }
        }
    }
}

static void XN_T(prob_ce_cols)(const xn_tile *t) {
    const int dense = XN_T(is_dense)(t), single = t->classes <= XN_FEW_CLASSES;
    const real log_low = (real)xn_log(t->epsilon), log_high = (real)xn_log_corrected(1 - t->epsilon, 0);
    _Alignas(64) real block[XN_T(PACKED)], targets[XN_T(PACKED)];
    XN_T(leaving) out;
    XN_T(prob_cols) s;
    XN_T(stream) stream;
    XN_T(stream_start)(&stream);
    XN_T(strip) strip;
    for (int64_t first = 0; first < t->rows; first += strip.rows) {
        strip = XN_T(strip_at)(t, first);
        XN_T(prob_cols_scan)(t, strip, &s, block, targets, log_low, log_high);
        XN_T(prob_cols_finish)(t, strip, &s);
        for (int64_t from = 0; t->grad.data && from < t->classes; from += XN_FEW_CLASSES) {
            const int64_t n = XN_T(least)(t->classes - from, XN_FEW_CLASSES);
            if (xn_stops_block(t, strip.rows, n)) break;
            if (!single && dense) XN_T(pack)(block, &t->input, strip, from, n);
            if (!single && dense) XN_T(pack_targets)(targets, t, strip, from, n);
            for (int64_t r = 0; r < strip.padded; r += XN_LANES) {
                if (dense) {
                    XN_T(prob_cols_grad_dense)(&s, r, block + r * n, targets + r * n, n);
                } else {
                    XN_T(prob_cols_grad_label)(t, strip, &s, r, block + r * n, from, n);
                }
            }
            XN_T(cols_put_grad)(t, strip, block, &out, from, n, &stream);
        }
    }
    XN_T(ce_write_end)(t, &stream);
}
