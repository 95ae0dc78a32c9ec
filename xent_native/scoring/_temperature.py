# SPDX-License-Identifier: BSD-3-Clause
"""Calibration by one number: the temperature that logits are divided by, fitted in passes over files of any size."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _options, functional
from .._data_errors import DataError
from ..accumulate import LossAccumulator, Score
from ._exact import ExactSum
from ._open import Request, opened
from ._plan import plan_of
from ._rows import good_rows
from ._scorer import Progress, Run, make_request, skips
from ._streams import Chunk
from ._workers import Workers

__all__ = ["TemperatureFit", "fit_temperature"]

_EPSILON = 1e-7  # bounds of probabilities, as the losses have them
_BLOCK = 1 << 16  # float64 values that are worked on at a time: they stay in the second cache
_FURTHEST = 2.0**20  # largest temperature that is sought
_LONGEST_STEP = 8.0  # most that one step multiplies or divides by: Newton's own may be far off at first
_CLOSE = (
    1e-9  # relative step after which another would change nothing: the error of Newton's steps is its square
)
_PATIENCE = (
    5  # passes after which steps that are short, as far from the least loss on steep sides, are made longer
)
_MOST_PASSES = 100
_NOWHERE = "no temperature has the least loss: it falls as T grows, as the logits say less than nothing"


@dataclass(frozen=True, slots=True)
class TemperatureFit:
    """What :func:`fit_temperature` found.

    Attributes
    ----------
    temperature : float
        What logits are to be divided by. Above 1, the predictions were too confident.
    before : Score
        Of the predictions as they are.
    after : Score
        Of the logits divided by the temperature.
    passes : int
        How often the rows were read, those for the two scores included.
    """

    temperature: float
    before: Score
    after: Score
    passes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "temperature": self.temperature,
            "passes": self.passes,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
        }


def fit_temperature(
    predictions: Any,
    labels: Any = None,
    *,
    weights: Any = None,
    from_logits: bool = False,
    ignore_class: int | None = None,
    top_k: Sequence[int] = (5,),
    bins: int = 15,
    worst: int = 10,
    max_confusion: int = 100,
    classwise: bool = False,
    columns: str | Sequence[str] | None = None,
    label_column: str | None = None,
    weight_column: str | None = None,
    classes: Sequence[str] | None = None,
    n_threads: int | None = None,
    chunk_rows: int | None = None,
    on_error: str = "raise",
    progress: Progress | None = None,
) -> TemperatureFit:
    """Find the temperature that minimises the loss.

    Parameters
    ----------
    predictions, labels, weights, from_logits, ignore_class, columns, label_column, weight_column, classes, n_threads
        What to fit to, as :func:`score` takes it. Of probabilities p, clipped to [1e-7, 1 - 1e-7] as the losses clip
        them, the logits are log p.
    top_k, bins, worst, max_confusion, classwise, chunk_rows, on_error
        As for :func:`score`.
    progress : callable, optional
        Called after each chunk of each pass with the rows so far, and all rows or None if that is not known.

    Returns
    -------
    TemperatureFit

    Raises
    ------
    DataError
        If no temperature has the least loss: the label has the largest logit in every row (so that the loss falls as
        T goes to 0), the logits say less than nothing (it falls as T grows), or there are no rows. And whatever
        :func:`score` raises.

    Notes
    -----
    Temperature scaling is due to Guo et al. (2017), *On Calibration of Modern Neural Networks*. With b = 1/T, logits x,
    label y, z = x - x_y, p = softmax(b x) and weights w, the loss L(b) is convex, and ::

        L'(b)  = sum(w E_p[z]) / sum(w)
        L''(b) = sum(w (E_p[z^2] - E_p[z]^2)) / sum(w)

    The gradient of the loss in its logits is p - onehot(y), and z_y is 0: E_p[z] is its product with z, and so for z^2.
    Newton's steps on b are kept between the bounds where L' was seen to have either sign. Each takes a pass over the
    rows, in float64; sums are exact, so that chunks and threads change no bit of the temperature.

    Examples
    --------
    >>> from xent_native import scoring
    >>> fit = scoring.fit_temperature([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0]], [0, 0, 1], from_logits=True)
    >>> round(fit.temperature, 6)  # the logits shall differ by log(2)
    5.77078
    >>> fit.after.mean_loss < fit.before.mean_loss
    True
    """
    request = make_request(
        predictions, labels, weights, None, columns, label_column, weight_column, classes, skips(on_error)
    )
    options = {
        "from_logits": _options.flag("from_logits", from_logits),
        "ignore_class": _options.label_number(ignore_class),
        "top_k": top_k,
        "bins": bins,
        "worst": worst,
        "max_confusion": max_confusion,
        "classwise": classwise,
    }
    fit = _Fit(request, options, n_threads, chunk_rows, progress or (lambda done, total: None))
    before = fit.score(None)
    temperature = 1 / _minimum(fit.derivatives)
    after = fit.score(temperature)
    return TemperatureFit(temperature, before, after, fit.passes)


@dataclass(slots=True)
class _Derivatives:
    """What a chunk adds to the derivatives."""

    rows: int
    blocks: list[tuple[np.ndarray, ...]]


class _Fit:
    """Passes over the rows."""

    def __init__(
        self,
        request: Request,
        options: dict[str, Any],
        n_threads: int | None,
        chunk_rows: Any,
        progress: Progress,
    ) -> None:
        self._request, self._options, self._n_threads = request, options, n_threads
        self._chunk_rows, self._progress = chunk_rows, progress
        self.passes = 0
        self._is_contradicted = False  # by a row whose loss grows for ever as T goes to 0

    def score(self, temperature: float | None) -> Score:
        """Score the predictions, or their logits divided by a temperature."""
        options = dict(self._options)
        if temperature is not None:
            options["from_logits"] = True

        def change(chunk: Chunk) -> Chunk:
            if temperature is None or chunk.lost is not None:
                return chunk
            scaled = _scaled(chunk.columns["predictions"], self._options, temperature)
            return Chunk(chunk.rows, {**chunk.columns, "predictions": scaled}, chunk.pieces, chunk.faults)

        self.passes += 1
        with opened(self._request) as inputs:
            accumulator = LossAccumulator(inputs.classes, **options)
            kept = {**options, "classes": inputs.classes}
            run = Run(inputs, accumulator, kept, self._request.skip, self._progress, change)
            run.go(plan_of(inputs, self._chunk_rows, self._n_threads))
            return accumulator.result()

    def derivatives(self, b: float) -> tuple[float, float]:
        """The first and the second derivative of the loss in b."""
        sums = ExactSum(), ExactSum(), ExactSum()
        adding = threading.Lock()
        self.passes += 1
        with opened(self._request) as inputs:
            options = {**self._options, "classes": inputs.classes}

            def prepare(chunk: Chunk, threads: int) -> _Derivatives:
                chunk = chunk.loaded()
                good = good_rows(chunk, options, skip=self._request.skip)
                found = [] if good is None else self._derivatives(b, chunk, good, inputs.classes, threads)
                return _Derivatives(chunk.rows, found)

            def enter(one: _Derivatives) -> None:
                with adding:
                    for blocks in one.blocks:
                        for total, values in zip(sums, blocks, strict=True):
                            total.add(values)
                one.blocks.clear()

            plan = plan_of(inputs, self._chunk_rows, self._n_threads)
            workers = Workers(inputs.chunks(plan.rows), prepare, enter, plan.workers, plan.threads)
            done = 0
            with contextlib.closing(workers.results()) as results:
                for one in results:
                    done += one.rows
                    self._progress(done, inputs.rows)
            inputs.check_unchanged()
        first, second, weight = (float(one) for one in sums)
        if not weight:
            raise DataError("there are no rows whose loss a temperature could change")
        if not self._is_contradicted:
            raise DataError(
                "no temperature has the least loss: in every row the label has the largest logit, so that the loss "
                "falls, or stays the same, as T goes to 0"
            )
        return first / weight, second / weight

    def _derivatives(
        self, b: float, chunk: Chunk, good: np.ndarray, classes: int, threads: int
    ) -> list[tuple[np.ndarray, ...]]:
        """What the rows add to L' and L'' and their weights, block by block."""
        found: list[tuple[np.ndarray, ...]] = []
        labels, ignored = chunk.columns["labels"], self._options["ignore_class"]
        if ignored is not None:
            good = good & (labels != ignored)
        weights = chunk.columns.get("weights")
        step = max(1, _BLOCK // classes)
        for at in range(0, chunk.rows, step):
            part = slice(at, at + step)
            rows = np.flatnonzero(good[part])
            x = chunk.columns["predictions"][part]
            y = labels[part].astype(np.int64)
            x, y = (x, y) if len(rows) == len(x) else (x[rows], y[rows])
            w = np.ones(len(y)) if weights is None else weights[part].astype(np.float64)[rows]
            z = _differences(_logits(x, self._options), y)
            if not self._is_contradicted:
                self._is_contradicted = bool((z[w > 0] > 0).any())
            with np.errstate(over="ignore", invalid="ignore"):  # what overflows is told below
                first, second, w = _row_derivatives(z, y, w, b, threads or None)
            found.append((w * first, w * second, w))
            if not all(np.isfinite(values).all() for values in found[-1]):
                name, row = chunk.place("predictions", at)
                raise DataError(
                    f"{name}: rows from {row}: logits or weights are too large: what they add to the loss overflows"
                )
        return found


def _differences(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Logits less the label's, in place; NaN in all of a row whose loss is infinite or NaN at any temperature."""
    with np.errstate(invalid="ignore", over="ignore"):
        x -= x[np.arange(len(y)), y][:, None]
    x[~(x < np.inf).all(axis=1)] = np.nan
    return x


def _row_derivatives(
    z: np.ndarray, y: np.ndarray, w: np.ndarray, b: float, n_threads: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each row adds to L' and L'', and its weight: 0 if there is no loss that could change."""
    useless = np.isnan(z[:, 0])
    if useless.any():
        z[useless], w = 0.0, np.where(useless, 0.0, w)
    _, grad = functional.sparse_categorical_crossentropy_value_and_grad(
        y, b * z, from_logits=True, n_threads=n_threads
    )
    z[np.isneginf(z)] = 0.0  # classes of probability 0 at any temperature
    first = np.einsum("ij,ij->i", grad, z)
    z *= z
    second = np.einsum("ij,ij->i", grad, z)
    return first, np.maximum(second - first * first, 0.0), w


def _logits(x: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    """A float64 copy in C order: logits, or logarithms of clipped probabilities."""
    x = np.array(x, np.float64, order="C")
    return x if options["from_logits"] else _logarithms(x)


def _logarithms(p: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        p = p / p.sum(axis=1, keepdims=True)
        return np.asarray(np.log(np.clip(p, _EPSILON, 1 - _EPSILON)))


def _scaled(x: np.ndarray, options: dict[str, Any], temperature: float) -> np.ndarray:
    """Logits divided by a temperature; what is float32 remains so."""
    if not options["from_logits"]:
        return _logits(x, options) / temperature
    if x.dtype.kind in "iu" or (x.dtype.kind == "f" and x.dtype.itemsize == 8):
        return np.asarray(x / np.float64(temperature))
    return x.astype(np.float32) / np.float32(temperature)


def _minimum(derivatives: Any) -> float:
    """The b at which a convex loss is least, by Newton's steps between bounds."""
    b, low, high = 1.0, 0.0, math.inf
    for count in range(_MOST_PASSES):
        first, second = derivatives(b)
        if first == 0:
            return b
        if first < 0:
            low = b
        else:
            high = b
        if b < 1 / _FURTHEST:
            raise DataError(_NOWHERE)
        # Without curvature all rows are certain, of their class or another.
        wanted = b - first / second if second > 0 else b / _LONGEST_STEP
        if abs(wanted - b) <= _CLOSE * b:
            return wanted
        if high == math.inf and count >= _PATIENCE:
            wanted = max(wanted, 2 * b)
        step = min(max(wanted, b / _LONGEST_STEP), b * _LONGEST_STEP)
        if not low < step < high:  # then both bounds are known
            step = math.sqrt(low * high) if low else high / 2
        if step in (low, high):  # neighbours, as far as float64 can tell
            return step
        b = step
    return b
