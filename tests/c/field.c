/* SPDX-License-Identifier: BSD-3-Clause */
/* Arrays of a test: where they stand, and access to their elements. */
#include "field.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t dtype_size(xn_dtype dtype) {
    return dtype == XN_FLOAT32 ? sizeof(float) : sizeof(double);
}

int same_bits(double a, double b) {
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

void *resized(void *memory, int64_t count, size_t element) {
    void *more = realloc(memory, (size_t)count * element + 1);
    if (more) return more;
    fprintf(stderr, "no memory for a test\n");
    exit(1);
}

void field_place(rng *r, field *f, size_t element, const int64_t size[3], const int64_t step[3]) {
    int64_t low = 0, high = 0;
    for (int d = 0; d < 3; d++) {
        const int64_t reach = (size[d] - 1) * step[d];
        low += reach < 0 ? reach : 0;
        high += reach > 0 ? reach : 0;
        f->step[d] = step[d];
    }
    f->element = element;
    f->bytes = (size_t)(high - low + 1) * element;
    f->data =
        arena_place(&f->memory, f->bytes, (placement)rng_int(r, AT_START, INSIDE), (size_t)rng_int(r, 0, 64) * element);
    f->origin = f->data - low * (int64_t)element;
}

char *field_at(const field *f, int64_t i, int64_t j, int64_t k) {
    return f->origin + (i * f->step[0] + j * f->step[1] + k * f->step[2]) * (int64_t)f->element;
}

void field_put(const field *f, xn_dtype dtype, int64_t i, int64_t j, int64_t k, double value) {
    const float single = (float)value;
    memcpy(field_at(f, i, j, k), dtype == XN_FLOAT32 ? (const void *)&single : &value, dtype_size(dtype));
}

double field_get(const field *f, xn_dtype dtype, int64_t i, int64_t j, int64_t k) {
    float single = 0;
    double value = 0;
    memcpy(dtype == XN_FLOAT32 ? (void *)&single : &value, field_at(f, i, j, k), dtype_size(dtype));
    return dtype == XN_FLOAT32 ? (double)single : value;
}

double field_take(const field *f, xn_dtype dtype, int64_t i, int64_t j, int64_t k) {
    const double value = field_get(f, dtype, i, j, k);
    memset(field_at(f, i, j, k), UNTOUCHED, dtype_size(dtype));
    return value;
}

int field_untouched(const field *f) {
    return arena_untouched(&f->memory, f->data, f->bytes);
}
