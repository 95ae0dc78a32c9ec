# SPDX-License-Identifier: BSD-3-Clause
"""What scikit-learn's gradient boosting asks of a loss: gradient and Hessian, against scikit-learn's own kernels."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..timing import times_as_fast
from . import targets
from .line import Line, line_of
from .session import Session

SECTION = (
    "In scikit-learn's boosting: gradient and Hessian, float64 in and float32 out in F order; "
    "times as fast as scikit-learn's own"
)


def sklearn_losses(session: Session) -> Iterator[Line]:
    """MultinomialLoss and BinomialLoss into the caller's buffers, with one thread and with all."""
    shapes = targets.SKLEARN_QUICK if session.quick else targets.SKLEARN
    for rows, classes in shapes:
        for threads in dict.fromkeys((1, session.threads)):
            name = f"({rows:,}, {classes:,})" if classes > 2 else f"({rows:,},), two classes"
            what = f"{name}, {threads} thread{'s' if threads > 1 else ''}"
            if importlib.util.find_spec("sklearn") is None:
                yield Line(
                    SECTION, what, "times", targets.SKLEARN_TIMES, None, remark="scikit-learn is missing"
                )
                continue
            ours, theirs = _calls(session, rows, classes, threads)
            times = times_as_fast(ours, theirs, session.plan)
            yield line_of(SECTION, what, "times", targets.SKLEARN_TIMES, times)


def _calls(session: Session, rows: int, classes: int, threads: int) -> list[Callable[[], Any]]:
    """One call of either side, on the same arrays; their results are compared once."""
    from sklearn._loss.loss import HalfBinomialLoss, HalfMultinomialLoss

    import xent_native
    from xent_native.sklearn import BinomialLoss, MultinomialLoss

    xent_native.set_isa(session.isas[0])
    rng = np.random.default_rng(0)
    if classes > 2:
        losses = [MultinomialLoss(classes), HalfMultinomialLoss(n_classes=classes)]
        raw = np.asfortranarray(2 * rng.standard_normal((rows, classes)))
    else:
        losses, raw = [BinomialLoss(), HalfBinomialLoss()], 2 * rng.standard_normal(rows)
    y = rng.integers(0, classes, rows).astype(np.float64)
    buffers = [loss.init_gradient_and_hessian(rows, np.float32, "F") for loss in losses]

    def call_of(loss: Any, buffer: Any) -> Callable[[], Any]:
        return lambda: loss.gradient_hessian(y, raw, None, buffer[0], buffer[1], threads)

    calls = [call_of(loss, buffer) for loss, buffer in zip(losses, buffers, strict=True)]
    for call in calls:
        call()
    for one, other in zip(*buffers, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)
    return calls
