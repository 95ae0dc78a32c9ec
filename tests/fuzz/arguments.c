/* SPDX-License-Identifier: BSD-3-Clause */
/* Problems that make no sense: whatever the fields hold, the answer is XN_BAD_ARGUMENT, and nothing is read or written.
 * What makes sense is decided here once more, by the text of xent.h. Problems that do, and stay inside of the memory
 * that there is, must be computed. */
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "../c/problem.h"
#include "fuzz.h"

enum { BYTES = 8192, MOST_ELEMENTS = 4000, ARRAYS = 13 };

__extension__ typedef __int128 wide;

static const int64_t LIMIT = INT64_C(1) << 52;

/* Every array has memory of its own, on both sides of its first element. */
static _Alignas(64) char memory[ARRAYS][BYTES];

static int64_t any_int(rng *r) {
    static const int64_t ends[] = {0,
                                   1,
                                   -1,
                                   2,
                                   3,
                                   INT64_MIN,
                                   INT64_MAX,
                                   1L << 52,
                                   1L << 51,
                                   -(1L << 52),
                                   (1L << 52) + 1,
                                   INT64_MIN + 1,
                                   1L << 32,
                                   1L << 62};
    switch (rng_int(r, 0, 3)) {
        case 0: return (int64_t)rng_bits(r);
        case 1: return ends[rng_int(r, 0, (int)(sizeof ends / sizeof ends[0]) - 1)];
        default: return rng_int(r, -5, 20);
    }
}

static double any_number(rng *r) {
    static const double ends[] = {0,        -0.0,      1,           -1, 0.5,   0.49999, NAN,
                                  INFINITY, -INFINITY, 1 + 0x1p-52, 2,  1e308, 5e-324};
    const uint64_t bits = rng_bits(r);
    double value;
    memcpy(&value, &bits, sizeof value);
    return rng_chance(r, 30) ? value : ends[rng_int(r, 0, (int)(sizeof ends / sizeof ends[0]) - 1)];
}

static int any_enum(rng *r) {
    return rng_chance(r, 30) ? (int)(uint32_t)rng_bits(r) : (int)rng_int(r, -2, 9);
}

static char *place(rng *r, int array) {
    const int misplaced = rng_chance(r, 3) ? (int)rng_int(r, 1, 7) : 0;
    return memory[array] + BYTES / 2 + misplaced;
}

static xn_array draw_array(rng *r, const xn_problem *p, int array, int percent) {
    xn_array a = {rng_chance(r, percent) ? place(r, array) : NULL, p->classes * p->inner, p->inner, 1};
    if (rng_chance(r, 5)) a.outer = any_int(r);
    if (rng_chance(r, 5)) a.cls = any_int(r);
    if (rng_chance(r, 5)) a.inner = any_int(r);
    return a;
}

static xn_row_array draw_rows(rng *r, const xn_problem *p, int array, int percent) {
    xn_row_array a = {rng_chance(r, percent) ? place(r, array) : NULL, (xn_dtype)rng_int(r, 0, 1), p->inner, 1};
    if (rng_chance(r, 5)) a.dtype = (xn_dtype)any_enum(r);
    if (rng_chance(r, 5)) a.outer = any_int(r);
    if (rng_chance(r, 5)) a.inner = any_int(r);
    return a;
}

static xn_labels draw_labels(rng *r, const xn_problem *p, int array) {
    xn_labels a = {rng_chance(r, 50) ? place(r, array) : NULL, (xn_int_type)rng_int(r, XN_INT8, XN_WHOLE_FLOAT64),
                   p->inner, 1};
    if (rng_chance(r, 5)) a.type = (xn_int_type)any_enum(r);
    if (rng_chance(r, 5)) a.outer = any_int(r);
    if (rng_chance(r, 5)) a.inner = any_int(r);
    return a;
}

