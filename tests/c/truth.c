/* SPDX-License-Identifier: BSD-3-Clause */
/* The textbook formulas in long double, with error bounds: from logits, and what all files of the truth share.
 *
 * With e the machine epsilon of the type, h = e / 2 the error of one rounding and E = 2^-52, a kernel may:
 *   exp        err by 2e (1 without FMA would do for most: vmath.h), of the exact argument
 *   sum        add up to 16 values in the type, then up to C in float64:     sum = 16 h + C E
 *   targets    round keep, spread, their sum and the class weight:           made = 4 h, or 0 where none applies
 *   finish     evaluate exp, log1p and two divisions in float64:             8 E
 *   underflow  drop terms below 2^-186 (float32) or 2^-1000 (float64) of the largest.
 * Errors of terms are errors of their sums: relative to the sum of their sizes, where they have both signs. What
 * follows for each output stands next to it. Bounds hold to first order; the second order is below a thousandth of
 * them. Long double itself errs by 800 LDBL_EPSILON in exp (arguments down to -750) and C LDBL_EPSILON in sums.
 *
 * Weights and targets may be any numbers. Those that do not fit into the type, or whose products do not, make results
 * that are not told. Those below its normal numbers lose digits: see lost(). */
#include <float.h>
#include <math.h>
#include <string.h>

#include "halves.h"
#include "truth_parts.h"

const long double E = 0x1p-52L, MOST64 = 0x1p1020L;

errors errors_of(const truth *t) {
    const int single = t->dtype == XN_FLOAT32;
    const long double h = single ? 0x1p-24L : 0x1p-53L, c = (long double)t->classes;
    return (errors){
        .h = h,
        .exp = 4 * h + 800 * LDBL_EPSILON,
        .sum = 16 * h + c * (E + LDBL_EPSILON),
        .made = t->plain ? 0 : 4 * h,
        .tiny = single ? 0x1p-149L : (long double)0x1p-1074,
        .underflow = c * (single ? 0x1p-186L : (long double)0x1p-999),
        .normal = single ? 0x1p-126L : (long double)0x1p-1022,
        .most = single ? 0x1p124L : 0x1p1020L,
    };
}

expected within(long double value, long double bound) {
    return (expected){.value = value, .bound = bound};
}

static void set_plane(truth *t, int plane, expected value) {
    for (int64_t c = 0; c < t->classes; c++) t->plane[plane][c] = value;
}

/* A row that counts nothing gives exactly 0, whatever it holds. */
void drop(truth *t) {
    t->loss = within(0, 0);
    set_plane(t, GRAD, within(0, 0));
    set_plane(t, HESS, within(0, 0));
}

/* A weight that is 0 in the type that gradients are computed in drops them. */
void undefined(truth *t, const errors *e) {
    const expected nan = within((long double)NAN, 0);
    const int scaled_down = t->shape && fabs(t->alpha) < 0x1p-20;
    const long double w = scaled_down ? 0 : fabsl((long double)t->weight * (long double)t->grad_scale);
    t->loss = t->lse = nan;
    for (int plane = 0; plane < PLANES; plane++) set_plane(t, plane, nan);
    if (w < e->normal) set_plane(t, GRAD, (expected){.freedom = ANYTHING});
    const int is_faint = w < 0x1p-1022L || w * (long double)t->hess_scale < e->normal;
    if (is_faint) set_plane(t, HESS, (expected){.freedom = ANYTHING});
    if (t->dropped) drop(t);
}

void untold(truth *t) {
    t->loss = (expected){.freedom = ANYTHING};
    set_plane(t, GRAD, t->loss);
    set_plane(t, HESS, t->loss);
    if (t->dropped) drop(t);
}

void mixed_add(mixed_sum *s, long double term, long double error) {
    s->value += term;
    s->size += fabsl(term);
    if (term > 0) s->positive += term;
    if (term < 0) s->negative -= term;
    s->error += error;
}

