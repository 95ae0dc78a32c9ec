# SPDX-License-Identifier: BSD-3-Clause
"""Values at the ends of what types hold, beyond the table of test_edge_cases.py: wide rows, blocks, clips."""

from __future__ import annotations

import numpy as np
import pytest
from cases import LAYOUTS, as_rows
from edge_functions import DTYPES, LOSSES, ORDERS

import xent_native as xn

FLOATS = ["float32", "float64"]
inf, nan = np.inf, np.nan


def one_hot(labels, rows):
    target = np.zeros_like(rows)
    target[np.arange(len(rows)), labels] = 1
    return target


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_in_a_wide_row(isa, dtype):
    for column in (0, 40_000, 131_079):
        x = np.zeros((2, 131_080), dtype)
        x[1, column] = nan
        for name, value in everything_wide(x).items():
            assert np.isfinite(value[0]).all(), name
            assert np.isnan(value[1]).all(), name


def everything_wide(x):
    loss, grad = xn.sparse_categorical_crossentropy_value_and_grad([0, 0], x, True)
    return {"loss": loss, "gradient": grad, "softmax": xn.softmax(x), "logsumexp": xn.logsumexp(x)}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("from_logits", [True, False])
def test_nan_in_a_sum(dtype, from_logits):
    """It is not swallowed by a reduction either."""
    x = np.full((100, 3), 0.5, dtype)
    x[50, 1] = nan
    for reduction in ("sum", "mean"):
        assert np.isnan(
            xn.sparse_categorical_crossentropy(np.zeros(100, int), x, from_logits, reduction=reduction)
        )


@pytest.mark.parametrize("dtype", FLOATS)
def test_huge_logits_with_small_targets(isa, dtype):
    """m - x overflows the type here, its product with the target does not."""
    big = np.finfo(dtype).max
    x = np.array([[big, -big, 0, 0]], dtype)
    t = np.array([[0.875, 0.125, 0, 0]], dtype)
    expected = float(big) / 4 if dtype == "float64" else 0.25 * float(big)
    for layout in ("last", "first"):
        placed, axis = LAYOUTS[layout](x)
        loss = xn.categorical_crossentropy(LAYOUTS[layout](t)[0], placed, True, axis=axis)
        assert loss[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", ["last", "first"])
def test_bad_probabilities(isa, dtype, layout, rng):
    """Rows of zeros are 0 / 0; NaN spreads over its row, not beyond; nothing is wrong with a zero."""
    for classes in (3, 17, 65, 300):
        rows = (rng.random((5, classes)) + 0.1).astype(dtype)
        labels = np.array([0, 1, 2, 0, 1])
        rows[1], rows[2, 1], rows[3, 0] = 0, nan, 0
        x, axis = LAYOUTS[layout](rows)
        loss, grad = xn.sparse_categorical_crossentropy_value_and_grad(labels, x, axis=axis)
        grad = as_rows(grad, axis)
        assert np.isnan(loss).tolist() == [False, True, True, False, False]
        assert loss[3] == pytest.approx(-np.log(1e-7), rel=1e-6)
        assert (grad[3] == 0).all()
        assert np.isfinite(grad[[0, 4]]).all()
        target = LAYOUTS[layout](one_hot(labels, rows))[0]
        dense = xn.categorical_crossentropy(target, x, axis=axis)
        assert np.isnan(dense).tolist() == [False, True, True, False, False]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_perfect_and_hopeless_probabilities(isa, dtype):
    """The clip keeps both finite, and 1 - epsilon does not round to 1."""
    p = np.array([[1, 0, 0], [0, 1, 0]], dtype)
    loss, grad = xn.sparse_categorical_crossentropy_value_and_grad([0, 0], p)
    assert 0 < loss[0] < 2e-3
    assert 6 < loss[1] < 17
    assert (grad == 0).all()


def test_subnormal_logits_and_gradients(isa):
    """The import does not switch subnormals off, and results use them."""
    assert float.fromhex("0x1p-1070") * 0.5 != 0
    x = np.array([[0, -100.0]], np.float32)
    prob = xn.softmax(x)
    assert 0 < prob[0, 1] < np.finfo(np.float32).tiny
    np.testing.assert_allclose(prob[0, 1], np.exp(-100.0), atol=3e-45)


def test_labels_beyond_int32(isa):
    """Labels are never routed through floats: neighbours beyond 2^24 stay apart."""
    classes = 2**24 + 4
    x = np.zeros((1, classes), np.float32)
    for label in (2**24, 2**24 + 1, 2**24 + 3):
        _, grad = xn.sparse_categorical_crossentropy_value_and_grad(
            [label], x, True, grad_out=np.empty_like(x)
        )
        assert int(np.argmin(grad)) == label


@pytest.mark.parametrize("classes", [3, 200])
def test_no_clip_and_probabilities_of_zero(isa, classes):
    """epsilon=0: a class without a target has no gradient of its own, even at 0; a certain row has loss 0, not -0."""
    p = np.zeros((1, classes))
    p[0, 1] = 1
    sparse = xn.sparse_categorical_crossentropy_value_and_grad([1], p, epsilon=0.0)
    dense = xn.categorical_crossentropy_value_and_grad(p.copy(), p, epsilon=0.0)
    for loss, grad in (sparse, dense):
        assert loss[0] == 0
        assert not np.signbit(loss[0])
        np.testing.assert_array_equal(grad, 1 - p)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("classes", "first", "last"), [(4096, 0, 2048), (65537, 65536, 65537), (300, 0, 112), (113, 0, 112)]
)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("masked", [False, True])
def test_nan_shows_where_its_block_has_no_number(isa, dtype, classes, first, last, axis, masked):
    """A block of NaN, or of -inf and one NaN, has no maximum: its NaN must reach the row all the same."""
    x = np.zeros((3, classes), dtype)
    x[1, first:last] = -np.inf if masked else np.nan
    x[1, first] = np.nan
    given = np.ascontiguousarray(x.T) if axis == 0 else x
    label = classes // 2 if first else classes - 1
    labels = np.full(3, label)
    loss, grad = xn.sparse_categorical_crossentropy_value_and_grad(labels, given, True, axis=axis)
    grad = grad.T if axis == 0 else grad
    assert np.isnan(loss).tolist() == [False, True, False]
    assert np.isnan(grad[1]).all()
    assert np.isfinite(grad[[0, 2]]).all()
    assert np.isnan(xn.logsumexp(given, axis=axis)).tolist() == [False, True, False]


