# SPDX-License-Identifier: BSD-3-Clause
"""Objectives of gradient boosters: xent_native's against the NumPy objectives of the boosters' own demos.

A demo's objective is written here as the booster's documentation has it, but where that loops over rows in Python, a
vectorised one stands beside it. What a booster then does to gradients before it uses them (LightGBM: column-major
float32) belongs to the time of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..timing import times_as_fast
from . import targets
from .line import Line, line_of
from .session import Session

SECTION = "Objectives of boosters: times as fast as the NumPy objective of the booster's demo"


@dataclass
class Duel:
    """Two objectives on the same scores."""

    what: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]


def boosting(session: Session) -> Iterator[Line]:
    """Gradient and Hessian of an iteration; no booster takes part, so none has to be installed."""
    import xent_native

    xent_native.set_isa(session.isas[0])
    for duel in duels(*(targets.BOOSTING_QUICK if session.quick else targets.BOOSTING), session.threads):
        session.say(f"{duel.what}: measuring")
        times = times_as_fast(duel.ours, duel.theirs, session.plan)
        yield line_of(SECTION, duel.what, "times", targets.BOOSTING_TIMES, times)


def duels(rows: int, classes: int, slow_rows: int, threads: int) -> Iterator[Duel]:
    """For each host: its demo's task. Demos that loop over rows get fewer."""
    from xent_native.boosting import catboost_objective, lightgbm_objective, xgboost_objective

    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, rows).astype(np.float32)
    margins = rng.normal(size=(rows, classes)).astype(np.float32)
    scores = np.asfortranarray(margins, np.float64)
    few, few_labels = margins[:slow_rows], labels[:slow_rows]
    size = f"({rows:,}, {classes})"
    of_xgboost = xgboost_objective(n_threads=threads)
    yield Duel(
        f"XGBoost, {size}, vectorised",
        lambda: of_xgboost(labels, margins),
        lambda: softmax(labels, margins, 2),
    )
    yield Duel(
        f"XGBoost, ({slow_rows:,}, {classes}), as in its demo: row by row",
        lambda: of_xgboost(few_labels, few),
        lambda: softmax_by_rows(few_labels, few),
    )
    factor = classes / (classes - 1)
    of_lightgbm = lightgbm_objective(n_threads=threads)
    yield Duel(
        f"LightGBM, multiclass, {size}, vectorised",
        lambda: as_lightgbm_takes(*of_lightgbm(labels, scores)),
        lambda: as_lightgbm_takes(*softmax(labels, scores, factor)),
    )
    binary, one = (labels > classes // 2).astype(np.float32), np.tile(scores[:, 0], 10)
    binary = np.tile(binary, 10)
    yield Duel(
        f"LightGBM, binary, ({len(one):,},), as in its demo",
        lambda: as_lightgbm_takes(*of_lightgbm(binary, one)),
        lambda: as_lightgbm_takes(*logistic(binary, one)),
    )
    of_catboost = catboost_objective()
    row = scores[0].copy()
    yield Duel(
        f"CatBoost, a row of {classes}, as in its demo",
        lambda: of_catboost.calc_ders_multi(row, 1.0, 1.0),
        lambda: one_row(row, 1.0, 1.0),
    )


def as_lightgbm_takes(grad: np.ndarray, hess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What LightGBM's Booster makes of gradient and Hessian before it hands them to C."""
    return grad.ravel(order="F").astype(np.float32, copy=False), hess.ravel(order="F").astype(
        np.float32, copy=False
    )


def softmax(labels: np.ndarray, scores: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Hessian of softmax cross-entropy, vectorised."""
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    hess = factor * p * (1 - p)
    p[np.arange(len(p)), labels.astype(np.int64)] -= 1
    return p, hess


def softmax_by_rows(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same, one row and class after the other."""
    grad, hess = np.zeros(scores.shape), np.zeros(scores.shape)
    for r in range(len(scores)):
        e = np.exp(scores[r])
        p = e / e.sum()
        for c in range(len(p)):
            grad[r, c] = p[c] - 1 if c == int(labels[r]) else p[c]
            hess[r, c] = max(2 * p[c] * (1 - p[c]), 1e-6)
    return grad, hess


def logistic(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Hessian of binary cross-entropy, vectorised."""
    p = 1 / (1 + np.exp(-scores))
    return p - labels, p * (1 - p)


def one_row(approx: np.ndarray, target: float, weight: float) -> tuple[list[float], list[list[float]]]:
    """Derivatives of the negative loss of a row, one after the other."""
    e = np.exp(np.asarray(approx) - max(approx))
    total = e.sum()
    ders, second = [], []
    for i in range(len(e)):
        p = e[i] / total
        ders.append(((1 if i == target else 0) - p) * weight)
        second.append([(p * e[j] / total - (p if i == j else 0)) * weight for j in range(len(e))])
    return ders, second
