/* SPDX-License-Identifier: BSD-3-Clause */
/* Softmax cross-entropy with lanes over rows: for few classes, where a row fills no vector, and for a
 * class axis that is not the last, where neighbours in memory are rows. Template: see real.h. The contract
 * and the formulas are those of softmax_ce.h.
 *
 * Rows are taken in strips, and their classes in packed blocks (pack.h), which turns every layout into the one
 * layout that the loops want. A block is overwritten by its exponentials, and these by the gradient. Rows of
 * more classes than a block holds are read twice when planes are wanted: once for their sums, once for their
 * outputs. */

/* The rows of a strip while their classes are read; arrays over lanes. */
typedef struct {
    real max[XN_T(COL_ROWS)], at_label[XN_T(COL_ROWS)];
    double rest[XN_T(COL_ROWS)], ties[XN_T(COL_ROWS)], dot[XN_T(COL_ROWS)], mass[XN_T(COL_ROWS)];
    double rest_error[XN_T(COL_ROWS)], dot_error[XN_T(COL_ROWS)], mass_error[XN_T(COL_ROWS)]; /* see add() */
} XN_T(cols);

/* What the outputs of a strip's rows follow from; arrays over lanes. */
typedef struct {
    real scale[XN_T(COL_ROWS)], log_s[XN_T(COL_ROWS)], largest[XN_T(COL_ROWS)], to_one[XN_T(COL_ROWS)];
    real mass[XN_T(COL_ROWS)], weight[XN_T(COL_ROWS)], hess_weight[XN_T(COL_ROWS)];
    real grad_scale[XN_T(COL_ROWS)], grad_largest[XN_T(COL_ROWS)];   /* scale and largest, times weight */
    real whole_scale[XN_T(COL_ROWS)], whole_largest[XN_T(COL_ROWS)]; /* and times mass */
} XN_T(cols_done);

/* The references of LANES rows. */
typedef struct {
    real max[XN_LANES], shift[XN_LANES], lowest[XN_LANES], magic[XN_LANES];
} XN_T(references);

static inline void XN_T(refer_lanes)(XN_T(references) *ref, const real *max) {
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) {
        const XN_T(reference) one = XN_T(refer)(max[i]);
        ref->max[i] = max[i];
        ref->shift[i] = one.shift;
        ref->lowest[i] = one.lowest;
        ref->magic[i] = one.magic;
    }
}

/* Largest logit of each row of a group of n classes, NaN aside; at least `most` as it comes. */
static inline void XN_T(cols_largest)(real *restrict most, const real *group, int64_t n) {
    real one[XN_LANES];
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) one[i] = most[i];
    for (int64_t c = 0; c < n; c++) {
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) one[i] = XN_T(larger)(group[c * XN_LANES + i], one[i]);
    }
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) most[i] = one[i];
}

/* Brings the sums of rows whose maximum has risen to the new reference; those of targets only if there are any. */
static inline void XN_T(cols_raise)(XN_T(cols) *s, int64_t r, const real *most, int dense) {
    for (int64_t i = r; i < r + XN_LANES; i++, most++) {
        if (!(*most > s->max[i])) continue;
        xn_part part = {.max = (double)s->max[i],
                        .rest = XN_T(added)(s->rest[i], s->rest_error[i]),
                        .ties = s->ties[i],
                        .dot = dense ? XN_T(added)(s->dot[i], s->dot_error[i]) : 0,
                        .mass = dense ? XN_T(added)(s->mass[i], s->mass_error[i]) : 0};
        XN_T(ce_raise)(&part, (double)*most);
        s->rest_error[i] = 0;
        s->rest[i] = part.rest;
        s->ties[i] = part.ties;
        s->max[i] = *most;
        if (!dense) continue;
        s->dot_error[i] = 0;
        s->dot[i] = part.dot;
    }
}

