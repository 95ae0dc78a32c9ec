/* SPDX-License-Identifier: BSD-3-Clause */
/* Softmax cross-entropy from logits: loss, gradient, diagonal Hessian, log-sum-exp, probabilities and
 * log-probabilities of a row in one visit. Template: see real.h.
 *
 * Contract: reads tile->input and tile->target, writes only the outputs whose pointers are set. The
 * gradient, or an output that is the only one with classes, may be the input itself; otherwise nothing
 * overlaps. No memory is allocated.
 *
 * With m the maximum of a row, u its effective targets and U their sum:
 *     loss = U log S + sum of u_j (m - x_j), two sums of non-negative terms: never lse - x_y
 *     d loss / d x_j = U p_j - u_j,   d2 loss / d x_j2 = U p_j (1 - p_j)
 * An entry at the maximum takes 1 - p_j from the sum of the others, so nothing cancels there. */

/* A row after its classes were summed: what its outputs follow from. */
typedef struct {
    XN_T(reference) ref;
    real max;
    double log_s;
    double largest, to_one; /* the probability of the maximum, and its distance from 1 */
    double scale;         /* turns lifted(x) into a probability */
    double weight;        /* of gradient and Hessian; 0 drops the row */
    double mass;          /* U */
    double at_label;      /* the logit at the label */
} XN_T(row);

static inline int XN_T(is_dense)(const xn_tile *t) {
    return t->target.data != NULL || (t->label && t->spread != 0);
}

static inline int XN_T(is_dropped)(const xn_tile *t, int64_t row) {
    return t->weight[row] == 0;
}

static inline int XN_T(wants_planes)(const xn_tile *t) {
    return t->grad.data || t->hess.data || t->prob.data || t->log_prob.data;
}

/* Whether a row's log-sum-exp is: its exponentials alone do not need it. */
static inline int XN_T(wants_logs)(const xn_tile *t) {
    return t->loss || t->lse || t->log_prob.data;
}

static inline double XN_T(logit_at_label)(const xn_tile *t, int64_t row) {
    return t->label ? (double)XN_T(widened)(*XN_T(at)(&t->input, row, t->label[row])) : 0;
}

/* What turns exponentials that are lifted with `from` as their maximum into those with a larger one, `to`. Two
 * references that are no shift differ by a power of two. Otherwise the maxima are so large that their difference is
 * exact wherever its exponential is not 0. */
static inline double XN_T(ce_relift)(real from, real to) {
    const XN_T(reference) low = XN_T(refer)(from), high = XN_T(refer)(to);
    if (low.shift == 0 && high.shift == 0) {
        const double steps = (double)(high.magic - low.magic);
        return steps > -1000 ? xn_from_bits((uint64_t)(1023 + (int64_t)steps) << 52) : 0;
    }
    const double apart = xn_exp_negative((double)from - (double)to);
    return apart * xn_exp_reduced(XN_T(offset)(to)) * xn_exp_reduced(-XN_T(offset)(from));
}

/* Gives a part a larger maximum: its sums are brought to the new reference. */
static inline void XN_T(ce_raise)(xn_part *p, double max) {
    if (!(max > p->max)) return;
    if (p->max == -INFINITY) {
        p->dot += max * p->mass; /* was taken from 0; rest is 0, or NaN, and stays so */
    } else {
        const double factor = XN_T(ce_relift)((real)p->max, (real)max);
        const double tie = xn_exp_reduced(XN_T(offset)((real)p->max)) * 0x1p60;
        p->rest = factor * p->rest + factor * (p->ties * tie);
        p->dot += (0.5 * max - 0.5 * p->max) * (2 * p->mass); /* halved: the difference may not fit */
    }
    p->ties = 0;
    p->max = max;
}

static inline void XN_T(ce_merge)(xn_part *into, xn_part other) {
    XN_T(ce_raise)(into, other.max);
    XN_T(ce_raise)(&other, into->max);
    into->rest += other.rest;
    into->ties += other.ties;
    into->dot += other.dot;
    into->mass += other.mass;
}

/* Sums of exponentials in their two parts, see vmath.h, four vectors of each. */
typedef struct {
    real whole[XN_T(GROUP)], excess[XN_T(GROUP)];
} XN_T(sums);

/* One vector: adds lifted(x) to the sums where x is below the maximum, and 1 to count where it equals it. The first
 * `skip` lanes count nothing. e, unless NULL, gets the exponentials, and -1 at the maximum. NULL or not, and 0 or not,
 * are constants to the callers. */
