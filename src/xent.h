/* SPDX-License-Identifier: BSD-3-Clause */
/* The whole C interface of xent_native: cross-entropy over strided buffers.
 *
 * A problem is a three-dimensional view (outer, classes, inner) of the caller's memory; a row is one
 * (outer, inner) position, numbered outer * inner_size + inner. Strides count elements, may be negative, and for what
 * is read zero. Pointers have the alignment of their type. No size, no product of sizes and no stride times its size
 * may be beyond 2^52; of a problem without rows, arrays play no part.
 *
 * What makes no sense is answered with XN_BAD_ARGUMENT, whatever the fields hold. Only what the caller alone can know
 * is taken on trust: that the memory of the arrays is there and is the caller's, and overlaps nowhere else than said
 * below.
 *
 * A calling thread needs 192 KB of stack.
 *
 * Nothing is written before the labels of all rows are known to be in range, and nothing outside of the
 * outputs. Results do not depend on the number of threads. */
#ifndef XENT_H
#define XENT_H

#include <stdint.h>

typedef enum {
    XN_OK = 0,
    XN_BAD_LABEL,    /* a label outside of [0, classes) that is not ignored: see bad_row, bad_label */
    XN_BAD_ARGUMENT, /* NULL, a size below zero or beyond what is said above, an unknown dtype or other enumerator, an
                      * option outside of its range, an array without the alignment of its type, an output with a
                      * stride of 0, targets that the operation needs or an output that it does not have */
    XN_NO_MEMORY,
    XN_INTERRUPTED, /* the caller's `interrupted` asked for it; outputs are unfinished */
    XN_UNKNOWN_ISA,
    XN_UNSUPPORTED_ISA
} xn_status;

/* What a status means, in words. */
const char *xn_status_text(xn_status status);

typedef enum {
    XN_FLOAT32,
    XN_FLOAT64,
    XN_FLOAT16,
    XN_BFLOAT16,
    XN_FLOAT64_TO_FLOAT32, /* of a problem alone: XN_FLOAT64, but outputs with classes are float32, rounded once */
    XN_DTYPES
} xn_dtype;

/* The last two: whole numbers in floats, as gradient boosters hold their labels. What is no whole number, or not
 * below 2^50 in size, is read as INT64_MIN. */
typedef enum {
    XN_INT8,
    XN_UINT8,
    XN_INT16,
    XN_UINT16,
    XN_INT32,
    XN_UINT32,
    XN_INT64,
    XN_UINT64,
    XN_WHOLE_FLOAT32,
    XN_WHOLE_FLOAT64
} xn_int_type;

typedef enum {
    XN_NONE,         /* per row only; gradients belong to the sum */
    XN_SUM,          /* sum of weight * loss */
    XN_MEAN,         /* the same over the number of rows that are not ignored; 0 if there are none */
    XN_WEIGHTED_MEAN /* the same over the sum of their sample weights; 0 if that is 0 */
} xn_reduction;

/* What a class adds to the loss of its row, beside its target: see kernels/shaped.h. */
typedef enum {
    XN_PLAIN, /* -log p: what xn_softmax_ce and xn_prob_ce compute */
    XN_FOCAL, /* (1 - p)^coefficient (-log p) */
    XN_POLY1, /* -log p + coefficient (1 - p) */
    XN_KL     /* log(t / p), from probabilities alone, neither smoothed nor class-weighted */
} xn_shape;

/* (outer, classes, inner) elements of the problem's dtype. data == NULL: not given, or not wanted. */
typedef struct {
    void *data;
    int64_t outer, cls, inner;
} xn_array;

/* One float per row. */
typedef struct {
    void *data;
    xn_dtype dtype; /* XN_FLOAT32 or XN_FLOAT64 */
    int64_t outer, inner;
} xn_row_array;

/* What probabilities are, those of rows that count nothing included. */
typedef struct {
    double least, most; /* NaN aside; INFINITY and -INFINITY if there are none */
    double off;         /* largest distance of a row's sum from 1; INFINITY if one is not finite */
} xn_seen;

/* One integer per row. */
typedef struct {
    const void *data;
    xn_int_type type;
    int64_t outer, inner;
} xn_labels;

/* What xn_binary_ce takes beside the rest of a problem. */
typedef struct {
    int from_probabilities; /* the input; else logits */
    double share;           /* what a class counts in the loss of its row, at least 0; 0: 1 / classes, the mean */
    const void *pos_weight; /* [classes] of the type that is computed in, or NULL; multiplies the smoothed target. Not
                             * with focal */
    int focal, balanced; /* the focal loss, with `coefficient` as gamma; and, with `balanced`, alpha times positives
                          * and 1 - alpha times negatives */
    xn_array each; /* output: the loss of each element times its sample weight, of the type that is computed in */
} xn_binary;

