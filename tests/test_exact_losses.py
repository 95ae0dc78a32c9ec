# SPDX-License-Identifier: BSD-3-Clause
"""exact_shapes.py and exact_binary.py against mpmath: they must be far more exact than what is measured with them."""

from __future__ import annotations

import exact_binary
import exact_shapes
import mpmath
import numpy as np
import pytest
from hard_rows import KINDS, hard_rows, soft_targets

# As in test_exact.py: relative to the terms, and coarser below 2^-960, where a low part has no digits.
PRECISION = 2.0**-80


@pytest.fixture(autouse=True)
def precision():
    with mpmath.workprec(400):
        yield


def assert_close(found, true, terms, where: str) -> None:
    value, rest = found
    allowed = PRECISION * float(terms) + 2.0**-50 * abs(float(true)) * (abs(true) < 2.0**-900) + 2.0**-1000
    assert abs(mpmath.mpf(float(value)) + mpmath.mpf(float(rest)) - true) <= allowed, where


def check(found, losses, grads, where: str) -> None:
    for i, loss in enumerate(losses):
        assert_close((found.loss[i], found.loss_rest[i]), loss, found.loss_terms[i], f"{where}, loss {i}")
        for c, slope in enumerate(grads[i]):
            parts = found.grad[i, c], found.grad_rest[i, c]
            assert_close(parts, slope, found.grad_terms[i, c], f"{where}, gradient {i}, {c}")


def numbers(row):
    return [mpmath.mpf(float(v)) for v in row]


def function(shape: str, c: float):
    """f(p), and -p f'(p), by the definition."""
    if shape == "poly1":
        return lambda p: -mpmath.log(p) + c * (1 - p), lambda p: 1 + c * p
    if c == 0:
        return lambda p: -mpmath.log(p), lambda p: mpmath.mpf(1)
    return (
        lambda p: -((1 - p) ** c) * mpmath.log(p),
        lambda p: (1 - p) ** c - c * p * (1 - p) ** (c - 1) * mpmath.log(p) if p != 1 else mpmath.mpf(0),
    )


@pytest.mark.parametrize(("shape", "c"), [("focal", 2.0), ("focal", 0.5), ("poly1", 2.0), ("poly1", -0.75)])
@pytest.mark.parametrize("kind", KINDS)
def test_from_logits(shape, c, kind):
    f, w = function(shape, c)
    for classes in (2, 5):
        x, labels = hard_rows(kind, 6, classes, "float32")
        hot = np.eye(classes)[labels]
        hot[np.isneginf(x)] = 0
        for u in (hot, soft_targets(x, "float32")):
            found = exact_shapes.from_logits(x, u, shape, c, "float32")
            losses, grads = [], []
            for row, targets in zip(x, map(numbers, u), strict=True):
                e = [mpmath.exp(v - mpmath.mpf(float(row.max()))) for v in numbers(row)]
                p = [v / mpmath.fsum(e) for v in e]
                v = [t * w(q) if t else mpmath.mpf(0) for t, q in zip(targets, p, strict=True)]
                mass = mpmath.fsum(v)
                losses.append(mpmath.fsum([t * f(q) for t, q in zip(targets, p, strict=True) if t]))
                grads.append([mass * q - one for q, one in zip(p, v, strict=True)])
            check(found, losses, grads, f"{classes} classes")


def test_poly1_of_a_row_next_to_certain():
    """epsilon (1 - p) is a third of the loss, however small."""
    for gap in (600.0, 702.5):
        found = exact_shapes.from_logits([[gap, 0.0]], [[1.0, 0.0]], "poly1", 2.0, "float64")
        assert found.loss[0] == pytest.approx(float(3 * mpmath.exp(-gap)), rel=1e-14, abs=0)


@pytest.mark.parametrize(("shape", "c"), [("focal", 2.0), ("poly1", 2.0), ("kl", 0.0)])
@pytest.mark.parametrize("epsilon", [0.0, 1e-3])
def test_from_probabilities(shape, c, epsilon, rng):
    y, t = rng.dirichlet([0.3] * 4, 12), rng.dirichlet([0.5] * 4, 12)
    y[0] *= 0.75
    small, large = mpmath.mpf(epsilon), 1 - mpmath.mpf(epsilon)
    found = exact_shapes.from_probabilities(y, t, shape, c, "float64", epsilon)
    losses, grads = [], []
    for row, targets in zip(map(numbers, y), map(numbers, t), strict=True):
        if shape == "kl":
            a, b = [max(v, small) for v in targets], [max(v, small) for v in row]
            losses.append(mpmath.fsum([i * mpmath.log(i / j) for i, j in zip(a, b, strict=True)]))
            grads.append([-i / v if v >= small else mpmath.mpf(0) for i, v in zip(a, row, strict=True)])
            continue
        f, w = function(shape, c)
        total = mpmath.fsum(row)
        q = [min(max(v / total, small), large) for v in row]
        v = [
            t * w(p) if small <= one / total <= large else mpmath.mpf(0)
            for t, p, one in zip(targets, q, row, strict=True)
        ]
        losses.append(mpmath.fsum([t * f(p) for t, p in zip(targets, q, strict=True)]))
        grads.append([mpmath.fsum(v) / total - i / j for i, j in zip(v, row, strict=True)])
    check(found, losses, grads, shape)


@pytest.mark.parametrize("gamma", [0, 2])
def test_binary(gamma, rng):
    x = np.concatenate([rng.standard_normal(20) * 30, [0.0, 1e-40, -1e-10, 68, -86, 300, -300, 1e4]])
    t = np.where(np.arange(len(x)) % 3 == 2, rng.random(len(x)), np.arange(len(x)) % 3)
    losses, grads = [], []
    for one, target in zip(numbers(x), numbers(t), strict=True):
        p, q = 1 / (1 + mpmath.exp(-one)), 1 / (1 + mpmath.exp(one))
        loss = target * mpmath.log1p(mpmath.exp(-one)) + (1 - target) * mpmath.log1p(mpmath.exp(one))
        slope, m = (1 - target) * p - target * q, target * q + (1 - target) * p
        bend = gamma * m ** (gamma - 1) * p * q * (1 - 2 * target) * loss if gamma else 0
        losses.append(m**gamma * loss)
        grads.append([m**gamma * slope + bend])
    check(exact_binary.from_logits(x, t, gamma, "float32"), losses, grads, f"gamma {gamma}")
