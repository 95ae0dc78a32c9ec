# SPDX-License-Identifier: BSD-3-Clause
"""Worst errors of libraries on the hard rows of the tests, against the exact results."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import exact
import numpy as np
from hard_rows import KINDS, hard_rows, soft_targets

from .libraries import PEERS, Function, installed, ours

DTYPES = ("float32", "float64")
CLASSES = (2, 3, 10, 40, 100, 112, 113, 129, 1000, 5000, 32_768, 131_073, 1_000_000)
ELEMENTS = 60_000  # of a case, but at least one row
MOST_ROWS = 300
# What the columns of a record hold, by targets: docs/accuracy.md says what they mean.
METRICS = {
    "labels": ("loss, ulp", "small loss, relative", "gradient, absolute", "gradient, relative"),
    "dense": ("loss, ulp", "small loss, relative", "gradient, absolute", "gradient, relative to its terms"),
}

Record = dict[str, Any]


def errors(function: Function, x: np.ndarray, y: np.ndarray, expected: exact.Exact) -> list[float]:
    """The worst of each metric; infinite where a result is NaN, or inf and should not be, or the reverse."""
    dtype = x.dtype
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        loss, grad = function(x, y)
        wrong = np.isinf(expected.loss.hi) != np.isinf(loss)
        absolute, relative = exact.grad_errors(grad, expected, dtype)
        if y.ndim == 2:
            relative = exact.term_errors(grad, expected, y, dtype)
        found = (*exact.loss_errors(loss, expected.loss, dtype), absolute, relative)
    most = [float(np.nan_to_num(e, nan=np.inf, posinf=np.inf).max(initial=0.0)) for e in found]
    return [np.inf, np.inf, *most[2:]] if wrong.any() else most


def isas() -> list[str]:
    """The instruction sets of this machine."""
    from xent_native import runtime

    return [name for name, state in runtime.config()["isas"].items() if state == "supported"]


def columns(target: str, peers: bool) -> dict[str, list[Function]]:
    """What is measured: for each column the functions of which the worst counts."""
    found = {f"xent_native, {isa}": [ours(isa, -1), ours(isa, 0)] for isa in isas()}
    if peers:
        here = (PEERS[name] for name in installed())
        found |= {peer.name: [peer.function] for peer in here if peer.dense or target == "labels"}
    return found


def problem(target: str, kind: str, classes: int, dtype: str) -> tuple[np.ndarray, np.ndarray, exact.Exact]:
    """(logits, targets, exact results)."""
    n = max(1, min(MOST_ROWS, ELEMENTS // classes))
    x, labels = hard_rows(kind, n, classes, dtype)
    if target == "labels":
        return x, labels, exact.sparse(x, labels)
    soft = soft_targets(x, dtype)
    return x, soft, exact.dense(x, soft)


def measure(peers: bool) -> Iterator[Record]:
    """One record for each target, dtype and kind of rows: the worst errors over all class counts."""
    import xent_native

    before = xent_native.isa()
    try:
        for target in METRICS:
            for dtype in DTYPES:
                for kind in KINDS:
                    yield one(target, dtype, kind, columns(target, peers))
    finally:
        xent_native.set_isa(before)


def one(target: str, dtype: str, kind: str, measured: dict[str, list[Function]]) -> Record:
    """The record of one kind of rows."""
    worst = {name: [0.0] * len(METRICS[target]) for name in measured}
    for classes in CLASSES:
        x, y, expected = problem(target, kind, classes, dtype)
        for name, functions in measured.items():
            for function in functions:
                worst[name] = list(map(max, worst[name], errors(function, x, y, expected)))
    return {"target": target, "dtype": dtype, "kind": kind, "errors": as_json(worst)}


def as_json(worst: dict[str, list[float]]) -> dict[str, list[float | None]]:
    """Three digits are what is printed. JSON has no inf."""
    return {
        name: [float(f"{v:.3g}") if np.isfinite(v) else None for v in values]
        for name, values in worst.items()
    }
