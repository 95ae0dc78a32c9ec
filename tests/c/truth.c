/* SPDX-License-Identifier: BSD-3-Clause */
/* The textbook formulas in long double, with error bounds.
 *
 * With e the machine epsilon of the type, h = e / 2 the error of one rounding and E = 2^-52, a kernel may:
 *   exp        err by 2e (1 without FMA would do for most: vmath.h), of the exact argument
 *   sum        add up to 16 values in the type, then up to C in float64:     sum = 16 h + C E
 *   targets    round keep, spread, their sum and the class weight:           made = 4 h, or 0 where none applies
 *   finish     evaluate exp, log1p and two divisions in float64:             8 E
 *   underflow  drop terms below 2^-186 (float32) or e^-700 (float64) of the largest.
 * All sums are of terms of one sign, so that errors of terms are errors of the sum. What follows for each
 * output stands next to it. Bounds hold to first order; the second order is below a thousandth of them.
 * Long double itself errs by 800 LDBL_EPSILON in exp (arguments down to -750) and C LDBL_EPSILON in sums. */
#include "truth_parts.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const long double E = 0x1p-52L;

errors errors_of(const truth *t) {
    const int single = t->dtype == XN_FLOAT32;
    const long double h = single ? 0x1p-24L : 0x1p-53L, c = (long double)t->classes;
    return (errors){
        .h = h,
        .exp = 4 * h + 800 * LDBL_EPSILON,
        .sum = 16 * h + c * (E + LDBL_EPSILON),
        .made = t->plain ? 0 : 4 * h,
        .tiny = single ? 0x1p-149L : (long double)0x1p-1074,
        .underflow = c * (single ? 0x1p-186L : (long double)0x1p-1009),
    };
}

static void set_plane(truth *t, int plane, long double value) {
    for (int64_t c = 0; c < t->classes; c++) t->plane[plane][c] = (expected){value, 0, 0};
}

/* A row that counts nothing gives exactly 0, whatever it holds. */
void drop(truth *t) {
    t->loss = (expected){0, 0, 0};
    set_plane(t, GRAD, 0);
    set_plane(t, HESS, 0);
}

void undefined(truth *t) {
    t->loss = t->lse = (expected){(long double)NAN, 0, 0};
    for (int plane = 0; plane < PLANES; plane++) set_plane(t, plane, (long double)NAN);
    if (t->dropped) drop(t);
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
        t->plane[PROB][c].value = p;
        if (!t->u) continue;
        s.mass += t->u[c];
        if (t->u[c] != 0) s.dot += t->u[c] * (s.max - t->x[c]);
    }
    const long double z = (s.ties - 1) + s.rest;
    s.s = 1 + z;
    s.log_s = log1pl(z);
    /* An error d of `rest` moves log1p(z) by d / (1 + z). */
    s.log_error = (e->exp + e->sum) * s.rest / s.s + 8 * E * s.log_s + e->underflow;
    return s;
}

static expected softmax_loss(const truth *t, const sums *s, const errors *e) {
    expected loss;
    if (t->label >= 0) { /* log S + (max - x): the second term in float64, exact for float32 */
        const long double distance = s->max - t->x[t->label];
        loss.value = s->log_s + distance;
        loss.bound = s->log_error + E * distance + 3 * E * loss.value;
    } else { /* U log S + sum u (max - x): max - x, its product and the target are rounded once each */
        loss.value = s->mass * s->log_s + s->dot;
        loss.bound = s->mass * (s->log_error + s->log_s * (e->made + e->sum)) + s->dot * (e->made + 3 * e->h + e->sum) +
                     3 * E * loss.value + (long double)t->classes * e->tiny;
    }
    loss.value *= (long double)t->weight;
    loss.bound *= (long double)fabs(t->weight);
    loss.unfused = 0;
    return loss;
}

/* Gradient and Hessian of one class, whose probability is known. */
static void softmax_slopes(truth *t, const sums *s, const errors *e, int64_t c) {
    const long double w = (long double)t->weight * (long double)t->grad_scale, h = e->h;
    const long double p = t->plane[PROB][c].value, u = t->u[c], mass = t->label >= 0 ? 1 : s->mass;
    const long double others = ((s->ties - 1) + s->rest) / s->s; /* 1 - p of the maximum */
    const int at_max = t->x[c] == s->max;
    const long double rel = 2 * e->exp + e->sum + 4 * h; /* of p, and of `others` */
    const long double of_mass = t->exact || t->label >= 0 ? 0 : e->made + e->sum + h;
    const long double slope = at_max ? (mass - u) - mass * others : mass * p - u;
    long double bound;
    if (at_max) { /* (U - u) - U others: for one target, U - u is 0 and the error relative */
        bound = mass * of_mass + u * e->made + 2 * h * fabsl(mass - u) + mass * others * rel + e->underflow;
    } else { /* U p - u */
        bound = mass * p * (rel + of_mass + 2 * h) + u * (e->made + 2 * h);
    }
    const long double least = isinf(t->x[c]) && u == 0 ? 0 : e->tiny * (2 + fabsl(w) * (1 + mass));
    t->plane[GRAD][c] = (expected){w * slope, fabsl(w) * (bound + 3 * h * fabsl(slope)) + least, 0};
    /* U p (1 - p). Where p is not the largest it is at most 1/2, and 1 - p at least that. */
    const long double curve = w * mass * p * (at_max ? others : 1 - p);
    const long double under = isinf(t->x[c]) ? 0 : least + fabsl(w) * mass * e->underflow;
    t->plane[HESS][c] = (expected){curve, fabsl(curve) * (4 * rel + 6 * h + of_mass) + under, 0};
}

