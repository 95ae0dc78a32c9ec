/* SPDX-License-Identifier: BSD-3-Clause */
/* Binary cross-entropy, its focal form and the sigmoid: the loops over a tile. Formulas: binary_lanes.h. Template:
 * see real.h.
 *
 * Contract: reads tile->input and tile->target, writes only the outputs whose pointers are set. grad, or prob if it is
 * the only output, may be the input itself; otherwise nothing overlaps. No memory is allocated.
 *
 * Elements depend on nothing but themselves; a row sums them: loss = share * weight * sum over its classes. So memory
 * is taken in whatever pieces it offers, without packing: a block is a stretch of one row (long rows), some whole
 * rows (few classes, which lie together), or one class of some rows (a class axis that is not the last).
 * Long rows are summed lane by lane. Others go on in four sums, class c in sum c % 4: the same additions for
 * either of their blocks. */

/* Where the elements of a block lie: `pieces` of `length` elements each. Along a row, a piece is a stretch of classes,
 * and the next one belongs to the next row; else the only piece is a stretch of rows. */
typedef struct {
    int64_t row, cls, pieces, length;
    int across; /* a stretch of rows */
} XN_T(spot);

/* A tile while it is worked on: BATCH elements at a time. There is room for LANES more, as the last vector may be
 * incomplete. */
enum { XN_T(BATCH) = XN_T(FLUSH) / 2, XN_T(ROOM) = XN_T(BATCH) + XN_LANES };
typedef struct {
    const xn_tile *t;
    XN_T(binary) options;
    int wanted;  /* see binary_lanes.h */
    int brief;   /* 1 for a shorter formula: u = t and v = 1 - t, or gamma 2 */
    int uniform; /* all rows have the same weight: scale is filled once */
    int64_t at;  /* where in the arrays below a loop begins */
    int64_t ahead_x, ahead_t; /* what is fetched while an element is computed */
    XN_T(stream) stream;
    real x[XN_T(ROOM)], target[XN_T(ROOM)], pos[XN_T(ROOM)], scale[XN_T(ROOM)];
    real loss[XN_T(ROOM)], grad[XN_T(ROOM)], hess[XN_T(ROOM)];
} XN_T(binary_work);

/* The elements of a block of a plane as `real`: the caller's memory where it is just that, else copied to `space`. */
static inline const real *XN_T(binary_read)(const xn_plane *plane, XN_T(spot) at, real *space) {
    const XN_T(stored) *x = XN_T(at)(plane, at.row, at.cls);
    const int64_t step = at.across ? plane->row : plane->cls;
    const int whole = step == 1 && (at.pieces == 1 || plane->row == at.length);
#if XN_READS_REAL
    if (whole) return x;
#endif
    const int64_t pieces = whole ? 1 : at.pieces, length = whole ? at.pieces * at.length : at.length;
    for (int64_t i = 0; i < pieces; i++) {
        const XN_T(stored) *from = x + i * plane->row;
        real *to = space + i * length;
        if (step == 1) {
            XN_T(widen)(to, from, length);
        } else {
            for (int64_t j = 0; j < length; j++) to[j] = XN_T(widened)(from[j * step]);
        }
    }
    return space;
}

/* Elements of a block to a plane; through the stream, unless that is NULL, where they lie together. */
static inline void XN_T(binary_write)(const xn_plane *plane, XN_T(spot) at, const real *value, XN_T(stream) *stream) {
    XN_T(written) *first = XN_T(out_at)(plane, at.row, at.cls);
    const int64_t step = at.across ? plane->row : plane->cls;
    const int whole = step == 1 && (at.pieces == 1 || plane->row == at.length);
    const int64_t pieces = whole ? 1 : at.pieces, length = whole ? at.pieces * at.length : at.length;
    for (int64_t i = 0; i < pieces; i++, value += length) {
        XN_T(written) *to = first + i * plane->row;
        if (step == 1 && stream) {
            XN_T(narrow)(XN_T(stream_open)(stream, to), value, length);
            XN_T(stream_push)(stream, length);
        } else if (step == 1) {
            XN_T(narrow)(to, value, length);
        } else {
            for (int64_t j = 0; j < length; j++) to[j * step] = XN_T(narrowed)(value[j]);
        }
    }
}