/* Adds the exponentials of VECTOR rows, `lane` and on of a group, to the sums of the strip; with `keep`, a
 * constant to the callers, they take the place of the logits, and -1 that of the maximum. */
XN_INLINE void XN_T(cols_sum_vector)(int keep, const xn_tile *t, XN_T(strip) strip, XN_T(cols) *s, int64_t r, int lane,
                                     real *restrict group, int64_t from, int64_t n) {
    real max[XN_VECTOR], shift[XN_VECTOR], lowest[XN_VECTOR], magic[XN_VECTOR];
    ireal count[XN_VECTOR];
    double rest[XN_VECTOR], error[XN_VECTOR];
#pragma omp simd
    for (int i = 0; i < XN_VECTOR; i++) {
        max[i] = s->max[r + lane + i];
        const XN_T(reference) ref = XN_T(refer)(max[i]);
        shift[i] = ref.shift;
        lowest[i] = ref.lowest;
        magic[i] = ref.magic;
        count[i] = 0;
        rest[i] = error[i] = 0;
    }
    for (int64_t c = 0; c < n; c += XN_T(COL_FLUSH)) {
        real whole[XN_VECTOR], excess[XN_VECTOR];
        for (int i = 0; i < XN_VECTOR; i++) whole[i] = excess[i] = 0;
        const int64_t end = XN_T(least)(n, c + XN_T(COL_FLUSH));
        for (int64_t k = c; k < end; k++) {
            real *x = group + k * XN_LANES + lane;
            if (lane == 0) XN_T(fetch_strip)(&t->input, strip, 1, r, from, k, n);
#pragma omp simd
            for (int i = 0; i < XN_VECTOR; i++) {
                const ireal tie = -(ireal)(x[i] == max[i]);
                const XN_T(power) e = XN_T(lifted_parts)(x[i] - shift[i], lowest[i], magic[i]);
                const real scale = XN_T(from_bits)(e.scale & ~tie), lean = e.r * scale;
                whole[i] += scale;
                excess[i] = XN_FMA(e.slope, lean, excess[i]);
                count[i] -= tie;
                if (keep) x[i] = x[i] == max[i] ? -1 : XN_FMA(e.slope, lean, scale);
            }
        }
#pragma omp simd
        for (int i = 0; i < XN_VECTOR; i++) {
            XN_T(add)(rest + i, error + i, (double)whole[i]);
            XN_T(add)(rest + i, error + i, (double)excess[i]);
        }
    }
#pragma omp simd
    for (int i = 0; i < XN_VECTOR; i++) {
        const int64_t row = r + lane + i;
        XN_T(add)(s->rest + row, s->rest_error + row, rest[i]);
        s->rest_error[row] += error[i];
        s->ties[row] += (double)count[i];
    }
}

/* The same for a group of n classes. */
XN_INLINE void XN_T(cols_sum)(int keep, const xn_tile *t, XN_T(strip) strip, XN_T(cols) *s, int64_t r, real *group,
                              int64_t from, int64_t n) {
    for (int lane = 0; lane < XN_LANES; lane += XN_VECTOR) {
        if (keep) {
            XN_T(cols_sum_vector)(1, t, strip, s, r, lane, group, from, n);
        } else {
            XN_T(cols_sum_vector)(0, t, strip, s, r, lane, group, from, n);
        }
    }
}

/* The exponentials alone, in place: what cols_sum keeps. */
static inline void XN_T(cols_exp)(const XN_T(cols) *s, int64_t r, real *restrict group, int64_t n) {
    XN_T(references) ref;
    XN_T(refer_lanes)(&ref, s->max + r);
    for (int64_t c = 0; c < n; c++) {
        real *x = group + c * XN_LANES;
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) {
            const real e = XN_T(lifted)(x[i], ref.shift[i], ref.lowest[i], ref.magic[i]);
            x[i] = x[i] == ref.max[i] ? -1 : e;
        }
    }
}

