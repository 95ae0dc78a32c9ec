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

static inline double XN_T(logit_at_label)(const xn_tile *t, int64_t row) {
    return t->label ? (double)*XN_T(at)(&t->input, row, t->label[row]) : 0;
}

/* Gives a part a larger maximum: its sums are brought to the new reference. */
static inline void XN_T(ce_raise)(xn_part *p, double max) {
    if (!(max > p->max)) return;
    if (p->max == -INFINITY) {
        p->rest = 0;
        p->dot += max * p->mass; /* was taken from 0 */
    } else {
        const double below = p->max - max;
        const double offset = XN_T(offset)((real)max);
        const double step = below - XN_T(offset)((real)p->max) + offset;
        p->rest = p->rest * xn_exp_negative(step) + p->ties * xn_exp_negative(below + offset) * 0x1p60;
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

/* One or more vectors: sum += lifted(x) where x is below the maximum, count += 1 where it equals it. */
XN_INLINE void XN_T(sum_lanes)(int width, const real *x, real max, XN_T(reference) ref, real *restrict sum,
                               ireal *restrict count) {
#pragma omp simd
    for (int i = 0; i < width; i++) {
        const real value = x[i];
        const real e = XN_T(lifted)(value, ref.shift, ref.lowest, ref.magic);
        sum[i] += value == max ? 0 : e;
        count[i] += value == max;
    }
}

/* Adds a block of n logits, none above p->max, to a part, and fetches what lies `ahead` elements further:
 * memory works while this block is computed. */
static inline void XN_T(ce_sum)(xn_part *p, const real *x, int64_t n, int64_t ahead) {
    const real max = (real)p->max;
    const XN_T(reference) ref = XN_T(refer)(max);
    double total[XN_LANES], error[XN_LANES];
    ireal count[XN_T(GROUP)];
    XN_ZERO(total);
    XN_ZERO(error);
    XN_ZERO(count);
    for (int64_t j = 0; j < n; j += XN_T(FLUSH)) {
        real sum[XN_T(GROUP)];
        XN_ZERO(sum);
        const int64_t end = XN_T(least)(n, j + XN_T(FLUSH));
        int64_t k = j;
        for (; k + XN_T(GROUP) <= end; k += XN_T(GROUP)) {
            for (int line = 0; line < 4; line++) XN_T(fetch)(x, k + ahead + line * XN_LANES);
            XN_T(sum_lanes)(XN_T(GROUP), x + k, max, ref, sum, count);
        }
        int lane = 0;
        for (; k + XN_LANES <= end; k += XN_LANES, lane += XN_LANES)
            XN_T(sum_lanes)(XN_LANES, x + k, max, ref, sum + lane, count);
        if (k < end) {
            real tail[XN_LANES];
            XN_T(last_vector)(tail, x + end, end - k, -INFINITY);
            XN_T(sum_lanes)(XN_LANES, tail, max, ref, sum + lane, count);
        }
        XN_T(flush)(total, error, sum);
    }
    int64_t ties = 0;
    for (int i = 0; i < XN_T(GROUP); i++) ties += count[i];
    p->rest += XN_T(flushed)(total, error);
    p->ties += (double)ties;
}

/* Adds the targets of a block to a part. m - x is halved, so that it cannot overflow: the caller's
 * targets may well be small enough for the product to fit. A target of 0 counts nothing, even at -inf. */
static inline void XN_T(ce_dot)(xn_part *p, const real *x, const real *u, int64_t n) {
    const real half_max = p->max == -INFINITY ? 0 : (real)(0.5 * p->max);
    double dots[XN_LANES], dot_error[XN_LANES], masses[XN_LANES], mass_error[XN_LANES];
    XN_ZERO(dots);
    XN_ZERO(dot_error);
    XN_ZERO(masses);
    XN_ZERO(mass_error);
    for (int64_t j = 0; j < n; j += XN_T(FLUSH)) {
        real dot[XN_T(GROUP)], mass[XN_T(GROUP)];
        XN_ZERO(dot);
        XN_ZERO(mass);
        const int64_t end = XN_T(least)(n, j + XN_T(FLUSH));
        int64_t k = j;
        for (; k + XN_T(GROUP) <= end; k += XN_T(GROUP)) {
#pragma omp simd
            for (int i = 0; i < XN_T(GROUP); i++) {
                const real half = XN_FMA((real)-0.5, x[k + i], half_max);
                dot[i] = XN_FMA(u[k + i], u[k + i] == 0 ? 0 : half, dot[i]);
                mass[i] += u[k + i];
            }
        }
        for (int lane = 0; k < end; k += XN_LANES, lane += XN_LANES) {
            real tail_x[XN_LANES], tail_u[XN_LANES];
            const int64_t n_last = XN_T(least)(end - k, XN_LANES);
            XN_T(last_vector)(tail_x, x + k + n_last, n_last, 0);
            XN_T(last_vector)(tail_u, u + k + n_last, n_last, 0);
#pragma omp simd
            for (int i = 0; i < XN_LANES; i++) {
                const real half = XN_FMA((real)-0.5, tail_x[i], half_max);
                dot[lane + i] = XN_FMA(tail_u[i], tail_u[i] == 0 ? 0 : half, dot[lane + i]);
                mass[lane + i] += tail_u[i];
            }
        }
        XN_T(flush)(dots, dot_error, dot);
        XN_T(flush)(masses, mass_error, mass);
    }
    p->dot += 2 * XN_T(flushed)(dots, dot_error);
    p->mass += XN_T(flushed)(masses, mass_error);
}

/* Classes [from, to) of a row, at most one segment. */
static inline void XN_T(ce_scan)(const xn_tile *t, int64_t row, int64_t from, int64_t to, xn_part *part) {
    *part = (xn_part){.max = -INFINITY};
    real buffer[XN_T(BLOCK) + XN_LANES], copy[XN_T(BLOCK) + XN_LANES];
    const int dense = XN_T(is_dense)(t) && !XN_T(is_dropped)(t, row);
    for (int64_t j = from; j < to; j += XN_T(BLOCK)) {
        const int64_t n = XN_T(least)(to - j, XN_T(BLOCK));
        const real *x = XN_T(inputs)(t, row, j, n, copy);
        XN_T(ce_raise)(part, XN_T(largest)(x, n));
        XN_T(ce_sum)(part, x, n, n);
        if (dense) XN_T(ce_dot)(part, x, XN_T(targets)(t, row, j, n, buffer), n);
    }
}

/* Rows of a single block. All their maxima come first: a row alone is one long chain of dependent steps,
 * and the CPU can only work on several rows at once if the chains are short. */
static inline void XN_T(ce_scan_short)(const xn_tile *t, int64_t first, int rows, xn_part *part) {
    real buffer[XN_T(BLOCK) + XN_LANES], copy[XN_T(BLOCK) + XN_LANES];
    for (int i = 0; i < rows; i++) {
        const real *x = XN_T(inputs)(t, first + i, 0, t->classes, copy);
        part[i] = (xn_part){.max = (double)XN_T(largest)(x, t->classes)};
    }
    for (int i = 0; i < rows; i++) {
        const int64_t row = first + i;
        const real *x = XN_T(inputs)(t, row, 0, t->classes, copy);
        XN_T(ce_sum)(part + i, x, t->classes, rows * t->input.row);
        if (XN_T(is_dense)(t) && !XN_T(is_dropped)(t, row))
            XN_T(ce_dot)(part + i, x, XN_T(targets)(t, row, 0, t->classes, buffer), t->classes);
        part[i].at_label = XN_T(logit_at_label)(t, row);
    }
}

static inline void XN_T(ce_scan_row)(const xn_tile *t, int64_t row, xn_part *part) {
    XN_T(ce_scan)(t, row, 0, XN_T(least)(t->classes, XN_SEGMENT), part);
    for (int64_t from = XN_SEGMENT; from < t->classes; from += XN_SEGMENT) {
        xn_part segment;
        XN_T(ce_scan)(t, row, from, XN_T(least)(t->classes, from + XN_SEGMENT), &segment);
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
    xn_finish_rows(&f, XN_T(wants_planes)(t));
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
