# SPDX-License-Identifier: BSD-3-Clause
"""What scoring says of predictions, and how it follows from the counts and exact sums of books.

Every figure is computed from integers and rounded once at its end, so that it has the same bits however the rows came.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from . import _core
from ._books import UNIT, Book, Cells

__all__ = ["Calibration", "CalibrationBin", "ClassScore", "LossHistogram", "Score", "WorstRow", "summarise"]

_NORMAL_QUANTILE = 1.959963984540054  # of 0.975: 95 % lie within so many standard errors
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_LEAST_OCTAVE = -40
_KEYS_PER_OCTAVE = 64
_KEYS_PER_BAR = 16  # of the histogram that is shown


@dataclass(frozen=True, slots=True)
class ClassScore:
    """What :class:`Score` says of the rows of one class.

    Attributes
    ----------
    support : int
        Rows with this label.
    weight : float
        The sum of their weights.
    mean_loss : float
        Their mean loss in nats; NaN if there are none.
    accuracy : float
        The share of them where this class has the largest prediction; NaN if there are none.
    calibration_error : float or None
        Expected calibration error of this class's probability over all rows; None unless it was asked for.
    """

    support: int
    weight: float
    mean_loss: float
    accuracy: float
    calibration_error: float | None = None


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Rows whose confidence lies in [low, high), in the last bin [low, 1].

    Attributes
    ----------
    low, high : float
        Where the bin begins and ends.
    rows : int
        How many rows it has.
    weight : float
        The sum of their weights.
    confidence, accuracy : float
        Their mean largest probability, and the share of them where that is the label's; NaN in an empty bin.
    """

    low: float
    high: float
    rows: int
    weight: float
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far confidence, the largest probability of a row, is from accuracy.

    Attributes
    ----------
    expected_error : float
        Expected calibration error: the mean over rows of ``|accuracy - confidence|`` of their equal-width bin
        (Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3). NaN without rows.
    maximum_error : float
        The largest such distance of a bin that has rows.
    equal_mass_error : float
        The expected error over bins of about as many rows each.
    classwise_error : float or None
        The mean over classes of the expected error of each class's probability (Kull et al. 2019); None unless
        it was asked for.
    equal_width, equal_mass : tuple of CalibrationBin
        Edges of the second lie on a fixed grid that is fine near 0 and 1: a bin may hold a little more or less
        than its share, and none where many rows have the same confidence.
    """

    expected_error: float
    maximum_error: float
    equal_mass_error: float
    classwise_error: float | None
    equal_width: tuple[CalibrationBin, ...]
    equal_mass: tuple[CalibrationBin, ...]


@dataclass(frozen=True, slots=True)
class LossHistogram:
    """How losses are distributed. Rows whose loss is NaN are not in it.

    Attributes
    ----------
    edges : tuple of float
        In nats, four bins an octave; as many as lie between the least and the largest bin that has rows. Empty
        without such rows.
    counts : tuple of float
        Weights in the bins, one fewer than edges.
    zero : float
        Weight of the rows whose loss is below 2^-40 (9.1e-13).
    above : float
        Weight of the rows whose loss is 1,024 or more.
    quantiles : dict of float to float
        Loss in nats by share of the weight: 0.01, 0.05, 0.25, 0.5, 0.75, 0.95 and 0.99. Within 1.6 % of the loss; 0 where
        it is below 2^-40, and infinite where it is 1,024 or more. Empty without rows.
    """

    edges: tuple[float, ...]
    counts: tuple[float, ...]
    zero: float
    above: float
    quantiles: dict[float, float]


@dataclass(frozen=True, slots=True)
class WorstRow:
    """One of the rows with the largest losses.

    Attributes
    ----------
    source : str
        Where the row is from: the name of a file, or what the caller gave.
    row : int
        Its number there, from 0.
    label, predicted : int
        Its label, and the class with the largest prediction.
    loss : float
        In nats.
    confidence : float
        The probability of the predicted class.
    """

    source: str
    row: int
    label: int
    predicted: int
    loss: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Score:
    """How good predictions are. Means are weighted where rows have weights.

    Attributes
    ----------
    rows : int
        Rows that count: all but the ignored and the skipped ones.
    ignored : int
        Rows whose label is `ignore_class`, or whose weight is 0.
    skipped : int
        Rows that could not be scored and were left out.
    weight : float
        The sum of the weights; the number of rows if there are none.
    classes : int
        Number of classes.
    mean_loss : float
        Mean cross-entropy of the rows in nats; NaN if there are none.
    standard_error : float
        Of the mean loss: ``sqrt(n / (n - 1) sum(w^2 (l - mean)^2)) / sum(w)`` over n rows (Cochran 1977,
        *Sampling Techniques*, 6.4). NaN below two rows, or where the mean is not finite.
    interval : tuple of (float, float)
        95 % interval of the mean loss: 1.96 standard errors to either side.
    mean_loss_bits : float
        The mean loss in bits.
    perplexity : float
        ``exp(mean_loss)``.
    accuracy : float
        The share of rows where the label has the largest prediction. Ties count for the lowest class.
    top_k : dict of int to float
        The share of rows where the label is among the k largest predictions, by k. Ties count for lower classes.
    brier : float
        Mean Brier score: the sum over classes of ``(p - [class is the label])^2`` (Brier 1950), in [0, 2].
    nan_rows : int
        Rows whose loss is NaN, because their predictions hold NaN or nothing finite. They make the mean
        loss and the Brier score NaN, count as wrong, and are in no bin.
    infinite_rows : int
        Rows whose loss is infinite.
    first_nan_row : int or None
        The first of the NaN rows, of the first source by name.
    calibration : Calibration
        Of the largest probability.
    per_class : tuple of ClassScore
        One for each class.
    confusion : tuple of tuple of float, or None
        Weights by label (rows) and predicted class (columns); None beyond `max_confusion` classes.
    histogram : LossHistogram
        Of the losses.
    worst : tuple of WorstRow
        Rows with the largest losses, the largest first; NaN aside.
    groups : dict of value to Score
        The same for the rows of each group, if rows were given groups.
    """

    rows: int
    ignored: int
    skipped: int
    weight: float
    classes: int
    mean_loss: float
    standard_error: float
    interval: tuple[float, float]
    mean_loss_bits: float
    perplexity: float
    accuracy: float
    top_k: dict[int, float]
    brier: float
    nan_rows: int
    infinite_rows: int
    first_nan_row: int | None
    calibration: Calibration
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[float, ...], ...] | None
    histogram: LossHistogram
    worst: tuple[WorstRow, ...]
    groups: dict[Any, Score]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: None for what is no finite number, text for keys."""
        values: dict[str, Any] = _plain(self)
        values["per_class"] = [{"class": k, **one} for k, one in enumerate(values["per_class"])]
        values["groups"] = [
            {"group": _plain(key), "score": one.to_dict()} for key, one in self.groups.items()
        ]
        return values


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        names = (field.name for field in dataclasses.fields(value) if field.name != "groups")
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class _Totals:
    """Sections of several books, added up. Weights, too, are integers in units of 2^-1074."""

    def __init__(self, books: Sequence[Book]) -> None:
        self._books = books

    def rows(self, name: str) -> list[int]:
        return [sum(items) for items in zip(*(book.count(name) for book in self._books), strict=True)]

    def sums(self, name: str) -> list[int]:
        return [sum(items) for items in zip(*(book.sums(name) for book in self._books), strict=True)]

    def weights(self, rows: str, weights: str) -> list[int]:
        """Each row of a book that is not weighted has the weight 1."""
        parts = [
            book.sums(weights) if book.shape.weighted else [UNIT * n for n in book.count(rows)]
            for book in self._books
        ]
        return [sum(items) for items in zip(*parts, strict=True)]


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
    if rows < 2 or not math.isfinite(mean) or sum(totals.rows("lost")):
        return math.nan
    # Of plain rows, w^2 l is l, and w^2 is 1.
    squares = totals.sums("loss_square")[0]
    products = sum((book.sums("weight_loss") or [sum(book.sums("loss"))])[0] for book in books)
    weight_squares = sum(
        (book.sums("weight_square") or [UNIT * sum(book.count("support"))])[0] for book in books
    )
    weight = sum(totals.weights("support", "weight"))
    exact = Fraction(sum(totals.sums("loss")), weight)
    spread = (squares - 2 * exact * products + exact * exact * weight_squares) * UNIT
    # Squares were rounded one by one, so that the spread of equal losses may come out a little below 0.
    variance = max(Fraction(0), spread) * rows / (rows - 1) / weight**2
    return math.sqrt(variance)


