# SPDX-License-Identifier: BSD-3-Clause
"""What to do about arrays that do not fit: the ends of errors that beginners meet. Empty where nobody can tell."""

from __future__ import annotations

import numpy as np


def of_names(name: str, array: np.ndarray) -> str:
    """About an array that holds text where indices of classes would do."""
    is_text = array.dtype.kind in "SUT" or (
        array.dtype.kind == "O" and array.size > 0 and isinstance(array.flat[0], str)
    )
    if name == "y_pred" or not is_text:
        return ""
    return f": numpy.unique({name}, return_inverse=True)[1] makes class indices of names"


def of_labels(array: np.ndarray, x: np.ndarray, axis: int) -> str:
    """About a `y_true` that holds no class indices, or not one for each row of `x`."""
    shape = x.shape
    if array.shape == shape and array.ndim > 1:
        return f": for one-hot rows use categorical_crossentropy, or y_true.argmax({axis})"
    if array.ndim == x.ndim + 1 and array.shape[:-1] == shape:
        return ": it looks as if y_true and y_pred were swapped, y_true comes first"
    if array.dtype.kind in "fb":
        return ": y_true.astype(int) makes class indices of whole numbers"
    if x.ndim == 2:
        return ""
    fitting = [k for k in range(x.ndim) if k != axis and shape[:k] + shape[k + 1 :] == array.shape]
    return f": axis={fitting[0]} would fit" if fitting else ""


def of_targets(array: np.ndarray, x: np.ndarray, axis: int) -> str:
    """About a dense `y_true` that has not the shape of `x`."""
    shape = x.shape
    if shape == (*array.shape, 1):
        return ": y_pred[..., 0] has its shape"
    if array.shape == (*shape, 1):
        return ": y_true[..., 0] has it"
    rows = shape[:axis] + shape[axis + 1 :]
    if array.dtype.kind in "iu" and array.shape in (rows, (*rows, 1)):
        return ": for class indices use sparse_categorical_crossentropy, or to_categorical(y_true)"
    return ""


def of_range(label: int, classes: int, ignored: int | None, option: str) -> str:
    """About a label outside of [0, classes)."""
    if ignored is not None:
        return ""
    if label == classes:
        return ": classes count from 0"
    return f": {option}={label} leaves such rows out" if label < 0 else ""