def test_empty_arrays_may_stand_anywhere():
    labels = np.frombuffer(bytearray(9), np.int64, count=0, offset=1)
    assert xn.sparse_categorical_crossentropy(labels, np.zeros((0, 4), np.float32), True).shape == (0,)


@pytest.mark.parametrize("classes", [2, 300])
def test_dense_and_sparse_agree_where_probabilities_are_clipped(isa, classes, rng):
    """The bounds are epsilon and 1 - epsilon, not their roundings to float32."""
    rest = np.exp(-rng.uniform(15, 17.5, 2000))
    p = np.empty((2000, classes), np.float32)
    p[:, 0], p[:, 1:] = 1 - rest, (rest / (classes - 1))[:, None]
    p[::3, 0] = 1  # the sum of a row is beyond 1
    one_hot = np.zeros_like(p)
    one_hot[:, 0] = 1
    sparse, sparse_grad = xn.sparse_categorical_crossentropy_value_and_grad(np.zeros(len(p), int), p)
    dense = xn.categorical_crossentropy_value_and_grad(one_hot, p)
    poly1 = xn.poly1_crossentropy_value_and_grad(one_hot, p, 0.0, from_logits=False)
    clipped = sparse_grad[:, 1] == 0
    assert 0 < clipped.mean() < 1
    for loss, grad in (dense, poly1):
        np.testing.assert_allclose(loss, sparse, rtol=2e-6)
        assert np.array_equal(grad[:, 1] == 0, clipped)


@pytest.mark.parametrize("call", [call for call in LOSSES if "sample_weight" in call.arguments], ids=str)
def test_weights_that_are_no_ordinary_numbers(call):
    """They are factors like others: NaN and inf stay in their rows, and a negative one turns the sign."""
    for dtype in DTYPES:
        for order in ORDERS:
            y, x = call.problem(6, 5, dtype)
            _, placed, axis = call.placed(y, x, order)
            rows = np.moveaxis(placed, axis, -1).shape[:-1]
            weight = np.array([1, nan, 2, inf, -2, 0.0])
            found = call.rows(y, x, order, sample_weight=weight.reshape(rows))
            clean = call.rows(y, x, order, sample_weight=np.array([1, 1, 2, 1, 2, 0.0]).reshape(rows))
            for name, value in found.items():
                where = f"{name}, {dtype}, {order}"
                assert np.isnan(value[1].astype(float)).all(), where
                assert not np.isfinite(value[3].astype(float)).any(), where
                assert np.array_equal(value[4], -clean[name][4]), where
                assert value[[0, 2]].tobytes() == clean[name][[0, 2]].tobytes(), where
                assert (value[5] == 0).all(), where