XN_INLINE void XN_T(sum_lanes)(const XN_T(stored) *x, ireal skip, real max, XN_T(reference) ref,
                               XN_T(sums) *restrict sums, int lane, ireal *restrict count, real *restrict e) {
    real logit[XN_LANES];
    XN_T(widen_lanes)(logit, x);
#pragma omp simd
    for (ireal i = 0; i < XN_LANES; i++) {
        const real value = i < skip ? -INFINITY : logit[i];
        const ireal tie = -(ireal)(value == max);
        const XN_T(power) p = XN_T(lifted_parts)(value - ref.shift, ref.lowest, ref.magic);
        const real scale = XN_T(from_bits)(p.scale & ~tie), lean = p.r * scale;
        sums->whole[lane + i] += scale;
        sums->excess[lane + i] = XN_FMA(p.slope, lean, sums->excess[lane + i]);
        count[i] -= tie;
        if (e) {
            const real marked = value == max ? -1 : XN_FMA(p.slope, lean, scale);
            e[i] = i >= skip ? marked : e[i];
        }
    }
}

/* The same where all are known to be below it, and the reference is no shift. */
XN_INLINE void XN_T(sum_lanes_below)(const XN_T(stored) *x, XN_T(reference) ref, XN_T(sums) *restrict sums, int lane,
                                     real *restrict e) {
    real logit[XN_LANES];
    XN_T(widen_lanes)(logit, x);
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) {
        const XN_T(power) p = XN_T(lifted_parts)(logit[i], ref.lowest, ref.magic);
        const real scale = XN_T(from_bits)(p.scale), lean = p.r * scale;
        sums->whole[lane + i] += scale;
        sums->excess[lane + i] = XN_FMA(p.slope, lean, sums->excess[lane + i]);
        if (e) e[i] = XN_FMA(p.slope, lean, scale);
    }
}

/* Adds a block of n logits, none above p->max, to a part, and fetches what lies `ahead` elements further:
 * memory works while this block is computed. `below`, a constant to the callers: none of them equals
 * p->max, and its reference is no shift. The result has the same bits either way. */
XN_INLINE void XN_T(ce_sum_lanes)(int below, xn_part *p, const XN_T(stored) *x, int64_t n, int64_t ahead, real *e) {
    const real max = (real)p->max;
    const XN_T(reference) ref = XN_T(refer)(max);
    double total[XN_LANES], error[XN_LANES];
    ireal count[XN_LANES];
    XN_ZERO(total);
    XN_ZERO(error);
    XN_ZERO(count);
    for (int64_t j = 0; j < n; j += XN_T(FLUSH)) {
        XN_T(sums) sums;
        XN_ZERO(sums.whole);
        XN_ZERO(sums.excess);
        const int64_t end = XN_T(least)(n, j + XN_T(FLUSH));
        int64_t k = j;
        for (; k + XN_T(GROUP) <= end; k += XN_T(GROUP)) {
            for (int lane = 0; lane < XN_T(GROUP); lane += XN_LANES) {
                const int64_t at = k + lane;
                XN_T(fetch_ahead)(x, at, ahead);
                if (below) XN_T(sum_lanes_below)(x + at, ref, &sums, lane, e ? e + at : NULL);
                if (!below) XN_T(sum_lanes)(x + at, 0, max, ref, &sums, lane, count, e ? e + at : NULL);
            }
        }
        int lane = 0;
        for (; k + XN_LANES <= end; k += XN_LANES, lane += XN_LANES)
            XN_T(sum_lanes)(x + k, 0, max, ref, &sums, lane, count, e ? e + k : NULL);
        if (k < end) { /* with the elements before it: they exist, see lanes.h */
            const int64_t at = end - XN_LANES;
            XN_T(sum_lanes)(x + at, (ireal)(k - at), max, ref, &sums, lane, count, e ? e + at : NULL);
        }
        XN_T(flush)(total, error, sums.whole);
        XN_T(flush)(total, error, sums.excess);
    }
    int64_t ties = 0;
    for (int i = 0; i < XN_LANES; i++) ties += count[i];
    p->rest += XN_T(flushed)(total, error);
    p->ties += (double)ties;
}

/* A block whose largest element is known. e, unless NULL, gets its exponentials, -1 at the maximum, and has
 * LANES elements before it. */
static inline void XN_T(ce_sum)(xn_part *p, double largest, const XN_T(stored) *x, int64_t n, int64_t ahead, real *e) {
    const int below = largest < p->max && XN_T(refer)((real)p->max).shift == 0;
    if (below && e) {
        XN_T(ce_sum_lanes)(1, p, x, n, ahead, e);
    } else if (below) {
        XN_T(ce_sum_lanes)(1, p, x, n, ahead, NULL);
    } else if (e) {
        XN_T(ce_sum_lanes)(0, p, x, n, ahead, e);
    } else {
        XN_T(ce_sum_lanes)(0, p, x, n, ahead, NULL);
    }
}

