# SPDX-License-Identifier: BSD-3-Clause
"""How good predictions are: loss, perplexity and accuracy over arrays or over files bigger than memory."""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .. import _options, _problem, functional, runtime
from .._data_errors import DataError
from .._npy import NpyFile

__all__ = ["ClassScore", "DataError", "DataTypeError", "LabelError", "Score", "score"]

_CHUNK_BYTES = 1 << 23  # of predictions in memory at a time: reads of this size run at full speed
_MOST_EMPTY_CLASSES = 1 << 16  # of predictions without rows: then no file's size vouches for them
_BLOCK_ROWS = 4096  # rows whose losses are summed together: fixes the bits of the sums, whatever a chunk is


class DataTypeError(DataError, TypeError):
    """Predictions or labels of a dtype that cannot be scored. The message names the file."""


class LabelError(DataError, IndexError):
    """A label that is no class. The message names the file and the row."""


@dataclass(frozen=True, slots=True)
class ClassScore:
    """What :class:`Score` says of the rows of one class.

    Attributes
    ----------
    support : int
        Rows with this label.
    mean_loss : float
        Their mean loss in nats; NaN if there are none.
    accuracy : float
        The share of them where this class has the largest prediction; NaN if there are none.
    """

    support: int
    mean_loss: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Score:
    """What :func:`score` found.

    Attributes
    ----------
    rows : int
        Rows that count: all but the ignored ones.
    ignored : int
        Rows whose label is `ignore_class`.
    classes : int
        Number of classes.
    mean_loss : float
        Mean cross-entropy of the rows in nats; NaN if there are none.
    perplexity : float
        ``exp(mean_loss)``.
    accuracy : float
        The share of rows where the label has the largest prediction. Ties count for the lowest class.
    nan_rows : int
        Rows whose loss is NaN, because their predictions hold NaN or nothing finite. They make the mean
        loss NaN and count as wrong.
    first_nan_row : int or None
        The first of them.
    per_class : tuple of ClassScore
        One for each class.
    """

    rows: int
    ignored: int
    classes: int
    mean_loss: float
    perplexity: float
    accuracy: float
    nan_rows: int
    first_nan_row: int | None
    per_class: tuple[ClassScore, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with None for what is no finite number."""
        values = {name: _finite(getattr(self, name)) for name in self.__slots__ if name != "per_class"}
        values["per_class"] = [
            {
                "class": k,
                "support": c.support,
                "mean_loss": _finite(c.mean_loss),
                "accuracy": _finite(c.accuracy),
            }
            for k, c in enumerate(self.per_class)
        ]
        return values


def score(
    predictions: Any,
    labels: Any,
    *,
    from_logits: bool = False,
    ignore_class: int | None = None,
    n_threads: int | None = None,
    chunk_rows: int | None = None,
) -> Score:
    """Score predictions against labels.

    Parameters
    ----------
    predictions : str, path or array_like of shape (rows, classes)
        Probabilities (each row is divided by its sum) or logits; a string or path names a .npy file.
    labels : str, path or array_like of int, shape (rows,) or (rows, 1)
        Class indices in [0, classes).
    from_logits : bool, default False
        Whether the predictions are logits.
    ignore_class : int, optional
        Rows with this label count nowhere but in `Score.ignored`.
    n_threads : int, optional
        At least 1; see :func:`xent_native.set_num_threads`. The result does not depend on it.
    chunk_rows : int, optional
        Rows in memory at a time; by default as many as 8 MB hold. The result does not depend on it.

    Returns
    -------
    Score

    Raises
    ------
    DataError
        A ValueError: the shapes do not fit, a file is damaged, or probabilities are negative.
    DataTypeError
        A DataError and a TypeError: predictions are no real numbers, or labels no integers.
    LabelError
        A DataError and an IndexError: a label is no class.
    TypeError
        If an argument is no array at all, or one that would have to be guessed at (masked, sparse).
    OSError
        If a file cannot be read.
    ValueError
        If an option is out of range.

    Notes
    -----
    The loss of a row is that of :func:`xent_native.sparse_categorical_crossentropy`: for float32 predictions
    a float32. Losses are summed per class in float64, in blocks of 4,096 rows whose sums are added with
    compensation, so that the error does not grow with the number of rows.

    Examples
    --------
    >>> from xent_native import scoring
    >>> result = scoring.score([[0.1, 0.8, 0.1], [0.3, 0.4, 0.3]], [1, 2])
    >>> round(result.mean_loss, 5), result.accuracy
    (0.71356, 0.5)
    """
    n_threads = None if n_threads is None else runtime.check_threads(n_threads)
    with contextlib.ExitStack() as stack:
        x = _source("predictions", predictions, stack)
        y = _source("labels", labels, stack)
        _check(x, y)
        ignored = _options.ignored_class(ignore_class, y.dtype)
        rows, classes = x.shape
        step = _chunk_rows(chunk_rows, classes * x.dtype.itemsize)
        options = {
            "from_logits": _options.flag("from_logits", from_logits),
            "ignore_class": ignored,
            "n_threads": n_threads,
        }
        totals = _Totals(classes)
        for first in range(0, rows, step):
            count = min(step, rows - first)
            label = y.rows(first, count).reshape(count)
            _score_chunk(totals, _Chunk(x.name, y.name, first, x.rows(first, count), label), options)
        return totals.result()


class _Source(Protocol):
    """Rows of an array, wherever it is."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def rows(self, first: int, count: int) -> np.ndarray: ...


class _Array:
    """An array in memory as a source."""

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self._array = _problem.as_array(name, value)
        self.shape, self.dtype = self._array.shape, self._array.dtype

    def rows(self, first: int, count: int) -> np.ndarray:
        return self._array[first : first + count]


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some rows of both sources, and what an error calls them."""

    x_name: str
    y_name: str
    first: int
    x: np.ndarray
    y: np.ndarray


def _source(name: str, value: Any, stack: contextlib.ExitStack) -> _Source:
    if isinstance(value, str | os.PathLike):
        return stack.enter_context(NpyFile(value))
    return _Array(name, value)


def _check(x: _Source, y: _Source) -> None:
    """Refuses sources that do not fit each other, before any row is read."""
    if len(x.shape) != 2:
        raise DataError(f"{x.name}: predictions must have shape (rows, classes); got {x.shape}")
    rows, classes = x.shape
    if classes == 0:
        raise DataError(f"{x.name}: predictions must have at least one class; got shape {x.shape}")
    if rows == 0 and classes > _MOST_EMPTY_CLASSES:
        raise DataError(
            f"{x.name}: there are no rows, but {classes} classes, each of which would take memory"
        )
    if x.dtype.kind == "b" or x.dtype.itemsize > 8:
        raise DataTypeError(f"{x.name}: predictions must be float64 or smaller; got dtype {x.dtype}")
    if y.dtype.kind not in "iu":
        raise DataTypeError(f"{y.name}: labels must be integers; got dtype {y.dtype}")
    if y.shape not in ((rows,), (rows, 1)):
        raise DataError(
            f"{y.name}: labels must have shape ({rows},), one for each row of {x.name}; got {y.shape}"
        )


def _chunk_rows(asked: Any, row_bytes: int) -> int:
    if asked is None:
        return max(1, _CHUNK_BYTES // row_bytes)
    try:
        rows = _options.integer(asked)
    except (TypeError, OverflowError):
        rows = 0
    if rows < 1:
        raise ValueError(f"chunk_rows must be an integer of at least 1; got {_options.shown(asked)}")
    return rows


def _score_chunk(totals: _Totals, chunk: _Chunk, options: dict[str, Any]) -> None:
    ignored = options["ignore_class"]
    counts = None if ignored is None else chunk.y != ignored
    if not options["from_logits"]:
        _refuse_negative(chunk, counts)
    try:
        loss = functional.sparse_categorical_crossentropy(chunk.y, chunk.x, **options)
    except IndexError:
        raise _label_error(chunk, totals.classes, ignored) from None
    failed = np.isnan(loss)
    hit = (chunk.x.argmax(axis=1) == chunk.y) & ~failed
    if failed.any():
        totals.note_nan(chunk.first + int(failed.argmax()), int(np.count_nonzero(failed)))
    if counts is None:
        totals.add(chunk.y, loss, hit)
    else:
        totals.skip(len(counts) - int(np.count_nonzero(counts)))
        totals.add(chunk.y[counts], loss[counts], hit[counts])


def _refuse_negative(chunk: _Chunk, counts: np.ndarray | None) -> None:
    """Logits that are taken for probabilities would give a number that means nothing."""
    if chunk.x.dtype.kind == "u" or not np.fmin.reduce(chunk.x, axis=None) < 0:
        return
    bad = (chunk.x < 0).any(axis=1)
    if counts is not None:
        bad &= counts
    if not bad.any():
        return
    row = int(bad.argmax())
    value = np.fmin.reduce(chunk.x[row])
    raise DataError(
        f"{chunk.x_name}: row {chunk.first + row} holds {value}, which is no probability; "
        "if these are logits, say so (from_logits=True, --from-logits)"
    )


def _label_error(chunk: _Chunk, classes: int, ignored: int | None) -> LabelError:
    bad = (chunk.y < 0) | (chunk.y >= classes)
    allowed = f"[0, {classes})"
    if ignored is not None:
        bad &= chunk.y != ignored
        allowed += f" or equal ignore_class={ignored}"
    row = int(bad.argmax())
    return LabelError(
        f"{chunk.y_name}: labels must lie in {allowed}; got {chunk.y[row]} at row {chunk.first + row}"
    )


class _Totals:
    """Counts and sums per class. Rows come in order; how many come at a time changes no bit of the result."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._ignored = 0
        self._nan_rows = 0
        self._first_nan: int | None = None
        self._support = np.zeros(classes, np.int64)
        self._hits = np.zeros(classes, np.int64)
        self._sum, self._error = np.zeros(classes), np.zeros(classes)
        self._filled = 0
        self._label, self._loss = np.empty(_BLOCK_ROWS, np.int64), np.empty(_BLOCK_ROWS)

    def skip(self, rows: int) -> None:
        """Count ignored rows."""
        self._ignored += rows

    def note_nan(self, first: int, rows: int) -> None:
        """Count rows whose loss is NaN; `first` is the number of the first of them."""
        if self._first_nan is None:
            self._first_nan = first
        self._nan_rows += rows

    def add(self, label: np.ndarray, loss: np.ndarray, hit: np.ndarray) -> None:
        """Add the labels, losses and hits of rows."""
        label = label.astype(np.int64)
        self._support += np.bincount(label, minlength=self.classes)
        self._hits += np.bincount(label[hit], minlength=self.classes)
        done = 0
        while done < len(label):
            take = min(_BLOCK_ROWS - self._filled, len(label) - done)
            self._label[self._filled : self._filled + take] = label[done : done + take]
            self._loss[self._filled : self._filled + take] = loss[done : done + take]
            self._filled += take
            done += take
            if self._filled == _BLOCK_ROWS:
                self._flush()

    def _flush(self) -> None:
        """Neumaier's compensated sum, per class: `_error` collects what rounding takes from `_sum`."""
        more = np.bincount(self._label[: self._filled], self._loss[: self._filled], minlength=self.classes)
        self._filled = 0
        with np.errstate(over="ignore", invalid="ignore"):  # then the sum is not finite, and the error unused
            total = self._sum + more
            larger = np.abs(self._sum) >= np.abs(more)
            self._error += np.where(larger, (self._sum - total) + more, (more - total) + self._sum)
        self._sum = total

    def result(self) -> Score:
        """Return the means of all rows so far."""
        self._flush()
        sums = np.where(np.isfinite(self._sum), self._sum + self._error, self._sum).tolist()
        support, hits = self._support.tolist(), self._hits.tolist()
        rows = sum(support)
        mean = _ratio(_fsum(sums), rows)
        return Score(
            rows=rows,
            ignored=self._ignored,
            classes=self.classes,
            mean_loss=mean,
            perplexity=_exp(mean),
            accuracy=_ratio(sum(hits), rows),
            nan_rows=self._nan_rows,
            first_nan_row=self._first_nan,
            per_class=tuple(
                ClassScore(n, _ratio(loss, n), _ratio(right, n))
                for n, loss, right in zip(support, sums, hits, strict=True)
            ),
        )


def _fsum(values: list[float]) -> float:
    try:
        return math.fsum(values)
    except OverflowError:  # of losses, which are not negative
        return math.inf


def _ratio(value: float, count: int) -> float:
    return value / count if count else math.nan


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
