/* SPDX-License-Identifier: BSD-3-Clause */
/* Draws random problems for the core: options, layouts, and numbers, which may be any bits at all. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "problem.h"

static const struct {
    const char *name;
    size_t size;
    int64_t least, most; /* most of uint64, as int64: the bits count */
} label_types[] = {
    {"int8", 1, INT8_MIN, INT8_MAX},     {"uint8", 1, 0, UINT8_MAX},
    {"int16", 2, INT16_MIN, INT16_MAX},  {"uint16", 2, 0, UINT16_MAX},
    {"int32", 4, INT32_MIN, INT32_MAX},  {"uint32", 4, 0, UINT32_MAX},
    {"int64", 8, INT64_MIN, INT64_MAX},  {"uint64", 8, 0, -1},
    {"float32", 4, -(1 << 24), 1 << 24}, {"float64", 8, -(INT64_C(1) << 49), INT64_C(1) << 49},
};

/* How the numbers of an array are drawn. */
typedef struct {
    xn_dtype dtype;
    int wild;     /* percent of any bits at all */
    int positive; /* without their sign */
} drawing;

static drawing draw_drawing(const problem *q, rng *r, xn_dtype dtype, int positive) {
    static const int wild[] = {0, 0, 2, 20, 100};
    return (drawing){dtype, q->hostile ? wild[rng_int(r, 0, 4)] : 0, positive ? rng_chance(r, 70) : 0};
}

/* Where arithmetic changes its ways. */
static const double special[] = {0.0,     -0.0,    INFINITY, -INFINITY, NAN,    FLT_MAX,  -FLT_MAX,
                                 DBL_MAX, FLT_MIN, DBL_MIN,  65504.0,   1e-45,  5e-324,   1.0,
                                 -1.0,    1e-7,    0.5,      512.0,     -104.0, 709.5,    -746.0,
                                 1e30,    1e-30,   0x1p-66,  3e38,      -3e38,  1 - 1e-7, 1 - FLT_EPSILON};

/* A number of an array: what was drawn for it, unless its turn comes to be wild. Bits are the fuzzer's, chance is not:
 * its bytes would be spent on it. */
static void put(rng *r, rng *chance, const field *f, drawing d, int64_t i, int64_t j, int64_t k, double value) {
    const int last = (int)(sizeof special / sizeof special[0]) - 1;
    if (d.wild == 0 || !rng_chance(chance, d.wild)) {
        field_put(f, d.dtype, i, j, k, value);
    } else if (rng_chance(chance, 30)) {
        const double one = special[rng_int(chance, 0, last)];
        field_put(f, d.dtype, i, j, k, d.positive ? fabs(one) : one);
    } else {
        const uint64_t bits = rng_bits(r), sign = UINT64_C(1) << (8 * f->element - 1);
        field_put_bits(f, i, j, k, d.positive ? bits & ~sign : bits);
    }
}

/* Strides of an (outer, classes, inner) array. What is only read may repeat itself. */
static void draw_steps(rng *r, const int64_t size[3], int read_only, int64_t step[3]) {
    const int64_t gap = rng_chance(r, 40) ? rng_int(r, 1, 9) : 0;
    if (rng_chance(r, 50)) { /* classes last */
        step[1] = 1;
        step[2] = size[1] + gap;
        step[0] = size[2] * step[2] + gap;
    } else {
        step[2] = 1;
        step[1] = size[2] + gap;
        step[0] = size[1] * step[1] + gap;
    }
    if (rng_chance(r, 10))
        for (int d = 0; d < 3; d++) step[d] *= 2;
    if (rng_chance(r, 25)) step[rng_int(r, 0, 2)] *= -1;
    if (rng_chance(r, 5))
        for (int d = 0; d < 3; d++) step[d] = -step[d];
    if (read_only && rng_chance(r, 5)) step[rng_int(r, 0, 2)] = 0;
}

static xn_array place(rng *r, field *f, xn_dtype dtype, const problem *q, int read_only) {
    const int64_t size[3] = {q->p.outer, q->p.classes, q->p.inner};
    int64_t step[3];
    draw_steps(r, size, read_only, step);
    field_place(r, f, dtype_size(dtype), size, step);
    return (xn_array){f->origin, step[0], step[1], step[2]};
}

/* A value for each row. */
static void place_rows(rng *r, field *f, size_t element, const problem *q, int read_only) {
    const int64_t size[3] = {q->p.outer, 1, q->p.inner};
    int64_t step[3];
    draw_steps(r, size, read_only, step);
    field_place(r, f, element, size, step);
}

