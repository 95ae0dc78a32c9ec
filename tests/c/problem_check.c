/* SPDX-License-Identifier: BSD-3-Clause */
/* The results of a problem against the truth of its rows. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "problem.h"

/* What the sum of the losses is divided by. */
static double divisor_of(const problem *q) {
    double rows = 0, weight = 0;
    for (int64_t row = 0; row < q->rows; row++) {
        if (q->p.labels.data && q->label[row] < 0) continue;
        rows += 1;
        weight += q->weight[row];
    }
    return q->p.reduction == XN_MEAN ? rows : q->p.reduction == XN_WEIGHTED_MEAN ? weight : 1;
}

/* The effective targets of a row, into u. */
static void targets_of(const problem *q, int64_t row, long double *u) {
    const xn_problem *p = &q->p;
    const double keep = 1 - p->label_smoothing, spread = p->label_smoothing / (double)p->classes;
    for (int64_t c = 0; c < p->classes; c++) {
        u[c] = (long double)keep * (long double)q->u[row * p->classes + c] + (long double)spread;
        if (p->class_weight) u[c] *= (long double)field_get(&q->class_weight, p->dtype, 0, c, 0);
    }
}

static truth truth_of(const problem *q, int64_t row, long double *x, long double *u, double grad_scale) {
    const xn_problem *p = &q->p;
    const int has_targets = p->labels.data || p->target.data;
    const int single = p->labels.data && p->label_smoothing == 0;
    truth t = {
        .dtype = p->dtype,
        .classes = p->classes,
        .x = x,
        .u = has_targets ? u : NULL,
        .label = -1,
        .plain = p->label_smoothing == 0 && !p->class_weight,
        .dropped = (p->labels.data && q->label[row] < 0) || q->weight[row] == 0,
        .weight = q->weight[row],
        .grad_scale = grad_scale,
        .epsilon = p->epsilon,
    };
    for (int64_t c = 0; c < p->classes; c++) x[c] = (long double)q->x[row * p->classes + c];
    targets_of(q, row, u);
    if (!single || q->label[row] < 0) return t;
    /* One target: its class weight is a factor of the row, and a row without weight is dropped. */
    t.label = q->label[row];
    t.weight *= (double)u[t.label];
    t.dropped |= t.weight == 0;
    u[t.label] = 1;
    return t;
}

/* A value of a row is stored in float32 or float64. */
static expected stored(expected e, xn_dtype dtype) {
    if (dtype == XN_FLOAT32) e.bound += fabsl(e.value) * 0x1p-24L * (1 + 0x1p-20L) + 0x1p-149L;
    return e;
}

static void check_row(const problem *q, int64_t row, const truth *t, int fused) {
    static const char *const names[] = {"grad", "hess", "prob", "log_prob", "loss", "lse"};
    for (int output = 0; output < OUTPUTS; output++) {
        if (!(q->outputs >> output & 1)) continue;
        const int64_t width = output < PLANES ? q->p.classes : 1;
        const xn_dtype dtype = output == LOSS ? q->p.loss.dtype : output == LSE ? q->p.lse.dtype : q->p.dtype;
        /* What the compute type cannot hold is infinite, whatever it is stored in. */
        const xn_dtype narrow = q->p.dtype == XN_FLOAT32 ? XN_FLOAT32 : dtype;
        for (int64_t c = 0; c < width; c++) {
            double ratio;
            const expected e = output < PLANES ? t->plane[output][c] : stored(output == LOSS ? t->loss : t->lse, dtype);
            const double got = q->values[FIRST][output][row * width + c];
            if (is_expected(got, e, narrow, fused, &ratio)) continue;
            fail("%s: %s of row %" PRId64 ", class %" PRId64 " is %.17g, not %.20Lg; bound %.3Lg, label %" PRId64,
                 xn_isa(), names[output], row, c, got, e.value, e.bound, q->label[row]);
            return;
        }
    }
}

void problem_check(problem *q, int fused) {
    if (!is_long_double_whole()) {
        for (int output = 0; output < OUTPUTS; output++)
            if (q->outputs >> output & 1)
                use_values(q->values[FIRST][output], q->rows * (output < PLANES ? q->p.classes : 1));
        return;
    }
    const int64_t classes = q->p.classes;
    const double divisor = divisor_of(q);
    const long double most = q->p.dtype == XN_FLOAT32 ? (long double)FLT_MAX : (long double)DBL_MAX;
    long double *x = resized(NULL, classes, sizeof *x), *u = resized(NULL, classes, sizeof *u);
    expected *planes = resized(NULL, PLANES * classes, sizeof *planes);
    long double sum = 0, bound = 0, largest = 0;
    for (int64_t row = 0; row < q->rows; row++) {
        truth t = truth_of(q, row, x, u, divisor == 0 ? 0 : 1 / divisor);
        for (int plane = 0; plane < PLANES; plane++) t.plane[plane] = planes + plane * classes;
        if (q->is_prob) {
            truth_prob(&t);
        } else {
            truth_softmax(&t);
        }
        check_row(q, row, &t, fused);
        if (t.u == NULL) continue;
        sum += t.loss.value;
        bound += t.loss.bound + (fused ? 0 : t.loss.unfused);
        if (fabsl(t.loss.value) > largest) largest = fabsl(t.loss.value);
    }
    free(x);
    free(u);
    free(planes);
    /* Losses are non-negative: a sum in float64, in any order, errs by N E of itself. */
    const long double value = divisor == 0 ? 0 : sum / (long double)divisor;
    const long double error =
        (bound + (long double)(q->rows + 4) * 0x1p-52L * sum) / (long double)(divisor == 0 ? 1 : divisor);
    double ratio;
    if (largest > most / 8 && isinf(q->reduced[FIRST])) return;
    if (!is_expected(q->reduced[FIRST], (expected){value, error, 0}, XN_FLOAT64, 1, &ratio))
        fail("%s: reduced to %.17g, not %.20Lg; bound %.3Lg", xn_isa(), q->reduced[FIRST], value, error);
}