long double target_error(const truth *t, const errors *e, int64_t c) {
    return t->u_error ? t->u_error[c] : e->made * fabsl(t->u[c]);
}

int is_vague(const truth *t, const errors *e, int64_t c) {
    const long double error = target_error(t, e, c);
    return error > 0 && fabsl(t->u[c]) <= error;
}

/* Infinities meet only where the positive and the negative part do not fit. */
freedom sum_freedom(const mixed_sum *s) {
    if (!(s->size > MOST64)) return s->freedom;
    const int both = s->negative > MOST64 && s->positive > MOST64;
    return both || s->freedom == ANYTHING ? ANYTHING : OR_INFINITE;
}

expected weighted_loss(mixed_sum sum, long double weight) {
    const int overflows = fabsl(weight) * sum.size > MOST64;
    expected e = {.freedom = sum_freedom(&sum)};
    if (overflows && e.freedom == NOTHING_ELSE) e.freedom = fabsl(sum.value) <= sum.error ? ANYTHING : OR_INFINITE;
    if ((isnan(sum.value) || isnan(weight)) && sum.freedom != ANYTHING) e.freedom = NOTHING_ELSE;
    e.value = weight * sum.value;
    e.bound = fabsl(weight) * (sum.error + 3 * E * sum.size) + (long double)0x1p-1074;
    return e;
}

freedom slope_freedom(const errors *e, long double weight, long double mass, long double size) {
    if (isnan(mass) || isnan(weight)) return fabsl(weight) < e->normal ? ANYTHING : NOTHING_ELSE;
    const long double w = fabsl(weight);
    if (w == 0) return ANYTHING; /* it underflowed, or was divided by infinity: 0 times what may not fit */
    return w <= e->most && size <= e->most && w * size <= e->most ? NOTHING_ELSE : ANYTHING;
}

long double lost(const errors *e, long double factor, long double times) {
    return fabsl(factor) < e->normal && factor != 0 ? e->tiny * fabsl(times) : 0;
}

sums sum_row(const truth *t, const errors *e) {
    sums s = {.max = (long double)-INFINITY};
    for (int64_t c = 0; c < t->classes; c++) {
        if (isnan(t->x[c])) s.rest = t->x[c];
        if (t->x[c] > s.max) s.max = t->x[c];
    }
    if (isnan(s.rest) || isinf(s.max)) return (sums){.s = (long double)NAN};
    for (int64_t c = 0; c < t->classes; c++) {
        const long double p = expl(t->x[c] - s.max); /* until it is known what to divide by */
        if (t->x[c] == s.max) {
            s.ties += 1;
        } else {
            s.rest += p;
        }
        t->plane[PROB][c] = within(p, 0);
    }
    const long double z = (s.ties - 1) + s.rest;
    s.s = 1 + z;
    s.log_s = log1pl(z);
    /* An error d of `rest` moves log1p(z) by d / (1 + z). */
    s.log_error = (e->exp + e->sum) * s.rest / s.s + 8 * E * s.log_s + e->underflow;
    return s;
}

/* The sum of the targets; each term is rounded to the type. */
static mixed_sum sum_targets(const truth *t, const errors *e) {
    mixed_sum mass = {0};
    for (int64_t c = 0; t->u && c < t->classes; c++) mixed_add(&mass, t->u[c], target_error(t, e, c));
    if (!t->exact) mass.error += e->sum * mass.size;
    return mass;
}

/* log S + (max - x): the second term in float64, exact for float32. */
static expected label_loss(const truth *t, const sums *s) {
    const long double distance = s->max - t->x[t->label];
    mixed_sum sum = {0};
    mixed_add(&sum, s->log_s + distance, s->log_error + E * distance);
    return weighted_loss(sum, (long double)t->weight);
}

