/* SPDX-License-Identifier: BSD-3-Clause */
/* Draws random tiles, prepares their memory, takes the results out and checks them. */
#include "specimen.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const output_names[] = {"grad", "hess", "prob", "log_prob", "loss", "lse"};

/* Largest error as a fraction of its bound: logits, probabilities; and the same of the other shapes. */
static double worst[4][OUTPUTS];

int specimen_wants(const specimen *s, int output) {
    return (int)(s->outputs >> output & 1);
}

/* A field of rows x classes elements, and how a kernel sees it. */
static xn_plane place(rng *r, field *f, size_t element, int64_t rows, int64_t classes, int64_t row, int64_t cls) {
    field_place(r, f, element, (const int64_t[3]){rows, classes, 1}, (const int64_t[3]){row, cls, 0});
    return (xn_plane){f->origin, row, cls};
}

/* Strides. What is only read may go backwards or repeat itself. */
static void draw_strides(rng *r, int64_t rows, int64_t classes, int read_only, int64_t *row, int64_t *cls) {
    const int64_t gap = rng_chance(r, 50) ? rng_int(r, 1, 20) : 0;
    *row = classes + gap;
    *cls = 1;
    switch (rng_int(r, 0, read_only ? 9 : 5)) {
        case 1:
        case 2: *row = 1, *cls = rows + gap; break;
        case 3: *row = 2 * classes + gap, *cls = 2; break;
        case 4: *row = 2, *cls = 2 * rows + gap; break;
        case 6: *row = -2 * classes - gap, *cls = -2; break;
        case 7: *row = -*row; break;
        case 8: *row = 0; break;
        case 9: *row = 1, *cls = rng_chance(r, 50) ? 0 : -(rows + gap); break;
        default: break;
    }
}

/* Drawing. */

static void make_room(specimen *s) {
    const int64_t need = s->rows * s->classes;
    if (need <= s->room) return;
    s->room = 2 * need;
    s->x = resized(s->x, s->room, sizeof *s->x);
    s->u = resized(s->u, s->room, sizeof *s->u);
    for (int isa = 0; isa < MOST_ISAS; isa++)
        for (int output = 0; output < OUTPUTS; output++)
            s->result[isa][output] = resized(s->result[isa][output], s->room, sizeof(double));
}

static void draw_input(specimen *s, rng *r) {
    int64_t row, cls;
    draw_strides(r, s->rows, s->classes, s->in_place < 0, &row, &cls);
    s->tile.input = place(r, &s->input, dtype_size(s->dtype), s->rows, s->classes, row, cls);
    double *x = resized(NULL, s->classes, sizeof *x);
    for (int64_t i = 0; i < s->rows; i++) {
        draw_row(r, s->is_prob, s->dtype, s->classes, x);
        for (int64_t c = 0; c < s->classes; c++) field_put(&s->input, s->dtype, i, c, 0, x[c]);
    }
    free(x);
    /* Where strides are 0, rows have overwritten each other: what stands there now is the input. */
    for (int64_t i = 0; i < s->rows; i++)
        for (int64_t c = 0; c < s->classes; c++)
            s->x[i * s->classes + c] = (long double)field_get(&s->input, s->dtype, i, c, 0);
}

static void draw_dense(specimen *s, rng *r) {
    int64_t row, cls;
    draw_strides(r, s->rows, s->classes, !s->one_hot, &row, &cls);
    s->tile.target = place(r, &s->target, dtype_size(s->dtype), s->rows, s->classes, row, cls);
    for (int64_t i = 0; i < s->rows; i++) {
        const int64_t hot = rng_int(r, 0, s->classes - 1);
        for (int64_t c = 0; c < s->classes; c++) {
            const double some = rng_chance(r, 30) ? 0 : 2 * rng_unit(r) / (double)s->classes;
            field_put(&s->target, s->dtype, i, c, 0, s->one_hot ? (double)(c == hot) : some);
        }
    }
}

