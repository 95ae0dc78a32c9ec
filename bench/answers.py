# SPDX-License-Identifier: BSD-3-Clause
"""The right answer of a case, by textbook formulas in float64, and whether a competitor gives it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arrays import Arrays, rows_of
from .cases import Case
from .peers import Peer

# How far a competitor may be off and still have computed the same thing: float32 sums of millions of losses
# lose about sqrt(rows) * 2^-24 = 1e-4; half-precision results are rounded to 2^-9, also on the way.
TOLERANCE = {"float64": 1e-9, "float32": 1e-3, "float16": 3e-2, "bfloat16": 3e-2}


@dataclass
class Answer:
    """What a competitor must return: the mean of losses or log-sum-exps, and rows of the large output."""

    mean: float | None
    rows: np.ndarray | None  # (len(index), classes), of the derivative of the mean, or of the softmax
    index: np.ndarray


def expected(case: Case, arrays: Arrays) -> Answer:
    """The answer in float64, chunk by chunk, by the textbook formulas."""
    index = np.unique(np.linspace(0, case.rows - 1, min(case.rows, 64)).astype(np.int64))
    output = case.operation.output
    total = 0.0
    for part in _chunks(case):
        total += float(np.sum(_row_values(case, arrays, part)))
    mean = None if output in ("softmax", "log_softmax") else total / case.rows
    if not case.operation.writes:
        return Answer(mean, None, index)
    x = rows_of(arrays.x, case, index)
    if case.operation.loss == "binary":
        share = case.rows * case.classes
        return Answer(mean, (1 / (1 + np.exp(-x)) - _dense_rows(case, arrays, index)) / share, index)
    if case.operation.source == "logits":
        x -= x.max(axis=1, keepdims=True)
        log_p = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    if output == "softmax":
        return Answer(None, np.exp(log_p), index)
    if output == "log_softmax":
        return Answer(None, log_p, index)
    targets = _dense_rows(case, arrays, index)
    if case.operation.source == "logits":
        rows = np.exp(log_p) * targets.sum(axis=1, keepdims=True) - targets
    else:
        rows = targets.sum(axis=1, keepdims=True) / x.sum(axis=1, keepdims=True) - targets / x
    return Answer(mean, rows / case.rows, index)


def _chunks(case: Case) -> Iterator[np.ndarray]:
    """Row numbers, about a million elements at a time: float64 copies of everything would not fit."""
    step = max(1, (1 << 20) // case.classes)
    for start in range(0, case.rows, step):
        yield np.arange(start, min(start + step, case.rows))


def _row_values(case: Case, arrays: Arrays, index: np.ndarray) -> np.ndarray:
    """The loss of every row in `index`, or its log-sum-exp; nothing for operations without such a value."""
    if case.operation.output in ("softmax", "log_softmax"):
        return np.zeros(0)
    x = rows_of(arrays.x, case, index)
    if case.operation.loss.startswith("binary"):
        return _binary_values(case, x, _dense_rows(case, arrays, index))
    if case.operation.source == "logits":
        top = x.max(axis=1)
        lse = np.log(np.exp(x - top[:, None]).sum(axis=1)) + top
        if case.operation.output == "logsumexp":
            return np.asarray(lse)
        log_p = x - lse[:, None]
    else:
        log_p = np.log(x / x.sum(axis=1, keepdims=True))
    if arrays.labels is not None:
        return np.asarray(-log_p[np.arange(len(index)), arrays.labels.reshape(-1)[index]])
    if case.operation.loss == "focal":
        log_p = 0.25 * (1 - np.exp(log_p)) ** 2 * log_p
    return np.asarray(-(_dense_rows(case, arrays, index) * log_p).sum(axis=1))


def _binary_values(case: Case, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The mean binary loss of every row of logits."""
    losses = np.logaddexp(0, x) - x * targets
    if case.operation.loss == "binary focal":
        p = 1 / (1 + np.exp(-x))
        losses *= (targets * (1 - p) + (1 - targets) * p) ** 2
    return np.asarray(losses.mean(axis=1))


def _dense_rows(case: Case, arrays: Arrays, index: np.ndarray) -> np.ndarray:
    if arrays.dense is not None:
        return rows_of(arrays.dense, case, index)
    assert arrays.labels is not None
    targets = np.zeros((len(index), case.classes))
    targets[np.arange(len(index)), arrays.labels.reshape(-1)[index]] = 1.0
    return targets


def disagreement(peer: Peer, case: Case, answer: Answer, result: tuple[Any, Any]) -> str:
    """What is wrong with a competitor's result, or an empty string."""
    tolerance = TOLERANCE[case.dtype]
    value, array = result
    if answer.mean is not None:
        mean = float(np.mean(peer.to_numpy(value), dtype=np.float64))
        if not abs(mean - answer.mean) <= tolerance * abs(answer.mean):
            return f"mean {mean!r}, expected {answer.mean!r}"
    if answer.rows is None:
        return ""
    rows = rows_of(peer.to_numpy(array).reshape(case.shape), case, answer.index)
    if peer.sums:
        rows /= case.rows
    # In the sum over a row every class counts, also where one entry is a million times the others.
    allowed = tolerance * np.abs(answer.rows).sum(axis=1)
    if case.dtype == "float16":  # the mean's gradient underflows there
        allowed += case.classes * float(np.finfo(np.float16).smallest_subnormal)
    error = np.abs(rows - answer.rows).sum(axis=1)
    if not np.all(error <= allowed):
        worst = int(np.argmax(np.where(np.isnan(error), np.inf, error / allowed)))
        return f"row {answer.index[worst]} is off by {error[worst]:.3g} in sum, allowed {allowed[worst]:.3g}"
    return ""
