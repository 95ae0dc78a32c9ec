/* SPDX-License-Identifier: BSD-3-Clause */
/* What scoring wants to know of a row beside its loss: the best class and its probability, the rank of the label, and
 * the Brier score. Template: see real.h.
 *
 * With m the maximum and e = exp(x - m), or p / m from probabilities, so that e is 1 at the maximum:
 *     S = ties + rest, rest the sum of e below the maximum; the best probability is 1 / S
 *     Brier = (1 - p_y)^2 + sum of p_k^2 over the others (Brier 1950), from sums that leave the label out: no digit of
 * a confident row is lost to a difference from 1 rank = classes above the label, among equals those before it; 0 is a
 * hit. The best class is the first that has m These are statistics, not losses: a few rounding errors of the type are
 * allowed, see score_bound in the tests. Rows that hold NaN, or nothing finite, have a loss of NaN, and what this says
 * of them means nothing. */

/* A row, or a lane, once its classes were read. `at` is e at the label; best is a class. */
typedef struct {
    double ties, rest, squares, at;
    int is_best;
} XN_T(scored);

XN_INLINE void XN_T(score_figures)(const XN_T(scored) *s, double *confidence, double *brier) {
    const double all = s->ties + s->rest, inverse = 1 / all, others = s->is_best ? s->ties - 1 : s->ties;
    const double off = others + (s->is_best ? s->rest : s->rest - s->at);
    const double square = others + (s->is_best ? s->squares : s->squares - s->at * s->at);
    const double wrong = off * inverse;
    *confidence = inverse;
    *brier = wrong * wrong + (square > 0 ? square : 0) * inverse * inverse;
}

/* exp(d) for d <= 0 is 0 where it would be no normal number. Of no row's maximum: the reference is 0, and without the
 * lift that gradients need. */
static inline XN_T(reference) XN_T(score_reference)(void) {
    const real bias = (real)XN_BIAS;
    return (XN_T(reference)){0, bias * -(XN_REAL_LN2_HI + XN_REAL_LN2_LO), XN_REAL_ROUND + bias};
}

/* e of one element. `logits` is a constant to the callers. */
XN_INLINE real XN_T(score_term)(int logits, real x, real max, real inverse, XN_T(reference) zero) {
    if (!logits) return x * inverse;
    return XN_T(lifted)(x - max, 0, zero.lowest, zero.magic);
}

/* The sums of a vector of classes: lanes of one row. */
typedef struct {
    real rest[XN_LANES], squares[XN_LANES];
    ireal ties[XN_LANES], above[XN_LANES], equal[XN_LANES];
} XN_T(score_lanes);

/* LANES classes, the first `skip` of which have been counted before. */
XN_INLINE void XN_T(score_vector)(int logits, XN_T(score_lanes) *restrict s, const real *x, ireal skip, real max,
                                  real at, real inverse, XN_T(reference) zero) {
#pragma omp simd
    for (ireal i = 0; i < XN_LANES; i++) {
        const real e = XN_T(score_term)(logits, x[i], max, inverse, zero);
        const real below = (x[i] == max) | (i < skip) ? 0 : e; /* NaN stays */
        s->rest[i] += below;
        s->squares[i] = XN_FMA(below, below, s->squares[i]);
        s->ties[i] += (x[i] == max) & (i >= skip) ? 1 : 0;
        s->above[i] += (x[i] > at) & (i >= skip) ? 1 : 0;
        s->equal[i] += (x[i] == at) & (i >= skip) ? 1 : 0;
    }
}

/* The largest element of a row that is not NaN and, of probabilities, the least. `logits` is a constant. */
XN_INLINE void XN_T(score_extremes)(int logits, const xn_tile *t, int64_t row, real *copy, real *max, real *min) {
    enum { WIDE = 4 * XN_LANES };
    real most[WIDE], least[WIDE];
    for (int i = 0; i < WIDE; i++) most[i] = -INFINITY, least[i] = INFINITY;
    for (int64_t from = 0; from < t->classes; from += XN_T(FLUSH)) {
        const int64_t n = XN_T(least)(t->classes - from, XN_T(FLUSH));
        const real *x = XN_T(inputs)(t, row, from, n, copy);
        int64_t j = 0;
        for (; j + WIDE <= n; j += WIDE) {
#pragma omp simd
            for (int i = 0; i < WIDE; i++) {
                most[i] = x[j + i] > most[i] ? x[j + i] : most[i];
                if (!logits) least[i] = x[j + i] < least[i] ? x[j + i] : least[i];
            }
        }
        for (; j < n; j += XN_LANES) {
            const int64_t last = XN_T(least)(j, n - XN_LANES); /* the elements before it exist, but may be others */
            const ireal skip = (ireal)(j - last);
#pragma omp simd
            for (ireal i = 0; i < XN_LANES; i++) {
                const real one = x[last + i];
                most[i] = (one > most[i]) & (i >= skip) ? one : most[i];
                least[i] = (one < least[i]) & (i >= skip) ? one : least[i];
            }
        }
    }
    for (int i = 1; i < WIDE; i++) {
        most[0] = most[i] > most[0] ? most[i] : most[0];
        least[0] = least[i] < least[0] ? least[i] : least[0];
    }
    *max = most[0];
    *min = least[0];
}

