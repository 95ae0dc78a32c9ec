# SPDX-License-Identifier: BSD-3-Clause
"""Against scikit-learn: its log_loss and the memory that it takes, and fits of LogisticRegression."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ..timing import times_as_fast
from . import targets
from .line import Line, line_of
from .memory import probe
from .session import Session

METRIC = "scikit-learn's log_loss, float32, integer labels"
FITS = "Fits, float64, times as fast as LogisticRegression, defaults"


def scikit_learn(session: Session) -> Iterator[Line]:
    """log_loss and SoftmaxRegression beside scikit-learn's own."""
    rows, classes = targets.LOG_LOSS_QUICK if session.quick else targets.LOG_LOSS_SHAPE
    what = f"({rows:,}, {classes})"
    sets = targets.FITS_QUICK if session.quick else targets.FITS
    random = targets.RANDOM_FITS_QUICK if session.quick else targets.RANDOM_FITS
    if importlib.util.find_spec("sklearn") is None:
        missing = "scikit-learn is not installed"
        yield line_of(METRIC, f"{what}: times as fast", "times", targets.LOG_LOSS_TIMES, (), remark=missing)
        yield Line(
            METRIC, f"{what}: of its memory", "times", targets.LOG_LOSS_MEMORY, None, False, remark=missing
        )
        for name, goal in {**sets, **random}.items():
            yield line_of(FITS, str(name), "times", goal, (), remark=missing)
        return
    yield line_of(METRIC, f"{what}: times as fast", "times", targets.LOG_LOSS_TIMES,
                  _log_loss(session, rows, classes))  # fmt: skip
    yield _memory(session, rows, classes, what)
    for name, goal in sets.items():
        yield line_of(FITS, name.replace("_", " "), "times", goal, _fits(session, *_data_set(name)))
    for shape, goal in random.items():
        samples, features, labels = shape
        what = f"{samples:,} x {features}, {labels} classes"
        yield line_of(FITS, what, "times", goal, _fits(session, *_random_data(*shape)))


def _log_loss(session: Session, rows: int, classes: int) -> list[float]:
    import sklearn.metrics

    import xent_native.sklearn

    rng = np.random.default_rng(0)
    p = rng.random((rows, classes), np.float32) + np.float32(0.5)
    p /= p.sum(axis=1, keepdims=True)
    y = rng.integers(0, classes, rows)
    session.say("scikit-learn: log_loss")
    return _times(
        session,
        lambda: sklearn.metrics.log_loss(y, p),
        lambda: xent_native.sklearn.log_loss(y, p),
        batched=True,
    )


def _memory(session: Session, rows: int, classes: int, what: str) -> Line:
    session.say("scikit-learn: memory of log_loss")
    ours, remark = probe("log-loss", rows, classes, session.threads)
    theirs, other = probe("sklearn-log-loss", rows, classes, session.threads)
    figure = None if ours is None or not theirs else ours / theirs
    remark = (
        remark or other or (f"{ours:.1f} MB of {theirs:.1f} MB" if figure is not None else "it took none")
    )
    return Line(
        METRIC, f"{what}: of its memory", "times", targets.LOG_LOSS_MEMORY, figure, False, remark=remark
    )


def _fits(session: Session, X: np.ndarray, y: np.ndarray) -> list[float]:
    from sklearn.linear_model import LogisticRegression

    from xent_native.sklearn import SoftmaxRegression

    session.say(f"scikit-learn: fits of {X.shape}")
    return _times(session, lambda: LogisticRegression().fit(X, y), lambda: SoftmaxRegression().fit(X, y))


def _times(
    session: Session, theirs: Callable[[], Any], ours: Callable[[], Any], batched: bool = False
) -> list[float]:
    """How many times as long `theirs` takes, round by round. Fits that do not converge within their defaults may."""
    plan = replace(session.plan, repeats=min(session.plan.repeats, 7))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return times_as_fast(ours, theirs, plan, batched)


def _data_set(name: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import datasets

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return X, y


def _random_data(samples: int, features: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal features, and labels drawn from a softmax model of them."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((samples, features))
    W = 2 * rng.standard_normal((features, classes)) / np.sqrt(features)
    return X, (X @ W + rng.gumbel(size=(samples, classes))).argmax(axis=1)
