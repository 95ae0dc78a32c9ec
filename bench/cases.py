# SPDX-License-Identifier: BSD-3-Clause
"""What is measured: operations and cases as data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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
    loss : {"cross-entropy", "focal", "binary", "binary focal"}
        Focal: categorical, with gamma 2 and alpha 0.25. Binary: the mean over the classes of a row; focal, with
        gamma 2 and no alpha.
    """

    name: str
    source: str
    target: str
    output: str
    summary: str
    loss: str = "cross-entropy"

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
        Operation("focal-forward", "logits", "dense", LOSS,
                  "categorical focal loss, from logits, dense targets", "focal"),
        Operation("binary-forward", "logits", "dense", LOSS, "binary loss, from logits", "binary"),
        Operation("binary-gradient", "logits", "dense", BOTH, "binary loss and gradient, from logits", "binary"),
        Operation("binary-focal-forward", "logits", "dense", LOSS, "binary focal loss, from logits", "binary focal"),
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
    """An operation on arrays of one shape and dtype.

    Attributes
    ----------
    kind : {"large", "cached", "small"}
        Large arrays come from memory. Cached ones stay in a cache, and small ones are those of calls of
        microseconds: both are timed in batches, without a roofline.
    """

    operation: Operation
    dtype: str
    shape: tuple[int, ...]
    axis: int = -1
    kind: Literal["large", "cached", "small"] = "large"

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
            cases += [large(name, c, dtype, megabytes) for c in classes]
        elif name.startswith("axis1-"):
            shapes = ((2, 10, 8, 8),) if quick else CLASS_AXIS_1_SHAPES
            cases += [Case(base, dtype, shape, axis=1) for shape in shapes]
        else:
            scale = 1000 if quick else 1
            cases += [Case(base, dtype, (rows, c // scale)) for rows, c in ((1, 16 << 20), (3, 5_000_000))]
    return cases


def select_small(operations: Sequence[str], dtype: str) -> list[Case]:
    """The small calls of ``--small``."""
    return [
        Case(OPERATIONS[name], dtype, shape, kind="small") for name in operations for shape in SMALL_SHAPES
    ]


def large(operation: str, classes: int, dtype: str, megabytes: float) -> Case:
    """The case with as many rows as fill `megabytes`."""
    return Case(OPERATIONS[operation], dtype, (rows_filling(megabytes, classes, dtype), classes))


def rows_filling(megabytes: float, classes: int, dtype: str) -> int:
    return max(1, math.ceil(megabytes * 2**20 / (classes * item_size(dtype))))
