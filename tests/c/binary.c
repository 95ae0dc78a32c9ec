/* SPDX-License-Identifier: BSD-3-Clause */
/* One random tile for the binary kernels: how it is drawn, run and checked. The truth is the textbook's formula in long
 * double: truth_binary.c. */
#include "binary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "field.h"
#include "truth_binary.h"

enum { EACH = LOG_PROB, LOSS = PLANES, RESULTS, ISAS = MOST_ISAS + 1 }; /* the last "ISA": one row alone */

static field input, target, pos_weight, weight, loss, plane[PLANES];
static double *x, *t, *result[ISAS][RESULTS];
static int64_t room;

typedef struct {
    xn_tile tile;
    xn_dtype dtype;
    int in_place; /* the plane that overwrites the input, or -1 */
    int wants[RESULTS];
} draw;

static void make_room(int64_t elements) {
    if (elements <= room) return;
    room = elements;
    x = resized(x, room, sizeof *x);
    t = resized(t, room, sizeof *t);
    for (int i = 0; i < ISAS; i++)
        for (int r = 0; r < RESULTS; r++) result[i][r] = resized(result[i][r], room, sizeof(double));
}

/* Classes together, rows together, or both apart. */
static xn_plane place(rng *r, field *f, xn_dtype dtype, int64_t rows, int64_t classes) {
    const int64_t gap = rng_chance(r, 50) ? 0 : rng_int(r, 1, 9), apart = rng_chance(r, 80) ? 1 : 2;
    const int across = rng_chance(r, 40);
    const int64_t step[3] = {across ? apart : classes * apart + gap, across ? rows * apart + gap : apart, 0};
    const int64_t size[3] = {rows, classes, 1};
    field_place(r, f, dtype_size(dtype), size, step);
    return (xn_plane){f->origin, f->step[0], f->step[1]};
}

static double drawn_logit(rng *r) {
    const double special[] = {INFINITY, -INFINITY, 0.0, -0.0, 3e38, -3e38, 1e-40, -88.0, 88.0, 1e4, -1e4};
    if (rng_chance(r, 3)) return special[rng_int(r, 0, 10)];
    return rng_chance(r, 1) ? NAN : rng_normal(r) * (rng_chance(r, 30) ? 30 : 3);
}

static double drawn_probability(rng *r) {
    const double special[] = {0.0, 1.0, 1e-7, 1 - 1e-7, 1e-30, 0.5, NAN};
    return rng_chance(r, 5) ? special[rng_int(r, 0, 6)] : rng_unit(r);
}

