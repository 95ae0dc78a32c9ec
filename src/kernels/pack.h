/* SPDX-License-Identifier: BSD-3-Clause */
/* Packed blocks: up to XN_FEW_CLASSES classes of up to COL_ROWS rows with lanes over rows, whatever the
 * strides of the caller's memory. Template: see real.h.
 *
 * Rows come in groups of LANES, group after group: element (row, class) of a block of n classes is at
 * block[(row / LANES * n + class) * LANES + row % LANES]. Rows that are missing in the last group are 0. */

/* Some rows of a tile, whose classes are packed together. */
typedef struct {
    int64_t first, rows; /* in the tile */
    int64_t padded;      /* rows up to a whole group */
} XN_T(strip);

static inline XN_T(strip) XN_T(strip_at)(const xn_tile *t, int64_t first) {
    const int64_t rows = XN_T(least)(t->rows - first, XN_T(COL_ROWS));
    return (XN_T(strip)){first, rows, (rows + XN_LANES - 1) / XN_LANES * XN_LANES};
}

/* Asks for a line of the strip that comes `ahead` strips after this one: as many calls, one for each class k of a block
 * of n classes and each group of rows, r, as a strip has lines. Spread over the arithmetic they keep memory busy
 * meanwhile. The next strip goes to the first-level cache, one further ahead, for kernels that are soon done with a
 * strip, to the second. Where rows are neighbours, the lines of a class follow each other: in any other order memory
 * has to open the class's page again for each. */
XN_INLINE void XN_T(fetch_strip)(const xn_plane *plane, XN_T(strip) strip, int64_t ahead, int64_t r, int64_t from,
                                 int64_t k, int64_t n) {
    enum { LINES = XN_T(COL_ROWS) / XN_LANES };
    const int64_t first = strip.first + ahead * XN_T(COL_ROWS), turn = r / XN_LANES * n + k;
    const int64_t row = plane->cls == 1 ? first : first + turn % LINES * XN_LANES;
    const int64_t cls = plane->cls == 1 ? turn * XN_LANES : turn / LINES;
    const uintptr_t x =
        (uintptr_t)plane->data + (uintptr_t)(row * plane->row + (from + cls) * plane->cls) * sizeof(XN_T(stored));
    if (ahead == 1) {
        __builtin_prefetch((const void *)x);
    } else {
        __builtin_prefetch((const void *)x, 0, 2);
    }
}

/* Where row r of a strip lies in a block of n classes, at class 0. */
static inline int64_t XN_T(packed_row)(int64_t r, int64_t n) {
    return r / XN_LANES * n * XN_LANES + r % XN_LANES;
}

/* Transposition by vectors of WIDE elements, which consist of pieces of four elements. Piece q of a vector that is
 * loaded holds four classes of one row, of a vector that is stored four rows of one class. */
#undef XN_WIDE
#undef XN_PIECES
#if XN_REAL == 32 && XN_VECTOR == 16
#define XN_WIDE 16
#define XN_PIECES(P) P(0, 16), P(4, 16), P(8, 16), P(12, 16)
#elif XN_REAL == 32 && XN_VECTOR == 8
#define XN_WIDE 8
#define XN_PIECES(P) P(0, 8), P(4, 8)
#else
#define XN_WIDE 4
#define XN_PIECES(P) P(0, 4)
#endif
#ifndef XN_TRANSPOSE_PIECES /* of a piece at i of one vector and of another, whose elements count from w on */
#define XN_TRANSPOSE_PIECES 1
#define XN_LOW(i, w) i, (i) + (w), (i) + 1, (i) + (w) + 1
#define XN_HIGH(i, w) (i) + 2, (i) + (w) + 2, (i) + 3, (i) + (w) + 3
#define XN_FIRST(i, w) i, (i) + 1, (i) + (w), (i) + (w) + 1
#define XN_SECOND(i, w) (i) + 2, (i) + 3, (i) + (w) + 2, (i) + (w) + 3
#endif

typedef real XN_T(quad) __attribute__((vector_size(4 * sizeof(real))));
typedef real XN_T(wide) __attribute__((vector_size(XN_WIDE * sizeof(real))));
#if XN_WIDE == 16
typedef real XN_T(half) __attribute__((vector_size(8 * sizeof(real))));
#endif

/* WIDE / 4 pieces that lie `step` apart. By way of vectors: memory would stall, as what is loaded in one piece
 * was stored in several. */
XN_INLINE void XN_T(load_pieces)(XN_T(wide) *v, const real *from, int64_t step) {
#if XN_WIDE == 4
    memcpy(v, from, sizeof *v);
    (void)step;
#else
    XN_T(quad) a, b;
    memcpy(&a, from, sizeof a);
    memcpy(&b, from + step, sizeof b);
#if XN_WIDE == 8
    *v = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
#else
    XN_T(quad) c, d;
    memcpy(&c, from + 2 * step, sizeof c);
    memcpy(&d, from + 3 * step, sizeof d);
    const XN_T(half) low = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
    const XN_T(half) high = __builtin_shufflevector(c, d, 0, 1, 2, 3, 4, 5, 6, 7);
    *v = __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#endif
#endif
}