/* Losses of elements, which are of the compute type, times the weights of their rows. */
static inline void XN_T(binary_write_each)(const xn_tile *t, XN_T(spot) at, const real *value) {
    for (int64_t i = 0; i < at.pieces; i++, value += at.length) {
        real *to = (real *)t->each.data + (at.row + i) * t->each.row + at.cls * t->each.cls;
        const int64_t step = at.across ? t->each.row : t->each.cls;
        for (int64_t j = 0; j < at.length; j++) {
            const double weight = t->weight[at.row + (at.across ? j : i)];
            to[j * step] = weight == 0 ? 0 : (real)(weight * (double)value[j]);
        }
    }
}

/* n elements, a number of whole vectors. kind, brief and wanted are constants to the caller. */
XN_INLINE void XN_T(binary_vectors)(xn_binary_kind kind, int brief, int wanted, XN_T(binary_work) *w, const real *x,
                                    const real *t, int64_t n) {
    const XN_T(binary) *o = &w->options;
    const real *pos = w->pos + w->at, *scale = w->scale + w->at;
    real *loss = w->loss + w->at, *grad = w->grad + w->at, *hess = w->hess + w->at;
    for (int64_t j = 0; j < n; j += XN_LANES) {
        XN_T(fetch_near)(x, j + w->ahead_x);
        if (kind != XN_SIGMOID) XN_T(fetch_near)(t, j + w->ahead_t);
        if (kind == XN_SIGMOID) XN_T(sigmoid)(x + j, loss + j);
        if (kind == XN_LOGITS)
            XN_T(binary_logits)(brief, wanted, o, x + j, t + j, pos + j, scale + j, loss + j, grad + j, hess + j);
        if (kind == XN_PROBABILITIES)
            XN_T(binary_probabilities)(wanted, o, x + j, t + j, pos + j, scale + j, loss + j, grad + j);
        if (kind == XN_FOCAL_LOGITS) XN_T(focal_logits)(brief, wanted, o, x + j, t + j, scale + j, loss + j, grad + j);
        if (kind == XN_FOCAL_PROBABILITIES)
            XN_T(focal_probabilities)(brief, wanted, o, x + j, t + j, scale + j, loss + j, grad + j);
    }
}

/* The same with what is wanted as it comes: each of these is a loop of its own. */
#define XN_BINARY_LOOP(kind, brief, wanted) \
    case ((kind) * 2 + (brief)) * XN_WANTS + (wanted): XN_T(binary_vectors)(kind, brief, wanted, w, x, t, n); break
static inline void XN_T(binary_loops)(XN_T(binary_work) *w, const real *x, const real *t, int64_t n) {
    switch (((int)w->t->kind * 2 + w->brief) * XN_WANTS + w->wanted) {
        XN_BINARY_LOOP(XN_SIGMOID, 0, XN_LOSS);
        XN_BINARY_LOOP(XN_LOGITS, 0, XN_LOSS);
        XN_BINARY_LOOP(XN_LOGITS, 0, XN_AND_GRAD);
        XN_BINARY_LOOP(XN_LOGITS, 0, XN_AND_HESS);
        XN_BINARY_LOOP(XN_LOGITS, 1, XN_LOSS);
        XN_BINARY_LOOP(XN_LOGITS, 1, XN_AND_GRAD);
        XN_BINARY_LOOP(XN_LOGITS, 0, XN_GRAD);
        XN_BINARY_LOOP(XN_LOGITS, 0, XN_GRAD_HESS);
        XN_BINARY_LOOP(XN_LOGITS, 1, XN_AND_HESS);
        XN_BINARY_LOOP(XN_LOGITS, 1, XN_GRAD);
        XN_BINARY_LOOP(XN_LOGITS, 1, XN_GRAD_HESS);
        XN_BINARY_LOOP(XN_PROBABILITIES, 0, XN_LOSS);
        XN_BINARY_LOOP(XN_PROBABILITIES, 0, XN_AND_GRAD);
        XN_BINARY_LOOP(XN_FOCAL_LOGITS, 0, XN_LOSS);
        XN_BINARY_LOOP(XN_FOCAL_LOGITS, 0, XN_AND_GRAD);
        XN_BINARY_LOOP(XN_FOCAL_LOGITS, 1, XN_LOSS);
        XN_BINARY_LOOP(XN_FOCAL_LOGITS, 1, XN_AND_GRAD);
        XN_BINARY_LOOP(XN_FOCAL_PROBABILITIES, 0, XN_LOSS);
        XN_BINARY_LOOP(XN_FOCAL_PROBABILITIES, 0, XN_AND_GRAD);
        XN_BINARY_LOOP(XN_FOCAL_PROBABILITIES, 1, XN_LOSS);
        XN_BINARY_LOOP(XN_FOCAL_PROBABILITIES, 1, XN_AND_GRAD);
    }
}
#undef XN_BINARY_LOOP