/* One vector of targets: dot += u (max - x) / 2, mass += u, in float64, where a product of float32 is exact. m - x is
 * halved, so that it cannot overflow: the caller's targets may well be small enough for the product to fit. A
 * target of 0 counts nothing, even at -inf, and neither do the first `skip` lanes. */
XN_INLINE void XN_T(dot_lanes)(const real *x, const real *u, ireal skip, real half_max, double *restrict dot,
                               double *restrict mass) {
#pragma omp simd
    for (ireal i = 0; i < XN_LANES; i++) {
        const real target = i < skip ? 0 : u[i];
        const real half = XN_FMA((real)-0.5, x[i], half_max);
        dot[i] = XN_FMA64((double)target, (double)(target == 0 ? 0 : half), dot[i]);
        mass[i] += (double)target;
    }
}

/* Adds the targets of a block of n classes of a row to its part. */
static inline void XN_T(ce_dot)(const xn_tile *t, int64_t row, int64_t from, int64_t n, xn_part *p) {
    real copy[XN_T(BLOCK) + XN_LANES], buffer[XN_T(BLOCK) + XN_LANES];
    const real *x = XN_T(inputs)(t, row, from, n, copy), *u = XN_T(targets)(t, row, from, n, buffer);
    const real half_max = p->max == -INFINITY ? 0 : (real)(0.5 * p->max);
    double dots[XN_LANES], dot_error[XN_LANES], masses[XN_LANES], mass_error[XN_LANES];
    XN_ZERO(dots);
    XN_ZERO(dot_error);
    XN_ZERO(masses);
    XN_ZERO(mass_error);
    for (int64_t j = 0; j < n; j += XN_T(DOTS)) {
        double dot[XN_LANES], mass[XN_LANES];
        XN_ZERO(dot);
        XN_ZERO(mass);
        const int64_t end = XN_T(least)(n, j + XN_T(DOTS));
        int64_t k = j;
        for (; k + XN_LANES <= end; k += XN_LANES) {
            XN_T(fetch_near)(u, k + n);
            XN_T(dot_lanes)(x + k, u + k, 0, half_max, dot, mass);
        }
        if (k < end)
            XN_T(dot_lanes)(x + end - XN_LANES, u + end - XN_LANES, (ireal)(k - end + XN_LANES), half_max, dot, mass);
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) {
            XN_T(add)(dots + i, dot_error + i, dot[i]);
            XN_T(add)(masses + i, mass_error + i, mass[i]);
        }
    }
    p->dot += 2 * XN_T(flushed)(dots, dot_error);
    p->mass += XN_T(flushed)(masses, mass_error);
}

/* Exponentials that the first visit to some rows leaves to the second: of whole rows, or of the last blocks of a
 * long one. */
typedef struct {
    real *e; /* in the tile's scratch or in `own`; LANES elements before it are there, too */
    int64_t slots;
    real max[XN_T(SLOTS)]; /* of rows of several blocks: the maximum that a block was summed with */
    real own[XN_LANES + XN_T(KEPT)];
} XN_T(kept);

static inline void XN_T(keep)(XN_T(kept) *kept, const xn_tile *t) {
    kept->e = kept->own + XN_LANES;
    kept->slots = XN_T(KEPT) / XN_T(BLOCK);
    if (!t->scratch) return;
    kept->e = (real *)t->scratch + XN_LANES;
    kept->slots = XN_T(least)(XN_T(SLOTS), (t->scratch_bytes / (int64_t)sizeof(real) - XN_LANES) / XN_T(BLOCK));
}

static inline int64_t XN_T(blocks)(const xn_tile *t) {
    return (t->classes + XN_T(BLOCK) - 1) / XN_T(BLOCK);
}

/* Where the block at class j of the i-th row is kept, if rows have several blocks. */
static inline int64_t XN_T(slot)(const xn_tile *t, const XN_T(kept) *kept, int64_t i, int64_t j) {
    return (i * XN_T(blocks)(t) + j / XN_T(BLOCK)) % kept->slots;
}

