/* SPDX-License-Identifier: BSD-3-Clause */
/* The second visit to a row: gradient, Hessian, probabilities and log-probabilities, lanes over classes, from the
 * sums and the exponentials that softmax_ce.h found in the first; and the kernels that make both visits.
 * Template: see real.h. Contract and formulas: softmax_ce.h. */

/* value = top where x is the maximum, else scale * lifted(x): probabilities, or probabilities times a weight.
 * The largest probability is known to the last bit; the others are at most 1/2, so that their three
 * roundings stay below 2^-23. */
XN_INLINE void XN_T(prob_lanes)(int width, real *value, const real *x, XN_T(reference) ref, real max, real scale,
                                real top) {
#pragma omp simd
    for (int i = 0; i < width; i++) {
        const real logit = x[i];
        const real p = scale * XN_T(lifted)(logit, ref.shift, ref.lowest, ref.magic);
        value[i] = logit == max ? top : p;
    }
}

/* The same for n elements. value may be x. */
static inline void XN_T(prob_block)(real *value, const real *x, int64_t n, const XN_T(row) *r, double weight) {
    const real scale = (real)(r->scale * weight), top = (real)(r->largest * weight), max = r->max;
    const XN_T(reference) ref = r->ref;
    int64_t j = 0;
    for (; j + XN_T(GROUP) <= n; j += XN_T(GROUP))
        XN_T(prob_lanes)(XN_T(GROUP), value + j, x + j, ref, max, scale, top);
    for (; j + XN_LANES <= n; j += XN_LANES) XN_T(prob_lanes)(XN_LANES, value + j, x + j, ref, max, scale, top);
    if (j < n) {
        real tail[XN_LANES];
        XN_T(last_vector)(tail, x + n, n - j, -INFINITY);
        XN_T(prob_lanes)(XN_LANES, tail, tail, ref, max, scale, top);
        memcpy(value + j, tail + (XN_LANES - (n - j)), (size_t)(n - j) * sizeof(real));
    }
}

/* Exponentials of up to FLUSH classes that were kept; e is NULL where they were not. */
typedef struct {
    const real *e;
    real max;      /* what is marked by -1 */
    double factor; /* turns them into those that the row's own reference would have given: a power of two */
} XN_T(exps);

/* The size of a factor that may or may not be applied, where it makes something smaller; 0 is not applied. */
static inline double XN_T(least_factor)(double factor) {
    const double size = factor < 0 ? -factor : factor;
    return size > 1 || size == 0 ? 1 : size;
}

/* What was kept of the block at class j of a row, the i-th in `kept`. The reference of a maximum that was raised
 * later differs by a power of two, unless one of them is a shift; a factor that would take digits off `scale`
 * makes it useless. */
static inline void XN_T(find_kept)(XN_T(exps) *found, const xn_tile *t, const XN_T(kept) *kept, int64_t i, int64_t j,
                                   const XN_T(row) *r) {
    *found = (XN_T(exps)){NULL, r->max, 1};
    if (t->classes <= XN_T(BLOCK)) {
        found->e = kept->e + i * t->classes + j;
        return;
    }
    if (XN_T(blocks)(t) - j / XN_T(BLOCK) > kept->slots) return;
    const int64_t slot = XN_T(slot)(t, kept, i, j);
    const real *e = kept->e + slot * XN_T(BLOCK) + j % XN_T(BLOCK), max = kept->max[slot];
    if (max != r->max) {
        const XN_T(reference) ref = XN_T(refer)(max);
        const double steps = (double)(r->ref.magic - ref.magic);
        if (ref.shift != 0 || r->ref.shift != 0 || !(steps > -512)) return;
        found->max = max;
        found->factor = xn_from_bits((uint64_t)(1023 + (int64_t)steps) << 52);
        /* What multiplies it: 1 in probabilities, U in gradients of dense targets, the weight in those of labels. */
        const double scale = r->scale * found->factor * XN_T(least_factor)(r->mass) * XN_T(least_factor)(r->weight);
        if (!(scale >= (sizeof(real) == sizeof(float) ? 0x1p-126 : 0x1p-1022))) return;
    }
    found->e = e;
}