/* U log S + sum u (max - x): max - x, its product and the target are rounded once each. */
static expected dense_loss(const truth *t, const sums *s, const errors *e, const mixed_sum *mass) {
    mixed_sum sum = {0};
    for (int64_t c = 0; c < t->classes; c++) {
        const long double distance = s->max - t->x[c], error = target_error(t, e, c);
        if (isinf(distance) && is_vague(t, e, c)) sum.freedom = ANYTHING;
        if (t->u[c] == 0) continue;
        mixed_add(&sum, t->u[c] * distance, isinf(distance) ? 0 : distance * error);
    }
    sum.error += (3 * e->h + e->sum) * sum.size + ((long double)t->classes + 2 * mass->size) * e->tiny;
    mixed_add(&sum, mass->value * s->log_s, mass->size * s->log_error + s->log_s * (mass->error + mass->size * e->sum));
    sum.size += (mass->size - fabsl(mass->value)) * s->log_s;
    sum.positive += mass->positive * s->log_s;
    sum.negative += mass->negative * s->log_s;
    if (!(mass->size <= e->most) && !isnan(mass->size)) sum.freedom = ANYTHING;
    return weighted_loss(sum, (long double)t->weight);
}

/* The weight is a float64 before it is multiplied with the factor of the Hessian: it may be no normal number, or none.
 */
freedom curve_freedom(const errors *e, long double weight, long double steep, long double mass, long double size) {
    if (weight != 0 && !(fabsl(weight) >= 0x1p-1022L && fabsl(weight) <= (long double)DBL_MAX)) return ANYTHING;
    return slope_freedom(e, steep, mass, size);
}

/* Gradient and Hessian of one class, whose probability is known. */
static void softmax_slopes(truth *t, const sums *s, const errors *e, const mixed_sum *all, int64_t c) {
    const long double w = (long double)t->weight * (long double)t->grad_scale, h = e->h;
    const long double p = t->plane[PROB][c].value, u = t->u[c], mass = all->value, size = all->size;
    const long double others = ((s->ties - 1) + s->rest) / s->s; /* 1 - p of the maximum */
    const int at_max = t->x[c] == s->max, single = t->label >= 0;
    const long double rel = 2 * e->exp + e->sum + 4 * h; /* of p, and of `others` */
    const long double of_mass = single ? 0 : all->error + (t->exact ? 0 : h * fabsl(mass));
    const long double of_target = single ? 0 : target_error(t, e, c);
    const long double slope = at_max ? (mass - u) - mass * others : mass * p - u;
    long double bound;
    if (at_max) { /* (U - u) - U others: for one target, U - u is 0 and the error relative */
        bound = of_mass + of_target + 2 * h * fabsl(mass - u) + size * others * rel + (1 + size) * e->underflow;
    } else { /* U p - u */
        bound = p * (size * rel + of_mass + 2 * h * size) + of_target + 2 * h * fabsl(u);
    }
    bound += t->scale_error * fabsl(slope) + lost(e, w, 2 * size) / (w == 0 ? 1 : fabsl(w));
    /* exp is lifted by 2^60, and what it is multiplied with carries 2^-60. */
    const long double factor = single ? w : mass, lift = 0x1p61L * p * s->s * (single ? 1 : fabsl(w));
    const long double lifted = lost(e, factor * 0x1p-61L / s->s, lift);
    const long double least = isinf(t->x[c]) && u == 0 ? 0 : e->tiny * (2 + fabsl(w) * (1 + size));
    t->plane[GRAD][c] = within(w * slope, fabsl(w) * (bound + 3 * h * fabsl(slope)) + least + lifted);
    /* U p (1 - p). Where p is not the largest it is at most 1/2, and 1 - p at least that. */
    const long double half = p * (at_max ? others : 1 - p), steep = w * (long double)t->hess_scale;
    const long double curve = steep * mass * half;
    long double error = half * (size * (4 * rel + 6 * h) + of_mass + fabsl(mass) * t->scale_error);
    const long double rare = e->tiny * (2 + fabsl(steep) * (1 + size)) + lost(e, steep, size) + e->tiny;
    error = isinf(t->x[c]) ? 0 : fabsl(steep) * (error + size * e->underflow) + rare;
    t->plane[HESS][c] = within(curve, error);
    t->plane[HESS][c].freedom = curve_freedom(e, w, steep, mass, size);
    t->plane[GRAD][c].freedom = slope_freedom(e, w, mass, size);
}

