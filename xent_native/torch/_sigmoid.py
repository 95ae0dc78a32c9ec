# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch's binary_cross_entropy_with_logits on the memory of arrays: checks, weights and one call of the kernels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _core, _problem
from ._softmax import FLOAT64, HALF, reduction_name


def weight_array(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """An option that broadcasts to the shape of the input."""
    if value is None:
        return None
    array = _problem.as_array(name, value)
    try:
        fits = np.broadcast_shapes(array.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name} must broadcast to the shape of input, {shape}; got {array.shape}")
    return array


def varies(array: np.ndarray | None) -> bool:
    """Whether it has more than one value along its last axis."""
    return array is not None and array.ndim > 0 and array.shape[-1] != 1


def folds(weight: np.ndarray | None, pos_weight: np.ndarray | None) -> bool:
    """Whether the weights are none of those that kernels know: of classes for positives, of rows for losses."""
    if pos_weight is None or pos_weight.size == 1:
        return False
    return pos_weight.size != pos_weight.shape[-1] or varies(weight)


class BinaryProblem:
    """One call of binary_cross_entropy_with_logits but for the logits: targets and options, checked.

    The kernels take the last axis for classes, with a weight of positives each, and the others for rows, with a weight
    each. Weights that vary along the last axis make every element a row of one class; weights of positives that vary
    otherwise are folded into targets and weights: with ``e = p t + 1 - t``, targets ``p t / e`` weighted by e.

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
        if folds(weight, pos_weight):
            assert pos_weight is not None
            positive = pos_weight * target
            whole = positive + (1 - target)
            target = np.divide(positive, whole, out=np.zeros(shape, self.dtype), where=whole != 0)
            weight = whole if weight is None else weight * whole
            pos_weight, self.single = None, True
        self.class_axis = len(shape) - 1 + self.single
        self.target = _problem.passable(self.arranged(target), self.class_axis)
        classes = self.target.shape[-1]
        self.factors = None
        if pos_weight is not None:
            self.factors = np.broadcast_to(pos_weight.reshape(-1), (classes,)).astype(self.dtype)
        self.weights = None if weight is None else self._row_weights(weight)
        deferred = self.reduction == "mean" and code == HALF and self.size > 0
        self.pending = 1.0 / self.size if deferred else 1.0
        self.averaged = self.reduction == "mean" and not deferred

    def arranged(self, array: np.ndarray) -> np.ndarray:
        """An array of the input's shape with the classes along its last axis."""
        return array[..., None] if self.single else array

    def _row_weights(self, weight: np.ndarray) -> np.ndarray:
        weight = weight.astype(self.dtype, copy=False)
        if not self.single and weight.ndim > 0:
            weight = weight[..., 0]
        return np.ascontiguousarray(np.broadcast_to(weight, self.target.shape[:-1]))

    def solve(
        self, x: np.ndarray, grad: np.ndarray | None, losses: np.ndarray | None, n_threads: int
    ) -> float:
        """One pass over the logits `x`: fills `losses` (for "none") and `grad` if given, returns the reduced loss."""
        if self.size == 0:
            return math.nan if self.reduction == "mean" else 0.0
        x, axis = self.arranged(x), self.class_axis
        code = "none" if losses is not None else "mean" if self.averaged else "sum"
        value = _core.binary_cross_entropy(
            True, _problem.passable(x, axis), self.code, axis, self.target, 0.0, self.factors, None, self.weights,
            _core.FLOATS[self.dtype], 0.0, _core.REDUCTIONS[code], 0.0 if self.averaged else 1.0,
            n_threads, None, _core.FLOATS[self.dtype],
            None if losses is None else self.arranged(losses), None if grad is None else self.arranged(grad),
            None, None,
        )  # fmt: skip
        return value * self.pending
