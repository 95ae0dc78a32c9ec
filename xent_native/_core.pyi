# SPDX-License-Identifier: BSD-3-Clause
"""Types of the compiled module."""

from typing import Any

import numpy as np

_Array = np.ndarray[Any, np.dtype[Any]]

__test__: dict[str, str]  # of Cython, for doctest

class LabelError(Exception): ...

FLOATS: dict[np.dtype[Any], int]
STORED: dict[np.dtype[Any], int]
BFLOAT16: int
FLOAT64_TO_FLOAT32: int
INTEGERS: dict[np.dtype[Any], int]
LABELS: dict[np.dtype[Any], int]
REDUCTIONS: dict[str | None, int]
SHAPES: dict[str, int]
PLAIN: dict[str, int]

def is_bfloat16(dtype: Any) -> bool: ...
def stored_code(dtype: np.dtype[Any]) -> int: ...
def collapses(array: _Array, axis: int) -> bool: ...
def new_plane(x: _Array) -> _Array: ...
def cross_entropy(
    from_logits: bool,
    x: _Array,
    dtype: int,
    axis: int,
    labels: _Array | None,
    label_type: int,
    target: _Array | None,
    ignored: int | None,
    label_smoothing: float,
    class_weight: _Array | None,
    sample_weight: _Array | None,
    weight_dtype: int,
    epsilon: float,
    reduction: int,
    n_threads: int,
    loss: _Array | None,
    loss_dtype: int,
    lse: _Array | None,
    grad: _Array | None,
    hess: _Array | None,
    prob: _Array | None,
    log_prob: _Array | None,
    shape_of_loss: int,
    coefficient: float,
    alpha: float,
    without_loss: bool = False,
    hess_scale: float = 0.0,
) -> float: ...

LIMBS: int
CONFIDENCE_KEYS: int
LOSS_OCTAVES: int

def score_rows(
    x: _Array,
    dtype: int,
    labels: _Array,
    label_type: int,
    ignored: int | None,
    from_logits: bool,
    epsilon: float,
    n_threads: int,
    room: tuple[_Array, _Array, _Array, _Array, _Array, _Array] | None = None,
) -> tuple[_Array, _Array, _Array, _Array, _Array, _Array]: ...
def score_room(rows: int) -> tuple[_Array, _Array, _Array, _Array, _Array, _Array]: ...
def book_sections(
    classes: int, cells: int, ranks: int, has_confusion: bool, weighted: bool, class_bins: int
) -> list[tuple[str, int, bool]]: ...
def enter(
    book: _Array,
    shape: tuple[int, int, int, bool, bool, int],
    scores: tuple[_Array, _Array, _Array, _Array, _Array, _Array],
    weight: _Array | None,
    start: _Array,
    cut: _Array,
    probability: _Array | None,
    n_threads: int,
) -> tuple[int, int, float]: ...
def confidence_key(confidence: float) -> int: ...
def score_probabilities(
    x: _Array,
    dtype: int,
    labels: _Array | None,
    label_type: int,
    target: _Array | None,
    sample_weight: _Array | None,
    weight_dtype: int,
    epsilon: float,
    reduction: int,
    n_threads: int,
) -> tuple[float, float, float, float]: ...
def plain_cross_entropy(
    kind: int,
    y_true: object,
    y_pred: object,
    from_logits: object,
    axis: object,
    ignore_class: object,
    label_smoothing: object,
    reduction: object,
    epsilon: object,
    n_threads: int,
    grad: bool,
    coefficient: object = 0.0,
    alpha: object = 1.0,
    balanced: object = False,
) -> tuple[Any, Any] | None: ...
def binary_cross_entropy(
    from_logits: bool,
    x: _Array,
    dtype: int,
    axis: int,
    target: _Array | None,
    label_smoothing: float,
    pos_weight: _Array | None,
    focal: tuple[bool, float, float] | None,
    sample_weight: _Array | None,
    weight_dtype: int,
    epsilon: float,
    reduction: int,
    share: float,
    n_threads: int,
    loss: _Array | None,
    loss_dtype: int,
    each: _Array | None,
    grad: _Array | None,
    hess: _Array | None,
    prob: _Array | None,
    without_loss: bool = False,
    labels: _Array | None = None,
    label_type: int = 0,
) -> float: ...
def row_derivatives(
    x: object,
    label: float,
    weight: float,
    label_smoothing: float,
    class_weight: _Array | None,
    shape_of_loss: int,
    coefficient: float,
    hess_scale: float,
    full: bool,
) -> tuple[list[float], list[list[float]]]: ...
def isa() -> str: ...
def isas() -> list[tuple[str, bool]]: ...
def kernels() -> list[str]: ...
def set_isa(name: str) -> None: ...
def has_openmp() -> bool: ...
def threads(asked: int) -> int: ...
def note_main_thread() -> None: ...
