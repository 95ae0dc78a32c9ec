# SPDX-License-Identifier: BSD-3-Clause
"""Exact losses and gradients from logits, to about 28 digits, and how far a result is from them.

Fast enough for rows of a million classes. Formulas as in reference.py, in double-double arithmetic:

    log S = log1p(z),  z = sum of exp(x_c - m) over all classes but one that has the maximum m
    loss  = U log S + sum of u_c (m - x_c)        d loss / d x_c = U exp(x_c - m) / (1 + z) - u_c

The gradient at a label is taken from the sum over the other classes, so that nothing cancels there.
"""

from __future__ import annotations

from typing import NamedTuple

import double_double as dd
import numpy as np
from bounds import SMALLEST_CERTAIN_LOSS, ULPS_FROM
from double_double import DoubleDouble


class Exact(NamedTuple):
    """Of n rows of C classes. A row whose label is at -inf has the loss inf."""

    loss: DoubleDouble  # (n,)
    grad: DoubleDouble  # (n, C): of the sum of the losses
    mass: np.ndarray  # (n,): the sum of each row's targets, which is what A2 calls its scale


class _Row(NamedTuple):
    mantissa: DoubleDouble  # exp(x - m) = mantissa 2^exponent
    exponent: np.ndarray
    distance: DoubleDouble  # m - x; 0 where x is -inf
    z: DoubleDouble


SMALLEST_EXPONENT = -1500  # a 2^k below that counts as 0: no float64 is as small


def _rows(x: np.ndarray) -> _Row:
    every = np.arange(len(x))
    best = np.argmax(x, axis=1)
    most = x[every, best][:, None]
    masked = np.isneginf(x)
    distance = dd.two_sum(most, -np.where(masked, most, x))
    far = masked | (distance.hi > 1000)  # exp() of these is 0 in float64
    mantissa, exponent = dd.exp_parts(
        dd.negative(DoubleDouble(*(np.where(far, 0, part) for part in distance)))
    )
    exponent[far] = SMALLEST_EXPONENT
    others = dd.scale(mantissa, exponent)
    others.hi[every, best] = others.lo[every, best] = 0
    return _Row(mantissa, exponent, distance, dd.total(others))


def sparse(x: np.ndarray, labels: np.ndarray) -> Exact:
    """From (n, C) logits with a finite maximum in each row, and (n,) labels."""
    x = np.asarray(x, np.float64)
    every = np.arange(len(x))
    row = _rows(x)
    s = dd.add(row.z, dd.of(1.0))
    loss = dd.add(dd.log1p(row.z), row.distance.at((every, labels)))
    masked = np.isneginf(x[every, labels])
    loss.hi[masked], loss.lo[masked] = np.inf, 0
    column = DoubleDouble(s.hi[:, None], s.lo[:, None])
    grad = dd.scale(dd.divide(row.mantissa, column), row.exponent)
    # p - 1 at the label is minus the sum over the other classes over S.
    at_label = dd.scale(row.mantissa.at((every, labels)), row.exponent[every, labels])
    is_best = labels == np.argmax(x, axis=1)
    apart = dd.subtract(s, at_label)
    others = DoubleDouble(*(np.where(is_best, a, b) for a, b in zip(row.z, apart, strict=True)))
    grad.hi[every, labels], grad.lo[every, labels] = dd.negative(dd.divide(others, s))
    return Exact(loss, grad, np.ones(len(x)))


def dense(x: np.ndarray, targets: np.ndarray) -> Exact:
    """From (n, C) logits and (n, C) targets, which are 0 where a logit is -inf."""
    x, u = np.asarray(x, np.float64), np.asarray(targets, np.float64)
    row = _rows(x)
    mass = dd.total(dd.of(u))
    terms = dd.multiply(dd.of(u), row.distance)
    loss = dd.add(dd.multiply(mass, dd.log1p(row.z)), dd.total(terms))
    s = dd.add(row.z, dd.of(1.0))
    share = dd.divide(mass, s)
    column = DoubleDouble(share.hi[:, None], share.lo[:, None])
    grad = dd.subtract(dd.scale(dd.multiply(row.mantissa, column), row.exponent), dd.of(u))
    return Exact(loss, grad, mass.hi)


def ulp(value, dtype) -> np.ndarray:
    """Distance of neighbouring numbers of `dtype` in the binade of `value`, which is float64."""
    info = np.finfo(dtype)
    exponent = np.frexp(value)[1] - 1
    return np.ldexp(1.0, np.maximum(exponent, info.minexp) - info.nmant)


def error(actual, exact: DoubleDouble) -> np.ndarray:
    """|actual - exact|; 0 where both are inf."""
    actual = np.asarray(actual, np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(actual == exact.hi, np.abs(exact.lo), np.abs((actual - exact.hi) - exact.lo))


def loss_errors(actual, exact: DoubleDouble, dtype) -> tuple[np.ndarray, np.ndarray]:
    """What A1 speaks of: errors in ulp of the losses from 0.01 on, and relative errors of the smaller ones."""
    finite = np.isfinite(exact.hi)
    off = error(actual, exact)
    large = finite & (exact.hi >= ULPS_FROM)
    small = finite & ~large
    return off[large] / ulp(exact.hi[large], dtype), off[small] / np.maximum(
        exact.hi[small], SMALLEST_CERTAIN_LOSS
    )


def grad_errors(actual, exact: Exact, dtype) -> tuple[np.ndarray, np.ndarray]:
    """What A2 speaks of: errors over the row's scale, and relative errors of the entries that are normal numbers."""
    off = error(actual, exact.grad)
    size = np.abs(exact.grad.hi)
    normal = size >= np.finfo(dtype).tiny
    return off / np.abs(exact.mass)[:, None], off[normal] / size[normal]


def term_errors(actual, exact: Exact, targets: np.ndarray, dtype) -> np.ndarray:
    """Of gradients of dense targets: errors over U p + u, the size of the two terms whose difference they are.

    These may be equal but for their last digits, so no error can be held relative to the difference.
    """
    u = np.asarray(targets, np.float64)
    terms = np.abs(exact.grad.hi + u) + np.abs(u)
    normal = terms >= np.finfo(dtype).tiny
    return error(actual, exact.grad)[normal] / terms[normal]
