/* SPDX-License-Identifier: BSD-3-Clause */
/* The last step of a row: from its maximum and its sums to the loss. Always in float64, lanes over rows.
 *
 * With m the maximum, ties the number of entries that equal it and z = (ties - 1) + sum of exp(x - m)
 * over the others: log S = log1p(z), so a confident row (z = 1e-9) keeps all its digits. The largest
 * probability is 1 / (1 + z), and its distance from 1 is z / (1 + z), without cancellation.
 *
 * Precision: exp and log1p are within 2 ulp of float64 with FMA. Coefficients: src/coefficients.py. */
#ifndef XN_FINISH_H
#define XN_FINISH_H

#if defined(__FMA__) || defined(__aarch64__)
#define XN_HAS_FMA 1
#define XN_FMA64(a, b, c) __builtin_fma(a, b, c)
#else
#define XN_HAS_FMA 0
#define XN_FMA64(a, b, c) ((a) * (b) + (c))
#endif

/* For what lane loops call: a loop with a call in it does not vectorise, and the compiler's own judgement of
 * what to inline changes with every line nearby. */
#define XN_INLINE static inline __attribute__((always_inline))

#define XN_LN2_HI 0x1.62e42fee00000p-1 /* 32 bits: n * XN_LN2_HI is exact for |n| < 2^20 */
#define XN_LN2_LO 0x1.a39ef35793c76p-33

enum {
    XN_FINISH = 16, /* rows that are finished together */
    XN_LIFT = 60    /* the sums carry a factor 2^XN_LIFT: see vmath.h */
};

/* Zeroes an array of known length with vector stores. An initialiser would become `rep stos`, which takes
 * longer to start than a short row takes to sum. */
#define XN_ZERO(array)  \
    _Pragma("omp simd") \
    for (int zero_i = 0; zero_i < (int)(sizeof(array) / sizeof(array)[0]); zero_i++) (array)[zero_i] = 0

