/* SPDX-License-Identifier: BSD-3-Clause */
/* Draws random problems for the core, runs them, keeps their results and checks them. */
#include "problem.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const output_names[] = {"grad", "hess", "prob", "log_prob", "loss", "lse"};

static const struct {
    const char *name;
    size_t size;
    int64_t least, most; /* most of uint64, as int64: the bits count */
} label_types[] = {
    {"int8", 1, INT8_MIN, INT8_MAX},    {"uint8", 1, 0, UINT8_MAX},
    {"int16", 2, INT16_MIN, INT16_MAX}, {"uint16", 2, 0, UINT16_MAX},
    {"int32", 4, INT32_MIN, INT32_MAX}, {"uint32", 4, 0, UINT32_MAX},
    {"int64", 8, INT64_MIN, INT64_MAX}, {"uint64", 8, 0, -1},
};

static int wants(const problem *q, int output) {
    return (int)(q->outputs >> output & 1);
}

/* Strides of an (outer, classes, inner) array. What is only read may go backwards or repeat itself. */
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
    if (!read_only) return;
    for (int d = 0; d < 3; d++)
        if (rng_chance(r, 10)) step[d] = -step[d];
    if (rng_chance(r, 5)) step[2 * rng_int(r, 0, 1)] = 0;
}

static xn_array place(rng *r, field *f, const problem *q, int read_only) {
    const int64_t size[3] = {q->p.outer, q->p.classes, q->p.inner};
    int64_t step[3];
    draw_steps(r, size, read_only, step);
    field_place(r, f, dtype_size(q->p.dtype), size, step);
    return (xn_array){f->origin, step[0], step[1], step[2]};
}

/* A value for each row. */
static void place_rows(rng *r, field *f, size_t element, const problem *q, int read_only) {
    const int64_t size[3] = {q->p.outer, 1, q->p.inner};
    int64_t step[3];
    draw_steps(r, size, read_only, step);
    field_place(r, f, element, size, step);
}

static int64_t outer_of(const problem *q, int64_t row) {
    return row / q->p.inner;
}

static int64_t inner_of(const problem *q, int64_t row) {
    return row % q->p.inner;
}

static double get(const problem *q, const field *f, int64_t row, int64_t cls) {
    return field_get(f, q->p.dtype, outer_of(q, row), cls, inner_of(q, row));
}

/* Little-endian or not: through the type itself. */
static void put_label(const problem *q, int64_t row, int64_t value) {
    char *to = field_at(&q->labels, outer_of(q, row), 0, inner_of(q, row));
    const int8_t one = (int8_t)value;
    const int16_t two = (int16_t)value;
    const int32_t four = (int32_t)value;
    switch (q->labels.element) {
        case 1: memcpy(to, &one, 1); break;
        case 2: memcpy(to, &two, 2); break;
        case 4: memcpy(to, &four, 4); break;
        default: memcpy(to, &value, 8); break;
    }
}

static int64_t get_label(const problem *q, int64_t row) {
    const char *from = field_at(&q->labels, outer_of(q, row), 0, inner_of(q, row));
    const int is_signed = label_types[q->p.labels.type].least < 0;
    int8_t one;
    int16_t two;
    int32_t four;
    int64_t eight;
    switch (q->labels.element) {
        case 1: memcpy(&one, from, 1); return is_signed ? one : (int64_t)(uint8_t)one;
        case 2: memcpy(&two, from, 2); return is_signed ? two : (int64_t)(uint16_t)two;
        case 4: memcpy(&four, from, 4); return is_signed ? four : (int64_t)(uint32_t)four;
        default: memcpy(&eight, from, 8); return eight;
    }
}