/* How many elements before `end` equal a value. */
static inline int64_t XN_T(score_equal)(const xn_tile *t, int64_t row, int64_t end, real value) {
    int64_t found = 0;
    for (int64_t c = 0; c < end; c++) found += XN_T(widened)(*XN_T(at)(&t->input, row, c)) == value;
    return found;
}

/* Whether one of `width` elements, a constant to the callers, has a value. */
XN_INLINE int XN_T(score_has)(int width, const real *x, real value) {
    ireal same = 0;
#pragma omp simd reduction(| : same)
    for (int i = 0; i < width; i++) same |= x[i] == value ? 1 : 0;
    return same != 0;
}

/* The first class that has the maximum: by many vectors to those where it is, by vectors to the one that has it. */
static inline int64_t XN_T(score_best)(const xn_tile *t, int64_t row, real max) {
    enum { WIDE = 16 * XN_LANES };
    int64_t from = 0;
#if XN_READS_REAL
    const real *x = XN_T(at)(&t->input, row, 0);
    if (t->input.cls == 1) {
        while (from + WIDE <= t->classes && !XN_T(score_has)(WIDE, x + from, max)) from += WIDE;
        while (from + XN_LANES <= t->classes && !XN_T(score_has)(XN_LANES, x + from, max)) from += XN_LANES;
    }
#endif
    for (; from < t->classes; from++)
        if (XN_T(widened)(*XN_T(at)(&t->input, row, from)) == max) return from;
    return t->classes;
}

/* A row of at least LANES classes. */
XN_INLINE void XN_T(score_row)(int logits, const xn_tile *t, int64_t row, real *copy) {
    real max, min;
    XN_T(score_extremes)(logits, t, row, copy, &max, &min);
    const int64_t label = t->label[row];
    const real at = XN_T(widened)(*XN_T(at)(&t->input, row, label)), inverse = 1 / max;
    const XN_T(reference) zero = XN_T(score_reference)();
    double rest[XN_LANES], squares[XN_LANES];
    XN_T(score_lanes) s;
    XN_ZERO(rest);
    XN_ZERO(squares);
    XN_ZERO(s.ties);
    XN_ZERO(s.above);
    XN_ZERO(s.equal);
    for (int64_t from = 0; from < t->classes && !xn_stops_at(t, from); from += XN_T(FLUSH)) {
        const int64_t n = XN_T(least)(t->classes - from, XN_T(FLUSH));
        const real *x = XN_T(inputs)(t, row, from, n, copy);
        XN_ZERO(s.rest);
        XN_ZERO(s.squares);
        int64_t j = 0;
        for (; j + XN_LANES <= n; j += XN_LANES) XN_T(score_vector)(logits, &s, x + j, 0, max, at, inverse, zero);
        if (j < n) XN_T(score_vector)(logits, &s, x + n - XN_LANES, (ireal)(j - n + XN_LANES), max, at, inverse, zero);
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) {
            rest[i] += (double)s.rest[i];
            squares[i] += (double)s.squares[i];
        }
    }
    int64_t ties = 0, above = 0, equal = 0;
    for (int i = 0; i < XN_LANES; i++) ties += s.ties[i], above += s.above[i], equal += s.equal[i];
    if (equal > 1) above += XN_T(score_equal)(t, row, label, at);
    const XN_T(scored) found = {(double)ties, XN_T(fold)(rest), XN_T(fold)(squares),
                                (double)XN_T(score_term)(logits, at, max, inverse, zero), at == max};
    t->score->best[row] = (int32_t)XN_T(score_best)(t, row, max);
    t->score->rank[row] = !logits && min < 0 ? XN_NEGATIVE : (int32_t)above;
    XN_T(score_figures)(&found, t->score->confidence + row, t->score->brier + row);
}

/* `width` classes: squares of the probabilities below the maximum, and how many logits are above the label's, or equal
 * it. `or_equal` is a constant to the callers, and so is whether the first `skip` were counted before. */
