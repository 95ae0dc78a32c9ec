/* SPDX-License-Identifier: BSD-3-Clause */
/* Focal loss, poly1 and KL divergence by their formulas in long double, with error bounds.
 *
 * The units are those at the head of truth.c; formulas: kernels/shaped.h. Per class, with f what it adds and
 * w = -p f' what its target is multiplied by:
 *   p          scale and its product:                     2 exp + sum + 3 h of itself
 *   o = 1 - p  a rounding, and p's error of p; at the maximum the sum of the others, like p
 *   L          m - x, log S and their sum, a rounding each
 *   o^gamma    gamma times o's error; log and its product 8 h of |gamma log o|, the exponential 5 h
 *   f, w       two products more; and what is lost of a power that underflows, below e^-700 in float64
 * Errors of terms are added up: terms of poly1 with a negative coefficient, and of KL, have both signs. Where o is not
 * known to a half, its power may be 0. Coefficients beyond 2^20 are not told, nor factors beyond 2^20 or
 * below 2^-20. */
#include <math.h>

#include "kernels.h"
#include "truth_parts.h"

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
    const long double vague = o_error > o / 2 ? powl(o + o_error, c) : 0; /* it may be 0, or so much more */
    if (o == 0) return (shaped){0, vague * (loss + loss_error), 0, vague * (1 + 2 * c)};
    const long double power = powl(o, c), of_power = c * o_error / o + 8 * h * fabsl(c * logl(o)) + 5 * h;
    const long double part = p == 0 ? 0 : c * p * loss / o;
    const long double of_part = p == 0 ? 0 : p_error / p + loss_error / loss + o_error / o + 4 * h;
    const long double w = power * (1 + part);
    const long double least = t->dtype == XN_FLOAT32 ? 0x1p-149L : (long double)0x1p-1009; /* of a power */
    shaped s = {power * loss, power * (loss * (of_power + 2 * h) + loss_error) + least * (isinf(loss) ? 0 : loss), w,
                w * (of_power + 3 * h) + power * part * of_part + least * (1 + part)};
    if (vague > 0) s.f_error += s.f + vague * loss, s.w_error += s.w + vague * (1 + 2 * c);
    return s;
}

/* Errors of v = u w, of their sum V, and of V without one of them. */
typedef struct {
    mixed_sum sum;
    int64_t count; /* of targets that are not 0 */
    freedom freedom;
} shaped_mass;

static long double of_v(const truth *t, const errors *e, int64_t c, shaped s) {
    return fabsl(t->u[c]) * (s.w_error + fabsl(s.w) * e->h + e->tiny) + target_error(t, e, c) * fabsl(s.w) + e->tiny;
}

static int is_told(const truth *t) {
    const int small = t->alpha != 0 && fabs(t->alpha) < 0x1p-20;
    return fabs(t->coefficient) <= 0x1p20 && fabs(t->alpha) <= 0x1p20 && !small;
}

static long double slope_weight(const truth *t) {
    return (long double)t->weight * (long double)t->grad_scale * (long double)t->alpha;
}

/* Adds a class to the loss. What it multiplies may be infinite, where p is 0. */
static void add_loss(mixed_sum *loss, const truth *t, const errors *e, int64_t c, shaped one) {
    const long double error = target_error(t, e, c), many = (long double)(t->classes + 8) * E;
    if (isinf(one.f) && is_vague(t, e, c)) loss->freedom = ANYTHING;
    if (t->u[c] == 0) return;
    mixed_add(loss, t->u[c] * one.f, isinf(one.f) ? 0 : fabsl(one.f) * (error + fabsl(t->u[c]) * many));
    loss->error += (isinf(one.f) ? 0 : fabsl(t->u[c]) * (one.f_error + 4 * e->tiny)) + 4 * e->tiny;
}

/* A loss times alpha, then times the weight. */
static expected finished(const truth *t, mixed_sum loss) {
    const long double alpha = (long double)t->alpha, size = fabsl(alpha);
    mixed_sum scaled = {.value = alpha * loss.value, .size = size * loss.size, .freedom = sum_freedom(&loss)};
    scaled.positive = size * (alpha < 0 ? loss.negative : loss.positive);
    scaled.negative = size * (alpha < 0 ? loss.positive : loss.negative);
    scaled.error = size * (loss.error + E * loss.size) + (long double)0x1p-1074;
    return weighted_loss(scaled, (long double)t->weight);
}

