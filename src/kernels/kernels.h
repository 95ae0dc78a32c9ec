/* SPDX-License-Identifier: BSD-3-Clause */
/* The border between core and kernels: what a kernel is given, and the table that core calls through. */
#ifndef XN_KERNELS_H
#define XN_KERNELS_H

#include <math.h>
#include <stdint.h>

enum {
    XN_SEGMENT = 65536, /* classes of a wide row that are summed apart: fixes the bits, and what threads share */
    XN_TYPES = 5,       /* of elements in memory */
    XN_KEPT_BYTES = 65536, /* of exponentials that the kernels keep on the stack */
    XN_ROW_TILE = 512,  /* most rows in a tile */
    XN_COL_TILE = 64,   /* tiles of the cols kernels are multiples of this: of what they pack at once */
    XN_FEW_CLASSES = 112 /* up to here lanes over rows are faster; also the most classes in a packed block. The same
                          * on every ISA, because it fixes the bits */
};

/* What elements are in memory, as the templates ask for it: XN_STORED is one of these. See storage.h. */
#define XN_STORED_REAL 0
#define XN_STORED_FLOAT16 1
#define XN_STORED_BFLOAT16 2
#define XN_STORED_FLOAT32_OUT 3 /* what is read is the compute type, float64 */

/* An output with the shape of the input: element (row, class) is at data + row * row + class * cls,
 * counted in elements of what is stored there. data is NULL where the output is not wanted. */
typedef struct {
    void *data;
    int64_t row, cls;
} xn_plane;

/* What is known of a row, or of one segment of it, after its classes were read once.
 * With r(max) the reference that vmath.h derives from the maximum alone:
 *   rest = sum of exp(x - r) over the entries below the maximum, ties = how many equal it,
 *   dot = sum of u (max - x), mass = sum of u, over the effective targets u.
 * at_label is the logit at the row's label; a segment leaves it 0. */
typedef struct {
    double max, rest, ties, dot, mass, at_label;
} xn_part;

/* What prob_ce saw of its input, where it was asked: see xn_seen in xent.h. Rows are added to what is there. */
typedef struct {
    double least, most, off;
} xn_sight;

/* What the score kernels write of each row of a tile. */
enum { XN_NEGATIVE = -2 }; /* rank of a row with a negative probability */
typedef struct {
    int from_logits;             /* the input; else probabilities, which are divided by their sum */
    double *confidence, *brier;  /* the largest probability; (1 - p_label)^2 + sum of p^2 elsewhere */
    int32_t *best, *rank;        /* the first class that has it; classes above the label */
} xn_scores;

/* The formulas of the binary kernels. */
typedef enum { XN_LOGITS, XN_PROBABILITIES, XN_FOCAL_LOGITS, XN_FOCAL_PROBABILITIES, XN_SIGMOID } xn_binary_kind;

struct xn_worker; /* the core's: a thread at work */

/* Some rows of one problem, with everything that their losses and gradients depend on.
 * The effective target of class c is u = (keep * t + spread) * class_weight[c], where t comes from
 * `target`, or is 1 at `label` and 0 elsewhere. */
