# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch's cross_entropy on the memory of arrays: checks, divisors and one call of the kernels. No PyTorch here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _copy, _core, _options, _problem

REDUCTIONS = ("none", "mean", "sum")
HALF = _core.STORED[np.dtype(np.float16)]
TINY = {np.dtype(np.float32): 2.0**-60, np.dtype(np.float64): 2.0**-900}  # sums of weights that are scaled
FLOAT64 = _core.FLOATS[np.dtype(np.float64)]


def reduction_name(value: Any) -> str:
    """`reduction` if PyTorch has it."""
    if isinstance(value, str):
        value = str.__str__(value)  # a subclass may compare as it likes
    if not isinstance(value, str) or value not in REDUCTIONS:
        raise ValueError(
            f"reduction must be one of {', '.join(map(repr, REDUCTIONS))}; got {_options.shown(value)}"
        )
    return value


def ignored_index(value: Any) -> int:
    """`ignore_index` as an int."""
    try:
        return _options.integer(value)
    except (TypeError, OverflowError):
        raise ValueError(f"ignore_index must be an integer; got {_options.shown(value)}") from None


class SoftmaxProblem:
    """One call of cross_entropy but for the logits: a target and the options, checked.

    Parameters
    ----------
    shape : tuple of int
        Of the logits; the classes are along axis 1, or 0 if there is no other.
    code : int
        What the core calls their dtype.
    target : ndarray
        Class indices, or probabilities of shape `shape` in the dtype of the logits (bfloat16 may come as uint16).
    weight, ignore_index, reduction, label_smoothing
        As in :func:`xent_native.torch.cross_entropy`.

    Attributes
    ----------
    axis : int
        The axis that the losses do not have.
    class_axis : int
        The same, where `arranged` puts it.
    rows : tuple of int
        Shape of the losses.
    pending : float
        What gradients are still to be multiplied by. 1, but for float16: a mean over many rows divides gradients to
        below what it holds, before what comes from upstream could lift them again.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        code: int,
        target: np.ndarray,
        weight: Any,
        ignore_index: Any,
        reduction: Any,
        label_smoothing: Any,
    ) -> None:
        self.code = code
        self.reduction = reduction_name(reduction)
        self.ignore_index = ignored_index(ignore_index)
        self.smoothing = _options.smoothing(label_smoothing)
        self.axis = self.class_axis = 1 if len(shape) > 1 else 0
        if not shape:
            raise ValueError("input must have at least one dimension; got a scalar")
        if shape[self.axis] == 0:
            raise ValueError(f"input must have at least one class; got shape {shape}")
        self.shape = shape
        self.rows = shape[: self.axis] + shape[self.axis + 1 :]
        self.dtype = np.dtype(np.float64 if code == FLOAT64 else np.float32)
        self.factors = self._class_weights(weight)
        self.labels: np.ndarray | None = None
        self.target: np.ndarray | None = None
        self.ignored: int | None = None
        if target.shape == shape:
            self.target = self._probabilities(target)
        else:
            self.labels = self._indices(target)
        # The kernels divide by the number of rows that are not ignored, but know no other divisor.
        mean, half = self.reduction == "mean", code == HALF
        self.counted = mean and not half and (self.factors is None or self.labels is None)
        self.divisor = self._mean_divisor() if mean and not self.counted else 1.0
        factor = 1.0 / self.divisor if self.divisor else math.inf
        if math.isinf(self.divisor):
            factor = math.nan  # of infinite weights there is no mean; 0 would say that no row counts
        self.pending, self.scale = (factor, 1.0) if half and self.divisor else (1.0, factor)

    def arranged(self, array: np.ndarray) -> np.ndarray:
        """An array of the input's shape as the kernels take it: as it is."""
        return array

    def _class_weights(self, weight: Any) -> np.ndarray | None:
        if weight is None:
            return None
        array = _problem.as_array("weight", weight)
        classes = self.shape[self.axis]
        if array.shape != (classes,):
            raise ValueError(f"weight must have shape ({classes},), one per class; got {array.shape}")
        return _copy.contiguous(array, self.dtype)

    def _probabilities(self, target: np.ndarray) -> np.ndarray:
        if self.ignore_index >= 0:
            raise ValueError(
                "ignore_index must not be given where target holds class probabilities, which it does as its "
                f"shape is that of input, {self.shape}; got {self.ignore_index}"
            )
        return _problem.passable(target, self.axis)

    def _indices(self, target: np.ndarray) -> np.ndarray:
        if target.shape != self.rows:
            raise ValueError(
                f"target must have shape {self.rows} if it holds class indices, or {self.shape} if it holds "
                f"probabilities, for input of shape {self.shape}; got {target.shape}"
            )
        labels = _problem.integers("target", target)
        self.ignored = _options.ignored_class(self.ignore_index, labels.dtype)
        return _copy.contiguous(labels, labels.dtype)

    def _mean_divisor(self) -> float:
        """The divisor. Weights whose sum is too large or too small are scaled, which a mean does not see."""
        divisor = self._divisor()
        if (
            self.factors is None
            or (TINY[self.dtype] <= divisor < math.inf)
            or divisor == 0
            or divisor != divisor
        ):
            return divisor
        with np.errstate(all="ignore"):
            self.factors = np.ldexp(self.factors, -100 if divisor == math.inf else 60)
        return self._divisor()

    def _divisor(self) -> float:
        """Of a mean: the number of rows, or of labels that are not ignored, or the sum of their weights."""
        if self.labels is None:
            return float(math.prod(self.rows))
        labels = self.labels.reshape(-1)
        starts = range(0, labels.size, _copy.PIECE)  # Python looks for Ctrl-C between them
        return sum((self._weight_of(labels[start : start + _copy.PIECE]) for start in starts), 0.0)

    def _weight_of(self, labels: np.ndarray) -> float:
        """The sum of the weights of labels, or how many are not ignored."""
        if self.factors is None:
            return float(
                labels.size - (0 if self.ignored is None else np.count_nonzero(labels == self.ignored))
            )
        # A label out of range is clipped here; the core refuses it.
        weights = self.factors.take(labels, mode="clip").astype(np.float64)
        if self.ignored is not None:
            weights[labels == self.ignored] = 0.0
        with np.errstate(all="ignore"):
            return float(weights.sum())

    def solve(
        self, x: np.ndarray, grad: np.ndarray | None, losses: np.ndarray | None, n_threads: int
    ) -> float:
        """One pass over the logits `x`: fills `losses` (for "none") and `grad` if given, returns the reduced loss."""
        scale = None if self.scale == 1.0 else np.broadcast_to(np.float64(self.scale), self.rows)
        code = "none" if losses is not None else "mean" if self.counted else "sum"
        label_code = 0 if self.labels is None else _core.INTEGERS[self.labels.dtype]
        try:
            value = _core.cross_entropy(
                True, _problem.passable(x, self.axis), self.code, self.axis, self.labels, label_code, self.target,
                self.ignored, self.smoothing, self.factors, scale, FLOAT64, 0.0, _core.REDUCTIONS[code], n_threads,
                losses, _core.FLOATS[self.dtype], None, grad, None, None, None, _core.SHAPES["plain"], 0.0, 1.0,
            )  # fmt: skip
        except _core.LabelError as error:
            raise _problem.label_error(
                error, x, self.axis, self.ignore_index, "target", "ignore_index"
            ) from None
        if self.divisor == 0.0 or (self.counted and value == 0.0 and self._divisor() == 0.0):
            return math.nan
        return value * self.pending
