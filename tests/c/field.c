/* SPDX-License-Identifier: BSD-3-Clause */
/* Arrays of a test: where they stand, and access to their elements. */
#include "field.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "halves.h"

/* Of what is read. */
static int is_double(xn_dtype dtype) {
    return dtype == XN_FLOAT64 || dtype == XN_FLOAT64_TO_FLOAT32;
}

xn_dtype written_as(xn_dtype dtype) {
    return dtype == XN_FLOAT64_TO_FLOAT32 ? XN_FLOAT32 : dtype;
}

size_t dtype_size(xn_dtype dtype) {
    return is_double(dtype) ? sizeof(double) : is_half(dtype) ? sizeof(uint16_t) : sizeof(float);
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
    const uint16_t half = is_half(dtype) ? half_bits(dtype, half_rounded(dtype, value)) : 0;
    const void *from = is_double(dtype) ? (const void *)&value : is_half(dtype) ? (const void *)&half : &single;
    memcpy(field_at(f, i, j, k), from, dtype_size(dtype));
}

double field_get(const field *f, xn_dtype dtype, int64_t i, int64_t j, int64_t k) {
    float single = 0;
    double value = 0;
    uint16_t half = 0;
    void *to = is_double(dtype) ? (void *)&value : is_half(dtype) ? (void *)&half : &single;
    memcpy(to, field_at(f, i, j, k), dtype_size(dtype));
    return is_double(dtype) ? value : is_half(dtype) ? half_value(dtype, half) : (double)single;
}

void field_put_bits(const field *f, int64_t i, int64_t j, int64_t k, uint64_t bits) {
    const uint8_t one = (uint8_t)bits;
    const uint16_t two = (uint16_t)bits;
    const uint32_t four = (uint32_t)bits;
    char *to = field_at(f, i, j, k);
    switch (f->element) {
        case 1: memcpy(to, &one, 1); break;
        case 2: memcpy(to, &two, 2); break;
        case 4: memcpy(to, &four, 4); break;
        default: memcpy(to, &bits, 8); break;
    }
}

uint64_t field_get_bits(const field *f, int64_t i, int64_t j, int64_t k) {
    uint8_t one;
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    const char *from = field_at(f, i, j, k);
    switch (f->element) {
        case 1: memcpy(&one, from, 1); return one;
        case 2: memcpy(&two, from, 2); return two;
        case 4: memcpy(&four, from, 4); return four;
        default: memcpy(&eight, from, 8); return eight;
    }
}

double field_take(const field *f, xn_dtype dtype, int64_t i, int64_t j, int64_t k) {
    const double value = field_get(f, dtype, i, j, k);
    memset(field_at(f, i, j, k), UNTOUCHED, dtype_size(dtype));
    return value;
}

int field_untouched(const field *f) {
    return arena_untouched(&f->memory);
}