typedef struct {
    int64_t outer, classes, inner;
    int classes_last; /* whether no dimension follows the classes: decides the loop order, and so the last bits */
    xn_dtype dtype; /* of input, target and the outputs with classes. What is float64 is computed in float64, all else
                     * in float32 */
    xn_array input; /* logits or probabilities */

    /* Labels, or dense targets, or neither: then only lse, prob and log_prob can be asked for. */
    xn_labels labels;
    xn_array target;
    int has_ignored; /* rows whose label is `ignored` (for uint64: has the same bits) count nothing */
    int64_t ignored;
    int64_t label_classes; /* 0. For the library alone: labels lie in [0, label_classes), if that is not 0 */
    double label_smoothing; /* in [0, 1]: t becomes t * (1 - s) + s / classes */
    const void *class_weight; /* [classes] of the type that is computed in, or NULL; multiplies the smoothed target of
                               * its class */
    xn_row_array sample_weight; /* multiplies the loss; a row of weight 0 counts nothing, whatever it holds */
    double epsilon; /* in [0, 1/2): probabilities, where they are the input, are clipped to [epsilon, 1 - epsilon];
                     * XN_KL: to [epsilon, 1], as are its targets */
    xn_binary binary; /* xn_binary_ce alone reads this */
    int as_given; /* xn_prob_ce alone reads this: probabilities are not divided by their sum, and `seen` says what they
                   * are. No gradient */
    xn_reduction reduction;
    int without_loss; /* the losses are not computed, and `reduced` is 0: loss and binary.each are not wanted */

    /* xn_shaped_ce and xn_shaped_prob; the latter two xn_binary_ce, too. */
    xn_shape shape; /* XN_PLAIN for the other operations */
    double coefficient; /* gamma of focal losses, at least 0; epsilon of poly1; finite */
    double alpha; /* finite: factor of every loss, or as `binary` says */

    double hess_scale; /* xn_softmax_ce and xn_shaped_ce: factor of hess, finite and at least 0; 0: 1 */

    int n_threads; /* 0: as many as OpenMP and the cgroup allow */
    int (*interrupted)(void); /* asked from the calling thread, after each 131072 elements that it has seen: often;
                               * may be NULL */

    /* Outputs. grad may be the input itself, and so may prob or log_prob if it is the only output with
     * classes, unless they are narrower than the input; otherwise nothing may overlap. */
    xn_row_array loss, lse;
    xn_array grad, hess, prob, log_prob;

    /* Results. */
    double reduced; /* of the losses, as `reduction` says; their sum for XN_NONE */
    xn_seen seen; /* with as_given */
    int64_t bad_row; /* XN_BAD_LABEL: the first such row, and what it holds, */
    int64_t bad_label; /* to be read as uint64_t if the labels are */
} xn_problem;

/* Softmax cross-entropy from logits, and softmax, log-softmax and log-sum-exp. */
xn_status xn_softmax_ce(xn_problem *problem);

/* Cross-entropy from probabilities; outputs are loss and grad, with as_given loss alone. */
xn_status xn_prob_ce(xn_problem *problem);

/* What scoring wants to know of each row: arrays of as many items as there are rows. */
typedef struct {
    double *loss; /* of the row; from what is computed in float32 a float32 */
    double *confidence, *brier; /* the largest probability; sum of (p - t)^2 with the one-hot target t */
    int32_t *label, *best, *rank; /* -1 where the row is ignored; the first class with the largest prediction; classes
                                   * above the label, among equals those before it. Rank is -1 where the loss is NaN,
                                   * and -2 where a probability is negative and the row not ignored */
} xn_row_scores;

/* The losses of xn_softmax_ce, or with from_logits 0 of xn_prob_ce, and what goes with them. Rows of labels alone, with
 * the classes last and no inner dimension, no weights and no other outputs. */
xn_status xn_score(xn_problem *problem, int from_logits, const xn_row_scores *scores);

/* A book holds the counts and exact sums of any number of rows in one array of int64_t, whose sections have these
 * items. Sums are exact: an integer of XN_LIMBS limbs of 32 bits, least first, times 2^-1074, with the carries not yet
 * propagated. So books add up to the same bits in any order, item by item. */