static void draw_row_inputs(specimen *s, rng *r) {
    const int64_t n = s->rows;
    s->tile.weight = place(r, &s->weight, sizeof(double), n, 1, 1, 1).data;
    const int unweighted = rng_chance(r, 30);
    for (int64_t i = 0; i < n; i++) {
        const int zero = s->some_dropped && rng_chance(r, 15);
        field_put(&s->weight, XN_FLOAT64, i, 0, 0, zero ? 0 : unweighted ? 1 : 0.3 + 2 * rng_unit(r));
    }
    if (s->kind != LABELS) return;
    s->tile.label = place(r, &s->label, sizeof(int64_t), n, 1, 1, 1).data;
    for (int64_t i = 0; i < n; i++) {
        const int64_t label = rng_int(r, 0, s->classes - 1);
        memcpy(field_at(&s->label, i, 0, 0), &label, sizeof label);
    }
}

int64_t specimen_label(const specimen *s, int64_t row) {
    return s->kind == LABELS ? s->tile.label[row] : -1;
}

double specimen_weight(const specimen *s, int64_t row) {
    return s->tile.weight[row];
}

/* The effective targets, from the definition in kernels.h. */
static void compute_targets(specimen *s) {
    for (int64_t i = 0; i < s->rows; i++)
        for (int64_t c = 0; c < s->classes; c++) {
            long double t = specimen_label(s, i) == c ? 1 : 0;
            if (s->kind == DENSE) t = (long double)field_get(&s->target, s->dtype, i, c, 0);
            t = (long double)s->tile.keep * t + (long double)s->tile.spread;
            if (s->class_weighted) t *= (long double)field_get(&s->class_weight, s->dtype, 0, c, 0);
            s->u[i * s->classes + c] = t;
        }
}

void specimen_draw(specimen *s) {
    rng r = rng_of(s->seed);
    const unsigned of_targets = 1u << GRAD | 1u << HESS | 1u << LOSS;
    make_room(s);
    if (s->is_prob || s->shape) s->outputs &= 1u << GRAD | 1u << LOSS | (s->is_prob ? 0 : 1u << HESS);
    const int choices = (s->outputs & of_targets) || s->is_prob || s->shape ? LABELS : NO_TARGETS;
    s->kind = (target_kind)rng_int(&r, choices, DENSE);
    s->one_hot = s->kind == DENSE && rng_chance(&r, 30);
    const int plain_targets = s->kind == NO_TARGETS || s->shape == XN_SHAPE_KL;
    s->smoothed = !plain_targets && rng_chance(&r, 40);
    /* The core turns the class weight of a row with one target into a weight of the row. */
    s->class_weighted = !plain_targets && (s->kind == DENSE || s->smoothed) && rng_chance(&r, 40);
    s->some_dropped = rng_chance(&r, 40);
    s->in_place = !s->is_prob && specimen_wants(s, GRAD) && rng_chance(&r, 30) ? GRAD : -1;
    const double smoothing = s->smoothed ? 0.3 * rng_unit(&r) : 0;
    static const double epsilons[] = {1e-7, 1e-7, 1e-3}, gammas[] = {2, 2, 0, 0.5, 1, 3.7};
    const double of_poly1 = 4 * rng_unit(&r) - 1, of_focal = gammas[rng_int(&r, 0, 5)];
    s->tile = (xn_tile){
        .rows = s->rows,
        .classes = s->classes,
        .keep = 1 - smoothing,
        .spread = smoothing / (double)s->classes,
        .grad_scale = rng_chance(&r, 50) ? 1 : 1 / (double)s->rows,
        .hess_scale = rng_chance(&r, 50) ? 1 : 2,
        .epsilon = epsilons[rng_int(&r, 0, 2)],
        .shape = s->shape,
        .coefficient = s->shape == XN_SHAPE_FOCAL ? of_focal : of_poly1,
        .alpha = rng_chance(&r, 50) ? 1 : 0.25,
        .streams = s->in_place < 0 && rng_chance(&r, 40),
    };
    draw_input(s, &r);
    draw_row_inputs(s, &r);
    if (s->kind == DENSE) draw_dense(s, &r);
    if (s->class_weighted) {
        s->tile.class_weight = place(&r, &s->class_weight, dtype_size(s->dtype), 1, s->classes, 0, 1).data;
        for (int64_t c = 0; c < s->classes; c++) field_put(&s->class_weight, s->dtype, 0, c, 0, 2 * rng_unit(&r));
    }
    compute_targets(s);
}

