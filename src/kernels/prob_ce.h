/* SPDX-License-Identifier: BSD-3-Clause */
/* Cross-entropy from probabilities: loss and gradient. Template: see real.h.
 *
 * Contract: reads tile->input and tile->target, writes tile->loss and tile->grad where they are set;
 * nothing overlaps. No memory is allocated.
 *
 * As Keras has it, with u the effective targets, S = sum of p and q = p / S:
 *     loss = -sum of u_j log(clip(q_j)), clip to [epsilon, 1 - epsilon]
 *     d loss / d p_k = (sum of u_j over the unclipped) / S - u_k / p_k, the last term only where q_k is
 *     unclipped; the bounds count as unclipped.
 * S is summed in float64. The logarithm is taken of the quotient, not of a rounded q. */

/* A row, or a lane, after its probabilities were summed. */
typedef struct {
    real low, high;             /* epsilon S and (1 - epsilon) S: where p is clipped */
    real inverse, inverse_low;  /* 1 / S in two parts */
} XN_T(clip);

static inline XN_T(clip) XN_T(clip_of)(double sum, double epsilon) {
    const double inverse = 1 / sum;
    XN_T(clip) c = {(real)(epsilon * sum), (real)((1 - epsilon) * sum), (real)inverse, 0};
    c.inverse_low = (real)(inverse - (double)c.inverse);
    return c;
}

/* -log(clip(p / S)); log_low and log_high are the values at the bounds. */
static inline real XN_T(prob_loss)(real p, XN_T(clip) c, real log_low, real log_high) {
    const real inside = XN_T(log_quotient)(p, c.inverse, c.inverse_low);
    const real above = p > c.high ? log_high : inside;
    return -(p < c.low ? log_low : above);
}

static inline real XN_T(is_inside)(real p, XN_T(clip) c) {
    const real below = p > c.high ? (real)0 : (real)1;
    return p < c.low ? (real)0 : below;
}

/* weight (inside_mass / S - u / p), where `base` is the first term, weight included. */
static inline real XN_T(prob_slope)(real p, real u, XN_T(clip) c, real base, real weight) {
    const real other = XN_T(is_inside)(p, c) != 0 ? u / p : 0;
    return XN_FMA(-weight, other, base);
}

/* The loss of a row with one target, whose probability is p. */
static inline double XN_T(prob_loss_label)(double p, double sum, double epsilon) {
    const double q = p / sum;
    const double floored = q < epsilon ? epsilon : q;
    return -xn_log_corrected(floored > 1 - epsilon ? 1 - epsilon : floored, 0);
}

/* Its gradient: `elsewhere` at every class but the label. */
static inline void XN_T(prob_grad_label)(double p, double sum, double epsilon, double weight, real *at, real *elsewhere) {
    const double q = p / sum;
    const double inside = q < epsilon || q > 1 - epsilon ? 0 : weight / sum + (q - q);
    *elsewhere = (real)inside;
    *at = inside == 0 ? 0 : (real)(-inside * ((sum - p) / p));
}

static inline double XN_T(prob_sum)(const xn_tile *t, int64_t row) {
    const real *p = XN_T(at)(&t->input, row, 0);
    double total[2 * XN_LANES] = {0};
    int64_t j = 0;
    for (; j + 2 * XN_LANES <= t->classes; j += 2 * XN_LANES) {
#pragma omp simd
        for (int i = 0; i < 2 * XN_LANES; i++) total[i] += (double)p[j + i];
    }
    for (int i = 0; j < t->classes; i++, j++) total[i] += (double)p[j];
    for (int i = 0; i < XN_LANES; i++) total[i] += total[i + XN_LANES];
    return XN_T(fold)(total);
}