static xn_problem draw(rng *r, operation op) {
    const int alone = op == SOFTMAX ? 30 : 3, binary = op == BINARY;
    xn_problem p = {.outer = rng_int(r, 1, 6), .classes = rng_int(r, 1, 9), .inner = rng_int(r, 1, 4)};
    if (rng_chance(r, 5)) p.outer = any_int(r);
    if (rng_chance(r, 5)) p.classes = any_int(r);
    if (rng_chance(r, 5)) p.inner = any_int(r);
    const int usual = p.outer >= 0 && p.outer < 99 && p.classes >= 0 && p.classes < 99 && p.inner >= 0 && p.inner < 99;
    const xn_problem shape = usual ? p : (xn_problem){.classes = 1, .inner = 1}; /* what strides are made of */
    p.classes_last = (int)rng_int(r, 0, 2);
    p.dtype = (xn_dtype)(rng_chance(r, 5) ? any_enum(r) : rng_int(r, 0, XN_DTYPES - 1));
    p.input = draw_array(r, &shape, 0, 98);
    p.target = draw_array(r, &shape, 1, binary ? 90 : 40);
    p.labels = binary && rng_chance(r, 80) ? (xn_labels){0} : draw_labels(r, &shape, 2);
    p.has_ignored = (int)rng_int(r, 0, 1);
    p.ignored = any_int(r);
    p.label_classes = rng_chance(r, 3) ? any_int(r) : 0;
    p.label_smoothing = rng_chance(r, 10) ? any_number(r) : 0;
    p.class_weight = rng_chance(r, binary ? 3 : 20) ? place(r, 3) : NULL;
    p.sample_weight = draw_rows(r, &shape, 4, 20);
    p.epsilon = rng_chance(r, 10) ? any_number(r) : 1e-7;
    p.binary.from_probabilities = rng_chance(r, 40);
    p.binary.share = rng_chance(r, 10) ? any_number(r) : 0;
    p.binary.pos_weight = rng_chance(r, 10) ? place(r, 5) : NULL;
    p.binary.focal = rng_chance(r, 30);
    p.binary.each = draw_array(r, &shape, 6, binary ? 30 : 3);
    p.reduction = (xn_reduction)(rng_chance(r, 5) ? any_enum(r) : rng_int(r, 0, 3));
    p.shape = op == SHAPED || op == SHAPED_PROB ? (xn_shape)rng_int(r, XN_FOCAL, XN_KL) : XN_PLAIN;
    if (rng_chance(r, 5)) p.shape = (xn_shape)any_enum(r);
    p.coefficient = rng_chance(r, 10) ? any_number(r) : 2;
    p.hess_scale = rng_chance(r, 10) ? any_number(r) : 0;
    p.alpha = rng_chance(r, 10) ? any_number(r) : 1;
    p.n_threads = rng_chance(r, 50) ? 0 : any_enum(r);
    p.loss = draw_rows(r, &shape, 7, 50);
    p.lse = draw_rows(r, &shape, 8, alone);
    p.grad = draw_array(r, &shape, 9, 50);
    p.hess = draw_array(r, &shape, 10, op == SHAPED ? 40 : alone);
    p.prob = draw_array(r, &shape, 11, alone);
    p.log_prob = draw_array(r, &shape, 12, alone);
    p.without_loss = rng_chance(r, 20);
    return p;
}

/* What makes sense. */

static int is_span(int64_t stride, int64_t size, int written) {
    const wide span = (wide)stride * size;
    return span <= LIMIT && span >= -(wide)LIMIT && !(written && stride == 0 && size > 1);
}

static int is_aligned(const void *data, size_t size) {
    return (uintptr_t)data % size == 0;
}

static int is_array(const xn_problem *p, const xn_array *a, size_t size, int written) {
    return !a->data || (is_aligned(a->data, size) && is_span(a->outer, p->outer, written) &&
                        is_span(a->cls, p->classes, written) && is_span(a->inner, p->inner, written));
}

static int is_row_array(const xn_problem *p, const xn_row_array *a, int written) {
    if (!a->data) return 1;
    if (a->dtype != XN_FLOAT32 && a->dtype != XN_FLOAT64) return 0;
    return is_aligned(a->data, dtype_size(a->dtype)) && is_span(a->outer, p->outer, written) &&
           is_span(a->inner, p->inner, written);
}

