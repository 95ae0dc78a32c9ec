# SPDX-License-Identifier: BSD-3-Clause
"""The contract's A1 (losses) and A2 (gradients) from logits, against mpmath at 200 bits and more.

A1  float32: within 2 ulp from 0.01 on, relative error 5e-6 below that, down to 1e-30.
    float64: 4 ulp and 2e-13.
A2  float32: absolute error 1.2e-7 of the row's scale, and relative 5e-6 for normal numbers.
    float64: 4e-16 and 2e-13.

Errors are taken in mpmath, so no rounding of the test's own counts.
"""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from bounds import A1, A2, SMALLEST_CERTAIN_LOSS, ULPS_FROM
from cases import LAYOUTS, as_rows

import xent_native as xn

FLOATS = ["float32", "float64"]


def exact_row(x: np.ndarray, label: int, counts: np.ndarray | None = None):
    """(loss, gradient) of one row in mpmath. `counts`: how often each entry of x stands in the row."""
    with mpmath.workprec(240):
        values = [mpmath.mpf(float(v)) for v in x]
        many = [1] * len(values) if counts is None else [int(n) for n in counts]
        best = int(np.argmax(x))
        e = [
            mpmath.mpf(0) if np.isneginf(v) else mpmath.exp(u - values[best])
            for u, v in zip(values, x, strict=True)
        ]
        # The sum without one of the largest: log1p of it and its quotients keep their digits.
        others = mpmath.fsum([a * n for i, (a, n) in enumerate(zip(e, many, strict=True)) if i != best])
        others += many[best] - 1
        loss = mpmath.log1p(others) + (values[best] - values[label])
        grad = [a / (1 + others) for a in e]
        without_label = others if label == best else others + 1 - e[label]
        grad[label] = -without_label / (1 + others)
        return loss, grad


def check_loss(actual, exact, dtype: str, message: str) -> None:
    ulps, relative = A1[dtype]
    if mpmath.isinf(exact):
        assert actual == np.inf, message
        return
    error = float(abs(mpmath.mpf(float(actual)) - exact))
    size = float(exact)
    if size >= ULPS_FROM:
        allowed = ulps * float(np.spacing(np.asarray(size, dtype)))
    else:
        allowed = relative * max(size, SMALLEST_CERTAIN_LOSS)
    assert error <= allowed, (
        f"{message}: loss {actual!r}, exactly {size!r}: error {error:.3g}, allowed {allowed:.3g}"
    )


def check_grad(actual, exact, dtype: str, message: str, scale: float = 1.0) -> None:
    absolute, relative = A2[dtype]
    tiny = float(np.finfo(dtype).tiny)
    for index, (one, true) in enumerate(zip(actual, exact, strict=True)):
        true = true * scale
        error = float(abs(mpmath.mpf(float(one)) - true))
        size = abs(float(true))
        # Entries that are no normal numbers only have to stay within that range.
        allowed = min(absolute * scale, relative * size) if size >= tiny else tiny
        assert error <= allowed, (
            f"{message}: gradient[{index}] {one!r}, exactly {float(true)!r}: "
            f"error {error:.3g}, allowed {allowed:.3g}"
        )


def check_rows(x: np.ndarray, labels: np.ndarray, message: str) -> None:
    """A1 and A2 for rows of logits, in both loop orders."""
    dtype = str(x.dtype)
    exact = [exact_row(row, label) for row, label in zip(x, labels, strict=True)]
    for layout in ("last", "first"):
        placed, axis = LAYOUTS[layout](x)
        loss, grad = xn.sparse_categorical_crossentropy_value_and_grad(
            labels, placed, from_logits=True, axis=axis
        )
        grad = as_rows(grad, axis)
        for row, (true_loss, true_grad) in enumerate(exact):
            where = f"{message}, {layout}, row {row}"
            check_loss(loss[row], true_loss, dtype, where)
            if not mpmath.isinf(true_loss):
                check_grad(grad[row], true_grad, dtype, where)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("classes", [2, 3, 10, 63, 100])
def test_confident_rows(isa, dtype, classes, rng):
    """The target is ahead by 5 to 80: peers return 0 from 17 on in float32."""
    ahead = np.array([5, 8, 12, 16, 17, 20, 30, 36, 37, 45, 60, 68, 80], np.float64)
    x = rng.standard_normal((len(ahead), classes)) * np.minimum(1, ahead / 20)[:, None]
    labels = rng.integers(0, classes, len(ahead))
    x[np.arange(len(ahead)), labels] = x.max(axis=1) + ahead
    check_rows(x.astype(dtype), labels, f"{classes} classes")


