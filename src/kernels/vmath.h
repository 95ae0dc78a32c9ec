/* SPDX-License-Identifier: BSD-3-Clause */
/* exp and log for one lane, to be inlined into lane loops. Template: see real.h.
 *
 * exp(x - m) is never formed from the rounded difference x - m: at a distance of 20 that rounding
 * alone would cost 10 ulp. Instead x itself is reduced, x = n ln 2 + r, and only the integer part
 * of m, N = round(m / ln 2), is taken off the exponent:
 *     lifted(x) = exp(r) 2^(n - N + LIFT) = exp(x - N ln 2) 2^LIFT.
 * Both subtractions are exact. Where |m| is so large that r would lose digits, x - m is exact for
 * every x that matters (Sterbenz), so there m is subtracted first and N is 0.
 * The lift keeps terms down to 2^-186 (float32) normal, and with them the gradients of confident rows.
 *
 * Precision of lifted: within 1 ulp with FMA, 2 ulp without. NaN gives NaN. -inf, and whatever is too
 * small for the exponent, gives exactly 0. Coefficients: src/coefficients.py. */

XN_INLINE real XN_T(from_bits)(ireal bits) {
    real value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

XN_INLINE ireal XN_T(to_bits)(real value) {
    ireal bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* The largest number of the type that a positive bound allows, and the smallest: what is compared with them is compared
 * with the bound itself, not with the bound rounded. */
XN_INLINE real XN_T(at_most)(double bound) {
    const real near = (real)bound;
    const real below = XN_T(from_bits)(XN_T(to_bits)(near) - (near > 0)); /* NaN may have any bits */
    return (double)near > bound && near > 0 ? below : near;
}

XN_INLINE real XN_T(at_least)(double bound) {
    const real near = (real)bound;
    const real above = XN_T(from_bits)(XN_T(to_bits)(near) + (near >= 0));
    return (double)near < bound && near >= 0 ? above : near;
}

#undef XN_REAL_LN2_HI
#undef XN_REAL_LN2_LO
#undef XN_REAL_DIRECT
#undef XN_REAL_ROUND
#undef XN_REAL_LOG2E
#if XN_REAL == 32
#define XN_REAL_LN2_HI 0x1.62e0p-1f /* 12 bits: times n, up to 2^10 here, it is exact */
#define XN_REAL_LN2_LO 0x1.0bfbe8p-15f
#define XN_REAL_DIRECT 512.0f /* largest |m| whose rows are reduced directly */
#define XN_REAL_ROUND 0x1.8p23f
#define XN_REAL_LOG2E 0x1.715476p+0f
#else
#define XN_REAL_LN2_HI XN_LN2_HI
#define XN_REAL_LN2_LO XN_LN2_LO
#define XN_REAL_DIRECT 2048.0
#define XN_REAL_ROUND 0x1.8p52
#define XN_REAL_LOG2E 0x1.71547652b82fep+0
#endif

/* What lifted() needs to know of a row's maximum. It depends on nothing else, so segments of a row
 * that agree on the maximum agree on the reference. */
typedef struct {
    real shift;  /* subtracted first: 0, or m where m is large */
    real lowest; /* smaller x - shift count as this: there the scale is exactly 0 */
    real magic;  /* adding it rounds to an integer whose low bits are the biased exponent of the scale */
} XN_T(reference);

/* Where nothing is above -inf, that is no maximum to take off: then -inf counts 0 as elsewhere, and NaN shows. */
XN_INLINE XN_T(reference) XN_T(refer)(real largest) {
    const real max = largest == -INFINITY ? 0 : largest;
    const real size = max < 0 ? -max : max;
    const real shift = size <= XN_REAL_DIRECT ? 0 : max;
    const real direct = size <= XN_REAL_DIRECT ? max : 0;
    const real n = XN_FMA(direct, XN_REAL_LOG2E, XN_REAL_ROUND) - XN_REAL_ROUND;
    const real bias = (real)(XN_BIAS + XN_LIFT) - n;
    XN_T(reference) r = {shift, bias * -(XN_REAL_LN2_HI + XN_REAL_LN2_LO), XN_REAL_ROUND + bias};
    return r;
}

/* max minus the reference, as exp_reduced wants it; 0 where the maximum itself is the reference. */
XN_INLINE double XN_T(offset)(real max) {
    const real size = max < 0 ? -max : max;
    const real direct = size <= XN_REAL_DIRECT ? max : 0;
    const double n = (double)(XN_FMA(direct, XN_REAL_LOG2E, XN_REAL_ROUND) - XN_REAL_ROUND);
    return XN_FMA64(n, -XN_LN2_LO, XN_FMA64(n, -XN_LN2_HI, (double)direct));
}

/* (exp(r) - 1) / r for |r| <= ln 2 / 2. */
XN_INLINE real XN_T(exp_slope)(real r) {
#if XN_REAL == 32
    real p = 0x1.6d110ap-10f;
    p = XN_FMA(p, r, 0x1.120b6ep-7f);
    p = XN_FMA(p, r, 0x1.55551ap-5f);
    p = XN_FMA(p, r, 0x1.5554dcp-3f);
    p = XN_FMA(p, r, 0.5f);
    return XN_FMA(p, r, 1.0f);
#else
    return xn_exp_slope(r);
#endif
}

/* An exponential in parts: scale (1 + r slope), where scale is a power of two or 0. So the product of r and scale is
 * exact. A sum that takes scale and scale r slope apart loses a third of what one of whole exponentials loses:
 * sums of powers of two are next to exact. */
typedef struct {
    real r, slope;
    ireal scale; /* its bits */
} XN_T(power);

XN_INLINE XN_T(power) XN_T(lifted_parts)(real d, real lowest, real magic) {
    d = lowest > d ? lowest : d; /* in this order NaN passes */
    const real k = XN_FMA(d, XN_REAL_LOG2E, magic);
    const real n = k - magic;
    const real r = XN_FMA(n, -XN_REAL_LN2_LO, XN_FMA(n, -XN_REAL_LN2_HI, d));
    return (XN_T(power)){r, XN_T(exp_slope)(r), (ireal)((ureal)XN_T(to_bits)(k) << XN_MANTISSA)};
}

XN_INLINE real XN_T(lifted)(real x, real shift, real lowest, real magic) {
    const XN_T(power) e = XN_T(lifted_parts)(x - shift, lowest, magic);
    const real scale = XN_T(from_bits)(e.scale);
    return XN_FMA(e.slope, e.r * scale, scale);
}

/* log(1 + f) - and e ln 2 more - for sqrt(1/2) - 1 <= f <= sqrt(2) - 1. */
XN_INLINE real XN_T(log_parts)(real e, real f) {
#if XN_REAL == 32
    real p = -0x1.43b246p-4f;
    p = XN_FMA(p, f, 0x1.02814ep-3f);
    p = XN_FMA(p, f, -0x1.0a33eap-3f);
    p = XN_FMA(p, f, 0x1.231ce6p-3f);
    p = XN_FMA(p, f, -0x1.54d03ep-3f);
    p = XN_FMA(p, f, 0x1.999f14p-3f);
    p = XN_FMA(p, f, -0x1.0000cep-2f);
    p = XN_FMA(p, f, 0x1.555554p-2f);
    const real square = f * f;
    const real tail = XN_FMA(p * square, f, XN_FMA(e, XN_REAL_LN2_LO, -0.5f * square));
    return XN_FMA(e, XN_REAL_LN2_HI, f + tail);
#else
    return xn_log_parts(e, f);
#endif
}

/* log(1 + e) for 0 <= e <= 1, relative to the result: within 1 ulp for an exact e. */
XN_INLINE real XN_T(log1p_unit)(real e) {
#if XN_REAL == 32
    real p = -0x1.24b298p-8f;
    p = XN_FMA(p, e, 0x1.9d455ap-6f);
    p = XN_FMA(p, e, -0x1.11708cp-4f);
    p = XN_FMA(p, e, 0x1.d992bcp-4f);
    p = XN_FMA(p, e, -0x1.448ee2p-3f);
    p = XN_FMA(p, e, 0x1.969cb2p-3f);
    p = XN_FMA(p, e, -0x1.ffb95cp-3f);
    p = XN_FMA(p, e, 0x1.55540cp-2f);
    p = XN_FMA(p, e, -0x1.fffffep-2f);
    return XN_FMA(e * e, p, e);
#else
    return xn_log1p_unit(e);
#endif
}

/* log(a + b) for 0 <= a + b <= 1, `near` being that sum rounded: its distance from 1 comes from the terms. NaN stays
 * NaN. */
XN_INLINE real XN_T(log_sum)(real near, real a, real b) {
    const ireal one = XN_T(to_bits)(1), middle = XN_T(to_bits)((real)0.70710678118654752);
    const real smallest = XN_REAL == 32 ? (real)0x1p-126 : (real)0x1p-1022;
    const real lift = near < smallest ? (real)0x1p60 : (real)1; /* of a subnormal sum */
    const real low = near < smallest ? (real)-60 : (real)0;
    const ureal biased = ((ureal)XN_T(to_bits)(near * lift) + (ureal)(one - middle)) >> XN_MANTISSA;
    const real scale = XN_T(from_bits)((ireal)(((ureal)(2 * XN_BIAS) - biased) << XN_MANTISSA));
    const ureal round = (ureal)XN_T(to_bits)(XN_REAL_ROUND);
    const real e = XN_T(from_bits)((ireal)(round + biased)) - (XN_REAL_ROUND + (real)XN_BIAS);
    const real value = XN_T(log_parts)(e + low, XN_FMA(b * lift, scale, a * lift * scale - 1));
    return near == 0 ? -INFINITY : value;
}

/* log(p / S), where S is given in two parts beside its rounded inverse: p / S - 1 comes from the difference
 * p - S, which is exact near S. A rounded quotient would lose the digits of its distance from 1. For normal
 * quotients below 2; NaN stays NaN. */
XN_INLINE real XN_T(log_quotient)(real p, real sum, real sum_low, real inverse) {
    const ireal one = XN_T(to_bits)(1), middle = XN_T(to_bits)((real)0.70710678118654752);
    const ireal offset = one - middle;
    const ureal bits = (ureal)XN_T(to_bits)(p * inverse) + (ureal)offset;
    const ureal biased = bits >> XN_MANTISSA;
    const real scale = XN_T(from_bits)((ireal)(((ureal)(2 * XN_BIAS) - biased) << XN_MANTISSA));
    const ureal round = (ureal)XN_T(to_bits)(XN_REAL_ROUND);
    const real e = XN_T(from_bits)((ireal)(round + biased)) - (XN_REAL_ROUND + (real)XN_BIAS);
    const real scaled = p * scale;
    const real f = ((scaled - sum) - sum_low) * inverse;
    return XN_T(log_parts)(e, f);
}