void specimen_describe(const specimen *s, const char *isa) {
    static const char *const kinds[] = {"no targets", "labels", "dense"};
    describe("%s %s isa=%s rows=%" PRId64 " classes=%" PRId64 " %s%s%s%s%s outputs=0x%x%s%s strides=%" PRId64
             ",%" PRId64 " shape=%d coefficient=%.17g alpha=%g epsilon=%g seed=0x%" PRIx64,
             s->kernel, s->dtype == XN_FLOAT32 ? "float32" : "float64", isa, s->rows, s->classes, kinds[s->kind],
             s->one_hot ? " one-hot" : "", s->smoothed ? " smoothed" : "", s->class_weighted ? " class-weighted" : "",
             s->some_dropped ? " dropped" : "", s->outputs, s->in_place < 0 ? "" : " in place",
             s->tile.streams ? " streams" : "", s->tile.input.row, s->tile.input.cls, s->shape, s->tile.coefficient,
             s->tile.alpha, s->tile.epsilon, s->seed);
}

/* Around a run. */

static int64_t width_of(const specimen *s, int output) {
    return output < PLANES ? s->classes : 1;
}

static xn_dtype dtype_of(const specimen *s, int output) {
    return output < PLANES ? s->dtype : XN_FLOAT64;
}

void specimen_prepare(specimen *s) {
    rng r = rng_of(s->seed ^ 0x5ca1ab1e); /* the same places for every ISA */
    xn_plane *planes[PLANES] = {&s->tile.grad, &s->tile.hess, &s->tile.prob, &s->tile.log_prob};
    s->tile.loss = s->tile.lse = NULL;
    if (s->in_place >= 0)
        for (int64_t i = 0; i < s->rows; i++)
            for (int64_t c = 0; c < s->classes; c++)
                field_put(&s->input, s->dtype, i, c, 0, (double)s->x[i * s->classes + c]);
    for (int output = 0; output < OUTPUTS; output++) {
        field *f = s->output + output;
        int64_t row = 1, cls = 1;
        if (output < PLANES) draw_strides(&r, s->rows, s->classes, 0, &row, &cls);
        if (output < PLANES) *planes[output] = (xn_plane){0};
        if (!specimen_wants(s, output)) continue;
        if (output == s->in_place) {
            *planes[output] = s->tile.input;
            continue;
        }
        const xn_plane plane = place(&r, f, dtype_size(dtype_of(s, output)), s->rows, width_of(s, output), row, cls);
        if (output < PLANES) *planes[output] = plane;
        if (output == LOSS) s->tile.loss = plane.data;
        if (output == LSE) s->tile.lse = plane.data;
    }
}

/* Inputs that only the kernel's mistakes could have changed. */
static void check_input(const specimen *s) {
    if (s->in_place >= 0) return;
    for (int64_t i = 0; i < s->rows; i++)
        for (int64_t c = 0; c < s->classes; c++)
            if (!same_bits((double)s->x[i * s->classes + c], field_get(&s->input, s->dtype, i, c, 0))) {
                fail("the input was written at row %" PRId64 ", class %" PRId64, i, c);
                return;
            }
}

void specimen_collect(specimen *s, int isa) {
    check_input(s);
    for (int output = 0; output < OUTPUTS; output++) {
        if (!specimen_wants(s, output)) continue;
        const field *f = output == s->in_place ? &s->input : s->output + output;
        const int64_t width = width_of(s, output);
        for (int64_t i = 0; i < s->rows; i++)
            for (int64_t c = 0; c < width; c++)
                s->result[isa][output][i * width + c] = field_take(f, dtype_of(s, output), i, c, 0);
        if (!field_untouched(f)) fail("%s was written outside of it", output_names[output]);
    }
}