static size_t label_size(xn_int_type type) {
    static const size_t sizes[] = {1, 1, 2, 2, 4, 4, 8, 8, 4, 8};
    return sizes[type];
}

static int are_arrays(const xn_problem *p) {
    const size_t size = dtype_size(p->dtype), real = dtype_size(real_of(p->dtype));
    const size_t out = dtype_size(written_as(p->dtype));
    const xn_labels *l = &p->labels;
    if (!p->input.data || !is_array(p, &p->input, size, 0) || !is_array(p, &p->target, size, 0)) return 0;
    if (!is_array(p, &p->grad, out, 1) || !is_array(p, &p->hess, out, 1) || !is_array(p, &p->prob, out, 1) ||
        !is_array(p, &p->log_prob, out, 1) || !is_array(p, &p->binary.each, real, 1))
        return 0;
    if (l->data && ((int)l->type < 0 || (int)l->type > XN_WHOLE_FLOAT64 || !is_aligned(l->data, label_size(l->type)) ||
                    !is_span(l->outer, p->outer, 0) || !is_span(l->inner, p->inner, 0)))
        return 0;
    return is_row_array(p, &p->sample_weight, 0) && is_row_array(p, &p->loss, 1) && is_row_array(p, &p->lse, 1) &&
           is_aligned(p->class_weight, real) && is_aligned(p->binary.pos_weight, real);
}

static int is_problem(const xn_problem *p) {
    const wide rows = (wide)p->outer * p->inner;
    if (p->outer < 0 || p->inner < 0 || p->classes < 1) return 0;
    if (p->outer > LIMIT || p->inner > LIMIT || p->classes > LIMIT || rows > LIMIT) return 0;
    if (rows * p->classes > LIMIT) return 0;
    if ((int)p->dtype < 0 || (int)p->dtype >= XN_DTYPES) return 0;
    if ((int)p->reduction < 0 || (int)p->reduction > XN_WEIGHTED_MEAN) return 0;
    if (!(p->label_smoothing >= 0) || !(p->label_smoothing <= 1)) return 0;
    if (p->label_classes != 0) return 0;
    if (!(p->hess_scale >= 0) || !(p->hess_scale < INFINITY)) return 0;
    if (p->labels.data && p->target.data) return 0;
    if (!p->labels.data && !p->target.data && (p->loss.data || p->grad.data || p->hess.data)) return 0;
    if (p->without_loss && (p->loss.data || p->binary.each.data)) return 0;
    return rows == 0 || are_arrays(p);
}

static int suits(operation op, const xn_problem *p) {
    const int empty = p->outer == 0 || p->inner == 0, clips = p->epsilon >= 0 && p->epsilon < 0.5;
    const int planes = p->prob.data || p->log_prob.data || p->lse.data;
    const int has_targets = p->labels.data || p->target.data || empty;
    const int numbers = isfinite(p->coefficient) && isfinite(p->alpha);
    const int focal = numbers && p->coefficient >= 0;
    const xn_binary *b = &p->binary;
    switch (op) {
        case SOFTMAX: return p->shape == XN_PLAIN;
        case PROB_CE: return p->shape == XN_PLAIN && has_targets && !planes && !p->hess.data && clips;
        case SHAPED:
            return ((p->shape == XN_FOCAL && focal) || (p->shape == XN_POLY1 && numbers)) && has_targets && !planes;
        case SHAPED_PROB:
            if (p->hess.data) return 0;
            if (p->shape == XN_KL && (p->label_smoothing != 0 || p->class_weight)) return 0;
            return ((p->shape == XN_FOCAL && focal) || ((p->shape == XN_POLY1 || p->shape == XN_KL) && numbers)) &&
                   has_targets && !planes && clips;
        default: break;
    }
    if (p->shape != XN_PLAIN || p->class_weight || p->log_prob.data || p->lse.data) return 0;
    if (p->labels.data && p->classes != 1) return 0;
    if ((!p->target.data && !p->labels.data) != !!p->prob.data || (p->prob.data && b->each.data)) return 0;
    if (p->hess.data && (b->from_probabilities || b->focal)) return 0;
    if (b->from_probabilities && !clips) return 0;
    if (b->focal && (b->pos_weight || !focal)) return 0;
    return isfinite(b->share) && b->share >= 0;
}

