# SPDX-License-Identifier: BSD-3-Clause
"""src/xent.h, as Cython sees it."""

from libc.stdint cimport int32_t, int64_t

cdef extern from "xent.h" nogil:
    ctypedef enum xn_status:
        XN_OK
        XN_BAD_LABEL
        XN_BAD_ARGUMENT
        XN_NO_MEMORY
        XN_INTERRUPTED
        XN_UNKNOWN_ISA
        XN_UNSUPPORTED_ISA

    const char *xn_status_text(xn_status status)

    ctypedef enum xn_dtype:
        XN_FLOAT32
        XN_FLOAT64
        XN_FLOAT16
        XN_BFLOAT16
        XN_FLOAT64_TO_FLOAT32
        XN_DTYPES

    ctypedef enum xn_int_type:
        XN_INT8
        XN_UINT8
        XN_INT16
        XN_UINT16
        XN_INT32
        XN_UINT32
        XN_INT64
        XN_UINT64
        XN_WHOLE_FLOAT32
        XN_WHOLE_FLOAT64

    ctypedef enum xn_reduction:
        XN_NONE
        XN_SUM
        XN_MEAN
        XN_WEIGHTED_MEAN

    ctypedef enum xn_shape:
        XN_PLAIN
        XN_FOCAL
        XN_POLY1
        XN_KL

    ctypedef struct xn_array:
        void *data
        int64_t outer, cls, inner

    ctypedef struct xn_row_array:
        void *data
        xn_dtype dtype
        int64_t outer, inner

    ctypedef struct xn_labels:
        const void *data
        xn_int_type type
        int64_t outer, inner

    ctypedef struct xn_seen:
        double least, most, off

    ctypedef struct xn_binary:
        int from_probabilities
        double share
        const void *pos_weight
        int focal, balanced
        xn_array each

    ctypedef struct xn_problem:
        int64_t outer, classes, inner
        int classes_last
        xn_dtype dtype
        xn_array input
        xn_labels labels
        xn_array target
        int has_ignored
        int64_t ignored
        double label_smoothing
        const void *class_weight
        xn_row_array sample_weight
        double epsilon
        xn_binary binary
        int as_given
        xn_reduction reduction
        int without_loss
        xn_shape shape
        double coefficient, alpha, hess_scale
        int n_threads
        int (*interrupted)() noexcept
        xn_row_array loss, lse
        xn_array grad, hess, prob, log_prob
        double reduced
        xn_seen seen
        int64_t bad_row, bad_label

    xn_status xn_softmax_ce(xn_problem *problem)
    xn_status xn_prob_ce(xn_problem *problem)
    xn_status xn_binary_ce(xn_problem *problem)
    xn_status xn_shaped_ce(xn_problem *problem)
    xn_status xn_softmax_hessian(xn_problem *problem, double *hess)
    xn_status xn_shaped_prob(xn_problem *problem)
    ctypedef struct xn_row_scores:
        double *loss
        double *confidence
        double *brier
        int32_t *label
        int32_t *best
        int32_t *rank

    xn_status xn_score(xn_problem *problem, int from_logits, const xn_row_scores *scores)

    enum:
        XN_LIMBS
        XN_CONFIDENCE_KEYS
        XN_LOSS_OCTAVES
        XN_LOSS_KEYS

    ctypedef struct xn_book_shape:
        int64_t classes, cells, ranks
        int has_confusion, weighted
        int64_t class_bins

    const char *xn_book_section(const xn_book_shape *shape, int section, int64_t *items, int *is_sum)

    ctypedef struct xn_entered:
        int64_t ignored, nans
        double most
    ctypedef struct xn_entries:
        xn_book_shape shape
        int64_t rows
        const xn_row_scores *scores
        const double *weight
        const int32_t *start
        const double *cut
        const void *probability
        int probability_is_double
        int n_threads
        xn_entered *entered

    xn_status xn_enter(const xn_entries *entries, int64_t *book)
    int xn_confidence_key(double confidence)

    int xn_collapse(int dims, const int64_t *shape, const int64_t *strides, int64_t *size, int64_t *stride)
    const char *xn_isa_name(int index)
    int xn_isa_supported(int index)
    const char *xn_isa()
    xn_status xn_set_isa(const char *name)
    const char *xn_kernel_name(int index)
    void xn_init()
    int xn_has_openmp()
    int xn_threads(int asked)