/* From logits. */

static shaped logit_class(const truth *t, const errors *e, const sums *s, int64_t c) {
    const int at_max = t->x[c] == s->max;
    const long double p = t->plane[PROB][c].value / s->s, others = ((s->ties - 1) + s->rest) / s->s;
    const long double rel = 2 * e->exp + e->sum + 3 * e->h, o = at_max ? others : 1 - p, distance = s->max - t->x[c];
    const long double loss = s->log_s + distance;
    const long double loss_error = s->log_error + e->h * (s->log_s + distance + loss) + e->tiny;
    const long double least = others < 0x1p-999L ? others : 0; /* counts as 0 */
    const long double o_error = at_max ? others * (rel + 8 * E) + e->underflow + least : p * rel + e->h * o;
    return shape_class(t, e->h, p, p * rel + e->tiny, o, o_error, loss, loss_error);
}

static void logit_slope(truth *t, const errors *e, const sums *s, const shaped_mass *m, int64_t c, shaped one) {
    const long double w = slope_weight(t), h = e->h;
    const long double p = t->plane[PROB][c].value / s->s, others = ((s->ties - 1) + s->rest) / s->s;
    const long double rel = 2 * e->exp + e->sum + 5 * h, v = t->u[c] == 0 ? 0 : t->u[c] * one.w;
    const long double own = of_v(t, e, c, one), mass = m->sum.value, size = m->sum.size;
    const long double rounded = h * fabsl(mass) + (long double)t->classes * E * size;
    const int alone = m->count == (t->u[c] != 0), at_max = t->x[c] == s->max;
    long double slope, bound;
    if (at_max && others < 0.5L) { /* (V - v) - V others: where v is all of V, the first is exactly 0 */
        slope = (mass - v) - mass * others;
        bound = alone ? 0 : m->sum.error - own + 2 * rounded + 2 * h * fabsl(v);
        bound += others * (size * rel + m->sum.error + rounded) + size * e->underflow;
    } else {
        slope = mass * p - v;
        bound = p * (size * rel + m->sum.error + rounded) + own + 2 * h * fabsl(v);
    }
    bound += t->scale_error * fabsl(slope);
    const long double least = isinf(t->x[c]) && t->u[c] == 0 ? 0 : e->tiny * (3 + fabsl(w) * (2 + size));
    expected *grad = &t->plane[GRAD][c];
    *grad = within(w * slope, fabsl(w) * (bound + 3 * h * fabsl(slope)) + least + lost(e, w, 2 * size));
    grad->freedom = m->freedom ? m->freedom : slope_freedom(e, w, mass, size);
    /* V p (1 - p), V being held fixed. */
    const long double half = p * (at_max ? others : 1 - p), steep = w * (long double)t->hess_scale;
    bound = half * (size * (4 * rel + 6 * h) + m->sum.error + rounded + fabsl(mass) * t->scale_error);
    bound = fabsl(steep) * (bound + size * e->underflow) + e->tiny * (3 + fabsl(steep) * (2 + size));
    expected *hess = &t->plane[HESS][c];
    *hess = within(steep * mass * half, isinf(t->x[c]) ? 0 : bound + lost(e, steep, 2 * size));
    hess->freedom = m->freedom ? m->freedom : curve_freedom(e, w, steep, mass, size);
}