enum {
    XN_LIMBS = 66,
    XN_CONFIDENCE_KEYS = 1920, /* fine bins of the confidence: see xn_confidence_key */
    XN_LOSS_OCTAVES = 50, /* of losses from 2^-40 on, */
    XN_LOSS_KEYS = XN_LOSS_OCTAVES * 64 + 2 /* with 64 bins each, and one below and one above */
};
#define XN_BOOK(COUNT, SUM)                                                                     \
    COUNT(support, classes) /* rows by label */                                                 \
    COUNT(hits, classes) /* those where the label is the best class */                          \
    COUNT(nans, classes) /* those whose loss is NaN, which count in support and nowhere else */ \
    COUNT(infinite, classes) /* those whose loss, times the weight, is infinite */              \
    COUNT(lost, 1) /* rows whose square is no finite number */                                  \
    SUM(loss, classes) /* weight * loss */                                                      \
    SUM(loss_square, 1) /* its square */                                                        \
    SUM(brier, 1) /* weight * Brier score */                                                    \
    COUNT(cell_rows, cells) /* by confidence; of the rows whose confidence is a number */       \
    COUNT(cell_hits, cells)                                                                     \
    SUM(cell_confidence, cells) /* weight * confidence */                                       \
    COUNT(losses, XN_LOSS_KEYS) /* rows by loss */                                              \
    COUNT(ranks, ranks + 1) /* rows by rank of the label, the last: of that rank or more */     \
    COUNT(confusion, confusion) /* by label and best class, or no items */                      \
    COUNT(class_rows, class_cells) /* by class and bin of its probability, or no items */       \
    COUNT(class_hits, class_cells) /* those with this label */                                  \
    SUM(class_confidence, class_cells)                                                          \
    /* Sums of weights, in weighted books alone. */                                             \
    SUM(weight, w_classes)                                                                      \
    SUM(hit_weight, w_classes)                                                                  \
    SUM(weight_square, w_one)                                                                   \
    SUM(weight_loss, w_one) /* weight^2 * loss */                                               \
    SUM(cell_weight, w_cells)                                                                   \
    SUM(cell_hit_weight, w_cells)                                                               \
    SUM(losses_weight, w_losses)                                                                \
    SUM(rank_weight, w_ranks)                                                                   \
    SUM(confusion_weight, w_confusion)                                                          \
    SUM(class_weight, w_class_cells)                                                            \
    SUM(class_hit_weight, w_class_cells)

/* How many items the sections of a book have. */
typedef struct {
    int64_t classes, cells, ranks;
    int has_confusion, weighted;
    int64_t class_bins; /* 0: the book says nothing of the calibration of single classes */
} xn_book_shape;

/* Sections by number: their names, NULL after the last, their items and whether these are sums. */
const char *xn_book_section(const xn_book_shape *shape, int section, int64_t *items, int *is_sum);

/* What rows were, beside what the book says of them. */
typedef struct {
    int64_t ignored, nans; /* those that count nowhere, and those that count but have NaN for a loss */
    double most; /* the largest of the other losses; below all if there are none */
} xn_entered;

/* Rows to be added to a book. */
typedef struct {
    xn_book_shape shape;
    int64_t rows;
    const xn_row_scores *scores; /* of xn_score; labels below shape.classes, as are the best classes */
    const double *weight; /* positive and finite, or NULL in a book that is not weighted */
    const int32_t
        *start; /* [XN_CONFIDENCE_KEYS] a confidence with this key is in the cell start[key], or in the next */
    const double *cut; /* [XN_CONFIDENCE_KEYS] if it is at least cut[key] */
    const void *probability; /* [rows][classes] float32, or float64 if probability_is_double; with class_bins */
    int probability_is_double;
    int n_threads;
    xn_entered *entered; /* to be written, or NULL */
} xn_entries;
xn_status xn_enter(const xn_entries *entries, int64_t *book);

/* The fine bin of a confidence in [0, 1]: 32 an octave of the confidence below 1/2, and of 1 less it above, down to
 * 2^-31. Bins ascend, and each begins with its least confidence. */
int xn_confidence_key(double confidence);

/* xn_softmax_ce, or xn_shaped_ce where `shape` says so, of a single float64 row, and its whole Hessian: hess is
 * [classes][classes], symmetric, its diagonal that of these operations. The problem must ask for prob, with neighbours
 * side by side, and may not for hess. */
xn_status xn_softmax_hessian(xn_problem *problem, double *hess);

/* Binary cross-entropy, plain or focal, from logits or probabilities; outputs are loss, grad, binary.each and, from
 * logits of the plain one, hess. label_smoothing goes towards 1/2. Where classes is 1, labels may be the targets: 0 or
 * 1. Without either: prob alone, the sigmoid. */
xn_status xn_binary_ce(xn_problem *problem);

/* The other shapes, from logits and from probabilities; outputs are loss and grad, and from logits hess: the diagonal
 * of the Hessian of the cross-entropy that has the same gradient, see kernels/shaped.h. */
xn_status xn_shaped_ce(xn_problem *problem);
xn_status xn_shaped_prob(xn_problem *problem);

/* Views a group of dimensions as one. Returns 0 if their strides do not allow it, a size is negative, or the view has
 * more elements than int64_t counts. */
int xn_collapse(int dims, const int64_t *shape, const int64_t *strides, int64_t *size, int64_t *stride);

/* Instruction sets that this build has, best first; NULL ends the list. */
const char *xn_isa_name(int index);
int xn_isa_supported(int index);
const char *xn_isa(void);
xn_status xn_set_isa(const char *name); /* calls that run go on with the one that they began with */
const char *xn_kernel_name(int index); /* NULL ends the list */

/* Call once before any other function, and before the process forks: from then on a child runs serially. Reads the
 * CPU quota of the process's control groups, which is not read again. */
void xn_init(void);

int xn_has_openmp(void);
int xn_max_threads(void); /* what n_threads = 0 means now */
int xn_threads(int asked); /* what n_threads = `asked` comes to now, in a call that is large enough, from this thread;
                            * the system may refuse some of them */

#endif
