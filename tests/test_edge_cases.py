# SPDX-License-Identifier: BSD-3-Clause
"""Infinities, NaN, huge logits, one class, over 2^31 elements: what a row gets, and its neighbours do not."""

from __future__ import annotations

import numpy as np
import pytest
from cases import LAYOUTS, as_rows, rows_like

import xent_native as xn

FLOATS = ["float32", "float64"]
# One vector, its neighbours, a row kernel's blocks, and a row of several segments.
CLASSES = [2, 3, 16, 17, 64, 65, 200, 5000]
inf, nan = np.inf, np.nan


def one_hot(labels, rows):
    target = np.zeros_like(rows)
    target[np.arange(len(rows)), labels] = 1
    return target


def everything(rows, labels, layout="last"):
    """All outputs from logits, as (n, C) or (n,)."""
    x, axis = LAYOUTS[layout](rows)
    y = rows_like(np.asarray(labels), x, axis)
    loss, grad = xn.sparse_categorical_crossentropy_value_and_grad(y, x, True, axis=axis)
    _, hess = xn.sparse_categorical_crossentropy_grad_and_hess(y, x, axis=axis)
    target = LAYOUTS[layout](one_hot(labels, rows))[0]
    dense_loss, dense_grad = xn.categorical_crossentropy_value_and_grad(target, x, True, axis=axis)
    planes = (grad, hess, dense_grad, xn.softmax(x, axis), xn.log_softmax(x, axis))
    return {
        "loss": np.reshape(loss, -1),
        "dense loss": np.reshape(dense_loss, -1),
        "logsumexp": np.reshape(xn.logsumexp(x, axis), -1),
        **dict(
            zip(
                ("gradient", "Hessian", "dense gradient", "softmax", "log_softmax"),
                (as_rows(plane, axis) for plane in planes),
                strict=True,
            )
        ),
    }


