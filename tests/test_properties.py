# SPDX-License-Identifier: BSD-3-Clause
"""What holds for any input: properties of losses and gradients; hypothesis looks for counterexamples.

Where two results come from different sums, both may err by what the contract allows (A1, A2: bounds.py), so
they may differ by twice that.
"""

from __future__ import annotations

import numpy as np
import pytest
from bounds import assert_within, loss_bound
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

import xent_native as xn

SPARSE = xn.sparse_categorical_crossentropy
SPARSE_GRAD = xn.sparse_categorical_crossentropy_value_and_grad
DENSE_GRAD = xn.categorical_crossentropy_value_and_grad
ABSOLUTE = {"float32": 1.2e-7, "float64": 4e-16}  # A2


@st.composite
def problems(draw, dtypes=("float32", "float64"), least_classes=1, most_rows=9, positive=False):
    """(x, labels, generator): rows of multiples of 1/8, so that sums with small integers are exact."""
    dtype = draw(st.sampled_from(dtypes))
    classes = draw(st.one_of(st.integers(least_classes, 20), st.sampled_from([33, 64, 65, 100, 130])))
    rows = draw(st.integers(1, most_rows))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    reach = draw(st.sampled_from([1, 20, 200, 800]))
    x = (rng.integers(-reach, reach + 1, (rows, classes)) / 8).astype(dtype)
    if positive:
        x = (np.abs(x) + 1).astype(dtype)
    return x, rng.integers(0, classes, rows), rng


def same_loss(actual, expected, dtype, message="loss"):
    assert_within(actual, expected, 2 * loss_bound(expected, dtype), message)


def one_hot(y, classes, dtype):
    return np.eye(classes, dtype=dtype)[y]


@given(problems(), st.integers(-1000, 1000))
def test_shift_invariance(problem, shift):
    x, y, _ = problem
    loss, grad = SPARSE_GRAD(y, x, True)
    moved, slope = SPARSE_GRAD(y, x + x.dtype.type(shift), True)
    same_loss(moved, loss, x.dtype)
    assert_within(slope, grad, 2 * ABSOLUTE[str(x.dtype)], "gradient")


@given(problems(), st.sampled_from([0.0, 0.1, 1.0]))
def test_gradient_rows_sum_to_zero(problem, smoothing):
    x, y, _ = problem
    _, grad = SPARSE_GRAD(y, x, True, label_smoothing=smoothing)
    # Each entry errs by what A2 allows, four times that with smoothed targets.
    allowed = (4 if smoothing else 1) * ABSOLUTE[str(x.dtype)] * x.shape[1]
    assert_within(grad.astype(np.float64).sum(axis=1), np.zeros(len(x)), allowed)


@given(problems(), st.booleans(), st.sampled_from(["none", "sum", "mean"]))
def test_one_hot_equals_index(problem, from_logits, reduction):
    x, y, rng = problem
    if not from_logits:
        x = (rng.random(x.shape) + 0.01).astype(x.dtype)
    weight = rng.random(len(x))
    options = {"sample_weight": weight, "reduction": reduction}
    loss, grad = SPARSE_GRAD(y, x, from_logits, **options)
    dense, slope = DENSE_GRAD(one_hot(y, x.shape[1], x.dtype), x, from_logits, **options)
    # From probabilities close to 1 the logarithm keeps an absolute error of an ulp.
    allowed = 2 * loss_bound(loss, x.dtype) + (0 if from_logits else 2 * ABSOLUTE[str(x.dtype)])
    assert_within(dense, loss, allowed, "loss")
    scale = 1 if from_logits else 1 / x.min()
    assert_within(slope, grad, 4 * scale * ABSOLUTE[str(x.dtype)], "gradient")


@given(problems(), st.booleans())
def test_weights_of_one_equal_none(problem, from_logits):
    x, y, _ = problem
    x = x if from_logits else np.abs(x) + 1
    for reduction in ("none", "sum", "mean", "mean_with_sample_weight"):
        loss, grad = SPARSE_GRAD(y, x, from_logits, reduction=reduction)
        for options in (
            {"sample_weight": np.ones(len(x))},
            {"sample_weight": 1.0},
            {"class_weight": np.ones(x.shape[1])},
            {"label_smoothing": 0.0},
        ):
            value, slope = SPARSE_GRAD(y, x, from_logits, reduction=reduction, **options)
            assert np.array_equal(value, loss, equal_nan=True)
            assert slope.tobytes() == grad.tobytes()


