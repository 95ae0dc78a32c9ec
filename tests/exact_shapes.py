# SPDX-License-Identifier: BSD-3-Clause
"""Focal loss, poly1 and KL divergence to about 28 digits, and how far a result may be from them, and why.

Per class, with p its probability, o = 1 - p, L = -log p, u its effective target (KL: t, clipped):

    focal  f = o^c L          w = -p f' = o^c (1 + c p L / o)
    poly1  f = L + c o        w = 1 + c p
    KL     f = log(t / p)     w = 1

A row's loss is sum of u f. With v = u w, and V its sum, the gradient is V p - v from logits and V' / S - v / y from
probabilities y with the sum S, where V' and v leave out what is clipped; KL has no first term.

Bounds count roundings of h = eps / 2 each. exp is within 1 ulp (2 without FMA), so p is within 6 h with its scale and
product; o = 1 - p adds its own, and inherits p / o of p's error, where p <= 1/2 unless it is the largest: 7 h. The
largest has o from the sum of the others in float64, 8 h there. L has 3 h. o^c has c times o's, and through log and exp
8 h of |c log o|, and 5 h. f and w have two products more, w the three factors of p L / o. u has 3 h.
From probabilities S is summed in float64, C / 8 + 4 additions; 1 - q inherits that, absolutely. Without FMA the
quotient is rounded before its logarithm: 4 h more, absolutely, in L.
"""

from __future__ import annotations

from typing import NamedTuple

import double_double as dd
import exact
import numpy as np
from double_double import DoubleDouble

ONE = dd.of(1.0)


class Shaped(NamedTuple):
    """Rows of losses and gradients, and bounds of their errors."""

    loss: np.ndarray  # (n,) rounded to float64: bounds are many times that
    grad: np.ndarray  # (n, C)
    loss_bound: np.ndarray
    grad_bound: np.ndarray
    loss_rest: np.ndarray  # what the rounding took away
    grad_rest: np.ndarray
    loss_terms: np.ndarray  # (n,) the sum of the sizes of the terms of a loss
    grad_terms: np.ndarray  # (n, C) the same of an entry


class _Class(NamedTuple):
    f: DoubleDouble
    w: DoubleDouble
    f_error: np.ndarray
    w_error: np.ndarray


def _column(a: DoubleDouble) -> DoubleDouble:
    return DoubleDouble(a.hi[:, None], a.lo[:, None])


def _where(mask, a: DoubleDouble, b: DoubleDouble) -> DoubleDouble:
    return DoubleDouble(np.where(mask, a.hi, b.hi), np.where(mask, a.lo, b.lo))


def _log(a: DoubleDouble) -> DoubleDouble:
    """Of a > 0."""
    below = a.hi < 1
    ratio = _where(below, dd.divide(ONE, a), a)
    value = dd.log1p(_positive(dd.subtract(ratio, ONE)))
    return _where(below, dd.negative(value), value)


def _positive(a: DoubleDouble) -> DoubleDouble:
    return DoubleDouble(np.maximum(a.hi, 0.0), np.where(a.hi < 0, 0.0, a.lo))


def _power(log_o: DoubleDouble, c: float) -> DoubleDouble:
    y = dd.multiply(log_o, dd.of(c))
    far = y.hi < -1400
    mantissa, k = dd.exp_parts(DoubleDouble(np.where(far, 0, y.hi), np.where(far, 0, y.lo)))
    k[far] = exact.SMALLEST_EXPONENT
    return dd.scale(mantissa, k)


