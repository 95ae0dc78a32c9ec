# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch's binary_cross_entropy_with_logits on the memory of arrays: checks, weights and one call of the kernels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _copy, _core, _problem
from ._softmax import FLOAT64, HALF, reduction_name


def weight_array(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """An option that broadcasts to the shape of the input."""
    if value is None:
        return None
    array = _problem.as_array(name, value)
    pairs = zip(array.shape[::-1], shape[::-1], strict=False)
    if array.ndim > len(shape) or not all(size in (1, whole) for size, whole in pairs):
        raise ValueError(f"{name} must broadcast to the shape of input, {shape}; got {array.shape}")
    return array


def varies(array: np.ndarray | None) -> bool:
    """Whether it has more than one value along its last axis."""
    return array is not None and array.ndim > 0 and array.shape[-1] != 1


def folds(weight: np.ndarray | None, pos_weight: np.ndarray | None) -> bool:
    """Whether it takes two problems, as the weights of positives are not one for each class of unweighted rows."""
    if pos_weight is None or pos_weight.size == 1:
        return False
    return pos_weight.size != pos_weight.shape[-1] or varies(weight)


class BinaryProblem:
    """One call of binary_cross_entropy_with_logits but for the logits: targets and options, checked.

    The kernels take the last axis for classes, with a weight of positives each, and the others for rows, with a weight
    each. Weights that vary along the last axis make every element a row of one class. Weights of positives that vary
    otherwise make two problems of one, whose losses add up: targets of 1 with weights ``w p t``, and targets of 0 with
    ``w (1 - t)``.

    Parameters
    ----------
    shape : tuple of int
    code : int
        What the core calls the dtype of the logits: that of float32 or float64 if the weights fold.
    target : ndarray of shape `shape`
        In the dtype of the logits (bfloat16 may come as uint16).
    weight, pos_weight : ndarray or None
        From :func:`weight_array`.
    reduction : str
    """

    axis = 0  # an upstream gradient of "none" has the shape of the input

    def __init__(
        self,
        shape: tuple[int, ...],
        code: int,
        target: np.ndarray,
        weight: np.ndarray | None,
        pos_weight: np.ndarray | None,
        reduction: Any,
    ) -> None:
        self.code = code
        self.reduction = reduction_name(reduction)
        if target.shape != shape:
            raise ValueError(f"target must have the shape of input, {shape}; got {target.shape}")
        self.rows = shape
        self.dtype = np.dtype(np.float64 if code == FLOAT64 else np.float32)
        self.size = math.prod(shape)
        self.single = varies(weight) or not shape  # rows of one class
        self.single = self.single or folds(weight, pos_weight)
        self.class_axis = len(shape) - 1 + self.single
        self.factors = None
        self.parts: list[tuple[np.ndarray, np.ndarray | None]] = []
        if folds(weight, pos_weight):
            assert pos_weight is not None
            whole = self.dtype.type(1) if weight is None else _copy.converted(weight, self.dtype)
            with np.errstate(all="ignore"):
                positive = whole * _copy.converted(pos_weight, self.dtype) * target
                negative = whole * (1 - target)
            for value, part in ((1.0, positive), (0.0, negative)):
                constant = np.broadcast_to(self.dtype.type(value), (*shape, 1))
                self.parts.append((constant, self._row_weights(part, shape)))
        else:
            arranged = _problem.passable(self.arranged(target), self.class_axis)
            classes = arranged.shape[-1]
            if pos_weight is not None:
                self.factors = _copy.converted(
                    np.broadcast_to(pos_weight.reshape(-1), (classes,)), self.dtype
                )
            rows = arranged.shape[:-1]
            self.parts.append((arranged, None if weight is None else self._row_weights(weight, rows)))
        deferred = self.reduction == "mean" and code == HALF and self.size > 0
        self.pending = 1.0 / self.size if deferred else 1.0
        self.averaged = self.reduction == "mean" and not deferred

    def arranged(self, array: np.ndarray) -> np.ndarray:
        """An array of the input's shape with the classes along its last axis."""
        try:
            return array[..., None] if self.single else array
        except IndexError:  # NumPy's limit
            raise ValueError(f"input must have less than {array.ndim} dimensions here") from None

    def _row_weights(self, weight: np.ndarray, rows: tuple[int, ...]) -> np.ndarray:
        weight = _copy.converted(weight, self.dtype, copy=False)
        if not self.single and weight.ndim > 0:
            weight = weight[..., 0]
        return np.ascontiguousarray(np.broadcast_to(weight, rows)).reshape(rows)

    def solve(
        self, x: np.ndarray, grad: np.ndarray | None, losses: np.ndarray | None, n_threads: int
    ) -> float:
        """One pass over the logits `x`: fills `losses` (for "none") and `grad` if given, returns the reduced loss."""
        if self.size == 0:
            return math.nan if self.reduction == "mean" else 0.0
        value = self._solve(self.parts[0], x, grad, losses, n_threads)
        for part in self.parts[1:]:
            more_grad = None if grad is None else np.empty_like(grad)
            more_losses = None if losses is None else np.empty_like(losses)
            value += self._solve(part, x, more_grad, more_losses, n_threads)
            for array, more in ((grad, more_grad), (losses, more_losses)):
                if array is not None:
                    with np.errstate(all="ignore"):
                        array += more
        return value * self.pending

    def _solve(
        self,
        part: tuple[np.ndarray, np.ndarray | None],
        x: np.ndarray,
        grad: np.ndarray | None,
        losses: np.ndarray | None,
        n_threads: int,
    ) -> float:
        target, weights = part
        x, axis = self.arranged(x), self.class_axis
        code = "none" if losses is not None else "mean" if self.averaged else "sum"
        return _core.binary_cross_entropy(
            True, _problem.passable(x, axis), self.code, axis, target, 0.0, self.factors, None, weights,
            _core.FLOATS[self.dtype], 0.0, _core.REDUCTIONS[code], 0.0 if self.averaged else 1.0,
            n_threads, None, _core.FLOATS[self.dtype],
            None if losses is None else self.arranged(losses), None if grad is None else self.arranged(grad),
            None, None,
        )  # fmt: skip