/* Adds the targets of a group to the sums of its rows; see dot_lanes. */
static inline void XN_T(cols_dot)(const xn_tile *t, XN_T(strip) strip, XN_T(cols) *s, int64_t r, const real *group,
                                  const real *targets, int64_t from, int64_t n) {
    real half_max[XN_LANES];
    double dots[XN_LANES], masses[XN_LANES], dot_error[XN_LANES], mass_error[XN_LANES];
    XN_ZERO(dots);
    XN_ZERO(masses);
    XN_ZERO(dot_error);
    XN_ZERO(mass_error);
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) {
        const real max = s->max[r + i];
        half_max[i] = max == -INFINITY ? 0 : (real)0.5 * max;
    }
    for (int64_t c = 0; c < n; c += XN_T(COL_FLUSH)) {
        double dot[XN_LANES], mass[XN_LANES];
        XN_ZERO(dot);
        XN_ZERO(mass);
        const int64_t end = XN_T(least)(n, c + XN_T(COL_FLUSH));
        for (int64_t k = c; k < end; k++) {
            const real *x = group + k * XN_LANES, *u = targets + k * XN_LANES;
            if (t->target.data) XN_T(fetch_strip)(&t->target, strip, 1, r, from, k, n);
#pragma omp simd
            for (int i = 0; i < XN_LANES; i++) {
                const real half = XN_FMA((real)-0.5, x[i], half_max[i]);
                dot[i] = XN_FMA64((double)u[i], (double)(u[i] == 0 ? 0 : half), dot[i]);
                mass[i] += (double)u[i];
            }
        }
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) {
            XN_T(add)(dots + i, dot_error + i, dot[i]);
            XN_T(add)(masses + i, mass_error + i, mass[i]);
        }
    }
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) {
        XN_T(add)(s->dot + r + i, s->dot_error + r + i, 2 * dots[i]);
        s->dot_error[r + i] += 2 * dot_error[i];
        XN_T(add)(s->mass + r + i, s->mass_error + r + i, masses[i]);
        s->mass_error[r + i] += mass_error[i];
    }
}

/* Whether a strip's only block holds its exponentials after the first visit. */
static inline int XN_T(cols_keeps)(const xn_tile *t) {
    return t->classes <= XN_FEW_CLASSES && XN_T(wants_planes)(t) && !t->log_prob.data;
}

static inline void XN_T(cols_clear)(XN_T(cols) *s, int dense) {
    for (int r = 0; r < XN_T(COL_ROWS); r++) s->max[r] = -INFINITY;
    XN_ZERO(s->at_label);
    XN_ZERO(s->rest);
    XN_ZERO(s->ties);
    XN_ZERO(s->rest_error);
    if (!dense) return;
    XN_ZERO(s->dot);
    XN_ZERO(s->mass);
    XN_ZERO(s->dot_error);
    XN_ZERO(s->mass_error);
}

static inline void XN_T(cols_add_errors)(double *sum, const double *error) {
    if (sizeof(real) != sizeof(double)) return;
#pragma omp simd
    for (int r = 0; r < XN_T(COL_ROWS); r++) sum[r] = XN_T(added)(sum[r], error[r]);
}

