/* SPDX-License-Identifier: BSD-3-Clause */
/* From the losses of rows to what the caller asked for. */
#include <math.h>

#include "core.h"

/* What the sum is divided by; 0 where nothing counts, and then the result is 0. */
double xn_divisor(xn_reduction reduction, const xn_count *count) {
    switch (reduction) {
        case XN_MEAN: return (double)count->rows;
        case XN_WEIGHTED_MEAN: return count->weight;
        case XN_NONE:
        case XN_SUM: break;
    }
    return 1;
}

/* Neumaier's compensated sum, in the order given: the error does not grow with n. */
double xn_sum(const double *values, int64_t n) {
    double sum = 0, error = 0, plain = 0;
    for (int64_t i = 0; i < n; i++) {
        const double next = sum + values[i];
        error += fabs(sum) >= fabs(values[i]) ? (sum - next) + values[i] : (values[i] - next) + sum;
        sum = next;
        plain += values[i];
    }
    return isfinite(plain) ? sum + error : plain;
}

/* Plain sum of the losses of a tile, in four lanes so that it does not wait for itself. */
double xn_tile_sum(const double *values, int64_t n) {
    double lanes[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int lane = 0; lane < 4; lane++) lanes[lane] += values[i + lane];
    for (; i < n; i++) lanes[0] += values[i];
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}

void xn_store_rows(const xn_row_array *array, const xn_plan *plan, xn_span span, const double *value) {
    const int64_t offset = xn_row_offset(span, array->outer, array->inner);
    const int64_t step = xn_row_step(plan, array->outer, array->inner);
    if (array->dtype == XN_FLOAT32) {
        float *to = (float *)array->data + offset;
        for (int64_t i = 0; i < span.rows; i++) to[i * step] = (float)value[i];
    } else {
        double *to = (double *)array->data + offset;
        for (int64_t i = 0; i < span.rows; i++) to[i * step] = value[i];
    }
}