static void draw_tile(draw *d, rng *r, int64_t rows, int64_t classes) {
    xn_tile *tile = &d->tile;
    const int64_t row_size[3] = {rows, 1, 1}, class_size[3] = {classes, 1, 1}, one[3] = {1, 0, 0};
    *tile = (xn_tile){.rows = rows, .classes = classes, .share = 1 / (double)classes, .epsilon = 1e-7};
    tile->kind = (xn_binary_kind)rng_int(r, XN_LOGITS, XN_SIGMOID);
    const int logits = tile->kind == XN_LOGITS || tile->kind == XN_FOCAL_LOGITS || tile->kind == XN_SIGMOID;
    const int hard = rng_chance(r, 50);
    tile->input = place(r, &input, d->dtype, rows, classes);
    if (tile->kind != XN_SIGMOID) tile->target = place(r, &target, d->dtype, rows, classes);
    tile->smoothing = rng_chance(r, 30) ? 0.1 : 0;
    tile->coefficient = rng_chance(r, 50) ? 2 : 0.5 * (double)rng_int(r, 0, 8);
    tile->alpha = 0.25;
    tile->balanced = rng_chance(r, 50);
    tile->grad_scale = rng_chance(r, 50) ? 1 : 1 / (double)rows;
    field_place(r, &weight, sizeof(double), row_size, one);
    const int weighted = rng_chance(r, 40);
    for (int64_t i = 0; i < rows; i++)
        field_put(&weight, XN_FLOAT64, i, 0, 0, !weighted ? 1 : rng_chance(r, 20) ? 0 : rng_unit(r) + 0.1);
    tile->weight = (const double *)(const void *)weight.origin;
    if (rng_chance(r, 30) && (tile->kind == XN_LOGITS || tile->kind == XN_PROBABILITIES)) {
        field_place(r, &pos_weight, dtype_size(d->dtype), class_size, one);
        for (int64_t c = 0; c < classes; c++) field_put(&pos_weight, d->dtype, c, 0, 0, 0.5 + rng_unit(r));
        tile->pos_weight = pos_weight.origin;
    }
    const int sigmoid = tile->kind == XN_SIGMOID;
    const int wants[RESULTS] = {!sigmoid && rng_chance(r, 70), tile->kind == XN_LOGITS && rng_chance(r, 30), sigmoid,
                                !sigmoid && rng_chance(r, 30), !sigmoid};
    memcpy(d->wants, wants, sizeof wants);
    d->in_place = logits && rng_chance(r, 20) ? (sigmoid ? PROB : wants[GRAD] ? GRAD : -1) : -1;
    tile->streams = d->in_place < 0 && rng_chance(r, 30);
    for (int p = 0; p < PLANES; p++) {
        xn_plane *const planes[PLANES] = {&tile->grad, &tile->hess, &tile->prob, &tile->each};
        if (!d->wants[p]) continue;
        *planes[p] = p == d->in_place ? tile->input : place(r, &plane[p], d->dtype, rows, classes);
    }
    if (d->wants[LOSS]) {
        field_place(r, &loss, sizeof(double), row_size, one);
        tile->loss = (double *)(void *)loss.origin;
    }
    make_room(rows * classes);
    for (int64_t k = 0; k < rows * classes; k++) {
        x[k] = logits ? drawn_logit(r) : drawn_probability(r);
        t[k] = hard ? (double)rng_int(r, 0, 1) : rng_unit(r);
    }
}

static void fill(const draw *d) {
    for (int64_t i = 0; i < d->tile.rows; i++)
        for (int64_t c = 0; c < d->tile.classes; c++) {
            const int64_t k = i * d->tile.classes + c;
            field_put(&input, d->dtype, i, c, 0, x[k]);
            x[k] = field_get(&input, d->dtype, i, c, 0);
            if (d->tile.kind == XN_SIGMOID) continue;
            field_put(&target, d->dtype, i, c, 0, t[k]);
            t[k] = field_get(&target, d->dtype, i, c, 0);
        }
}

static void collect(const draw *d, int isa, int64_t first, int64_t rows) {
    for (int p = 0; p < PLANES; p++) {
        const field *f = p == d->in_place ? &input : &plane[p];
        if (!d->wants[p]) continue;
        for (int64_t i = first; i < first + rows; i++)
            for (int64_t c = 0; c < d->tile.classes; c++)
                result[isa][p][i * d->tile.classes + c] = field_take(f, d->dtype, i, c, 0);
        if (p != d->in_place && !field_untouched(f)) fail("stray writes beside plane %d", p);
    }
    for (int64_t i = first; d->wants[LOSS] && i < first + rows; i++)
        result[isa][LOSS][i] = field_take(&loss, XN_FLOAT64, i, 0, 0);
    if (d->wants[LOSS] && !field_untouched(&loss)) fail("stray writes beside the losses");
}

static truth_element element_of(const draw *d, int64_t row, int64_t cls) {
    const xn_tile *tile = &d->tile;
    const int64_t k = row * tile->classes + cls;
    const double w = field_get(&weight, XN_FLOAT64, row, 0, 0);
    truth_element e = {.kind = tile->kind,
                       .dtype = d->dtype,
                       .smoothing = tile->smoothing,
                       .epsilon = tile->epsilon,
                       .coefficient = tile->coefficient,
                       .alpha = tile->alpha,
                       .balanced = tile->balanced,
                       .x = x[k],
                       .target = t[k],
                       .pos_weight = tile->pos_weight ? field_get(&pos_weight, d->dtype, cls, 0, 0) : 1,
                       .weight = w,
                       .scale = (long double)(w * tile->grad_scale * tile->share)};
    truth_binary(&e);
    return e;
}

