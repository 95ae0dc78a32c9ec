# SPDX-License-Identifier: BSD-3-Clause
"""Errors: the right exception, and a text with the argument, what was expected, what came, and where."""

from __future__ import annotations

import re

import numpy as np
import pytest
from edge_rows import Sparse

import xent_native as xn

X = np.zeros((3, 4))
Y = np.array([0, 1, 2])
ONE_HOT = np.eye(4)[Y]


MASKED = np.ma.array(X, mask=[[True] * 4, [False] * 4, [False] * 4])

# What is not a real number, as predictions, targets or weights.
NO_NUMBERS = {
    "None": (None, "must be an array; got None"),
    "objects": (np.array(X, object), "must hold real numbers; got dtype object"),
    "complex": (X.astype(complex), "must hold real numbers; got dtype complex128"),
    "text": (np.full((3, 4), "a"), "must hold real numbers; got dtype <U1"),
    "dates": (np.zeros((3, 4), "M8[s]"), "must hold real numbers; got dtype datetime64"),
    "records": (np.zeros((3, 4), "i4,f8"), "must hold real numbers; got dtype"),
    "masked": (MASKED, "must not be a masked array: 4 items are masked"),
    "sparse": (Sparse(), "must be dense; got a sparse Sparse: use its toarray()"),
    "dict": ({}, "must hold real numbers; got dtype object"),
}


@pytest.mark.parametrize("what", NO_NUMBERS)
@pytest.mark.parametrize("from_logits", [True, False])
def test_no_numbers(what, from_logits):
    value, message = NO_NUMBERS[what]
    with pytest.raises(TypeError, match=re.escape(f"y_pred {message}")):
        xn.sparse_categorical_crossentropy(Y, value, from_logits)
    with pytest.raises(TypeError, match=re.escape(f"y_pred {message}")):
        xn.categorical_crossentropy(ONE_HOT, value, from_logits)
    with pytest.raises(TypeError, match=re.escape(f"y_true {message}")):
        xn.categorical_crossentropy(value, X, from_logits)
    with pytest.raises(TypeError, match=re.escape(f"y_true {message}")):
        xn.sparse_categorical_crossentropy(value, X, from_logits)
    if what not in ("None", "dict"):  # None: no weights
        with pytest.raises(TypeError, match=re.escape(f"sample_weight {message}")):
            xn.categorical_crossentropy(ONE_HOT, X, from_logits, sample_weight=value)
        with pytest.raises(TypeError, match=re.escape(f"class_weight {message}")):
            xn.categorical_crossentropy(ONE_HOT, X, from_logits, class_weight=value)
    for function in (xn.softmax, xn.log_softmax, xn.logsumexp):
        with pytest.raises(TypeError, match=re.escape(f"x {message}")):
            function(value)


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long double is float64 here")
def test_long_double_is_refused():
    """It would lose digits without a word."""
    with pytest.raises(TypeError, match="y_pred must be float64 or smaller; got float"):
        xn.sparse_categorical_crossentropy(Y, X.astype(np.longdouble))


def test_ragged_lists():
    with pytest.raises(ValueError, match="y_pred must be an array of numbers"):
        xn.sparse_categorical_crossentropy(Y, [[1, 2], [3]])
    with pytest.raises(ValueError, match="y_true must be an array of numbers"):
        xn.categorical_crossentropy([[1, 2], [3]], X)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bool"])
@pytest.mark.parametrize("from_logits", [True, False])
def test_labels_that_are_no_integers(dtype, from_logits):
    """Floats are refused even where they are integral: from 2^24 on float32 has no odd labels."""
    for function in (
        xn.sparse_categorical_crossentropy,
        xn.sparse_categorical_crossentropy_value_and_grad,
    ):
        with pytest.raises(TypeError, match=f"y_true must hold integer class indices; got dtype {dtype}"):
            function(np.array([0, 1, 1]).astype(dtype), X, from_logits)
    with pytest.raises(TypeError, match="y_true must hold integer class indices; got dtype bool"):
        xn.sparse_categorical_crossentropy([True, False, True], X)
    with pytest.raises(TypeError, match="y_true must hold integer class indices; got dtype float64"):
        xn.sparse_categorical_crossentropy([0.0, 1.0, 2.0], X)
    with pytest.raises(TypeError, match=f"y_true must hold integer class indices; got dtype {dtype}"):
        xn.sparse_categorical_crossentropy_grad_and_hess(np.array([0, 1, 1]).astype(dtype), X)


