/* SPDX-License-Identifier: BSD-3-Clause */
/* float16 and bfloat16 in memory: the bits of the float32 problem on the same values, rounded once where they are
 * stored; on every instruction set, in every layout, between guard pages.
 *
 *     xent_test_halves [problems per shape [seed]] */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "field.h"
#include "halves.h"

/* A problem twice: [0] as float32, [1] as a half type. */
enum { INPUT, TARGET, GRAD, HESS, PROB, LOG_PROB, PLANES };
typedef struct {
    xn_problem p;
    field plane[PLANES];
    double *loss;
} twin;

static twin twins[2];
static int64_t *labels;
static int64_t size[3];

static void draw_steps(rng *r, int64_t step[3]) {
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

static void place_plane(rng *r, int plane, xn_dtype half) {
    for (int i = 0; i < 2; i++) {
        int64_t step[3];
        draw_steps(r, step);
        field_place(r, &twins[i].plane[plane], i ? 2 : 4, size, step);
        xn_array *const arrays[PLANES] = {&twins[i].p.input, &twins[i].p.target, &twins[i].p.grad,
                                          &twins[i].p.hess,  &twins[i].p.prob,   &twins[i].p.log_prob};
        *arrays[plane] = array_of(&twins[i].plane[plane]);
    }
    (void)half;
}

#define FOR_EACH(i, j, k)                     \
    for (int64_t i = 0; i < size[0]; i++)     \
        for (int64_t j = 0; j < size[1]; j++) \
            for (int64_t k = 0; k < size[2]; k++)

static void fill(rng *r, int plane, xn_dtype half, int positive) {
    FOR_EACH(i, j, k) {
        const double drawn = rng_normal(r) * (rng_chance(r, 2) ? 20 : 3);
        const double value = half_rounded(half, positive ? (rng_chance(r, 10) ? 0 : exp(drawn) * 0.1) : drawn);
        const uint16_t bits = half_bits(half, value);
        field_put(&twins[0].plane[plane], XN_FLOAT32, i, j, k, value);
        memcpy(field_at(&twins[1].plane[plane], i, j, k), &bits, sizeof bits);
    }
}

static void compare(int plane, xn_dtype half) {
    FOR_EACH(i, j, k) {
        uint16_t bits;
        char *const at = field_at(&twins[1].plane[plane], i, j, k);
        memcpy(&bits, at, sizeof bits);
        memset(at, UNTOUCHED, sizeof bits);
        const double wanted = half_rounded(half, field_take(&twins[0].plane[plane], XN_FLOAT32, i, j, k));
        const double got = half_value(half, bits);
        if (!(got == wanted || (isnan(got) && isnan(wanted))))
            fail("plane %d at (%ld, %ld, %ld) is %.9g, not %.9g", plane, (long)i, (long)j, (long)k, got, wanted);
    }
    for (int t = 0; t < 2; t++)
        if (!field_untouched(&twins[t].plane[plane])) fail("stray writes beside plane %d of twin %d", plane, t);
}

static void run_twins(rng *r, xn_dtype half, int is_prob, int dense) {
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
                                  .dtype = i ? half : XN_FLOAT32,
                                  .label_smoothing = smoothing,
                                  .epsilon = 1e-7,
                                  .reduction = XN_MEAN,
                                  .n_threads = threads,
                                  .loss = {twins[i].loss, XN_FLOAT64, size[2], 1}};
        if (!dense) twins[i].p.labels = (xn_labels){labels, XN_INT64, size[2], 1};
    }
    const int outputs = (int)rng_int(r, 1, 15);
    const int wanted[PLANES] = {1, dense, outputs & 1, outputs & 2, outputs & 4, outputs & 8};
    for (int plane = 0; plane < PLANES; plane++)
        if (wanted[plane] && !(is_prob && plane > GRAD)) place_plane(r, plane, half);
    fill(r, INPUT, half, is_prob);
    if (dense) fill(r, TARGET, half, 1);
    describe("%s, %s, %s, shape (%ld, %ld, %ld), outputs %d, smoothing %g, isa %s",
             half == XN_FLOAT16 ? "float16" : "bfloat16", is_prob ? "probabilities" : "logits",
             dense ? "dense" : "labels", (long)size[0], (long)size[1], (long)size[2], outputs, smoothing, xn_isa());
    for (int i = 0; i < 2; i++) {
        const xn_status status = is_prob ? xn_prob_ce(&twins[i].p) : xn_softmax_ce(&twins[i].p);
        if (status != XN_OK) fail("%s", xn_status_text(status));
    }
    for (int64_t row = 0; row < rows; row++)
        if (!same_bits(twins[0].loss[row], twins[1].loss[row]))
            fail("loss of row %ld is %a, not %a", (long)row, twins[1].loss[row], twins[0].loss[row]);
    if (!same_bits(twins[0].p.reduced, twins[1].p.reduced)) fail("the mean differs");
    for (int plane = GRAD; plane < PLANES; plane++)
        if (wanted[plane] && !(is_prob && plane > GRAD)) compare(plane, half);
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
                for (int kind = 0; kind < 8; kind++)
                    run_twins(&r, kind & 1 ? XN_FLOAT16 : XN_BFLOAT16, kind & 2, kind & 4);
        }
    }
    return finish_tests("half types");
}
