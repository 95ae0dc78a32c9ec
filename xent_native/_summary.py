# SPDX-License-Identifier: BSD-3-Clause
"""From the counts and exact sums of books to a Score.

Every figure is computed from integers and rounded once at its end, so that it has the same bits however the rows came.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from . import _core
from ._books import UNIT, Book, Cells
from ._score import Calibration, CalibrationBin, ClassScore, LossHistogram, Score, WorstRow

__all__ = ["empty_score", "summarise"]

_NORMAL_QUANTILE = 1.959963984540054  # of 0.975: 95 % lie within so many standard errors
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_LEAST_OCTAVE = -40
_KEYS_PER_OCTAVE = 64
_KEYS_PER_BAR = 16  # of the histogram that is shown


class _Totals:
    """Sections of several books, added up. Weights, too, are integers in units of 2^-1074."""

    def __init__(self, books: Sequence[Book]) -> None:
        self._books = books

        self._sums: dict[str, list[int]] = {}

    def rows(self, name: str) -> list[int]:
        return _added([book.count(name) for book in self._books])

    def sums(self, name: str) -> list[int]:
        if name not in self._sums:
            self._sums[name] = _added([book.sums(name) for book in self._books])
        return self._sums[name]

    def weights(self, rows: str, weights: str) -> list[int]:
        """Each row of a book that is not weighted has the weight 1."""
        parts = [
            book.sums(weights) if book.shape.weighted else [n and UNIT * n for n in book.count(rows)]
            for book in self._books
        ]
        return _added(parts)


def _added(parts: Sequence[list[int]]) -> list[int]:
    """Item by item."""
    return parts[0] if len(parts) == 1 else [sum(items) for items in zip(*parts, strict=True)]


def summarise(
    books: Sequence[Book],
    cells: Cells,
    *,
    top_k: Sequence[int],
    ignored: int,
    skipped: int,
    first_nan: tuple[str, int] | None,
    worst: Sequence[WorstRow],
    groups: dict[Any, Score],
) -> Score:
    """Figures of all rows in some books, at least one, which differ in nothing but their being weighted."""
    totals = _Totals(books)
    shape = books[0].shape
    support, nans, infinite = (totals.rows(name) for name in ("support", "nans", "infinite"))
    weights = totals.weights("support", "weight")
    losses, hits = totals.sums("loss"), totals.weights("hits", "hit_weight")
    weight = sum(weights)
    mean = _mean(sum(losses), weight, sum(nans), sum(infinite))
    error = _standard_error(books, totals, mean)
    calibration, per_class_errors = _calibration(totals, cells, shape.classes, shape.class_bins, weight)
    ranks = totals.weights("ranks", "rank_weight")
    margin = _NORMAL_QUANTILE * error
    return Score(
        rows=sum(support),
        ignored=ignored,
        skipped=skipped,
        weight=_ratio(weight, UNIT),
        classes=shape.classes,
        mean_loss=mean,
        standard_error=error,
        interval=(mean - margin, mean + margin),
        mean_loss_bits=mean / math.log(2),
        perplexity=_exp(mean),
        accuracy=_ratio(sum(hits), weight),
        top_k={k: _ratio(sum(ranks[:k]), weight) for k in top_k},
        brier=math.nan if sum(nans) else _ratio(totals.sums("brier")[0], weight),
        nan_rows=sum(nans),
        infinite_rows=sum(infinite),
        first_nan_row=None if first_nan is None else first_nan[1],
        calibration=calibration,
        per_class=tuple(
            ClassScore(
                n,
                _ratio(w, UNIT),
                _mean(loss, w, nan, inf),
                _ratio(right, w),
                per_class_errors[k] if per_class_errors else None,
            )
            for k, (n, w, loss, nan, inf, right) in enumerate(
                zip(support, weights, losses, nans, infinite, hits, strict=True)
            )
        ),
        confusion=_confusion(totals, shape.classes) if shape.has_confusion else None,
        histogram=_histogram(totals),
        worst=tuple(worst),
        groups=groups,
    )


def empty_score(ignored: int, skipped: int, classes: int = 0) -> Score:
    """What is to be said of no rows."""
    nan = math.nan
    return Score(
        rows=0, ignored=ignored, skipped=skipped, weight=0.0, classes=classes, mean_loss=nan, standard_error=nan,
        interval=(nan, nan), mean_loss_bits=nan, perplexity=nan, accuracy=nan, top_k={}, brier=nan, nan_rows=0,
        infinite_rows=0, first_nan_row=None, calibration=Calibration(nan, nan, nan, None, (), ()), per_class=(),
        confusion=None, histogram=LossHistogram((), (), 0.0, 0.0, {}), worst=(), groups={},
    )  # fmt: skip


def _ratio(value: int, whole: int) -> float:
    """Correctly rounded; NaN of nothing."""
    if not whole:
        return math.nan
    try:
        return value / whole
    except OverflowError:
        return math.inf


def _mean(total: int, weight: int, nans: int, infinite: int) -> float:
    if nans:
        return math.nan
    return math.inf if infinite else _ratio(total, weight)


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _standard_error(books: Sequence[Book], totals: _Totals, mean: float) -> float:
    rows = sum(totals.rows("support"))
    if rows < 2 or not math.isfinite(mean) or any(totals.rows("lost")):
        return math.nan
    # Of plain rows, w^2 l is l, and w^2 is 1.
    squares = totals.sums("loss_square")[0]
    products = sum((book.sums("weight_loss") or [sum(book.sums("loss"))])[0] for book in books)
    weight_squares = sum(
        (book.sums("weight_square") or [UNIT * sum(book.count("support"))])[0] for book in books
    )
    if mean and min(squares, products, weight_squares) < rows << 50:
        return math.nan  # so small that a unit of rounding in each would show
    weight = sum(totals.weights("support", "weight"))
    exact = Fraction(sum(totals.sums("loss")), weight)
    spread = (squares - 2 * exact * products + exact * exact * weight_squares) * UNIT
    # Squares were rounded one by one, so that the spread of equal losses may come out a little below 0.
    return _root(max(Fraction(0), spread) * rows / (rows - 1) / weight**2)


def _root(square: Fraction) -> float:
    """The square root of a number that may lie beyond the range of a double, though its root does not."""
    half = (square.numerator.bit_length() - square.denominator.bit_length()) // 2
    try:
        return math.ldexp(math.sqrt(square / Fraction(4) ** half), half)
    except OverflowError:
        return math.inf


def _bins(
    edges: Sequence[float], member: np.ndarray, count: int, totals: dict[str, list[int]]
) -> tuple[tuple[CalibrationBin, ...], list[int]]:
    """Bins made of whole cells, and of each |hits - confidence|, both times the weight."""
    bins, gaps = [], []
    places = np.searchsorted(member, np.arange(count + 1)).tolist()  # members ascend
    for first, end in itertools.pairwise(places):
        rows, weight, hits, confidence = (
            sum(filter(None, totals[name][first:end])) for name in ("rows", "weight", "hits", "confidence")
        )
        low = edges[first] if end > first else math.nan
        high = edges[end] if end > first else math.nan
        gaps.append(abs(hits - confidence))
        bins.append(
            CalibrationBin(
                low, high, rows, _ratio(weight, UNIT), _ratio(confidence, weight), _ratio(hits, weight)
            )
        )
    return tuple(bins), gaps


def _equal_mass(weights: Sequence[int], count: int) -> np.ndarray:
    """To which of `count` bins of about equal weight each cell belongs: by the middle of its weight."""
    member, before, whole, now = np.empty(len(weights), np.int64), 0, sum(weights), 0
    for i, mass in enumerate(weights):
        if mass or not i or weights[i - 1]:  # the same for cells that nothing lies between
            now = min(count - 1, (2 * before + mass) * count // (2 * whole)) if whole else 0
        member[i] = now
        before += mass
    return member


def _calibration(
    totals: _Totals, cells: Cells, classes: int, class_bins: int, all_weight: int
) -> tuple[Calibration, list[float]]:
    used = {
        "rows": totals.rows("cell_rows"),
        "weight": totals.weights("cell_rows", "cell_weight"),
        "hits": totals.weights("cell_hits", "cell_hit_weight"),
        "confidence": totals.sums("cell_confidence"),
    }
    weight = sum(used["weight"])
    count = int(cells.bin[-1]) + 1
    edges = cells.edges.tolist()
    wide, wide_gaps = _bins(edges, cells.bin, count, used)
    mass_bins, mass_gaps = _bins(edges, _equal_mass(used["weight"][: len(cells.bin)], count), count, used)
    errors = _classwise(totals, classes, class_bins, all_weight)
    distances = [abs(b.accuracy - b.confidence) for b in wide if b.rows]
    return (
        Calibration(
            expected_error=_ratio(sum(wide_gaps), weight),
            maximum_error=max(distances, default=math.nan),
            equal_mass_error=_ratio(sum(mass_gaps), weight),
            classwise_error=math.fsum(errors) / classes if errors else None,
            equal_width=wide,
            equal_mass=tuple(b for b in mass_bins if b.rows),
        ),
        errors,
    )


def _classwise(totals: _Totals, classes: int, bins: int, weight: int) -> list[float]:
    if not bins:
        return []
    hits = totals.weights("class_hits", "class_hit_weight")
    confidence = totals.sums("class_confidence")
    gaps = [abs(h - c) for h, c in zip(hits, confidence, strict=True)]
    return [_ratio(sum(gaps[k * bins : (k + 1) * bins]), weight) for k in range(classes)]


def _confusion(totals: _Totals, classes: int) -> tuple[tuple[float, ...], ...]:
    items = [_ratio(w, UNIT) for w in totals.weights("confusion", "confusion_weight")]
    return tuple(tuple(items[k * classes : (k + 1) * classes]) for k in range(classes))


def _key_edge(key: int) -> float:
    """Where fine bin `key` of the losses, from 1, begins."""
    octave, part = divmod(key - 1, _KEYS_PER_OCTAVE)
    return math.ldexp(1 + part / _KEYS_PER_OCTAVE, _LEAST_OCTAVE + octave)


def _histogram(totals: _Totals) -> LossHistogram:
    weights = totals.weights("losses", "losses_weight")
    last = len(weights) - 1  # what is beyond the highest edge
    bars = [sum(weights[i : i + _KEYS_PER_BAR]) for i in range(1, last, _KEYS_PER_BAR)]
    used = [i for i, mass in enumerate(bars) if mass]
    first, end = (used[0], used[-1] + 1) if used else (0, 0)
    return LossHistogram(
        edges=tuple(_key_edge(1 + i * _KEYS_PER_BAR) for i in range(first, end + 1)) if used else (),
        counts=tuple(_ratio(mass, UNIT) for mass in bars[first:end]),
        zero=_ratio(weights[0], UNIT),
        above=_ratio(weights[last], UNIT),
        quantiles=_quantiles(weights),
    )


def _quantiles(weights: list[int]) -> dict[float, float]:
    whole, found = sum(weights), {}
    if not whole:
        return {}
    filled = iter([(key, mass) for key, mass in enumerate(weights) if mass])
    below, (key, mass) = 0, next(filled)
    for share in _QUANTILES:
        part, of = share.as_integer_ratio()
        while (below + mass) * of < part * whole:
            below += mass
            key, mass = next(filled)
        if key == 0:
            found[share] = 0.0
        elif key == _core.LOSS_OCTAVES * _KEYS_PER_OCTAVE + 1:
            found[share] = math.inf
        else:
            low, high = _key_edge(key), _key_edge(key + 1)
            found[share] = low + (high - low) * ((part * whole - below * of) / (mass * of))
    return found