/* The first visit: sums of all rows of a strip. Leaves its last block, and that block's targets, packed. */
static inline void XN_T(cols_scan)(const xn_tile *t, XN_T(strip) strip, XN_T(cols) *s, real *block, real *targets) {
    const int dense = XN_T(is_dense)(t), keeps = XN_T(cols_keeps)(t);
    XN_T(cols_clear)(s, dense);
    for (int64_t from = 0; from < t->classes; from += XN_FEW_CLASSES) {
        const int64_t n = XN_T(least)(t->classes - from, XN_FEW_CLASSES);
        if (xn_stops_block(t, strip.rows, n)) break;
        XN_T(pack)(block, &t->input, strip, from, n);
        XN_T(take_at_labels)(t, strip, block, from, n, s->at_label);
        if (dense) XN_T(pack_targets)(targets, t, strip, from, n);
        for (int64_t r = 0; r < strip.padded; r += XN_LANES) {
            real *group = block + r * n, most[XN_LANES];
            memcpy(most, s->max + r, sizeof most);
            XN_T(cols_largest)(most, group, n);
            if (from > 0) XN_T(cols_raise)(s, r, most, dense);
            memcpy(s->max + r, most, sizeof most);
            if (dense) XN_T(cols_dot)(t, strip, s, r, group, targets + r * n, from, n);
            XN_T(cols_sum)(keeps, t, strip, s, r, group, from, n);
        }
    }
    XN_T(cols_add_errors)(s->rest, s->rest_error);
    if (!dense) return;
    XN_T(cols_add_errors)(s->dot, s->dot_error);
    XN_T(cols_add_errors)(s->mass, s->mass_error);
}

/* From the sums of XN_FINISH rows, r and on, to their losses and what their outputs need. Lanes beyond the last
 * row hold nonsense, which nobody reads. */
static inline void XN_T(cols_finish)(const xn_tile *t, XN_T(strip) strip, const XN_T(cols) *s, int64_t r,
                                     XN_T(cols_done) *d) {
    xn_finish f;
    double loss[XN_FINISH], weight[XN_FINISH];
    XN_ZERO(weight);
    const int dense = XN_T(is_dense)(t), planes = XN_T(wants_planes)(t);
    const size_t rows = (size_t)XN_T(least)(strip.rows - r, XN_FINISH);
    const int64_t first = strip.first + r;
    memcpy(weight, t->weight + first, rows * sizeof(double));
#pragma omp simd
    for (int i = 0; i < XN_FINISH; i++) {
        f.max[i] = (double)s->max[r + i];
        f.rest[i] = s->rest[r + i];
        f.ties[i] = s->ties[r + i];
        f.offset[i] = XN_T(offset)(s->max[r + i]);
    }
    xn_finish_rows(&f, XN_T(wants_logs)(t), planes);
    if (t->loss) {
#pragma omp simd
        for (int i = 0; i < XN_FINISH; i++) {
            const double one = f.log_s[i] + (f.max[i] - (double)s->at_label[r + i]);
            const double all = s->mass[r + i] * f.log_s[i] + s->dot[r + i];
            const double weighted = weight[i] * (dense ? all : one);
            loss[i] = weight[i] == 0 ? 0 : weighted;
        }
        memcpy(t->loss + first, loss, rows * sizeof(double));
    }
    if (t->lse)
        for (size_t i = 0; i < rows; i++) t->lse[first + (int64_t)i] = f.max[i] + f.log_s[i];
    if (!planes) return;
    const double grad_scale = t->grad_scale; /* which may be NaN */
    double masses[XN_FINISH];
    for (int i = 0; i < XN_FINISH; i++) masses[i] = 1;
    if (dense) memcpy(masses, s->mass + r, sizeof masses);
#pragma omp simd
    for (int i = 0; i < XN_FINISH; i++) {
        const double product = weight[i] * grad_scale, scaled = weight[i] == 0 ? 0 : product, mass = masses[i];
        d->scale[r + i] = (real)f.scale[i];
        d->log_s[r + i] = (real)f.log_s[i];
        d->largest[r + i] = (real)f.largest[i];
        d->to_one[r + i] = (real)f.to_one[i];
        d->grad_scale[r + i] = (real)(f.scale[i] * scaled);
        d->grad_largest[r + i] = (real)(f.largest[i] * scaled);
        d->whole_scale[r + i] = (real)(f.scale[i] * mass);
        d->whole_largest[r + i] = (real)(f.largest[i] * mass);
        d->mass[r + i] = (real)mass;
        d->weight[r + i] = (real)scaled;
        d->hess_weight[r + i] = (real)(scaled * t->hess_scale);
    }
}