/* All elements of a block: into w->loss, with zeros up to a whole vector behind them, and to the planes. */
static inline void XN_T(binary_block)(XN_T(binary_work) *w, XN_T(spot) at) {
    const xn_tile *tile = w->t;
    const int64_t n = at.pieces * at.length, whole = n / XN_LANES * XN_LANES;
    const real *x = XN_T(binary_read)(&tile->input, at, w->x);
    const real *t = tile->target.data ? XN_T(binary_read)(&tile->target, at, w->target) : w->target;
    w->at = 0;
    if (whole > 0) XN_T(binary_loops)(w, x, t, whole);
    if (whole < n) { /* a copy of the last vector: nothing is read beyond the block */
        real last_x[XN_LANES], last_t[XN_LANES];
        XN_ZERO(last_x);
        XN_ZERO(last_t);
        memcpy(last_x, x + whole, (size_t)(n - whole) * sizeof(real));
        memcpy(last_t, t + whole, (size_t)(n - whole) * sizeof(real));
        w->at = whole;
        XN_T(binary_loops)(w, last_x, last_t, XN_LANES);
    }
    for (int64_t j = n; j % XN_LANES != 0; j++) w->loss[j] = 0;
    if (tile->each.data) XN_T(binary_write_each)(tile, at, w->loss);
    if (tile->prob.data) XN_T(binary_write)(&tile->prob, at, w->loss, NULL);
    if (tile->hess.data) XN_T(binary_write)(&tile->hess, at, w->hess, NULL);
    if (tile->grad.data) XN_T(binary_write)(&tile->grad, at, w->grad, tile->streams ? &w->stream : NULL);
}

static inline void XN_T(binary_fill)(real *to, real value, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] = value;
}

/* Factor of the derivatives of a row: 0 where it is dropped, even if the divisor is NaN. From logits it has a half of
 * what exponentials are lifted by. */
static inline real XN_T(binary_scale)(const xn_tile *t, int64_t row) {
    const real scale = t->weight[row] == 0 ? 0 : (real)(t->weight[row] * t->grad_scale * t->share);
    return t->kind == XN_LOGITS ? scale * (real)0x1p-30 : scale;
}

/* Brings pos and scale to what a block wants, where that is not what they hold. */
static inline void XN_T(binary_factors)(XN_T(binary_work) *w, XN_T(spot) at) {
    const xn_tile *t = w->t;
    const real *weight = t->pos_weight;
    if (weight && at.across) XN_T(binary_fill)(w->pos, weight[at.cls], at.length);
    if (weight && !at.across && (at.pieces == 1 || at.row == 0))
        for (int64_t i = 0; i < at.pieces; i++)
            memcpy(w->pos + i * at.length, weight + at.cls, (size_t)at.length * sizeof(real));
    if (!w->wanted || w->uniform) return;
    if (at.across) {
        if (at.cls > 0) return;
        for (int64_t i = 0; i < at.length; i++) w->scale[i] = XN_T(binary_scale)(t, at.row + i);
    } else if (at.cls == 0) {
        for (int64_t i = 0; i < at.pieces; i++)
            XN_T(binary_fill)(w->scale + i * at.length, XN_T(binary_scale)(t, at.row + i), at.length);
    }
}

