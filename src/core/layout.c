/* SPDX-License-Identifier: BSD-3-Clause */
/* Views several dimensions as one. */
#include "../xent.h"

int xn_collapse(int dims, const int64_t *shape, const int64_t *strides, int64_t *size, int64_t *stride) {
    int64_t total = 1, step = 0, expected;
    *size = *stride = 0;
    for (int i = 0; i < dims; i++)
        if (shape[i] < 0) return 0;
    for (int i = 0; i < dims; i++)
        if (shape[i] == 0) return 1;
    for (int i = dims - 1; i >= 0; i--) {
        if (shape[i] == 1) continue; /* its stride means nothing */
        if (total == 1) step = strides[i];
        if (__builtin_mul_overflow(step, total, &expected) || strides[i] != expected) return 0;
        if (__builtin_mul_overflow(total, shape[i], &total)) return 0;
    }
    *size = total;
    *stride = step;
    return 1;
}
