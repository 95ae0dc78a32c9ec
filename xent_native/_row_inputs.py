# SPDX-License-Identifier: BSD-3-Clause
"""The arrays of an update of a LossAccumulator, checked before anything is added."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _options, _problem
from ._data_errors import DataError, DataTypeError, LabelError

_MOST_RANKS = 1 << 16
_MOST_GROUP = (1 << 64) - 1
_MOST_ROWS = 1 << 28  # that are scored at a time


@dataclass(frozen=True, slots=True)
class Names:
    """What an error calls the arrays of an update, and the number of their first row."""

    predictions: str = "y_pred"
    labels: str = "y_true"
    weights: str = "sample_weight"
    first: int = 0


def ranks(value: Any) -> tuple[int, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"top_k must be a sequence of integers; got {_options.shown(value)}")
    return tuple(sorted({_options.count("top_k", k, 1, _MOST_RANKS) for k in value}))


def text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str; got {_options.shown(value)}")
    return str(value)


def predictions(value: Any, classes: int | None, names: Names) -> np.ndarray:
    try:
        x, _ = _problem.prediction(value, names.predictions)
    except TypeError as error:
        if isinstance(value, np.ndarray) and type(value) is np.ndarray:
            raise DataTypeError(str(error)) from None
        raise
    if x.ndim != 2:
        raise DataError(f"{names.predictions} must have shape (rows, classes); got {x.shape}")
    if x.shape[1] == 0 or x.shape[1] >= 1 << 31:
        raise DataError(f"{names.predictions} must have from 1 to 2^31 - 1 classes; got shape {x.shape}")
    if classes is not None and x.shape[1] != classes:
        raise DataError(f"{names.predictions} must have {classes} classes; got shape {x.shape}")
    if len(x) > _MOST_ROWS:
        raise DataError(f"{names.predictions} must have at most {_MOST_ROWS} rows at a time; got {len(x)}")
    return _problem.passable(x, 1)


def labels(value: Any, x: np.ndarray, names: Names) -> np.ndarray:
    try:
        label = _problem.integers(names.labels, value)
    except TypeError as error:
        if type(value) is np.ndarray:
            raise DataTypeError(str(error)) from None
        raise
    if label.shape not in ((len(x),), (len(x), 1)):
        raise DataError(
            f"{names.labels} must have shape ({len(x)},), one for each row of {names.predictions}; got {label.shape}"
        )
    return np.require(label.reshape(len(x)), requirements=("C", "A"))  # what comes over a wire lies anywhere


def weights(value: Any, rows: int, names: Names) -> np.ndarray | None:
    if value is None:
        return None
    weight = _problem.as_array(names.weights, value)
    if weight.shape not in ((rows,), (rows, 1)):
        raise DataError(f"{names.weights} must have shape ({rows},), one for each row; got {weight.shape}")
    weight = np.require(weight.reshape(rows), np.float64, ("C", "A"))
    wrong = ~((weight >= 0) & (weight < np.inf))
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{names.weights} must hold finite numbers of at least 0; got {weight[row]} at row {names.first + row}"
        )
    return weight


def label_error(names: Names, row: int, value: int, classes: int, ignored: int | None) -> LabelError:
    """What is said of a label that is no class."""
    allowed = f"[0, {classes})"
    if ignored is not None:
        allowed += f" or equal ignore_class={_options.shown(ignored)}"
    return LabelError(f"{names.labels}: labels must lie in {allowed}; got {value} at row {names.first + row}")


def negative_error(names: Names, row: int, value: Any) -> DataError:
    """What is said of logits that are taken for probabilities: their score would mean nothing."""
    return DataError(
        f"{names.predictions}: row {names.first + row} holds {value}, which is no probability; "
        "if these are logits, say so (from_logits=True, --from-logits)"
    )


def members(groups: Any, rows: int) -> list[tuple[Any, np.ndarray]]:
    """(value, the rows that have it) of each group."""
    if isinstance(groups, str | bytes):
        raise TypeError(f"groups must be a sequence of values; got {_options.shown(groups)}")
    values = groups.tolist() if hasattr(groups, "tolist") else groups
    values = list(values) if isinstance(values, Iterable) else [values]
    if len(values) != rows:
        raise DataError(f"groups must have one value for each of the {rows} rows; got {len(values)}")
    places: dict[tuple[type, Any], list[int]] = {}  # True is 1 to a dict
    for i, value in enumerate(values):
        value = group_value(value)
        places.setdefault((type(value), value), []).append(i)
    return [(value, np.array(index)) for (_, value), index in places.items()]


def group_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if value is not None and not isinstance(value, str | int | bool):
        raise TypeError(f"groups must hold str, int, bool or None; got {_options.shown(value)}")
    if isinstance(value, int) and not -_MOST_GROUP <= value <= _MOST_GROUP:
        raise TypeError(f"groups must hold integers of at most 64 bits; got {_options.shown(value)}")
    for kind in (str, bool, int):  # plain ones of subclasses, too
        if isinstance(value, kind):
            return kind(value)
    return value


def group_order(value: Any) -> tuple[str, Any]:
    return type(value).__name__, str(value) if value is None else value
