/* SPDX-License-Identifier: BSD-3-Clause */
/* Softmax cross-entropy with lanes over rows: for few classes, where a row fills no vector, and for a
 * class axis that is not the last, where neighbours in memory are rows. Template: see real.h. The contract
 * and the formulas are those of softmax_ce.h.
 *
 * Blocks of classes are packed into block[class * stride + row], which turns every layout into the one
 * layout that the loops want. A row of more classes than a block holds is read twice when planes are
 * wanted: once for its sums, once for its outputs. */

/* The rows of a tile while their classes are read; arrays over lanes. */
typedef struct {
    real max[XN_COL_TILE];
    double rest[XN_COL_TILE], ties[XN_COL_TILE], dot[XN_COL_TILE], mass[XN_COL_TILE], at_label[XN_COL_TILE];
    double rest_error[XN_COL_TILE], dot_error[XN_COL_TILE], mass_error[XN_COL_TILE]; /* see add() in lanes.h */
} XN_T(cols);

/* What the outputs of a tile's rows follow from; arrays over lanes. */
typedef struct {
    real shift[XN_COL_TILE], lowest[XN_COL_TILE], magic[XN_COL_TILE];
    real scale[XN_COL_TILE], log_s[XN_COL_TILE], largest[XN_COL_TILE], to_one[XN_COL_TILE];
    real mass[XN_COL_TILE], weight[XN_COL_TILE];
    real grad_scale[XN_COL_TILE], grad_largest[XN_COL_TILE]; /* scale and largest, times weight */
} XN_T(cols_done);

/* Raises the maxima of all rows to include a packed block. */
static inline void XN_T(cols_raise)(XN_T(cols) *s, const real *block, int64_t stride, int64_t padded, int64_t n,
                                    int first) {
    real most[XN_COL_TILE];
    for (int64_t r = 0; r < padded; r++) most[r] = s->max[r];
    for (int64_t c = 0; c < n; c++) {
        const real *x = block + c * stride;
        for (int64_t r = 0; r < padded; r++) most[r] = x[r] > most[r] ? x[r] : most[r];
    }
    if (!first) {
        for (int64_t r = 0; r < padded; r++) {
            if (!(most[r] > s->max[r])) continue;
            xn_part part = {.max = (double)s->max[r],
                            .rest = XN_T(added)(s->rest[r], s->rest_error[r]),
                            .ties = s->ties[r],
                            .dot = XN_T(added)(s->dot[r], s->dot_error[r]),
                            .mass = XN_T(added)(s->mass[r], s->mass_error[r])};
            XN_T(ce_raise)(&part, (double)most[r]);
            s->rest_error[r] = s->dot_error[r] = 0;
            s->rest[r] = part.rest;
            s->ties[r] = part.ties;
            s->dot[r] = part.dot;
        }
    }
    for (int64_t r = 0; r < padded; r++) s->max[r] = most[r];
}

/* Asks for a line of the next tile: as many calls as this tile has lines, one with each vector that is computed. */
XN_INLINE void XN_T(cols_fetch)(const xn_tile *t, int64_t lane, int64_t from, int64_t k, int64_t n) {
    if (t->input.cls == 1) {
        XN_T(fetch)(t->input.data, t->rows * t->input.row + lane * n + k * XN_LANES);
    } else {
        XN_T(fetch)(t->input.data, (t->rows + lane) * t->input.row + (from + k) * t->input.cls);
    }
}

/* Adds the exponentials of one vector of rows. */
static inline void XN_T(cols_sum)(const xn_tile *t, XN_T(cols) *s, const real *block, int64_t lane, int64_t from,
                                  int64_t n) {
    const int64_t stride = XN_T(stride)(t);
    real max[XN_LANES], shift[XN_LANES], lowest[XN_LANES], magic[XN_LANES];
    ireal count[XN_LANES];
    double rest[XN_LANES], error[XN_LANES];
    XN_ZERO(count);
    XN_ZERO(rest);
    XN_ZERO(error);
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) {
        max[i] = s->max[lane + i];
        const XN_T(reference) ref = XN_T(refer)(max[i]);
        shift[i] = ref.shift;
        lowest[i] = ref.lowest;
        magic[i] = ref.magic;
    }
    for (int64_t c = 0; c < n; c += XN_T(COL_FLUSH)) {
        real sum[XN_LANES];
        XN_ZERO(sum);
        const int64_t end = XN_T(least)(n, c + XN_T(COL_FLUSH));
        for (int64_t k = c; k < end; k++) {
            const real *x = block + k * stride + lane;
            XN_T(cols_fetch)(t, lane, from, k, n);
#pragma omp simd
            for (int i = 0; i < XN_LANES; i++) {
                const real e = XN_T(lifted)(x[i], shift[i], lowest[i], magic[i]);
                sum[i] += x[i] == max[i] ? 0 : e;
                count[i] += x[i] == max[i];
            }
        }
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) XN_T(add)(rest + i, error + i, (double)sum[i]);
    }
    for (int i = 0; i < XN_LANES; i++) {
        XN_T(add)(s->rest + lane + i, s->rest_error + lane + i, rest[i]);
        s->rest_error[lane + i] += error[i];
        s->ties[lane + i] += (double)count[i];
    }
}

