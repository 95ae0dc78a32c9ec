# SPDX-License-Identifier: BSD-3-Clause
"""Copies of arrays that C cannot walk, or of another dtype, in pieces: Python looks for Ctrl-C between them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

PIECE = 1 << 21  # elements: some milliseconds


def converted(
    array: np.ndarray, dtype: Any = None, order: Literal["C", "K"] = "K", copy: bool = True
) -> np.ndarray:
    """A new, aligned array of these elements, in C order or in the order of `array`.

    What `dtype` cannot hold is inf or 0 there, without a warning: as C has it. Without `copy` an array of that dtype is
    returned as it is.
    """
    if not copy and array.dtype == dtype:
        return array
    result = np.empty_like(array, dtype=dtype, order=order, subok=False)
    fill(result, array)
    return result


def fill(result: np.ndarray, array: np.ndarray) -> None:
    """Copies the elements of `array` to those of `result`, which has its shape; what it cannot hold is inf or 0."""
    with np.errstate(all="ignore"):
        _fill(result, array)


def contiguous(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The array itself if it has this dtype, C order and alignment; else a copy that has."""
    if array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned:
        return array
    return converted(array, dtype, order="C")


def _fill(result: np.ndarray, array: np.ndarray) -> None:
    if array.size <= PIECE:
        np.copyto(result, array, casting="unsafe")
        return
    steps = [
        abs(step) if length > 1 else -1 for step, length in zip(result.strides, result.shape, strict=True)
    ]
    axis = steps.index(max(steps))
    result, array = np.moveaxis(result, axis, 0), np.moveaxis(array, axis, 0)
    rows = max(1, PIECE * len(array) // array.size)
    for start in range(0, len(array), rows):
        piece = slice(start, start + rows) if rows > 1 else start
        _fill(result[piece], array[piece])
