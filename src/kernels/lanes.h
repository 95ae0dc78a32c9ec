/* SPDX-License-Identifier: BSD-3-Clause */
/* Moving elements between the caller's memory and lanes. Template: see real.h.
 *
 * Nothing here reads or writes beyond the elements it is told of: a last, incomplete vector goes
 * through a padded buffer on the stack. Pointers may have any alignment that suits the type. */

static inline int64_t XN_T(least)(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline real *XN_T(at)(const xn_plane *plane, int64_t row, int64_t cls) {
    return (real *)plane->data + row * plane->row + cls * plane->cls;
}

/* One virtual vector with n < LANES elements of x in front and `pad` behind. */
static inline void XN_T(padded)(real *vector, const real *x, int64_t n, real pad) {
    for (int i = 0; i < XN_LANES; i++) vector[i] = pad;
    memcpy(vector, x, (size_t)n * sizeof(real));
}

/* Sum of LANES doubles, in a fixed order. */
static inline double XN_T(fold)(double *lanes) {
    for (int width = XN_LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
    return lanes[0];
}

/* total += sums of four vectors; float32 sums go on in double, float64 sums carry their rounding errors. */
static inline void XN_T(flush)(double *restrict total, double *restrict error, const real *restrict sum) {
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) {
        const double more = (double)((sum[i] + sum[i + XN_LANES]) + (sum[i + 2 * XN_LANES] + sum[i + 3 * XN_LANES]));
        const double whole = total[i] + more;
        if (sizeof(real) == sizeof(double)) {
            const double back = whole - total[i];
            error[i] += (total[i] - (whole - back)) + (more - back);
        }
        total[i] = whole;
    }
}

/* The largest of n elements that is not NaN; -inf if there is none. */
static inline real XN_T(largest)(const real *x, int64_t n) {
    real most[XN_T(GROUP)];
    for (int i = 0; i < XN_T(GROUP); i++) most[i] = -INFINITY;
    int64_t j = 0;
    for (; j + XN_T(GROUP) <= n; j += XN_T(GROUP)) {
#pragma omp simd
        for (int i = 0; i < XN_T(GROUP); i++) most[i] = x[j + i] > most[i] ? x[j + i] : most[i];
    }
    for (; j + XN_LANES <= n; j += XN_LANES) {
#pragma omp simd
        for (int i = 0; i < XN_LANES; i++) most[i] = x[j + i] > most[i] ? x[j + i] : most[i];
    }
    for (; j < n; j++) most[0] = x[j] > most[0] ? x[j] : most[0];
    for (int width = XN_T(GROUP) / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) most[i] = most[i + width] > most[i] ? most[i + width] : most[i];
    return most[0];
}

/* The effective targets of n classes of a row (kernels.h): the caller's own memory where they are just
 * that, else made in `buffer`. */
static inline const real *XN_T(targets)(const xn_tile *t, int64_t row, int64_t from, int64_t n, real *buffer) {
    const int plain = t->spread == 0 && t->keep == 1 && !t->class_weight;
    if (t->target.data && t->target.cls == 1 && plain) return XN_T(at)(&t->target, row, from);
    const real keep = (real)t->keep, spread = (real)t->spread;
    if (t->target.data) {
        const real *target = XN_T(at)(&t->target, row, from);
        for (int64_t j = 0; j < n; j++) buffer[j] = XN_FMA(keep, target[j * t->target.cls], spread);
    } else {
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
    real *to = XN_T(at)(plane, row, from);
    if (plane->cls == 1) {
        memcpy(to, value, (size_t)n * sizeof(real));
    } else {
        for (int64_t j = 0; j < n; j++) to[j * plane->cls] = value[j];
    }
}

/* Rows in a packed block, rounded up to whole vectors. */
static inline int64_t XN_T(padded_rows)(int64_t rows) {
    return (rows + XN_LANES - 1) / XN_LANES * XN_LANES;
}

/* n classes of all rows of a tile into block[class][XN_COL_TILE], lanes over rows; missing rows are 0. */
static inline void XN_T(pack)(real *restrict block, const xn_plane *plane, int64_t rows, int64_t from, int64_t n) {
    const real *x = XN_T(at)(plane, 0, from);
    const int64_t padded = XN_T(padded_rows)(rows);
    for (int64_t c = 0; c < n; c++)
        for (int64_t r = rows; r < padded; r++) block[c * XN_COL_TILE + r] = 0;
    if (plane->row == 1) {
        for (int64_t c = 0; c < n; c++)
            memcpy(block + c * XN_COL_TILE, x + c * plane->cls, (size_t)rows * sizeof(real));
    } else {
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < n; c++) block[c * XN_COL_TILE + r] = x[r * plane->row + c * plane->cls];
    }
}

/* The way back: a packed block into n classes of all rows of an output. */
static inline void XN_T(unpack)(const xn_plane *plane, const real *restrict block, int64_t rows, int64_t from,
                                int64_t n) {
    real *x = XN_T(at)(plane, 0, from);
    if (plane->row == 1) {
        for (int64_t c = 0; c < n; c++)
            memcpy(x + c * plane->cls, block + c * XN_COL_TILE, (size_t)rows * sizeof(real));
    } else {
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < n; c++) x[r * plane->row + c * plane->cls] = block[c * XN_COL_TILE + r];
    }
}

/* The packed counterpart of targets(). */
static inline void XN_T(pack_targets)(real *restrict block, const xn_tile *t, int64_t from, int64_t n) {
    const real keep = (real)t->keep, spread = (real)t->spread;
    const int64_t padded = XN_T(padded_rows)(t->rows);
    if (t->target.data) {
        XN_T(pack)(block, &t->target, t->rows, from, n);
        if (spread != 0 || keep != 1) {
            for (int64_t c = 0; c < n; c++)
                for (int64_t r = 0; r < padded; r++)
                    block[c * XN_COL_TILE + r] = XN_FMA(keep, block[c * XN_COL_TILE + r], spread);
        }
    } else {
        for (int64_t c = 0; c < n; c++)
            for (int64_t r = 0; r < padded; r++) block[c * XN_COL_TILE + r] = spread;
        for (int64_t r = 0; r < t->rows; r++) {
            const int64_t y = t->label[r] - from;
            if (y >= 0 && y < n) block[y * XN_COL_TILE + r] = keep + spread;
        }
    }
    if (t->class_weight) {
        const real *weight = (const real *)t->class_weight + from;
        for (int64_t c = 0; c < n; c++)
            for (int64_t r = 0; r < padded; r++) block[c * XN_COL_TILE + r] *= weight[c];
    }
}
