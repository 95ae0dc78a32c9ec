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
 * With tile->sight, S is 1 for all rows, whatever their probabilities sum to, and the sight is told what they are.
 * S is summed in float64. The logarithm is taken of the quotient, not of a rounded q. A row whose sum is 0 or not
 * finite has no quotients: it is NaN. */

/* A row, or a lane, after its probabilities were summed. */
typedef struct {
    real low, high;              /* epsilon S and (1 - epsilon) S: where p is clipped */
    real sum, sum_low, inverse;  /* S in two parts, 1 / S */
} XN_T(clip);

static inline XN_T(clip) XN_T(clip_of)(double sum, double epsilon) {
    const real least = XN_REAL == 32 ? (real)0x1p-149 : (real)0x1p-1074; /* so that 0 is below it */
    const double bound = epsilon * sum;
    const real low = bound == 0 && sum > 0 ? least : XN_T(at_least)(bound);
    XN_T(clip) c = {low, XN_T(at_most)((1 - epsilon) * sum), (real)sum, 0, (real)(1 / sum)};
    c.sum_low = (real)(sum - (double)c.sum);
    return c;
}

/* -log(clip(p / S)); log_low and log_high are the values at the bounds. */
XN_INLINE real XN_T(prob_loss)(real p, XN_T(clip) c, real log_low, real log_high) {
    const real inside = XN_T(log_quotient)(p, c.sum, c.sum_low, c.inverse);
    const real above = p > c.high ? log_high : inside;
    return -(p < c.low ? log_low : above);
}

/* The loss of a class with a target: one of 0 counts nothing, whatever the loss, unless that is NaN. */
XN_INLINE real XN_T(prob_term)(real u, real p, XN_T(clip) c, real log_low, real log_high) {
    const real loss = XN_T(prob_loss)(p, c, log_low, log_high);
    return u == 0 && loss == INFINITY ? 0 : loss;
}

XN_INLINE real XN_T(is_inside)(real p, XN_T(clip) c) {
    const real below = p > c.high ? (real)0 : (real)1;
    return p < c.low ? (real)0 : below;
}

/* weight (inside_mass / S - u / p), where `base` is the first term, weight included. */
XN_INLINE real XN_T(prob_slope)(real p, real u, XN_T(clip) c, real base, real weight) {
    const real other = XN_T(is_inside)(p, c) != 0 && u != 0 ? u / p : 0;
    return XN_FMA(-weight, other, base);
}

/* inside_mass / S, times the weight. NaN for a row that sums to 0, whose quotients are all undefined. */
static inline real XN_T(prob_base)(double weight, double inside, double sum) {
    const double inverse = 1 / sum;
    return (real)(weight * inside / sum + (inverse - inverse));
}

/* The loss of a row with one target, whose probability is p. */
static inline double XN_T(prob_loss_label)(double p, double sum, double epsilon) {
    const double q = p / sum;
    const double floored = q < epsilon ? epsilon : q;
    return 0 - xn_log(floored > 1 - epsilon ? 1 - epsilon : floored); /* 0, not -0 */
}

/* Its gradient: `elsewhere` at every class but the label. */
static inline void XN_T(prob_grad_label)(double p, double sum, double epsilon, double weight, real *at,
                                         real *elsewhere) {
    const double q = p / sum;
    const int clipped = q < epsilon || q > 1 - epsilon || q == 0;
    const double inside = clipped ? 0 : weight / sum + (q - q);
    *elsewhere = (real)inside;
    *at = inside == 0 ? 0 : (real)(-inside * ((sum - p) / p));
}

/* The sum of a row, or NaN if it is infinite: what is divided by it would else be 0, and clipped like any other. */
XN_INLINE double XN_T(finite_sum)(double sum) {
    return sum + (sum - sum);
}

/* Adds a row, or lane, to what was seen: its least and largest probability and their sum, NaN if that is not finite. */
XN_INLINE void XN_T(see)(xn_sight *sight, real least, real most, double sum) {
    const double off = sum > 1 ? sum - 1 : 1 - sum;
    if ((double)least < sight->least) sight->least = (double)least;
    if ((double)most > sight->most) sight->most = (double)most;
    if (!(off <= sight->off)) sight->off = off < INFINITY ? off : INFINITY; /* infinite for NaN, too */
}

/* Lowers and raises lanes to n of the elements p, where n is at most the lanes that there are. */
XN_INLINE void XN_T(see_lanes)(real *restrict least, real *restrict most, const real *p, int n) {
#pragma omp simd
    for (int i = 0; i < n; i++) {
        least[i] = p[i] < least[i] ? p[i] : least[i];
        most[i] = p[i] > most[i] ? p[i] : most[i];
    }
}