XN_INLINE void XN_T(store_pieces)(real *to, int64_t step, const XN_T(wide) *v) {
#if XN_WIDE == 4
    memcpy(to, v, sizeof *v);
    (void)step;
#else
    const XN_T(quad) a = __builtin_shufflevector(*v, *v, 0, 1, 2, 3);
    const XN_T(quad) b = __builtin_shufflevector(*v, *v, 4, 5, 6, 7);
    memcpy(to, &a, sizeof a);
    memcpy(to + step, &b, sizeof b);
#if XN_WIDE == 16
    const XN_T(quad) c = __builtin_shufflevector(*v, *v, 8, 9, 10, 11);
    const XN_T(quad) d = __builtin_shufflevector(*v, *v, 12, 13, 14, 15);
    memcpy(to + 2 * step, &c, sizeof c);
    memcpy(to + 3 * step, &d, sizeof d);
#endif
#endif
}

/* Four vectors, by name: an array that a loop runs over would live in memory. */
typedef struct {
    XN_T(wide) a, b, c, d;
} XN_T(square);

/* Transposes the pieces: element k of piece q of vector i changes places with element i of piece q of vector k. */
XN_INLINE void XN_T(transpose_pieces)(XN_T(square) *v) {
    const XN_T(wide) ab_low = __builtin_shufflevector(v->a, v->b, XN_PIECES(XN_LOW));
    const XN_T(wide) ab_high = __builtin_shufflevector(v->a, v->b, XN_PIECES(XN_HIGH));
    const XN_T(wide) cd_low = __builtin_shufflevector(v->c, v->d, XN_PIECES(XN_LOW));
    const XN_T(wide) cd_high = __builtin_shufflevector(v->c, v->d, XN_PIECES(XN_HIGH));
    v->a = __builtin_shufflevector(ab_low, cd_low, XN_PIECES(XN_FIRST));
    v->b = __builtin_shufflevector(ab_low, cd_low, XN_PIECES(XN_SECOND));
    v->c = __builtin_shufflevector(ab_high, cd_high, XN_PIECES(XN_FIRST));
    v->d = __builtin_shufflevector(ab_high, cd_high, XN_PIECES(XN_SECOND));
}

/* LANES rows of n >= 4 classes, `step` apart, into a group and back. The last four classes overlap those before
 * where n is no multiple of 4. */
static inline void XN_T(pack_rows)(real *restrict group, const real *restrict x, int64_t step, int64_t n) {
    for (int64_t c = 0; c < n; c += 4) {
        const int64_t cls = c + 4 <= n ? c : n - 4;
        for (int r = 0; r < XN_LANES; r += XN_WIDE) {
            XN_T(square) v;
            XN_T(load_pieces)(&v.a, x + r * step + cls, 4 * step);
            XN_T(load_pieces)(&v.b, x + (r + 1) * step + cls, 4 * step);
            XN_T(load_pieces)(&v.c, x + (r + 2) * step + cls, 4 * step);
            XN_T(load_pieces)(&v.d, x + (r + 3) * step + cls, 4 * step);
            XN_T(transpose_pieces)(&v);
            real *to = group + cls * XN_LANES + r;
            memcpy(to, &v.a, sizeof v.a);
            memcpy(to + XN_LANES, &v.b, sizeof v.b);
            memcpy(to + 2 * XN_LANES, &v.c, sizeof v.c);
            memcpy(to + 3 * XN_LANES, &v.d, sizeof v.d);
        }
    }
}

static inline void XN_T(unpack_rows)(real *restrict x, int64_t step, const real *restrict group, int64_t n) {
    for (int64_t c = 0; c < n; c += 4) {
        const int64_t cls = c + 4 <= n ? c : n - 4;
        for (int r = 0; r < XN_LANES; r += XN_WIDE) {
            XN_T(square) v;
            const real *from = group + cls * XN_LANES + r;
            memcpy(&v.a, from, sizeof v.a);
            memcpy(&v.b, from + XN_LANES, sizeof v.b);
            memcpy(&v.c, from + 2 * XN_LANES, sizeof v.c);
            memcpy(&v.d, from + 3 * XN_LANES, sizeof v.d);
            XN_T(transpose_pieces)(&v);
            XN_T(store_pieces)(x + r * step + cls, 4 * step, &v.a);
            XN_T(store_pieces)(x + (r + 1) * step + cls, 4 * step, &v.b);
            XN_T(store_pieces)(x + (r + 2) * step + cls, 4 * step, &v.c);
            XN_T(store_pieces)(x + (r + 3) * step + cls, 4 * step, &v.d);
        }
    }
}

/* The same from and to what is stored. */
static inline void XN_T(pack_stored)(real *restrict group, const XN_T(stored) *x, int64_t step, int64_t n) {
#if XN_READS_REAL
    XN_T(pack_rows)(group, x, step, n);
#else
    real rows[XN_LANES * XN_FEW_CLASSES];
    for (int i = 0; i < XN_LANES; i++) XN_T(widen)(rows + i * n, x + i * step, n);
    XN_T(pack_rows)(group, rows, n, n);
#endif
}