def refused(pattern: str, function, *args, **options) -> None:
    with pytest.raises(ValueError, match=pattern):
        function(*args, **options)


def test_shapes_of_targets():
    for shape in [(3,), (4,), (3, 3), (4, 4), (1, 4), (3, 1), (3, 4, 1), (4, 3)]:
        expected = re.escape(f"y_true must have the shape of y_pred, (3, 4); got {shape}")
        refused(expected, xn.categorical_crossentropy, np.zeros(shape), X)
        refused(expected, xn.categorical_crossentropy_value_and_grad, np.zeros(shape), X, True)


def test_shapes_of_labels():
    for shape in [(), (1,), (4,), (3, 4), (1, 3), (3, 2), (3, 1, 1)]:
        expected = re.escape(
            "y_true must have shape (3,), that of y_pred (3, 4) without axis 1; got " + str(shape)
        )
        refused(expected, xn.sparse_categorical_crossentropy, np.zeros(shape, int), X)
        refused(expected, xn.sparse_categorical_crossentropy_grad_and_hess, np.zeros(shape, int), X)
    refused(r"y_true must have shape \(4,\)", xn.sparse_categorical_crossentropy, Y, X, axis=0)


def test_shapes_of_weights():
    for shape in [(2,), (4,), (3, 4), (3, 2)]:
        expected = re.escape(f"sample_weight must broadcast to one weight per row, shape (3,); got {shape}")
        refused(expected, xn.sparse_categorical_crossentropy, Y, X, sample_weight=np.ones(shape))
    for shape in [(), (1,), (3,), (5,), (1, 4), (4, 1)]:
        expected = re.escape(f"class_weight must have shape (4,), one per class; got {shape}")
        refused(expected, xn.sparse_categorical_crossentropy, Y, X, class_weight=np.ones(shape))
    for key in (4, -1, "a", 1.0, None):
        refused(
            rf"class_weight must have keys in \[0, 4\); got {key!r}",
            xn.sparse_categorical_crossentropy, Y, X, class_weight={0: 1.0, key: 2.0},
        )  # fmt: skip


def test_no_classes():
    refused("y_pred must have at least one class", xn.sparse_categorical_crossentropy, Y, np.zeros((3, 0)))
    refused(
        "y_pred must have at least one class", xn.categorical_crossentropy, np.zeros((3, 0)), np.zeros((3, 0))
    )
    refused("x must have at least one class", xn.softmax, np.zeros((3, 0)))
    refused(
        "y_pred must have at least one dimension; got a scalar", xn.sparse_categorical_crossentropy, 0, 1.0
    )
    refused("x must have at least one dimension; got a scalar", xn.logsumexp, 1.0)


def test_axis():
    for axis in (2, -3, 10**20):
        expected = re.escape("axis must lie in [-2, 2) for y_pred of shape (3, 4); got " + str(axis))
        refused(expected, xn.sparse_categorical_crossentropy, Y, X, axis=axis)
    for axis in (1.0, "1", None, True, np.True_, (0,), [1]):
        refused("axis must be an integer; got", xn.categorical_crossentropy, ONE_HOT, X, axis=axis)
        refused("axis must be an integer; got", xn.softmax, X, axis)


def test_reduction():
    choices = "'none', 'sum', 'mean', 'sum_over_batch_size', 'mean_with_sample_weight'"
    for reduction in ("avg", "Mean", "", 1, [], "auto"):
        expected = re.escape(f"reduction must be one of None, {choices}; got {reduction!r}")
        refused(expected, xn.sparse_categorical_crossentropy, Y, X, reduction=reduction)
        refused(expected, xn.CategoricalCrossentropy, reduction=reduction)
        refused(expected, xn.SparseCategoricalCrossentropy, reduction=reduction)


