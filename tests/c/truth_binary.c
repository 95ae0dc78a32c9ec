/* SPDX-License-Identifier: BSD-3-Clause */
/* Binary cross-entropy, its focal form and the sigmoid by the textbook's formulas in long double, with error bounds.
 *
 * In half ulps of the type, of the sizes of both terms: u and v have three roundings each, exp and log up to two ulp,
 * products and sums some more: 24 in all. An exponent gamma log m, rounded three times in float64, is as many half ulps
 * of its power. What underflows is not worth more than the smallest normal number.
 *
 * Targets, weights and scales may be any numbers: those that do not fit into the type, or whose products do not, make
 * results that are not told, and so do targets outside of [0, 1] of the focal form, whose power has no meaning. */
#include "truth_binary.h"

#include <float.h>
#include <math.h>

typedef struct {
    long double h, normal, tiny, most;
} units;

/* Two terms, of positives and of negatives: their factors, and the sizes of what these are made of. */
typedef struct {
    long double u, v, u_size, v_size;
} pair;

static units units_of(const truth_element *e) {
    return e->dtype == XN_FLOAT32 ? (units){0x1p-24L, 0x1p-126L, 0x1p-149L, 0x1p124L}
                                  : (units){0x1p-53L, (long double)0x1p-1022, (long double)0x1p-1074, 0x1p1020L};
}

static int from_logits(const truth_element *e) {
    return e->kind == XN_LOGITS || e->kind == XN_FOCAL_LOGITS || e->kind == XN_SIGMOID;
}

static int is_focal(const truth_element *e) {
    return e->kind == XN_FOCAL_LOGITS || e->kind == XN_FOCAL_PROBABILITIES;
}

static pair factors(const truth_element *e) {
    const long double s = (long double)e->smoothing, t = (long double)e->target, w = (long double)e->pos_weight;
    return (pair){w * (t * (1 - s) + s / 2), (1 - t) * (1 - s) + s / 2, fabsl(w) * (fabsl(t) * (1 - s) + s / 2),
                  fabsl(1 - t) * (1 - s) + s / 2};
}

static long double product(long double factor, long double value) {
    return factor == 0 ? 0 : factor * value;
}

/* On which side of the bounds a probability is clipped: a bound itself counts as inside. 1 - epsilon is that of
 * double. */
static int side(const truth_element *e) {
    const double high = e->epsilon > 0 && 1 - e->epsilon == 1 ? 1 - 0x1p-53 : 1 - e->epsilon;
    return e->x < e->epsilon ? -1 : e->x > high ? 1 : 0;
}

/* -log p and -log(1 - p), of clipped p. */
static void logs(const truth_element *e, long double *yes, long double *no) {
    const long double x = (long double)e->x, low = (long double)e->epsilon;
    const long double near = log1pl(expl(-fabsl(x)));
    if (from_logits(e)) {
        *yes = (x < 0 ? -x : 0) + near;
        *no = (x > 0 ? x : 0) + near;
    } else {
        *yes = side(e) < 0 ? -logl(low) : side(e) > 0 ? -log1pl(-low) : -logl(x);
        *no = side(e) < 0 ? -log1pl(-low) : side(e) > 0 ? -logl(low) : -log1pl(-x);
    }
}

/* A sum of two terms with their sizes, before it is weighted. */
typedef struct {
    long double value, size;
} sum;

static sum slope_of(const truth_element *e, const pair *f) {
    const long double x = (long double)e->x;
    if (from_logits(e)) {
        const long double p = 1 / (1 + expl(-x)), other = 1 / (1 + expl(x));
        return (sum){f->v * p - f->u * other, f->v_size * p + f->u_size * other};
    }
    if (side(e) != 0) return (sum){0, 0};
    const long double left = f->u == 0 ? 0 : f->u / x, right = f->v == 0 ? 0 : f->v / (1 - x);
    const long double of_u = f->u_size == 0 ? 0 : f->u_size / fabsl(x);
    return (sum){right - left, of_u + (f->v_size == 0 ? 0 : f->v_size / fabsl(1 - x))};
}

/* The focal form of a loss and its slope; returns how many half ulps of float64 the power errs by. */
static long double focus(const truth_element *e, const pair *f, sum *loss, sum *slope, long double *lost) {
    const long double plain = loss->value;
    const long double g = (long double)e->coefficient, a = (long double)e->alpha, x = (long double)e->x;
    const long double clamped = x < 0 ? 0 : x > 1 ? 1 : x;
    const long double p = from_logits(e) ? 1 / (1 + expl(-x)) : clamped;
    const long double other = from_logits(e) ? 1 / (1 + expl(x)) : 1 - clamped, m = f->u * other + f->v * p;
    const long double balance = e->balanced ? a * f->u + (1 - a) * f->v : 1;
    const long double factor = (g == 0 ? 1 : powl(m, g)) * balance;
    const long double turn = from_logits(e) ? (isinf(x) ? 0 : p * other / (m == 0 ? 1 : m)) : 1 / m;
    const long double steep = m == 0 && !from_logits(e) ? g * powl(0, g - 1) * balance : factor * g * turn;
    const long double bend = g == 0 || turn == 0 ? 0 : steep * (f->v - f->u) * plain;
    slope->value = product(factor, slope->value) + bend;
    slope->size = fabsl(product(factor, slope->size)) + (bend == 0 ? 0 : fabsl(steep * (f->u + f->v) * plain));
    loss->value = product(factor, loss->value);
    loss->size = fabsl(product(factor, loss->size));
    /* The slope of the power is the power over m: what underflows there is as much larger. */
    if (!from_logits(e) && m > 0) *lost = fabsl(g * balance * (f->v - f->u) * plain) * (long double)0x1p-1022 / m;
    if (isinf(plain) && fabsl(factor) < 0x1p-1000L) *lost = (long double)INFINITY; /* 0 times infinity, may be */
    return g == 0 || !(m > 0) ? 0 : g * (1 + fabsl(logl(m)));
}