static void put_label_bits(const problem *q, int64_t row, uint64_t bits) {
    field_put_bits(&q->labels, outer_of(q, row), 0, inner_of(q, row), bits);
}

static void put_label(const problem *q, int64_t row, int64_t label) {
    const xn_int_type type = q->p.labels.type;
    if (type < XN_WHOLE_FLOAT32) {
        put_label_bits(q, row, (uint64_t)label);
    } else {
        const xn_dtype dtype = type == XN_WHOLE_FLOAT32 ? XN_FLOAT32 : XN_FLOAT64;
        field_put(&q->labels, dtype, outer_of(q, row), 0, inner_of(q, row), (double)label);
    }
}

static int64_t whole_label(double value) {
    return fabs(value) < 0x1p50 && trunc(value) == value ? (int64_t)value : INT64_MIN;
}

int64_t problem_label(const problem *q, int64_t row) {
    const uint64_t bits = field_get_bits(&q->labels, outer_of(q, row), 0, inner_of(q, row));
    switch (q->p.labels.type) {
        case XN_INT8: return (int8_t)bits;
        case XN_INT16: return (int16_t)bits;
        case XN_INT32: return (int32_t)bits;
        case XN_WHOLE_FLOAT32:
            return whole_label(field_get(&q->labels, XN_FLOAT32, outer_of(q, row), 0, inner_of(q, row)));
        case XN_WHOLE_FLOAT64:
            return whole_label(field_get(&q->labels, XN_FLOAT64, outer_of(q, row), 0, inner_of(q, row)));
        default: return (int64_t)bits;
    }
}

int64_t label_classes(const problem *q) {
    return q->operation == BINARY ? 2 : q->p.classes;
}

static void draw_labels(problem *q, rng *r) {
    xn_problem *p = &q->p;
    p->labels.type = q->force_labels ? q->forced_type : (xn_int_type)rng_int(r, XN_INT8, XN_WHOLE_FLOAT64);
    const int64_t most = label_types[p->labels.type].most;
    place_rows(r, &q->labels, label_types[p->labels.type].size, q, 1);
    p->has_ignored = rng_chance(r, 50);
    const int64_t outside = label_types[p->labels.type].least < 0 ? (rng_chance(r, 50) ? -1 : -100) : most;
    const int64_t classes = label_classes(q), last = most >= 0 && most < classes - 1 ? most : classes - 1;
    p->ignored = rng_chance(r, 70) ? outside : rng_int(r, 0, last);
    const int wild = q->bad_labels ? (int)rng_int(r, 0, 100) : 0;
    rng chance = rng_fork(r);
    for (int64_t row = 0; row < q->rows; row++) {
        const int ignored = p->has_ignored && rng_chance(&chance, 20);
        const int64_t label = ignored ? p->ignored : rng_int(&chance, 0, last);
        if (wild && rng_chance(&chance, wild)) {
            put_label_bits(q, row, rng_bits(r));
        } else {
            put_label(q, row, label);
        }
    }
    p->labels.data = q->labels.origin;
    p->labels.outer = q->labels.step[0];
    p->labels.inner = q->labels.step[2];
}

static void draw_sample_weights(problem *q, rng *r) {
    xn_problem *p = &q->p;
    const drawing d = draw_drawing(q, r, (xn_dtype)rng_int(r, 0, 1), 1);
    const int zero = rng_chance(r, 5);
    place_rows(r, &q->sample_weight, dtype_size(d.dtype), q, 1);
    p->sample_weight =
        (xn_row_array){q->sample_weight.origin, d.dtype, q->sample_weight.step[0], q->sample_weight.step[2]};
    rng chance = rng_fork(r);
    for (int64_t row = 0; row < q->rows; row++)
        put(r, &chance, &q->sample_weight, d, outer_of(q, row), 0, inner_of(q, row),
            zero || rng_chance(&chance, 10) ? 0 : 0.3 + 2 * rng_unit(&chance));
}

/* Weights of classes, or of positives. */
static const void *draw_weights(const problem *q, rng *r, field *f) {
    const drawing d = draw_drawing(q, r, real_of(q->p.dtype), 1);
    field_place(r, f, dtype_size(d.dtype), (const int64_t[3]){1, q->p.classes, 1}, (const int64_t[3]){0, 1, 0});
    rng chance = rng_fork(r);
    for (int64_t c = 0; c < q->p.classes; c++)
        put(r, &chance, f, d, 0, c, 0, rng_chance(&chance, 5) ? 0 : 0.3 + 2 * rng_unit(&chance));
    return f->origin;
}

