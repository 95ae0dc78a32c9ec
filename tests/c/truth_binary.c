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
    const long double spread = (long double)(e->smoothing / 2); /* of the smallest number there is no half */
    return (pair){w * (t * (1 - s) + spread), (1 - t) * (1 - s) + spread, fabsl(w) * (fabsl(t) * (1 - s) + spread),
                  fabsl(1 - t) * (1 - s) + spread};
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

/* What the power of the focal form costs beside the rest: half ulps of float64, and what underflows on the way to the
 * loss and to its slope. Not told: infinity times what may underflow to 0, and powers so small that 0 to them may be 1.
 */
typedef struct {
    long double ulps, of_loss, of_slope;
    int told;
} power;

/* Turns a loss and its slope into the focal ones. */
static power focus(const truth_element *e, const pair *f, sum *loss, sum *slope) {
    const long double g = (long double)e->coefficient, a = (long double)e->alpha, x = (long double)e->x;
    const long double plain = loss->value, clamped = x < 0 ? 0 : x > 1 ? 1 : x, lean = f->v - f->u;
    const long double p = from_logits(e) ? 1 / (1 + expl(-x)) : clamped;
    const long double other = from_logits(e) ? 1 / (1 + expl(x)) : 1 - clamped, m = f->u * other + f->v * p;
    const long double balance = e->balanced ? a * f->u + (1 - a) * f->v : 1;
    const long double factor = (g == 0 ? 1 : powl(m, g)) * balance;
    const long double turn = from_logits(e) ? (isinf(x) ? 0 : p * other / (m == 0 ? 1 : m)) : 1 / m;
    const long double steep = m == 0 && !from_logits(e) ? g * powl(0, g - 1) * balance : factor * g * turn;
    const long double bend = g == 0 || turn == 0 ? 0 : product(steep * lean, plain);
    const long double least = (long double)0x1p-1022 * (fabsl(balance) + 0x1p-50L);
    const int infinite = isinf(plain), small = fabsl(factor) < 0x1p-1000L, level = fabsl(lean) < 0x1p-50L;
    power result = {.told = !(infinite && (small || level)) && !((m == 0 || infinite) && g > 0 && g < 0x1p-900L)};
    if (!from_logits(e) && (fabsl(steep) > 0x1p1020L || slope->size > 0x1p1020L)) result.told = 0;
    result.of_loss = infinite ? 0 : least * fabsl(plain);
    if (!infinite && m > 0) result.of_slope = least * fabsl(slope->value) + (1 + g) * result.of_loss * (1 + 1 / m);
    if (!infinite && m == 0) result.of_slope = least * (1 + fabsl(steep));
    if (infinite && turn == 0) result.of_slope = least * fabsl(slope->value) + (long double)0x1p-1072;
    slope->size = fabsl(product(factor, slope->size)) + (bend == 0 ? 0 : fabsl(steep * (f->u + f->v) * plain));
    slope->value = product(factor, slope->value) + bend;
    loss->value = product(factor, plain);
    loss->size = fabsl(product(factor, loss->size));
    if (g > 0 && m > 0) result.ulps = g * (1 + fabsl(logl(m)));
    if (isinf(slope->size) || isnan(result.of_slope)) result.of_slope = 0;
    return result;
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

static int is_share(double alpha) {
    return alpha >= 0 && alpha <= 1;
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
    long double yes, no;
    power focal = {.told = 1};
    logs(e, &yes, &no);
    sum loss = {product(f.u, yes) + product(f.v, no), product(f.u_size, yes) + product(f.v_size, no)};
    sum slope = slope_of(e, &f);
    const int nan = isnan(x) || isnan(t);
    if (nan && (is_focal(e) || from_logits(e))) loss = slope = (sum){x + (long double)t, x + (long double)t};
    if (is_focal(e) && !nan) focal = focus(e, &f, &loss, &slope);
    const int told = !is_focal(e) || (!(t < 0 || t > 1) && focal.told && focal.ulps < 0x1p40L && is_share(e->alpha));
    const long double ulps = 24 + 4 * focal.ulps * 0x1p-53L / k.h;
    e->loss = about(e, loss.value, loss.size, ulps);
    e->grad = scaled(e, &f, slope, ulps);
    /* exp may be no normal number, though its product with a target is. */
    const long double largest = fabsl(e->scale) * (f.u_size + f.v_size + 1);
    const long double small = from_logits(e) ? k.tiny * 0x1p-29L * largest : 0;
    e->loss.bound += focal.of_loss;
    e->grad.bound += small + product(focal.of_slope, fabsl(e->scale));
    e->hess = scaled(e, &f, (sum){(f.u + f.v) * p * other, (f.u_size + f.v_size) * p * other}, ulps);
    e->hess.bound += small;
    if (from_logits(e)) e->loss.bound += k.tiny * (f.u_size + f.v_size); /* log1p(exp) may be no normal number, too */
    if (!told) e->loss.freedom = e->grad.freedom = ANYTHING;
    /* A factor below the normal numbers has lost digits, if it is not 0 at all. */
    const int vague = (f.u != 0 && fabsl(f.u) < 2 * k.normal) || (f.v != 0 && fabsl(f.v) < 2 * k.normal);
    if (vague && (!from_logits(e) || isinf(x))) e->loss.freedom = e->grad.freedom = ANYTHING;
    if (vague && from_logits(e) && !isinf(x)) {
        e->loss.bound += k.normal * (yes + no);
        e->grad.bound += k.normal * fabsl(e->scale);
        e->hess.bound += k.normal * fabsl(e->scale);
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