/* value = largest at the maximum, else scale * e: probabilities, or probabilities times a weight. value may be e. */
static inline void XN_T(cols_prob)(real *value, const real *e, const real *scale, const real *largest, int64_t n) {
    for (int64_t c = 0; c < n; c++) {
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) {
            const real one = e[c * XN_LANES + i];
            value[c * XN_LANES + i] = one < 0 ? largest[i] : scale[i] * one;
        }
    }
}

static inline void XN_T(cols_log_prob)(real *value, const real *x, const real *max, const real *log_s, int64_t n) {
    for (int64_t c = 0; c < n; c++) {
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) value[c * XN_LANES + i] = (x[c * XN_LANES + i] - max[i]) - log_s[i];
    }
}

/* Diagonal Hessian of a group of rows, from their exponentials. All but these are over lanes; weight is 0 where a row
 * is dropped. */
static inline void XN_T(cols_hess)(real *value, const real *e, const real *scale, const real *largest,
                                   const real *to_one, const real *mass, const real *weights, int64_t n) {
    for (int64_t c = 0; c < n; c++) {
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) {
            const real one = e[c * XN_LANES + i], weight = weights[i];
            const real p = one < 0 ? largest[i] : scale[i] * one;
            const real other = one < 0 ? to_one[i] : 1 - p;
            const real curve = weight * mass[i] * (p * other);
            value[c * XN_LANES + i] = weight == 0 ? 0 : curve;
        }
    }
}

/* Gradients of a group of rows with dense targets, in place of the exponentials. */
static inline void XN_T(cols_grad_dense)(real *e, const real *targets, const XN_T(cols_done) *d, int64_t r, int64_t n) {
    for (int64_t c = 0; c < n; c++) {
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) {
            const real one = e[c * XN_LANES + i], weight = d->weight[r + i];
            const real whole_p = one < 0 ? d->whole_largest[r + i] : d->whole_scale[r + i] * one;
            const real slope =
                XN_T(ce_slope)(whole_p, one < 0, targets[c * XN_LANES + i], d->mass[r + i], d->to_one[r + i], weight);
            e[c * XN_LANES + i] = weight == 0 ? 0 : slope;
        }
    }
}

/* Gradients of a group of rows with one target, in place of the exponentials: the probabilities times the weight,
 * less the weight at the label. */
static inline void XN_T(cols_grad_label)(const xn_tile *t, XN_T(strip) strip, real *e, const XN_T(cols) *s,
                                         const XN_T(cols_done) *d, int64_t r, int64_t from, int64_t n) {
    int dropped = 0;
    XN_T(cols_prob)(e, e, d->grad_scale + r, d->grad_largest + r, n);
    for (int64_t i = r; i < XN_T(least)(strip.rows, r + XN_LANES); i++) {
        dropped |= d->weight[i] == 0;
        const int64_t y = t->label[strip.first + i] - from;
        if ((uint64_t)y >= (uint64_t)n) continue;
        real *grad = e + y * XN_LANES + (i - r);
        *grad = s->at_label[i] == s->max[i] ? -d->to_one[i] * d->weight[i] : *grad - d->weight[i];
    }
    for (int64_t c = 0; dropped && c < n; c++)
        for (int i = 0; i < XN_LANES; i++) e[c * XN_LANES + i] = d->weight[r + i] == 0 ? 0 : e[c * XN_LANES + i];
}

/* Whether gradient and Hessian go straight to where rows are neighbours: then no block has to hold them. */
static inline int XN_T(cols_straight)(const xn_tile *t, XN_T(strip) strip) {
    return t->grad.data && t->hess.data && t->grad.row == 1 && t->hess.row == 1 && !t->prob.data && !t->log_prob.data &&
           !XN_T(is_dense)(t) && strip.rows == strip.padded && !(t->streams && XN_WRITES_REAL);
}