static void draw_labels(problem *q, rng *r) {
    xn_problem *p = &q->p;
    p->labels.type = q->force_labels ? q->forced_type : (xn_int_type)rng_int(r, 0, 7);
    const int64_t most = label_types[p->labels.type].most;
    place_rows(r, &q->labels, label_types[p->labels.type].size, q, 1);
    p->has_ignored = rng_chance(r, 50);
    const int64_t outside = label_types[p->labels.type].least < 0 ? (rng_chance(r, 50) ? -1 : -100) : most;
    const int64_t last = most >= 0 && most < p->classes - 1 ? most : p->classes - 1;
    p->ignored = rng_chance(r, 70) ? outside : rng_int(r, 0, last);
    for (int64_t row = 0; row < q->rows; row++)
        put_label(q, row, p->has_ignored && rng_chance(r, 20) ? p->ignored : rng_int(r, 0, last));
    p->labels.data = q->labels.origin;
    p->labels.outer = q->labels.step[0];
    p->labels.inner = q->labels.step[2];
}

static void draw_weights(problem *q, rng *r) {
    xn_problem *p = &q->p;
    if (rng_chance(r, 50)) {
        const xn_dtype dtype = (xn_dtype)rng_int(r, 0, 1);
        const int zero = rng_chance(r, 5);
        place_rows(r, &q->sample_weight, dtype_size(dtype), q, 1);
        p->sample_weight =
            (xn_row_array){q->sample_weight.origin, dtype, q->sample_weight.step[0], q->sample_weight.step[2]};
        for (int64_t row = 0; row < q->rows; row++)
            field_put(&q->sample_weight, dtype, outer_of(q, row), 0, inner_of(q, row),
                      zero || rng_chance(r, 10) ? 0 : 0.3 + 2 * rng_unit(r));
    }
    if (!rng_chance(r, 40)) return;
    field_place(r, &q->class_weight, dtype_size(p->dtype), (const int64_t[3]){1, p->classes, 1},
                (const int64_t[3]){0, 1, 0});
    for (int64_t c = 0; c < p->classes; c++)
        field_put(&q->class_weight, p->dtype, 0, c, 0, rng_chance(r, 5) ? 0 : 0.3 + 2 * rng_unit(r));
    p->class_weight = q->class_weight.origin;
}

/* Whether a row surely has a finite loss. */
static int is_tame(const double *x, int64_t classes, int is_prob) {
    double sum = 0;
    for (int64_t c = 0; c < classes; c++) sum += fabs(x[c]) > 1e30 ? NAN : x[c];
    return !isnan(sum) && !(is_prob && sum == 0);
}

static void draw_arrays(problem *q, rng *r, int dense) {
    xn_problem *p = &q->p;
    double *x = resized(NULL, p->classes, sizeof *x);
    const int tame = rng_chance(r, 50); /* else most sums are NaN, and tell nothing about reductions */
    p->input = place(r, &q->input, q, !q->in_place);
    if (q->in_place) p->grad = p->input;
    if (dense) p->target = place(r, &q->target, q, 1);
    for (int64_t row = 0; row < q->rows; row++) {
        do {
            draw_row(r, q->is_prob, p->dtype, p->classes, x);
        } while (tame && !is_tame(x, p->classes, q->is_prob));
        for (int64_t c = 0; c < p->classes; c++)
            field_put(&q->input, p->dtype, outer_of(q, row), c, inner_of(q, row), x[c]);
        for (int64_t c = 0; dense && c < p->classes; c++)
            field_put(&q->target, p->dtype, outer_of(q, row), c, inner_of(q, row),
                      rng_chance(r, 30) ? 0 : 2 * rng_unit(r) / (double)p->classes);
    }
    free(x);
}

/* What the problem means, read back from its memory: rows may share elements. */
static void read_back(problem *q) {
    const xn_problem *p = &q->p;
    for (int64_t row = 0; row < q->rows; row++) {
        q->label[row] = p->labels.data ? get_label(q, row) : -1;
        const int ignored = p->labels.data && p->has_ignored && q->label[row] == p->ignored;
        q->weight[row] = 1;
        if (p->sample_weight.data)
            q->weight[row] =
                field_get(&q->sample_weight, p->sample_weight.dtype, outer_of(q, row), 0, inner_of(q, row));
        if (ignored) q->label[row] = -1;
        for (int64_t c = 0; c < p->classes; c++) {
            q->x[row * p->classes + c] = get(q, &q->input, row, c);
            q->u[row * p->classes + c] = p->target.data ? get(q, &q->target, row, c) : (double)(q->label[row] == c);
        }
    }
}