/* Whether an array stays inside of its memory. */
static int fits(const xn_problem *p, const void *data, size_t size, int64_t outer, int64_t cls, int64_t inner) {
    const wide steps[] = {(wide)outer * (p->outer - 1), (wide)cls * (p->classes - 1), (wide)inner * (p->inner - 1)};
    wide low = 0, high = 0;
    for (int i = 0; data && i < 3; i++) {
        low += steps[i] < 0 ? steps[i] : 0;
        high += steps[i] > 0 ? steps[i] : 0;
    }
    const wide room = BYTES / 2 - 16;
    return -low * (wide)size <= room && (high + 1) * (wide)size <= room;
}

static int all_fit(const xn_problem *p) {
    const xn_array *const planes[] = {&p->input, &p->target, &p->grad, &p->hess, &p->prob, &p->log_prob};
    const size_t size = dtype_size(p->dtype), real = dtype_size(real_of(p->dtype));
    const xn_array *e = &p->binary.each;
    int fit = fits(p, e->data, real, e->outer, e->cls, e->inner) && fits(p, p->class_weight, real, 0, 1, 0) &&
              fits(p, p->binary.pos_weight, real, 0, 1, 0);
    for (int i = 0; i < 6; i++)
        fit &= fits(p, planes[i]->data, size, planes[i]->outer, planes[i]->cls, planes[i]->inner);
    const xn_row_array *const rows[] = {&p->sample_weight, &p->loss, &p->lse};
    for (int i = 0; i < 3; i++) fit &= fits(p, rows[i]->data, 8, rows[i]->outer, 0, rows[i]->inner);
    return fit && fits(p, p->labels.data, 8, p->labels.outer, 0, p->labels.inner);
}

static int is_untouched(void) {
    static const int written[] = {6, 7, 8, 9, 10, 11, 12};
    for (int i = 0; i < 7; i++) {
        const char *bytes = memory[written[i]];
        if ((unsigned char)bytes[0] != UNTOUCHED || memcmp(bytes, bytes + 1, BYTES - 1) != 0) return 0;
    }
    return 1;
}

void fuzz_arguments(rng *r) {
    static xn_status (*const operations[])(xn_problem *) = {xn_softmax_ce, xn_prob_ce, xn_shaped_ce, xn_shaped_prob,
                                                            xn_binary_ce};
    const operation op = (operation)rng_int(r, SOFTMAX, OPERATIONS - 1);
    if (operations[op](NULL) != XN_BAD_ARGUMENT) fail("NULL is accepted");
    xn_problem p = draw(r, op);
    const int sensible = is_problem(&p) && suits(op, &p);
    const int64_t elements = sensible ? p.outer * p.inner * p.classes : 0;
    if (elements > 0 && (elements > MOST_ELEMENTS || !all_fit(&p))) return;
    memset(memory, 0, sizeof memory);
    for (int array = 6; array < ARRAYS; array++) memset(memory[array], UNTOUCHED, BYTES);
    describe("operation %d: outer=%lld classes=%lld inner=%lld dtype=%d reduction=%d shape=%d smoothing=%g epsilon=%g "
             "coefficient=%g alpha=%g share=%g",
             (int)op, (long long)p.outer, (long long)p.classes, (long long)p.inner, (int)p.dtype, (int)p.reduction,
             (int)p.shape, p.label_smoothing, p.epsilon, p.coefficient, p.alpha, p.binary.share);
    const xn_status status = operations[op](&p);
    if (sensible && status != XN_OK) fail("status %d for what makes sense", (int)status);
    if (!sensible && status != XN_BAD_ARGUMENT) fail("status %d for what makes no sense", (int)status);
    if (!sensible && !is_untouched()) fail("something was written in spite of a bad argument");
}