@given(problems(dtypes=("float64",)), st.integers(1, 4), st.booleans())
def test_weight_k_equals_k_copies(problem, k, from_logits):
    x, y, rng = problem
    x = x if from_logits else np.abs(x) + 1
    counts = rng.integers(0, k + 1, len(x))
    copies = np.repeat(np.arange(len(x)), counts)
    for reduction in ("sum", "mean_with_sample_weight"):
        weighted, grad = SPARSE_GRAD(y, x, from_logits, sample_weight=counts, reduction=reduction)
        copied, slope = SPARSE_GRAD(y[copies], x[copies], from_logits, reduction=reduction)
        # A product or k additions, in float64: half an ulp for each of at most 36 rows.
        assert weighted == pytest.approx(copied, rel=40 * 2.0**-53, abs=1e-300)
        total = np.zeros_like(x)
        np.add.at(total, copies, slope)
        assert_within(grad, total, 1e-14 * max(1, k), "gradient")


@given(problems(), st.booleans())
def test_permutation_of_rows(problem, from_logits):
    x, y, rng = problem
    x = x if from_logits else np.abs(x) + 1
    order = rng.permutation(len(x))
    loss, grad = SPARSE_GRAD(y, x, from_logits)
    permuted, slope = SPARSE_GRAD(y[order], x[order], from_logits)
    assert permuted.tobytes() == loss[order].tobytes()
    assert slope.tobytes() == grad[order].tobytes()


@given(problems())
def test_permutation_of_classes(problem):
    x, y, rng = problem
    order = rng.permutation(x.shape[1])
    loss, grad = SPARSE_GRAD(y, x, True)
    permuted, slope = SPARSE_GRAD(np.argsort(order)[y], x[:, order], True)
    same_loss(permuted, loss, x.dtype)
    assert_within(slope, grad[:, order], 2 * ABSOLUTE[str(x.dtype)], "gradient")


@given(problems(least_classes=2))
def test_minus_infinity_equals_dropping_the_class(problem):
    x, y, rng = problem
    gone = rng.integers(0, x.shape[1])
    y = np.where(y == gone, (gone + 1) % x.shape[1], y)
    masked = x.copy()
    masked[:, gone] = -np.inf
    loss, grad = SPARSE_GRAD(y, masked, True)
    without, slope = SPARSE_GRAD(y - (y > gone), np.delete(x, gone, axis=1), True)
    same_loss(loss, without, x.dtype)
    assert (grad[:, gone] == 0).all()
    assert_within(np.delete(grad, gone, axis=1), slope, 2 * ABSOLUTE[str(x.dtype)], "gradient")


@given(problems(most_rows=40), st.booleans())
def test_split_and_merge_equals_the_whole(problem, from_logits):
    x, y, rng = problem
    x = x if from_logits else np.abs(x) + 1
    cuts = np.sort(rng.integers(0, len(x) + 1, 3))
    loss, grad = SPARSE_GRAD(y, x, from_logits)
    parts = [
        SPARSE_GRAD(labels, rows, from_logits)
        for labels, rows in zip(np.split(y, cuts), np.split(x, cuts), strict=True)
    ]
    assert np.concatenate([part[0] for part in parts]).tobytes() == loss.tobytes()
    assert np.concatenate([part[1] for part in parts]).tobytes() == grad.tobytes()
    whole = SPARSE(y, x, from_logits, reduction="sum")
    total = sum(
        SPARSE(labels, rows, from_logits, reduction="sum")
        for labels, rows in zip(np.split(y, cuts), np.split(x, cuts), strict=True)
    )
    assert whole == pytest.approx(total, rel=len(x) * 2.0**-52, abs=1e-300)