@pytest.mark.parametrize("bad", [nan, -nan, inf, "all -inf", "inf and -inf", "nan and inf"])
@pytest.mark.parametrize("layout", ["last", "first", "middle"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_bad_row_is_nan_and_alone(isa, dtype, layout, bad, rng):
    for classes in CLASSES:
        n = 20 if classes < 1000 else 6
        rows = rng.standard_normal((n, classes)).astype(dtype)
        labels = rng.integers(0, classes, n)
        clean = everything(rows, labels, layout)
        for row in (0, 3, n - 1):
            for column in {0, classes // 2, classes - 1}:
                x = rows.copy()
                if bad == "all -inf":
                    x[row] = -inf
                elif bad == "inf and -inf":
                    x[row] = -inf
                    x[row, column] = inf
                elif bad == "nan and inf":
                    x[row, 0], x[row, -1] = (nan, inf) if column else (inf, nan)
                else:
                    x[row, column] = bad
                others = np.arange(n) != row
                for name, value in everything(x, labels, layout).items():
                    where = f"{name}, {classes} classes, row {row}, column {column}"
                    assert np.isnan(value[row]).all(), where
                    assert value[others].tobytes() == clean[name][others].tobytes(), where


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
@pytest.mark.parametrize("layout", ["last", "first"])
def test_minus_infinity_at_another_class(isa, dtype, layout, rng):
    """As if the class were not there, with a gradient of exactly 0. Whole blocks come first and last."""
    for classes in (*CLASSES, 70_000):
        rows = rng.standard_normal((3, classes)).astype(dtype)
        rows[0, : classes // 2] = -inf
        rows[1, classes // 2 :] = -inf
        rows[2, :-1] = -inf
        labels = np.array([classes - 1, 0, classes - 1])
        found = everything(rows, labels, layout)
        gone = np.isneginf(rows)
        assert np.isfinite(found["loss"]).all(), f"{classes} classes"
        assert found["loss"][2] == 0
        for name in ("gradient", "dense gradient", "Hessian", "softmax"):
            assert (found[name][gone] == 0).all(), f"{name}, {classes} classes"
            assert np.isfinite(found[name]).all(), f"{name}, {classes} classes"
        assert np.isneginf(found["log_softmax"][gone]).all()
        assert np.isfinite(found["log_softmax"][~gone]).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", ["last", "first"])
def test_minus_infinity_at_the_target(isa, dtype, layout, rng):
    for classes in CLASSES:
        rows = rng.standard_normal((2, classes)).astype(dtype)
        rows[:, 1] = -inf
        found = everything(rows, np.array([1, 0]), layout)
        for name in ("loss", "dense loss"):
            assert found[name][0] == inf, f"{name}, {classes} classes"
            assert np.isfinite(found[name][1])
        for name in ("gradient", "dense gradient"):
            assert np.isfinite(found[name]).all(), f"{name}, {classes} classes"
            assert found[name][0, 1] == -1
    x, y = rows, np.array([1, 0])
    assert xn.sparse_categorical_crossentropy(y, x, True, reduction="sum") == inf
    assert xn.sparse_categorical_crossentropy(y, x, True, reduction="mean") == inf
    assert np.isfinite(xn.sparse_categorical_crossentropy(y, x, True, reduction="mean", sample_weight=[0, 1]))
    assert np.isfinite(xn.sparse_categorical_crossentropy(y, x, True, ignore_class=1, reduction="mean"))


@pytest.mark.parametrize("dtype", FLOATS)
def test_dense_target_zero_at_minus_infinity(isa, dtype, rng):
    """0 * -inf counts as 0; a class weight of 0 does the same; any other target makes it inf."""
    for classes in (3, 17, 65, 300):
        x = rng.standard_normal((4, classes)).astype(dtype)
        x[:, 1] = -inf
        t = rng.random((4, classes)).astype(dtype)
        t[:3, 1] = 0
        loss, grad = xn.categorical_crossentropy_value_and_grad(t, x, True)
        assert np.isfinite(loss[:3]).all()
        assert loss[3] == inf
        assert np.isfinite(grad).all()
        assert (grad[:3, 1] == 0).all()
        weight = np.ones(classes)
        weight[1] = 0
        assert np.isfinite(xn.categorical_crossentropy(t, x, True, class_weight=weight)).all()
        smooth = xn.categorical_crossentropy(t, x, True, 0.1)
        assert (smooth == inf).all()


@pytest.mark.parametrize(("dtype", "big"), [("float32", 3e38), ("float64", 1.7e308)])
@pytest.mark.parametrize("layout", ["last", "first"])
def test_huge_logits(isa, dtype, layout, big):
    """Exact where the type can hold it, else inf; never NaN."""
    for classes in (3, 16, 65, 300):
        rows = np.zeros((6, classes), dtype)
        rows[:, 0] = [big, -big, big, big, -big, big]
        rows[:, 1] = [0, 0, -big, big, -big, big]
        rows[4] = -big
        rows[5] = big
        labels = np.array([1, 0, 1, 0, 0, 1])
        found = everything(rows, labels, layout)
        assert not any(np.isnan(value).any() for value in found.values()), f"{classes} classes"
        huge = np.asarray(big, dtype)
        for name in ("loss", "dense loss"):
            assert found[name][0] == huge
            assert found[name][1] == huge
            assert found[name][2] == inf
            np.testing.assert_allclose(found[name][3:], np.log([2, classes, classes]), rtol=1e-6)
        assert found["gradient"][0].tolist() == [1, -1, *[0] * (classes - 2)]
        assert found["softmax"][2].tolist() == [1, *[0] * (classes - 1)]
        assert (found["logsumexp"][[0, 2, 3, 5]] == huge).all()
        assert found["logsumexp"][4] == -huge


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
def test_one_class(isa, dtype):
    x = np.array([[0.0], [5.0], [-1e30], [1e30]], dtype)
    for layout in ("last", "first", "middle"):
        found = everything(x, np.zeros(4, int), layout)
        for name in ("loss", "dense loss", "gradient", "dense gradient", "Hessian", "log_softmax"):
            assert (found[name] == 0).all(), name
        assert (found["softmax"] == 1).all()
        assert found["logsumexp"].tolist() == x[:, 0].tolist()
    loss, grad = xn.sparse_categorical_crossentropy_value_and_grad([0, 0], np.array([[0.5], [2.0]], dtype))
    np.testing.assert_allclose(loss, 1e-7, rtol=1e-6)  # q = 1 is clipped to 1 - 1e-7
    assert (grad == 0).all()


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


@pytest.mark.parametrize("axis", [-1, 0])
def test_more_than_two_to_the_31_elements(axis):
    """8.6 GB of which almost all is the zero page: only the first and the last row are ever written."""
    classes, n = 32_768, 65_537 + 2
    try:
        x = np.zeros((n, classes) if axis else (classes, n), np.float32)
    except MemoryError:
        pytest.skip("no address space for 8.6 GB")
    assert x.size > 2**31
    if axis:
        x[-1, -1] = x[0, 5] = 20
    else:
        x[-1, -1] = x[5, 0] = 20
    y = np.zeros(n, np.int32)
    y[-1], y[0] = classes - 1, 5
    loss = xn.sparse_categorical_crossentropy(y, x, True, axis=axis)
    others = np.float32(np.log(classes))
    np.testing.assert_allclose(loss[1:-1], others, rtol=2.4e-7)
    np.testing.assert_allclose(loss[[0, -1]], np.log1p((classes - 1) * np.exp(-20.0)), rtol=5e-6)


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
