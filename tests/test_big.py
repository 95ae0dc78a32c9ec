# SPDX-License-Identifier: BSD-3-Clause
"""More than 2^31 elements, and strides beyond 2^32 bytes, on pages of zeros. All functions and dtypes: slow/big.py."""

from __future__ import annotations

import numpy as np
import pytest
from edge_functions import BUFFERS, CALLS, DTYPES, PLANES, Call, computed, dtype_of
from zero_pages import zeros

import xent_native as xn

FAR_APART = 2**32 + 64  # bytes between neighbours


@pytest.fixture(scope="module")
def space():
    """Room for three neighbours that far apart, twice: what is read and what is written."""
    return [zeros((2 * FAR_APART + 8192,), np.uint8) for _ in range(2)]


def far_apart(memory: np.ndarray, a: np.ndarray, axis: int, offset: int = 0) -> np.ndarray:
    """A view of the memory with the shape and dtype of `a`, whose steps along one axis are FAR_APART bytes."""
    others = [size for i, size in enumerate(a.shape) if i != axis]
    strides = list(np.empty(others, a.dtype).strides)
    strides.insert(axis, FAR_APART)
    view = np.ndarray(a.shape, a.dtype, memory, offset, strides)
    view[...] = a
    return view


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_strides_beyond_two_to_the_32_bytes(space, call: Call):
    """Rows apart, and classes apart; of what is read and of what is written. The bits do not change."""
    for dtype in DTYPES:
        for axis in (1, 0):
            shape = (3, 7) if axis else (7, 3)
            y, x = call.problem(*shape, dtype)
            for order in ("last", "first"):
                wide = (0 if order == "last" else 1) if axis else (1 if order == "last" else 0)
                targets, given, classes = call.placed(y, x, order)
                if call.host == "torch" and order == "first":
                    wide = 1 - wide  # a view of the same memory, whose class axis is 1
                expected = call(targets, given, classes)
                moved = far_apart(space[0], given, wide)
                buffers = {}
                for i, (output, value) in enumerate(expected.items()):
                    name = "out" if call.host == "activation" else BUFFERS.get(output)
                    if name in call.arguments and output in PLANES:
                        buffers[name] = far_apart(space[1], np.full_like(value, np.nan), wide, 4096 * i)
                found = call(targets, moved, classes, **buffers)
                for output, value in found.items():
                    where = f"{output}, {dtype}, {order}, {'rows' if axis else 'classes'} apart"
                    assert value.tobytes() == expected[output].tobytes(), where


def test_more_than_two_to_the_31_elements():
    """Each row has what it has alone. 4.3 GB of which only the first and the last row are ever written."""
    n, classes = 65_536 + 3, 32_768
    x = zeros((n, classes), np.float16)
    assert x.size > 2**31
    x[0, 5] = x[-1, -1] = 20
    y = np.zeros(n, np.int32)
    y[0], y[-1] = 5, classes - 1
    loss = xn.sparse_categorical_crossentropy(y, x, True)
    alone = xn.sparse_categorical_crossentropy(y[[0, 1, -1]], x[[0, 1, -1]], True)
    assert loss[[0, -1]].tobytes() == alone[[0, 2]].tobytes()
    assert (loss[1:-1] == alone[1]).all()
    assert alone[1] == pytest.approx(np.log(classes), rel=2.4e-7)
    assert loss.dtype == computed(dtype_of("float16"))


def test_a_bad_label_beyond_two_to_the_31():
    labels = zeros((2**31 + 8,), np.int8)
    labels[[2**31 + 5, 2**31 + 7]] = 7, 8
    x = np.broadcast_to(np.zeros((1, 2), np.float32), (2**31 + 8, 2))
    with pytest.raises(IndexError, match=r"y_true must lie in \[0, 2\); got 7 at index 2147483653$"):
        xn.sparse_categorical_crossentropy(labels, x, True, reduction="sum")