void truth_softmax(truth *t) {
    const errors e = errors_of(t);
    const sums s = sum_row(t, &e);
    if (isnan(s.s)) {
        undefined(t);
        return;
    }
    t->lse = (expected){s.max + s.log_s, s.log_error + E * fabsl(s.max + s.log_s), 0};
    for (int64_t c = 0; c < t->classes; c++) {
        const long double p = t->plane[PROB][c].value / s.s, lowest = isinf(t->x[c]) ? 0 : e.tiny;
        t->plane[PROB][c] = (expected){p, p * (2 * e.exp + e.sum + 3 * e.h) + lowest, 0};
        /* (x - max) - log S, each difference rounded */
        const long double log_p = (t->x[c] - s.max) - s.log_s;
        const long double rounded = fabsl(t->x[c] - s.max) + s.log_s + fabsl(log_p);
        t->plane[LOG_PROB][c] = (expected){log_p, s.log_error + e.h * rounded + e.tiny, 0};
        if (t->u && !t->dropped) softmax_slopes(t, &s, &e, c);
    }
    if (t->dropped) {
        drop(t);
    } else if (t->u) {
        t->loss = softmax_loss(t, &s, &e);
    }
}

clipped clip(const truth *t, long double p, long double sum, long double error) {
    const long double low = (long double)t->epsilon, high = 1 - low;
    clipped c = {.q = p / sum, .inside = 1};
    c.unsure = fabsl(c.q - low) <= error * low || fabsl(c.q - high) <= error;
    if (c.q < low || c.q > high) c.inside = 0;
    c.loss = -logl(c.q < low ? low : c.q > high ? high : c.q);
    return c;
}

/* One target: everything in float64, then rounded. S errs by C E, and log by as much. */
static void prob_label(truth *t, long double sum, const errors *e) {
    const long double w = (long double)t->weight * (long double)t->grad_scale, p = t->x[t->label];
    const long double of_sum = (long double)(t->classes + 4) * E;
    const clipped y = clip(t, p, sum, e->h + of_sum);
    t->loss = (expected){(long double)t->weight * y.loss, (long double)t->weight * (of_sum + 4 * E * y.loss), 0};
    const long double elsewhere = y.inside ? w / sum : 0, there = y.inside ? -w / sum * ((sum - p) / p) : 0;
    const long double unsure = y.unsure ? (1 + 4 * e->h) * (w / sum + w / p) : 0;
    for (int64_t c = 0; c < t->classes; c++)
        t->plane[GRAD][c] = (expected){elsewhere, elsewhere * (e->h + of_sum) + unsure, 0};
    const long double cancelled = y.inside ? w / p * of_sum : 0; /* S - p may cancel */
    t->plane[GRAD][t->label] = (expected){there, fabsl(there) * (e->h + 4 * E) + cancelled + unsure, 0};
}

/* Dense targets: -log q errs by 4 e of itself, and by that of S. Without FMA the quotient is rounded
 * before 1 is taken off, which costs e more, absolutely. */
static void prob_dense(truth *t, long double sum, const errors *e) {
    const long double w = (long double)t->weight * (long double)t->grad_scale, h = e->h;
    const long double of_sum = (long double)(t->classes + 4) * E, of_clip = h + of_sum;
    long double loss = 0, bound = 0, unfused = 0, mass = 0, unsure = 0;
    for (int64_t c = 0; c < t->classes; c++) {
        const clipped y = clip(t, t->x[c], sum, of_clip);
        const long double u = t->u[c];
        loss += u * y.loss;
        bound += u * (y.loss * (e->made + 8 * h + e->sum) + of_sum + (y.unsure ? 2 * of_clip : 0));
        unfused += u * 4 * h;
        mass += y.inside ? u : 0;
        unsure += y.unsure ? u : 0;
    }
    const long double weight = (long double)t->weight;
    t->loss = (expected){weight * loss, weight * (bound + 2 * E * loss), weight * unfused};
    const long double base = w * mass / sum;
    for (int64_t c = 0; c < t->classes; c++) {
        const clipped y = clip(t, t->x[c], sum, of_clip);
        const long double other = w * t->u[c] / t->x[c], own = y.inside ? other : 0;
        long double error = base * (e->made + e->sum + 3 * h) + own * (e->made + 3 * h) + 2 * h * fabsl(base - own);
        error += (1 + e->made + e->sum + 4 * h) * (w * unsure / sum + (y.unsure ? other : 0)) + e->tiny * (1 + w);
        t->plane[GRAD][c] = (expected){base - own, error, 0};
    }
}

void truth_prob(truth *t) {
    const errors e = errors_of(t);
    long double sum = 0;
    for (int64_t c = 0; c < t->classes; c++) sum += t->x[c];
    if (t->dropped) {
        drop(t);
    } else if (isnan(sum) || sum == 0) {
        undefined(t);
    } else if (t->label >= 0) {
        prob_label(t, sum, &e);
    } else {
        prob_dense(t, sum, &e);
    }
}

int is_expected(double got, expected e, xn_dtype dtype, int fused, double *ratio) {
    const long double most = dtype == XN_FLOAT32 ? (long double)FLT_MAX : (long double)DBL_MAX;
    const long double error = fabsl((long double)got - e.value), bound = e.bound + (fused ? 0 : e.unfused);
    *ratio = 0;
    if (isnan(e.value)) return isnan(got);
    if (isinf(e.value)) return (long double)got == e.value;
    /* Beyond what the type holds, and nearly there (sums of parts), infinity is right as well. */
    if (fabsl(e.value) > most / 8 && isinf(got)) return (got > 0) == (e.value > 0);
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
