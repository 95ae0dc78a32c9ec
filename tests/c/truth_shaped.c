/* SPDX-License-Identifier: BSD-3-Clause */
/* Focal loss, poly1 and KL divergence by their formulas in long double, with error bounds.
 *
 * The units are those at the head of truth.c; formulas: kernels/shaped.h. Per class, with f what it adds and
 * w = -p f' what its target is multiplied by:
 *   p          scale and its product:                     2 exp + sum + 3 h of itself
 *   o = 1 - p  a rounding, and p's error of p; at the maximum the sum of the others, like p
 *   L          m - x, log S and their sum, a rounding each
 *   o^gamma    gamma times o's error; log and its product 8 h of |gamma log o|, the exponential 5 h
 *   f, w       two products more
 * Errors of terms are added up: terms of poly1 with a negative coefficient, and of KL, have both signs. */
#include <math.h>

#include "kernels.h"
#include "truth_parts.h"

static const long double E = 0x1p-52L;

/* What a class adds and its slope, with their errors. */
typedef struct {
    long double f, f_error, w, w_error;
} shaped;

static shaped shape_class(const truth *t, long double h, long double p, long double p_error, long double o,
                          long double o_error, long double loss, long double loss_error) {
    const long double c = (long double)t->coefficient, size = fabsl(c);
    if (t->shape == XN_SHAPE_POLY1) {
        return (shaped){loss + c * o, loss_error + size * o_error + 2 * h * (loss + size * o), 1 + c * p,
                        size * p_error + 2 * h * (1 + size * p)};
    }
    if (c == 0) return (shaped){loss, loss_error, 1, 0};
    if (o == 0) return (shaped){0, 0, 0, 0};
    const long double power = powl(o, c), of_power = c * o_error / o + 8 * h * fabsl(c * logl(o)) + 5 * h;
    const long double part = p == 0 ? 0 : c * p * loss / o;
    const long double of_part = p == 0 ? 0 : p_error / p + loss_error / loss + o_error / o + 4 * h;
    const long double w = power * (1 + part);
    return (shaped){power * loss, power * (loss * (of_power + 2 * h) + loss_error), w,
                    w * (of_power + 3 * h) + power * part * of_part};
}

/* Errors of v = u w, of their sum V, and of V without one of them. */
typedef struct {
    long double mass, error;
    int64_t count; /* of targets that are not 0 */
} shaped_mass;

static long double of_v(const truth *t, const errors *e, int64_t c, shaped s) {
    return t->u[c] * (s.w_error + s.w * (e->made + e->h)) + e->tiny;
}

static shaped logit_class(const truth *t, const errors *e, const sums *s, int64_t c) {
    const int at_max = t->x[c] == s->max;
    const long double p = t->plane[PROB][c].value / s->s, others = ((s->ties - 1) + s->rest) / s->s;
    const long double rel = 2 * e->exp + e->sum + 3 * e->h, o = at_max ? others : 1 - p, distance = s->max - t->x[c];
    const long double loss = s->log_s + distance;
    const long double loss_error = s->log_error + e->h * (s->log_s + distance + loss) + e->tiny;
    const long double o_error = at_max ? others * (rel + 8 * E) + e->underflow : p * rel + e->h * o;
    return shape_class(t, e->h, p, p * rel + e->tiny, o, o_error, loss, loss_error);
}

static void logit_slope(truth *t, const errors *e, const sums *s, const shaped_mass *m, int64_t c, shaped one) {
    const long double w = (long double)(t->weight * t->grad_scale * t->alpha), h = e->h;
    const long double p = t->plane[PROB][c].value / s->s, others = ((s->ties - 1) + s->rest) / s->s;
    const long double rel = 2 * e->exp + e->sum + 5 * h, v = t->u[c] * one.w, own = of_v(t, e, c, one);
    const long double mass = fabsl(m->mass), rounded = (h + (long double)t->classes * E) * mass;
    const int alone = m->count == (t->u[c] != 0), at_max = t->x[c] == s->max;
    long double slope, bound;
    if (at_max && others < 0.5L) { /* (V - v) - V others: where v is all of V, the first is exactly 0 */
        slope = (m->mass - v) - m->mass * others;
        bound = alone ? 0 : m->error - own + 2 * rounded + 2 * h * fabsl(v);
        bound += others * (mass * rel + m->error + rounded) + mass * e->underflow;
    } else {
        slope = m->mass * p - v;
        bound = p * (mass * rel + m->error + rounded) + own + 2 * h * fabsl(v);
    }
    const long double least = isinf(t->x[c]) && t->u[c] == 0 ? 0 : e->tiny * (3 + fabsl(w) * (2 + mass));
    t->plane[GRAD][c] = (expected){w * slope, fabsl(w) * (bound + 3 * h * fabsl(slope)) + least, 0};
}

void truth_shaped_softmax(truth *t) {
    const errors e = errors_of(t);
    const sums s = sum_row(t, &e);
    if (isnan(s.s) || t->dropped) {
        undefined(t);
        return;
    }
    const long double weight = (long double)(t->weight * t->alpha);
    long double loss = 0, bound = 0;
    shaped_mass m = {0};
    for (int64_t c = 0; c < t->classes; c++) {
        if (t->u[c] == 0) continue;
        const shaped one = logit_class(t, &e, &s, c);
        loss += t->u[c] * one.f;
        bound += t->u[c] * (one.f_error + fabsl(one.f) * (e.made + (long double)(t->classes + 8) * E) + 4 * e.tiny);
        m.mass += t->u[c] * one.w;
        m.error += of_v(t, &e, c, one);
        m.count++;
    }
    t->loss = (expected){weight * loss, fabsl(weight) * bound, 0};
    for (int64_t c = 0; c < t->classes; c++) logit_slope(t, &e, &s, &m, c, logit_class(t, &e, &s, c));
}

