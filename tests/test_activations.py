# SPDX-License-Identifier: BSD-3-Clause
"""softmax, log_softmax, logsumexp and to_categorical. Values against the oracle: test_matrix.py."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import reference

import xent_native as xn


def test_signatures():
    for function in (xn.softmax, xn.log_softmax, xn.logsumexp):
        parameters = inspect.signature(function).parameters
        assert list(parameters) == ["x", "axis", "out", "n_threads"]
        assert parameters["axis"].default == -1
        assert parameters["out"].kind is inspect.Parameter.KEYWORD_ONLY
    assert list(inspect.signature(xn.to_categorical).parameters) == ["y", "num_classes"]


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (2, 3, 1, 4, 2)])
def test_every_axis(rng, shape):
    x = rng.standard_normal(shape)
    for axis in range(-len(shape), len(shape)):
        prob, log_prob, lse = reference.softmax(x, axis)
        np.testing.assert_allclose(xn.softmax(x, axis), prob, rtol=1e-14)
        np.testing.assert_allclose(xn.log_softmax(x, axis), log_prob, rtol=1e-14)
        np.testing.assert_allclose(xn.logsumexp(x, axis), lse, rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(xn.softmax(x, axis).sum(axis), 1, rtol=1e-14)
        assert xn.logsumexp(x, axis).shape == shape[: axis % len(shape)] + shape[axis % len(shape) + 1 :]


@pytest.mark.parametrize(
    ("dtype", "plane", "rows"),
    [
        ("float16", "float16", "float32"),
        ("float32", "float32", "float32"),
        ("float64", "float64", "float64"),
        (">f4", "float32", "float32"),
        (">f8", "float64", "float64"),
        ("int8", "float64", "float64"),
        ("bool", "float64", "float64"),
    ],
)
def test_dtypes(dtype, plane, rows):
    x = np.array([[0, 1], [1, 1]]).astype(dtype)
    assert xn.softmax(x).dtype == plane
    assert xn.log_softmax(x).dtype == plane
    assert xn.logsumexp(x).dtype == rows
    np.testing.assert_allclose(xn.softmax(x)[1], 0.5, rtol=1e-3)


def test_a_scalar_result_is_an_array_without_dimensions():
    lse = xn.logsumexp([0.0, 0.0])
    assert lse.shape == ()
    assert float(lse) == pytest.approx(np.log(2), rel=1e-15)


def test_confident_rows_keep_their_digits():
    """Peers return exactly 0 from a lead of 17 (float32) or 37 (float64) on."""
    for dtype in ("float32", "float64"):
        x = np.array([[0, -20], [0, -40], [0, -60]], dtype)
        np.testing.assert_allclose(
            xn.log_softmax(x)[:, 0], -np.log1p(np.exp(x[:, 1].astype(float))), rtol=5e-6
        )


def test_consistent_with_the_losses(rng):
    """Forward and backward use the same sums: gradient and softmax, loss and log_softmax agree."""
    for dtype, tolerance in (("float32", 3e-7), ("float64", 6e-16)):
        for classes in (10, 100):
            x = (rng.standard_normal((30, classes)) * 3).astype(dtype)
            y = rng.integers(0, classes, 30)
            loss, grad = xn.sparse_categorical_crossentropy_value_and_grad(y, x, True)
            rows = np.arange(30)
            np.testing.assert_allclose(loss, -xn.log_softmax(x)[rows, y], rtol=20 * tolerance)
            prob = xn.softmax(x)
            prob[rows, y] -= 1
            np.testing.assert_allclose(grad, prob, atol=tolerance)
            np.testing.assert_allclose(loss, xn.logsumexp(x) - x[rows, y], atol=60 * tolerance)


def test_threads_argument(rng):
    x = rng.standard_normal((1000, 100))
    for function in (xn.softmax, xn.log_softmax, xn.logsumexp):
        assert function(x, n_threads=2).tobytes() == function(x, n_threads=1).tobytes()


# to_categorical


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i4"]
)
def test_to_categorical(dtype):
    y = np.array([[0, 2], [1, 3]]).astype(dtype)
    dense = xn.to_categorical(y)
    assert dense.dtype == np.float64
    assert np.array_equal(dense, np.eye(4)[y.astype(int)])
    assert xn.to_categorical(y, 6).shape == (2, 2, 6)
    assert np.array_equal(xn.to_categorical(y, np.int64(4)), dense)


def test_to_categorical_shapes():
    assert xn.to_categorical(2).tolist() == [0, 0, 1]
    assert xn.to_categorical([0, 1]).shape == (2, 2)
    assert xn.to_categorical((0, 1), num_classes=3).shape == (2, 3)
    assert xn.to_categorical([[0], [2]]).shape == (2, 3)  # as Keras: a last axis of length 1 goes
    assert xn.to_categorical([[[0], [2]]]).shape == (1, 2, 3)
    assert xn.to_categorical([], 3).shape == (0, 3)
    assert xn.to_categorical(np.zeros((2, 0), int), 3).shape == (2, 0, 3)


def test_to_categorical_makes_targets(rng):
    y = rng.integers(0, 7, 20)
    x = rng.standard_normal((20, 7))
    dense = xn.categorical_crossentropy(xn.to_categorical(y, 7), x, True)
    np.testing.assert_allclose(dense, xn.sparse_categorical_crossentropy(y, x, True), rtol=1e-14)


def test_to_categorical_errors():
    for y, classes, message in [
        ([0, 3], 3, r"y must lie in \[0, 3\); got 3 at index 1"),
        ([0, -1], 3, r"y must lie in \[0, 3\); got -1 at index 1"),
        ([0, -1], None, r"y must lie in \[0, 1\); got -1 at index 1"),
        ([[0, 1], [1, 5]], 2, r"got 5 at index \(1, 1\)"),
        (np.array([1, 2**64 - 1], np.uint64), 3, "got 18446744073709551615 at index 1"),
    ]:
        with pytest.raises(IndexError, match=message):
            xn.to_categorical(y, classes)
    for y in ([0.0, 1.0], [True, False], ["a"], None, np.array([0, 1], object)):
        with pytest.raises(TypeError, match="y must"):
            xn.to_categorical(y)
    for classes in (0, -1, 1.5, "3"):
        with pytest.raises(ValueError, match="num_classes must be a positive integer; got"):
            xn.to_categorical([0, 1], classes)
    with pytest.raises(ValueError, match="num_classes must be given where y is empty"):
        xn.to_categorical([])
