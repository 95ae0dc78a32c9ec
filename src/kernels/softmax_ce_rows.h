/* SPDX-License-Identifier: BSD-3-Clause */
/* The second visit to a row: gradient, Hessian, probabilities and log-probabilities, lanes over classes,
 * from what softmax_ce.h found in the first. Template: see real.h. Contract and formulas: softmax_ce.h. */

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

/* U p - u, times the row's weight. At the maximum: (U - u) - U (1 - p). */
XN_INLINE real XN_T(ce_slope)(real p, int at_max, real u, real mass, real to_one, real weight) {
    const real there = XN_FMA(-mass, to_one, mass - u);
    const real elsewhere = XN_FMA(p, mass, -u);
    return weight * (at_max ? there : elsewhere);
}

/* Gradient of a row with one target: the probabilities, less 1 at the label. */
static inline void XN_T(ce_grad_at_label)(real *grad, const XN_T(row) *r) {
    *grad = r->at_label == (double)r->max ? (real)(-r->to_one * r->weight) : *grad - (real)r->weight;
}

/* Where a block of the gradient is made: the caller's memory, or the stream's buffer on its way there. */
static inline void XN_T(ce_put_grad)(const xn_tile *t, int64_t row, int64_t from, const real *value, int64_t n,
                                     XN_T(stream) *stream) {
    if (t->streams && t->grad.cls == 1) {
        memcpy(XN_T(stream_open)(stream, XN_T(at)(&t->grad, row, from)), value, (size_t)n * sizeof(real));
        XN_T(stream_push)(stream, n);
    } else {
        XN_T(put)(&t->grad, row, from, value, n);
    }
}

/* All outputs of n <= FLUSH classes of a row. The gradient goes last: it may overwrite x. */
static inline void XN_T(ce_write_block)(const xn_tile *t, int64_t row, int64_t from, int64_t n, const XN_T(row) *r,
                                        XN_T(stream) *stream) {
    real p[XN_T(FLUSH)], out[XN_T(FLUSH)], buffer[XN_T(FLUSH) + XN_LANES], copy[XN_T(FLUSH) + XN_LANES];
    const real *x = XN_T(inputs)(t, row, from, n, copy);
    const real max = r->max, to_one = (real)r->to_one, mass = (real)r->mass, weight = (real)r->weight;
    const real log_s = (real)r->log_s;
    const int dense = XN_T(is_dense)(t);
    if (t->prob.data || t->hess.data || dense) XN_T(prob_block)(p, x, n, r, 1);
    if (t->hess.data) {
        for (int64_t j = 0; j < n; j++) out[j] = weight * mass * (p[j] * (x[j] == max ? to_one : 1 - p[j]));
        if (r->weight == 0) memset(out, 0, sizeof out);
        XN_T(put)(&t->hess, row, from, out, n);
    }
    if (t->log_prob.data) {
        for (int64_t j = 0; j < n; j++) out[j] = (x[j] - max) - log_s;
        XN_T(put)(&t->log_prob, row, from, out, n);
    }
    if (t->prob.data) XN_T(put)(&t->prob, row, from, p, n);
    if (t->grad.data) {
        if (r->weight == 0) {
            memset(out, 0, sizeof out);
        } else if (dense) {
            const real *u = XN_T(targets)(t, row, from, n, buffer);
            for (int64_t j = 0; j < n; j++) out[j] = XN_T(ce_slope)(p[j], x[j] == max, u[j], mass, to_one, weight);
        } else {
            XN_T(prob_block)(out, x, n, r, r->weight);
            const int64_t y = t->label[row] - from;
            if (y >= 0 && y < n) XN_T(ce_grad_at_label)(out + y, r);
        }
        XN_T(ce_put_grad)(t, row, from, out, n, stream);
    }
}

/* Only a gradient, of one target: no other pass over the block than exp. */
static inline void XN_T(ce_write_simple)(const xn_tile *t, int64_t row, int64_t from, int64_t n, const XN_T(row) *r,
                                         XN_T(stream) *stream) {
    real *grad = XN_T(at)(&t->grad, row, from);
    real *to = t->streams ? XN_T(stream_open)(stream, grad) : grad;
    XN_T(prob_block)(to, XN_T(at)(&t->input, row, from), n, r, r->weight);
    const int64_t y = t->label[row] - from;
    if (y >= 0 && y < n) XN_T(ce_grad_at_label)(to + y, r);
    if (t->streams) XN_T(stream_push)(stream, n);
}

static inline void XN_T(ce_write)(const xn_tile *t, int64_t row, int64_t from, int64_t to, const XN_T(row) *r,
                                  XN_T(stream) *stream) {
    const int others = t->hess.data || t->prob.data || t->log_prob.data;
    const int simple = !others && t->input.cls == 1 && t->grad.cls == 1 && !XN_T(is_dense)(t) && r->weight != 0;
    for (int64_t j = from; j < to; j += XN_T(FLUSH)) {
        const int64_t n = XN_T(least)(to - j, XN_T(FLUSH));
        if (simple) {
            XN_T(ce_write_simple)(t, row, j, n, r, stream);
        } else {
            XN_T(ce_write_block)(t, row, j, n, r, stream);
        }
    }
}

static inline void XN_T(ce_write_end)(const xn_tile *t, XN_T(stream) *stream) {
    if (!t->streams) return;
    XN_T(stream_close)(stream);
    xn_stream_end();
}

static void XN_T(softmax_ce_rows)(const xn_tile *t) {
    const int64_t row_bytes = t->classes * (int64_t)sizeof(real);
    const int writes = XN_T(wants_planes)(t);
    /* Rows that wait for their second visit should still be in the second-level cache then. */
    const int64_t cached = XN_T(WAITING) / row_bytes;
    const int64_t group = !writes || cached > XN_FINISH ? XN_FINISH : cached > 1 ? cached : 1;
    xn_part part[XN_FINISH];
    XN_T(row) done[XN_FINISH];
    XN_T(stream) stream;
    XN_T(stream_start)(&stream);
    for (int64_t first = 0; first < t->rows; first += group) {
        const int n = (int)XN_T(least)(t->rows - first, group);
        if (t->classes <= XN_T(BLOCK)) {
            XN_T(ce_scan_short)(t, first, n, part);
        } else {
            for (int i = 0; i < n; i++) XN_T(ce_scan_row)(t, first + i, part + i);
        }
        XN_T(ce_finish)(t, first, n, part, done);
        for (int i = 0; writes && i < n; i++) XN_T(ce_write)(t, first + i, 0, t->classes, done + i, &stream);
    }
    XN_T(ce_write_end)(t, &stream);
}

static void XN_T(softmax_ce_scan)(const xn_tile *t) {
    XN_T(ce_scan)(t, 0, t->from, t->to, t->part);
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
    if (XN_T(wants_planes)(t)) XN_T(ce_write)(t, 0, t->from, t->to, &row, &stream);
    XN_T(ce_write_end)(t, &stream);
}