/* The sum of a row. `seeing`, a constant to the callers: the sight gets to know the row. */
XN_INLINE double XN_T(prob_sum)(int seeing, const xn_tile *t, int64_t row) {
    real copy[XN_T(FLUSH) + XN_LANES], least[2 * XN_LANES], most[2 * XN_LANES];
    double total[2 * XN_LANES];
    XN_ZERO(total);
    for (int i = 0; i < 2 * XN_LANES; i++) least[i] = INFINITY, most[i] = -INFINITY;
    const int64_t step = XN_READS_REAL && t->input.cls == 1 ? XN_SEGMENT : XN_T(FLUSH);
    for (int64_t from = 0; from < t->classes; from += step) {
        if (xn_stops_at(t, from)) break;
        const int64_t n = XN_T(least)(t->classes - from, step);
        const real *p = XN_T(inputs)(t, row, from, n, copy);
        int64_t j = 0;
        for (; j + 2 * XN_LANES <= n; j += 2 * XN_LANES) {
#pragma omp simd
            for (int i = 0; i < 2 * XN_LANES; i++) total[i] += (double)p[j + i];
            if (seeing) XN_T(see_lanes)(least, most, p + j, 2 * XN_LANES);
        }
        if (seeing) XN_T(see_lanes)(least, most, p + j, (int)(n - j));
        for (int i = 0; j < n; i++, j++) total[i] += (double)p[j];
    }
    for (int i = 0; i < XN_LANES; i++) total[i] += total[i + XN_LANES];
    const double sum = XN_T(finite_sum)(XN_T(fold)(total));
    if (!seeing) return sum;
    for (int i = 1; i < 2 * XN_LANES; i++) {
        least[0] = least[i] < least[0] ? least[i] : least[0];
        most[0] = most[i] > most[0] ? most[i] : most[0];
    }
    XN_T(see)(t->sight, least[0], most[0], sum);
    return sum;
}

/* What the probabilities of a row are divided by. */
static inline double XN_T(prob_whole)(const xn_tile *t, int64_t row) {
    if (!t->sight) return XN_T(prob_sum)(0, t, row);
    XN_T(prob_sum)(1, t, row);
    return 1;
}

/* Adds a block of n classes to the loss, and, with `slopes`, a constant to the callers, to the mass of the targets that
 * are not clipped, which gradients need. */
XN_INLINE void XN_T(prob_dot)(int slopes, const real *p, const real *u, int64_t n, XN_T(clip) c, real log_low,
                              real log_high, double *loss, double *inside) {
    double losses[XN_LANES], loss_error[XN_LANES], masses[XN_LANES], mass_error[XN_LANES];
    XN_ZERO(losses);
    XN_ZERO(loss_error);
    XN_ZERO(masses);
    XN_ZERO(mass_error);
    for (int64_t j = 0; j < n; j += XN_T(FLUSH)) {
        real dot[XN_T(GROUP)], mass[XN_T(GROUP)];
        XN_ZERO(dot);
        XN_ZERO(mass);
        const int64_t end = XN_T(least)(n, j + XN_T(FLUSH));
        int64_t k = j;
        for (; k + XN_T(GROUP) <= end; k += XN_T(GROUP)) {
            for (int line = 0; line < XN_T(GROUP); line += XN_LANES) {
                XN_T(fetch_near)(p, k + line + n);
                XN_T(fetch_near)(u, k + line + n);
            }
#pragma omp simd
            for (int i = 0; i < XN_T(GROUP); i++) {
                dot[i] = XN_FMA(u[k + i], XN_T(prob_term)(u[k + i], p[k + i], c, log_low, log_high), dot[i]);
                if (slopes) mass[i] = XN_FMA(u[k + i], XN_T(is_inside)(p[k + i], c), mass[i]);
            }
        }
        for (int lane = 0; k < end; k += XN_LANES, lane += XN_LANES) {
            real tail_p[XN_LANES], tail_u[XN_LANES];
            const int64_t rest = XN_T(least)(end - k, XN_LANES);
            XN_T(last_vector)(tail_p, p + k + rest, rest, c.low);
            XN_T(last_vector)(tail_u, u + k + rest, rest, 0);
#pragma omp simd
            for (int i = 0; i < XN_LANES; i++) {
                const real term = XN_T(prob_term)(tail_u[i], tail_p[i], c, log_low, log_high);
                dot[lane + i] = XN_FMA(tail_u[i], term, dot[lane + i]);
                if (slopes) mass[lane + i] = XN_FMA(tail_u[i], XN_T(is_inside)(tail_p[i], c), mass[lane + i]);
            }
        }
        XN_T(flush)(losses, loss_error, dot);
        XN_T(flush)(masses, mass_error, mass);
    }
    *loss += XN_T(flushed)(losses, loss_error);
    *inside += XN_T(flushed)(masses, mass_error);
}