XN_INLINE void XN_T(score_kept_lanes)(int width, int or_equal, real *squares, ireal *above, const real *x,
                                      const real *e, real at, real scale, ireal skip) {
#pragma omp simd
    for (int i = 0; i < width; i++) {
        const real kept = e[i] > 0 ? e[i] : 0, p = scale * (i < skip ? 0 : kept);
        squares[i] = XN_FMA(p, p, squares[i]);
        const int counts = or_equal ? x[i] >= at : x[i] > at;
        above[i] += counts & (i >= skip) ? 1 : 0;
    }
}

/* The same from the exponentials that softmax_ce_rows has left, -1 at the maximum, and what it knows of the row. Equals
 * of the label count if they are before it: in the groups of classes that are wholly so, and in what is left of its own
 * one by one. */
static inline void XN_T(score_kept)(const xn_tile *t, int64_t row, const XN_T(row) *r, double ties, const real *e) {
    real copy[XN_T(BLOCK) + XN_LANES], squares[XN_T(GROUP)];
    ireal above[XN_T(GROUP)];
    double square[XN_LANES];
    const int64_t n = t->classes, label = t->label[row], before = label - label % XN_T(GROUP);
    const real *x = XN_T(inputs)(t, row, 0, n, copy), at = x[label], scale = (real)r->scale;
    XN_ZERO(square);
    XN_ZERO(above);
    for (int64_t from = 0; from < n; from += XN_T(FLUSH)) {
        const int64_t end = XN_T(least)(n, from + XN_T(FLUSH));
        XN_ZERO(squares);
        int64_t j = from;
        for (; j + XN_T(GROUP) <= XN_T(least)(end, before); j += XN_T(GROUP))
            XN_T(score_kept_lanes)(XN_T(GROUP), 1, squares, above, x + j, e + j, at, scale, 0);
        for (; j + XN_T(GROUP) <= end; j += XN_T(GROUP))
            XN_T(score_kept_lanes)(XN_T(GROUP), 0, squares, above, x + j, e + j, at, scale, 0);
        for (; j + XN_LANES <= end; j += XN_LANES)
            XN_T(score_kept_lanes)(XN_LANES, 0, squares, above, x + j, e + j, at, scale, 0);
        if (j < end) { /* LANES elements before the end are there: n is no less */
            const int64_t last = end - XN_LANES;
            XN_T(score_kept_lanes)(XN_LANES, 0, squares, above, x + last, e + last, at, scale, (ireal)(j - last));
        }
        for (int line = 0; line < XN_T(GROUP); line += XN_LANES) {
#pragma omp simd
            for (int i = 0; i < XN_LANES; i++) square[i] += (double)squares[line + i];
        }
    }
    ireal all_above = 0;
#pragma omp simd reduction(+ : all_above)
    for (int i = 0; i < XN_T(GROUP); i++) all_above += above[i];
    int64_t higher = all_above;
    for (int64_t j = before; j < label; j++) higher += x[j] == at;
    const int is_best = at == r->max;
    const double own = is_best ? r->largest : (double)(scale * e[label]), wrong = is_best ? r->to_one : 1 - own;
    const double most = r->largest * r->largest * (ties - is_best);
    const double below = XN_T(fold)(square) - (is_best ? 0 : own * own);
    t->score->confidence[row] = r->largest;
    t->score->brier[row] = wrong * wrong + most + (below > 0 ? below : 0);
    t->score->best[row] = is_best && higher == 0 ? (int32_t)label : (int32_t)XN_T(score_best)(t, row, r->max);
    t->score->rank[row] = (int32_t)higher;
}

static void XN_T(score_rows)(const xn_tile *t) {
    real copy[XN_T(FLUSH) + XN_LANES];
    for (int64_t row = 0; row < t->rows; row++) {
        if (xn_stops(t, t->classes)) return;
        if (t->score->from_logits) {
            XN_T(score_row)(1, t, row, copy);
        } else {
            XN_T(score_row)(0, t, row, copy);
        }
    }
}

/* What is said of LANES rows. */
typedef struct {
    double confidence[XN_LANES], brier[XN_LANES];
    int32_t best[XN_LANES], rank[XN_LANES];
} XN_T(scored_group);

