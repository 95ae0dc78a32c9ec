# SPDX-License-Identifier: BSD-3-Clause
"""The oracle of the tests: cross-entropy in float64 as a textbook has it. It shares nothing with the library.

A row has C classes, logits x or probabilities p, and effective targets

    u_c = (t_c (1 - s) + s / C) w_c

from its targets t (dense, or 1 at a label and 0 elsewhere), the label smoothing s and the class weights w.

From logits, with m = max x and S = sum of exp(x_c - m):

    log p_c = (x_c - m) - log S          loss = -sum of u_c log p_c
    d loss / d x_c   = U p_c - u_c       where U = sum of u
    d2 loss / d x_c2 = U p_c (1 - p_c)

From probabilities, with S = sum of p and q = p / S:

    loss = -sum of u_c log(clip(q_c)),   clip to [epsilon, 1 - epsilon]
    d loss / d p_k = (sum of u_c over the unclipped c) / S - u_k / p_k   (last term: only if k is unclipped)

which is the chain rule: d loss / d q_c = -u_c / q_c where the clip lets q_c through and 0 where it does not,
and d q_c / d p_k = ([c = k] - q_c) / S. The bounds themselves count as let through.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np


class Softmax(NamedTuple):
    """What follows from logits alone; the first two have one value per row."""

    lse: np.ndarray
    log_s: np.ndarray
    prob: np.ndarray
    log_prob: np.ndarray
    one_minus_prob: np.ndarray


class CrossEntropy(NamedTuple):
    """`loss` as the reduction has it; the others have the shape of the predictions."""

    loss: Any
    grad: np.ndarray
    hess: np.ndarray | None
    targets: np.ndarray  # the effective targets
    factor: np.ndarray  # what each row's gradient was multiplied by: its weight, and the reduction


def row_sums(a: np.ndarray) -> np.ndarray:
    """Correctly rounded sums of rows, as a column."""
    return np.array([math.fsum(row) for row in a]).reshape(-1, 1)


def softmax_rows(x: np.ndarray) -> Softmax:
    """Of an (n, C) array, in float64.

    S is 1 + z, where z sums the exponentials of all classes but one largest: log S = log1p(z) then has its
    digits however confident a row is. x - m is taken in two parts, value and rounding error, because exp
    would amplify the error: at a distance of 20 to 20 ulp.
    """
    x = np.asarray(x, np.float64)
    rows = np.arange(len(x))
    with np.errstate(all="ignore"):
        best = np.argmax(x, axis=1)
        m = x[rows, best].reshape(-1, 1)
        d = x - m
        back = d - x
        error = (x - (d - back)) - (m + back)
        e = np.exp(d)
        e = np.where(e == 0, e, e + e * error)
        others = e.copy()
        others[rows, best] = 0
        z = row_sums(others) + (m - m)  # NaN where the maximum is infinite
        prob = e / (1 + z)
        one_minus = ((1 + z) - e) / (1 + z)
        one_minus[rows, best] = (z / (1 + z))[:, 0]
        log_s = np.log1p(z)
        log_prob = -(log_s + (m - x))
        return Softmax((m + log_s)[:, 0], log_s[:, 0], prob, log_prob, one_minus)


def smoothed_targets(y: np.ndarray, classes: int, smoothing: float, class_weight: Any) -> np.ndarray:
    """The effective targets of rows, from labels (one dimension) or dense targets (two)."""
    if y.ndim == 1:
        dense = np.zeros((len(y), classes))
        for row, label in enumerate(y):
            if 0 <= label < classes:
                dense[row, int(label)] = 1.0
    else:
        dense = y.astype(np.float64)
    smooth = dense * (1.0 - smoothing) + smoothing / classes
    return smooth if class_weight is None else smooth * np.asarray(class_weight, np.float64)


def from_logits_rows(x: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loss, gradient and diagonal Hessian of each row."""
    s = softmax_rows(x)
    total = row_sums(u)
    with np.errstate(invalid="ignore"):
        terms = np.where(u == 0, 0.0, -u * s.log_prob)
    # U p - u, written so that nothing cancels where u is 0 or all of U.
    grad = (total - u) * s.prob - u * s.one_minus_prob
    return terms.sum(axis=1), grad, total * s.prob * s.one_minus_prob


def from_probabilities_rows(p: np.ndarray, u: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Loss and gradient of each row."""
    p = np.asarray(p, np.float64)
    with np.errstate(all="ignore"):
        total = row_sums(p)
        q = p / total
        inside = (q >= epsilon) & (q <= 1.0 - epsilon)
        loss = -np.sum(u * np.log(np.clip(q, epsilon, 1.0 - epsilon)), axis=1)
        passed = np.where(inside, u, 0.0)
        grad = row_sums(passed) / total - np.where(inside, u / p, 0.0)
    return loss, grad


def cross_entropy(
    y_true: Any,
    y_pred: Any,
    *,
    from_logits: bool,
    axis: int = -1,
    label_smoothing: float = 0.0,
    class_weight: Any = None,
    sample_weight: Any = None,
    ignore_class: int | None = None,
    reduction: str | None = "none",
    epsilon: float = 1e-7,
) -> CrossEntropy:
    """Cross-entropy along any axis. Labels have one dimension less than `y_pred`, dense targets as many."""
    y_pred, y_true = np.asarray(y_pred), np.asarray(y_true)
    moved = np.moveaxis(y_pred, axis, -1)
    row_shape, classes = moved.shape[:-1], moved.shape[-1]
    x = moved.reshape(-1, classes)
    dense = y_true.ndim == y_pred.ndim
    y = np.moveaxis(y_true, axis, -1).reshape(-1, classes) if dense else y_true.reshape(-1)
    u = smoothed_targets(y, classes, label_smoothing, class_weight)

    hess = None
    if from_logits:
        loss, grad, hess = from_logits_rows(x, u)
    else:
        loss, grad = from_probabilities_rows(x, u, epsilon)

    counted = np.ones(len(x), bool) if dense or ignore_class is None else y != ignore_class
    weight = np.ones(row_shape) if sample_weight is None else np.broadcast_to(sample_weight, row_shape)
    weight = weight.astype(np.float64).reshape(-1)
    weight = np.where(counted, weight, 0.0)
    with np.errstate(invalid="ignore"):
        loss = np.where(weight == 0, 0.0, loss * weight)  # a dropped row may hold anything

    divisor = 1.0
    if reduction in ("mean", "sum_over_batch_size"):
        divisor = float(np.count_nonzero(counted))
    elif reduction == "mean_with_sample_weight":
        divisor = math.fsum(weight)
    factor = weight / divisor if divisor else 0.0 * weight
    result: Any = loss.reshape(row_shape)
    if reduction not in ("none", None):
        result = math.fsum(loss) / divisor if divisor else 0.0

    def plane(a: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            scaled = np.where(factor[:, None] == 0, 0.0, a * factor[:, None])
        return np.moveaxis(scaled.reshape(*row_shape, classes), -1, axis)

    return CrossEntropy(result, plane(grad), None if hess is None else plane(hess), u, factor)


def softmax(x: Any, axis: int = -1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(probabilities, log-probabilities, log-sum-exp) along any axis."""
    moved = np.moveaxis(np.asarray(x), axis, -1)
    s = softmax_rows(moved.reshape(-1, moved.shape[-1]))
    prob = np.moveaxis(s.prob.reshape(moved.shape), -1, axis)
    log_prob = np.moveaxis(s.log_prob.reshape(moved.shape), -1, axis)
    return prob, log_prob, s.lse.reshape(moved.shape[:-1])
