/* SPDX-License-Identifier: BSD-3-Clause */
/* float16 and bfloat16 by their definitions: unlike the kernels, which move bits, by division and powers of two. */
#include "halves.h"

#include <math.h>

/* Digits with the hidden one, least exponent of a normal number, bits of the mantissa in memory. */
static const struct {
    int digits, least, mantissa;
    double largest;
} formats[XN_DTYPES] = {[XN_FLOAT16] = {11, -14, 10, 65504.0}, [XN_BFLOAT16] = {8, -126, 7, 0x1.fep127}};

int is_half(xn_dtype dtype) {
    return dtype == XN_FLOAT16 || dtype == XN_BFLOAT16;
}

double half_largest(xn_dtype half) {
    return formats[half].largest;
}

/* Division is exact here. */
double half_rounded(xn_dtype half, double value) {
    if (value == 0 || !isfinite(value)) return value;
    const int exponent = ilogb(value) < formats[half].least ? formats[half].least : ilogb(value);
    const double quantum = ldexp(1, exponent - formats[half].digits + 1), near = nearbyint(value / quantum) * quantum;
    return fabs(near) > formats[half].largest ? copysign(INFINITY, value) : near;
}

uint16_t half_bits(xn_dtype half, double value) {
    const uint16_t sign = signbit(value) ? 0x8000 : 0, top = (uint16_t)(0x7fff >> formats[half].mantissa);
    const double size = fabs(value), unit = ldexp(1, formats[half].least - formats[half].mantissa);
    if (isnan(value)) return 0x7fff;
    if (isinf(value)) return (uint16_t)(sign | top << formats[half].mantissa);
    if (size < ldexp(1, formats[half].least)) return (uint16_t)(sign | (uint16_t)(size / unit));
    const int exponent = ilogb(size);
    const double mantissa = ldexp(size, formats[half].mantissa - exponent) - ldexp(1, formats[half].mantissa);
    return (uint16_t)(sign | (exponent - formats[half].least + 1) << formats[half].mantissa | (int)mantissa);
}

static double value_of(xn_dtype half, uint16_t bits) {
    const int mantissa = bits & ((1 << formats[half].mantissa) - 1);
    const int biased = (bits & 0x7fff) >> formats[half].mantissa;
    const int top = 0x7fff >> formats[half].mantissa;
    const double sign = bits & 0x8000 ? -1 : 1;
    if (biased == top) return mantissa ? NAN : sign * INFINITY;
    const int exponent = biased == 0 ? formats[half].least : biased - 1 + formats[half].least;
    const int hidden = biased == 0 ? 0 : 1 << formats[half].mantissa;
    return sign * ldexp(hidden + mantissa, exponent - formats[half].mantissa);
}

/* All values are worked out once: a fuzzer asks for thousands of them in each run. */
double half_value(xn_dtype half, uint16_t bits) {
    static double values[2][1 << 16];
    static int known[2];
    const int kind = half == XN_BFLOAT16;
    for (int i = 0; !known[kind] && i < 1 << 16; i++) values[kind][i] = value_of(half, (uint16_t)i);
    known[kind] = 1;
    return values[kind][bits];
}