/* From probabilities. */

typedef struct {
    long double sum, of_sum, of_clip;
} scale;

static shaped prob_class(const truth *t, const errors *e, const scale *s, clipped y, long double *unfused) {
    const long double h = e->h, low = (long double)t->epsilon;
    const long double q = y.q < low ? low : y.q > 1 - low ? 1 - low : y.q, o = 1 - q;
    const long double of_log = y.loss * 8 * h + s->of_sum, of_o = y.inside ? s->of_sum + 3 * h * o : h * o;
    shaped one = shape_class(t, h, q, q * (3 * h + s->of_sum), o, of_o, y.loss, of_log);
    const long double steep = 2 + fabsl((long double)t->coefficient);
    *unfused = 4 * h * steep; /* without FMA the quotient is rounded before its logarithm */
    if (y.unsure) one.f_error += 4 * s->of_clip * steep;
    return one;
}

static void prob_slope(truth *t, const errors *e, const scale *s, const shaped_mass *m, long double unsure, int64_t c) {
    const long double w = (long double)(t->weight * t->grad_scale * t->alpha), h = e->h;
    const clipped y = clip(t, t->x[c], s->sum, s->of_clip);
    long double unfused;
    const shaped one = prob_class(t, e, s, y, &unfused);
    const long double v = t->u[c] * one.w, base = w * m->mass / s->sum, other = w * v / t->x[c];
    const long double own = y.inside ? other : 0;
    long double error = fabsl(w / s->sum) * (m->error + (long double)t->classes * E * fabsl(m->mass));
    error += fabsl(base) * 4 * h + 2 * h * fabsl(base - own);
    if (y.inside || y.unsure) error += fabsl(w / t->x[c]) * of_v(t, e, c, one) + fabsl(other) * 4 * h;
    error += 2 * (w * unsure / s->sum + (y.unsure ? fabsl(other) : 0)) + e->tiny * (2 + fabsl(w));
    const long double rough = fabsl(w) * unfused * (fabsl(m->mass) / s->sum + (own != 0 ? t->u[c] / t->x[c] : 0));
    t->plane[GRAD][c] = (expected){base - own, error, rough};
}

static void shaped_quotients(truth *t, const errors *e) {
    scale s = {0};
    for (int64_t c = 0; c < t->classes; c++) s.sum += t->x[c];
    if (isnan(s.sum) || s.sum == 0) {
        undefined(t);
        return;
    }
    s.of_sum = (long double)(t->classes + 4) * E;
    s.of_clip = e->h + s.of_sum;
    const long double weight = (long double)(t->weight * t->alpha);
    long double loss = 0, bound = 0, rough = 0, unsure = 0, unfused;
    shaped_mass m = {0};
    for (int64_t c = 0; c < t->classes; c++) {
        const clipped y = clip(t, t->x[c], s.sum, s.of_clip);
        const shaped one = prob_class(t, e, &s, y, &unfused);
        loss += t->u[c] * one.f;
        bound += t->u[c] * (one.f_error + fabsl(one.f) * (e->made + (long double)(t->classes + 8) * E) + 4 * e->tiny);
        rough += t->u[c] * unfused;
        if (y.unsure) unsure += t->u[c] * fabsl(one.w);
        if (!y.inside) continue;
        m.mass += t->u[c] * one.w;
        m.error += of_v(t, e, c, one);
    }
    t->loss = (expected){weight * loss, fabsl(weight) * bound, fabsl(weight) * rough};
    for (int64_t c = 0; c < t->classes; c++) prob_slope(t, e, &s, &m, unsure, c);
}

/* log(t / p) errs by 10 h of itself, and where it is clipped by the rounding of epsilon. */
static void divergence(truth *t, const errors *e) {
    const long double h = e->h, low = (long double)t->epsilon, weight = (long double)(t->weight * t->alpha);
    long double loss = 0, bound = 0, rough = 0;
    for (int64_t c = 0; c < t->classes; c++) {
        const long double u = t->u[c], p = t->x[c], w = weight * (long double)t->grad_scale;
        const long double a = u < low ? low : u > 1 ? 1 : u, b = p < low ? low : p > 1 ? 1 : p;
        const long double f = a * logl(a / b), rounded = (u < low) + (p < low) > 0 ? 2 * h : 0;
        loss += f;
        bound += a * rounded + fabsl(f) * (10 * h + rounded + (long double)(t->classes + 8) * E) + 4 * e->tiny;
        rough += 4 * h * a;
        const int inside = p >= low && p <= 1, unsure = fabsl(p - low) <= 2 * h * low;
        const long double slope = -w * a / p;
        t->plane[GRAD][c] = (expected){isnan(p) ? p
                                       : inside ? slope
                                                : 0,
                                       fabsl(slope) * (6 * h + rounded + (unsure ? 1 : 0)) + 2 * e->tiny, 0};
    }
    t->loss = (expected){weight * loss, fabsl(weight) * bound, fabsl(weight) * rough};
}

void truth_shaped_prob(truth *t) {
    const errors e = errors_of(t);
    if (t->dropped) {
        drop(t);
    } else if (t->shape == XN_SHAPE_KL) {
        divergence(t, &e);
    } else {
        shaped_quotients(t, &e);
    }
}