void truth_softmax(truth *t) {
    const errors e = errors_of(t);
    const sums s = sum_row(t, &e);
    if (isnan(s.s)) {
        undefined(t, &e);
        return;
    }
    const mixed_sum mass = sum_targets(t, &e);
    t->lse = within(s.max + s.log_s, s.log_error + E * fabsl(s.max + s.log_s));
    for (int64_t c = 0; c < t->classes; c++) {
        const long double p = t->plane[PROB][c].value / s.s, lowest = isinf(t->x[c]) ? 0 : e.tiny;
        t->plane[PROB][c] = within(p, p * (2 * e.exp + e.sum + 3 * e.h) + lowest);
        /* (x - max) - log S, each difference rounded */
        const long double log_p = (t->x[c] - s.max) - s.log_s;
        const long double rounded = fabsl(t->x[c] - s.max) + s.log_s + fabsl(log_p);
        t->plane[LOG_PROB][c] = within(log_p, s.log_error + e.h * rounded + e.tiny);
        if (t->u && !t->dropped) softmax_slopes(t, &s, &e, &mass, c);
    }
    if (t->dropped) {
        drop(t);
    } else if (t->u) {
        t->loss = t->label >= 0 ? label_loss(t, &s) : dense_loss(t, &s, &e, &mass);
    }
}

static long double largest_of(xn_dtype dtype) {
    if (is_half(dtype)) return (long double)half_largest(dtype);
    return dtype == XN_FLOAT32 ? (long double)FLT_MAX : (long double)DBL_MAX;
}

expected stored(expected e, xn_dtype dtype) {
    static const struct {
        long double h, tiny;
    } units[XN_DTYPES] = {[XN_FLOAT32] = {0x1p-24L, 0x1p-149L},
                          [XN_FLOAT16] = {0x1p-11L, 0x1p-24L},
                          [XN_BFLOAT16] = {0x1p-8L, 0x1p-133L}};
    e.bound += (fabsl(e.value) + e.bound) * units[dtype].h + units[dtype].tiny;
    return e;
}

int is_expected(double got, expected e, xn_dtype dtype, int fused, double *ratio) {
    const long double error = fabsl((long double)got - e.value), bound = e.bound + (fused ? 0 : e.unfused);
    const int same_sign = (got > 0) == (e.value > 0);
    *ratio = 0;
    if (e.freedom == ANYTHING) return 1;
    if (isnan(e.value)) return isnan(got);
    if (isinf(e.value)) return (long double)got == e.value;
    if (e.freedom == OR_INFINITE && isinf(got) && same_sign) return 1;
    /* Terms so large that their errors alone are beyond what the type holds: infinities may have met. */
    if (bound > (dtype == XN_FLOAT64 ? (long double)DBL_MAX : (long double)FLT_MAX)) return 1;
    /* Beyond what the type holds, and nearly there (sums of parts), infinity is right as well. float16 holds much less
     * than what it is computed in. */
    const long double most = dtype == XN_FLOAT16 ? largest_of(dtype) : largest_of(dtype) / 8;
    if (isinf(got)) return (got > 0 ? e.value : -e.value) + bound > most;
    *ratio = bound > 0 ? (double)(error / bound) : 0;
    return error <= bound;
}

int is_fused(const char *isa) {
#if defined(__aarch64__) || defined(__FMA__)
    (void)isa;
    return 1;
#else
    return strcmp(isa, "baseline") != 0;
#endif
}
