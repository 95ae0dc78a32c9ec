/* SPDX-License-Identifier: BSD-3-Clause */
/* Narrow types in memory, float16 and bfloat16, and outputs in float32 of float64: the bits of the problem in the type
 * that is computed in on the same values, rounded once where they are stored; on every instruction set, in every
 * layout, between guard pages. Gradient and Hessian alone, without losses, have formulas of their own where float32
 * goes out: their float64 may differ in its last bits before it is rounded.
 *
 *     xent_test_halves [problems per shape [seed]] */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "field.h"
#include "halves.h"

/* A problem twice: [0] in the type that is computed in, [1] in a narrow one. */
enum { INPUT, TARGET, GRAD, HESS, PROB, LOG_PROB, PLANES };
typedef struct {
    xn_problem p;
    field plane[PLANES];
    double *loss;
} twin;

static twin twins[2];
static int64_t *labels;
static double *weights;
static int64_t size[3];
static int neighbours; /* rows are neighbours in all planes */

static void draw_steps(rng *r, int64_t step[3]) {
    if (neighbours) {
        const int rows = size[2] == 1 ? 0 : 2;
        step[rows] = 1;
        step[1] = size[rows] + (rng_chance(r, 80) ? 0 : rng_int(r, 1, 20));
        step[2 - rows] = step[1] * size[1];
        return;
    }
    static const int orders[][3] = {{0, 1, 2}, {1, 0, 2}, {2, 1, 0}, {0, 2, 1}};
    const int *order = orders[rng_int(r, 0, 3)];
    int64_t next = rng_chance(r, 70) ? 1 : rng_int(r, 2, 3);
    for (int i = 2; i >= 0; i--) {
        step[order[i]] = next;
        next = next * size[order[i]] + (rng_chance(r, 80) ? 0 : rng_int(r, 1, 20));
    }
}

static xn_array array_of(const field *f) {
    return (xn_array){f->origin, f->step[0], f->step[1], f->step[2]};
}

/* What the other twin is of. */
static xn_dtype wide(xn_dtype narrow) {
    return narrow == XN_FLOAT64_TO_FLOAT32 ? XN_FLOAT64 : XN_FLOAT32;
}

static double rounded(xn_dtype narrow, double value) {
    return narrow == XN_FLOAT64_TO_FLOAT32 ? (double)(float)value : half_rounded(narrow, value);
}

static void place_plane(rng *r, int plane, xn_dtype narrow) {
    for (int i = 0; i < 2; i++) {
        int64_t step[3];
        draw_steps(r, step);
        const xn_dtype dtype = i ? narrow : wide(narrow);
        field_place(r, &twins[i].plane[plane], dtype_size(plane < GRAD ? dtype : written_as(dtype)), size, step);
        xn_array *const arrays[PLANES] = {&twins[i].p.input, &twins[i].p.target, &twins[i].p.grad,
                                          &twins[i].p.hess,  &twins[i].p.prob,   &twins[i].p.log_prob};
        *arrays[plane] = array_of(&twins[i].plane[plane]);
    }
}

#define FOR_EACH(i, j, k)                     \
    for (int64_t i = 0; i < size[0]; i++)     \
        for (int64_t j = 0; j < size[1]; j++) \
            for (int64_t k = 0; k < size[2]; k++)

static void fill(rng *r, int plane, xn_dtype narrow, int positive) {
    FOR_EACH(i, j, k) {
        const double drawn = rng_normal(r) * (rng_chance(r, 2) ? 20 : 3);
        const double any = positive ? (rng_chance(r, 10) ? 0 : exp(drawn) * 0.1) : drawn;
        const double special = rng_chance(r, 50) ? (double)INFINITY : rng_chance(r, 50) ? (double)NAN : -800;
        const double odd = !positive && rng_chance(r, 1) ? special : any;
        const double value = narrow == XN_FLOAT64_TO_FLOAT32 ? odd : rounded(narrow, any);
        field_put(&twins[0].plane[plane], wide(narrow), i, j, k, value);
        field_put(&twins[1].plane[plane], narrow, i, j, k, value);
    }
}

static void compare(int plane, xn_dtype narrow) {
    const double off = twins[1].p.without_loss ? 0x1p-48 : 0;
    FOR_EACH(i, j, k) {
        const double whole = field_take(&twins[0].plane[plane], wide(narrow), i, j, k), wanted = rounded(narrow, whole);
        const double got = field_take(&twins[1].plane[plane], written_as(narrow), i, j, k);
        const double one = rounded(narrow, whole * (1 - off)), other = rounded(narrow, whole * (1 + off));
        const int right = (one <= got && got <= other) || (other <= got && got <= one);
        if (!(right || (isnan(got) && isnan(wanted))))
            fail("plane %d at (%ld, %ld, %ld) is %.9g, not %.9g", plane, (long)i, (long)j, (long)k, got, wanted);
    }
    for (int t = 0; t < 2; t++)
        if (!field_untouched(&twins[t].plane[plane])) fail("stray writes beside plane %d of twin %d", plane, t);
}

