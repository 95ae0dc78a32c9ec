# SPDX-License-Identifier: BSD-3-Clause
"""The arrays that belong to a case, and rows taken out of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .cases import Case


@dataclass
class Arrays:
    """The input of a case, as NumPy arrays in C order: `x` and, where the operation has them, targets."""

    x: np.ndarray
    labels: np.ndarray | None = None
    dense: np.ndarray | None = None

    def copy(self) -> Arrays:
        """The same values at other addresses; labels, which are few beside the rest, are shared."""
        return Arrays(self.x.copy(), self.labels, None if self.dense is None else self.dense.copy())


def make_arrays(case: Case, seed: int = 0) -> Arrays:
    """Random input: normal logits of standard deviation 3, or probabilities that sum to 1.

    No probability is small enough to be clipped, so that libraries that clip at another place agree.
    """
    rng = np.random.default_rng(seed)
    labels = dense = None
    if case.operation.target == "labels":
        labels = rng.integers(0, case.classes, case.shape[: case.axis % len(case.shape)] + _after(case))
    elif case.operation.target == "dense":
        dense = _distribution(rng, case)
    if case.operation.source == "probabilities":
        x = _distribution(rng, case)
    else:
        x = rng.standard_normal(case.shape, np.float64 if case.dtype == "float64" else np.float32)
        x *= 3
    return Arrays(_store(x, case.dtype), labels, None if dense is None else _store(dense, case.dtype))


def _after(case: Case) -> tuple[int, ...]:
    return case.shape[case.axis % len(case.shape) + 1 :]


def _distribution(rng: np.random.Generator, case: Case) -> np.ndarray:
    p: np.ndarray = rng.random(case.shape, np.float64 if case.dtype == "float64" else np.float32)
    p += 0.5
    p /= p.sum(axis=case.axis, keepdims=True)
    return p


def _store(array: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "bfloat16":
        import ml_dtypes

        return array.astype(ml_dtypes.bfloat16)
    return array.astype(dtype, copy=False)


def rows_of(array: np.ndarray, case: Case, index: np.ndarray) -> np.ndarray:
    """Some rows of an array of the case's shape as float64, classes last; a copy."""
    moved = np.moveaxis(array, case.axis, -1)
    if moved.ndim == 2 and len(index) and index[-1] - index[0] == len(index) - 1:
        return moved[index[0] : index[-1] + 1].astype(np.float64)  # a slice is much faster than indices
    return np.asarray(moved[np.unravel_index(index, moved.shape[:-1])], np.float64)
