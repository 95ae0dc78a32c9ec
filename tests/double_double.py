# SPDX-License-Identifier: BSD-3-Clause
"""Double-double arithmetic on arrays: a number is the unevaluated sum of two float64, good for about 31 digits.

The building blocks are error-free transformations (Knuth's two-sum, Dekker's product): they give the rounding error
of an operation exactly, as long as nothing overflows or becomes subnormal. A basic operation is then within a few
units of 2^-104. That is 2^50 times finer than what is measured with it, and takes about a second for a million
exponentials on any machine, where mpmath takes minutes. test_exact.py holds all of it against mpmath.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import factorial
from typing import NamedTuple

import numpy as np

# ln 2 in three parts. The first has 32 bits, so that a product with an integer below 2^20 is exact.
LN2 = (
    float.fromhex("0x1.62e42fee00000p-1"),
    float.fromhex("0x1.a39ef35793c76p-33"),
    float.fromhex("0x1.cc01f97b57a08p-87"),
)
SPLITTER = 2.0**27 + 1
BLOCK = 16_384  # elements at a time: the intermediate arrays of exp_parts() then stay in the cache
HALVINGS = 6  # exp_parts() takes its argument / 2^6


class DoubleDouble(NamedTuple):
    """hi + lo, where |lo| is at most half an ulp of hi."""

    hi: np.ndarray
    lo: np.ndarray

    def at(self, key) -> DoubleDouble:
        """Elements."""
        return DoubleDouble(self.hi[key], self.lo[key])


def constant(value: Fraction) -> DoubleDouble:
    hi = float(value)
    return DoubleDouble(np.float64(hi), np.float64(float(value - Fraction(hi))))


def of(value) -> DoubleDouble:
    value = np.asarray(value, np.float64)
    return DoubleDouble(value, np.zeros_like(value))


def two_sum(a, b) -> DoubleDouble:
    """a + b, exactly."""
    whole = a + b
    back = whole - a
    return DoubleDouble(whole, (a - (whole - back)) + (b - back))


def two_product(a, b) -> DoubleDouble:
    """a b, exactly."""
    whole = a * b
    a_hi = a * SPLITTER - (a * SPLITTER - a)
    b_hi = b * SPLITTER - (b * SPLITTER - b)
    a_lo, b_lo = a - a_hi, b - b_hi
    return DoubleDouble(whole, ((a_hi * b_hi - whole) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo)


def _normal(hi, lo) -> DoubleDouble:
    whole = hi + lo
    return DoubleDouble(whole, lo - (whole - hi))


def add(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble:
    high, low = two_sum(a.hi, b.hi), two_sum(a.lo, b.lo)
    first = _normal(high.hi, high.lo + low.hi)
    return _normal(first.hi, first.lo + low.lo)


def negative(a: DoubleDouble) -> DoubleDouble:
    return DoubleDouble(-a.hi, -a.lo)


def subtract(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble:
    return add(a, negative(b))


def multiply(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble:
    product = two_product(a.hi, b.hi)
    return _normal(product.hi, product.lo + (a.hi * b.lo + a.lo * b.hi))


def divide(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble:
    first = a.hi / b.hi
    rest = subtract(a, multiply(b, of(first)))
    second = rest.hi / b.hi
    rest = subtract(rest, multiply(b, of(second)))
    return add(two_sum(first, second), of(rest.hi / b.hi))


def scale(a: DoubleDouble, exponent) -> DoubleDouble:
    """a 2^exponent."""
    return DoubleDouble(np.ldexp(a.hi, exponent), np.ldexp(a.lo, exponent))


def total(a: DoubleDouble) -> DoubleDouble:
    """Sums along the last axis, by halves."""
    while a.hi.shape[-1] > 1:
        half = a.hi.shape[-1] // 2
        pairs = add(a.at((..., slice(half))), a.at((..., slice(half, 2 * half))))
        odd = a.at((..., slice(2 * half, None)))
        a = DoubleDouble(*(np.concatenate(parts, axis=-1) for parts in zip(pairs, odd, strict=True)))
    return a.at((..., 0))


def _exp_parts(a: DoubleDouble) -> tuple[DoubleDouble, np.ndarray]:
    k = np.rint(a.hi / LN2[0])
    r = add(two_sum(a.hi, -k * LN2[0]), of(a.lo))
    r = subtract(r, add(two_product(k, np.float64(LN2[1])), of(k * LN2[2])))
    r = scale(r, -HALVINGS)  # at most 0.0055
    # expm1(r) by its Taylor series. From r^7 / 7! on, float64 will do: these terms are below 2^-56 of the whole.
    tail = np.zeros_like(r.hi)
    for n in range(12, 6, -1):
        tail = (tail + 1.0 / factorial(n)) * r.hi
    value = of(tail)
    for n in range(6, 0, -1):
        value = multiply(add(value, constant(Fraction(1, factorial(n)))), r)
    for _ in range(HALVINGS):  # expm1(2 r) = 2 expm1(r) + expm1(r)^2
        value = add(scale(value, 1), multiply(value, value))
    return add(value, of(1.0)), k.astype(np.int64)


def exp_parts(a: DoubleDouble) -> tuple[DoubleDouble, np.ndarray]:
    """(m, k) with exp(a) = m 2^k and m in [0.7, 1.5], for finite |a| < 2^19."""
    hi, lo, k = np.empty(a.hi.size), np.empty(a.hi.size), np.empty(a.hi.size, np.int64)
    flat = DoubleDouble(np.ravel(a.hi), np.ravel(a.lo))
    for start in range(0, hi.size, BLOCK):
        part = slice(start, start + BLOCK)
        (hi[part], lo[part]), k[part] = _exp_parts(flat.at(part))
    shape = np.shape(a.hi)
    return DoubleDouble(hi.reshape(shape), lo.reshape(shape)), k.reshape(shape)


def log1p(z: DoubleDouble) -> DoubleDouble:
    """log(1 + z) for z >= 0, relative to the result however small z is."""
    return _where(z.hi < 1e-3, _log1p_small, _log1p_large, z)


def _log1p_small(z: DoubleDouble) -> DoubleDouble:
    s = divide(z, add(z, of(2.0)))  # log1p(z) = 2 atanh(s) = 2 (s + s^3 / 3 + ...), s < 5e-4
    square = multiply(s, s)
    value = of(np.zeros_like(z.hi))
    for n in (11, 9, 7, 5, 3):
        value = multiply(add(value, constant(Fraction(1, n))), square)
    return scale(add(s, multiply(value, s)), 1)


def _log1p_large(z: DoubleDouble) -> DoubleDouble:
    guess = np.log1p(z.hi)  # one step of Newton's method, to the second order
    mantissa, k = exp_parts(of(-guess))
    off = subtract(multiply(add(z, of(1.0)), scale(mantissa, k)), of(1.0))
    return add(of(guess), subtract(off, scale(multiply(off, off), -1)))


def _where(condition, if_true: Callable, if_false: Callable, a: DoubleDouble) -> DoubleDouble:
    """Each function on the elements that it is for."""
    hi, lo = np.empty_like(a.hi), np.empty_like(a.lo)
    for mask, function in ((condition, if_true), (~condition, if_false)):
        hi[mask], lo[mask] = function(a.at(mask))
    return DoubleDouble(hi, lo)