def _class(shape: str, c: float, p, o, log_o, loss, o_error, loss_error, h: float) -> _Class:
    """From p, o, log o, L and the errors of o and L; p has 6 h."""
    if shape == "poly1" or c == 0:
        f = dd.add(loss, dd.multiply(o, dd.of(c)))
        w = dd.add(ONE, dd.multiply(p, dd.of(c)))
        size = abs(c)
        return _Class(
            f, w, loss_error + size * o_error + 3 * h * (loss.hi + size * o.hi), h * (3 + 9 * size * p.hi)
        )
    gone = o.hi == 0
    safe = _where(gone, ONE, o)
    power = _power(_where(gone, dd.of(0.0), log_o), c)
    power = _where(gone, dd.of(0.0), power)
    part = dd.divide(dd.multiply(dd.multiply(p, loss), dd.of(c)), safe)
    f, w = dd.multiply(power, loss), dd.multiply(power, dd.add(ONE, part))
    of_power = c * o_error / safe.hi + 8 * h * c * np.abs(log_o.hi) * ~gone + 5 * h
    with np.errstate(divide="ignore", invalid="ignore"):
        of_part = np.where(p.hi * loss.hi > 0, 10 * h + loss_error / loss.hi + o_error / safe.hi, 0)
    return _Class(
        f,
        w,
        power.hi * (loss.hi * (of_power + 3 * h) + loss_error),
        w.hi * (of_power + 3 * h) + power.hi * part.hi * of_part,
    )


def _row_sum(a: np.ndarray) -> np.ndarray:
    return a.sum(axis=1, keepdims=True)


def from_logits(x, u, shape: str, c: float, dtype) -> Shaped:
    """From (n, C) logits with a finite maximum in each row and (n, C) effective targets, 0 where a logit is -inf."""
    x, u = np.asarray(x, np.float64), np.asarray(u, np.float64)
    h, tiny = float(np.finfo(dtype).eps) / 2, float(np.finfo(dtype).tiny)
    every = np.arange(len(x))
    best = np.argmax(x, axis=1)
    row = exact._rows(x)
    s = _column(dd.add(row.z, ONE))
    e = dd.scale(row.mantissa, row.exponent)
    rest = dd.subtract(s, e)
    rest.hi[every, best], rest.lo[every, best] = row.z.hi, row.z.lo
    gone = rest.hi < 1e-290  # nothing comes of these in a power: even o^(1/2) L is below the smallest float64
    if shape == "focal" and c > 0:
        rest = _where(gone, dd.of(0.0), rest)
    p, o = dd.divide(e, s), dd.divide(rest, s)
    log_o = dd.negative(dd.log1p(dd.divide(e, _where(gone, ONE, rest))))
    log_s = _column(dd.log1p(row.z))
    loss = dd.add(log_s, row.distance)
    top = x == x[every, best][:, None]
    o_error = np.where(top, 8 * h * o.hi, 6 * h * p.hi + h * o.hi)
    one = _class(shape, c, p, o, log_o, loss, o_error, 3 * h * loss.hi + 8 * h * log_s.hi, h)
    v = dd.multiply(dd.of(u), one.w)
    mass = dd.total(v)
    terms = dd.multiply(dd.of(u), one.f)
    total = dd.total(terms)
    grad = dd.subtract(dd.multiply(p, _column(mass)), v)
    # At the maximum V - v first: exact where v is all of V.
    others = v.hi.copy()
    own = np.abs(u) * one.w_error + 4 * h * np.abs(v.hi)
    sure = np.count_nonzero(u, axis=1, keepdims=True) == (u != 0)
    grad = _where(sure & top, dd.negative(dd.multiply(o, _column(mass))), grad)
    size = _row_sum(np.abs(others))
    error = np.where(
        top & (o.hi < 0.5),
        o.hi * (_row_sum(own) + 14 * h * size) + np.where(sure, 0, _row_sum(own) - own + 4 * h * size),
        p.hi * (_row_sum(own) + 12 * h * size) + own,
    )
    return Shaped(
        total.hi,
        grad.hi,
        _loss_bound(u, one, total, h) + tiny,
        error + 4 * h * np.abs(grad.hi) + 4 * tiny,
        total.lo,
        grad.lo,
        np.abs(terms.hi).sum(axis=1),
        p.hi * np.abs(_column(mass).hi) + np.abs(v.hi),
    )