/* prob_block where exponentials may have been kept; then value has room for whole vectors. */
static inline void XN_T(prob_kept)(real *restrict value, const real *x, int64_t n, const XN_T(row) *r, double weight,
                                   XN_T(exps) kept) {
    if (!kept.e) {
        XN_T(prob_block)(value, x, n, r, weight);
        return;
    }
    const real scale = (real)(r->scale * kept.factor * weight);
    real marked[1];
    XN_T(prob_lanes)(1, marked, &kept.max, r->ref, r->max, (real)(r->scale * weight), (real)(r->largest * weight));
    for (int64_t j = 0; j < n; j += XN_LANES) {
#pragma omp simd
        for (int k = 0; k < XN_LANES; k++) value[j + k] = kept.e[j + k] < 0 ? marked[0] : scale * kept.e[j + k];
    }
}

/* U p - u, times the row's weight, from U p. At the maximum U p may be all but U: then (U - u) - U (1 - p). */
XN_INLINE real XN_T(ce_slope)(real whole_p, int at_max, real u, real mass, real to_one, real weight) {
    const real there = XN_FMA(-mass, to_one, mass - u);
    return weight * (at_max && to_one < (real)0.5 ? there : whole_p - u);
}

/* Gradient of a row with one target: the probabilities, less 1 at the label. */
static inline void XN_T(ce_grad_at_label)(real *grad, const XN_T(row) *r) {
    *grad = r->at_label == (double)r->max ? (real)(-r->to_one * r->weight) : *grad - (real)r->weight;
}

/* Diagonal Hessian of n classes of a row, from their probabilities. */
static inline void XN_T(ce_hess)(real *restrict hess, const real *p, const real *x, int64_t n, real max, real to_one,
                                 real mass, real weight) {
    if (weight == 0) {
        memset(hess, 0, (size_t)n * sizeof(real));
        return;
    }
    for (int64_t j = 0; j < n; j++) hess[j] = weight * mass * (p[j] * (x[j] == max ? to_one : 1 - p[j]));
}

/* Where n <= FLUSH elements of the gradient are made: in the stream's room on the way out, or in `out`. */
static inline real *XN_T(ce_grad_room)(const xn_tile *t, int64_t row, int64_t from, real *out, XN_T(stream) *stream) {
#if XN_WRITES_REAL
    if (t->streams && t->grad.cls == 1) return XN_T(stream_open)(stream, XN_T(out_at)(&t->grad, row, from));
#else
    (void)t, (void)row, (void)from, (void)stream;
#endif
    return out;
}

static inline void XN_T(ce_put_grad)(const xn_tile *t, int64_t row, int64_t from, const real *value, int64_t n,
                                     XN_T(stream) *stream) {
    if (t->streams && t->grad.cls == 1) {
#if !XN_WRITES_REAL
        XN_T(narrow)(XN_T(stream_open)(stream, XN_T(out_at)(&t->grad, row, from)), value, n);
#endif
        XN_T(stream_push)(stream, n);
    } else {
        XN_T(put)(&t->grad, row, from, value, n);
    }
}

/* All outputs of n <= FLUSH classes of a row. The gradient goes last: it may overwrite x. */
static inline void XN_T(ce_write_block)(const xn_tile *t, int64_t row, int64_t from, int64_t n, const XN_T(row) *r,
                                        XN_T(exps) kept, XN_T(stream) *stream) {
    real p[XN_T(FLUSH) + XN_LANES], space[XN_T(FLUSH) + XN_LANES];
    real buffer[XN_T(FLUSH) + XN_LANES], copy[XN_T(FLUSH) + XN_LANES];
    const int scaled =
        kept.e && !t->hess.data && !t->log_prob.data && !XN_T(is_dense)(t); /* the logits are not needed */
    const real *x = scaled ? NULL : XN_T(inputs)(t, row, from, n, copy);
    const real max = r->max, to_one = (real)r->to_one, mass = (real)r->mass, weight = (real)r->weight;
    const real log_s = (real)r->log_s;
    if (t->prob.data || t->hess.data) XN_T(prob_kept)(p, x, n, r, 1, kept);
    if (t->hess.data) {
        XN_T(ce_hess)(space, p, x, n, max, to_one, mass, (real)(r->weight * t->hess_scale));
        XN_T(put)(&t->hess, row, from, space, n);
    }
    if (t->log_prob.data) {
        for (int64_t j = 0; j < n; j++) space[j] = (x[j] - max) - log_s;
        XN_T(put)(&t->log_prob, row, from, space, n);
    }
    if (t->prob.data) XN_T(put)(&t->prob, row, from, p, n);
    if (!t->grad.data) return;
    real *grad = XN_T(ce_grad_room)(t, row, from, space, stream);
    if (r->weight == 0) {
        memset(grad, 0, (size_t)n * sizeof(real));
    } else if (XN_T(is_dense)(t)) {
        const real *u = XN_T(targets)(t, row, from, n, buffer);
        XN_T(prob_kept)(p, x, n, r, r->mass, kept);
        for (int64_t j = 0; j < n; j++) grad[j] = XN_T(ce_slope)(p[j], x[j] == max, u[j], mass, to_one, weight);
    } else {
        XN_T(prob_kept)(grad, x, n, r, r->weight, kept);
        const int64_t y = t->label[row] - from;
        if (y >= 0 && y < n) XN_T(ce_grad_at_label)(grad + y, r);
    }
    XN_T(ce_put_grad)(t, row, from, grad, n, stream);
}

