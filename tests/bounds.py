# SPDX-License-Identifier: BSD-3-Clause
"""How far a result may lie from the oracle's, and why.

The contract of the library is, against the exact result for the same input:

A1  loss from logits: float32 within 2 ulp from 0.01 on, relative 5e-6 below; float64 4 ulp and 2e-13.
A2  gradient entries: float32 within 1.2e-7 of the row's scale and relative 5e-6 where normal; float64 4e-16
    and 2e-13. (The row's scale is its weight times the sum of its targets.)

Everything else here is derived from the roundings that a result needs, each half an ulp. The oracle computes
in float64, with errors of its own of up to 3 ulp (exp 1, its argument's second part 0.5, sum 0.5, log1p or
the quotient 1): they count only where the result is float64 too.
"""

from __future__ import annotations

import numpy as np

# A1 and A2 in numbers: (ulps, relative error) of losses, (error over the row's scale, relative error) of gradients.
A1 = {"float32": (2, 5e-6), "float64": (4, 2e-13)}
A2 = {"float32": (1.2e-7, 5e-6), "float64": (4e-16, 2e-13)}
ULPS_FROM = 0.01  # losses from here on are measured in ulp
SMALLEST_CERTAIN_LOSS = 1e-30  # the relative bound ends here; below, errors are relative to this

ORACLE_ULPS = {np.dtype(np.float32): 0, np.dtype(np.float64): 3}

# Dense targets: u = t (1 - s) + s / C times a class weight has three roundings, m - x (or the logarithm) up
# to two, and lanes add up to eight products in the compute type before they go on in float64, then four lanes
# are added: 15 half ulps, all terms having one sign.
DENSE_ULPS = 8


def eps(dtype) -> float:
    return float(np.finfo(dtype).eps)


def ulp(value, dtype) -> np.ndarray:
    """Distance of neighbouring numbers of `dtype` at |value|."""
    return np.spacing(np.abs(value).astype(dtype)).astype(np.float64)


def loss_bound(expected, dtype, dense=False) -> np.ndarray:
    """A1, and the roundings of dense targets where there are any."""
    dtype = np.dtype(dtype)
    ulps, relative = A1[dtype.name]
    ulps += ORACLE_ULPS[dtype] + (DENSE_ULPS if dense else 0)
    size = np.abs(np.asarray(expected, np.float64))
    return np.where(
        size >= ULPS_FROM, ulps * ulp(size, dtype), np.maximum(relative * size, ulps * ulp(size, dtype))
    )


def grad_bound(expected, targets, factor, dtype, dense=False) -> np.ndarray:
    """A2. `expected` is (n, C), `targets` and `factor` are the oracle's.

    With dense targets u p and u are rounded on their own before they are subtracted: u and the sum of u have
    two roundings more each, which is twice A2's absolute bound again, and the difference one. There is no
    relative bound.
    """
    dtype = np.dtype(dtype)
    scale = np.abs(factor[:, None]) * np.abs(targets).sum(axis=1, keepdims=True)
    absolute, relative = A2[dtype.name]
    absolute += ORACLE_ULPS[dtype] * eps(dtype) / 2
    if dense:
        return 4 * absolute * scale
    normal = np.abs(expected) >= np.finfo(dtype).tiny
    return np.where(normal, np.minimum(absolute * scale, relative * np.abs(expected)), np.finfo(dtype).tiny)


def plane_bound(expected, ulps, dtype) -> np.ndarray:
    """A few ulp of each entry; below the normal numbers, one normal number."""
    dtype = np.dtype(dtype)
    return np.maximum((ulps + ORACLE_ULPS[dtype]) * eps(dtype) * np.abs(expected), np.finfo(dtype).tiny)


def prob_bound(expected, dtype) -> np.ndarray:
    """exp within 1 ulp, 2 without FMA; 1 / S and the product a rounding each, S itself half an ulp."""
    return plane_bound(expected, 4, dtype)


def hess_bound(expected, dtype, dense=False) -> np.ndarray:
    """p (4 ulp), 1 - p where p is at most a half (4), three products (1.5); dense: the sum of targets (2)."""
    return plane_bound(expected, 12 if dense else 10, dtype)


def log_prob_bound(expected, dtype) -> np.ndarray:
    """(x - m) and log S are of one sign: a rounding of each, one of the sum, and what A1 allows log S."""
    dtype = np.dtype(dtype)
    return loss_bound(expected, dtype) + plane_bound(expected, 2, dtype)


def lse_bound(lse, log_s, dtype) -> np.ndarray:
    """A1 for log S, and a rounding of its sum with the maximum."""
    dtype = np.dtype(dtype)
    return loss_bound(log_s, dtype) + (1 + ORACLE_ULPS[dtype]) * ulp(lse, dtype)


def probability_bounds(loss, p, targets, factor, dtype, epsilon=1e-7):
    """(bound of the loss, bound of the gradient) from probabilities.

    The sum of a row is taken in float64 over 8 lanes or more, C / 8 + 4 additions of half an ulp each, and
    the quotient is rounded: an error relative to q, so absolute in log q. The logarithm and the sum over
    classes add what they add from logits. A gradient is the difference of two terms: the bound is relative
    to both.
    """
    dtype = np.dtype(dtype)
    classes = p.shape[1]
    total = p.astype(np.float64).sum(axis=1, keepdims=True)
    double = (classes / 8 + 4) * 2.0**-53
    of_log = double + (eps(dtype) if dtype == np.float64 else 0)
    mass = np.abs(targets).sum(axis=1)
    loss_error = np.abs(factor) * mass * of_log + (DENSE_ULPS + 2 + ORACLE_ULPS[dtype]) * ulp(loss, dtype)
    with np.errstate(divide="ignore", invalid="ignore"):
        q = p / total
        own = np.where((q >= epsilon) & (q <= 1 - epsilon), np.abs(targets) / p, 0.0)
    size = np.abs(factor)[:, None] * (mass[:, None] / total + own)
    grad_error = size * ((4 + ORACLE_ULPS[dtype]) * eps(dtype) + double) + np.finfo(dtype).tiny
    return loss_error, grad_error


def assert_within(actual, expected, bound, message: str = "") -> None:
    """Every entry within its bound; NaN equals NaN, inf equals inf. Names the worst entry."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, f"{message}: shape {actual.shape}, expected {expected.shape}"
    with np.errstate(invalid="ignore"):
        error = np.abs(actual - expected)
    good = (error <= bound) | (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    if good.all():
        return
    with np.errstate(invalid="ignore", divide="ignore"):
        excess = np.where(good, 0.0, np.nan_to_num(error / bound, nan=np.inf))
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    raise AssertionError(
        f"{message}: {np.count_nonzero(~good)} of {good.size} entries out of bounds; "
        f"at {tuple(map(int, worst))} got {actual[worst]!r}, expected {expected[worst]!r}, "
        f"allowed {np.broadcast_to(bound, good.shape)[worst]:.3g}"
    )