void truth_shaped_softmax(truth *t) {
    const errors e = errors_of(t);
    const sums s = sum_row(t, &e);
    if (isnan(s.s) || t->dropped) {
        undefined(t, &e);
        return;
    }
    mixed_sum loss = {.freedom = is_told(t) ? NOTHING_ELSE : ANYTHING};
    shaped_mass m = {.freedom = loss.freedom};
    for (int64_t c = 0; c < t->classes; c++) {
        if (t->u[c] == 0 && !is_vague(t, &e, c)) continue;
        const shaped one = logit_class(t, &e, &s, c);
        const long double v = t->u[c] == 0 ? 0 : t->u[c] * one.w;
        add_loss(&loss, t, &e, c, one);
        if (isfinite(one.f) && one.f > 28 * e.most) loss.freedom = ANYTHING; /* next to the largest number */
        if (fabsl(t->u[c]) > e.most) loss.freedom = m.freedom = ANYTHING; /* times 0, may be */
        mixed_add(&m.sum, v, of_v(t, &e, c, one));
        m.count++;
    }
    if (!isnan(m.sum.size) && !(m.sum.size * 1024 <= e.most)) loss.freedom = m.freedom = ANYTHING;
    t->loss = finished(t, loss);
    for (int64_t c = 0; c < t->classes; c++) logit_slope(t, &e, &s, &m, c, logit_class(t, &e, &s, c));
}

/* From probabilities. */

typedef struct {
    long double sum, of_sum, of_clip;
} scale;

static shaped prob_class(const truth *t, const errors *e, const scale *s, clipped y, long double *unfused) {
    const long double h = e->h, low = (long double)t->epsilon;
    const long double q = y.q < low ? low : y.q > 1 - low ? 1 - low : y.q, o = 1 - y.q < low ? low : 1 - q;
    const long double of_log = y.loss * 8 * h + s->of_sum, of_o = y.inside ? s->of_sum + 3 * h * o : h * o;
    shaped one = shape_class(t, h, q, q * (3 * h + s->of_sum), o, of_o, y.loss, of_log);
    const long double steep = 2 + fabsl((long double)t->coefficient);
    *unfused = 4 * h * steep; /* without FMA the quotient is rounded before its logarithm */
    if (y.unsure) one.f_error += 4 * s->of_clip * steep;
    return one;
}

static void prob_slope(truth *t, const errors *e, const scale *s, const shaped_mass *m, long double unsure, int64_t c) {
    const long double w = slope_weight(t), h = e->h, size = fabsl(w);
    const clipped y = clip(t, e, t->x[c], s->sum, s->of_clip);
    long double unfused;
    const shaped one = prob_class(t, e, s, y, &unfused);
    const long double v = t->u[c] == 0 ? 0 : t->u[c] * one.w, base = w * m->sum.value / s->sum;
    const long double quotient = v == 0 ? 0 : v / t->x[c], other = w * quotient, own = y.inside ? other : 0;
    const long double all = (long double)t->classes * E * m->sum.size;
    long double error = size / s->sum * (m->sum.error + all) + fabsl(base) * (4 * h + s->of_sum);
    error += 2 * h * fabsl(base - own) + t->scale_error * (fabsl(base) + fabsl(own));
    error += fabsl(w) < e->normal ? fabsl(base) : 0; /* a weight of 0 drops it all */
    error += fabsl(w * m->sum.value) < (long double)0x1p-1022 ? 0x1p-1073L / s->sum : 0;
    if (y.inside || y.unsure)
        error += size / fabsl(t->x[c]) * of_v(t, e, c, one) + fabsl(other) * 4 * h + lost(e, w, quotient);
    error += 2 * (size * unsure / s->sum + (y.unsure ? fabsl(other) : 0)) + e->tiny * (2 + size);
    expected *grad = &t->plane[GRAD][c];
    *grad = within(base - own, error);
    grad->unfused = size * unfused * (m->sum.size / s->sum + (own != 0 ? fabsl(t->u[c] / t->x[c]) : 0));
    grad->freedom = m->freedom ? m->freedom : slope_freedom(e, w, m->sum.value, m->sum.size);
    /* An error alone may be more than the type holds, where the weight has not yet made it smaller. */
    const long double off = (of_v(t, e, c, one) + fabsl(t->u[c]) * unfused) / fabsl(t->x[c]);
    const int large = !(fabsl(quotient) + off <= e->most) && !isnan(quotient);
    if (y.subnormal || (large && (y.inside || y.unsure)) || fabsl(base) > e->most) grad->freedom = ANYTHING;
}

