/* SPDX-License-Identifier: BSD-3-Clause */
/* The whole Hessian of a row, for hosts that ask for one row at a time. */
#include <stddef.h>

#include "core.h"

/* U w of a row whose Hessian has the diagonal U w p (1 - p): from the class where nothing cancels, the largest one that
 * is not above 1/2. 0 where there is none: p is then 1, or NaN, and so is all that it multiplies. */
static double row_factor(const double *diagonal, int64_t step, const double *p, int64_t classes) {
    int64_t best = -1;
    for (int64_t c = 0; c < classes; c++)
        if (p[c] <= 0.5 && p[c] > 0 && (best < 0 || p[c] > p[best])) best = c;
    return best < 0 ? 0 : diagonal[best * step] / (p[best] * (1 - p[best]));
}

xn_status xn_softmax_hessian(xn_problem *p, double *hess) {
    const int64_t n = p->classes;
    if (p->outer != 1 || p->inner != 1 || p->dtype != XN_FLOAT64 || !hess || p->hess.data) return XN_BAD_ARGUMENT;
    if (!p->prob.data || (n > 1 && p->prob.cls != 1)) return XN_BAD_ARGUMENT;
    const double *prob = p->prob.data;
    xn_problem q = *p, of_prob = {.outer = 1, .classes = n, .inner = 1, .dtype = p->dtype, .input = p->input};
    of_prob.prob = p->prob;
    of_prob.n_threads = p->n_threads;
    of_prob.classes_last = p->classes_last;
    q.hess = (xn_array){hess, 0, n + 1, 0};
    if (p->shape != XN_PLAIN) q.prob.data = NULL;
    xn_status status = p->shape == XN_PLAIN ? xn_softmax_ce(&q) : xn_softmax_ce(&of_prob);
    if (status == XN_OK && p->shape != XN_PLAIN) status = xn_shaped_ce(&q);
    p->reduced = q.reduced;
    p->bad_row = q.bad_row;
    p->bad_label = q.bad_label;
    if (status != XN_OK) return status;
    const double factor = row_factor(hess, n + 1, prob, n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) hess[i * n + j] = hess[j * n + i] = -factor * prob[i] * prob[j];
    return status;
}