static int from_probabilities(const problem *q) {
    if (q->operation == BINARY) return q->p.binary.from_probabilities && (q->p.target.data || q->p.labels.data);
    return q->operation == PROB_CE || q->operation == SHAPED_PROB;
}

/* Whether a row surely has a finite loss. */
static int is_tame(const double *x, int64_t classes, int is_prob) {
    double sum = 0;
    for (int64_t c = 0; c < classes; c++) sum += fabs(x[c]) > 1e30 ? NAN : x[c];
    return !isnan(sum) && !(is_prob && sum == 0);
}

static void draw_input(problem *q, rng *r) {
    const xn_problem *p = &q->p;
    const int is_prob = from_probabilities(q), tame = rng_chance(r, 50); /* else most sums are NaN: they tell nothing */
    const drawing d = draw_drawing(q, r, p->dtype, is_prob);
    double *x = resized(NULL, p->classes, sizeof *x);
    rng chance = rng_fork(r);
    for (int64_t row = 0; row < q->rows; row++) {
        do {
            draw_row(&chance, is_prob, real_of(p->dtype), p->classes, x);
        } while (tame && !is_tame(x, p->classes, is_prob));
        for (int64_t c = 0; c < p->classes; c++)
            put(r, &chance, &q->input, d, outer_of(q, row), c, inner_of(q, row), x[c]);
    }
    free(x);
}

/* Targets that sum to about 1; for KL and the binary losses, of elements by themselves, often 0 or 1. */
static double drawn_target(const problem *q, rng *chance, int hard) {
    if (q->operation == BINARY || q->p.shape == XN_KL) {
        return hard ? (double)rng_int(chance, 0, 1) : rng_unit(chance);
    }
    return rng_chance(chance, 30) ? 0 : 2 * rng_unit(chance) / (double)q->p.classes;
}

static void draw_targets(problem *q, rng *r) {
    const drawing d = draw_drawing(q, r, q->p.dtype, 1);
    const int hard = rng_chance(r, 50);
    q->p.target = place(r, &q->target, q->p.dtype, q, 1);
    rng chance = rng_fork(r);
    for (int64_t row = 0; row < q->rows; row++)
        for (int64_t c = 0; c < q->p.classes; c++)
            put(r, &chance, &q->target, d, outer_of(q, row), c, inner_of(q, row), drawn_target(q, &chance, hard));
}

/* What the problem means, read back from its memory: rows may share elements. */
static void read_back(problem *q) {
    const xn_problem *p = &q->p;
    for (int64_t row = 0; row < q->rows; row++) {
        const int64_t i = outer_of(q, row), k = inner_of(q, row);
        q->label[row] = p->labels.data ? problem_label(q, row) : -1;
        const int ignored = p->labels.data && p->has_ignored && q->label[row] == p->ignored;
        q->weight[row] = 1;
        if (p->sample_weight.data) q->weight[row] = field_get(&q->sample_weight, p->sample_weight.dtype, i, 0, k);
        if (ignored) q->label[row] = -1;
        for (int64_t c = 0; c < p->classes; c++) {
            const int64_t at = row * p->classes + c;
            q->x[at] = field_get(&q->input, p->dtype, i, c, k);
            const double hard = (double)(q->label[row] == (q->operation == BINARY ? 1 : c));
            q->u[at] = p->target.data ? field_get(&q->target, p->dtype, i, c, k) : hard;
        }
    }
}

static void make_room(problem *q) {
    const int64_t need = q->rows * q->p.classes;
    q->in_place = -1;
    if (need < q->room) return;
    q->room = need + 1;
    q->x = resized(q->x, q->room, sizeof *q->x);
    q->u = resized(q->u, q->room, sizeof *q->u);
    q->weight = resized(q->weight, q->room, sizeof *q->weight);
    q->label = resized(q->label, q->room, sizeof *q->label);
    for (int i = 0; i < RESULTS * OUTPUTS; i++)
        q->values[i / OUTPUTS][i % OUTPUTS] = resized(q->values[i / OUTPUTS][i % OUTPUTS], q->room, sizeof(double));
}

static void save_input(problem *q) {
    const int64_t bytes = (int64_t)q->input.bytes;
    if (bytes > q->saved_room) q->saved = resized(q->saved, q->saved_room = bytes, 1);
    memcpy(q->saved, q->input.data, q->input.bytes);
}