@pytest.mark.parametrize("dtype", FLOATS)
def test_two_classes_of_equal_distance(isa, dtype):
    """log(1 + exp(-d)) at both labels, d over the whole range that a loss of 1e-30 allows."""
    d = np.concatenate([np.linspace(0, 69, 70), 2.0 ** np.arange(-20, 3)])
    x = np.stack([d, np.zeros_like(d)], axis=1).astype(dtype)
    check_rows(x, np.zeros(len(d), int), "label ahead")
    check_rows(x, np.ones(len(d), int), "label behind")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_hopeless_rows(isa, dtype, classes, rng):
    behind = np.array([5, 12, 17, 30, 80, 104, 500, 1e4], np.float64)
    x = rng.standard_normal((len(behind), classes))
    labels = rng.integers(0, classes, len(behind))
    x[np.arange(len(behind)), labels] = x.min(axis=1) - behind
    check_rows(x.astype(dtype), labels, f"{classes} classes")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("classes", [2, 5, 64, 65, 100])
def test_ties_and_near_ties(isa, dtype, classes, rng):
    tie = np.full(classes, 3.25, dtype)
    near = tie.copy()
    near[::2] = np.nextafter(near[::2], np.asarray(9, dtype))
    behind = tie.copy()
    behind[0] = np.nextafter(behind[0], np.asarray(0, dtype))
    two = np.full(classes, -20, dtype)
    two[:2] = 11.5
    x = np.stack([tie, near, near, behind, two, two])
    labels = np.array([classes - 1, 0, 1, 0, 1, classes - 1])
    check_rows(x, labels, f"{classes} classes")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("classes", [2, 7, 100])
def test_offsets_and_wide_ranges(isa, dtype, classes, rng):
    """Rows around large offsets, of a range of +-1e4, of tiny and of subnormal logits."""
    x = np.concatenate(
        [
            rng.standard_normal((4, classes)) + np.array([[1e3], [-1e3], [510.0], [-1e5]]),
            rng.uniform(-1e4, 1e4, (3, classes)),
            rng.standard_normal((2, classes)) * np.array([[1e-20], [1e-41]]),
            rng.standard_normal((3, classes)) * 40 + np.array([[500.0], [-2050.0], [2047.0]]),
        ]
    ).astype(dtype)
    check_rows(x, rng.integers(0, classes, len(x)), f"{classes} classes")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("classes", [3, 10, 100])
def test_rows_with_minus_infinity(isa, dtype, classes, rng):
    x = rng.standard_normal((6, classes)).astype(dtype)
    x[:, ::2] = -np.inf
    x[-1, 2:] = -np.inf  # a single class is left
    labels = np.ones(len(x), int)
    labels[0] = 0  # the loss of a class at -inf is inf
    check_rows(x, labels, f"{classes} classes")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("classes", [4, 17, 64, 65, 128, 1000])