static inline void XN_T(binary_start)(XN_T(binary_work) *w, const xn_tile *t) {
    XN_T(binary) *o = &w->options;
    w->t = t;
    w->brief = 0;
    w->wanted = t->hess.data ? XN_AND_HESS : t->grad.data ? XN_AND_GRAD : XN_LOSS;
    if (t->kind == XN_LOGITS && w->wanted && !t->loss && !t->each.data)
        w->wanted = t->hess.data ? XN_GRAD_HESS : XN_GRAD;
    if (t->kind == XN_LOGITS) w->brief = t->smoothing == 0 && !t->pos_weight;
    if (t->kind == XN_FOCAL_LOGITS || t->kind == XN_FOCAL_PROBABILITIES) w->brief = t->coefficient == 2;
    w->ahead_x = w->ahead_t = XN_T(FLUSH);
    int different = 0;
#pragma omp simd reduction(| : different)
    for (int64_t row = 1; row < t->rows; row++) different |= t->weight[row] != t->weight[0];
    w->uniform = !different;
    o->keep64 = 1 - t->smoothing;
    o->spread64 = t->smoothing / 2;
    o->low64 = t->epsilon;
    o->high64 = t->epsilon > 0 && 1 - t->epsilon == 1 ? 1 - 0x1p-53 : 1 - t->epsilon; /* 1 itself is clipped */
    o->log_low64 = xn_log(t->epsilon);
    o->log_high64 = xn_log_corrected(1 - t->epsilon, (1 - (1 - t->epsilon)) - t->epsilon);
    o->keep = (real)o->keep64;
    o->spread = (real)o->spread64;
    o->low = XN_T(at_least)(o->low64);
    o->high = XN_T(at_most)(o->high64);
    o->log_low = (real)o->log_low64;
    o->log_high = (real)o->log_high64;
    o->gamma = t->coefficient;
    o->zero_power = t->coefficient == 1 ? 1 : t->coefficient == 0 || t->coefficient > 1 ? 0 : INFINITY;
    o->alpha = t->balanced ? t->alpha : 1;
    o->rest = t->balanced ? 1 - t->alpha : 1;
    XN_T(stream_start)(&w->stream);
    if (!t->pos_weight && !w->brief) XN_T(binary_fill)(w->pos, 1, XN_T(BATCH));
    if (w->wanted && w->uniform) XN_T(binary_fill)(w->scale, XN_T(binary_scale)(t, 0), XN_T(BATCH));
}

static inline void XN_T(binary_end)(XN_T(binary_work) *w) {
    if (!w->t->streams) return;
    XN_T(stream_close)(&w->stream);
    xn_stream_end();
}

static inline void XN_T(binary_store)(const xn_tile *t, int64_t row, double sum) {
    if (t->loss) t->loss[row] = t->weight[row] == 0 ? 0 : t->weight[row] * (sum * t->share);
}

/* Adds n losses of one row to its lanes, times 2^-10: float64 may hold them, but not their sum. */
static inline void XN_T(binary_add)(const real *loss, int64_t n, double *total, double *error) {
    for (int64_t j = 0; j < n; j += XN_LANES) {
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) XN_T(add)(total + i, error + i, 0x1p-10 * (double)loss[j + i]);
    }
}

static void XN_T(binary_ce_rows)(const xn_tile *t) {
    XN_T(binary_work) w;
    XN_T(binary_start)(&w, t);
    for (int64_t row = 0; row < t->rows; row++) {
        double total[XN_LANES], error[XN_LANES];
        XN_ZERO(total);
        XN_ZERO(error);
        if (w.wanted && !w.uniform)
            XN_T(binary_fill)(w.scale, XN_T(binary_scale)(t, row), XN_T(least)(t->classes, XN_T(BATCH)));
        for (int64_t j = 0; j < t->classes; j += XN_T(BATCH)) {
            const XN_T(spot) at = {row, j, 1, XN_T(least)(t->classes - j, XN_T(BATCH)), 0};
            if (t->pos_weight) memcpy(w.pos, (const real *)t->pos_weight + j, (size_t)at.length * sizeof(real));
            XN_T(binary_block)(&w, at);
            if (t->loss) XN_T(binary_add)(w.loss, at.length, total, error);
        }
        if (t->loss) XN_T(binary_store)(t, row, 0x1p10 * XN_T(flushed)(total, error));
    }
    XN_T(binary_end)(&w);
}

