/* SPDX-License-Identifier: BSD-3-Clause */
/* Focal loss, poly1 and KL divergence: checks what only they take, and chooses the loop order. */
#include <math.h>

#include "core.h"

_Static_assert((int)XN_PLAIN == XN_SHAPE_PLAIN && (int)XN_FOCAL == XN_SHAPE_FOCAL && (int)XN_POLY1 == XN_SHAPE_POLY1 &&
                   (int)XN_KL == XN_SHAPE_KL,
               "kernels.h has the shapes of xent.h");

static int is_shaped(const xn_problem *p) {
    if (!xn_is_problem(p) || !xn_is_loss_alone(p)) return 0;
    if (p->shape == XN_FOCAL) return xn_is_focal(p);
    return (p->shape == XN_POLY1 || p->shape == XN_KL) && isfinite(p->coefficient) && isfinite(p->alpha);
}

xn_status xn_shaped_ce(xn_problem *p) {
    if (!is_shaped(p) || p->shape == XN_KL) return XN_BAD_ARGUMENT;
    const xn_kernel_table *k = xn_kernels();
    return xn_run_rows(p, xn_rows_are_vectors(p) ? k->shaped_ce_rows[p->dtype] : k->shaped_ce_cols[p->dtype]);
}

xn_status xn_shaped_prob(xn_problem *p) {
    if (!is_shaped(p) || p->hess.data || !xn_is_clip(p)) return XN_BAD_ARGUMENT;
    if (p->shape == XN_KL && (p->label_smoothing != 0 || p->class_weight)) return XN_BAD_ARGUMENT;
    const xn_kernel_table *k = xn_kernels();
    return xn_run_rows(p, xn_rows_are_vectors(p) ? k->shaped_prob_rows[p->dtype] : k->shaped_prob_cols[p->dtype]);
}
