# SPDX-License-Identifier: BSD-3-Clause
"""What the charts of page and matplotlib show: figures worked out from a Score, in one place for both."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..accumulate import CalibrationBin, LossAccumulator, LossHistogram, Score

Z = 1.959963984540054  # the 0.975 quantile of the normal distribution: 95 % intervals

_MOST_BARS = 44  # of a histogram: bars that a phone can still tell apart


def as_score(result: Any) -> Score:
    """The Score of a result, which may be a LossAccumulator."""
    if isinstance(result, LossAccumulator):
        return result.result()
    if isinstance(result, Score):
        return result
    raise TypeError(f"result must be a Score or a LossAccumulator; got {type(result).__name__}")


def namer(class_names: Any, classes: int) -> Callable[[int], str]:
    """A function from class indices to names; without names these are the indices."""
    if class_names is None:
        return str
    if isinstance(class_names, Mapping):
        return lambda k: str(class_names.get(k, k))
    if isinstance(class_names, str | bytes) or not isinstance(class_names, Iterable):
        raise TypeError(
            "class_names must be a sequence with one name a class, or a mapping of indices to names; "
            f"got {type(class_names).__name__}"
        )
    names = list(map(str, class_names))
    if len(names) != classes:
        raise ValueError(f"class_names must have one name for each of {classes} classes; got {len(names)}")
    return names.__getitem__


def unweighted(score: Score) -> bool:
    """Whether all weights are 1, as far as the sums tell: intervals from counts mean something only then."""
    parts = (*score.calibration.equal_width, *score.calibration.equal_mass)
    return score.weight == score.rows and all(b.weight == b.rows for b in parts)


def wilson(share: float, rows: int) -> tuple[float, float]:
    """The 95 % interval of a share that was counted in so many rows (Wilson 1927), which stays within [0, 1].

    >>> low, high = wilson(0.5, 100)
    >>> round(low, 4), round(high, 4)
    (0.4038, 0.5962)
    """
    if not rows or math.isnan(share):
        return math.nan, math.nan
    z2 = Z * Z / rows
    middle = (share + z2 / 2) / (1 + z2)
    half = Z * math.sqrt(share * (1 - share) / rows + z2 / (4 * rows)) / (1 + z2)
    return (middle - half if share > 0 else 0.0), (middle + half if share < 1 else 1.0)


def filled(bins: Sequence[CalibrationBin]) -> list[CalibrationBin]:
    """The bins that have a mean confidence and accuracy."""
    return [b for b in bins if b.weight > 0 and math.isfinite(b.confidence) and math.isfinite(b.accuracy)]


def confidence_gap(bins: Sequence[CalibrationBin]) -> float:
    """Mean confidence minus accuracy over all bins: above 0 where predictions promise too much."""
    known = filled(bins)
    weight = math.fsum(b.weight for b in known)
    return math.fsum(b.weight * (b.confidence - b.accuracy) for b in known) / weight if weight else math.nan


@dataclass(frozen=True, slots=True)
class Bars:
    """A histogram of losses with few enough bars to be seen; shares are those of all weight."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    zero: float
    above: float


def loss_bars(histogram: LossHistogram, most: int = _MOST_BARS) -> Bars:
    """The range that holds losses, with neighbouring bins added up until there are at most `most`."""
    counts, edges = histogram.counts, histogram.edges
    total = math.fsum((*counts, histogram.zero, histogram.above))
    used = [i for i, c in enumerate(counts) if c > 0]
    if not used or not total > 0:
        return Bars((), (), _share(histogram.zero, total), _share(histogram.above, total))
    first, last = used[0], used[-1] + 1
    step = -(-(last - first) // most)
    first -= first % step  # edges stay where they are when a run adds losses at either end
    last = min(len(counts), -(-last // step) * step)
    starts = range(first, last, step)
    ends = [min(i + step, last) for i in starts]
    return Bars(
        tuple(edges[i] for i in (*starts, ends[-1])),
        tuple(math.fsum(counts[i:j]) / total for i, j in zip(starts, ends, strict=True)),
        histogram.zero / total,
        histogram.above / total,
    )


def _share(part: float, total: float) -> float:
    return part / total if total > 0 else 0.0


def total_loss(mean: float, weight: float) -> float:
    """The loss of a class or group; without rows it has none."""
    return mean * weight if weight > 0 else 0.0


def most_loss(score: Score, most: int) -> list[int]:
    """The classes with the largest sum of losses, largest first; NaN goes before all, and ties to the lower class."""

    def rank(k: int) -> tuple[float, int]:
        loss = total_loss(score.per_class[k].mean_loss, score.per_class[k].weight)
        return (-math.inf if math.isnan(loss) else -loss, k)

    return sorted(range(len(score.per_class)), key=rank)[:most]


@dataclass(frozen=True, slots=True)
class Mistake:
    """Rows of one class that were taken for another."""

    label: int
    predicted: int
    weight: float
    share: float  # of the label's weight


def mistakes(confusion: Sequence[Sequence[float]], most: int) -> list[Mistake]:
    """The heaviest entries beside the diagonal of a confusion matrix."""
    found = [
        Mistake(i, j, w, w / total)
        for i, row in enumerate(confusion)
        if (total := math.fsum(row)) > 0
        for j, w in enumerate(row)
        if i != j and w > 0
    ]
    return sorted(found, key=lambda m: (-m.weight, m.label, m.predicted))[:most]
