/* SPDX-License-Identifier: BSD-3-Clause */
/* Binary cross-entropy and its focal form, element by element: the formulas, for one vector. Template: see real.h.
 *
 * With t the target, u = w (t (1 - s) + s / 2) and v = (1 - t) (1 - s) + s / 2, s the label smoothing, w the weight of
 * positives, and p = sigmoid(x) or the probability itself:
 *     loss = u (-log p) + v (-log(1 - p))
 * From logits, with e = exp(-|x|): -log p = max(-x, 0) + log1p(e), -log(1 - p) = max(x, 0) + log1p(e). Nothing
 * cancels, and nothing saturates:
 *     d loss / d x = v p - u (1 - p),   d2 loss / d x2 = (u + v) p (1 - p),   1 - p = e / (1 + e) for x >= 0
 * From probabilities as Keras has it: q = clip(p) to [epsilon, 1 - epsilon], d loss / d p = v / (1 - q) - u / q, and 0
 * where p is clipped; the bounds count as inside.
 *
 * Focal: the loss times m^gamma, with m = t p' + (1 - t) p of the smoothed t, p' = 1 - p, and if balanced times
 * alpha t + (1 - alpha)(1 - t). The power multiplies every relative error by gamma, so that it is computed in double
 * throughout. Weights of positives play no part.
 *
 * 1 - p is never formed from a rounded p. exp is lifted by 2^XN_LIFT (vmath.h), which keeps tiny gradients normal. A
 * target of 0 counts nothing, even where its logarithm is infinite. */

/* The options, as the lanes want them. */
typedef struct {
    real keep, spread;                    /* 1 - s, s / 2 */
    real low, high, log_low, log_high;    /* where probabilities are clipped, and the logarithms there */
    double gamma, zero_power; /* zero_power = gamma 0^(gamma - 1), the slope of the power at 0 */
    double alpha, rest;       /* alpha, 1 - alpha; both 1 where the classes are not balanced */
    double keep64, spread64, low64, high64, log_low64, log_high64;
} XN_T(binary);

/* What is wanted of a loss beside it: nothing, the gradient, the Hessian, too; or these without the loss. */
#ifndef XN_WANTED
#define XN_WANTED 1
enum { XN_LOSS, XN_AND_GRAD, XN_AND_HESS, XN_GRAD, XN_GRAD_HESS, XN_WANTS };
#endif

/* Loss and derivatives from logits. `plain` and `wanted` are constants to the callers. Of the factor 2^60 of the lifted
 * exponential, 1 / (1 + e) and `scale` take off one half each. */
XN_INLINE void XN_T(binary_logits)(int plain, int wanted, const XN_T(binary) *o, const real *x, const real *t,
                                   const real *pos, const real *scale, real *restrict loss, real *restrict grad,
                                   real *restrict hess) {
    const XN_T(reference) ref = XN_T(refer)(0);
    const real keep = o->keep, spread = o->spread, one = (real)0x1p60;
    const ireal sign = XN_T(to_bits)((real)-0.0);
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) {
        const real logit = x[i], target = t[i];
        const real u = plain ? target : pos[i] * XN_FMA(keep, target, spread);
        const real v = plain ? 1 - target : XN_FMA(keep, 1 - target, spread);
        const real down = XN_T(from_bits)(XN_T(to_bits)(logit) | sign), size = -down; /* |logit| */
        const real lifted = XN_T(lifted)(down, 0, ref.lowest, ref.magic);
        const real e = lifted * (real)0x1p-60;
        const real side = logit < 0 ? u : v;
        const real near = XN_T(log1p_unit)(e);
        if (wanted < XN_GRAD) loss[i] = XN_FMA(side, side == 0 ? 0 : size, plain ? near : (u + v) * near);
        if (wanted != XN_LOSS) {
            const real inverse = 1 / XN_FMA(lifted, (real)0x1p-60, (real)1); /* 1 + e, rounded once */
            const real half = inverse * (real)0x1p-30, factor = scale[i];
            const real p = logit < 0 ? lifted : one, other = logit < 0 ? one : lifted;
            const real slope = XN_FMA(-u, other, v * p) * half;
            grad[i] = factor == 0 ? 0 : slope * factor;
            if (wanted == XN_AND_HESS || wanted == XN_GRAD_HESS) {
                const real curve = (u + v) * (lifted * half * inverse);
                hess[i] = factor == 0 ? 0 : curve * factor;
            }
        }
    }
}

/* -(u log q + v log(1 - q)). */
XN_INLINE real XN_T(binary_clipped)(real u, real v, real p, real low, real high, real log_low, real log_high) {
    const real log_p = XN_T(log_sum)(p, p, 0), log_other = XN_T(log_sum)(1 - p, 1, -p);
    const real yes = p < low ? log_low : p > high ? log_high : log_p;
    const real no = p < low ? log_high : p > high ? log_low : log_other;
    const real first = u == 0 ? 0 : u * yes, second = v == 0 ? 0 : v * no;
    return 0 - (first + second);
}

XN_INLINE void XN_T(binary_probabilities)(int wanted, const XN_T(binary) *o, const real *x, const real *t,
                                          const real *pos, const real *scale, real *restrict loss,
                                          real *restrict grad) {
    const real keep = o->keep, spread = o->spread, low = o->low, high = o->high;
    const real log_low = o->log_low, log_high = o->log_high;
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) {
        const real p = x[i], target = t[i];
        const real u = pos[i] * XN_FMA(keep, target, spread), v = XN_FMA(keep, 1 - target, spread);
        loss[i] = XN_T(binary_clipped)(u, v, p, low, high, log_low, log_high);
        if (wanted) {
            const real yes = u == 0 ? 0 : u / p, no = v == 0 ? 0 : v / (1 - p);
            const real inside = p < low || p > high ? 0 : no - yes;
            grad[i] = scale[i] == 0 ? 0 : inside * scale[i];
        }
    }
}

