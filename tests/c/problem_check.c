/* SPDX-License-Identifier: BSD-3-Clause */
/* The results of a problem against the truth of its rows. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "halves.h"
#include "problem.h"
#include "truth_binary.h"

static const char *const names[] = {"grad", "hess", "prob", "log_prob", "loss", "lse", "each"};

static const long double E = 0x1p-52L, MOST = 0x1p1020L; /* as in truth.c */

/* A sum of results. Infinities of both signs do not add up to anything that can be told. */
typedef struct {
    mixed_sum sum;
    long double unfused;
    int up, down, unsure; /* whether a term is or may be plus or minus infinity; and whether one only may */
} total;

static void add(total *t, expected e) {
    mixed_add(&t->sum, e.value, e.bound);
    t->unfused += e.unfused;
    if (e.freedom == ANYTHING) t->sum.freedom = ANYTHING;
    if (e.freedom != OR_INFINITE && !isinf(e.value)) return;
    t->up |= e.value >= 0;
    t->down |= e.value <= 0;
    t->unsure |= !isinf(e.value);
}

/* Each term added errs by E of the sizes of all. */
static expected total_of(const total *t, int64_t terms) {
    expected e = within(t->sum.value, t->sum.error + (long double)(terms + 8) * E * t->sum.size);
    e.unfused = t->unfused;
    e.freedom = sum_freedom(&t->sum);
    if (e.freedom == NOTHING_ELSE && t->unsure) e.freedom = OR_INFINITE;
    if (isinf(e.value) || (isnan(e.value) && !t->unsure)) e.freedom = t->sum.freedom;
    if (t->unsure && ((t->up && !(e.value > 0)) || (t->down && !(e.value < 0)))) e.freedom = ANYTHING;
    return e;
}

/* What a check works with, for one row after the other. */
typedef struct {
    problem *q;
    const outcome *outcomes;
    int count;
    long double divisor, divisor_error; /* what the sum of the losses is divided by, and its relative error */
    double grad_scale;
    long double *x, *u, *u_error;
    expected *plane[OUTPUTS]; /* of a row, [classes] */
    total total; /* of the losses */
} check;

/* Weights are added in float64, in some order. */
static void find_divisor(check *k) {
    const problem *q = k->q;
    long double rows = 0, weight = 0, size = 0, finite = 0;
    for (int64_t row = 0; row < q->rows; row++) {
        if (q->p.labels.data && q->label[row] < 0) continue;
        rows += 1;
        weight += (long double)q->weight[row];
        size += fabsl((long double)q->weight[row]);
        if (isfinite(q->weight[row])) finite += fabsl((long double)q->weight[row]);
    }
    k->divisor = q->p.reduction == XN_MEAN ? rows : q->p.reduction == XN_WEIGHTED_MEAN ? weight : 1;
    if (q->p.reduction == XN_WEIGHTED_MEAN && size != 0 && !isinf(weight) && !isnan(weight))
        k->divisor_error = (rows + 4) * E * size / fabsl(weight);
    if (finite > MOST && !isnan(weight)) k->divisor_error = (long double)INFINITY; /* parts of it may be infinite */
    const double divisor = (double)k->divisor;
    k->grad_scale = divisor == 0 ? 0 : 1 / divisor;
}

/* Whether the divisor is known well enough to tell anything of what it divides. */
static int divides(const check *k) {
    return k->divisor_error < 0x1p-10L;
}

/* What is shared among the classes may be too small to be a number. */
static int is_smooth(const xn_problem *p) {
    return p->label_smoothing / (double)p->classes != 0;
}

/* The effective targets of a row, and their errors: a rounding of keep or spread, of the product, the sum and the
 * weight of the class, and what underflows on the way. */
static void find_targets(check *k, int64_t row) {
    const xn_problem *p = &k->q->p;
    const long double h = real_of(p->dtype) == XN_FLOAT32 ? 0x1p-24L : 0x1p-53L;
    const long double tiny = real_of(p->dtype) == XN_FLOAT32 ? 0x1p-149L : (long double)0x1p-1074;
    const long double keep = (long double)(1 - p->label_smoothing);
    const long double spread = (long double)(p->label_smoothing / (double)p->classes);
    const int plain = !is_smooth(p) && !p->class_weight;
    for (int64_t c = 0; c < p->classes; c++) {
        const long double weight =
            p->class_weight ? (long double)field_get(&k->q->class_weight, real_of(p->dtype), 0, c, 0) : 1;
        const long double target = (long double)k->q->u[row * p->classes + c];
        const long double size = fabsl(keep * target) + spread;
        k->u[c] = (keep * target + spread) * weight;
        k->u_error[c] = plain || size == 0 ? 0 : 4 * h * size * fabsl(weight) + 2 * tiny * (1 + fabsl(weight));
    }
}