def _bins(
    edges: Sequence[float], member: np.ndarray, count: int, totals: dict[str, list[int]]
) -> tuple[tuple[CalibrationBin, ...], list[int]]:
    """Bins made of whole cells, and of each |hits - confidence|, both times the weight."""
    bins, gaps = [], []
    for b in range(count):
        inside = np.flatnonzero(member == b).tolist()
        rows, weight, hits, confidence = (
            sum(totals[name][i] for i in inside) for name in ("rows", "weight", "hits", "confidence")
        )
        low = edges[inside[0]] if inside else math.nan
        high = edges[inside[-1] + 1] if inside else math.nan
        gaps.append(abs(hits - confidence))
        bins.append(
            CalibrationBin(
                low, high, rows, _ratio(weight, UNIT), _ratio(confidence, weight), _ratio(hits, weight)
            )
        )
    return tuple(bins), gaps


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
    member, before = np.empty(len(cells.bin), np.int64), 0
    for i, mass in enumerate(used["weight"][: len(member)]):
        middle = 2 * before + mass
        member[i] = min(count - 1, middle * count // (2 * weight)) if weight else 0
        before += mass
    mass_bins, mass_gaps = _bins(edges, member, count, used)
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
    key, below = 0, 0
    for share in _QUANTILES:
        wanted = Fraction(share) * whole
        while below + weights[key] < wanted:
            below += weights[key]
            key += 1
        if key == 0:
            found[share] = 0.0
        elif key == _core.LOSS_OCTAVES * _KEYS_PER_OCTAVE + 1:
            found[share] = math.inf
        else:
            low, high = _key_edge(key), _key_edge(key + 1)
            found[share] = low + (high - low) * float((wanted - below) / weights[key])
    return found
