# SPDX-License-Identifier: BSD-3-Clause
"""The contract's A1, A2 and A4 on hard rows: every kind, 2 to 1,000,000 classes, each ISA, both loop orders.

The reference is exact.py. test_accuracy.py has rows chosen by hand, against mpmath.
"""

from __future__ import annotations

import functools

import exact
import numpy as np
import pytest
from bounds import A1, A2
from cases import LAYOUTS, as_rows
from hard_rows import KINDS, hard_rows, soft_targets

import xent_native as xn

FLOATS = ["float32", "float64"]
# Up to 112 classes go over rows in any case, more only if the class axis is not the last. 65,536 classes make
# a segment, and two of them a row that threads share.
CLASSES = [2, 3, 10, 40, 100, 112, 113, 129, 1000, 5003, 65_537, 131_073]
ORDERS = ["last", "first"]


def row_count(classes: int) -> int:
    return max(1, min(60, 60_000 // classes))


@functools.lru_cache(maxsize=4)
def problem(kind: str, classes: int, dtype: str, n: int):
    x, labels = hard_rows(kind, n, classes, dtype)
    return x, labels, exact.sparse(x, labels)


@functools.lru_cache(maxsize=4)
def dense_problem(kind: str, classes: int, dtype: str):
    x, _ = hard_rows(kind, row_count(classes), classes, dtype)
    targets = soft_targets(x, dtype)
    return x, targets, exact.dense(x, targets)


def most(errors: np.ndarray) -> float:
    assert not np.isnan(errors).any()
    return float(errors.max(initial=0))


def check(loss, grad, expected: exact.Exact, dtype: str, where: str) -> None:
    """A1 and A2."""
    ulps, relative = map(most, exact.loss_errors(loss, expected.loss, dtype))
    assert ulps <= A1[dtype][0], f"{where}: a loss is {ulps:.3g} ulp off"
    assert relative <= A1[dtype][1], f"{where}: a small loss is off by a relative {relative:.3g}"
    masked = np.isinf(expected.loss.hi)
    assert np.array_equal(np.isinf(loss), masked), f"{where}: inf"
    absolute, relative = map(most, exact.grad_errors(grad, expected, dtype))
    assert absolute <= A2[dtype][0], f"{where}: a gradient is off by {absolute:.3g} of the row's scale"
    assert relative <= A2[dtype][1], f"{where}: a gradient is off by a relative {relative:.3g}"


def check_sparse(kind: str, classes: int, dtype: str, n: int, where: str) -> None:
    x, labels, expected = problem(kind, classes, dtype, n)
    for order in ORDERS:
        placed, axis = LAYOUTS[order](x)
        loss, grad = xn.sparse_categorical_crossentropy_value_and_grad(labels, placed, True, axis=axis)
        check(loss, as_rows(grad, axis), expected, dtype, f"{where}, classes {order}")
        assert (as_rows(grad, axis)[np.isneginf(x) & (np.arange(classes) != labels[:, None])] == 0).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("kind", KINDS)
def test_a1_and_a2_with_labels(isa, kind, classes, dtype):
    check_sparse(kind, classes, dtype, row_count(classes), f"{kind}, {classes} classes")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", KINDS)
def test_a1_and_a2_with_a_million_classes(each_isa, kind, dtype):
    each_isa(lambda: check_sparse(kind, 1_000_000, dtype, 1, f"{kind}, {xn.isa()}"))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("classes", [2, 10, 112, 113, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_a1_and_a2_with_one_hot_targets(isa, kind, classes, dtype):
    """Nothing is rounded to make such targets, so the bounds are those of labels."""
    x, labels, expected = problem(kind, classes, dtype, row_count(classes))
    one_hot = np.eye(classes, dtype=dtype)[labels]
    for order in ORDERS:
        (placed, axis), (targets, _) = LAYOUTS[order](x), LAYOUTS[order](one_hot)
        loss, grad = xn.categorical_crossentropy_value_and_grad(targets, placed, True, axis=axis)
        check(loss, as_rows(grad, axis), expected, dtype, f"{kind}, {classes} classes, {order}")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("classes", [2, 3, 10, 40, 112, 113, 1000, 32_769])
@pytest.mark.parametrize("kind", KINDS)
def test_a1_and_a2_with_soft_targets(isa, kind, classes, dtype):
    """As with labels, but that a gradient's relative bound holds for its two terms: see exact.term_errors."""
    x, targets, expected = dense_problem(kind, classes, dtype)
    for order in ORDERS:
        (placed, axis), (y, _) = LAYOUTS[order](x), LAYOUTS[order](targets)
        loss, grad = xn.categorical_crossentropy_value_and_grad(y, placed, True, axis=axis)
        where = f"{kind}, {classes} classes, {order}"
        ulps, relative = map(most, exact.loss_errors(loss, expected.loss, dtype))
        assert ulps <= A1[dtype][0], f"{where}: a loss is {ulps:.3g} ulp off"
        assert relative <= A1[dtype][1], f"{where}: a small loss is off by a relative {relative:.3g}"
        grad = as_rows(grad, axis)
        absolute = most(exact.grad_errors(grad, expected, dtype)[0])
        assert absolute <= A2[dtype][0], f"{where}: a gradient is off by {absolute:.3g} of the row's scale"
        relative = most(exact.term_errors(grad, expected, targets, dtype))
        assert relative <= A2[dtype][1], f"{where}: a gradient is off by {relative:.3g} of its terms"


def half_types() -> list[np.dtype]:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    return [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("classes", [2, 10, 64, 112, 113, 1000, 5003])
@pytest.mark.parametrize("kind", KINDS)
def test_a4_half_types_have_the_bits_of_float32(isa, kind, classes, order):
    """On the same values: the loss as it is, the gradient rounded once. NaN and inf (overflow) included."""
    n = row_count(classes)
    with np.errstate(over="ignore"):
        inputs = [hard_rows(kind, n, classes, np.float32)[0].astype(half) for half in half_types()]
    labels = hard_rows(kind, n, classes, np.float32)[1]
    for x in inputs:
        soft = soft_targets(x.astype(np.float32), np.float32).astype(x.dtype)
        placed, axis = LAYOUTS[order](x)
        targets = LAYOUTS[order](soft)[0]
        wide, wide_targets = placed.astype(np.float32), targets.astype(np.float32)
        sparse = xn.sparse_categorical_crossentropy_value_and_grad
        dense = xn.categorical_crossentropy_value_and_grad
        for got, expected, name in (
            (sparse(labels, placed, True, axis=axis), sparse(labels, wide, True, axis=axis), "labels"),
            (dense(targets, placed, True, axis=axis), dense(wide_targets, wide, True, axis=axis), "dense"),
        ):
            where = f"{x.dtype}, {name}"
            assert got[0].dtype == np.float32
            assert got[0].tobytes() == expected[0].tobytes(), f"{where}: loss"
            assert got[1].dtype == x.dtype
            assert got[1].tobytes() == expected[1].astype(x.dtype).tobytes(), f"{where}: gradient"


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("classes", [2, 10, 112, 113, 1000, 5003, 131_073])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", *FLOATS])
def test_a4_forward_and_backward_use_the_same_log_sum_exp(isa, dtype, classes, order):
    """The loss of value_and_grad has the bits of the loss alone; and a gradient needs no loss to be the same."""
    n = min(20, row_count(classes))
    x = np.concatenate([hard_rows(kind, n, classes, np.float32)[0] for kind in KINDS])
    labels = np.concatenate([hard_rows(kind, n, classes, np.float32)[1] for kind in KINDS])
    given = {np.dtype(t).name: np.dtype(t) for t in (*half_types(), *FLOATS)}[dtype]
    with np.errstate(over="ignore"):
        x = x.astype(given)
    targets = soft_targets(x.astype(np.float32), np.float32).astype(given)
    placed, axis = LAYOUTS[order](x)
    y = LAYOUTS[order](targets)[0]
    for name, call in (
        ("labels", lambda f, **more: f(labels, placed, True, axis=axis, **more)),
        ("dense", lambda f, **more: f(y, placed, True, axis=axis, **more)),
    ):
        prefix = "sparse_" if name == "labels" else ""
        forward = getattr(xn, f"{prefix}categorical_crossentropy")
        both = getattr(xn, f"{prefix}categorical_crossentropy_value_and_grad")
        loss, grad = call(both)
        assert loss.tobytes() == call(forward).tobytes(), name
        for reduction in ("sum", "mean"):
            value, _ = call(both, reduction=reduction)
            assert np.float64(value).tobytes() == np.float64(call(forward, reduction=reduction)).tobytes(), (
                name
            )
        of_sum = call(both, reduction="sum")[1]
        assert of_sum.tobytes() == grad.tobytes(), name
