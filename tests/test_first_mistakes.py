# SPDX-License-Identifier: BSD-3-Clause
"""Mistakes of a first hour: each error says what to do, and what it says works."""

from __future__ import annotations

import numpy as np
import pytest

import xent_native as xn

X = np.array([[2.0, 5.0, 1.0], [7.0, 1.0, 0.5], [0.0, 1.0, 3.0], [1.0, 1.0, 1.0]], np.float32)
Y = np.array([1, 0, 2, 2])
T = xn.to_categorical(Y, 3)
IMAGES = np.moveaxis(np.broadcast_to(X, (2, 5, 4, 3)), -1, 1)
sparse, dense = xn.sparse_categorical_crossentropy, xn.categorical_crossentropy
WHOLE = "y_true.astype(int) makes class indices of whole numbers"
EXPECTED = sparse(Y, X, True)


@pytest.mark.parametrize(
    ("wrong", "hint", "right"),
    [
        (lambda: sparse(T, X, True), "use categorical_crossentropy, or y_true.argmax(1)", lambda: dense(T, X, True)),
        (
            lambda: sparse(T.astype(int), X, True),
            "use categorical_crossentropy, or y_true.argmax(1)",
            lambda: sparse(T.astype(int).argmax(1), X, True),
        ),
        (lambda: dense(Y, X, True), "use sparse_categorical_crossentropy, or to_categorical(y_true)", lambda: EXPECTED),
        (lambda: dense(Y[:, None], X, True), "or to_categorical(y_true)", lambda: dense(xn.to_categorical(Y), X, True)),
        (lambda: sparse(X, Y, True), "y_true and y_pred were swapped, y_true comes first", lambda: EXPECTED),
        (lambda: sparse(Y.astype(float), X, True), WHOLE, lambda: EXPECTED),
        (lambda: sparse(Y.astype(float).tolist(), X, True), WHOLE, lambda: EXPECTED),
        (
            lambda: sparse(["b", "a", "c", "c"], X, True),
            "numpy.unique(y_true, return_inverse=True)[1] makes class indices of names",
            lambda: sparse(np.unique(["b", "a", "c", "c"], return_inverse=True)[1], X, True),
        ),
        (
            lambda: sparse(np.array(["b", "a", "c", "c"], object), X, True),
            "return_inverse=True)[1] makes class indices of names",
            lambda: EXPECTED,
        ),
        (lambda: sparse(Y + 1, X, True), "got 3 at index 2: classes count from 0", lambda: EXPECTED),
        (
            lambda: sparse(np.where(Y == 2, -100, Y), X, True)[:2],
            "ignore_class=-100 leaves such rows out",
            lambda: [*sparse(np.where(Y == 2, -100, Y), X, True, ignore_class=-100)[:2], *EXPECTED[2:]],
        ),
        (
            lambda: sparse(np.tile(Y, (2, 5, 1)), IMAGES, True),
            "axis=1 would fit",
            lambda: sparse(np.tile(Y, (2, 5, 1)), IMAGES, True, axis=1)[1, 3],
        ),
        (
            lambda: sparse(Y, X, True, "none"),
            "a reduction is given by its name, reduction='none'",
            lambda: sparse(Y, X, True, reduction="none"),
        ),
    ],
)  # fmt: skip
def test_the_error_says_what_works(wrong, hint, right):
    with pytest.raises((TypeError, ValueError, IndexError)) as error:
        wrong()
    assert str(error.value).endswith(hint)
    assert np.array_equal(right(), EXPECTED)


@pytest.mark.parametrize(
    ("targets", "shape", "hint"),
    [((4,), (4, 1), "y_pred[..., 0] has its shape"), ((4, 1), (4,), "y_true[..., 0] has it")],
)
def test_a_column_beside_a_row(targets, shape, hint):
    with pytest.raises(ValueError, match="must have the shape of y_pred") as error:
        xn.binary_crossentropy(np.zeros(targets), np.zeros(shape), True)
    assert str(error.value).endswith(hint)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: sparse(Y[:3], X, True),
        lambda: dense(T[:3], X, True),
        lambda: sparse(Y, X.astype(str), True),
        lambda: sparse(np.array([0, 1, None, 2]), X, True),
        lambda: sparse(Y + 5, X, True, ignore_class=0),
        lambda: sparse(Y, X, True, "ever"),
    ],
)
def test_nothing_is_said_where_nobody_can_tell(wrong):
    with pytest.raises((TypeError, ValueError, IndexError)) as error:
        wrong()
    assert ": " not in str(error.value)