static void shaped_quotients(truth *t, const errors *e) {
    const prob_sum sum = sum_probabilities(t, e);
    if (!sum.has_quotients) return;
    const scale s = {sum.value, sum.error, e->h + sum.error};
    mixed_sum loss = {.freedom = is_told(t) ? NOTHING_ELSE : ANYTHING};
    shaped_mass m = {.freedom = loss.freedom};
    long double rough = 0, unsure = 0, unfused;
    for (int64_t c = 0; c < t->classes; c++) {
        const clipped y = clip(t, e, t->x[c], s.sum, s.of_clip);
        const shaped one = prob_class(t, e, &s, y, &unfused);
        const int counts = t->u[c] != 0 || is_vague(t, e, c);
        if (counts && y.subnormal) loss.freedom = m.freedom = ANYTHING;
        add_loss(&loss, t, e, c, one);
        rough += fabsl(t->u[c]) * unfused;
        if (y.unsure) unsure += fabsl(t->u[c] * one.w) + (y.inside ? 0 : of_v(t, e, c, one));
        if (y.inside || isnan(t->u[c])) mixed_add(&m.sum, t->u[c] == 0 ? 0 : t->u[c] * one.w, of_v(t, e, c, one));
        if (fabsl(t->u[c]) > e->most) loss.freedom = m.freedom = ANYTHING;
    }
    if (!isnan(m.sum.size) && !(m.sum.size * 1024 <= e->most)) loss.freedom = m.freedom = ANYTHING;
    t->loss = finished(t, loss);
    t->loss.unfused = fabsl((long double)t->weight * (long double)t->alpha) * rough;
    for (int64_t c = 0; c < t->classes; c++) prob_slope(t, e, &s, &m, unsure, c);
}

/* log(t / p) errs by 10 h of itself, and where it is clipped by the rounding of epsilon. Between 0 and the normal
 * numbers it is not told. */
static void divergence(truth *t, const errors *e) {
    const long double h = e->h, low = (long double)t->epsilon, weight = (long double)t->weight * (long double)t->alpha;
    const long double w = slope_weight(t);
    mixed_sum loss = {.freedom = is_told(t) ? NOTHING_ELSE : ANYTHING};
    long double rough = 0;
    for (int64_t c = 0; c < t->classes; c++) {
        const long double u = t->u[c], p = t->x[c];
        const long double a = u < low ? low : u > 1 ? 1 : u, b = p < low ? low : p > 1 ? 1 : p + 0.0L;
        const long double apart = fabsl(a - b) < b / 2 ? log1pl((a - b) / b) : logl(a / b);
        const long double f = a == 0 ? 0 : a * apart, rounded = (u < low) + (p < low) > 0 ? 2 * h : 0;
        const int coarse = low > 0 && low < e->normal && p >= 0 && p < 2 * e->normal;
        const int vague = coarse || (a > 0 && a < 2 * e->normal) || (a > 0 && b > 0 && b < 2 * e->normal);
        if (vague) loss.freedom = ANYTHING;
        mixed_add(&loss, f,
                  isinf(f) ? 0 : a * rounded + fabsl(f) * (10 * h + rounded + (long double)(t->classes + 8) * E));
        loss.error += 4 * e->tiny;
        rough += 4 * h * a;
        const int inside = !(p < low || p > 1), unsure = fabsl(p - low) <= 2 * h * low;
        const long double quotient = a == 0 ? 0 : a / p, slope = -w * quotient;
        const long double error = fabsl(slope) * (6 * h + rounded + t->scale_error + (unsure ? 1 : 0));
        expected *grad = &t->plane[GRAD][c];
        *grad = within(inside ? slope : 0, (inside || unsure ? error + lost(e, w, quotient) : 0) + 2 * e->tiny);
        grad->freedom = slope_freedom(e, w, isnan(quotient) && inside ? quotient : 1, 1);
        const int large = !(fabsl(quotient) <= e->most) && !isnan(quotient);
        if (isnan(quotient) && unsure) grad->freedom = ANYTHING;
        if (!inside && isnan(w)) grad->freedom = ANYTHING;
        if (vague || ((inside || unsure) && large)) grad->freedom = ANYTHING;
        if (!is_told(t)) grad->freedom = ANYTHING;
    }
    t->loss = finished(t, loss);
    t->loss.unfused = fabsl(weight) * rough;
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
