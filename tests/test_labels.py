# SPDX-License-Identifier: BSD-3-Clause
"""Labels out of range: every bad value and place, every integer type, in every function; and nothing is written."""

from __future__ import annotations

import re

import numpy as np
import pytest
from cases import INTEGERS
from edge_functions import LABELLED, ORDERS

import xent_native as xn

X = np.zeros((3, 4))
# Around the rows that the check takes at once, those of jobs, and those that kernels take.
PLACES = (
    0,
    1,
    15,
    16,
    63,
    64,
    511,
    512,
    513,
    4095,
    4096,
    16_383,
    16_384,
    32_767,
    32_768,
    65_535,
    65_536,
    69_999,
)


def functions(from_logits: bool):
    return [call for call in LABELLED if call.logits == from_logits and call.host == "function"]


def wrong_values(dtype: str, classes: int) -> list[int]:
    limits = np.iinfo(dtype)
    wanted = {classes, classes + 1, -1, -2, -99, limits.min, limits.max, 2**31, 2**32, 2**63, 2**63 + 1}
    return sorted(v for v in wanted if limits.min <= v <= limits.max and not 0 <= v < classes)


def ignoring(call, value: int) -> dict[str, int]:
    return {"ignore_index" if call.host == "torch" else "ignore_class": value}


@pytest.mark.parametrize("call", LABELLED, ids=str)
def test_every_value_and_place(call):
    """Of every integer dtype; 2^32 and 2^63 must not wrap around to 0. What is ignored does not excuse another."""
    for dtype in INTEGERS:
        for classes in (1, 4, 100):
            x = np.full((5, classes), 0.5)
            for value in wrong_values(dtype, classes):
                allowed = rf"must lie in \[0, {classes}\)"
                for place in range(5):
                    y = np.zeros(5, dtype)
                    y[place] = value
                    with pytest.raises(IndexError, match=rf"{allowed}.*; got {value} at index {place}(: |$)"):
                        call(y, x)
                    for ignored in {0, np.iinfo(dtype).max} - {value}:
                        or_equal = rf"{allowed} or equal ignore_\w+={ignored}; got {value} at index {place}$"
                        with pytest.raises(IndexError, match=or_equal):
                            call(y, x, **ignoring(call, ignored))
                assert call(np.full(5, value, dtype), x, **ignoring(call, value))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("call", LABELLED, ids=str)
def test_the_first_of_many_rows(call, order):
    """At both ends and around the borders of tiles and jobs; no buffer is written, y_pred in place neither."""
    x = np.full((70_000, 3), 0.5, np.float32)
    options = ignoring(call, 1)
    buffers: dict[str, np.ndarray] = {}
    for kind, place in enumerate(PLACES):
        dtype = np.dtype(INTEGERS[kind % len(INTEGERS)])
        y = np.zeros(70_000, dtype)
        y[place:] = 1 + np.arange(70_000 - place) % 2  # of which 1 is ignored
        value = 77 if dtype.kind == "u" or place % 2 else -3
        y[place], y[-1] = value, 99
        value = int(y[place])
        labels, given, axis = call.placed(y, x, order)
        index = np.unravel_index(place, labels.shape)
        where = re.escape(str(index[0] if len(index) == 1 else tuple(map(int, index))))
        buffers = buffers or call.buffers(given, axis)
        with pytest.raises(IndexError, match=rf"; got {value} at index {where}(: |$)"):
            call(labels, given, axis, **options, **buffers)
        if "grad_out" in buffers and call.logits:
            with pytest.raises(IndexError, match=rf"; got {value} at index {where}(: |$)"):
                call(labels, given, axis, **options, grad_out=given)
            assert (given == 0.5).all()
    assert all(np.isnan(buffer).all() for buffer in buffers.values())