static inline void XN_T(prob_zero)(const xn_tile *t, int64_t row) {
    const real zero[XN_T(FLUSH)] = {0};
    for (int64_t j = 0; j < t->classes && !xn_stops_at(t, j); j += XN_T(FLUSH))
        XN_T(put)(&t->grad, row, j, zero, XN_T(least)(t->classes - j, XN_T(FLUSH)));
}

static inline void XN_T(prob_row_label)(const xn_tile *t, int64_t row) {
    const double sum = XN_T(prob_whole)(t, row), p = (double)XN_T(widened)(*XN_T(at)(&t->input, row, t->label[row]));
    if (t->loss) t->loss[row] = t->weight[row] * XN_T(prob_loss_label)(p, sum, t->epsilon);
    if (!t->grad.data) return;
    real at, elsewhere, block[XN_T(FLUSH)];
    XN_T(prob_grad_label)(p, sum, t->epsilon, t->weight[row] * t->grad_scale, &at, &elsewhere);
    for (int i = 0; i < XN_T(FLUSH); i++) block[i] = elsewhere;
    for (int64_t j = 0; j < t->classes && !xn_stops_at(t, j); j += XN_T(FLUSH))
        XN_T(put)(&t->grad, row, j, block, XN_T(least)(t->classes - j, XN_T(FLUSH)));
    *XN_T(out_at)(&t->grad, row, t->label[row]) = XN_T(narrowed)(at);
}

static inline void XN_T(prob_row_dense)(const xn_tile *t, int64_t row, real log_low, real log_high) {
    const double sum = XN_T(prob_whole)(t, row);
    const XN_T(clip) c = XN_T(clip_of)(sum, t->epsilon);
    real buffer[XN_T(FLUSH) + XN_LANES], copy[XN_T(FLUSH) + XN_LANES], block[XN_T(FLUSH)];
    double loss = 0, inside = 0;
    for (int64_t j = 0; j < t->classes; j += XN_T(FLUSH)) {
        if (xn_stops_at(t, j)) break;
        const int64_t n = XN_T(least)(t->classes - j, XN_T(FLUSH));
        const real *u = XN_T(targets)(t, row, j, n, buffer);
        const real *p = XN_T(inputs)(t, row, j, n, copy);
        if (t->grad.data) {
            XN_T(prob_dot)(1, p, u, n, c, log_low, log_high, &loss, &inside);
        } else {
            XN_T(prob_dot)(0, p, u, n, c, log_low, log_high, &loss, &inside);
        }
    }
    if (t->loss) t->loss[row] = t->weight[row] * loss;
    if (!t->grad.data) return;
    const double weight = t->weight[row] * t->grad_scale;
    const real base = XN_T(prob_base)(weight, inside, sum);
    for (int64_t j = 0; j < t->classes; j += XN_T(FLUSH)) {
        if (xn_stops_at(t, j)) break;
        const int64_t n = XN_T(least)(t->classes - j, XN_T(FLUSH));
        const real *p = XN_T(inputs)(t, row, j, n, copy), *u = XN_T(targets)(t, row, j, n, buffer);
#pragma omp simd
        for (int64_t i = 0; i < n; i++) block[i] = XN_T(prob_slope)(p[i], u[i], c, base, (real)weight);
        XN_T(put)(&t->grad, row, j, block, n);
    }
}

static void XN_T(prob_ce_rows)(const xn_tile *t) {
    const int dense = XN_T(is_dense)(t);
    const real log_low = (real)xn_log(t->epsilon), log_high = (real)xn_log_corrected(1 - t->epsilon, 0);
    for (int64_t row = 0; row < t->rows; row++) {
        if (XN_T(is_dropped)(t, row)) {
            if (t->sight) XN_T(prob_sum)(1, t, row);
            if (t->loss) t->loss[row] = 0;
            if (t->grad.data) XN_T(prob_zero)(t, row);
        } else if (dense) {
            XN_T(prob_row_dense)(t, row, log_low, log_high);
        } else {
            XN_T(prob_row_label)(t, row);
        }
    }
}