typedef struct {
    int64_t rows, classes;      /* the rows and scan kernels: at least 16 classes */
    xn_plane input;             /* logits or probabilities; never written */
    xn_plane target;            /* dense targets, or data == NULL */
    const int64_t *label;       /* [rows] in [0, classes); NULL with dense targets or none */
    const double *weight;       /* [rows] factor of the loss; a row of weight 0 is dropped, whatever it holds */
    const void *class_weight;   /* [classes] of the compute type, or NULL for 1. With labels and spread == 0 the
                                 * weight of the label's class is in `weight`, and this is not read */
    double keep, spread;        /* 1 - label_smoothing, label_smoothing / classes */
    double grad_scale;          /* gradient and Hessian belong to grad_scale * sum of the losses */
    double hess_scale;          /* and the softmax kernels' Hessian is so many times that */
    double epsilon;             /* probabilities are clipped to [epsilon, 1 - epsilon] */
    xn_binary_kind kind;        /* the binary kernels, here and below: which formulas, see binary_lanes.h */
    double smoothing, share;    /* label_smoothing; what a class counts in its row's loss: 1 / classes, or 1 */
    const void *pos_weight;     /* [classes] of the compute type, or NULL for 1: factor of the targets */
    int balanced;               /* the focal loss takes alpha at positives and 1 - alpha at negatives */
    xn_plane each;              /* losses of the elements, of the compute type */
    int shape;                  /* shaped_ce and shaped_prob: what a class adds to the loss, */
    double coefficient,
        alpha;  /* its gamma or epsilon, and a factor of every loss; gamma and alpha of the binary ones */
    double *loss, *lse;         /* [rows], or NULL */
    xn_plane grad, hess, prob, log_prob;
    int streams;                /* the gradient is larger than the cache, and not the input itself */
    void *scratch;              /* of this thread, for exponentials between two visits of a row, or NULL */
    int64_t scratch_bytes;
    xn_part *part;              /* softmax_ce_scan and softmax_ce_write: sums of the segment, of the row */
    xn_sight *sight; /* prob_ce: not NULL takes probabilities as they are, not divided by their sum; no grad */
    const xn_scores *score; /* the score kernels and softmax_ce_rows: outputs, at the tile's first row */
    int64_t from, to; /* softmax_ce_scan and softmax_ce_write: the segment's classes */
    int (*stops)(struct xn_worker *, int64_t elements); /* see xn_stops; NULL: never */
    struct xn_worker *worker;
} xn_tile;

/* alpha * grad_scale * weight of a row. A mean over tiny weights has a large grad_scale: where the first product leaves
 * the range of normal numbers, it and the weight meet in the middle, so that only the whole can overflow. */
static inline double xn_alpha_weight(const xn_tile *t, int64_t row) {
    const double size = fabs(t->alpha * t->grad_scale);
    const double shift = size > 0x1p1023 ? 0x1p-600 : size < 0x1p-1022 ? 0x1p600 : 1;
    return t->alpha * shift * t->grad_scale * (t->weight[row] / shift);
}

/* Whether the kernel shall leave at once, with its outputs unfinished: asked before each piece of `elements` by those
 * whose rows, or strips of rows, have many. Once it is so it stays so. */
static inline int xn_stops(const xn_tile *t, int64_t elements) {
    return t->stops && t->stops(t->worker, elements);
}

/* The same at class j of a row, where pieces are segments. */
static inline int xn_stops_at(const xn_tile *t, int64_t j) {
    return t->classes > XN_SEGMENT && j % XN_SEGMENT == 0 && xn_stops(t, XN_SEGMENT);
}

/* The same before a block of n classes of a strip of rows. */
static inline int xn_stops_block(const xn_tile *t, int64_t rows, int64_t n) {
    return t->classes > XN_FEW_CLASSES && xn_stops(t, rows * n);
}

/* xn_tile.shape: in the order of xn_shape. */
enum { XN_SHAPE_PLAIN, XN_SHAPE_FOCAL, XN_SHAPE_POLY1, XN_SHAPE_KL };

typedef void xn_kernel(const xn_tile *tile);

/* Numbers as limbs of exact sums, see limbs.h: limb place[i] of a sum gets low[i], and those after it the others. */
enum { XN_ENTRY_BLOCK = 256 }; /* a multiple of the lanes */
typedef struct {
    int64_t place[XN_ENTRY_BLOCK], low[XN_ENTRY_BLOCK], middle[XN_ENTRY_BLOCK], high[XN_ENTRY_BLOCK];
    int any_high; /* whether one has a third limb */
} xn_limbs;

typedef struct {
    const char *isa;
#define XN_KERNEL(name) xn_kernel *name[XN_TYPES]; /* in the order of xn_dtype */
#include "kernels.def"
#undef XN_KERNEL
    /* For books, of at most XN_ENTRY_BLOCK numbers: see limbs.h. */
    void (*split)(const double *value, int64_t n, xn_limbs *to);
    void (*add_all)(const double *value, int64_t n, int64_t *sum);
    void (*confidence_keys)(const double *confidence, int64_t n, int32_t *key);
    void (*loss_keys)(const double *loss, int64_t n, int64_t keys, int32_t *key);
} xn_kernel_table;

extern const xn_kernel_table xn_kernels_baseline;
#ifdef XN_X86
extern const xn_kernel_table xn_kernels_avx2, xn_kernels_avx512;
#endif

#endif
