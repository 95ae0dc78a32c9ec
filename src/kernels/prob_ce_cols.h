/* SPDX-License-Identifier: BSD-3-Clause */
/* Cross-entropy from probabilities with lanes over rows, on packed blocks: the loop order is explained in
 * softmax_ce_cols.h, contract and formulas in prob_ce.h. Template: see real.h. */

typedef struct {
    double sum[XN_COL_TILE], at_label[XN_COL_TILE], loss[XN_COL_TILE], inside[XN_COL_TILE];
    double sum_error[XN_COL_TILE], loss_error[XN_COL_TILE], inside_error[XN_COL_TILE]; /* see add() in lanes.h */
    real low[XN_COL_TILE], high[XN_COL_TILE], whole[XN_COL_TILE], whole_low[XN_COL_TILE], inverse[XN_COL_TILE];
    real base[XN_COL_TILE], at[XN_COL_TILE], weight[XN_COL_TILE];
} XN_T(prob_cols);

static inline XN_T(clip) XN_T(prob_clip)(const XN_T(prob_cols) *s, int64_t r) {
    return (XN_T(clip)){s->low[r], s->high[r], s->whole[r], s->whole_low[r], s->inverse[r]};
}

static inline void XN_T(prob_cols_sum)(const xn_tile *t, XN_T(prob_cols) *s, const real *block, int64_t from,
                                       int64_t n) {
    const int64_t padded = XN_T(padded_rows)(t->rows), stride = XN_T(stride)(t);
    for (int64_t c = 0; c < n; c++)
        for (int64_t r = 0; r < padded; r++) XN_T(add)(s->sum + r, s->sum_error + r, (double)block[c * stride + r]);
    XN_T(take_at_labels)(t, block, from, n, s->at_label);
}

static inline void XN_T(prob_cols_dot)(const xn_tile *t, XN_T(prob_cols) *s, const real *block, const real *targets,
                                       int64_t n, real log_low, real log_high) {
    const int64_t padded = XN_T(padded_rows)(t->rows), stride = XN_T(stride)(t);
    for (int64_t lane = 0; lane < padded; lane += XN_LANES) {
        for (int64_t c = 0; c < n; c += XN_T(COL_FLUSH)) {
            real dot[XN_LANES], mass[XN_LANES];
            XN_ZERO(dot);
            XN_ZERO(mass);
            const int64_t end = XN_T(least)(n, c + XN_T(COL_FLUSH));
            for (int64_t k = c; k < end; k++) {
                const real *p = block + k * stride + lane, *u = targets + k * stride + lane;
#pragma omp simd
                for (int i = 0; i < XN_LANES; i++) {
                    const XN_T(clip) clip = XN_T(prob_clip)(s, lane + i);
                    dot[i] = XN_FMA(u[i], XN_T(prob_loss)(p[i], clip, log_low, log_high), dot[i]);
                    mass[i] = XN_FMA(u[i], XN_T(is_inside)(p[i], clip), mass[i]);
                }
            }
            for (int i = 0; i < XN_LANES; i++) {
                XN_T(add)(s->loss + lane + i, s->loss_error + lane + i, (double)dot[i]);
                XN_T(add)(s->inside + lane + i, s->inside_error + lane + i, (double)mass[i]);
            }
        }
    }
}

/* Losses, and what the gradients need, of all rows of the tile. */
static inline void XN_T(prob_cols_finish)(const xn_tile *t, XN_T(prob_cols) *s) {
    const int dense = XN_T(is_dense)(t);
    for (int64_t r = 0; r < t->rows; r++) {
        s->loss[r] = XN_T(added)(s->loss[r], s->loss_error[r]);
        s->inside[r] = XN_T(added)(s->inside[r], s->inside_error[r]);
        const int dropped = XN_T(is_dropped)(t, r);
        const double weight = dropped ? 0 : t->weight[r] * t->grad_scale;
        const double loss = dense ? s->loss[r] : XN_T(prob_loss_label)(s->at_label[r], s->sum[r], t->epsilon);
        if (t->loss) t->loss[r] = dropped ? 0 : loss * t->weight[r];
        s->weight[r] = (real)weight;
        s->at[r] = 0;
        if (dense) {
            s->base[r] = XN_T(prob_base)(weight, s->inside[r], s->sum[r]);
        } else {
            XN_T(prob_grad_label)(s->at_label[r], s->sum[r], t->epsilon, weight, s->at + r, s->base + r);
        }
    }
}

