# SPDX-License-Identifier: BSD-3-Clause
"""Rows, spoiled rows and buffers that do not fit: what the tests of edge_functions.py's calls are made of."""

from __future__ import annotations

import numpy as np
from cases import INTEGERS
from edge_functions import Call

inf, nan = np.inf, np.nan


def row_count(classes: int) -> int:
    return 9 if classes < 1000 else 3


def labels_of(classes: int, n: int, kind: int) -> np.ndarray:
    """Labels of the kind-th integer type, if it can hold them, that go over all classes."""
    dtype = INTEGERS[kind % len(INTEGERS)]
    dtype = dtype if classes - 1 <= np.iinfo(dtype).max else "int64"
    return (np.arange(n) * 7 % classes).astype(dtype)


def rows_of(call: Call, dtype: str, classes: int, kind: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(labels as this call takes them, ordinary predictions)."""
    n = row_count(classes)
    _, x = call.problem(n, classes, dtype)
    return call.one_hot(labels_of(classes, n, kind), classes, dtype), x


def check_same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray], where: str, pick=...) -> None:
    for name, value in found.items():
        assert value[pick].tobytes() == wanted[name][pick].tobytes(), f"{name}: {where}"


class Sparse:
    """Looks like a SciPy sparse matrix."""

    nnz = 3

    def toarray(self):
        return np.zeros((3, 4))


def masked(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Where logits are to go: the first half of the classes, the second half, or all, but for that of the label."""
    n, classes = x.shape
    gone = np.zeros((n, classes), bool)
    gone[0::3, : classes // 2] = True
    gone[1::3, classes // 2 :] = True
    gone[2::3] = True
    gone[np.arange(n), labels.astype(int)] = False
    return gone


def spoiled(x: np.ndarray, row: int, column: int, bad: str) -> np.ndarray:
    x = x.copy()
    if bad == "all":
        x[row] = -inf
    elif bad == "both":
        x[row], x[row, column] = -inf, inf
    else:
        x[row, column] = float(bad)
    return x


def most(dtype: str) -> float:
    """A multiple of 2^100 where the type has one, so that products with small powers of 2 are exact."""
    return {"float16": 65504.0, "bfloat16": 3.0e38, "float32": 3.0e38, "float64": 1.7e308}[dtype]


def bad_buffers(good: np.ndarray) -> list[np.ndarray]:
    locked = good.copy()
    locked.flags.writeable = False
    wrong = np.float32 if good.dtype == np.float64 else np.float64
    return [
        np.full((*good.shape, 1), nan, good.dtype),
        np.full(good.shape[:-1], nan, good.dtype),
        np.full(good.shape, nan, wrong),
        np.full(good.shape, nan).astype(good.dtype.newbyteorder("S")),
        locked,
        np.broadcast_to(np.full(1, nan, good.dtype), good.shape),
        np.lib.stride_tricks.as_strided(np.full(99, nan, good.dtype), good.shape, (0,) * good.ndim),
    ]