def _loss_bound(u, one: _Class, total: DoubleDouble, h: float) -> np.ndarray:
    return (np.abs(u) * (one.f_error + 4 * h * np.abs(one.f.hi))).sum(axis=1) + 2 * h * np.abs(total.hi)


def from_probabilities(y, u, shape: str, c: float, dtype, epsilon: float = 1e-7) -> Shaped:
    """From (n, C) non-negative numbers, none of which lies within rounding of a bound of the clip."""
    y, u = np.asarray(y, np.float64), np.asarray(u, np.float64)
    h, tiny = float(np.finfo(dtype).eps) / 2, float(np.finfo(dtype).tiny)
    if shape == "kl":
        return _divergence(y, u, h, tiny, epsilon)
    of_sum = (y.shape[1] / 8 + 4) * 2.0**-53
    s = _column(dd.total(dd.of(y)))
    q = dd.divide(dd.of(y), s)
    low, high = q.hi < epsilon, q.hi > 1 - epsilon
    inside = ~(low | high)
    rest = dd.divide(dd.subtract(s, dd.of(y)), s)
    small, large = dd.of(np.full_like(y, epsilon)), dd.subtract(ONE, dd.of(np.full_like(y, epsilon)))
    clipped = _where(low, small, _where(high, large, q))
    o = _where(low, large, _where(high, small, rest))
    loss, log_o = dd.negative(_log(clipped)), _log(o)
    o_error = np.where(inside, of_sum + 3 * h * o.hi, 2 * h * o.hi)
    one = _class(shape, c, clipped, o, log_o, loss, o_error, 8 * h * loss.hi + 4 * h + of_sum, h)
    v = dd.multiply(dd.of(u), one.w)
    v = _where(inside, v, dd.of(0.0))
    own = inside * (np.abs(u) * one.w_error + 4 * h * np.abs(v.hi))
    base = dd.divide(_column(dd.total(v)), s)
    other = dd.divide(v, dd.of(np.where(y == 0, 1, y)))
    grad = dd.subtract(base, other)
    size = _row_sum(np.abs(v.hi)) / s.hi
    error = _row_sum(own) / s.hi + own / np.where(y == 0, 1, y) + (6 * h + of_sum) * (size + np.abs(other.hi))
    terms = dd.multiply(dd.of(u), one.f)
    total = dd.total(terms)
    return Shaped(
        total.hi,
        grad.hi,
        _loss_bound(u, one, total, h) + tiny,
        error + 4 * tiny,
        total.lo,
        grad.lo,
        np.abs(terms.hi).sum(axis=1),
        np.abs(base.hi) + np.abs(other.hi),
    )


def _divergence(y, t, h: float, tiny: float, epsilon: float) -> Shaped:
    """A bound of the clip is rounded (2 h), the logarithm has 10 h of itself, 4 h more without FMA."""
    a, b = np.clip(t, epsilon, 1.0), np.clip(y, epsilon, 1.0)
    with np.errstate(divide="ignore"):
        f = _log(dd.divide(dd.of(np.where(a == 0, 1, a)), dd.of(np.where(b == 0, 1, b))))
    terms = dd.multiply(dd.of(a), f)
    total = dd.total(terms)
    infinite = ((a > 0) & (b == 0)).any(axis=1)
    total = _where(infinite, dd.of(np.full(len(y), np.inf)), total)
    inside = (y >= epsilon) & (y <= 1) & (a != 0)
    grad = dd.negative(dd.divide(dd.of(np.where(inside, a, 0.0)), dd.of(np.where(inside & (y != 0), y, 1.0))))
    grad = _where(inside & (y == 0), dd.of(np.full_like(y, -np.inf)), grad)
    bound = (14 * h * np.abs(terms.hi) + 8 * h * a).sum(axis=1) + 2 * h * np.abs(total.hi)
    size = np.abs(grad.hi)
    return Shaped(
        total.hi,
        grad.hi,
        bound + tiny,
        8 * h * size + 4 * tiny,
        total.lo,
        grad.lo,
        np.abs(terms.hi).sum(axis=1),
        size,
    )