@given(problems(least_classes=2, dtypes=("float64",)))
def test_log_sum_exp_of_parts(problem):
    x, _, rng = problem
    cut = int(rng.integers(1, x.shape[1]))
    parts = np.stack([xn.logsumexp(x[:, :cut]), xn.logsumexp(x[:, cut:])], axis=1)
    assert_within(xn.logsumexp(parts), xn.logsumexp(x), 1e-15 * (4 + np.abs(x).max()))


@given(problems(), st.integers(-3, 8))
def test_ignored_rows_equal_absent_rows(problem, ignored):
    x, y, rng = problem
    y = np.where(rng.random(len(y)) < 0.4, ignored, y)
    kept = y != ignored
    if (y[kept] >= x.shape[1]).any():
        return
    for reduction in ("sum", "mean"):
        loss, grad = SPARSE_GRAD(y, x, True, ignored, reduction=reduction)
        alone, slope = SPARSE_GRAD(y[kept], x[kept], True, reduction=reduction)
        assert loss == pytest.approx(alone, rel=len(x) * 2.0**-52, abs=1e-300)
        assert grad[kept].tobytes() == slope.tobytes()
        assert (grad[~kept] == 0).all()


@given(problems(), st.booleans())
def test_a_loss_is_never_negative(problem, from_logits):
    x, y, _ = problem
    loss = SPARSE(y, x if from_logits else np.abs(x) + 1, from_logits)
    assert (loss >= 0).all()
    grad = SPARSE_GRAD(y, x, True)[1]
    rows = np.arange(len(x))
    assert (grad[rows, y] <= 0).all()
    grad[rows, y] = 0
    assert (grad >= 0).all()


@examples(2 / 3)
@given(
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 0.2]),
    st.sampled_from(["none", "sum", "mean", "mean_with_sample_weight"]),
    st.sampled_from([(3, 4), (4, 3), (2, 3, 5), (2, 70)]),
)
def test_gradients_are_finite_differences(seed, from_logits, dense, smoothing, reduction, shape):
    """Central differences in float64 with h = 1e-5: an error of h^2 from the third derivative, a few units at
    most here, and of 1e-15 / h = 1e-10 from the losses' roundings."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) if from_logits else rng.random(shape) + 0.5
    y = rng.random(shape) if dense else rng.integers(0, shape[-1], shape[:-1])
    name = "categorical_crossentropy" if dense else "sparse_categorical_crossentropy"
    options = {
        "label_smoothing": smoothing,
        "class_weight": rng.random(shape[-1]),
        "sample_weight": rng.random(shape[:-1]) + 0.1,
        "reduction": reduction,
    }
    _, grad = getattr(xn, f"{name}_value_and_grad")(y, x, from_logits, **options)
    direction = rng.standard_normal(shape)
    h = 1e-5
    ahead, behind = (
        np.sum(getattr(xn, name)(y, x + step * direction, from_logits, **options)) for step in (h, -h)
    )
    scale = np.abs(grad).sum() + np.abs(ahead) + 1
    assert abs((ahead - behind) / (2 * h) - np.sum(grad * direction)) < 1e-7 * scale


@examples(1 / 2)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([0.0, 0.2]))
def test_hessians_are_finite_differences_of_gradients(seed, dense, smoothing):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, 5))
    y = rng.random((2, 5)) if dense else rng.integers(0, 5, 2)
    name = "categorical_crossentropy" if dense else "sparse_categorical_crossentropy"
    options = {"label_smoothing": smoothing, "sample_weight": rng.random(2), "reduction": "mean"}
    grad, hess = getattr(xn, f"{name}_grad_and_hess")(y, x, **options)
    h = 1e-5
    for column in range(5):
        step = np.zeros(5)
        step[column] = h
        ahead = getattr(xn, f"{name}_grad_and_hess")(y, x + step, **options)[0]
        behind = getattr(xn, f"{name}_grad_and_hess")(y, x - step, **options)[0]
        assert_within((ahead - behind)[:, column] / (2 * h), hess[:, column], 1e-8, "Hessian")
    same = getattr(xn, f"{name}_value_and_grad")(y, x, True, **options)[1]
    assert_within(grad, same, 1e-15, "gradient")