/* Checks. */

truth specimen_truth(const specimen *s, int64_t row) {
    const int64_t label = specimen_label(s, row);
    return (truth){
        .dtype = s->dtype,
        .classes = s->classes,
        .x = s->x + row * s->classes,
        .u = s->kind == NO_TARGETS ? NULL : s->u + row * s->classes,
        .label = s->smoothed ? -1 : label,
        .plain = !s->smoothed && !s->class_weighted,
        .exact = s->one_hot && !s->smoothed && !s->class_weighted,
        .dropped = specimen_weight(s, row) == 0,
        .weight = specimen_weight(s, row),
        .grad_scale = s->tile.grad_scale,
        .hess_scale = s->tile.hess_scale,
        .epsilon = s->tile.epsilon,
        .shape = s->shape,
        .coefficient = s->tile.coefficient,
        .alpha = s->tile.alpha,
    };
}

static void check_values(const specimen *s, const char *isa, int output, int64_t row, const expected *e,
                         const double *got) {
    const int fused = is_fused(isa);
    for (int64_t c = 0; c < width_of(s, output); c++) {
        double ratio;
        const int right = is_expected(got[c], e[c], s->dtype, fused, &ratio);
        double *most = &worst[s->is_prob + (s->shape ? 2 : 0)][output];
        if (right && ratio > *most) *most = ratio;
        if (right) continue;
        specimen_describe(s, isa);
        fail("%s of row %" PRId64 ", class %" PRId64 " is %.17g, not %.20Lg; bound %.3Lg, label %" PRId64,
             output_names[output], row, c, got[c], e[c].value, e[c].bound, specimen_label(s, row));
        return;
    }
}

void specimen_check(specimen *s, int isas, const char *const *names) {
    if (!is_long_double_whole()) {
        for (int i = 0; i < isas * OUTPUTS; i++)
            if (specimen_wants(s, i % OUTPUTS))
                use_values(s->result[i / OUTPUTS][i % OUTPUTS], s->rows * width_of(s, i % OUTPUTS));
        return;
    }
    expected *buffer = resized(NULL, s->classes * PLANES, sizeof *buffer);
    for (int64_t row = 0; row < s->rows; row++) {
        truth t = specimen_truth(s, row);
        for (int plane = 0; plane < PLANES; plane++) t.plane[plane] = buffer + plane * s->classes;
        if (s->shape && s->is_prob) {
            truth_shaped_prob(&t);
        } else if (s->shape) {
            truth_shaped_softmax(&t);
        } else if (s->is_prob) {
            truth_prob(&t);
        } else {
            truth_softmax(&t);
        }
        for (int isa = 0; isa < isas; isa++)
            for (int output = 0; output < OUTPUTS; output++) {
                if (!specimen_wants(s, output)) continue;
                const expected *e = output == LOSS ? &t.loss : output == LSE ? &t.lse : t.plane[output];
                check_values(s, names[isa], output, row, e, s->result[isa][output] + row * width_of(s, output));
            }
    }
    free(buffer);
}

void specimen_compare(const specimen *s, int one, int other, const char *what) {
    for (int output = 0; output < OUTPUTS; output++) {
        if (!specimen_wants(s, output)) continue;
        const double *a = s->result[one][output], *b = s->result[other][output];
        for (int64_t i = 0; i < s->rows * width_of(s, output); i++) {
            if (same_bits(a[i], b[i])) continue;
            fail("%s: %s differ at element %" PRId64 ": %a and %a", what, output_names[output], i, a[i], b[i]);
            return;
        }
    }
}

void print_worst(void) {
    for (int operation = 0; operation < 4; operation++) {
        printf("largest errors %sfrom %s, as fractions of their bounds:", operation > 1 ? "of other shapes " : "",
               operation % 2 ? "probabilities" : "logits");
        for (int output = 0; output < OUTPUTS; output++)
            if (worst[operation][output] > 0) printf(" %s %.2f", output_names[output], worst[operation][output]);
        printf("\n");
    }
}