static truth truth_of(check *k, int64_t row) {
    const problem *q = k->q;
    const xn_problem *p = &q->p;
    const int has_targets = p->labels.data || p->target.data;
    truth t = {
        .dtype = real_of(p->dtype),
        .classes = p->classes,
        .x = k->x,
        .u = has_targets ? k->u : NULL,
        .u_error = k->u_error,
        .label = -1,
        .plain = !is_smooth(p) && !p->class_weight,
        .dropped = (p->labels.data && q->label[row] < 0) || q->weight[row] == 0,
        .weight = q->weight[row],
        .grad_scale = k->grad_scale,
        .scale_error = k->divisor_error,
        .epsilon = p->epsilon,
        .hess_scale = p->hess_scale == 0 ? 1 : p->hess_scale,
        .shape = (int)p->shape,
        .coefficient = p->coefficient,
        .alpha = p->alpha,
    };
    for (int plane = 0; plane < PLANES; plane++) t.plane[plane] = k->plane[plane];
    for (int64_t c = 0; c < p->classes; c++) k->x[c] = (long double)q->x[row * p->classes + c];
    find_targets(k, row);
    if (!p->labels.data || is_smooth(p) || q->label[row] < 0) return t;
    /* One target: its class weight is a factor of the row, and a row without weight is dropped. */
    const int64_t label = q->label[row];
    t.weight *= (double)k->u[label];
    t.dropped |= t.weight == 0;
    for (int64_t c = 0; c < p->classes; c++) {
        k->u[c] = c == label; /* the weights of other classes play no part, whatever they are */
        k->u_error[c] = 0;
    }
    if (p->shape == XN_PLAIN) t.label = label;
    return t;
}

/* Whether nothing more is said of what derivatives are multiplied with. */
static freedom derivative_freedom(const check *k, int output, freedom own) {
    return (output == GRAD || output == HESS) && !divides(k) ? ANYTHING : own;
}

static void check_value(check *k, int output, int64_t row, int64_t c, expected e, xn_dtype dtype) {
    problem *q = k->q;
    double ratio;
    for (int i = 0; i < k->count; i++) {
        const outcome *o = k->outcomes + i;
        const double got = q->values[o->kept][output][row * width_of(q, output) + c];
        q->checked++;
        q->told += e.freedom != ANYTHING && !isinf(e.bound);
        if (is_expected(got, e, dtype, o->fused, &ratio)) continue;
        const int64_t at = row * q->p.classes + c;
        fail("%s: %s of row %" PRId64 ", class %" PRId64 " is %.17g, not %.20Lg; bound %.3Lg, label %" PRId64
             ", input %.17g, target %.17g, weight %.17g, divisor %.17Lg",
             o->isa, names[output], row, c, got, e.value, e.bound, q->label[row], q->x[at], q->u[at], q->weight[row],
             k->divisor);
    }
}

static void check_row(check *k, int64_t row, expected loss, expected lse) {
    const problem *q = k->q;
    for (int output = 0; output < OUTPUTS; output++) {
        if (!wants(q, output)) continue;
        const int64_t width = width_of(q, output);
        const int of_row = output == LOSS || output == LSE;
        const xn_dtype dtype = dtype_of(q, output);
        /* What the compute type cannot hold is infinite, whatever it is stored in. */
        const xn_dtype narrow = of_row && real_of(q->p.dtype) == XN_FLOAT32 ? XN_FLOAT32 : dtype;
        for (int64_t c = 0; c < width; c++) {
            expected e = output == LOSS ? loss : output == LSE ? lse : k->plane[output][c];
            if (of_row || dtype != real_of(q->p.dtype)) e = stored(e, dtype);
            e.freedom = derivative_freedom(k, output, e.freedom);
            check_value(k, output, row, c, e, narrow);
        }
    }
}

static void check_softmax(check *k, int64_t row) {
    truth t = truth_of(k, row);
    switch (k->q->operation) {
        case PROB_CE: truth_prob(&t); break;
        case SHAPED: truth_shaped_softmax(&t); break;
        case SHAPED_PROB: truth_shaped_prob(&t); break;
        default: truth_softmax(&t); break;
    }
    check_row(k, row, t.loss, t.lse);
    if (!t.u) return;
    add(&k->total, t.loss);
}

static xn_binary_kind kind_of(const xn_problem *p) {
    if (!p->target.data && !p->labels.data) return XN_SIGMOID;
    if (p->binary.focal) return p->binary.from_probabilities ? XN_FOCAL_PROBABILITIES : XN_FOCAL_LOGITS;
    return p->binary.from_probabilities ? XN_PROBABILITIES : XN_LOGITS;
}