XN_INLINE double xn_from_bits(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

XN_INLINE uint64_t xn_to_bits(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* (exp(r) - 1) / r for |r| <= ln 2 / 2. */
XN_INLINE double xn_exp_slope(double r) {
    double p = 0x1.af38a9b0ec855p-26;
    p = XN_FMA64(p, r, 0x1.289185613a3d6p-22);
    p = XN_FMA64(p, r, 0x1.71de0dae63bb3p-19);
    p = XN_FMA64(p, r, 0x1.a019b90d2ae7ap-16);
    p = XN_FMA64(p, r, 0x1.a01a01a7c41d5p-13);
    p = XN_FMA64(p, r, 0x1.6c16c1788bd90p-10);
    p = XN_FMA64(p, r, 0x1.11111111109b3p-7);
    p = XN_FMA64(p, r, 0x1.5555555553d63p-5);
    p = XN_FMA64(p, r, 0x1.5555555555556p-3);
    p = XN_FMA64(p, r, 0x1.0000000000001p-1);
    return XN_FMA64(p, r, 1.0);
}

/* exp(r) for |r| <= ln 2 / 2. */
XN_INLINE double xn_exp_reduced(double r) {
    return XN_FMA64(xn_exp_slope(r), r, 1.0);
}

/* exp(d) for d <= 0: 0 below -700, where no sum would notice. NaN stays NaN. */
XN_INLINE double xn_exp_negative(double d) {
    const double magic = 0x1.8p52 + 1023.0;
    const double clamped = d < -700.0 ? -700.0 : d;
    const double k = XN_FMA64(clamped, 0x1.71547652b82fep+0, magic);
    const double n = k - magic;
    const double r = XN_FMA64(n, -XN_LN2_LO, XN_FMA64(n, -XN_LN2_HI, clamped));
    const double value = xn_exp_reduced(r) * xn_from_bits(xn_to_bits(k) << 52);
    return d < -700.0 ? 0.0 : value;
}

/* log(2^e (1 + f)) for sqrt(1/2) - 1 <= f <= sqrt(2) - 1; relative to the result, also for tiny f. */
XN_INLINE double xn_log_parts(double e, double f) {
    const double s = f / (2.0 + f);
    const double w = s * s;
    const double half = 0.5 * f * f;
    double p = 0x1.2b584aae78a57p-3;
    p = XN_FMA64(p, w, 0x1.39fe606542ddep-3);
    p = XN_FMA64(p, w, 0x1.7462b4ab2ef6bp-3);
    p = XN_FMA64(p, w, 0x1.c71c62e5800a1p-3);
    p = XN_FMA64(p, w, 0x1.2492492df148dp-2);
    p = XN_FMA64(p, w, 0x1.99999999952e2p-2);
    p = XN_FMA64(p, w, 0x1.5555555555558p-1);
    const double tail = XN_FMA64(s, XN_FMA64(p, w, half), e * XN_LN2_LO);
    return XN_FMA64(e, XN_LN2_HI, f - (half - tail));
}

/* log(u + c) for a normal u > 0 and a correction c of at most half an ulp of u. NaN stays NaN, 0 gives -inf. */
XN_INLINE double xn_log_corrected(double u, double c) {
    const uint64_t offset = UINT64_C(0x3ff0000000000000) - UINT64_C(0x3fe6a09e00000000); /* 1 over sqrt(1/2) */
    const uint64_t bits = xn_to_bits(u) + offset;
    const uint64_t biased = bits >> 52;
    const double mantissa = xn_from_bits((bits & UINT64_C(0x000fffffffffffff)) + UINT64_C(0x3fe6a09e00000000));
    const double scale = xn_from_bits((UINT64_C(2046) - biased) << 52);
    const double e = xn_from_bits(biased | UINT64_C(0x4330000000000000)) - (0x1p52 + 1023.0);
    const double f = XN_FMA64(c, scale, mantissa - 1.0);
    const double value = xn_log_parts(e, f) + (u - u);
    return u == 0.0 ? -INFINITY : value;
}

/* log(u) for u >= 0, below the normal numbers, too. */
XN_INLINE double xn_log(double u) {
    const double lifted = u * 0x1p54, lift = 0x1.2b708872320e2p+5; /* 54 ln 2 */
    const double value = xn_log_corrected(u < 0x1p-1022 ? lifted : u, 0);
    return u < 0x1p-1022 ? value - lift : value;
}

/* log(1 + z) for z >= 0, to the last digits of z however small; NaN stays NaN. */
XN_INLINE double xn_log1p(double z) {
    const double u = 1.0 + z;
    const double back = u - 1.0;
    const double c = (1.0 - (u - back)) + (z - back);
    return xn_log_corrected(u, c);
}

/* log(1 + e) for 0 <= e <= 1. */
XN_INLINE double xn_log1p_unit(double e) {
    const int upper = e > 0x1.a827999fcef34p-2; /* sqrt(2) - 1 */
    return xn_log_parts(upper ? 1.0 : 0.0, upper ? 0.5 * (e - 1.0) : e);
}

/* exp(d) for d <= 0, to the smallest normal number; 0 below. NaN stays NaN. */
XN_INLINE double xn_exp_down(double d) {
    const double magic = 0x1.8p52 + 1023.0, lowest = -0x1.628b76e3a7b61p+9; /* -1023 ln 2: there the scale is 0 */
    const double above = lowest > d ? lowest : d;
    const double k = XN_FMA64(above, 0x1.71547652b82fep+0, magic);
    const double n = k - magic;
    const double r = XN_FMA64(n, -XN_LN2_LO, XN_FMA64(n, -XN_LN2_HI, above));
    const double scale = xn_from_bits(xn_to_bits(k) << 52);
    return XN_FMA64(xn_exp_slope(r), r * scale, scale);
}

/* Up to XN_FINISH rows: what their classes summed to, then what follows from that. */
typedef struct {
    double max[XN_FINISH], rest[XN_FINISH], ties[XN_FINISH]; /* in; rest lifted, relative to max - offset */
    double offset[XN_FINISH];                                /* in: max minus the reference of the sums */
    double log_s[XN_FINISH];   /* log S: the log-sum-exp minus the maximum */
    double scale[XN_FINISH];   /* turns the lifted exp(x - reference) into a probability */
    double largest[XN_FINISH]; /* the largest probability, */
    double to_one[XN_FINISH];  /* and its distance from 1 */
} xn_finish;

/* With `logs` log_s, which is 0 without, and with `planes` the rest. A row whose maximum is infinite has no softmax:
 * max - max turns all its results into NaN. */
static inline void xn_finish_rows(xn_finish *f, int logs, int planes) {
    double z[XN_FINISH], down[XN_FINISH];
#pragma omp simd
    for (int i = 0; i < XN_FINISH; i++) {
        down[i] = xn_exp_reduced(-f->offset[i]) * 0x1p-60;
        z[i] = XN_FMA64(f->rest[i], down[i], f->ties[i] - 1.0) + (f->max[i] - f->max[i]);
        f->log_s[i] = 0;
    }
    if (logs) {
#pragma omp simd
        for (int i = 0; i < XN_FINISH; i++) f->log_s[i] = xn_log1p(z[i]);
    }
    if (!planes) return;
#pragma omp simd
    for (int i = 0; i < XN_FINISH; i++) {
        const double largest = 1.0 / (1.0 + z[i]);
        f->scale[i] = largest * down[i];
        f->largest[i] = largest;
        f->to_one[i] = z[i] * largest;
    }
}

#endif