void problem_draw(problem *q, rng *r) {
    xn_problem *p = &q->p;
    q->rows = p->outer * p->inner;
    const int64_t need = q->rows * p->classes;
    if (need >= q->room) {
        q->room = need + 1;
        q->x = resized(q->x, q->room, sizeof *q->x);
        q->u = resized(q->u, q->room, sizeof *q->u);
        q->weight = resized(q->weight, q->room, sizeof *q->weight);
        q->label = resized(q->label, q->room, sizeof *q->label);
        for (int i = 0; i < RESULTS * OUTPUTS; i++)
            q->values[i / OUTPUTS][i % OUTPUTS] = resized(q->values[i / OUTPUTS][i % OUTPUTS], q->room, sizeof(double));
    }
    q->outputs = (unsigned)rng_int(r, 0, (1 << OUTPUTS) - 1);
    if (q->is_prob) q->outputs &= 1u << GRAD | 1u << LOSS;
    const int bare = !q->is_prob && !q->force_labels && rng_chance(r, 10),
              dense = !q->force_labels && rng_chance(r, 40);
    if (bare) q->outputs &= ~(1u << GRAD | 1u << HESS | 1u << LOSS);
    p->epsilon = 1e-7;
    p->classes_last = p->inner == 1 && rng_chance(r, 70);
    p->reduction = (xn_reduction)rng_int(r, XN_NONE, XN_WEIGHTED_MEAN);
    q->in_place = !q->is_prob && wants(q, GRAD) && rng_chance(r, 30);
    if (q->rows > 0) draw_arrays(q, r, dense && !bare);
    if (q->rows > 0 && !bare && !dense) draw_labels(q, r);
    if (q->rows > 0 && !bare) draw_weights(q, r);
    if (!bare && rng_chance(r, 40)) p->label_smoothing = 0.3 * rng_unit(r);
    read_back(q);
    for (int output = 0; output < OUTPUTS; output++) {
        if (!wants(q, output) || q->rows == 0 || (output == GRAD && q->in_place)) continue;
        xn_array *const planes[] = {&p->grad, &p->hess, &p->prob, &p->log_prob};
        if (output < PLANES) {
            *planes[output] = place(r, q->output + output, q, 0);
            continue;
        }
        const xn_dtype dtype = (xn_dtype)rng_int(r, 0, 1);
        field *f = q->output + output;
        place_rows(r, f, dtype_size(dtype), q, 0);
        *(output == LOSS ? &p->loss : &p->lse) = (xn_row_array){f->origin, dtype, f->step[0], f->step[2]};
    }
    if (q->rows == 0) q->outputs = 0;
    describe("%s %s outer=%" PRId64 " classes=%" PRId64 " inner=%" PRId64 "%s input strides %" PRId64 ",%" PRId64
             ",%" PRId64 " %s labels=%s%s smoothing=%g %s%s reduction=%d outputs=0x%x%s",
             q->is_prob ? "xn_prob_ce" : "xn_softmax_ce", p->dtype == XN_FLOAT32 ? "float32" : "float64", p->outer,
             p->classes, p->inner, p->classes_last ? " (last)" : "", p->input.outer, p->input.cls, p->input.inner,
             p->target.data ? "dense" : "", p->labels.data ? label_types[p->labels.type].name : "no",
             p->has_ignored ? " ignored" : "", p->label_smoothing, p->sample_weight.data ? "weighted " : "",
             p->class_weight ? "class-weighted" : "", (int)p->reduction, q->outputs, q->in_place ? " in place" : "");
}