@pytest.mark.parametrize("call", LABELLED, ids=str)
def test_labels_of_any_strides(call):
    """An index counts rows, however they lie in memory."""
    labels = np.zeros((6, 4), np.int16)
    labels[4, 1] = 9
    x = np.moveaxis(np.full((6, 4, 3), 0.5), -1, 1)
    ways = (
        labels[::-1, ::-1].copy()[::-1, ::-1],
        np.asfortranarray(labels),
        np.repeat(labels, 3, axis=1)[:, ::3],
        labels.astype(labels.dtype.newbyteorder("S")),
        np.frombuffer(b"x" + labels.tobytes(), np.uint8)[1:].view(np.int16).reshape(6, 4),
        labels[:, None],
        labels.tolist(),
    )
    for given in ways:
        if call.host == "torch" and np.ndim(given) == 3:
            continue
        with pytest.raises(IndexError, match=r"; got 9 at index \(4, 1\)$"):
            call(given, x, 1)
    with pytest.raises(IndexError, match=r"; got 9 at index \(0, 0\)$"):
        call(np.broadcast_to(np.int8(9), (6, 4)), x, 1)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("threads", [1, 2, 8])
def test_the_first_bad_label_is_named(from_logits, threads):
    """Whatever thread finds which; rows count in C order whatever the axis."""
    x = np.full((70_000, 3), 0.5, np.float32)
    y = np.zeros(70_000, np.uint8)
    y[[40_000, 69_999, 12_345]] = 77, 88, 99
    for function in functions(from_logits):
        with pytest.raises(IndexError, match="got 99 at index 12345"):
            function(y, x, n_threads=threads)
    x = np.full((3, 3, 300, 70), 0.5, np.float32)
    y = np.zeros((3, 300, 70), np.int32)
    y[2, 7, 69], y[1, 299, 3] = -5, 3
    for function in functions(from_logits):
        with pytest.raises(IndexError, match=re.escape("got 3 at index (1, 299, 3)")):
            function(y, x, axis=1, n_threads=threads)


def test_bad_label_beside_ignored_ones():
    expected = re.escape("y_true must lie in [0, 4) or equal ignore_class=-1; got 4 at index 2")
    with pytest.raises(IndexError, match=expected):
        xn.sparse_categorical_crossentropy([-1, 0, 4], X, True, ignore_class=-1)
    with pytest.raises(IndexError, match="got -1 at index 0"):
        xn.sparse_categorical_crossentropy([-1, 0, 1], X, True)
    with pytest.raises(IndexError, match="got -1 at index 0"):
        xn.sparse_categorical_crossentropy([-1, 0, 1], X, True, ignore_class=-2)


def test_weight_zero_does_not_excuse_a_bad_label():
    with pytest.raises(IndexError, match="got 9 at index 1"):
        xn.sparse_categorical_crossentropy([0, 9, 0], X, True, sample_weight=[1, 0, 1])


def test_bad_label_of_a_single_row():
    with pytest.raises(IndexError, match=r"y_true must lie in \[0, 3\); got 3"):
        xn.sparse_categorical_crossentropy(3, [0.1, 0.2, 0.7])


@pytest.mark.parametrize("classes", [200_000])
@pytest.mark.parametrize("threads", [1, 2])
def test_bad_label_of_a_wide_row(classes, threads):
    x = np.zeros((2, classes), np.float32)
    grad = np.full_like(x, np.nan)
    with pytest.raises(IndexError, match="got 200000 at index 1"):
        xn.sparse_categorical_crossentropy_value_and_grad(
            [0, classes], x, True, grad_out=grad, n_threads=threads
        )
    assert np.isnan(grad).all()


@pytest.mark.parametrize("layout", ["last", "middle"])
def test_labels_are_checked_without_a_gradient_too(isa, layout):
    """Every call checks, also where no label is looked at for the result."""
    x = np.zeros((4, 3)) if layout == "last" else np.zeros((2, 3, 2))
    axis = -1 if layout == "last" else 1
    y = np.array([0, 1, 2, 3]).reshape(4 if layout == "last" else (2, 2))
    for smoothing in (0.0, 1.0):
        with pytest.raises(IndexError, match="got 3"):
            xn.sparse_categorical_crossentropy(y, x, True, axis=axis, label_smoothing=smoothing)
    with pytest.raises(IndexError, match="got 3"):
        xn.sparse_categorical_crossentropy_grad_and_hess(y, x, axis=axis)
