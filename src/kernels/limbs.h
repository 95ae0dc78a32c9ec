/* SPDX-License-Identifier: BSD-3-Clause */
/* What books need of many numbers at a time, lanes over numbers: doubles as limbs of exact sums, and the keys of the
 * bins that they are counted in. Not a template: everything here is double. What the books are says xent.h.
 *
 * A double is whole * 2^(place - 1074), with whole below 2^53. Its limbs begin at place / 32: whole << place % 32 has
 * at most 84 bits, which are three limbs of 32. */
#ifndef XN_LIMBS_H
#define XN_LIMBS_H

#include "kernels.h"

enum {
    XN_LIMB_EXPONENT = 0x7FF,
    XN_KEY_SIDE = 960, /* keys of confidences below 1/2: 30 octaves of 32 */
    XN_KEY_SHIFT = 47, /* bits of a double below the key's */
    XN_LOSS_SHIFT = 46
};

static inline uint64_t xn_limb_bits(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Limbs of n numbers that are not negative; of what is not finite, those of 0. */
static void xn_split(const double *restrict value, int64_t n, xn_limbs *restrict to) {
    const uint64_t leading = (uint64_t)1 << 52;
    int64_t any = 0;
#pragma omp simd reduction(| : any)
    for (int64_t i = 0; i < n; i++) {
        const uint64_t bits = xn_limb_bits(value[i]), exponent = bits >> 52 & XN_LIMB_EXPONENT;
        const uint64_t normal = exponent != 0 ? 1 : 0, finite = exponent != XN_LIMB_EXPONENT ? ~(uint64_t)0 : 0;
        const uint64_t whole = ((bits & (leading - 1)) | normal << 52) & finite;
        const uint64_t place = exponent - normal, shift = place & 31, low = whole << shift;
        const int64_t high = (int64_t)(whole >> 1 >> (63 - shift));
        to->place[i] = (int64_t)(place >> 5);
        to->low[i] = (int64_t)(low & 0xFFFFFFFF);
        to->middle[i] = (int64_t)(low >> 32);
        to->high[i] = high;
        any |= high;
    }
    to->any_high = any != 0;
}

/* sum += n numbers that are not negative. In lanes, which hold the five limbs below that of the largest number; what is
 * so small that it begins below them is added by itself. */
static void xn_add_all(const double *restrict value, int64_t n, int64_t *restrict sum) {
    xn_limbs limbs;
    int64_t most = 0, small = 0, sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0, sum4 = 0;
    xn_split(value, n, &limbs);
#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < n; i++) most = limbs.place[i] > most ? limbs.place[i] : most;
    const int64_t base = most > 2 ? most - 2 : 0;
#pragma omp simd reduction(+ : sum0, sum1, sum2, sum3, sum4) reduction(| : small)
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = limbs.place[i] - base, low = limbs.low[i], middle = limbs.middle[i], high = limbs.high[i];
        const int64_t first = -(int64_t)(at == 0), second = -(int64_t)(at == 1), third = -(int64_t)(at == 2);
        sum0 += first & low;
        sum1 += (first & middle) | (second & low);
        sum2 += (first & high) | (second & middle) | (third & low);
        sum3 += (second & high) | (third & middle);
        sum4 += third & high;
        small |= -(int64_t)(at < 0) & (low | middle | high);
    }
    sum += base; /* the last limb that a finite number has is 65, of XN_LIMBS */
    sum[0] += sum0;
    sum[1] += sum1;
    sum[2] += sum2;
    if (sum3) sum[3] += sum3;
    if (sum4) sum[4] += sum4;
    for (int64_t i = 0; small != 0 && i < n; i++) {
        const int64_t at = limbs.place[i] - base;
        if (at >= 0) continue;
        sum[at] += limbs.low[i];
        sum[at + 1] += limbs.middle[i];
        sum[at + 2] += limbs.high[i];
    }
}

/* See xn_confidence_key. */
static void xn_confidence_keys(const double *restrict confidence, int64_t n, int32_t *restrict key) {
    const int64_t lowest = (int64_t)(xn_limb_bits(0x1p-31) >> XN_KEY_SHIFT);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const double near = confidence[i], other = 1 - near; /* exact where it is used */
        const int64_t low = near < 0.5 ? -1 : 0;
        const uint64_t bits = low ? xn_limb_bits(near) : xn_limb_bits(other) - 1; /* of 0, less 1: all ones */
        const int64_t octaves = (int64_t)(bits >> XN_KEY_SHIFT) - lowest;
        const int64_t most = octaves < XN_KEY_SIDE ? octaves : XN_KEY_SIDE - 1; /* more of NaN alone */
        const int64_t side = bits >> 63 != 0 || most < 0 ? 0 : most;
        key[i] = (int32_t)(low ? side : 2 * XN_KEY_SIDE - 1 - side);
    }
}

/* 64 bins an octave from 2^-40 on: xn_book says how many. */
static void xn_loss_keys(const double *restrict loss, int64_t n, int64_t keys, int32_t *restrict key) {
    const int64_t lowest = (int64_t)(xn_limb_bits(0x1p-40) >> XN_LOSS_SHIFT);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const int64_t found = (int64_t)(xn_limb_bits(loss[i]) >> XN_LOSS_SHIFT) - lowest + 1;
        const int64_t low = found < 0 ? 0 : found;
        key[i] = (int32_t)(low >= keys ? keys - 1 : low);
    }
}

#endif