static inline void XN_T(unpack_written)(XN_T(written) *x, int64_t step, const real *restrict group, int64_t n) {
#if XN_WRITES_REAL
    XN_T(unpack_rows)(x, step, group, n);
#else
    real rows[XN_LANES * XN_FEW_CLASSES];
    XN_T(unpack_rows)(rows, n, group, n);
    for (int i = 0; i < XN_LANES; i++) XN_T(narrow)(x + i * step, rows + i * n, n);
#endif
}

/* n classes of a strip, from class `from` on, into a block. Rows that are neighbours in memory are read class by class:
 * each piece of memory is visited once, and its lines one after the other, as strides that are powers of two let few
 * of them stay in the cache. */
static inline void XN_T(pack)(real *restrict block, const xn_plane *plane, XN_T(strip) strip, int64_t from, int64_t n) {
    const XN_T(stored) *x = XN_T(at)(plane, strip.first, from);
    const int64_t whole = plane->row == 1 && plane->cls != 1 ? strip.rows / XN_LANES * XN_LANES : 0;
    for (int64_t c = 0; c < n && whole > 0; c++)
        for (int64_t r = 0; r < whole; r += XN_LANES)
            XN_T(widen_lanes)(block + r * n + c * XN_LANES, x + c * plane->cls + r);
    for (int64_t r = whole; r < strip.rows; r += XN_LANES) {
        const XN_T(stored) *first = x + r * plane->row;
        real *group = block + r * n;
        const int64_t rows = strip.rows - r;
        if (rows >= XN_LANES && plane->cls == 1 && n >= 4) {
            XN_T(pack_stored)(group, first, plane->row, n);
        } else {
            for (int64_t c = 0; c < n; c++)
                for (int64_t i = 0; i < XN_LANES; i++)
                    group[c * XN_LANES + i] = i < rows ? XN_T(widened)(first[i * plane->row + c * plane->cls]) : 0;
        }
    }
}

/* The way back, with ordinary stores. */
static inline void XN_T(unpack)(const xn_plane *plane, const real *restrict block, XN_T(strip) strip, int64_t from,
                                int64_t n) {
    for (int64_t r = 0; r < strip.rows; r += XN_LANES) {
        XN_T(written) *x = XN_T(out_at)(plane, strip.first + r, from);
        const real *group = block + r * n;
        const int64_t rows = XN_T(least)(strip.rows - r, XN_LANES);
        if (rows == XN_LANES && plane->cls == 1 && n >= 4) {
            XN_T(unpack_written)(x, plane->row, group, n);
        } else if (rows == XN_LANES && plane->row == 1) {
            for (int64_t c = 0; c < n; c++) XN_T(narrow_lanes)(x + c * plane->cls, group + c * XN_LANES);
        } else {
            for (int64_t c = 0; c < n; c++)
                for (int64_t i = 0; i < rows; i++)
                    x[i * plane->row + c * plane->cls] = XN_T(narrowed)(group[c * XN_LANES + i]);
        }
    }
}

/* Takes the entries at the labels that lie in a block. */
static inline void XN_T(take_at_labels)(const xn_tile *t, XN_T(strip) strip, const real *block, int64_t from, int64_t n,
                                        real *at_label) {
    if (!t->label) return;
    const int64_t *label = t->label + strip.first;
    for (int64_t r = 0; r < strip.rows; r += XN_LANES) {
        const real *group = block + r * n;
        const int64_t rows = XN_T(least)(strip.rows - r, XN_LANES);
        for (int64_t i = 0; i < rows; i++) {
            const uint64_t y = (uint64_t)(label[r + i] - from);
            if (y < (uint64_t)n) at_label[r + i] = group[y * XN_LANES + (uint64_t)i];
        }
    }
}

/* The packed counterpart of targets(). */
static inline void XN_T(pack_targets)(real *restrict block, const xn_tile *t, XN_T(strip) strip, int64_t from,
                                      int64_t n) {
    const real keep = (real)t->keep, spread = (real)t->spread;
    const int64_t size = strip.padded * n;
    if (t->target.data) {
        XN_T(pack)(block, &t->target, strip, from, n);
        if (spread != 0 || keep != 1)
            for (int64_t k = 0; k < size; k++) block[k] = XN_FMA(keep, block[k], spread);
    } else {
        for (int64_t k = 0; k < size; k++) block[k] = spread;
        for (int64_t r = 0; r < strip.rows; r++) {
            const int64_t y = t->label[strip.first + r] - from;
            if ((uint64_t)y < (uint64_t)n) block[XN_T(packed_row)(r, n) + y * XN_LANES] = keep + spread;
        }
    }
    if (!t->class_weight) return;
    const real *weight = (const real *)t->class_weight + from;
    for (int64_t r = 0; r < strip.padded; r += XN_LANES)
        for (int64_t c = 0; c < n; c++)
            for (int i = 0; i < XN_LANES; i++) block[r * n + c * XN_LANES + i] *= weight[c];
}
