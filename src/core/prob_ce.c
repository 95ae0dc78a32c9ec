/* SPDX-License-Identifier: BSD-3-Clause */
/* Cross-entropy from probabilities: chooses the loop order. */
#include "core.h"

xn_status xn_prob_ce(xn_problem *p) {
    if (!xn_is_problem(p) || !xn_is_loss_alone(p) || !xn_is_clip(p)) return XN_BAD_ARGUMENT;
    if (p->hess.data || p->shape != XN_PLAIN || (p->as_given && p->grad.data)) return XN_BAD_ARGUMENT;
    const xn_kernel_table *k = xn_kernels();
    return xn_run_rows(p, xn_rows_are_vectors(p) ? k->prob_ce_rows[p->dtype] : k->prob_ce_cols[p->dtype]);
}
