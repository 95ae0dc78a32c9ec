/* SPDX-License-Identifier: BSD-3-Clause */
/* Cross-entropy from probabilities by its formula in long double, with error bounds. The units are those at the head of
 * truth.c.
 *
 * Nothing is told of rows whose sum is negative, cancels, or is so large or so small that it or its inverse is no
 * normal number; nor of quotients below the normal numbers where epsilon lets them be. */
#include <math.h>

#include "truth_parts.h"

clipped clip(const truth *t, const errors *e, long double p, long double sum, long double error) {
    const long double low = (long double)t->epsilon, high = 1 - low;
    clipped c = {.q = p / sum, .inside = 1};
    /* What is compared is epsilon S to p, in the compute type, or p / S to epsilon, in float64. */
    const long double coarse = error * low + e->tiny / fabsl(sum) + 0x1p-1074L;
    c.unsure = (low > 0 && fabsl(c.q - low) <= coarse) || fabsl(c.q - high) <= error;
    const int above = 1 - c.q < low; /* also where 1 - low rounds to 1 */
    if (c.q < low || above || c.q == 0) c.inside = 0;
    c.loss = above ? -log1pl(-low) : -logl(c.q < low ? low : c.q);
    c.subnormal = c.q > 0 && c.q < 2 * e->normal && (c.unsure || c.q >= low);
    return c;
}

prob_sum sum_probabilities(truth *t, const errors *e) {
    prob_sum s = {0};
    long double size = 0;
    for (int64_t c = 0; c < t->classes; c++) {
        s.value += t->x[c];
        size += fabsl(t->x[c]);
    }
    s.error = (long double)(t->classes + 4) * E * size / fabsl(s.value);
    const int label = t->label >= 0 && t->dtype == XN_FLOAT32; /* all in float64 */
    const long double most = label ? 0x1p1000L : e->most / 16, least = label ? 0x1p-1000L : 16 / e->most;
    if (isnan(s.value) || size == 0) {
        undefined(t, e);
    } else if (s.value < least || s.value > most || size > most || s.error > 0x1p-12L) {
        untold(t);
    } else {
        s.has_quotients = 1;
    }
    return s;
}

/* One target: everything in float64, then rounded. S errs by C E, and log by as much. */
static void prob_label(truth *t, const errors *e, const prob_sum *s) {
    const long double w = (long double)t->weight * (long double)t->grad_scale, p = t->x[t->label], sum = s->value;
    const clipped y = clip(t, e, p, sum, e->h + s->error);
    mixed_sum loss = {.freedom = y.subnormal ? ANYTHING : NOTHING_ELSE};
    mixed_add(&loss, y.loss, s->error + E * y.loss);
    t->loss = weighted_loss(loss, (long double)t->weight);
    const long double elsewhere = y.inside ? w / sum : 0, there = y.inside ? -w / sum * ((sum - p) / p) : 0;
    const long double unsure = y.unsure ? (1 + 4 * e->h) * fabsl(w / sum) + fabsl(w / p) : 0;
    expected other = within(elsewhere, fabsl(elsewhere) * (e->h + s->error + t->scale_error) + e->tiny + unsure);
    /* w / S may be no normal number, though what it multiplies makes it one. */
    const long double lost64 = y.inside && fabsl(w / sum) < (long double)0x1p-1022 ? 0x1p-1074L * fabsl(sum / p) : 0;
    const long double cancelled = y.inside ? fabsl(w / p) * s->error : 0; /* S - p may cancel */
    expected own =
        within(there, fabsl(there) * (e->h + 4 * E + t->scale_error) + e->tiny + cancelled + unsure + lost64);
    if (y.subnormal || (y.unsure && !isfinite(unsure)) || isinf(w)) other.freedom = own.freedom = ANYTHING;
    if (fabsl(w / sum) > MOST64 || (y.inside && fabsl(w / p) > MOST64)) own.freedom = ANYTHING; /* inf * 0 */
    if (fabsl(w) < e->normal || (y.unsure && isnan(w))) other.freedom = own.freedom = ANYTHING;
    for (int64_t c = 0; c < t->classes; c++) t->plane[GRAD][c] = c == t->label ? own : other;
}