/* Numbers of the operation, at the ends of their ranges where it is hostile. */
static void draw_options(problem *q, rng *r) {
    static const double epsilons[] = {1e-7, 1e-3, 0, 1e-20, 5e-324, 0.49999999999999994};
    static const double smoothings[] = {0.1, 1, 1e-300, 5e-324, 0.5, 1 - 0x1p-53};
    static const double coefficients[] = {2, 0, 1, 0.5, 3.7, 1e-3, 100, 5e-324, 1e30, DBL_MAX};
    static const double scales[] = {0, 1, 2, 1.1, 5e-324, 1e-40, 1e30};
    xn_problem *p = &q->p;
    const int last = q->hostile ? 9 : 4;
    p->epsilon = q->hostile && rng_chance(r, 30) ? epsilons[rng_int(r, 0, 5)] : 1e-7;
    p->classes_last = (p->inner == 1 || q->hostile) && rng_chance(r, 70);
    p->reduction = (xn_reduction)rng_int(r, XN_NONE, XN_WEIGHTED_MEAN);
    if (q->operation == SHAPED || q->operation == SHAPED_PROB)
        p->shape = (xn_shape)rng_int(r, XN_FOCAL, q->operation == SHAPED ? XN_POLY1 : XN_KL);
    p->coefficient = coefficients[rng_int(r, 0, last)];
    if (p->shape == XN_POLY1 && rng_chance(r, 30)) p->coefficient = -p->coefficient;
    p->hess_scale = scales[rng_int(r, 0, q->hostile ? 6 : 3)];
    p->alpha = rng_chance(r, 50) ? 0.25 : q->hostile && rng_chance(r, 10) ? special[rng_int(r, 5, 10)] : 1;
    if (rng_chance(r, 40)) p->label_smoothing = q->hostile ? smoothings[rng_int(r, 0, 5)] : 0.3 * rng_unit(r);
    if (p->shape == XN_KL) p->label_smoothing = 0;
    if (q->operation != BINARY) return;
    p->binary.from_probabilities = rng_chance(r, 40);
    p->binary.focal = rng_chance(r, 40);
    p->binary.balanced = rng_chance(r, 50);
    p->binary.share = rng_chance(r, 70) ? 0 : rng_chance(r, 50) ? 1 : 0.125;
}

/* Those that the operation has. Without targets there are only those that do not need any. */
static unsigned allowed_outputs(const problem *q, int bare) {
    const unsigned both = 1u << GRAD | 1u << LOSS, planes = 1u << PROB | 1u << LOG_PROB | 1u << LSE;
    const xn_binary *b = &q->p.binary;
    switch (q->operation) {
        case SOFTMAX: return bare ? planes : both | planes | 1u << HESS;
        case BINARY:
            if (bare) return 1u << PROB;
            return both | 1u << EACH | (b->focal || b->from_probabilities ? 0 : 1u << HESS);
        case SHAPED: return both | 1u << HESS;
        default: return both;
    }
}

static void draw_outputs(problem *q, rng *r) {
    xn_problem *p = &q->p;
    xn_array *const planes[] = {&p->grad, &p->hess, &p->prob, &p->log_prob};
    for (int output = 0; output < OUTPUTS; output++) {
        field *f = q->output + output;
        if (!wants(q, output)) continue;
        if (output == q->in_place) {
            *planes[output] = p->input;
        } else if (output < PLANES) {
            *planes[output] = place(r, f, written_as(p->dtype), q, 0);
        } else if (output == EACH) {
            p->binary.each = place(r, f, real_of(p->dtype), q, 0);
        } else {
            const xn_dtype dtype = (xn_dtype)rng_int(r, 0, 1);
            place_rows(r, f, dtype_size(dtype), q, 0);
            *(output == LOSS ? &p->loss : &p->lse) = (xn_row_array){f->origin, dtype, f->step[0], f->step[2]};
        }
    }
}

/* The gradient may overwrite the input; another plane only where it is the only one. */
static int draw_in_place(const problem *q, rng *r) {
    const unsigned planes = q->outputs & (1u << GRAD | 1u << HESS | 1u << PROB | 1u << LOG_PROB | 1u << EACH);
    if (!rng_chance(r, 30) || written_as(q->p.dtype) != q->p.dtype) return -1;
    if (wants(q, GRAD)) return GRAD;
    return planes == 1u << PROB ? PROB : planes == 1u << LOG_PROB ? LOG_PROB : -1;
}