/* These of a group of rows: the values of cols_hess and cols_grad_label. */
static inline void XN_T(cols_write_straight)(const xn_tile *t, XN_T(strip) strip, const real *e, const XN_T(cols) *s,
                                             const XN_T(cols_done) *d, int64_t r, int64_t from, int64_t n) {
    XN_T(written) *grad = XN_T(out_at)(&t->grad, strip.first + r, from);
    XN_T(written) *hess = XN_T(out_at)(&t->hess, strip.first + r, from);
    for (int64_t c = 0; c < n; c++) {
        real slope[XN_LANES], curve[XN_LANES];
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) {
            const real one = e[c * XN_LANES + i], weight = d->weight[r + i];
            const real p = one < 0 ? d->largest[r + i] : d->scale[r + i] * one;
            const real other = one < 0 ? d->to_one[r + i] : 1 - p;
            const real some = one < 0 ? d->grad_largest[r + i] : d->grad_scale[r + i] * one;
            const real steep = d->hess_weight[r + i], square = steep * (p * other);
            curve[i] = steep == 0 ? 0 : square;
            slope[i] = weight == 0 ? 0 : some;
        }
        __builtin_prefetch(grad + c * t->grad.cls + XN_T(COL_ROWS), 1);
        __builtin_prefetch(hess + c * t->hess.cls + XN_T(COL_ROWS), 1);
        XN_T(narrow_lanes)(grad + c * t->grad.cls, slope);
        XN_T(narrow_lanes)(hess + c * t->hess.cls, curve);
    }
    for (int64_t i = r; i < r + XN_LANES; i++) {
        const int64_t y = t->label[strip.first + i] - from;
        if ((uint64_t)y >= (uint64_t)n || d->weight[i] == 0) continue;
        const real some = d->grad_scale[i] * e[y * XN_LANES + (i - r)] - d->weight[i];
        const real at_label = s->at_label[i] == s->max[i] ? -d->to_one[i] * d->weight[i] : some;
        grad[y * t->grad.cls + (i - r)] = XN_T(narrowed)(at_label);
    }
}

/* Another block, for what leaves. */
typedef union {
    _Alignas(64) real lanes[XN_T(PACKED)];
    XN_T(written) rows[XN_T(PACKED)];
} XN_T(leaving);

/* A packed block of the gradient into the caller's memory. Rows that follow each other there are made into
 * one stretch first; a stretch of neighbouring rows leaves by lines where it begins on one. */
static inline void XN_T(cols_put_grad)(const xn_tile *t, XN_T(strip) strip, const real *block, XN_T(leaving) *out,
                                       int64_t from, int64_t n, XN_T(stream) *stream) {
    XN_T(written) *to = XN_T(out_at)(&t->grad, strip.first, from);
    const int lines = XN_WRITES_REAL && t->grad.row == 1 && strip.rows == strip.padded && (uintptr_t)to % 64 == 0 &&
                      t->grad.cls % XN_LANES == 0;
    if (t->streams && t->grad.cls == 1 && t->grad.row == n) {
        const xn_plane plane = {out->rows, n, 1};
        XN_T(unpack)(&plane, block, (XN_T(strip)){0, strip.rows, strip.padded}, 0, n);
        XN_T(stream_stretch)(stream, to, out->rows, strip.rows * n);
    } else if (t->streams && lines) {
        for (int64_t c = 0; c < n; c++)
            for (int64_t r = 0; r < strip.rows; r += XN_LANES)
                xn_stream_line(to + c * t->grad.cls + r, block + r * n + c * XN_LANES);
    } else {
        XN_T(unpack)(&t->grad, block, strip, from, n);
    }
}