/* What the gradient of dense targets begins with: the sum of those that are not clipped, and of those that may be. */
typedef struct {
    mixed_sum mass;
    long double unsure;
    freedom freedom;
} prob_mass;

/* -log q errs by 4 e of itself, and by that of S. Without FMA the quotient is rounded before 1 is taken off, which
 * costs e more, absolutely. */
static prob_mass dense_loss(truth *t, const errors *e, const prob_sum *s) {
    const long double h = e->h, of_clip = h + s->error;
    mixed_sum loss = {0};
    prob_mass m = {0};
    long double unfused = 0, size = 0;
    for (int64_t c = 0; c < t->classes; c++) {
        const clipped y = clip(t, e, t->x[c], s->value, of_clip);
        const long double u = t->u[c], error = target_error(t, e, c);
        size += fabsl(u);
        if (isnan(u) || y.inside) mixed_add(&m.mass, u, error + (e->sum + 3 * h) * fabsl(u));
        m.unsure += y.unsure ? fabsl(u) + error : 0;
        if (u == 0 && error == 0) continue;
        if (y.subnormal || (isinf(y.loss) && is_vague(t, e, c))) loss.freedom = ANYTHING;
        if (u == 0) continue;
        mixed_add(&loss, u * y.loss, isinf(y.loss) ? 0 : error * y.loss);
        loss.error += fabsl(u) * (fabsl(y.loss) * (8 * h + e->sum) + s->error + (y.unsure ? 2 * of_clip : 0));
        unfused += fabsl(u) * 4 * h;
    }
    loss.error += (long double)t->classes * 2 * e->tiny;
    if (!isnan(size) && !(size * 1024 <= e->most)) loss.freedom = m.freedom = ANYTHING;
    t->loss = weighted_loss(loss, (long double)t->weight);
    t->loss.unfused = fabsl((long double)t->weight) * unfused;
    return m;
}

static void prob_dense(truth *t, const errors *e, const prob_sum *s) {
    const long double w = (long double)t->weight * (long double)t->grad_scale, size = fabsl(w), h = e->h;
    const prob_mass m = dense_loss(t, e, s);
    const long double base = w * m.mass.value / s->value, of_clip = h + s->error;
    const long double lost64 = fabsl(w * m.mass.value) < (long double)0x1p-1022 ? 0x1p-1073L / s->value : 0;
    const long double of_base = size * m.mass.error / s->value + fabsl(base) * (s->error + 3 * h) + lost64;
    for (int64_t c = 0; c < t->classes; c++) {
        const clipped y = clip(t, e, t->x[c], s->value, of_clip);
        const long double target = t->u[c], vague = target_error(t, e, c);
        const long double quotient = target == 0 ? 0 : target / t->x[c], other = w * quotient;
        const long double own = y.inside ? other : 0, of_target = vague == 0 ? 0 : vague / fabsl(t->x[c]);
        long double error = of_base + 2 * h * fabsl(base - own);
        if (y.inside || y.unsure) error += size * of_target;
        if (y.inside) error += fabsl(own) * 3 * h;
        error += (1 + 4 * h + s->error) * size * m.unsure / s->value + (y.unsure ? fabsl(other) : 0);
        error += fabsl(w) < e->normal ? fabsl(base) : 0; /* a weight of 0 drops it all */
        error += e->tiny * (1 + size) + lost(e, w, y.inside || y.unsure ? quotient : 0) +
                 t->scale_error * (fabsl(base) + fabsl(own));
        expected *grad = &t->plane[GRAD][c];
        *grad = within(base - own, error);
        grad->freedom = m.freedom ? m.freedom : slope_freedom(e, w, m.mass.value, m.mass.size);
        const int large = !(fabsl(quotient) <= e->most) && !isnan(quotient);
        if (y.subnormal || (large && (y.inside || y.unsure)) || fabsl(base) > e->most) grad->freedom = ANYTHING;
    }
}

void truth_prob(truth *t) {
    const errors e = errors_of(t);
    const prob_sum s = sum_probabilities(t, &e);
    if (t->dropped) {
        drop(t);
    } else if (s.has_quotients && t->label >= 0) {
        prob_label(t, &e, &s);
    } else if (s.has_quotients) {
        prob_dense(t, &e, &s);
    }
}
