#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Prints the polynomial coefficients of kernels/vmath.h and kernels/finish.h.

    python src/coefficients.py        (needs mpmath)

Every polynomial is the Chebyshev interpolant of the function divided by the leading terms that the
kernel adds exactly, rounded to the type it is used in. The last column is the largest relative error
of the whole approximation over its interval, evaluated with 60 digits and rounded coefficients: the
error of the formula alone, before the rounding of its arithmetic.
"""

import struct

import mpmath as mp

mp.mp.dps = 60

HALF_LN2 = mp.log(2) / 2 * mp.mpf("1.0001")  # a little wider: the rounded quotient may miss by an ulp
SQRT_HALF = mp.sqrt(mp.mpf(1) / 2)


def as_float32(value):
    return struct.unpack("f", struct.pack("f", float(value)))[0]


def exp_tail(r):
    """(exp(r) - 1 - r) / r^2: what is left after the two terms with exact coefficients."""
    if abs(r) < mp.mpf("1e-12"):
        return mp.mpf(1) / 2 + r / 6
    return (mp.exp(r) - 1 - r) / r**2


def log1p_tail(f):
    """(log(1 + f) - f + f^2 / 2) / f^3."""
    if abs(f) < mp.mpf("1e-10"):
        return mp.mpf(1) / 3 - f / 4
    return (mp.log(1 + f) - f + f**2 / 2) / f**3


def log1p_unit_tail(e):
    """(log(1 + e) - e) / e^2."""
    if abs(e) < mp.mpf("1e-12"):
        return -mp.mpf(1) / 2 + e / 3
    return (mp.log(1 + e) - e) / e**2


def atanh_tail(w):
    """R(w) / w with log(1 + f) = f - (f^2 / 2 - s (f^2 / 2 + R)), s = f / (2 + f), w = s^2."""
    if w < mp.mpf("1e-12"):
        return mp.mpf(2) / 3 + 2 * w / 5
    s = mp.sqrt(w)
    return (mp.log((1 + s) / (1 - s)) / s - 2) / w


def fit(function, interval, degree, rounding):
    """Chebyshev interpolant, highest power first, each coefficient rounded to its type."""
    return [rounding(c) for c in mp.chebyfit(function, interval, degree + 1)]


def worst(exact, approximate, interval, points=4001):
    low, high = interval
    grid = (low + (high - low) * i / (points - 1) for i in range(points))
    return max(abs(approximate(v) / exact(v) - 1) for v in grid if abs(v) > mp.mpf("1e-9"))


def show(title, coefficients, error):
    print(f"{title}  (relative error {mp.nstr(error, 3)})")
    for c in coefficients:
        print(f"    {float(c).hex()}")


def main():
    for name, degree, rounding in (("float32", 4, as_float32), ("float64", 9, float)):
        interval = [-HALF_LN2, HALF_LN2]
        c = fit(exp_tail, interval, degree, rounding)
        error = worst(mp.exp, lambda r, c=c: 1 + r + r**2 * mp.polyval(c, r), interval)
        show(f"exp, {name}: 1 + r + r^2 P(r)", c, error)

    interval = [SQRT_HALF - 1, 2 * SQRT_HALF - 1]
    c = fit(log1p_tail, interval, 7, as_float32)
    error = worst(
        lambda f: mp.log(1 + f),
        lambda f: f - f**2 / 2 + f**3 * mp.polyval(c, f),
        interval,
    )
    show("log1p, float32: f - f^2 / 2 + f^3 P(f)", c, error)

    c = fit(log1p_unit_tail, [0, 1], 8, as_float32)
    error = worst(lambda e: mp.log(1 + e), lambda e: e + e**2 * mp.polyval(c, e), [0, 1])
    show("log1p on [0, 1], float32: e + e^2 P(e)", c, error)

    top = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2
    a = fit(atanh_tail, [0, top], 6, float)

    def log1p_by_atanh(f):
        s = f / (2 + f)
        half = f**2 / 2
        return f - (half - s * (half + s**2 * mp.polyval(a, s**2)))

    error = worst(lambda f: mp.log(1 + f), log1p_by_atanh, interval)
    show("log1p, float64, with one division: R(w) / w", a, error)

    for name, bits, rounding in (("float32", 12, as_float32), ("float64", 32, float)):
        high = mp.floor(mp.log(2) * 2**bits) / 2**bits
        show(f"ln 2 in two parts, {name}", [high, rounding(mp.log(2) - high)], mp.mpf(0))
    show("1 / ln 2", [1 / mp.log(2)], mp.mpf(0))


if __name__ == "__main__":
    main()