/* `ulps` half ulps of the size of a result; beside an infinite term there is no other. */
static expected about(const truth_element *e, long double value, long double size, long double ulps) {
    const units k = units_of(e);
    const long double safe = isfinite(size) ? size : fabsl(value);
    expected result = within(value, ulps * k.h * safe + k.normal);
    if (isfinite(size) && size > k.most) result.freedom = fabsl(value) < size * 0.999L ? ANYTHING : OR_INFINITE;
    return result;
}

/* A derivative times its scale, 0 where that is. The factors are lifted by 2^60 on their way, and the scale is taken
 * down by 2^30. */
static expected scaled(const truth_element *e, const pair *f, sum slope, long double ulps) {
    const units k = units_of(e);
    const long double scale = fabsl(e->scale), largest = f->u_size + f->v_size;
    expected result = about(e, product(e->scale, slope.value), product(scale, slope.size), ulps);
    result.bound += e->scale_error * scale * fabsl(isfinite(slope.value) ? slope.value : 0);
    const int small = scale < k.normal * 0x1p31L && scale != 0, any = isnan(slope.value) || isnan(scale);
    if (small) result.bound += k.tiny * 0x1p31L * (isfinite(slope.size) ? slope.size : 0);
    if (small && (any || isinf(slope.value))) result.freedom = ANYTHING;
    if (any) return result;
    if (!(scale <= k.most) || (from_logits(e) && largest > k.most * 0x1p-64L)) result.freedom = ANYTHING;
    if (isfinite(slope.size) && (slope.size > k.most || scale * slope.size > k.most)) result.freedom = ANYTHING;
    return result;
}

void truth_binary(truth_element *e) {
    const units k = units_of(e);
    const long double x = (long double)e->x, p = 1 / (1 + expl(-x)), other = 1 / (1 + expl(x));
    if (e->kind == XN_SIGMOID) {
        e->prob = about(e, p, p, 8);
        return;
    }
    const pair f = factors(e);
    const double t = e->target;
    long double yes, no, power = 0, lost = 0;
    logs(e, &yes, &no);
    sum loss = {product(f.u, yes) + product(f.v, no), product(f.u_size, yes) + product(f.v_size, no)};
    sum slope = slope_of(e, &f);
    if (isnan(x) && (is_focal(e) || from_logits(e))) loss = slope = (sum){x, x};
    if (is_focal(e) && !isnan(x)) power = focus(e, &f, &loss, &slope, &lost);
    const int told = !is_focal(e) || (!(t < 0 || t > 1) && power < 0x1p40L && fabs(e->alpha) < 0x1p20);
    const long double ulps = 24 + 4 * power * 0x1p-53L / k.h;
    e->loss = about(e, loss.value, loss.size, ulps);
    e->grad = scaled(e, &f, slope, ulps);
    /* exp may be no normal number, though its product with a target is. */
    const long double largest = fabsl(e->scale) * (f.u_size + f.v_size);
    const long double small = from_logits(e) ? k.tiny * 0x1p-29L * largest : 0;
    e->grad.bound += small + (lost == 0 ? 0 : lost * fabsl(e->scale));
    e->hess = scaled(e, &f, (sum){(f.u + f.v) * p * other, (f.u_size + f.v_size) * p * other}, ulps);
    e->hess.bound += small;
    if (!told || isinf(lost)) e->loss.freedom = e->grad.freedom = ANYTHING;
    /* A factor below the normal numbers has lost digits, if it is not 0 at all. */
    const int vague = (f.u != 0 && fabsl(f.u) < 2 * k.normal) || (f.v != 0 && fabsl(f.v) < 2 * k.normal);
    if (vague && (!from_logits(e) || isinf(x))) e->loss.freedom = e->grad.freedom = ANYTHING;
    if (vague && from_logits(e) && !isinf(x)) {
        e->loss.bound += k.normal * (yes + no);
        e->grad.bound += k.normal * fabsl(e->scale);
    }
    /* Infinite targets meet each other, and what is 0. */
    const int infinite = (isinf(f.u) || isinf(f.v) || f.u_size > k.most || f.v_size > k.most);
    if (infinite && !isnan(f.u) && !isnan(f.v)) e->loss.freedom = e->grad.freedom = e->hess.freedom = ANYTHING;
    if (e->scale == 0) e->grad = e->hess = within(0, 0);
    e->each = within((long double)e->weight * e->loss.value, fabsl((long double)e->weight) * e->loss.bound);
    e->each.bound += k.h * fabsl(e->each.value) + k.tiny;
    e->each.freedom = isinf(e->weight) && fabsl(e->loss.value) <= e->loss.bound ? ANYTHING : e->loss.freedom;
    if (e->weight == 0) e->each = within(0, 0);
}