def test_numbers():
    for smoothing in (-0.1, 1.1, float("nan"), float("inf")):
        expected = re.escape(f"label_smoothing must lie in [0, 1]; got {smoothing!r}")
        refused(expected, xn.categorical_crossentropy, ONE_HOT, X, label_smoothing=smoothing)
        refused(expected, xn.CategoricalCrossentropy, label_smoothing=smoothing)
    for epsilon in (-1e-9, 0.6, float("nan")):
        refused(r"epsilon must lie in \[0, 0.5\]", xn.categorical_crossentropy, ONE_HOT, X, epsilon=epsilon)
    refused("epsilon must be less than 0.5", xn.SparseCategoricalCrossentropy, epsilon=0.5)
    for name in ("label_smoothing", "epsilon"):
        refused(f"{name} must lie in .*; got inf", xn.categorical_crossentropy, ONE_HOT, X, **{name: 10**400})
        with pytest.raises(TypeError, match=rf"{name} must be a number in \[0, "):
            xn.categorical_crossentropy(ONE_HOT, X, **{name: "a lot"})
    for ignored in (1.0, "1", True, np.False_, [1], float("nan")):
        refused(
            "ignore_class must be an integer or None; got",
            xn.sparse_categorical_crossentropy,
            Y,
            X,
            True,
            ignored,
        )
    for threads in (0, -1, 1.5, "2", True, float("nan")):
        refused("n_threads must be an integer of at least 1; got", xn.softmax, X, n_threads=threads)
        refused(
            "n_threads must be an integer of at least 1",
            xn.categorical_crossentropy,
            ONE_HOT,
            X,
            n_threads=threads,
        )


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("axis", [-1, 1])
def test_batch_axes_in_another_order_do_not_fit(reduction, axis):
    """(2, 3) and (3, 2) rows are six rows both, but not the same ones."""
    x = np.zeros((2, 3, 5), np.float32) if axis == -1 else np.zeros((2, 5, 3), np.float32)
    for call in (xn.sparse_categorical_crossentropy, xn.sparse_categorical_crossentropy_value_and_grad):
        for shape in ((3, 2), (6,), (6, 1), (1, 6)):
            with pytest.raises(ValueError, match=r"y_true must have shape \(2, 3\)"):
                call(np.zeros(shape, np.int64), x, True, axis=axis, reduction=reduction)
    for shape in ((3, 2, 5), (6, 5), (2, 3, 5)[::-1]):
        with pytest.raises(ValueError, match="y_true must have the shape of y_pred"):
            xn.categorical_crossentropy(np.zeros(shape, np.float32), x, True, axis=axis, reduction=reduction)


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_an_axis_beyond_any_integer_of_c(reduction):
    with pytest.raises(ValueError, match=r"axis must lie in \[-2, 2\)"):
        xn.sparse_categorical_crossentropy(Y, X, True, axis=2**40, reduction=reduction)


def test_class_weights_that_are_no_numbers():
    for weight in ("a", None):
        with pytest.raises(TypeError, match="class_weight must hold real numbers"):
            xn.sparse_categorical_crossentropy(Y, X, True, class_weight={0: weight})


def test_a_dtype_that_does_not_exist():
    for dtype in ("bogus", {"class_name": "DTypePolicy"}, "int32"):
        with pytest.raises(ValueError, match="dtype must be 'float32', 'float64' or None"):
            xn.CategoricalCrossentropy(dtype=dtype)


@pytest.mark.parametrize("option", ["label_smoothing", "epsilon"])
def test_an_array_where_a_number_belongs(option):
    for reduction in ("none", "mean"):
        with pytest.raises(TypeError, match=f"{option} must be a number"):
            xn.sparse_categorical_crossentropy(Y, X, reduction=reduction, **{option: np.array([0.1, 0.2])})