/* The second visit: the outputs of a packed block. */
static inline void XN_T(cols_write)(const xn_tile *t, XN_T(strip) strip, const XN_T(cols) *s, const XN_T(cols_done) *d,
                                    real *block, const real *targets, XN_T(leaving) *out, int64_t from, int64_t n,
                                    XN_T(stream) *stream) {
    if (t->log_prob.data) {
        for (int64_t r = 0; r < strip.padded; r += XN_LANES)
            XN_T(cols_log_prob)(out->lanes + r * n, block + r * n, s->max + r, d->log_s + r, n);
        XN_T(unpack)(&t->log_prob, out->lanes, strip, from, n);
    }
    if (!XN_T(cols_keeps)(t))
        for (int64_t r = 0; r < strip.padded; r += XN_LANES) XN_T(cols_exp)(s, r, block + r * n, n);
    if (XN_T(cols_straight)(t, strip)) {
        for (int64_t r = 0; r < strip.padded; r += XN_LANES)
            XN_T(cols_write_straight)(t, strip, block + r * n, s, d, r, from, n);
        return;
    }
    if (t->prob.data) {
        for (int64_t r = 0; r < strip.padded; r += XN_LANES)
            XN_T(cols_prob)(out->lanes + r * n, block + r * n, d->scale + r, d->largest + r, n);
        XN_T(unpack)(&t->prob, out->lanes, strip, from, n);
    }
    if (t->hess.data) {
        for (int64_t r = 0; r < strip.padded; r += XN_LANES)
            XN_T(cols_hess)(out->lanes + r * n, block + r * n, d->scale + r, d->largest + r, d->to_one + r, d->mass + r,
                            d->hess_weight + r, n);
        XN_T(unpack)(&t->hess, out->lanes, strip, from, n);
    }
    if (!t->grad.data) return;
    for (int64_t r = 0; r < strip.padded; r += XN_LANES) { /* each leaves while the next is computed */
        if (XN_T(is_dense)(t)) {
            XN_T(cols_grad_dense)(block + r * n, targets + r * n, d, r, n);
        } else {
            XN_T(cols_grad_label)(t, strip, block + r * n, s, d, r, from, n);
        }
        const XN_T(strip) group = {strip.first + r, XN_T(least)(strip.rows - r, XN_LANES), XN_LANES};
        XN_T(cols_put_grad)(t, group, block + r * n, out, from, n, stream);
    }
}

static void XN_T(softmax_ce_cols)(const xn_tile *t) {
    XN_T(cols) s;
    XN_T(cols_done) d;
    _Alignas(64) real block[XN_T(PACKED)], targets[XN_T(PACKED)];
    XN_T(leaving) out;
    XN_T(stream) stream;
    XN_T(stream_start)(&stream);
    const int single = t->classes <= XN_FEW_CLASSES, writes = XN_T(wants_planes)(t), dense = XN_T(is_dense)(t);
    XN_T(strip) strip;
#if XN_READS_REAL && !XN_WRITES_REAL
    const int slopes = XN_T(slopes_suffice)(t);
#endif
    for (int64_t first = 0; first < t->rows; first += strip.rows) {
        strip = XN_T(strip_at)(t, first);
#if XN_READS_REAL && !XN_WRITES_REAL
        if (slopes && XN_T(slopes_strip)(t, strip)) continue;
#endif
        XN_T(cols_scan)(t, strip, &s, block, targets);
        for (int64_t r = 0; r < strip.rows; r += XN_FINISH) XN_T(cols_finish)(t, strip, &s, r, &d);
        for (int64_t from = 0; writes && from < t->classes; from += XN_FEW_CLASSES) {
            const int64_t n = XN_T(least)(t->classes - from, XN_FEW_CLASSES);
            if (xn_stops_block(t, strip.rows, n)) break;
            if (!single) XN_T(pack)(block, &t->input, strip, from, n);
            if (!single && dense) XN_T(pack_targets)(targets, t, strip, from, n);
            XN_T(cols_write)(t, strip, &s, &d, block, targets, &out, from, n, &stream);
        }
    }
    XN_T(ce_write_end)(t, &stream);
}