/* Adds the targets of one vector of rows; see ce_dot. */
static inline void XN_T(cols_dot)(XN_T(cols) *s, const real *block, const real *targets, int64_t stride, int64_t lane,
                                  int64_t n) {
    real half_max[XN_LANES];
    double dots[XN_LANES], masses[XN_LANES], dot_error[XN_LANES], mass_error[XN_LANES];
    XN_ZERO(dots);
    XN_ZERO(masses);
    XN_ZERO(dot_error);
    XN_ZERO(mass_error);
    for (int i = 0; i < XN_LANES; i++) {
        const real max = s->max[lane + i];
        half_max[i] = max == -INFINITY ? 0 : (real)0.5 * max;
    }
    for (int64_t c = 0; c < n; c += XN_T(COL_FLUSH)) {
        real dot[XN_LANES], mass[XN_LANES];
        XN_ZERO(dot);
        XN_ZERO(mass);
        const int64_t end = XN_T(least)(n, c + XN_T(COL_FLUSH));
        for (int64_t k = c; k < end; k++) {
            const real *x = block + k * stride + lane, *u = targets + k * stride + lane;
#pragma omp simd
            for (int i = 0; i < XN_LANES; i++) {
                const real half = XN_FMA((real)-0.5, x[i], half_max[i]);
                dot[i] = XN_FMA(u[i], u[i] == 0 ? 0 : half, dot[i]);
                mass[i] += u[i];
            }
        }
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) {
            XN_T(add)(dots + i, dot_error + i, (double)dot[i]);
            XN_T(add)(masses + i, mass_error + i, (double)mass[i]);
        }
    }
    for (int i = 0; i < XN_LANES; i++) {
        XN_T(add)(s->dot + lane + i, s->dot_error + lane + i, 2 * dots[i]);
        s->dot_error[lane + i] += 2 * dot_error[i];
        XN_T(add)(s->mass + lane + i, s->mass_error + lane + i, masses[i]);
        s->mass_error[lane + i] += mass_error[i];
    }
}

/* The first visit: sums of all rows. A tile of one block leaves it, and its targets, packed. */
static inline void XN_T(cols_scan)(const xn_tile *t, XN_T(cols) *s, real *block, real *targets) {
    const int64_t padded = XN_T(padded_rows)(t->rows), stride = XN_T(stride)(t), cols = XN_T(cols_per_block)(t);
    const int dense = XN_T(is_dense)(t);
    for (int64_t r = 0; r < padded; r++) {
        s->max[r] = -INFINITY;
        s->rest[r] = s->ties[r] = s->dot[r] = s->mass[r] = s->at_label[r] = 0;
        s->rest_error[r] = s->dot_error[r] = s->mass_error[r] = 0;
    }
    for (int64_t from = 0; from < t->classes; from += cols) {
        const int64_t n = XN_T(least)(t->classes - from, cols);
        XN_T(pack)(block, stride, &t->input, t->rows, from, n);
        XN_T(cols_raise)(s, block, stride, padded, n, from == 0);
        if (dense) XN_T(pack_targets)(targets, t, from, n);
        for (int64_t lane = 0; lane < padded; lane += XN_LANES) {
            XN_T(cols_sum)(t, s, block, lane, from, n);
            if (dense) XN_T(cols_dot)(s, block, targets, stride, lane, n);
        }
        XN_T(take_at_labels)(t, block, from, n, s->at_label);
    }
    for (int64_t r = 0; r < padded; r++) {
        s->rest[r] = XN_T(added)(s->rest[r], s->rest_error[r]);
        s->dot[r] = XN_T(added)(s->dot[r], s->dot_error[r]);
        s->mass[r] = XN_T(added)(s->mass[r], s->mass_error[r]);
    }
}

/* From the sums of XN_FINISH rows to their losses and what their outputs need. Lanes beyond the last row
 * hold nonsense, which nobody reads. */