/* Sample weights, some of them 0, and a factor of the Hessian. */
static void draw_weights(rng *r, int64_t rows) {
    weights = resized(weights, rows, sizeof *weights);
    for (int64_t row = 0; row < rows; row++) weights[row] = rng_chance(r, 10) ? 0 : exp(3 * rng_normal(r));
    for (int i = 0; i < 2; i++) {
        twins[i].p.sample_weight = (xn_row_array){weights, XN_FLOAT64, size[2], 1};
        twins[i].p.hess_scale = 2;
    }
}

static void run_twins(rng *r, xn_dtype narrow, int is_prob, int dense) {
    const int64_t rows = size[0] * size[2];
    const int classes_last = size[2] == 1 && rng_chance(r, 90), threads = (int)rng_int(r, 1, 2);
    const double smoothing = rng_chance(r, 30) ? 0.1 : 0;
    labels = resized(labels, rows, sizeof *labels);
    for (int64_t row = 0; row < rows; row++) labels[row] = rng_int(r, 0, size[1] - 1);
    for (int i = 0; i < 2; i++) {
        twins[i].loss = resized(twins[i].loss, rows, sizeof(double));
        twins[i].p = (xn_problem){.outer = size[0],
                                  .classes = size[1],
                                  .inner = size[2],
                                  .classes_last = classes_last,
                                  .dtype = i ? narrow : wide(narrow),
                                  .label_smoothing = smoothing,
                                  .epsilon = 1e-7,
                                  .reduction = XN_MEAN,
                                  .n_threads = threads,
                                  .loss = {twins[i].loss, XN_FLOAT64, size[2], 1}};
        if (!dense) twins[i].p.labels = (xn_labels){labels, XN_INT64, size[2], 1};
    }
    const int alone = narrow == XN_FLOAT64_TO_FLOAT32 && !is_prob && !dense && rng_chance(r, 50);
    neighbours = alone && rng_chance(r, 80);
    const int outputs = alone ? 3 : (int)rng_int(r, 1, 15);
    if (alone) {
        draw_weights(r, rows);
        twins[1].p.loss.data = NULL;
        twins[1].p.without_loss = 1;
    }
    const int wanted[PLANES] = {1, dense, outputs & 1, outputs & 2, outputs & 4, outputs & 8};
    for (int plane = 0; plane < PLANES; plane++)
        if (wanted[plane] && !(is_prob && plane > GRAD)) place_plane(r, plane, narrow);
    fill(r, INPUT, narrow, is_prob);
    if (dense) fill(r, TARGET, narrow, 1);
    describe("%s, %s, %s, shape (%ld, %ld, %ld), outputs %d, smoothing %g, isa %s",
             narrow == XN_FLOAT16    ? "float16"
             : narrow == XN_BFLOAT16 ? "bfloat16"
                                     : "float64 to float32",
             is_prob ? "probabilities" : "logits", dense ? "dense" : "labels", (long)size[0], (long)size[1],
             (long)size[2], outputs, smoothing, xn_isa());
    for (int i = 0; i < 2; i++) {
        const xn_status status = is_prob ? xn_prob_ce(&twins[i].p) : xn_softmax_ce(&twins[i].p);
        if (status != XN_OK) fail("%s", xn_status_text(status));
    }
    for (int64_t row = 0; row < rows && !alone; row++)
        if (!same_bits(twins[0].loss[row], twins[1].loss[row]))
            fail("loss of row %ld is %a, not %a", (long)row, twins[1].loss[row], twins[0].loss[row]);
    if (!alone && !same_bits(twins[0].p.reduced, twins[1].p.reduced)) fail("the mean differs");
    for (int plane = GRAD; plane < PLANES; plane++)
        if (wanted[plane] && !(is_prob && plane > GRAD)) compare(plane, narrow);
}

int main(int argc, char **argv) {
    static const int64_t shapes[][3] = {{1, 1, 1},    {5, 3, 1},     {37, 10, 1},   {70, 112, 1},
                                        {3, 20, 25},  {2, 130, 40},  {20, 113, 1},  {9, 1000, 1},
                                        {3, 2049, 1}, {2, 40000, 1}, {1, 140001, 1}};
    const int times = argc > 1 ? atoi(argv[1]) : 12;
    rng r = rng_of(argc > 2 ? strtoull(argv[2], NULL, 0) : 1);
    install_crash_handler();
    for (int isa = 0; xn_isa_name(isa); isa++) {
        if (!xn_isa_supported(isa)) continue;
        xn_set_isa(xn_isa_name(isa));
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            memcpy(size, shapes[s], sizeof size);
            for (int n = 0; n < (size[1] > 5000 ? 1 : times); n++)
                for (int kind = 0; kind < 12; kind++) {
                    static const xn_dtype narrow[] = {XN_FLOAT16, XN_BFLOAT16, XN_FLOAT64_TO_FLOAT32};
                    run_twins(&r, narrow[kind % 3], kind / 3 & 1, kind / 6);
                }
        }
    }
    return finish_tests("narrow types");
}
