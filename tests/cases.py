# SPDX-License-Identifier: BSD-3-Clause
"""Inputs of the tests: class counts, memory layouts, label kinds, and data that goes with them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import reference

INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
# Around multiples of 16 and 64, on either side of where lanes over rows give way to lanes over classes.
CLASS_COUNTS = (*range(1, 71), 95, 96, *range(110, 131), 144, 191, 192, 193, 255, 256, 257, 1000, 5000)


def row_count(classes: int) -> int:
    """Numbers of rows around the multiples of 16 and 64, fewer where there are many classes."""
    counts = (1, 6, 15, 16, 18, 33, 64, 65, 70) if classes <= 70 else (3, 6, 17) if classes <= 300 else (1, 4)
    return counts[classes % len(counts)]


# Layouts: a function from (n, C) data to an array with the same rows somewhere in memory, and its class axis.


def _last(a):
    return np.ascontiguousarray(a), -1


def _first(a):
    return np.ascontiguousarray(a.T), 0


def _fortran(a):
    return np.asfortranarray(a), 1


def _split(n: int) -> tuple[int, int]:
    divisor = next(d for d in range(int(n**0.5), 0, -1) if n % d == 0)
    return divisor, n // divisor


def _middle(a):
    n, classes = a.shape
    return np.ascontiguousarray(np.moveaxis(a.reshape(*_split(n), classes), -1, 1)), 1


def _many_dimensions(a):
    n, classes = a.shape
    one, two = _split(n)
    return np.ascontiguousarray(np.moveaxis(a.reshape(one, 1, two, 1, classes), -1, -2)), -2


def _gaps(a):
    """Contiguous classes, space between rows."""
    n, classes = a.shape
    wide = np.full((2 * n, classes + 3), np.nan, a.dtype)
    wide[::2, 2 : 2 + classes] = a
    return wide[::2, 2 : 2 + classes], -1


def _strided(a):
    n, classes = a.shape
    wide = np.full((3 * n, 2 * classes), np.nan, a.dtype)
    wide[::3, ::2] = a
    return wide[::3, ::2], 1


def _reversed(a):
    return np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1], 1


LAYOUTS = {
    "last": _last,
    "first": _first,
    "fortran": _fortran,
    "middle": _middle,
    "many_dimensions": _many_dimensions,
    "gaps": _gaps,
    "strided": _strided,
    "reversed": _reversed,
}


def as_rows(a: np.ndarray, axis: int) -> np.ndarray:
    """Back to (n, C)."""
    return np.moveaxis(a, axis, -1).reshape(-1, a.shape[axis])


def rows_like(values: np.ndarray, x: np.ndarray, axis: int) -> np.ndarray:
    """One value per row, in the shape of the rows of `x`."""
    return values.reshape(np.moveaxis(x, axis, -1).shape[:-1])


@dataclass(frozen=True)
class Kind:
    """What rows are compared with, and the options that go with it."""

    dense: bool = False
    soft: bool = False
    smoothing: float = 0.0
    class_weight: bool = False
    sample_weight: bool = False
    ignore: bool = False
    reduction: str = "none"


KINDS = {
    "sparse": Kind(),
    "sparse_ignored_weighted": Kind(class_weight=True, sample_weight=True, ignore=True, reduction="mean"),
    "sparse_smoothed": Kind(smoothing=0.1, class_weight=True, ignore=True),
    "onehot": Kind(dense=True),
    "soft": Kind(dense=True, soft=True),
    "soft_smoothed_weighted": Kind(
        dense=True, soft=True, smoothing=0.25, class_weight=True, sample_weight=True, reduction="mean"
    ),
}


@dataclass(frozen=True)
class Case:
    """One input and what the oracle says of it; `options` fit the library and the oracle."""

    x: np.ndarray
    y: np.ndarray
    options: dict[str, Any]
    expected: reference.CrossEntropy
    rows: reference.CrossEntropy  # the same without a reduction


def logits(n: int, classes: int, dtype, seed: int = 0) -> np.ndarray:
    """Rows from flat to confident, some with ties, some with a -inf."""
    rng = np.random.default_rng([seed, n, classes])
    x = rng.standard_normal((n, classes)) * rng.choice(
        [0.1, 1.0, 4.0, 15.0], (n, 1)
    ) + 3 * rng.standard_normal((n, 1))
    x = x.astype(dtype)
    if classes > 2:
        x[::5, classes // 2] = x[::5].max(axis=1)  # ties
        x[1::5, -1] = -np.inf
    return x


def probabilities(n: int, classes: int, dtype, seed: int = 0) -> np.ndarray:
    """Rows that do not quite sum to 1.

    The clip of q = p / sum(p) to [1e-7, 1 - 1e-7] sees rows that are small but inside, rows with a zero, and
    rows clipped at both ends. None lies near a bound, where a rounding would decide.
    """
    rng = np.random.default_rng([seed, n, classes, 1])
    p = rng.random((n, classes)) + 0.5
    p[0::3, 0] = 1e6
    p[1::3, -1] = 0.0
    p[1::3, 0] = 2.0
    p[2::3, 0] = 1e12
    p *= (0.5 + rng.random((n, 1))) / p.sum(axis=1, keepdims=True)
    return p.astype(dtype)


@functools.cache
def case(from_logits: bool, classes: int, dtype: str, kind: str, rows: int = 0) -> Case:
    k = KINDS[kind]
    n = rows or row_count(classes)
    rng = np.random.default_rng([n, classes, len(kind)])
    x = (logits if from_logits else probabilities)(n, classes, dtype)
    labels = rng.integers(0, classes, n)
    if k.dense:
        y = np.eye(classes)[labels] if not k.soft else rng.dirichlet(np.full(classes, 0.5), n)
        y = np.ascontiguousarray(y).astype(dtype)
        if from_logits:
            y[np.isneginf(x)] = 0
    else:
        y = labels
        y = np.where(np.isneginf(x[np.arange(n), y]), 0, y) if from_logits else y
    options: dict[str, Any] = {"label_smoothing": k.smoothing, "reduction": k.reduction}
    if k.smoothing and from_logits:
        x = np.where(np.isneginf(x), np.asarray(-20, dtype), x)
    if k.class_weight:
        options["class_weight"] = (rng.random(classes) + 0.5).astype(dtype)
    if k.sample_weight:
        weight = np.where(rng.random(n) < 0.2, 0.0, rng.random(n) + 0.25)
        options["sample_weight"] = weight.astype(np.float32).astype(np.float64)  # the same in both
    if k.ignore:
        ignored = classes - 1  # a class like any other, so that every integer dtype can hold it
        options["ignore_class"] = ignored
        y = np.where(rng.random(n) < 0.3, ignored, y)
    expected = reference.cross_entropy(y, x, from_logits=from_logits, **options)
    alone = reference.cross_entropy(y, x, from_logits=from_logits, **{**options, "reduction": "none"})
    return Case(x, y, options, expected, alone)