/* The four sums of a row, or of some rows, and what their roundings took. */
typedef struct {
    double sum[4][XN_T(BATCH)], error[4][XN_T(BATCH)];
} XN_T(binary_sums);

static inline double XN_T(binary_total)(const double *sum, const double *error, int64_t step) {
    const double whole = (sum[0] + sum[2 * step]) + (sum[step] + sum[3 * step]);
    return XN_T(added)(whole, (error[0] + error[2 * step]) + (error[step] + error[3 * step]));
}

/* Some whole rows of few classes. */
static inline void XN_T(binary_rows_together)(XN_T(binary_work) *w, int64_t row, int64_t rows) {
    const xn_tile *t = w->t;
    const XN_T(spot) at = {row, 0, rows, t->classes, 0};
    XN_T(binary_factors)(w, at);
    XN_T(binary_block)(w, at);
    for (int64_t r = 0; t->loss && r < rows; r++) {
        const real *loss = w->loss + r * t->classes;
        double sum[4] = {0}, error[4] = {0};
        int64_t c = 0;
        for (; c + 4 <= t->classes; c += 4) {
#pragma omp simd
            for (int k = 0; k < 4; k++) XN_T(add)(sum + k, error + k, (double)loss[c + k]);
        }
        for (int k = 0; c < t->classes; k++, c++) XN_T(add)(sum + k, error + k, (double)loss[c]);
        XN_T(binary_store)(t, row + r, XN_T(binary_total)(sum, error, 1));
    }
}

/* Some rows class by class. The first class of a sum begins it. */
static inline void XN_T(binary_classes)(XN_T(binary_work) *w, XN_T(binary_sums) *s, int64_t row, int64_t rows) {
    const xn_tile *t = w->t;
    for (int64_t k = t->classes; k > 1 && k < 4; k++) {
        memset(s->sum[k], 0, (size_t)rows * sizeof(double));
        memset(s->error[k], 0, (size_t)rows * sizeof(double));
    }
    for (int64_t c = 0; c < t->classes; c++) {
        if (c % XN_FEW_CLASSES == 0 && xn_stops_block(t, rows, XN_FEW_CLASSES)) break;
        const XN_T(spot) at = {row, c, 1, rows, 1};
        double *sum = s->sum[c % 4], *error = s->error[c % 4];
        XN_T(binary_factors)(w, at);
        XN_T(binary_block)(w, at);
        if (t->classes == 1 || !t->loss) continue;
#pragma omp simd
        for (int64_t r = 0; r < rows; r++) {
            sum[r] = c < 4 ? 0 : sum[r];
            error[r] = c < 4 ? 0 : error[r];
            XN_T(add)(sum + r, error + r, (double)w->loss[r]);
        }
    }
    for (int64_t r = 0; t->loss && r < rows; r++) {
        const double alone = (double)w->loss[r];
        const double sum = t->classes == 1 ? alone : XN_T(binary_total)(s->sum[0] + r, s->error[0] + r, XN_T(BATCH));
        XN_T(binary_store)(t, row + r, sum);
    }
}

static void XN_T(binary_ce_cols)(const xn_tile *t) {
    XN_T(binary_work) w;
    XN_T(binary_sums) sums;
    XN_T(binary_start)(&w, t);
    const int together = t->input.cls == 1 && t->classes > 1 && t->classes <= XN_T(BATCH);
    const int64_t step = together ? XN_T(BATCH) / t->classes : XN_T(BATCH);
    if (!together && t->classes > 1) { /* the next class, not what lies behind these rows */
        w.ahead_x = t->input.cls;
        w.ahead_t = t->target.cls;
    }
    for (int64_t row = 0; row < t->rows; row += step) {
        const int64_t rows = XN_T(least)(t->rows - row, step);
        if (together) {
            XN_T(binary_rows_together)(&w, row, rows);
        } else {
            XN_T(binary_classes)(&w, &sums, row, rows);
        }
    }
    XN_T(binary_end)(&w);
}