def test_ordinary_rows(isa, dtype, classes, rng):
    n = max(4, 400 // classes)
    x = rng.standard_normal((n, classes)) * rng.choice([0.3, 2.0, 5.0], (n, 1))
    check_rows(x.astype(dtype), rng.integers(0, classes, n), f"{classes} classes")


@pytest.mark.parametrize("dtype", FLOATS)
def test_gradient_at_a_likely_class_that_is_not_the_label(isa, dtype):
    """p is close to 1 there, where an ulp is half of what A2 allows."""
    lead = np.linspace(0.2, 16, 80)
    x = np.stack([np.zeros_like(lead), lead, -1 - lead / 7], axis=1).astype(dtype)
    check_rows(x, np.zeros(len(x), int), "label 0")


@pytest.mark.parametrize("dtype", FLOATS)
def test_gradient_of_a_weighted_mean(isa, dtype, rng):
    """A2 speaks of the row's scale: weights and divisors round once more, but count in it."""
    x = (rng.standard_normal((60, 5)) * 4).astype(dtype)
    labels = rng.integers(0, 5, len(x))
    weight = rng.random(len(x)) + 0.1
    _, grad = xn.sparse_categorical_crossentropy_value_and_grad(
        labels, x, from_logits=True, sample_weight=weight, reduction="mean"
    )
    for row in range(len(x)):
        check_grad(grad[row], exact_row(x[row], labels[row])[1], dtype, f"row {row}", weight[row] / len(x))


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_million_classes(isa, dtype, rng):
    """Logits on 64 levels, so that mpmath needs 64 exponentials for a row."""
    classes = 1_000_000
    levels = np.sort(rng.standard_normal(64) * 3).astype(dtype)
    x = rng.integers(0, 64, (2, classes))
    labels = np.array([int(np.argmin(x[0])), int(np.argmax(x[1]))])
    logits = levels[x]
    loss, grad = xn.sparse_categorical_crossentropy_value_and_grad(labels, logits, from_logits=True)
    for row, label in enumerate(labels):
        counts = np.bincount(x[row], minlength=64)
        true_loss, true_grad = exact_row(levels, x[row, label], counts)
        check_loss(loss[row], true_loss, dtype, f"row {row}")
        seen = np.flatnonzero(counts)
        probability = [true_grad[i] + (1 if i == x[row, label] else 0) for i in seen]
        columns = [next(j for j in np.flatnonzero(x[row] == i) if j != label) for i in seen]
        check_grad(grad[row, columns], probability, dtype, f"row {row}")
        check_grad(grad[row, [label]], [true_grad[x[row, label]]], dtype, f"label of row {row}")


@pytest.mark.parametrize("small", ["float16", "bfloat16"])
def test_small_floats_are_computed_as_float32(isa, small, rng):
    """A4: exact to float32 arithmetic on the same values; only the gradient is rounded to the small type."""
    dtype = np.dtype(small) if small == "float16" else np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    x = (rng.standard_normal((40, 30)) * 4).astype(dtype)
    labels = rng.integers(0, 30, 40)
    for from_logits, given in ((True, x), (False, np.abs(x) + np.asarray(0.5, dtype))):
        call = xn.sparse_categorical_crossentropy_value_and_grad
        loss, grad = call(labels, given, from_logits)
        expected_loss, expected_grad = call(labels, given.astype(np.float32), from_logits)
        assert loss.dtype == np.float32
        assert grad.dtype == dtype
        assert loss.tobytes() == expected_loss.tobytes()
        assert grad.tobytes() == expected_grad.astype(dtype).tobytes()


def test_reduced_loss_of_float32_is_summed_in_float64(isa):
    """100,000 equal losses: float32 accumulation would be wrong in the third digit."""
    x = np.zeros((100_000, 3), np.float32)
    x[:, 0] = 1.5
    labels = np.zeros(len(x), np.int8)
    total = xn.sparse_categorical_crossentropy(labels, x, from_logits=True, reduction="sum")
    one = float(exact_row(x[0], 0)[0])
    assert isinstance(total, float)
    # The row's own sum of exponentials is float32: relative 2.4e-7.
    assert abs(total / (one * len(x)) - 1) < 2.4e-7
    # The sum adds at most half an ulp of float64 for each of 100,000 additions in a row.
    alone = xn.sparse_categorical_crossentropy(labels[:1], x[:1], from_logits=True, reduction="sum")
    assert abs(total / (alone * len(x)) - 1) < 100_000 * 2.0**-53


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="needs a long double of 64 bits")
@pytest.mark.parametrize("scale", [1, 600])
@pytest.mark.parametrize("axis", [0, 1])
def test_many_classes_in_float64_with_smoothing(isa, axis, scale, rng):
    """Sums over many classes carry their rounding errors, in both loop orders.

    Smoothed targets have the rounding of s / C, which is the same for all classes: it adds up to half an ulp of U,
    and as much in log S and in the sum of u (m - x). Twice A1 covers that.
    """
    classes, s = 20_000, 0.1
    x = rng.standard_normal((classes, 16)) * scale
    y = rng.integers(0, classes, x.shape[1])
    given = x if axis == 0 else np.ascontiguousarray(x.T)
    loss = xn.sparse_categorical_crossentropy(y, given, True, axis=axis, label_smoothing=s)
    wide = x.astype(np.longdouble)
    most = wide.max(axis=0)
    log_s = np.log(np.exp(wide - most).sum(axis=0))
    spread = np.longdouble(s) / classes
    at_label = (1 - np.longdouble(s)) * (most - wide[y, np.arange(x.shape[1])])
    exact = (log_s + at_label) + spread * (most - wide).sum(axis=0)
    assert np.all(np.abs(loss - exact) <= 8 * np.spacing(loss))
