/* SPDX-License-Identifier: BSD-3-Clause */
/* Moving elements between the caller's memory and lanes. Template: see real.h.
 *
 * Nothing here touches memory outside of the row that it is told of. A last, incomplete vector is loaded
 * together with the elements before it, which a row of at least LANES classes has (the rows kernels get no
 * others), and stored from a buffer on the stack. Pointers may have any alignment that suits the type. */

static inline int64_t XN_T(least)(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline const XN_T(stored) *XN_T(at)(const xn_plane *plane, int64_t row, int64_t cls) {
    return (const XN_T(stored) *)plane->data + row * plane->row + cls * plane->cls;
}

/* The same of an output. */
static inline XN_T(written) *XN_T(out_at)(const xn_plane *plane, int64_t row, int64_t cls) {
    return (XN_T(written) *)plane->data + row * plane->row + cls * plane->cls;
}

/* Asks for the line of x[j], which may lie beyond the end: fetching never faults. */
XN_INLINE void XN_T(fetch)(const XN_T(stored) *x, int64_t j) {
    __builtin_prefetch((const void *)((uintptr_t)x + (uintptr_t)j * sizeof *x));
}

/* The same from an element's copy as `real`; only where there is none, and the element itself was given. */
XN_INLINE void XN_T(fetch_near)(const real *x, int64_t j) {
#if XN_READS_REAL
    XN_T(fetch)(x, j);
#else
    (void)x, (void)j;
#endif
}

/* Asks for the line of x[j + ahead], once a line: for every j that is a multiple of LANES. */
XN_INLINE void XN_T(fetch_ahead)(const XN_T(stored) *x, int64_t j, int64_t ahead) {
    if (j * (int64_t)sizeof *x % 64 == 0) XN_T(fetch)(x, j + ahead);
}

/* The last n < LANES elements before `end` as a vector, behind elements that become `pad`. It loads the LANES
 * elements before `end`, so these must exist: loading just n costs more than the vector's arithmetic. */
XN_INLINE void XN_T(last_vector)(real *vector, const real *end, int64_t n, real pad) {
    const ireal skip = (ireal)(XN_LANES - n);
#pragma omp simd
    for (ireal i = 0; i < XN_LANES; i++) {
        const real value = end[i - XN_LANES];
        vector[i] = i < skip ? pad : value;
    }
}

/* Sum of LANES doubles. The loops are written out: with a variable width they would stay scalar. */
XN_INLINE double XN_T(fold)(const double *lanes) {
    double four[4];
    for (int i = 0; i < 4; i++) {
        four[i] = lanes[i] + lanes[i + 4];
        if (XN_LANES == 16) four[i] += lanes[(i + 8) % XN_LANES] + lanes[(i + 12) % XN_LANES];
    }
    return (four[0] + four[2]) + (four[1] + four[3]);
}

XN_INLINE real XN_T(larger)(real a, real b) {
    return a > b ? a : b;
}

/* Largest of GROUP elements, none of them NaN. */
static inline real XN_T(fold_largest)(real *lanes) {
    for (int i = 0; i < XN_LANES; i++)
        lanes[i] = XN_T(larger)(XN_T(larger)(lanes[i], lanes[i + XN_LANES]),
                                XN_T(larger)(lanes[i + 2 * XN_LANES], lanes[i + 3 * XN_LANES]));
    if (XN_LANES == 16)
        for (int i = 0; i < 8; i++) lanes[i] = XN_T(larger)(lanes[i], lanes[i + 8]);
    for (int i = 0; i < 4; i++) lanes[i] = XN_T(larger)(lanes[i], lanes[i + 4]);
    return XN_T(larger)(XN_T(larger)(lanes[0], lanes[2]), XN_T(larger)(lanes[1], lanes[3]));
}

/* sum += more; where terms are float64 themselves, *error collects what rounding takes from the sum. */
XN_INLINE void XN_T(add)(double *sum, double *error, double more) {
    const double before = *sum, whole = before + more;
    if (sizeof(real) == sizeof(double)) {
        const double back = whole - before;
        *error += (before - (whole - back)) + (more - back);
    }
    *sum = whole;
}

/* What add() added up. Next to an infinite sum its error is NaN, and means nothing. */
XN_INLINE double XN_T(added)(double sum, double error) {
    if (sizeof(real) != sizeof(double)) return sum;
    return sum - sum == 0 ? sum + error : sum;
}

/* total += sums of four vectors; float32 sums go on in double, float64 sums carry their rounding errors. */
XN_INLINE void XN_T(flush)(double *restrict total, double *restrict error, const real *restrict sum) {
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) {
        const double more = (double)((sum[i] + sum[i + XN_LANES]) + (sum[i + 2 * XN_LANES] + sum[i + 3 * XN_LANES]));
        XN_T(add)(total + i, error + i, more);
    }
}

