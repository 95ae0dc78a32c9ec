# SPDX-License-Identifier: BSD-3-Clause
"""What scoring says of predictions."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

__all__ = ["Calibration", "CalibrationBin", "ClassScore", "LossHistogram", "Score", "WorstRow"]


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
        Loss in nats by share of the weight: 0.01, 0.05, 0.25, 0.5, 0.75, 0.95 and 0.99. Within 1.6 % of the loss;
        0 where it is below 2^-40, and infinite where it is 1,024 or more. Empty without rows.
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
        *Sampling Techniques*, 6.4). NaN below two rows, or where the mean is not finite,
        or squares lie beyond the range of a double.
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
