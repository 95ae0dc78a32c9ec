# SPDX-License-Identifier: BSD-3-Clause
"""Numbers as people read them: thousands separators, and no more digits than mean something."""

from __future__ import annotations

import math

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_DIGITS = 4  # significant ones, where no error says how many mean something


def decimals_for(error: float, most: int = 6) -> int | None:
    """How many decimals give a standard error two digits: more say nothing about the figure. None without an error."""
    if not (math.isfinite(error) and error > 0):
        return None
    return min(most, max(0, 1 - math.floor(math.log10(error))))


def number(value: float, decimals: int | None = None) -> str:
    """A figure: with so many decimals, or with four significant digits.

    >>> number(1234.5678), number(0.000012345), number(-0.5, 2), number(float("inf"))
    ('1,235', '1.235 × 10⁻⁵', '−0.50', '∞')
    """
    value = float(value)
    if math.isnan(value):
        return "NaN"
    sign = "−" if value < 0 else ""
    size = abs(value)
    if math.isinf(size):
        return sign + "∞"
    if size and (size < 1e-4 or size >= 1e15) and (decimals is None or float(f"{size:.{decimals}f}") == 0):
        mantissa, exponent = f"{size:.{_DIGITS - 1}e}".split("e")
        return f"{sign}{mantissa} × {power_of_ten(int(exponent))}"
    if decimals is None:
        decimals = max(0, _DIGITS - 1 - (math.floor(math.log10(size)) if size else _DIGITS - 1))
    text = f"{size:,.{decimals}f}"
    return text if text.strip("0.,") == "" else sign + text


def power_of_ten(exponent: int) -> str:
    """A power of ten with its exponent raised.

    >>> power_of_ten(-7)
    '10⁻⁷'
    """
    return f"10{str(exponent).translate(_SUPERSCRIPT)}"


def percent(share: float, decimals: int = 2) -> str:
    r"""A share in percent.

    >>> percent(0.97329), percent(1), percent(float("nan"))
    ('97.33\xa0%', '100\xa0%', '–')
    """
    if math.isnan(share):
        return "–"
    text = number(100 * share, decimals)
    return (
        "100" if share == 1 else "0" if share == 0 else text
    ) + "\u00a0%"  # which stays on the number's line


def count(value: float) -> str:
    """A number of rows, or their weight.

    >>> count(1797), count(12.5), count(2e6)
    ('1,797', '12.50', '2,000,000')
    """
    value = float(value)
    if value.is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return number(value)


def short_count(value: float) -> str:
    """A number of rows where there is little room.

    >>> short_count(973), short_count(1797), short_count(2.5e6), short_count(0.5)
    ('973', '1.8k', '2.5M', '0.5')
    """
    if not math.isfinite(value):
        return number(value)
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{value / size:.1f}{unit}" if value < 9.95 * size else f"{value / size:.0f}{unit}"
    return f"{value:.0f}" if float(value).is_integer() or value >= 10 else f"{value:.2g}"


def plural(value: int, one: str, many: str | None = None) -> str:
    """A number with its noun.

    >>> plural(1, "row"), plural(2000, "row"), plural(3, "class", "classes")
    ('1 row', '2,000 rows', '3 classes')
    """
    return f"{count(value)} {one if value == 1 else many or one + 's'}"
