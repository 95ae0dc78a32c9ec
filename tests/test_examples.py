# SPDX-License-Identifier: BSD-3-Clause
"""Worked examples that must hold, to the digits that are printed with them."""

from __future__ import annotations

import numpy as np
import pytest

import xent_native as xn

LOGITS = [[2, 5, 1], [7, 1, 0.5]]
DENSE = [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("y_true", "y_pred", "expected"),
    [
        ([[0, 1, 0]], [[0.1, 0.8, 0.1]], 0.22314),
        ([[1, 0, 0]], [[0.9, 0.05, 0.05]], 0.10536),
        ([[0, 1, 0], [1, 0, 0], [0, 0, 1]], [[0.05, 0.9, 0.05], [0.8, 0.1, 0.1], [0.1, 0.2, 0.7]], 0.22839),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5]], 0.34055),
    ],
)
def test_mean_from_probabilities(y_true, y_pred, expected):
    assert round(xn.CategoricalCrossentropy()(y_true, y_pred), 5) == expected
    assert round(float(xn.categorical_crossentropy(y_true, y_pred).mean()), 5) == expected
    assert xn.categorical_crossentropy(y_true, y_pred, reduction="mean") == xn.CategoricalCrossentropy()(
        y_true, y_pred
    )


def test_labels_give_the_same_mean():
    y_pred = [[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5]]
    assert round(xn.SparseCategoricalCrossentropy()([0, 1, 2], y_pred), 5) == 0.34055
    assert round(xn.sparse_categorical_crossentropy([0, 1, 2], y_pred, reduction="mean"), 5) == 0.34055


@pytest.mark.parametrize(
    ("loss", "y_true"),
    [(xn.CategoricalCrossentropy, DENSE), (xn.SparseCategoricalCrossentropy, [1, 0])],
)
def test_reductions_from_logits(loss, y_true):
    rows = loss(from_logits=True, reduction="none")(y_true, LOGITS)
    assert rows.round(7).tolist() == [0.0658839, 0.0039743]
    assert round(loss(from_logits=True, reduction="sum")(y_true, LOGITS), 7) == 0.0698582
    assert round(loss(from_logits=True)(y_true, LOGITS), 7) == 0.0349291


@pytest.mark.parametrize("convert", [list, tuple, np.array, lambda rows: tuple(tuple(row) for row in rows)])
def test_lists_tuples_and_arrays(convert):
    expected = [0.0658839, 0.0039743]
    assert (
        xn.categorical_crossentropy(convert(DENSE), convert(LOGITS), from_logits=True).round(7).tolist()
        == expected
    )
    labels = (1, 0)
    assert xn.sparse_categorical_crossentropy(labels, convert(LOGITS), True).round(7).tolist() == expected


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "int64", "uint64"])
def test_integer_arrays_as_predictions(dtype):
    x = np.array([[2, 5, 1], [7, 1, 0]], dtype)
    loss, grad = xn.sparse_categorical_crossentropy_value_and_grad([1, 0], x, from_logits=True)
    expected, slope = xn.sparse_categorical_crossentropy_value_and_grad(
        [1, 0], x.astype(float), from_logits=True
    )
    assert loss.dtype == grad.dtype == np.float64
    assert loss.tolist() == expected.tolist()
    assert grad.tolist() == slope.tolist()