/* Adds a block of n classes to the loss, and to the mass of the targets that are not clipped. */
static inline void XN_T(prob_dot)(const real *p, const real *u, int64_t n, XN_T(clip) c, real log_low, real log_high,
                                  double *loss, double *inside) {
    double losses[XN_LANES] = {0}, loss_error[XN_LANES] = {0}, masses[XN_LANES] = {0}, mass_error[XN_LANES] = {0};
    for (int64_t j = 0; j < n; j += XN_T(FLUSH)) {
        real dot[XN_T(GROUP)] = {0}, mass[XN_T(GROUP)] = {0};
        const int64_t end = XN_T(least)(n, j + XN_T(FLUSH));
        int64_t k = j;
        for (; k + XN_T(GROUP) <= end; k += XN_T(GROUP)) {
#pragma omp simd
            for (int i = 0; i < XN_T(GROUP); i++) {
                dot[i] = XN_FMA(u[k + i], XN_T(prob_loss)(p[k + i], c, log_low, log_high), dot[i]);
                mass[i] = XN_FMA(u[k + i], XN_T(is_inside)(p[k + i], c), mass[i]);
            }
        }
        for (int lane = 0; k < end; k += XN_LANES, lane += XN_LANES) {
            real tail_p[XN_LANES], tail_u[XN_LANES];
            const int64_t rest = XN_T(least)(end - k, XN_LANES);
            XN_T(padded)(tail_p, p + k, rest, c.low);
            XN_T(padded)(tail_u, u + k, rest, 0);
#pragma omp simd
            for (int i = 0; i < XN_LANES; i++) {
                dot[lane + i] = XN_FMA(tail_u[i], XN_T(prob_loss)(tail_p[i], c, log_low, log_high), dot[lane + i]);
                mass[lane + i] = XN_FMA(tail_u[i], XN_T(is_inside)(tail_p[i], c), mass[lane + i]);
            }
        }
        XN_T(flush)(losses, loss_error, dot);
        XN_T(flush)(masses, mass_error, mass);
    }
    *loss += XN_T(fold)(losses) + XN_T(fold)(loss_error);
    *inside += XN_T(fold)(masses) + XN_T(fold)(mass_error);
}

static inline void XN_T(prob_zero)(const xn_tile *t, int64_t row) {
    const real zero[XN_T(FLUSH)] = {0};
    for (int64_t j = 0; j < t->classes; j += XN_T(FLUSH))
        XN_T(put)(&t->grad, row, j, zero, XN_T(least)(t->classes - j, XN_T(FLUSH)));
}

static inline void XN_T(prob_row_label)(const xn_tile *t, int64_t row) {
    const double sum = XN_T(prob_sum)(t, row), p = (double)*XN_T(at)(&t->input, row, t->label[row]);
    if (t->loss) t->loss[row] = t->weight[row] * XN_T(prob_loss_label)(p, sum, t->epsilon);
    if (!t->grad.data) return;
    real at, elsewhere, block[XN_T(FLUSH)];
    XN_T(prob_grad_label)(p, sum, t->epsilon, t->weight[row] * t->grad_scale, &at, &elsewhere);
    for (int i = 0; i < XN_T(FLUSH); i++) block[i] = elsewhere;
    for (int64_t j = 0; j < t->classes; j += XN_T(FLUSH))
        XN_T(put)(&t->grad, row, j, block, XN_T(least)(t->classes - j, XN_T(FLUSH)));
    *XN_T(at)(&t->grad, row, t->label[row]) = at;
}

static inline void XN_T(prob_row_dense)(const xn_tile *t, int64_t row, real log_low, real log_high) {
    const double sum = XN_T(prob_sum)(t, row);
    const XN_T(clip) c = XN_T(clip_of)(sum, t->epsilon);
    real buffer[XN_T(FLUSH)], block[XN_T(FLUSH)];
    double loss = 0, inside = 0;
    for (int64_t j = 0; j < t->classes; j += XN_T(FLUSH)) {
        const int64_t n = XN_T(least)(t->classes - j, XN_T(FLUSH));
        const real *u = XN_T(targets)(t, row, j, n, buffer);
        XN_T(prob_dot)(XN_T(at)(&t->input, row, j), u, n, c, log_low, log_high, &loss, &inside);
    }
    if (t->loss) t->loss[row] = t->weight[row] * loss;
    if (!t->grad.data) return;
    const double weight = t->weight[row] * t->grad_scale;
    const real base = (real)(weight * inside / sum);
    for (int64_t j = 0; j < t->classes; j += XN_T(FLUSH)) {
        const int64_t n = XN_T(least)(t->classes - j, XN_T(FLUSH));
        const real *p = XN_T(at)(&t->input, row, j), *u = XN_T(targets)(t, row, j, n, buffer);
#pragma omp simd
        for (int64_t i = 0; i < n; i++) block[i] = XN_T(prob_slope)(p[i], u[i], c, base, (real)weight);
        XN_T(put)(&t->grad, row, j, block, n);
    }
}