/* The outputs of the classes [from, to) of a row, which is the i-th in `kept`, unless that is NULL. */
static inline void XN_T(ce_write)(const xn_tile *t, int64_t row, int64_t from, int64_t to, const XN_T(row) *r,
                                  const XN_T(kept) *kept, int64_t i, XN_T(stream) *stream) {
    for (int64_t j = from; j < to; j += XN_T(FLUSH)) {
        if (xn_stops_at(t, j)) return;
        XN_T(exps) exps = {NULL, 0, 1};
        if (kept) XN_T(find_kept)(&exps, t, kept, i, j, r);
        XN_T(ce_write_block)(t, row, j, XN_T(least)(to - j, XN_T(FLUSH)), r, exps, stream);
    }
}

static inline void XN_T(ce_write_end)(const xn_tile *t, XN_T(stream) *stream) {
    if (!t->streams) return;
    XN_T(stream_close)(stream);
    xn_stream_end();
}

/* Rows that are summed before the first of them is written: as many as are finished at once, or can be kept. */
static inline int64_t XN_T(rows_together)(const xn_tile *t, const XN_T(kept) *kept) {
    if (!kept) return XN_FINISH;
    const int64_t blocks = XN_T(blocks)(t);
    const int64_t fitting = blocks == 1 ? XN_T(NEAR) / t->classes : kept->slots / blocks;
    return fitting < 1 ? 1 : XN_T(least)(fitting, XN_FINISH);
}

static inline void XN_T(score_kept)(const xn_tile *t, int64_t row, const XN_T(row) *r, double ties,
                                    const real *e); /* score.h */
static void XN_T(score_rows)(const xn_tile *t);

static void XN_T(softmax_ce_rows)(const xn_tile *t) {
    const int writes = XN_T(wants_planes)(t), scores = t->score && t->classes <= XN_T(BLOCK);
    xn_part part[XN_FINISH];
    XN_T(row) done[XN_FINISH];
    XN_T(stream) stream;
    XN_T(kept) space, *kept = writes || scores ? &space : NULL;
    if (kept) XN_T(keep)(kept, t);
    const int64_t group = XN_T(rows_together)(t, kept);
    XN_T(stream_start)(&stream);
    for (int64_t first = 0; first < t->rows; first += group) {
        const int n = (int)XN_T(least)(t->rows - first, group);
        if (t->classes <= XN_T(BLOCK)) {
            XN_T(ce_scan_short)(t, first, n, part, kept);
        } else {
            for (int i = 0; i < n; i++) XN_T(ce_scan_row)(t, first + i, part + i, kept, i);
        }
        XN_T(ce_finish)(t, first, n, part, done);
        for (int i = 0; writes && i < n; i++) XN_T(ce_write)(t, first + i, 0, t->classes, done + i, kept, i, &stream);
        for (int i = 0; scores && i < n; i++)
            XN_T(score_kept)(t, first + i, done + i, part[i].ties, kept->e + i * t->classes);
    }
    XN_T(ce_write_end)(t, &stream);
    if (t->score && !scores) XN_T(score_rows)(t);
}

static void XN_T(softmax_ce_scan)(const xn_tile *t) {
    XN_T(ce_scan)(t, 0, t->from, t->to, t->part, NULL, 0);
}

static void XN_T(softmax_ce_merge)(const xn_tile *t) {
    for (int64_t i = 1; i < (t->classes + XN_SEGMENT - 1) / XN_SEGMENT; i++) XN_T(ce_merge)(t->part, t->part[i]);
    t->part->at_label = XN_T(logit_at_label)(t, 0);
}

static void XN_T(softmax_ce_write)(const xn_tile *t) {
    XN_T(row) row;
    XN_T(stream) stream;
    XN_T(stream_start)(&stream);
    XN_T(ce_finish)(t, 0, 1, t->part, &row);
    if (XN_T(wants_planes)(t)) XN_T(ce_write)(t, 0, t->from, t->to, &row, NULL, 0, &stream);
    XN_T(ce_write_end)(t, &stream);
}