static inline void XN_T(cols_finish)(const xn_tile *t, const XN_T(cols) *s, int64_t first, XN_T(cols_done) *d) {
    xn_finish f;
    double loss[XN_FINISH], weight[XN_FINISH];
    XN_ZERO(weight);
    const int dense = XN_T(is_dense)(t), planes = XN_T(wants_planes)(t);
    const size_t rows = (size_t)XN_T(least)(t->rows - first, XN_FINISH);
    memcpy(weight, t->weight + first, rows * sizeof(double));
#pragma omp simd
    for (int i = 0; i < XN_FINISH; i++) {
        f.max[i] = (double)s->max[first + i];
        f.rest[i] = s->rest[first + i];
        f.ties[i] = s->ties[first + i];
        f.offset[i] = XN_T(offset)(s->max[first + i]);
    }
    xn_finish_rows(&f, planes);
#pragma omp simd
    for (int i = 0; i < XN_FINISH; i++) {
        const double one = f.log_s[i] + (f.max[i] - s->at_label[first + i]);
        const double all = s->mass[first + i] * f.log_s[i] + s->dot[first + i];
        const double weighted = weight[i] * (dense ? all : one);
        loss[i] = weight[i] == 0 ? 0 : weighted;
    }
    if (t->loss) memcpy(t->loss + first, loss, rows * sizeof(double));
    if (t->lse)
        for (size_t i = 0; i < rows; i++) t->lse[first + (int64_t)i] = f.max[i] + f.log_s[i];
    if (!planes) return;
#pragma omp simd
    for (int i = 0; i < XN_FINISH; i++) {
        const XN_T(reference) ref = XN_T(refer)(s->max[first + i]);
        d->shift[first + i] = ref.shift;
        d->lowest[first + i] = ref.lowest;
        d->magic[first + i] = ref.magic;
        d->scale[first + i] = (real)f.scale[i];
        d->log_s[first + i] = (real)f.log_s[i];
        d->largest[first + i] = (real)f.largest[i];
        d->to_one[first + i] = (real)f.to_one[i];
        d->grad_scale[first + i] = (real)(f.scale[i] * (weight[i] * t->grad_scale));
        d->grad_largest[first + i] = (real)(f.largest[i] * (weight[i] * t->grad_scale));
        d->mass[first + i] = dense ? (real)s->mass[first + i] : 1;
        d->weight[first + i] = (real)(weight[i] * t->grad_scale);
    }
}

/* Probabilities of a packed block; scale and largest may carry a weight. See prob_lanes. */
static inline void XN_T(cols_prob)(const xn_tile *t, const XN_T(cols) *s, const XN_T(cols_done) *d, const real *scale,
                                   const real *largest, const real *block, real *p, int64_t n) {
    const int64_t padded = XN_T(padded_rows)(t->rows), stride = XN_T(stride)(t);
    for (int64_t c = 0; c < n; c++) {
        const real *x = block + c * stride;
#pragma omp simd
        for (int64_t r = 0; r < padded; r++) {
            const real logit = x[r];
            const real one = scale[r] * XN_T(lifted)(logit, d->shift[r], d->lowest[r], d->magic[r]);
            p[c * stride + r] = logit == s->max[r] ? largest[r] : one;
        }
    }
}

/* Gradients of rows with one target: the probabilities times the weight, less the weight at the label. */
static inline void XN_T(cols_grad_label)(const xn_tile *t, const XN_T(cols) *s, const XN_T(cols_done) *d,
                                         const real *block, real *out, int64_t from, int64_t n) {
    const int64_t padded = XN_T(padded_rows)(t->rows), stride = XN_T(stride)(t);
    int dropped = 0;
    XN_T(cols_prob)(t, s, d, d->grad_scale, d->grad_largest, block, out, n);
    for (int64_t r = 0; r < t->rows; r++) {
        dropped |= d->weight[r] == 0;
        const int64_t y = t->label[r] - from;
        if (y < 0 || y >= n) continue;
        real *grad = out + y * stride + r;
        *grad = s->at_label[r] == (double)s->max[r] ? -d->to_one[r] * d->weight[r] : *grad - d->weight[r];
    }
    for (int64_t c = 0; dropped && c < n; c++)
        for (int64_t r = 0; r < padded; r++) out[c * stride + r] = d->weight[r] == 0 ? 0 : out[c * stride + r];
}

static inline void XN_T(cols_grad_dense)(const xn_tile *t, const XN_T(cols) *s, const XN_T(cols_done) *d,
                                         const real *block, const real *targets, const real *p, real *out, int64_t n) {
    const int64_t padded = XN_T(padded_rows)(t->rows), stride = XN_T(stride)(t);
    for (int64_t c = 0; c < n; c++)
        for (int64_t r = 0; r < padded; r++) {
            const int64_t k = c * stride + r;
            const real slope =
                XN_T(ce_slope)(p[k], block[k] == s->max[r], targets[k], d->mass[r], d->to_one[r], d->weight[r]);
            out[k] = d->weight[r] == 0 ? 0 : slope;
        }
}