static void check(const char *what, double got, expected e, const draw *d) {
    double ratio;
    if (!is_expected(got, e, d->dtype, 1, &ratio))
        fail("%s is %.17g, not %.20Lg; bound %.3Lg", what, got, e.value, e.bound);
}

static void check_tile(const draw *d, int isa) {
    if (!is_long_double_whole()) {
        for (int r = 0; r < RESULTS; r++)
            if (d->wants[r]) use_values(result[isa][r], d->tile.rows * (r == LOSS ? 1 : d->tile.classes));
        return;
    }
    for (int64_t i = 0; i < d->tile.rows; i++) {
        const double w = field_get(&weight, XN_FLOAT64, i, 0, 0);
        expected sum = {0};
        for (int64_t c = 0; c < d->tile.classes; c++) {
            const int64_t k = i * d->tile.classes + c;
            const truth_element e = element_of(d, i, c);
            sum.value += e.loss.value;
            sum.bound += e.loss.bound;
            if (e.loss.freedom > sum.freedom) sum.freedom = e.loss.freedom;
            if (d->wants[PROB]) check("sigmoid", result[isa][PROB][k], e.prob, d);
            if (d->wants[GRAD]) check("gradient", result[isa][GRAD][k], e.grad, d);
            if (d->wants[HESS]) check("Hessian", result[isa][HESS][k], e.hess, d);
            if (d->wants[EACH]) check("element", result[isa][EACH][k], e.each, d);
        }
        const long double factor = (long double)(w * d->tile.share);
        sum.value *= factor;
        sum.bound *= factor;
        if (d->wants[LOSS]) check("loss", result[isa][LOSS][i], w == 0 ? within(0, 0) : sum, d);
    }
}

static void compare(const draw *d, int isa, int64_t first, int64_t rows, const char *what) {
    for (int r = 0; r < RESULTS; r++) {
        const int64_t width = r == LOSS ? 1 : d->tile.classes;
        for (int64_t k = first * width; d->wants[r] && k < (first + rows) * width; k++)
            if (!same_bits(result[0][r][k], result[isa][r][k])) {
                fail("%s: result %d at %ld is %a, not %a", what, r, (long)k, result[isa][r][k], result[0][r][k]);
                return;
            }
    }
}

/* A row's results depend on that row alone. */
static void run_alone(const draw *d, xn_kernel *kernel, int64_t row) {
    xn_tile tile = d->tile;
    const int64_t size = (int64_t)dtype_size(d->dtype);
    xn_plane *planes[] = {&tile.input, &tile.target, &tile.grad, &tile.hess, &tile.prob, &tile.each};
    for (size_t i = 0; i < sizeof planes / sizeof planes[0]; i++)
        if (planes[i]->data) planes[i]->data = (char *)planes[i]->data + row * planes[i]->row * size;
    tile.rows = 1;
    tile.weight += row;
    if (tile.loss) tile.loss += row;
    fill(d);
    kernel(&tile);
    collect(d, ISAS - 1, row, 1);
    compare(d, ISAS - 1, row, 1, "one row alone");
}

void run_binary_tile(const kernel_set *k, xn_dtype dtype, int64_t rows, int64_t classes, uint64_t seed) {
    rng r = rng_of(seed);
    draw d = {.dtype = dtype};
    draw_tile(&d, &r, rows, classes);
    for (int isa = 0; isa < k->count; isa++) {
        describe("%s %s, dtype %d, %ld rows, %ld classes, kind %d, smoothing %g, gamma %g, seed %lu", k->name,
                 k->isas[isa], (int)dtype, (long)rows, (long)classes, (int)d.tile.kind, d.tile.smoothing,
                 d.tile.coefficient, (unsigned long)seed);
        fill(&d);
        k->kernel[isa](&d.tile);
        collect(&d, isa, 0, rows);
        check_tile(&d, isa);
        if (isa > 0 && is_fused(k->isas[isa])) compare(&d, isa, 0, rows, "against the first ISA");
    }
    run_alone(&d, k->kernel[0], rng_int(&r, 0, rows - 1));
}
