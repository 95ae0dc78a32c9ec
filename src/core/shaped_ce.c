/* SPDX-License-Identifier: BSD-3-Clause */
/* Focal loss, poly1 and KL divergence: checks what only they take, and chooses the loop order. */
#include <math.h>

#include "core.h"

_Static_assert((int)XN_PLAIN == XN_SHAPE_PLAIN && (int)XN_FOCAL == XN_SHAPE_FOCAL && (int)XN_POLY1 == XN_SHAPE_POLY1 &&
                   (int)XN_KL == XN_SHAPE_KL,
               "kernels.h has the shapes of xent.h");

static xn_status check(const xn_problem *p) {
    const xn_status sane = xn_check_problem(p);
    if (sane != XN_OK) return sane;
    const int targets = p->labels.data || p->target.data || p->outer * p->inner == 0;
    const int outputs = !(p->hess.data || p->prob.data || p->log_prob.data || p->lse.data);
    const int numbers = isfinite(p->coefficient) && isfinite(p->alpha);
    const int focal = p->shape == XN_FOCAL && p->coefficient >= 0;
    const int known = focal || p->shape == XN_POLY1 || p->shape == XN_KL;
    return targets && outputs && numbers && known ? XN_OK : XN_BAD_ARGUMENT;
}

xn_status xn_shaped_ce(xn_problem *p) {
    const xn_status sane = check(p);
    if (sane != XN_OK) return sane;
    if (p->shape == XN_KL) return XN_BAD_ARGUMENT;
    const xn_kernel_table *k = xn_kernels();
    return xn_run_rows(p, xn_rows_are_vectors(p) ? k->shaped_ce_rows[p->dtype] : k->shaped_ce_cols[p->dtype]);
}

xn_status xn_shaped_prob(xn_problem *p) {
    const xn_status sane = check(p);
    if (sane != XN_OK) return sane;
    if (p->shape == XN_KL && (p->label_smoothing != 0 || p->class_weight)) return XN_BAD_ARGUMENT;
    const xn_kernel_table *k = xn_kernels();
    return xn_run_rows(p, xn_rows_are_vectors(p) ? k->shaped_prob_rows[p->dtype] : k->shaped_prob_cols[p->dtype]);
}