int64_t problem_spoil(problem *q, rng *r) {
    const xn_int_type type = q->p.labels.type;
    const int64_t classes = q->p.classes, row = rng_int(r, 0, q->rows - 1);
    int64_t bad = label_types[type].least < 0 && rng_chance(r, 50) ? label_types[type].least : label_types[type].most;
    if (rng_chance(r, 50)) bad = classes;
    if (q->p.has_ignored && q->p.ignored == bad) q->p.has_ignored = 0;
    put_label(q, row, bad);
    put_label(q, rng_int(r, row, q->rows - 1), bad);
    /* Labels may share memory, and without an ignored class more of them may be bad: find the first. */
    for (int64_t first = 0; first < q->rows; first++) {
        q->spoilt = get_label(q, first);
        if (q->p.has_ignored && q->spoilt == q->p.ignored) continue;
        if ((uint64_t)q->spoilt >= (uint64_t)classes) return first;
    }
    fail("no label became bad");
    return -1;
}

/* Where an output is. */
static const field *field_of(const problem *q, int output) {
    return output == GRAD && q->in_place ? &q->input : q->output + output;
}

xn_status problem_call(problem *q) {
    for (int output = 0; output < OUTPUTS; output++)
        if (wants(q, output)) memset(field_of(q, output)->data, UNTOUCHED, field_of(q, output)->bytes);
    if (q->in_place)
        for (int64_t row = 0; row < q->rows; row++)
            for (int64_t c = 0; c < q->p.classes; c++)
                field_put(&q->input, q->p.dtype, outer_of(q, row), c, inner_of(q, row), q->x[row * q->p.classes + c]);
    return q->is_prob ? xn_prob_ce(&q->p) : xn_softmax_ce(&q->p);
}

int problem_is_untouched(const problem *q) {
    int untouched = 1;
    for (int output = 0; output < OUTPUTS; output++)
        if (wants(q, output) && field_of(q, output) != &q->input) untouched &= field_untouched(q->output + output);
    for (int64_t i = 0; i < q->rows * q->p.classes; i++)
        untouched &= same_bits(q->x[i], get(q, &q->input, i / q->p.classes, i % q->p.classes));
    return untouched;
}

static xn_dtype dtype_of(const problem *q, int output) {
    return output == LOSS ? q->p.loss.dtype : output == LSE ? q->p.lse.dtype : q->p.dtype;
}

static int64_t width_of(const problem *q, int output) {
    return output < PLANES ? q->p.classes : 1;
}

void problem_run(problem *q, result into) {
    const xn_status status = problem_call(q);
    if (status != XN_OK) fail("status %d: %s", (int)status, xn_status_text(status));
    q->reduced[into] = q->p.reduced;
    for (int output = 0; output < OUTPUTS; output++) {
        if (!wants(q, output)) continue;
        const field *f = field_of(q, output);
        const int64_t width = width_of(q, output);
        for (int64_t row = 0; row < q->rows; row++)
            for (int64_t c = 0; c < width; c++)
                q->values[into][output][row * width + c] =
                    field_take(f, dtype_of(q, output), outer_of(q, row), c, inner_of(q, row));
        if (!field_untouched(f)) fail("%s was written outside of it", output_names[output]);
    }
}

void problem_keep(problem *q, result from, result into) {
    q->reduced[into] = q->reduced[from];
    for (int output = 0; output < OUTPUTS; output++)
        if (wants(q, output))
            memcpy(q->values[into][output], q->values[from][output],
                   (size_t)(q->rows * width_of(q, output)) * sizeof(double));
}

void problem_compare(const problem *q, result one, result other) {
    const char *what = other == BEST ? "instruction sets" : "numbers of threads";
    if (!same_bits(q->reduced[one], q->reduced[other]))
        fail("%s differ: reduced to %a and %a", what, q->reduced[one], q->reduced[other]);
    for (int output = 0; output < OUTPUTS; output++) {
        if (!wants(q, output)) continue;
        const double *a = q->values[one][output], *b = q->values[other][output];
        for (int64_t i = 0; i < q->rows * width_of(q, output); i++) {
            if (same_bits(a[i], b[i])) continue;
            fail("%s differ: %s %" PRId64 " is %a and %a (n_threads=%d)", what, output_names[output], i, a[i], b[i],
                 q->p.n_threads);
            return;
        }
    }
}