static void XN_T(prob_ce_rows)(const xn_tile *t) {
    const int dense = XN_T(is_dense)(t);
    const real log_low = (real)xn_log_corrected(t->epsilon, 0), log_high = (real)xn_log_corrected(1 - t->epsilon, 0);
    for (int64_t row = 0; row < t->rows; row++) {
        if (XN_T(is_dropped)(t, row)) {
            if (t->loss) t->loss[row] = 0;
            if (t->grad.data) XN_T(prob_zero)(t, row);
        } else if (dense) {
            XN_T(prob_row_dense)(t, row, log_low, log_high);
        } else {
            XN_T(prob_row_label)(t, row);
        }
    }
}

/* The same with lanes over rows, on packed blocks: see softmax_ce_cols.h. */
typedef struct {
    double sum[XN_COL_TILE], at_label[XN_COL_TILE], loss[XN_COL_TILE], inside[XN_COL_TILE];
    real low[XN_COL_TILE], high[XN_COL_TILE], inverse[XN_COL_TILE], inverse_low[XN_COL_TILE];
    real base[XN_COL_TILE], at[XN_COL_TILE], weight[XN_COL_TILE];
} XN_T(prob_cols);

static inline XN_T(clip) XN_T(prob_clip)(const XN_T(prob_cols) *s, int64_t r) {
    return (XN_T(clip)){s->low[r], s->high[r], s->inverse[r], s->inverse_low[r]};
}

static inline void XN_T(prob_cols_sum)(const xn_tile *t, XN_T(prob_cols) *s, const real *block, int64_t from,
                                       int64_t n) {
    const int64_t padded = XN_T(padded_rows)(t->rows);
    for (int64_t c = 0; c < n; c++)
        for (int64_t r = 0; r < padded; r++) s->sum[r] += (double)block[c * XN_COL_TILE + r];
    for (int64_t r = 0; t->label && r < t->rows; r++) {
        const int64_t y = t->label[r] - from;
        if (y >= 0 && y < n) s->at_label[r] = (double)block[y * XN_COL_TILE + r];
    }
}

static inline void XN_T(prob_cols_dot)(const xn_tile *t, XN_T(prob_cols) *s, const real *block, const real *targets,
                                       int64_t n, real log_low, real log_high) {
    const int64_t padded = XN_T(padded_rows)(t->rows);
    for (int64_t lane = 0; lane < padded; lane += XN_LANES) {
        for (int64_t c = 0; c < n; c += XN_T(COL_FLUSH)) {
            real dot[XN_LANES] = {0}, mass[XN_LANES] = {0};
            const int64_t end = XN_T(least)(n, c + XN_T(COL_FLUSH));
            for (int64_t k = c; k < end; k++) {
                const real *p = block + k * XN_COL_TILE + lane, *u = targets + k * XN_COL_TILE + lane;
#pragma omp simd
                for (int i = 0; i < XN_LANES; i++) {
                    const XN_T(clip) clip = XN_T(prob_clip)(s, lane + i);
                    dot[i] = XN_FMA(u[i], XN_T(prob_loss)(p[i], clip, log_low, log_high), dot[i]);
                    mass[i] = XN_FMA(u[i], XN_T(is_inside)(p[i], clip), mass[i]);
                }
            }
            for (int i = 0; i < XN_LANES; i++) {
                s->loss[lane + i] += (double)dot[i];
                s->inside[lane + i] += (double)mass[i];
            }
        }
    }
}