/* A packed block of the gradient into the caller's memory. Rows that follow each other there are made into
 * one stretch first, in `rows`; a stretch of neighbouring rows leaves by lines where it begins on one. */
static inline void XN_T(cols_put_grad)(const xn_tile *t, const real *block, real *rows, int64_t from, int64_t n,
                                       XN_T(stream) *stream) {
    const int64_t stride = XN_T(stride)(t), elements = t->rows * n;
    real *to = XN_T(at)(&t->grad, 0, from);
    if (t->streams && t->grad.cls == 1 && t->grad.row == n && n == t->classes) {
        XN_T(transpose)(rows, n, block, stride, n, t->rows);
        for (int64_t j = 0; j < elements; j += XN_T(FLUSH)) {
            const int64_t piece = XN_T(least)(elements - j, XN_T(FLUSH));
            memcpy(XN_T(stream_open)(stream, to + j), rows + j, (size_t)piece * sizeof(real));
            XN_T(stream_push)(stream, piece);
        }
    } else if (t->streams && t->grad.row == 1 && t->rows % XN_LANES == 0 && (uintptr_t)to % 64 == 0 &&
               t->grad.cls % XN_LANES == 0) {
        for (int64_t c = 0; c < n; c++)
            for (int64_t r = 0; r < t->rows; r += XN_LANES)
                xn_stream_line(to + c * t->grad.cls + r, block + c * stride + r);
    } else {
        XN_T(unpack)(&t->grad, block, stride, t->rows, from, n);
    }
}

/* The second visit: the outputs of a packed block. `out` is a third block, for what leaves. */
static inline void XN_T(cols_write)(const xn_tile *t, const XN_T(cols) *s, const XN_T(cols_done) *d, const real *block,
                                    const real *targets, real *p, real *out, int64_t from, int64_t n,
                                    XN_T(stream) *stream) {
    const int64_t padded = XN_T(padded_rows)(t->rows), stride = XN_T(stride)(t);
    const int dense = XN_T(is_dense)(t);
    if (t->prob.data || t->hess.data || (t->grad.data && dense))
        XN_T(cols_prob)(t, s, d, d->scale, d->largest, block, p, n);
    if (t->prob.data) XN_T(unpack)(&t->prob, p, stride, t->rows, from, n);
    if (t->log_prob.data) {
        for (int64_t c = 0; c < n; c++)
            for (int64_t r = 0; r < padded; r++)
                out[c * stride + r] = (block[c * stride + r] - s->max[r]) - d->log_s[r];
        XN_T(unpack)(&t->log_prob, out, stride, t->rows, from, n);
    }
    if (t->hess.data) {
        for (int64_t c = 0; c < n; c++)
            for (int64_t r = 0; r < padded; r++) {
                const int64_t k = c * stride + r;
                const real other = block[k] == s->max[r] ? d->to_one[r] : 1 - p[k];
                const real curve = d->weight[r] * d->mass[r] * (p[k] * other);
                out[k] = d->weight[r] == 0 ? 0 : curve;
            }
        XN_T(unpack)(&t->hess, out, stride, t->rows, from, n);
    }
    if (t->grad.data) {
        if (dense) {
            XN_T(cols_grad_dense)(t, s, d, block, targets, p, out, n);
        } else {
            XN_T(cols_grad_label)(t, s, d, block, out, from, n);
        }
        XN_T(cols_put_grad)(t, out, p, from, n, stream);
    }
}

static void XN_T(softmax_ce_cols)(const xn_tile *t) {
    XN_T(cols) s;
    XN_T(cols_done) d;
    _Alignas(64) real block[XN_T(PACKED)], targets[XN_T(PACKED)];
    _Alignas(64) real p[XN_T(PACKED)], out[XN_T(PACKED)];
    XN_T(cols_scan)(t, &s, block, targets);
    for (int64_t first = 0; first < t->rows; first += XN_FINISH) XN_T(cols_finish)(t, &s, first, &d);
    if (!XN_T(wants_planes)(t)) return;
    XN_T(stream) stream;
    XN_T(stream_start)(&stream);
    const int64_t stride = XN_T(stride)(t), cols = XN_T(cols_per_block)(t);
    const int dense = XN_T(is_dense)(t), single = t->classes <= cols;
    for (int64_t from = 0; from < t->classes; from += cols) {
        const int64_t n = XN_T(least)(t->classes - from, cols);
        if (!single) XN_T(pack)(block, stride, &t->input, t->rows, from, n);
        if (!single && dense) XN_T(pack_targets)(targets, t, from, n);
        XN_T(cols_write)(t, &s, &d, block, targets, p, out, from, n, &stream);
    }
    XN_T(ce_write_end)(t, &stream);
}