/* A group of LANES rows with their n classes packed. */
XN_INLINE void XN_T(score_group)(int logits, const int64_t *restrict labels, const real *restrict group, int64_t n,
                                 double *restrict confidence, double *restrict brier, int32_t *restrict first_best,
                                 int32_t *restrict rank) {
    real max[XN_LANES], min[XN_LANES], at[XN_LANES], inverse[XN_LANES], rest[XN_LANES], squares[XN_LANES];
    ireal label[XN_LANES], found[XN_LANES], ties[XN_LANES], above[XN_LANES], best[XN_LANES];
    double more[XN_LANES], more_squares[XN_LANES];
    const XN_T(reference) zero = XN_T(score_reference)();
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) {
        label[i] = (ireal)labels[i];
        found[i] = 0;
        max[i] = -INFINITY;
        min[i] = INFINITY;
        best[i] = (ireal)n;
        ties[i] = above[i] = 0;
        more[i] = more_squares[i] = 0;
    }
    for (int64_t c = 0; c < n; c++) {
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) {
            const real x = group[c * XN_LANES + i];
            max[i] = x > max[i] ? x : max[i];
            if (!logits) min[i] = x < min[i] ? x : min[i]; /* NaN is no less */
            found[i] |= -(ireal)((ireal)c == label[i]) & XN_T(to_bits)(x);
        }
    }
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) {
        inverse[i] = 1 / max[i];
        at[i] = XN_T(from_bits)(found[i]);
    }
    for (int64_t to = n; to > 0; to -= XN_T(COL_FLUSH)) { /* backwards: the last that is best is the first */
        const int64_t from = to > XN_T(COL_FLUSH) ? to - XN_T(COL_FLUSH) : 0;
        XN_ZERO(rest);
        XN_ZERO(squares);
        for (int64_t c = to - 1; c >= from; c--) {
#pragma omp simd
            for (int i = 0; i < XN_LANES; i++) {
                const real x = group[c * XN_LANES + i], e = XN_T(score_term)(logits, x, max[i], inverse[i], zero);
                const ireal tie = -(ireal)(x == max[i]); /* masks, not selects: those of lanes that stay are slow */
                const real below = XN_T(from_bits)(XN_T(to_bits)(e) & ~tie); /* NaN stays */
                rest[i] += below;
                squares[i] = XN_FMA(below, below, squares[i]);
                ties[i] -= tie;
                best[i] += tie & ((ireal)c - best[i]);
                above[i] -= -(ireal)(x > at[i]) | (-(ireal)(x == at[i]) & -(ireal)((ireal)c < label[i]));
            }
        }
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) {
            more[i] += (double)rest[i];
            more_squares[i] += (double)squares[i];
        }
    }
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) {
        const double own = (double)XN_T(score_term)(logits, at[i], max[i], inverse[i], zero);
        const XN_T(scored) one = {(double)ties[i], more[i], more_squares[i], own, at[i] == max[i]};
        XN_T(score_figures)(&one, confidence + i, brier + i);
    }
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) {
        first_best[i] = (int32_t)best[i];
        rank[i] = (int32_t)(!logits && min[i] < 0 ? XN_NEGATIVE : above[i]);
    }
}

/* The same for `rows` of a tile's rows, where they may be fewer. */
XN_INLINE void XN_T(score_some)(int logits, const xn_tile *t, int64_t row, int64_t rows, const real *group) {
    const xn_scores *const to = t->score;
    if (rows == XN_LANES) {
        XN_T(score_group)(logits, t->label + row, group, t->classes, to->confidence + row, to->brier + row,
                          to->best + row, to->rank + row);
        return;
    }
    XN_T(scored_group) found;
    int64_t label[XN_LANES];
    for (int64_t i = 0; i < XN_LANES; i++) label[i] = i < rows ? t->label[row + i] : 0;
    XN_T(score_group)(logits, label, group, t->classes, found.confidence, found.brier, found.best, found.rank);
    memcpy(to->confidence + row, found.confidence, (size_t)rows * sizeof(double));
    memcpy(to->brier + row, found.brier, (size_t)rows * sizeof(double));
    memcpy(to->best + row, found.best, (size_t)rows * sizeof(int32_t));
    memcpy(to->rank + row, found.rank, (size_t)rows * sizeof(int32_t));
}

/* Few classes, which one packed block holds. */
static void XN_T(score_cols)(const xn_tile *t) {
    _Alignas(64) real block[XN_T(PACKED)];
    for (int64_t first = 0; first < t->rows; first += XN_T(COL_ROWS)) {
        const XN_T(strip) strip = XN_T(strip_at)(t, first);
        XN_T(pack)(block, &t->input, strip, 0, t->classes);
        for (int64_t r = 0; r < strip.rows; r += XN_LANES) {
            const int64_t rows = XN_T(least)(strip.rows - r, XN_LANES);
            const real *group = block + r * t->classes;
            if (t->score->from_logits) {
                XN_T(score_some)(1, t, first + r, rows, group);
            } else {
                XN_T(score_some)(0, t, first + r, rows, group);
            }
        }
    }
}
