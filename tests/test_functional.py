# SPDX-License-Identifier: BSD-3-Clause
"""The functions: signatures, options, reductions, axes, and the buffers of the caller."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import reference
from bounds import assert_within

import xent_native as xn

REDUCTIONS = ["none", None, "sum", "mean", "sum_over_batch_size", "mean_with_sample_weight"]

# (positional, keyword-only) parameters with their defaults, as Keras has them and users type them.
DENSE_POSITIONAL = [
    ("y_true", ...),
    ("y_pred", ...),
    ("from_logits", False),
    ("label_smoothing", 0.0),
    ("axis", -1),
]
SPARSE_POSITIONAL = [
    ("y_true", ...),
    ("y_pred", ...),
    ("from_logits", False),
    ("ignore_class", None),
    ("axis", -1),
]
OPTIONS = {"class_weight": None, "sample_weight": None, "reduction": "none", "n_threads": None}
SIGNATURES = {
    "categorical_crossentropy": (DENSE_POSITIONAL, {**OPTIONS, "epsilon": 1e-7, "out": None}),
    "categorical_crossentropy_value_and_grad": (
        DENSE_POSITIONAL,
        {**OPTIONS, "epsilon": 1e-7, "out": None, "grad_out": None},
    ),
    "categorical_crossentropy_grad_and_hess": (
        DENSE_POSITIONAL,
        {**OPTIONS, "grad_out": None, "hess_out": None},
    ),
    "sparse_categorical_crossentropy": (
        SPARSE_POSITIONAL,
        {**OPTIONS, "label_smoothing": 0.0, "epsilon": 1e-7, "out": None},
    ),
    "sparse_categorical_crossentropy_value_and_grad": (
        SPARSE_POSITIONAL,
        {**OPTIONS, "label_smoothing": 0.0, "epsilon": 1e-7, "out": None, "grad_out": None},
    ),
    "sparse_categorical_crossentropy_grad_and_hess": (
        SPARSE_POSITIONAL,
        {**OPTIONS, "label_smoothing": 0.0, "grad_out": None, "hess_out": None},
    ),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature(name):
    positional, keyword_only = SIGNATURES[name]
    parameters = inspect.signature(getattr(xn, name)).parameters.values()
    found = [
        (p.name, ... if p.default is p.empty else p.default) for p in parameters if p.kind != p.KEYWORD_ONLY
    ]
    if name.endswith("_grad_and_hess"):  # from logits only: the default says so
        positional = [(key, True if key == "from_logits" else value) for key, value in positional]
    assert found == positional
    found = {p.name: p.default for p in parameters if p.kind == p.KEYWORD_ONLY}
    assert found == keyword_only


def problem(rng, dense: bool, from_logits: bool, shape=(4, 5, 6), axis=-1, dtype="float64"):
    x = rng.standard_normal(shape) * 3 if from_logits else rng.random(shape) + 0.05
    rows = np.moveaxis(x, axis, -1).shape[:-1]
    classes = shape[axis]
    if dense:
        y = np.moveaxis(rng.dirichlet(np.ones(classes), rows), -1, axis)
    else:
        y = rng.integers(0, classes, rows)
    return y, x.astype(dtype)


def prefix(dense: bool) -> str:
    return "categorical_crossentropy" if dense else "sparse_categorical_crossentropy"


def compare(dense, y, x, from_logits, **options):
    """Loss and gradient, and from logits the Hessian, against the oracle. float64: 1e-13 is far above the
    roundings of the few terms here, far below what a wrong factor or index does."""
    name = prefix(dense)
    loss, grad = getattr(xn, f"{name}_value_and_grad")(y, x, from_logits, **options)
    epsilon = options.pop("epsilon", 1e-7)
    expected = reference.cross_entropy(y, x, from_logits=from_logits, epsilon=epsilon, **options)
    assert_within(loss, expected.loss, 1e-13 * (1 + np.abs(expected.loss)), "loss")
    assert_within(grad, expected.grad, 1e-13 * (1 + np.abs(expected.grad)), "gradient")
    if from_logits:
        slope, hess = getattr(xn, f"{name}_grad_and_hess")(y, x, **options)
        assert_within(slope, expected.grad, 1e-13, "gradient beside the Hessian")
        assert_within(hess, expected.hess, 1e-13, "Hessian")
    return loss, grad


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions(rng, dense, from_logits, reduction):
    y, x = problem(rng, dense, from_logits)
    weight = rng.random((4, 5))
    weight[1, 2] = 0
    loss, _ = compare(dense, y, x, from_logits, reduction=reduction, sample_weight=weight)
    compare(dense, y, x, from_logits, reduction=reduction)
    if reduction in ("none", None):
        assert loss.shape == (4, 5)
        assert loss.dtype == np.float64
    else:
        assert type(loss) is float


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("ignored", [0, 3, -1, -100, 5, 255])
def test_ignore_class(rng, from_logits, reduction, ignored):
    y, x = problem(rng, False, from_logits)
    y = np.where(rng.random(y.shape) < 0.4, ignored, y).astype(np.int64)
    y[y == 5] = ignored
    options = {"ignore_class": ignored, "reduction": reduction, "sample_weight": rng.random(y.shape)}
    compare(False, y, x, from_logits, **options)
    loss, grad = xn.sparse_categorical_crossentropy_value_and_grad(y, x, from_logits, ignored)
    assert (loss[y == ignored] == 0).all()
    assert (grad[y == ignored] == 0).all()


def test_ignore_class_that_the_dtype_cannot_hold(rng):
    y, x = problem(rng, False, True)
    plain = xn.sparse_categorical_crossentropy(y.astype(np.uint8), x, True)
    assert (
        xn.sparse_categorical_crossentropy(y.astype(np.uint8), x, True, ignore_class=-1).tolist()
        == plain.tolist()
    )
    assert (
        xn.sparse_categorical_crossentropy(y.astype(np.int8), x, True, ignore_class=300).tolist()
        == plain.tolist()
    )
    y = y.astype(np.uint64)
    y[0, 0] = 2**64 - 1
    with pytest.raises(IndexError, match=r"got 18446744073709551615 at index \(0, 0\)"):
        xn.sparse_categorical_crossentropy(y, x, True, ignore_class=-1)
    loss = xn.sparse_categorical_crossentropy(y, x, True, ignore_class=2**64 - 1)
    assert loss[0, 0] == 0
    assert loss[0, 1:].tolist() == plain[0, 1:].tolist()


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_label_smoothing_and_class_weight(rng, dense, from_logits, smoothing, axis):
    """Smoothing uses the number of classes along `axis`; weights multiply the smoothed targets."""
    y, x = problem(rng, dense, from_logits, axis=axis)
    weight = rng.random(x.shape[axis]) + 0.5
    compare(dense, y, x, from_logits, label_smoothing=smoothing, axis=axis)
    compare(dense, y, x, from_logits, label_smoothing=smoothing, axis=axis, class_weight=weight)
    compare(
        dense, y, x, from_logits, label_smoothing=smoothing, axis=axis, class_weight=weight, reduction="mean"
    )


@pytest.mark.parametrize("dense", [True, False])
def test_class_weight_from_mapping_and_sequence(rng, dense):
    y, x = problem(rng, dense, True)
    function = getattr(xn, prefix(dense))
    array = function(y, x, True, class_weight=np.array([1, 1, 2.5, 1, 0.5, 1]))
    for weight in (
        {2: 2.5, 4: 0.5},
        {np.int64(2): 2.5, np.int8(4): np.float32(0.5)},
        [1, 1, 2.5, 1, 0.5, 1],
        np.array([1, 1, 2.5, 1, 0.5, 1], ">f4"),
        np.array([2, 2, 5, 2, 1, 2], np.int16) / 2,
    ):
        assert function(y, x, True, class_weight=weight).tolist() == array.tolist()


def test_class_weight_zero_counts_in_the_mean(rng):
    """Class weights are no sample weights: the divisor of a mean does not see them."""
    y, x = np.array([0, 1, 1, 2]), rng.standard_normal((4, 3))
    rows = xn.sparse_categorical_crossentropy(y, x, True)
    for reduction in ("mean", "mean_with_sample_weight"):
        loss = xn.sparse_categorical_crossentropy(y, x, True, class_weight=[1, 0, 1], reduction=reduction)
        assert loss == pytest.approx((rows[0] + rows[3]) / 4, rel=1e-14)


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize(
    "shape",
    [(), (1,), (5,), (4, 1), (4, 5), (1, 5), (4, 5, 1)],
    ids=lambda shape: "x".join(map(str, shape)) or "scalar",
)
def test_sample_weight_broadcasts(rng, dense, shape):
    y, x = problem(rng, dense, True)
    weight = np.asarray(rng.random(shape))
    rows = weight[..., 0] if weight.ndim == 3 else weight
    whole = np.broadcast_to(rows, (4, 5))
    function = getattr(xn, f"{prefix(dense)}_value_and_grad")
    for reduction in REDUCTIONS:
        loss, grad = function(y, x, True, sample_weight=weight, reduction=reduction)
        expected = reference.cross_entropy(y, x, from_logits=True, sample_weight=whole, reduction=reduction)
        assert_within(loss, expected.loss, 1e-13, str(reduction))
        assert_within(grad, expected.grad, 1e-13, str(reduction))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "uint8", "bool"])
def test_sample_weight_dtypes(rng, dtype):
    y, x = problem(rng, False, True)
    weight = (rng.integers(0, 3, (4, 5))).astype(dtype)
    expected = xn.sparse_categorical_crossentropy(y, x, True, sample_weight=weight.astype(np.float64))
    assert xn.sparse_categorical_crossentropy(y, x, True, sample_weight=weight).tolist() == expected.tolist()


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("dense", [True, False])
def test_weight_zero_drops_a_row_whatever_it_holds(rng, dense, from_logits):
    y, x = problem(rng, dense, from_logits, (6, 4))
    x[2], x[3, 1] = np.nan, np.inf
    weight = np.array([1, 2, 0, 0, 0.5, 1])
    for reduction in REDUCTIONS:
        name = prefix(dense)
        loss, grad = getattr(xn, f"{name}_value_and_grad")(
            y, x, from_logits, sample_weight=weight, reduction=reduction
        )
        assert np.isfinite(loss).all()
        assert (grad[2:4] == 0).all()
        assert np.isfinite(grad).all()
        if from_logits:
            _, hess = getattr(xn, f"{name}_grad_and_hess")(y, x, sample_weight=weight, reduction=reduction)
            assert (hess[2:4] == 0).all()


@pytest.mark.parametrize("reduction", ["mean", "sum_over_batch_size", "mean_with_sample_weight"])
def test_mean_of_nothing_is_zero(rng, reduction):
    x = rng.standard_normal((3, 4))
    nothing = [
        ({}, [0, 1, 2], np.zeros(3)),
        ({"ignore_class": 1}, [1, 1, 1], None),
        ({"ignore_class": 1}, [1, 1, 1], np.ones(3)),
    ]
    for options, y, weight in nothing:
        loss, grad = xn.sparse_categorical_crossentropy_value_and_grad(
            y, x, True, sample_weight=weight, reduction=reduction, **options
        )
        assert loss == 0.0
        assert type(loss) is float
        assert (grad == 0).all()


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 3, 4, 5), (2, 1, 3, 1, 2, 4), (1,) * 20 + (2, 3)])
def test_any_axis_of_any_number_of_dimensions(rng, dense, from_logits, shape):
    for axis in range(-len(shape), len(shape)):
        y, x = problem(rng, dense, from_logits, shape, axis)
        compare(dense, y, x, from_logits, axis=axis)
        compare(dense, y, x, from_logits, axis=np.int64(axis), reduction="mean")


def test_one_dimension_is_one_row():
    loss, grad = xn.sparse_categorical_crossentropy_value_and_grad(1, [0.0, 0.0, 0.0], True)
    assert loss.shape == ()
    assert loss == pytest.approx(np.log(3), rel=1e-15)
    assert grad.shape == (3,)
    assert xn.categorical_crossentropy([0, 1, 0], [0.1, 0.8, 0.1]).shape == ()
    assert xn.sparse_categorical_crossentropy(np.int8(1), np.zeros(3), True, reduction="mean") == float(loss)


def test_labels_with_a_class_axis_of_length_one(rng):
    y, x = problem(rng, False, True)
    expected = xn.sparse_categorical_crossentropy(y, x, True)
    assert xn.sparse_categorical_crossentropy(y[..., None], x, True).tolist() == expected.tolist()
    y, x = problem(rng, False, True, axis=1)
    expected = xn.sparse_categorical_crossentropy(y, x, True, axis=1)
    assert xn.sparse_categorical_crossentropy(y[:, None], x, True, axis=1).tolist() == expected.tolist()


@pytest.mark.parametrize("epsilon", [0.0, 1e-7, 1e-3, 0.25])
@pytest.mark.parametrize("dense", [True, False])
def test_epsilon(rng, dense, epsilon):
    y, x = problem(rng, dense, False)
    x[0, 0] = [1e-9, 1, 0.4, 1e-5, 3, 2]
    x[0, 1, 0] = 1e5
    compare(dense, y, x, False, epsilon=epsilon)


def test_bounds_of_the_clip_count_as_inside():
    """q = epsilon and q = 1 - epsilon exactly: the gradient is that of the logarithm there."""
    p = np.array([[0.25, 0.75], [0.75, 0.25]])
    _, grad = xn.sparse_categorical_crossentropy_value_and_grad([0, 0], p, epsilon=0.25)
    assert_within(grad, [[1 - 4, 1], [1 - 4 / 3, 1]], 1e-15)
    _, grad = xn.categorical_crossentropy_value_and_grad([[1, 0], [1, 0]], p, epsilon=0.25)
    assert_within(grad, [[1 - 4, 1], [1 - 4 / 3, 1]], 1e-15)
    nearly = np.nextafter(0.25, 1)
    for labels in ([0, 1], [[1, 0], [0, 1]]):
        function = xn.categorical_crossentropy_value_and_grad
        if np.ndim(labels) == 1:
            function = xn.sparse_categorical_crossentropy_value_and_grad
        _, grad = function(labels, p, epsilon=nearly)
        assert grad.tolist() == [[0, 0], [0, 0]]


def test_result_dtypes(rng):
    for dtype, loss_dtype in (
        ("float16", "float32"),
        ("float32", "float32"),
        ("float64", "float64"),
        (int, "float64"),
    ):
        x = (rng.random((3, 4)) * 5 + 1).astype(dtype)
        for from_logits in (True, False):
            loss, grad = xn.sparse_categorical_crossentropy_value_and_grad([0, 1, 2], x, from_logits)
            assert loss.dtype == loss_dtype
            assert grad.dtype == (dtype if dtype is not int else np.float64)
            total = xn.sparse_categorical_crossentropy([0, 1, 2], x, from_logits, reduction="sum")
            assert type(total) is float


def test_targets_of_another_dtype(rng):
    """Dense targets come in any real dtype and are used in that of the predictions."""
    y = np.eye(4)[[0, 2, 3]]
    x = rng.standard_normal((3, 4)).astype(np.float32)
    expected = xn.categorical_crossentropy(y.astype(np.float32), x, True)
    for dtype in ("float16", "float64", "int8", "uint64", "bool"):
        assert xn.categorical_crossentropy(y.astype(dtype), x, True).tolist() == expected.tolist()


def test_no_hessian_from_probabilities(rng):
    y, x = problem(rng, False, False)
    with pytest.raises(ValueError, match="from_logits=True"):
        xn.sparse_categorical_crossentropy_grad_and_hess(y, x, from_logits=False)
    with pytest.raises(ValueError, match="from_logits=True"):
        xn.categorical_crossentropy_grad_and_hess(x, x, from_logits=False)


def test_arguments_are_not_changed(rng):
    for dense in (True, False):
        for from_logits in (True, False):
            y, x = problem(rng, dense, from_logits)
            weight, factors = rng.random((4, 5)), rng.random(6)
            before = [a.copy() for a in (y, x, weight, factors)]
            getattr(xn, f"{prefix(dense)}_value_and_grad")(
                y, x, from_logits, class_weight=factors, sample_weight=weight, label_smoothing=0.1
            )
            assert all((a == b).all() for a, b in zip((y, x, weight, factors), before, strict=True))
