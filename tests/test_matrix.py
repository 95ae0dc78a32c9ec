# SPDX-License-Identifier: BSD-3-Clause
"""Every operation x instruction set x dtype x label kind x output x loop order, against the oracle.

Each test loops over the class counts and names the one that failed.
"""

from __future__ import annotations

import numpy as np
import pytest
import reference
from bounds import (
    assert_within,
    grad_bound,
    hess_bound,
    log_prob_bound,
    loss_bound,
    lse_bound,
    prob_bound,
    probability_bounds,
)
from cases import CLASS_COUNTS, INTEGERS, KINDS, LAYOUTS, Case, as_rows, case, logits, row_count, rows_like

import xent_native as xn

# Beyond this, a row is cut into segments; few such rows are shared out among threads.
WIDE = 131_072


def arguments(c: Case, layout: str, kind: str, turn: int):
    """The case in a layout, as the arguments of a loss function."""
    x, axis = LAYOUTS[layout](c.x)
    options = dict(c.options)
    if "sample_weight" in options:
        weight = rows_like(options["sample_weight"], x, axis)
        options["sample_weight"] = weight.astype(np.float32 if turn % 2 else np.float64)
    if KINDS[kind].dense:
        target = LAYOUTS[layout](c.y)[0] if turn % 2 else np.ascontiguousarray(LAYOUTS[layout](c.y)[0])
        return target, x, axis, options
    fitting = [name for name in INTEGERS if np.iinfo(name).max >= c.x.shape[1] - 1]
    return rows_like(c.y.astype(fitting[turn % len(fitting)]), x, axis), x, axis, options


def empty_like(x: np.ndarray, layout: str, axis: int) -> np.ndarray:
    """A buffer with the shape and layout of x, full of NaN."""
    shape = as_rows(x, axis).shape
    return LAYOUTS[layout](np.full(shape, np.nan, x.dtype))[0]


def functions(kind: str):
    prefix = "categorical" if KINDS[kind].dense else "sparse_categorical"
    return (
        getattr(xn, f"{prefix}_crossentropy_value_and_grad"),
        getattr(xn, f"{prefix}_crossentropy_grad_and_hess"),
        getattr(xn, f"{prefix}_crossentropy"),
    )


def is_dense(kind: str) -> bool:
    """Whether the effective targets of a row are more than one entry of 1."""
    return kind not in ("sparse", "sparse_ignored_weighted", "onehot")


def check_loss(loss, c: Case, kind: str, bound, message: str) -> None:
    if KINDS[kind].reduction == "none":
        assert_within(np.reshape(loss, -1), c.rows.loss, bound, message)
    else:  # non-negative terms: the error of the mean is at most the mean of the errors
        count = (
            len(c.x)
            if "ignore_class" not in c.options
            else np.count_nonzero(c.y != c.options["ignore_class"])
        )
        assert isinstance(loss, float), message
        assert_within(loss, c.expected.loss, np.sum(bound) / max(count, 1), message)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_from_logits(isa, dtype, kind, layout):
    value_and_grad, grad_and_hess, _ = functions(kind)
    for turn, classes in enumerate(CLASS_COUNTS):
        c = case(True, classes, dtype, kind)
        y, x, axis, options = arguments(c, layout, kind, turn)
        message = f"{classes} classes, {len(c.x)} rows, labels {y.dtype}"
        loss, grad = value_and_grad(y, x, from_logits=True, axis=axis, **options)
        curve = empty_like(x, layout, axis)
        slope, hess = grad_and_hess(
            y, x, axis=axis, grad_out=empty_like(x, layout, axis), hess_out=curve, **options
        )
        assert hess is curve

        check_loss(loss, c, kind, loss_bound(c.rows.loss, dtype, is_dense(kind)), f"loss, {message}")
        expected = as_rows(c.expected.grad, -1)
        bound = grad_bound(expected, c.expected.targets, c.expected.factor, dtype, is_dense(kind))
        assert_within(as_rows(grad, axis), expected, bound, f"gradient, {message}")
        assert_within(as_rows(slope, axis), expected, bound, f"gradient beside the Hessian, {message}")
        expected = as_rows(c.expected.hess, -1)
        assert_within(
            as_rows(hess, axis), expected, hess_bound(expected, dtype, is_dense(kind)), f"Hessian, {message}"
        )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_from_probabilities(isa, dtype, kind, layout):
    value_and_grad = functions(kind)[0]
    for turn, classes in enumerate(CLASS_COUNTS):
        c = case(False, classes, dtype, kind)
        y, x, axis, options = arguments(c, layout, kind, turn)
        message = f"{classes} classes, {len(c.x)} rows, labels {y.dtype}"
        buffer = empty_like(x, layout, axis)
        loss, grad = value_and_grad(y, x, axis=axis, grad_out=buffer, **options)
        assert grad is buffer
        bound, _ = probability_bounds(c.rows.loss, c.x, c.rows.targets, c.rows.factor, dtype)
        check_loss(loss, c, kind, bound, f"loss, {message}")
        _, bound = probability_bounds(c.rows.loss, c.x, c.expected.targets, c.expected.factor, dtype)
        assert_within(as_rows(grad, axis), as_rows(c.expected.grad, -1), bound, f"gradient, {message}")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax(isa, dtype, layout):
    for classes in CLASS_COUNTS:
        rows = logits(row_count(classes), classes, dtype)
        expected = reference.softmax_rows(rows)
        x, axis = LAYOUTS[layout](rows)
        message = f"{classes} classes, {len(rows)} rows"
        prob = xn.softmax(x, axis, out=empty_like(x, layout, axis))
        assert_within(
            as_rows(prob, axis), expected.prob, prob_bound(expected.prob, dtype), f"softmax, {message}"
        )
        log_prob = xn.log_softmax(x, axis)
        bound = log_prob_bound(expected.log_prob, dtype)
        assert_within(as_rows(log_prob, axis), expected.log_prob, bound, f"log_softmax, {message}")
        lse = xn.logsumexp(x, axis).reshape(-1)
        bound = lse_bound(expected.lse, expected.log_s, dtype)
        assert_within(lse, expected.lse, bound, f"logsumexp, {message}")