/* The power m^gamma, log m plus `more` being the logarithm of m. Where m is 0 it is finite, so that 0^0 is 1; where a
 * target outside of [0, 1] makes m negative it is NaN. */
XN_INLINE double XN_T(focal_power)(double gamma, double m, double more) {
    const double log_m = xn_log(m) + more;
    const double some = m == 0 ? -0x1p1000 : log_m;
    return xn_exp_down(gamma * (m < 0 ? (double)NAN : some));
}

/* `square` is a constant to the callers: gamma is 2, its default, and the power a product. Its two factors are applied
 * one by one, because m^2 may be below the normal numbers where the results are not. */
XN_INLINE void XN_T(focal_logits)(int square, int wanted, const XN_T(binary) *o, const real *x, const real *t,
                                  const real *scale, real *restrict loss, real *restrict grad) {
    const double keep = o->keep64, spread = o->spread64, gamma = o->gamma, alpha = o->alpha, rest = o->rest;
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) {
        const double logit = (double)x[i], target = (double)t[i];
        const double u = XN_FMA64(keep, target, spread), v = XN_FMA64(keep, 1 - target, spread);
        const double size = logit < 0 ? -logit : logit;
        const double e = xn_exp_down(-size), near = xn_log1p_unit(e), inverse = 1 / (1 + e);
        const double side = logit < 0 ? u : v;
        const double plain = XN_FMA64(side, side == 0 ? 0 : size, near);
        const double p = logit < 0 ? e : 1.0, other = logit < 0 ? 1.0 : e; /* times 1 + e */
        const double mix = XN_FMA64(u, other, v * p), m = mix * inverse;
        const double balance = alpha * u + rest * v;
        const double power = square ? m : XN_T(focal_power)(gamma, mix, -near);
        const double factor = power * balance, value = (square ? m * plain : plain) * factor;
        loss[i] = (real)(factor == 0 ? 0 : value);
        if (wanted) {
            const double slope = XN_FMA64(-u, other, v * p) * inverse;
            const double finite = e == 0 ? 0 : plain, turn = gamma * (v - u) * inverse * finite;
            const double bend = square ? turn * (e * inverse) : turn * (mix == 0 ? 1.0 : e / mix);
            const double entry = (square ? XN_FMA64(m, slope, bend) : slope + bend) * factor * (double)scale[i];
            grad[i] = scale[i] == 0 ? 0 : (real)entry;
        }
    }
}

XN_INLINE void XN_T(focal_probabilities)(int square, int wanted, const XN_T(binary) *o, const real *x, const real *t,
                                         const real *scale, real *restrict loss, real *restrict grad) {
    const double keep = o->keep64, spread = o->spread64, low = o->low64, high = o->high64;
    const double gamma = o->gamma, zero_power = o->zero_power, alpha = o->alpha, rest = o->rest;
    const double log_low = o->log_low64, log_high = o->log_high64;
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) {
        const double p = (double)x[i], target = (double)t[i];
        const double u = XN_FMA64(keep, target, spread), v = XN_FMA64(keep, 1 - target, spread);
        const double log_p = xn_log(p), other = 1 - p;
        const double log_other = xn_log_corrected(other, (1 - other) - p);
        const double yes = p < low ? log_low : p > high ? log_high : log_p;
        const double no = p < low ? log_high : p > high ? log_low : log_other;
        const double plain = 0 - ((u == 0 ? 0 : u * yes) + (v == 0 ? 0 : v * no));
        const double floored = p < 0 ? 0 : p, valid = floored > 1 ? 1 : floored;
        const double mix = XN_FMA64(u, 1 - valid, v * valid);
        const double balance = alpha * u + rest * v;
        const double power = square ? mix * mix : XN_T(focal_power)(gamma, mix, 0);
        const double factor = power * balance;
        loss[i] = (real)(factor == 0 ? 0 : factor * plain); /* plain may be infinite, and so may slope */
        if (wanted) {
            const double first = u == 0 ? 0 : u / p, second = v == 0 ? 0 : v / other;
            const double slope = p < low || p > high ? 0 : second - first;
            const double ratio = mix == 0 ? zero_power * balance : gamma * factor / mix;
            const double turn = (square ? 2 * mix * balance : ratio) * (v - u);
            const double bend = turn == 0 ? 0 : turn * plain, steep = factor == 0 ? 0 : slope;
            const double entry = XN_FMA64(factor, steep, bend) * (double)scale[i];
            grad[i] = scale[i] == 0 ? 0 : (real)entry;
        }
    }
}

/* sigmoid(x), to the last bits at both of its ends. */
XN_INLINE void XN_T(sigmoid)(const real *x, real *restrict p) {
    const XN_T(reference) ref = XN_T(refer)(0);
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) {
        const real logit = x[i], size = logit < 0 ? -logit : logit;
        const real lifted = XN_T(lifted)(-size, 0, ref.lowest, ref.magic);
        const real inverse = 1 / XN_FMA(lifted, (real)0x1p-60, (real)1);
        p[i] = logit < 0 ? lifted * inverse * (real)0x1p-60 : inverse;
    }
}