/* What flush() added up. */
static inline double XN_T(flushed)(const double *total, const double *error) {
    return XN_T(added)(XN_T(fold)(total), sizeof(real) == sizeof(double) ? XN_T(fold)(error) : 0);
}

/* Raises `most` to LANES elements where they are larger; the first `skip` lanes stay. */
XN_INLINE void XN_T(raise_lanes)(real *restrict most, const XN_T(stored) *x, ireal skip) {
    real value[XN_LANES];
    XN_T(widen_lanes)(value, x);
#pragma omp simd
    for (ireal i = 0; i < XN_LANES; i++) most[i] = value[i] > most[i] && i >= skip ? value[i] : most[i];
}

/* The largest of n elements that is not NaN; -inf if there is none. */
static inline real XN_T(largest)(const XN_T(stored) *x, int64_t n) {
    real most[XN_T(GROUP)];
    for (int i = 0; i < XN_T(GROUP); i++) most[i] = -INFINITY;
    int64_t j = 0;
    for (; j + XN_T(GROUP) <= n; j += XN_T(GROUP))
        for (int lane = 0; lane < XN_T(GROUP); lane += XN_LANES) XN_T(raise_lanes)(most + lane, x + j + lane, 0);
    for (; j + XN_LANES <= n; j += XN_LANES) XN_T(raise_lanes)(most, x + j, 0);
    if (j < n) XN_T(raise_lanes)(most, x + n - XN_LANES, (ireal)(XN_LANES - (n - j)));
    return XN_T(fold_largest)(most);
}

/* n elements of a row of a plane, contiguous: the caller's own memory where it is that, else copied to `space`, which
 * has LANES elements of headroom for a last vector. */
static inline const XN_T(stored) *XN_T(gathered)(const xn_plane *plane, int64_t row, int64_t from, int64_t n,
                                                 XN_T(stored) *space) {
    const XN_T(stored) *x = XN_T(at)(plane, row, from);
    if (plane->cls == 1) return x;
    for (int i = 0; i < XN_LANES; i++) space[i] = 0;
    for (int64_t j = 0; j < n; j++) space[XN_LANES + j] = x[j * plane->cls];
    return space + XN_LANES;
}

/* The same as `real`. */
static inline const real *XN_T(elements)(const xn_plane *plane, int64_t row, int64_t from, int64_t n, real *space) {
#if XN_READS_REAL
    return XN_T(gathered)(plane, row, from, n, space);
#else
    const XN_T(stored) *x = XN_T(at)(plane, row, from);
    for (int i = 0; i < XN_LANES; i++) space[i] = 0;
    if (plane->cls == 1) {
        for (int64_t j = 0; j < n; j += 64 / (int64_t)sizeof *x) XN_T(fetch)(x, n + j);
        XN_T(widen)(space + XN_LANES, x, n);
    } else {
        for (int64_t j = 0; j < n; j++) space[XN_LANES + j] = XN_T(widened)(x[j * plane->cls]);
    }
    return space + XN_LANES;
#endif
}

static inline const real *XN_T(inputs)(const xn_tile *t, int64_t row, int64_t from, int64_t n, real *space) {
    return XN_T(elements)(&t->input, row, from, n, space);
}

/* The effective targets of n classes of a row (kernels.h), in `space` like elements(). */
static inline const real *XN_T(targets)(const xn_tile *t, int64_t row, int64_t from, int64_t n, real *space) {
    real *buffer = space + XN_LANES;
    const real keep = (real)t->keep, spread = (real)t->spread;
    if (t->target.data) {
        const real *target = XN_T(elements)(&t->target, row, from, n, space);
        if (spread == 0 && keep == 1 && !t->class_weight) return target;
        for (int i = 0; i < XN_LANES; i++) space[i] = 0;
        for (int64_t j = 0; j < n; j++) buffer[j] = XN_FMA(keep, target[j], spread);
    } else {
        for (int i = 0; i < XN_LANES; i++) space[i] = 0;
        for (int64_t j = 0; j < n; j++) buffer[j] = spread;
        const int64_t y = t->label[row] - from;
        if (y >= 0 && y < n) buffer[y] = keep + spread;
    }
    if (t->class_weight) {
        const real *weight = (const real *)t->class_weight + from;
        for (int64_t j = 0; j < n; j++) buffer[j] *= weight[j];
    }
    return buffer;
}

/* n elements of a row of an output. */
static inline void XN_T(put)(const xn_plane *plane, int64_t row, int64_t from, const real *value, int64_t n) {
    XN_T(written) *to = XN_T(out_at)(plane, row, from);
    if (plane->cls == 1) {
        XN_T(narrow)(to, value, n);
    } else {
        for (int64_t j = 0; j < n; j++) to[j * plane->cls] = XN_T(narrowed)(value[j]);
    }
}
