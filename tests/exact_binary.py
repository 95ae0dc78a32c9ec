# SPDX-License-Identifier: BSD-3-Clause
"""Binary cross-entropy and its focal form from logits, element by element, to about 28 digits, with what is promised.

With e = exp(-|x|), u = t, v = 1 - t, p = sigmoid(x), q = 1 - p and m = u q + v p:

    loss = u max(-x, 0) + v max(x, 0) + (u + v) log1p(e)        d loss / d x = v p - u q
    focal: m^gamma loss                     m^gamma (v p - u q) + gamma m^(gamma - 1) p q (v - u) loss

p and q are e / (1 + e) and 1 / (1 + e): nothing cancels where t is 0 or 1.
"""

from __future__ import annotations

import double_double as dd
import exact
import numpy as np
from bounds import A1, A2, ULPS_FROM
from exact_shapes import Shaped, _where

ONE = dd.of(1.0)


def from_logits(x, t, gamma: int, dtype) -> Shaped:
    """Of elements, as many rows of one class, and targets in [0, 1]; gamma 0 is without the focal factor."""
    x, t = np.asarray(x, np.float64), np.asarray(t, np.float64)
    mantissa, k = dd.exp_parts(dd.of(-np.abs(x)))
    e = dd.scale(mantissa, np.maximum(k, exact.SMALLEST_EXPONENT))
    near = dd.log1p(e)
    u, v = dd.of(t), dd.subtract(ONE, dd.of(t))
    side = _where(x < 0, u, v)
    loss = dd.add(dd.multiply(side, dd.of(np.abs(x))), near)
    share = dd.divide(ONE, dd.add(ONE, e))
    small = dd.multiply(e, share)
    p, q = _where(x < 0, small, share), _where(x < 0, share, small)
    first, second = dd.multiply(v, p), dd.multiply(u, q)
    grad, terms = dd.subtract(first, second), first.hi + second.hi
    if gamma:
        m = dd.add(first, second)
        lower = ONE
        for _ in range(gamma - 1):
            lower = dd.multiply(lower, m)
        power = dd.multiply(lower, m)
        bend = dd.multiply(dd.multiply(dd.multiply(p, q), dd.subtract(v, u)), loss)
        bend = dd.multiply(dd.multiply(bend, lower), dd.of(float(gamma)))
        grad = dd.add(dd.multiply(power, grad), bend)
        terms = power.hi * terms + np.abs(bend.hi)
        loss = dd.multiply(power, loss)
    bounds = _bounds(loss.hi, grad.hi, t, gamma, np.dtype(dtype))
    return Shaped(loss.hi, grad.hi[:, None], *bounds, loss.lo, grad.lo[:, None], loss.hi, terms[:, None])


def _bounds(loss, grad, t, gamma: int, dtype) -> tuple[np.ndarray, np.ndarray]:
    """A1 and A2; test_binary.py says what comes on top.

    A power multiplies the errors of its logarithm by gamma: 4 gamma ulp in float64; float32 is computed in float64.
    Between 0 and 1 u, v and their products are rounded, 4 ulp, and an entry is a difference: an absolute bound alone.
    """
    tiny = float(np.finfo(dtype).tiny)
    ulps, relative = A1[dtype.name]
    absolute, slope = A2[dtype.name]
    hard = (t == 0) | (t == 1)
    ulps = ulps + np.where(hard, 0, 4) + (4 * gamma if dtype == np.float64 else 0)
    of_loss = np.where(loss >= ULPS_FROM, ulps * exact.ulp(loss, dtype), np.maximum(relative * loss, tiny))
    sure = np.minimum(slope * np.abs(grad), absolute) if gamma == 0 else slope * np.abs(grad)
    of_grad = np.where(hard, np.maximum(sure, tiny), 8 * absolute)
    return of_loss, of_grad[:, None]
