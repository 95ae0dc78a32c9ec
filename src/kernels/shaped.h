/* SPDX-License-Identifier: BSD-3-Clause */
/* Losses that are another function of p than -log p: what one class adds, and its slope. Template: see real.h.
 *
 * With u the effective targets, L = -log p and o = 1 - p, a row's loss is the sum of u_j f(p_j), and -p f'(p) is what
 * p's own target is multiplied by in the gradient:
 *     focal   f = o^gamma L         -p f' = o^gamma (1 + gamma p L / o)
 *     poly1   f = L + epsilon o     -p f' = 1 + epsilon p
 *     KL      f = log(t / p)        -p f' = 1
 * So the gradient is that of plain cross-entropy with the targets v_j = u_j (-p_j f'(p_j)), whose sum is V:
 *     d loss / d x_k = V p_k - v_k from logits, and V' / S - v_k / y_k from probabilities y with the sum S, where V'
 *     leaves out what is clipped: V' is 0 for KL, which is not divided by S.
 * In place of the Hessian, whose diagonal may be negative, stands that of this cross-entropy, with the v_j held fixed:
 * V p_k (1 - p_k) from logits, which is the Hessian itself where f is -log p.
 * Focal terms, and those of poly1 with epsilon >= 0, have one sign: an error of terms is an error of the sum.
 *
 * L is given halved, because m - x may not fit where u (m - x) does, and f is returned halved. */

#ifndef XN_FORMS
#define XN_FORMS 1
/* How a loop computes f: a constant to all that is inlined into it. */
enum { XN_FORM_SQUARE, XN_FORM_POWER, XN_FORM_POLY1, XN_FORM_KL };
#endif

#undef XN_REAL_TINY
#if XN_REAL == 32
#define XN_REAL_TINY 0x1p-126f /* the smallest normal number */
#else
#define XN_REAL_TINY 0x1p-1022
#endif

typedef struct {
    int form;
    real gamma, twice;       /* focal: and 2 gamma */
    real epsilon, half;      /* poly1: and epsilon / 2 */
    XN_T(reference) zero;    /* of exp(y), y <= 0 */
} XN_T(shape);

/* Focal with gamma 0 is plain cross-entropy, and so is poly1 with epsilon 0: 0^0 never comes up. */
static inline XN_T(shape) XN_T(shape_of)(const xn_tile *t) {
    const real c = (real)t->coefficient;
    const int focal = t->shape == XN_SHAPE_FOCAL && t->coefficient != 0;
    XN_T(shape) k = {XN_FORM_POLY1, 0, 0, 0, 0, XN_T(refer)(0)};
    if (t->shape == XN_SHAPE_KL) k.form = XN_FORM_KL;
    if (t->shape == XN_SHAPE_POLY1) k.epsilon = c, k.half = (real)0.5 * c;
    if (focal) k.form = t->coefficient == 2 ? XN_FORM_SQUARE : XN_FORM_POWER;
    if (focal) k.gamma = c, k.twice = 2 * c;
    return k;
}

/* o^gamma for 0 <= o <= 1, gamma > 0. Its relative error is that of o times gamma, and 3 half ulps times
 * |gamma log o|. Below the normal numbers o counts as 0. */
XN_INLINE real XN_T(raised)(real o, XN_T(shape) k) {
    const real safe = o < XN_REAL_TINY ? XN_REAL_TINY : o;
    const real y = k.gamma * XN_T(log_quotient)(safe, 1, 0, 1);
    const real e = XN_T(lifted)(y, 0, k.zero.lowest, k.zero.magic) * (real)0x1p-60;
    return o < XN_REAL_TINY ? 0 : e;
}

/* f / 2, and -p f'. */
typedef struct {
    real value, slope;
} XN_T(shaped);

/* p, 1 - p and L / 2 of one class. p L is 0 where p is, although L may be infinite. */
XN_INLINE XN_T(shaped) XN_T(shape_class)(int form, XN_T(shape) k, real p, real o, real half) {
    const real part = p == 0 ? 0 : p * half;
    if (form == XN_FORM_POLY1) return (XN_T(shaped)){XN_FMA(k.half, o, half), XN_FMA(k.epsilon, p, (real)1)};
    if (form == XN_FORM_SQUARE) return (XN_T(shaped)){(o * o) * half, o * XN_FMA(k.twice, part, o)};
    const real power = XN_T(raised)(o, k), safe = o < XN_REAL_TINY ? XN_REAL_TINY : o;
    return (XN_T(shaped)){power * half, power * XN_FMA(k.twice, part / safe, (real)1)};
}

/* Sums of u f / 2 and of v, lane by lane. */
typedef struct {
    double loss[XN_LANES], loss_error[XN_LANES], mass[XN_LANES], mass_error[XN_LANES]; /* see add() */
} XN_T(shaped_sums);

static inline void XN_T(shaped_clear)(XN_T(shaped_sums) *s) {
    XN_ZERO(s->loss);
    XN_ZERO(s->loss_error);
    XN_ZERO(s->mass);
    XN_ZERO(s->mass_error);
}

/* Adds one class with the target u, and gives its v. A target of 0 counts nothing, whatever its class holds. `slopes`,
 * a constant to the callers: the gradient is wanted, and with it V. */
XN_INLINE real XN_T(shaped_add)(int slopes, XN_T(shaped_sums) *restrict s, int lane, real u, real value, real slope) {
    const real v = u == 0 ? 0 : u * slope;
    XN_T(add)(s->loss + lane, s->loss_error + lane, (double)u * (double)(u == 0 ? 0 : value));
    if (slopes) XN_T(add)(s->mass + lane, s->mass_error + lane, (double)v);
    return v;
}
