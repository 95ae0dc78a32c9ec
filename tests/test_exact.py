# SPDX-License-Identifier: BSD-3-Clause
"""The double-double reference against mpmath: it must be far more exact than what is measured with it."""

from __future__ import annotations

import double_double as dd
import exact
import mpmath
import numpy as np
import pytest
from hard_rows import KINDS, hard_rows, soft_targets

# float64 results are measured to 2e-13 and to 4 ulp. An error of 2^-80 in the reference changes neither in the
# first eight digits; double-double arithmetic gives about 2^-98 here.
PRECISION = 2.0**-80


def relative_error(actual: dd.DoubleDouble, true) -> float:
    value = mpmath.mpf(float(actual.hi)) + mpmath.mpf(float(actual.lo))
    return float(abs(value - true) / abs(true)) if true else float(abs(value))


def assert_close(actual: dd.DoubleDouble, true, message: str) -> None:
    # What is below the normal numbers has fewer digits; and the low part of what is below 2^-960 is.
    if abs(true) < 2.0**-960:
        assert relative_error(actual, true) < 2.0**-50 or abs(true) < 2.0**-1020, message
    else:
        assert relative_error(actual, true) < PRECISION, message


@pytest.fixture(autouse=True)
def precision():
    with mpmath.workprec(240):
        yield


def test_operations(rng):
    a = dd.two_sum(rng.standard_normal(200), rng.standard_normal(200) * 2.0**-54)
    b = dd.two_sum(rng.standard_normal(200) * 1e3, rng.standard_normal(200) * 2.0**-50)
    for name, operation in (
        ("add", dd.add),
        ("subtract", dd.subtract),
        ("multiply", dd.multiply),
        ("divide", dd.divide),
    ):
        result = operation(a, b)
        for i in range(200):
            one = mpmath.mpf(a.hi[i]) + mpmath.mpf(a.lo[i])
            two = mpmath.mpf(b.hi[i]) + mpmath.mpf(b.lo[i])
            true = {"add": one + two, "subtract": one - two, "multiply": one * two, "divide": one / two}[name]
            assert_close(result.at(i), true, f"{name}: {one}, {two}")


def test_exp(rng):
    a = dd.two_sum(-(10 ** rng.uniform(-20, 4, 500)), rng.standard_normal(500) * 1e-20)
    mantissa, k = dd.exp_parts(a)
    for i in range(500):
        true = mpmath.exp(mpmath.mpf(a.hi[i]) + mpmath.mpf(a.lo[i]))
        assert_close(mantissa.at(i), mpmath.ldexp(true, -int(k[i])), f"exp({a.hi[i]})")


def test_log1p(rng):
    z = dd.two_sum(10 ** rng.uniform(-290, 7, 500), np.zeros(500))
    z.hi[:4] = 0, 1e-3, np.nextafter(1e-3, 0), 1
    value = dd.log1p(z)
    for i in range(500):
        assert_close(value.at(i), mpmath.log1p(mpmath.mpf(z.hi[i])), f"log1p({z.hi[i]})")


def test_total(rng):
    for n in (1, 2, 3, 64, 1001):
        values = rng.standard_exponential((2, n)) * 10 ** rng.uniform(-20, 20, (2, n))
        sums = dd.total(dd.of(values))
        for row in range(2):
            assert_close(sums.at(row), mpmath.fsum(map(mpmath.mpf, values[row])), f"{n} values")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_rows(kind, dtype):
    for classes in (2, 3, 40):
        x, labels = hard_rows(kind, 12, classes, dtype)
        u = soft_targets(x, dtype)
        one, soft = exact.sparse(x, labels), exact.dense(x, u)
        for row in range(len(x)):
            check_row(x[row], int(labels[row]), u[row], (one, soft), row, f"{classes} classes, row {row}")


def check_row(x, label, u, results, row, message):
    sparse, dense = results
    values = [mpmath.mpf(float(v)) for v in x]
    weights = [mpmath.mpf(float(v)) for v in u]
    most = max(values)
    e = [mpmath.exp(v - most) for v in values]
    s = mpmath.fsum(e)
    # 240 bits have room for 1 + exp(-100); and log(s) is exact to 72 digits, where a loss of 1e-44 needs 28.
    loss = mpmath.log(s) + (most - values[label])
    if mpmath.isinf(loss):
        assert sparse.loss.hi[row] == np.inf, message
    else:
        assert_close(sparse.loss.at(row), loss, f"{message}: loss")
    for c in range(len(x)):
        without = mpmath.fsum([v for j, v in enumerate(e) if j != c])
        assert_close(
            sparse.grad.at((row, c)), -without / s if c == label else e[c] / s, f"{message}: class {c}"
        )
    mass = mpmath.fsum(weights)
    terms = [w * (most - v) for w, v in zip(weights, values, strict=True) if w]
    assert_close(dense.loss.at(row), mass * mpmath.log(s) + mpmath.fsum(terms), f"{message}: dense loss")
    for c in range(len(x)):
        # A difference: its error is relative to its terms.
        value = mpmath.mpf(dense.grad.hi[row, c]) + mpmath.mpf(dense.grad.lo[row, c])
        true = mass * e[c] / s - weights[c]
        assert abs(value - true) <= PRECISION * float(mass * e[c] / s + weights[c]) + 2.0**-1000, message
    assert dense.mass[row] == float(mass)
