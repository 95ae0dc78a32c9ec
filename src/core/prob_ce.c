/* SPDX-License-Identifier: BSD-3-Clause */
/* Cross-entropy from probabilities: chooses the loop order. */
#include "core.h"

xn_status xn_prob_ce(xn_problem *p) {
    const xn_status sane = xn_check_problem(p);
    if (sane != XN_OK) return sane;
    if (p->hess.data || p->prob.data || p->log_prob.data || p->lse.data) return XN_BAD_ARGUMENT;
    const xn_kernel_table *k = xn_kernels();
    return xn_run_rows(p, xn_rows_are_vectors(p) ? k->prob_ce_rows[p->dtype] : k->prob_ce_cols[p->dtype]);
}