/* Classes [from, to) of a row, at most one segment. The row is the i-th in `kept`, which may be NULL. */
static inline void XN_T(ce_scan)(const xn_tile *t, int64_t row, int64_t from, int64_t to, xn_part *part,
                                 XN_T(kept) *kept, int64_t i) {
    *part = (xn_part){.max = -INFINITY};
    XN_T(stored) space[XN_T(BLOCK) + XN_LANES];
    const int dense = XN_T(is_dense)(t) && !XN_T(is_dropped)(t, row);
    for (int64_t j = from; j < to; j += XN_T(BLOCK)) {
        const int64_t n = XN_T(least)(to - j, XN_T(BLOCK)), slot = kept ? XN_T(slot)(t, kept, i, j) : 0;
        const XN_T(stored) *x = XN_T(gathered)(&t->input, row, j, n, space);
        const double largest = (double)XN_T(largest)(x, n);
        XN_T(ce_raise)(part, largest);
        XN_T(ce_sum)(part, largest, x, n, n, kept ? kept->e + slot * XN_T(BLOCK) : NULL);
        if (kept) kept->max[slot] = (real)part->max;
        if (dense) XN_T(ce_dot)(t, row, j, n, part);
    }
}

/* Rows of a single block. All their maxima come first: a row alone is one long chain of dependent steps,
 * and the CPU can only work on several rows at once if the chains are short. */
static inline void XN_T(ce_scan_short)(const xn_tile *t, int64_t first, int rows, xn_part *part, XN_T(kept) *kept) {
    XN_T(stored) space[XN_T(BLOCK) + XN_LANES];
    for (int i = 0; i < rows; i++) {
        const XN_T(stored) *x = XN_T(gathered)(&t->input, first + i, 0, t->classes, space);
        part[i] = (xn_part){.max = (double)XN_T(largest)(x, t->classes)};
    }
    for (int i = 0; i < rows; i++) {
        const int64_t row = first + i;
        const XN_T(stored) *x = XN_T(gathered)(&t->input, row, 0, t->classes, space);
        XN_T(ce_sum)(part + i, part[i].max, x, t->classes, rows * t->input.row, kept ? kept->e + i * t->classes : NULL);
        if (XN_T(is_dense)(t) && !XN_T(is_dropped)(t, row)) XN_T(ce_dot)(t, row, 0, t->classes, part + i);
        part[i].at_label = XN_T(logit_at_label)(t, row);
    }
}

static inline void XN_T(ce_scan_row)(const xn_tile *t, int64_t row, xn_part *part, XN_T(kept) *kept, int64_t i) {
    XN_T(ce_scan)(t, row, 0, XN_T(least)(t->classes, XN_SEGMENT), part, kept, i);
    for (int64_t from = XN_SEGMENT; from < t->classes; from += XN_SEGMENT) {
        if (xn_stops_at(t, from)) return;
        xn_part segment;
        XN_T(ce_scan)(t, row, from, XN_T(least)(t->classes, from + XN_SEGMENT), &segment, kept, i);
        XN_T(ce_merge)(part, segment);
    }
    part->at_label = XN_T(logit_at_label)(t, row);
}

/* From the sums of up to XN_FINISH rows, `first` and on, to their losses and what their outputs need. */
static inline void XN_T(ce_finish)(const xn_tile *t, int64_t first, int rows, const xn_part *part, XN_T(row) *out) {
    xn_finish f;
    XN_ZERO(f.max);
    XN_ZERO(f.rest);
    XN_ZERO(f.ties);
    XN_ZERO(f.offset);
    const int dense = XN_T(is_dense)(t);
    for (int i = 0; i < rows; i++) {
        f.max[i] = part[i].max;
        f.rest[i] = part[i].rest;
        f.ties[i] = part[i].ties;
        f.offset[i] = XN_T(offset)((real)part[i].max);
    }
    xn_finish_rows(&f, XN_T(wants_logs)(t), XN_T(wants_planes)(t) || t->score);
    for (int i = 0; i < rows; i++) {
        const int64_t row = first + i;
        const int dropped = XN_T(is_dropped)(t, row);
        const double loss =
            dense ? part[i].mass * f.log_s[i] + part[i].dot : f.log_s[i] + (f.max[i] - part[i].at_label);
        if (t->loss) t->loss[row] = dropped ? 0 : loss * t->weight[row];
        if (t->lse) t->lse[row] = f.max[i] + f.log_s[i];
        out[i] = (XN_T(row)){
            .ref = XN_T(refer)((real)f.max[i]),
            .max = (real)f.max[i],
            .log_s = f.log_s[i],
            .largest = f.largest[i],
            .to_one = f.to_one[i],
            .scale = f.scale[i],
            .weight = dropped ? 0 : t->weight[row] * t->grad_scale,
            .mass = dense ? part[i].mass : 1,
            .at_label = part[i].at_label,
        };
    }
}