void problem_draw(problem *q, rng *r) {
    xn_problem *p = &q->p;
    static float nothing;
    q->rows = p->outer * p->inner;
    make_room(q);
    draw_options(q, r);
    const int can_be_bare = (q->operation == SOFTMAX || q->operation == BINARY) && !q->force_labels;
    const int bare = can_be_bare && rng_chance(r, 10);
    const int may_be_labels = q->operation != BINARY || p->classes == 1;
    const int dense = !may_be_labels || (!q->force_labels && rng_chance(r, 40));
    q->outputs = (unsigned)rng_int(r, 0, (1 << OUTPUTS) - 1) & allowed_outputs(q, bare);
    if (bare && q->operation == BINARY) q->outputs = 1u << PROB;
    if (q->rows == 0) {
        p->input.data = &nothing;
        if (!bare) p->target.data = &nothing;
        if (bare && q->operation == BINARY) p->prob.data = &nothing;
        q->outputs = 0;
        problem_describe(q);
        return;
    }
    q->in_place = draw_in_place(q, r);
    p->input = place(r, &q->input, p->dtype, q, q->in_place < 0);
    if (dense && !bare) draw_targets(q, r);
    if (!dense && !bare) draw_labels(q, r);
    draw_input(q, r);
    if (!bare && rng_chance(r, 50)) draw_sample_weights(q, r);
    if (!bare && q->operation != BINARY && p->shape != XN_KL && rng_chance(r, 40))
        p->class_weight = draw_weights(q, r, &q->class_weight);
    if (!bare && q->operation == BINARY && !p->binary.focal && rng_chance(r, 30))
        p->binary.pos_weight = draw_weights(q, r, &q->pos_weight);
    save_input(q);
    read_back(q);
    draw_outputs(q, r);
    p->without_loss = !wants(q, LOSS) && !wants(q, EACH) && rng_chance(r, 50);
    problem_describe(q);
}

void problem_describe(const problem *q) {
    static const char *const operations[] = {"xn_softmax_ce", "xn_prob_ce", "xn_shaped_ce", "xn_shaped_prob",
                                             "xn_binary_ce"};
    static const char *const dtypes[] = {"float32", "float64", "float16", "bfloat16", "float64 to float32"};
    const xn_problem *p = &q->p;
    describe(
        "%s %s outer=%" PRId64 " classes=%" PRId64 " inner=%" PRId64 "%s input strides %" PRId64 ",%" PRId64 ",%" PRId64
        " %s labels=%s%s smoothing=%g epsilon=%g shape=%d coefficient=%g alpha=%g hess_scale=%g %s%s%s%s%s%s%s"
        "share=%g reduction=%d outputs=0x%x in place=%d",
        operations[q->operation], dtypes[p->dtype], p->outer, p->classes, p->inner, p->classes_last ? " (last)" : "",
        p->input.outer, p->input.cls, p->input.inner, p->target.data ? "dense" : "",
        p->labels.data ? label_types[p->labels.type].name : "no", p->has_ignored ? " ignored" : "", p->label_smoothing,
        p->epsilon, (int)p->shape, p->coefficient, p->alpha, p->hess_scale, p->sample_weight.data ? "weighted " : "",
        p->class_weight ? "class-weighted " : "", p->binary.pos_weight ? "positive-weighted " : "",
        p->binary.from_probabilities ? "from probabilities " : "", p->binary.focal ? "focal " : "",
        p->binary.balanced ? "balanced " : "", p->without_loss ? "without loss " : "", p->binary.share,
        (int)p->reduction, q->outputs, q->in_place);
}

int64_t problem_first_bad(const problem *q, int64_t *label) {
    for (int64_t row = 0; q->p.labels.data && row < q->rows; row++) {
        *label = problem_label(q, row);
        if (q->p.has_ignored && *label == q->p.ignored) continue;
        if ((uint64_t)*label >= (uint64_t)label_classes(q)) return row;
    }
    return -1;
}

void problem_spoil(problem *q, rng *r) {
    const xn_int_type type = q->p.labels.type;
    const int64_t row = rng_int(r, 0, q->rows - 1);
    int64_t bad = label_types[type].least < 0 && rng_chance(r, 50) ? label_types[type].least : label_types[type].most;
    if (rng_chance(r, 50)) bad = label_classes(q);
    if (q->p.has_ignored && q->p.ignored == bad) q->p.has_ignored = 0;
    put_label(q, row, bad);
    put_label(q, rng_int(r, row, q->rows - 1), bad); /* labels may share memory */
    int64_t label;
    if (problem_first_bad(q, &label) < 0) fail("no label became bad");
}