static inline void XN_T(prob_cols_write)(const xn_tile *t, const XN_T(prob_cols) *s, const real *block,
                                         const real *targets, real *out, int64_t from, int64_t n) {
    const int dense = XN_T(is_dense)(t);
    const int64_t padded = XN_T(padded_rows)(t->rows), stride = XN_T(stride)(t);
    for (int64_t c = 0; c < n; c++)
#pragma omp simd
        for (int64_t r = 0; r < padded; r++) {
            const int64_t k = c * stride + r;
            const real slope =
                dense ? XN_T(prob_slope)(block[k], targets[k], XN_T(prob_clip)(s, r), s->base[r], s->weight[r])
                      : s->base[r];
            out[k] = s->weight[r] == 0 ? 0 : slope;
        }
    for (int64_t r = 0; !dense && r < t->rows; r++) {
        const int64_t y = t->label[r] - from;
        if (y >= 0 && y < n && s->weight[r] != 0) out[y * stride + r] = s->at[r];
    }
    XN_T(unpack)(&t->grad, out, stride, t->rows, from, n);
}

static void XN_T(prob_ce_cols)(const xn_tile *t) {
    const int64_t stride = XN_T(stride)(t), cols = XN_T(cols_per_block)(t);
    const int dense = XN_T(is_dense)(t), single = t->classes <= cols;
    const real log_low = (real)xn_log_corrected(t->epsilon, 0), log_high = (real)xn_log_corrected(1 - t->epsilon, 0);
    _Alignas(64) real block[XN_T(PACKED)], targets[XN_T(PACKED)];
    _Alignas(64) real out[XN_T(PACKED)];
    XN_T(prob_cols) s = {.sum = {0}};
    for (int64_t from = 0; from < t->classes; from += cols) {
        const int64_t n = XN_T(least)(t->classes - from, cols);
        XN_T(pack)(block, stride, &t->input, t->rows, from, n);
        XN_T(prob_cols_sum)(t, &s, block, from, n);
    }
    for (int r = 0; r < XN_COL_TILE; r++) {
        s.sum[r] = XN_T(added)(s.sum[r], s.sum_error[r]);
        const XN_T(clip) clip = XN_T(clip_of)(s.sum[r], t->epsilon);
        s.low[r] = clip.low;
        s.high[r] = clip.high;
        s.whole[r] = clip.sum;
        s.whole_low[r] = clip.sum_low;
        s.inverse[r] = clip.inverse;
    }
    for (int64_t from = 0; dense && from < t->classes; from += cols) {
        const int64_t n = XN_T(least)(t->classes - from, cols);
        if (!single) XN_T(pack)(block, stride, &t->input, t->rows, from, n);
        XN_T(pack_targets)(targets, t, from, n);
        XN_T(prob_cols_dot)(t, &s, block, targets, n, log_low, log_high);
    }
    XN_T(prob_cols_finish)(t, &s);
    for (int64_t from = 0; t->grad.data && from < t->classes; from += cols) {
        const int64_t n = XN_T(least)(t->classes - from, cols);
        if (!single) XN_T(pack)(block, stride, &t->input, t->rows, from, n);
        if (!single && dense) XN_T(pack_targets)(targets, t, from, n);
        XN_T(prob_cols_write)(t, &s, block, targets, out, from, n);
    }
}