/* Losses, and what the gradients need, of all rows of the tile. */
static inline void XN_T(prob_cols_finish)(const xn_tile *t, XN_T(prob_cols) *s) {
    const int dense = XN_T(is_dense)(t);
    for (int64_t r = 0; r < t->rows; r++) {
        const int dropped = XN_T(is_dropped)(t, r);
        const double weight = dropped ? 0 : t->weight[r] * t->grad_scale;
        const double loss = dense ? s->loss[r] : XN_T(prob_loss_label)(s->at_label[r], s->sum[r], t->epsilon);
        if (t->loss) t->loss[r] = dropped ? 0 : loss * t->weight[r];
        s->weight[r] = (real)weight;
        s->at[r] = 0;
        if (dense) {
            s->base[r] = (real)(weight * s->inside[r] / s->sum[r]);
        } else {
            XN_T(prob_grad_label)(s->at_label[r], s->sum[r], t->epsilon, weight, s->at + r, s->base + r);
        }
    }
}

static inline void XN_T(prob_cols_write)(const xn_tile *t, const XN_T(prob_cols) *s, const real *block,
                                         const real *targets, real *out, int64_t from, int64_t n) {
    const int dense = XN_T(is_dense)(t);
    const int64_t padded = XN_T(padded_rows)(t->rows);
    for (int64_t c = 0; c < n; c++)
#pragma omp simd
        for (int64_t r = 0; r < padded; r++) {
            const int64_t k = c * XN_COL_TILE + r;
            const real slope =
                dense ? XN_T(prob_slope)(block[k], targets[k], XN_T(prob_clip)(s, r), s->base[r], s->weight[r]) : s->base[r];
            out[k] = s->weight[r] == 0 ? 0 : slope;
        }
    for (int64_t r = 0; !dense && r < t->rows; r++) {
        const int64_t y = t->label[r] - from;
        if (y >= 0 && y < n && s->weight[r] != 0) out[y * XN_COL_TILE + r] = s->at[r];
    }
    XN_T(unpack)(&t->grad, out, t->rows, from, n);
}

static void XN_T(prob_ce_cols)(const xn_tile *t) {
    const int dense = XN_T(is_dense)(t), single = t->classes <= XN_T(COLS);
    const real log_low = (real)xn_log_corrected(t->epsilon, 0), log_high = (real)xn_log_corrected(1 - t->epsilon, 0);
    _Alignas(64) real block[XN_T(COLS) * XN_COL_TILE], targets[XN_T(COLS) * XN_COL_TILE];
    _Alignas(64) real out[XN_T(COLS) * XN_COL_TILE];
    XN_T(prob_cols) s = {.sum = {0}};
    for (int64_t from = 0; from < t->classes; from += XN_T(COLS)) {
        const int64_t n = XN_T(least)(t->classes - from, XN_T(COLS));
        XN_T(pack)(block, &t->input, t->rows, from, n);
        XN_T(prob_cols_sum)(t, &s, block, from, n);
    }
    for (int r = 0; r < XN_COL_TILE; r++) {
        const XN_T(clip) clip = XN_T(clip_of)(s.sum[r], t->epsilon);
        s.low[r] = clip.low;
        s.high[r] = clip.high;
        s.inverse[r] = clip.inverse;
        s.inverse_low[r] = clip.inverse_low;
    }
    for (int64_t from = 0; dense && from < t->classes; from += XN_T(COLS)) {
        const int64_t n = XN_T(least)(t->classes - from, XN_T(COLS));
        if (!single) XN_T(pack)(block, &t->input, t->rows, from, n);
        XN_T(pack_targets)(targets, t, from, n);
        XN_T(prob_cols_dot)(t, &s, block, targets, n, log_low, log_high);
    }
    XN_T(prob_cols_finish)(t, &s);
    for (int64_t from = 0; t->grad.data && from < t->classes; from += XN_T(COLS)) {
        const int64_t n = XN_T(least)(t->classes - from, XN_T(COLS));
        if (!single) XN_T(pack)(block, &t->input, t->rows, from, n);
        if (!single && dense) XN_T(pack_targets)(targets, t, from, n);
        XN_T(prob_cols_write)(t, &s, block, targets, out, from, n);
    }
}
