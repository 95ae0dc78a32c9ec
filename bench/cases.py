# SPDX-License-Identifier: BSD-3-Clause
"""What is measured: operations and cases as data, the arrays that belong to them, and the right answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

DTYPES = ("float32", "float64", "float16", "bfloat16")
ALL_CLASSES = (10, 30, 100, 1000, 32768, 131072)
DEFAULT_CLASSES = (10, 100, 1000, 32768)
DEFAULT_OPERATIONS = ("forward", "gradient")
DEFAULT_MEGABYTES = 128.0
CLASS_AXIS_1_SHAPES = ((8, 100, 256, 256), (2, 1000, 64, 64))
SMALL_SHAPES = ((1, 10), (32, 10), (256, 10), (32, 1000))


@dataclass(frozen=True)
class Operation:
    """One thing that users compute.

    Attributes
    ----------
    source : {"logits", "probabilities"}
        What the input holds.
    target : {"labels", "dense", "none"}
        Class indices, an array of the input's shape, or nothing (softmax and its relatives).
    output : {"loss", "loss and gradient", "softmax", "log_softmax", "logsumexp"}
        What is returned; losses are the mean over all rows.
    """

    name: str
    source: str
    target: str
    output: str
    summary: str

    @property
    def gradient(self) -> bool:
        return self.output == "loss and gradient"

    @property
    def writes(self) -> bool:
        """Whether an array as large as the input is written."""
        return self.output in ("loss and gradient", "softmax", "log_softmax")


LOSS, BOTH = "loss", "loss and gradient"
OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("forward", "logits", "labels", LOSS, "loss, from logits, integer labels"),
        Operation("gradient", "logits", "labels", BOTH, "loss and gradient, from logits, integer labels"),
        Operation("dense-forward", "logits", "dense", LOSS, "loss, from logits, dense targets"),
        Operation("dense-gradient", "logits", "dense", BOTH, "loss and gradient, from logits, dense targets"),
        Operation("prob-forward", "probabilities", "labels", LOSS, "loss, probabilities, integer labels"),
        Operation("prob-gradient", "probabilities", "labels", BOTH,
                  "loss and gradient, probabilities, integer labels"),
        Operation("prob-dense-forward", "probabilities", "dense", LOSS, "loss, probabilities, dense targets"),
        Operation("prob-dense-gradient", "probabilities", "dense", BOTH,
                  "loss and gradient, probabilities, dense targets"),
        Operation("softmax", "logits", "none", "softmax", "softmax"),
        Operation("log-softmax", "logits", "none", "log_softmax", "log-softmax"),
        Operation("logsumexp", "logits", "none", "logsumexp", "log-sum-exp of every row"),
    )
}  # fmt: skip

# Groups of shapes that --ops takes beside the operations: the same operations on other layouts.
LAYOUTS = {
    "axis1-forward": "loss, from logits, integer labels, classes on axis 1 (segmentation)",
    "axis1-gradient": "loss and gradient of the same",
    "wide-forward": "loss of 1 row of 16 million classes, and of 3 rows of 5 million",
    "wide-gradient": "loss and gradient of the same",
}


@dataclass(frozen=True)
class Case:
    """An operation on arrays of one shape and dtype."""

    operation: Operation
    dtype: str
    shape: tuple[int, ...]
    axis: int = -1
    small: bool = False  # a call of microseconds: timed in batches, from the cache

    @property
    def name(self) -> str:
        shape = "x".join(map(str, self.shape))
        axis = "" if self.axis == -1 else f" axis {self.axis}"
        return f"{self.operation.name} {self.dtype} {shape}{axis}"

    @property
    def classes(self) -> int:
        return self.shape[self.axis]

    @property
    def rows(self) -> int:
        return math.prod(self.shape) // self.classes

    @property
    def bytes_read(self) -> int:
        """What the roofline counts: the input and dense targets, once. Labels are left out."""
        arrays = 2 if self.operation.target == "dense" else 1
        return arrays * math.prod(self.shape) * item_size(self.dtype)

    @property
    def bytes_written(self) -> int:
        """The gradient or the softmax, once; a loss and what has one value per row are left out."""
        return math.prod(self.shape) * item_size(self.dtype) if self.operation.writes else 0

    @property
    def bytes_moved(self) -> int:
        return self.bytes_read + self.bytes_written

    @property
    def roof(self) -> str:
        """The bandwidth that bounds it: R where it only reads, W where it also writes."""
        return "copy" if self.operation.writes else "read"


def item_size(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def select(
    operations: Sequence[str], classes: Sequence[int], dtype: str, megabytes: float, quick: bool = False
) -> list[Case]:
    """The large cases: every operation with every number of classes; layouts have shapes of their own."""
    cases = []
    for name in operations:
        base = OPERATIONS.get(name) or OPERATIONS[name.split("-", 1)[1]]
        if name in OPERATIONS:
            cases += [Case(base, dtype, _rows_of(c, dtype, megabytes)) for c in classes]
        elif name.startswith("axis1-"):
            shapes = ((2, 10, 8, 8),) if quick else CLASS_AXIS_1_SHAPES
            cases += [Case(base, dtype, shape, axis=1) for shape in shapes]
        else:
            scale = 1000 if quick else 1
            cases += [Case(base, dtype, (rows, c // scale)) for rows, c in ((1, 16 << 20), (3, 5_000_000))]
    return cases


def select_small(operations: Sequence[str], dtype: str) -> list[Case]:
    """The small calls of ``--small``."""
    return [Case(OPERATIONS[name], dtype, shape, small=True) for name in operations for shape in SMALL_SHAPES]


def _rows_of(classes: int, dtype: str, megabytes: float) -> tuple[int, int]:
    return max(1, math.ceil(megabytes * 2**20 / (classes * item_size(dtype)))), classes


@dataclass
class Arrays:
    """The input of a case, as NumPy arrays in C order: `x` and, where the operation has them, targets."""

    x: np.ndarray
    labels: np.ndarray | None = None
    dense: np.ndarray | None = None


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


@dataclass
class Answer:
    """What a competitor must return: the mean of losses or log-sum-exps, and rows of the large output."""

    mean: float | None
    rows: np.ndarray | None  # (len(index), classes), of the derivative of the mean, or of the softmax
    index: np.ndarray


def expected(case: Case, arrays: Arrays) -> Answer:
    """The answer in float64, chunk by chunk, by the textbook formulas."""
    index = np.unique(np.linspace(0, case.rows - 1, min(case.rows, 64)).astype(np.int64))
    output = case.operation.output
    total = 0.0
    for part in _chunks(case):
        total += float(np.sum(_row_values(case, arrays, part)))
    mean = None if output in ("softmax", "log_softmax") else total / case.rows
    if not case.operation.writes:
        return Answer(mean, None, index)
    x = rows_of(arrays.x, case, index)
    if case.operation.source == "logits":
        x -= x.max(axis=1, keepdims=True)
        log_p = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    if output == "softmax":
        return Answer(None, np.exp(log_p), index)
    if output == "log_softmax":
        return Answer(None, log_p, index)
    targets = _dense_rows(case, arrays, index)
    if case.operation.source == "logits":
        rows = np.exp(log_p) * targets.sum(axis=1, keepdims=True) - targets
    else:
        rows = targets.sum(axis=1, keepdims=True) / x.sum(axis=1, keepdims=True) - targets / x
    return Answer(mean, rows / case.rows, index)


def _chunks(case: Case) -> Iterator[np.ndarray]:
    """Row numbers, about a million elements at a time: float64 copies of everything would not fit."""
    step = max(1, (1 << 20) // case.classes)
    for start in range(0, case.rows, step):
        yield np.arange(start, min(start + step, case.rows))


def _row_values(case: Case, arrays: Arrays, index: np.ndarray) -> np.ndarray:
    """The loss of every row in `index`, or its log-sum-exp; nothing for operations without such a value."""
    if case.operation.output in ("softmax", "log_softmax"):
        return np.zeros(0)
    x = rows_of(arrays.x, case, index)
    if case.operation.source == "logits":
        top = x.max(axis=1)
        lse = np.log(np.exp(x - top[:, None]).sum(axis=1)) + top
        if case.operation.output == "logsumexp":
            return np.asarray(lse)
        log_p = x - lse[:, None]
    else:
        log_p = np.log(x / x.sum(axis=1, keepdims=True))
    if arrays.labels is not None:
        return np.asarray(-log_p[np.arange(len(index)), arrays.labels.reshape(-1)[index]])
    return np.asarray(-(_dense_rows(case, arrays, index) * log_p).sum(axis=1))


def _dense_rows(case: Case, arrays: Arrays, index: np.ndarray) -> np.ndarray:
    if arrays.dense is not None:
        return rows_of(arrays.dense, case, index)
    assert arrays.labels is not None
    targets = np.zeros((len(index), case.classes))
    targets[np.arange(len(index)), arrays.labels.reshape(-1)[index]] = 1.0
    return targets


def rows_of(array: np.ndarray, case: Case, index: np.ndarray) -> np.ndarray:
    """Some rows of an array of the case's shape as float64, classes last; a copy."""
    moved = np.moveaxis(array, case.axis, -1)
    if moved.ndim == 2 and len(index) and index[-1] - index[0] == len(index) - 1:
        return moved[index[0] : index[-1] + 1].astype(np.float64)  # a slice is much faster than indices
    return np.asarray(moved[np.unravel_index(index, moved.shape[:-1])], np.float64)