@pytest.mark.parametrize("from_logits", [True, False], ids=["logits", "probabilities"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loss_alone_is_the_loss_beside_a_gradient(isa, dtype, layout, from_logits):
    """Outputs are optional: what is not asked for changes no bit of the loss."""
    for kind in ("sparse", "sparse_smoothed", "soft"):
        value_and_grad, _, value = functions(kind)
        for turn, classes in enumerate((1, 3, 17, 64, 65, 130, 257)):
            c = case(from_logits, classes, dtype, kind)
            y, x, axis, options = arguments(c, layout, kind, turn)
            alone = value(y, x, from_logits, axis=axis, **options)
            beside = value_and_grad(y, x, from_logits, axis=axis, **options)[0]
            assert alone.tobytes() == beside.tobytes(), f"{kind}, {classes} classes"


@pytest.mark.parametrize("integer", INTEGERS)
@pytest.mark.parametrize("from_logits", [True, False], ids=["logits", "probabilities"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_integer_dtype_gives_the_same_bits(isa, dtype, from_logits, integer):
    for layout in ("last", "first", "middle"):
        for classes in (2, 16, 64, 70, 127):
            c = case(from_logits, classes, dtype, "sparse_ignored_weighted")
            _, x, axis, options = arguments(c, layout, "sparse_ignored_weighted", 0)
            plain = rows_like(c.y, x, axis)
            call = xn.sparse_categorical_crossentropy_value_and_grad
            expected = call(plain, x, from_logits, axis=axis, **options)
            actual = call(plain.astype(integer), x, from_logits, axis=axis, **options)
            assert actual[0] == expected[0], f"{layout}, {classes} classes"
            assert actual[1].tobytes() == expected[1].tobytes(), f"{layout}, {classes} classes"


@pytest.mark.parametrize("kind", ["sparse", "sparse_smoothed", "soft"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_wide_rows(isa, dtype, kind):
    """Rows of several segments, with a last one that is incomplete."""
    c = case(True, WIDE + 5, dtype, kind, rows=2)
    value_and_grad, grad_and_hess, _ = functions(kind)
    loss, grad = value_and_grad(c.y, c.x, from_logits=True, **c.options)
    _, hess = grad_and_hess(c.y, c.x, **c.options)
    assert_within(loss, c.rows.loss, loss_bound(c.rows.loss, dtype, is_dense(kind)), "loss")
    bound = grad_bound(c.expected.grad, c.expected.targets, c.expected.factor, dtype, is_dense(kind))
    assert_within(grad, c.expected.grad, bound, "gradient")
    assert_within(hess, c.expected.hess, hess_bound(c.expected.hess, dtype, is_dense(kind)), "Hessian")
    prob, log_prob, lse = reference.softmax(c.x)
    assert_within(xn.softmax(c.x), prob, prob_bound(prob, dtype), "softmax")
    assert_within(xn.log_softmax(c.x), log_prob, log_prob_bound(log_prob, dtype), "log_softmax")
    assert_within(xn.logsumexp(c.x), lse, lse_bound(lse, lse - c.x.max(axis=1), dtype), "logsumexp")


@pytest.mark.parametrize("kind", ["sparse", "sparse_smoothed", "soft"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_wide_rows_of_probabilities(isa, dtype, kind):
    c = case(False, WIDE + 5, dtype, kind, rows=3)
    loss, grad = functions(kind)[0](c.y, c.x, **c.options)
    of_loss, of_grad = probability_bounds(c.rows.loss, c.x, c.rows.targets, c.rows.factor, dtype)
    assert_within(loss, c.rows.loss, of_loss, "loss")
    assert_within(grad, c.expected.grad, of_grad, "gradient")