static expected weighted(expected e, long double factor) {
    if (factor == 0) return within(0, 0);
    if (e.freedom == NOTHING_ELSE && fabsl(factor * e.value) > MOST) e.freedom = OR_INFINITE;
    if (isinf(factor) && fabsl(e.value) <= e.bound) e.freedom = ANYTHING;
    e.bound = fabsl(factor) * (e.bound + 4 * E * fabsl(e.value)) + (long double)0x1p-1074;
    e.value *= factor;
    if (isnan(e.value) && e.freedom == OR_INFINITE) e.freedom = NOTHING_ELSE;
    return e;
}

static void check_binary(check *k, int64_t row) {
    const problem *q = k->q;
    const xn_problem *p = &q->p;
    const double share = p->binary.share == 0 ? 1 / (double)p->classes : p->binary.share;
    const double weight = p->labels.data && q->label[row] < 0 ? 0 : q->weight[row];
    total sum = {0};
    for (int64_t c = 0; c < p->classes; c++) {
        truth_element e = {.kind = kind_of(p),
                           .dtype = real_of(p->dtype),
                           .smoothing = p->label_smoothing,
                           .epsilon = p->epsilon,
                           .coefficient = p->coefficient,
                           .alpha = p->alpha,
                           .balanced = p->binary.balanced,
                           .x = q->x[row * p->classes + c],
                           .target = q->u[row * p->classes + c],
                           .pos_weight = 1,
                           .weight = weight,
                           .scale =
                               weight == 0 ? 0 : (long double)weight * (long double)k->grad_scale * (long double)share,
                           .scale_error = k->divisor_error};
        if (p->binary.pos_weight) e.pos_weight = field_get(&q->pos_weight, e.dtype, 0, c, 0);
        truth_binary(&e);
        k->plane[PROB][c] = e.prob;
        k->plane[GRAD][c] = e.grad;
        k->plane[HESS][c] = e.hess;
        k->plane[EACH][c] = e.each;
        add(&sum, e.loss);
    }
    const expected loss = weighted(total_of(&sum, p->classes), (long double)share * (long double)weight);
    check_row(k, row, loss, (expected){0});
    if (p->target.data || p->labels.data) add(&k->total, loss);
}

static void check_reduced(const check *k) {
    const problem *q = k->q;
    double ratio;
    expected e = total_of(&k->total, q->rows);
    /* The sum overflows, though the mean would not; or its errors alone may. */
    if (k->total.sum.size > MOST && e.freedom == NOTHING_ELSE)
        e.freedom = fabsl(e.value) < k->total.sum.size * 0.999L ? ANYTHING : OR_INFINITE;
    if (e.bound > MOST) e.freedom = ANYTHING;
    e.bound = (e.bound + k->divisor_error * fabsl(e.value)) / fabsl(k->divisor) + (long double)0x1p-1074;
    e.unfused /= fabsl(k->divisor);
    e.value /= k->divisor;
    if (fabsl(e.value) > MOST && e.freedom == NOTHING_ELSE) e.freedom = OR_INFINITE;
    if (!divides(k)) e.freedom = ANYTHING;
    if (isnan(k->divisor)) e = within(k->divisor, 0);
    if (k->divisor == 0 && divides(k)) e = within(0, 0);
    if (q->p.without_loss) e = within(0, 0);
    for (int i = 0; i < k->count; i++) {
        const outcome *o = k->outcomes + i;
        if (!is_expected(q->reduced[o->kept], e, XN_FLOAT64, o->fused, &ratio))
            fail("%s: reduced to %.17g, not %.20Lg; bound %.3Lg", o->isa, q->reduced[o->kept], e.value, e.bound);
    }
}

void problem_check(problem *q, const outcome *outcomes, int count) {
    if (!is_long_double_whole()) {
        for (int i = 0; i < count; i++)
            for (int output = 0; output < OUTPUTS; output++)
                if (q->outputs >> output & 1)
                    use_values(q->values[outcomes[i].kept][output], q->rows * (output < PLANES ? q->p.classes : 1));
        return;
    }
    const int64_t classes = q->p.classes;
    check k = {.q = q, .outcomes = outcomes, .count = count};
    long double *numbers = resized(NULL, 3 * classes, sizeof *numbers);
    expected *planes = resized(NULL, OUTPUTS * classes, sizeof *planes);
    k.x = numbers, k.u = numbers + classes, k.u_error = numbers + 2 * classes;
    for (int output = 0; output < OUTPUTS; output++) k.plane[output] = planes + output * classes;
    find_divisor(&k);
    for (int64_t row = 0; row < q->rows; row++) {
        if (q->operation == BINARY) {
            check_binary(&k, row);
        } else {
            check_softmax(&k, row);
        }
    }
    check_reduced(&k);
    free(numbers);
    free(planes);
}
