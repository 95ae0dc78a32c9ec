# SPDX-License-Identifier: BSD-3-Clause
"""How good predictions are, over any number of batches, files and machines: :class:`LossAccumulator`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _options, _row_inputs, runtime
from ._accumulator_state import restore, state_of
from ._books import Book, Cells, Shape
from ._options import count
from ._score import Calibration, CalibrationBin, ClassScore, LossHistogram, Score, WorstRow
from ._scored_rows import Rows, Scored, give_back, score
from ._summary import empty_score, summarise
from ._worst_rows import worst_of, worst_with

__all__ = [
    "Calibration",
    "CalibrationBin",
    "ClassScore",
    "LossAccumulator",
    "LossHistogram",
    "Score",
    "WorstRow",
]

_FORMAT = "xent_native.LossAccumulator"
_VERSION = 1
_MOST_BINS = 100


_NAMES = _row_inputs.Names()


@dataclass(frozen=True, slots=True)
class _Options:
    from_logits: bool
    ignore_class: int | None
    top_k: tuple[int, ...]
    bins: int
    worst: int
    max_confusion: int
    classwise: bool


class LossAccumulator:
    """Loss, accuracy and calibration of predictions, of a fixed size however many rows it has seen.

    Rows come by :meth:`update`, in batches of any size; accumulators of parts are put together by :meth:`merge` or
    ``+``. Sums are exact: the same rows give the same bits, whatever the batches, the threads, the machines and the
    order in which parts are merged.

    Parameters
    ----------
    num_classes : int, optional
        By default what the first batch has.
    from_logits : bool, default False
        Whether predictions are logits. Probabilities are divided by the sum of their row.
    ignore_class : int, optional
        Rows with this label count nowhere but in `Score.ignored`.
    top_k : sequence of int, default (5,)
        The k of which top-k accuracy is wanted.
    bins : int, default 15
        Bins of the calibration, at most 100.
    worst : int, default 10
        How many of the rows with the largest losses are kept.
    max_confusion : int, default 100
        Most classes of which the confusion matrix is kept.
    classwise : bool, default False
        Whether the calibration of each class is wanted: it looks at every probability once more.
    n_threads : int, optional
        At least 1; see :func:`xent_native.set_num_threads`. The result does not depend on it.

    Raises
    ------
    ValueError, TypeError
        If an option is out of range.

    Notes
    -----
    The loss of a row is that of :func:`xent_native.sparse_categorical_crossentropy`: for float32 predictions a float32.
    A class takes about 600 bytes, 1,600 with weights; the rest 1.1 MB, 5 MB with weights.

    Examples
    --------
    >>> from xent_native import LossAccumulator
    >>> whole = LossAccumulator()
    >>> whole.update([1, 2], [[0.1, 0.8, 0.1], [0.3, 0.4, 0.3]])
    >>> part = LossAccumulator()
    >>> part.update([0], [[0.5, 0.25, 0.25]])
    >>> score = (whole + part).result()
    >>> score.rows, round(score.mean_loss, 5), round(score.accuracy, 5)
    (3, 0.70675, 0.66667)
    """

    def __init__(
        self,
        num_classes: int | None = None,
        *,
        from_logits: bool = False,
        ignore_class: int | None = None,
        top_k: Sequence[int] = (5,),
        bins: int = 15,
        worst: int = 10,
        max_confusion: int = 100,
        classwise: bool = False,
        n_threads: int | None = None,
    ) -> None:
        self._options = _Options(
            from_logits=_options.flag("from_logits", from_logits),
            ignore_class=_options.label_number(ignore_class),
            top_k=_row_inputs.ranks(top_k),
            bins=count("bins", bins, 1, _MOST_BINS),
            worst=count("worst", worst, 0, 1 << 20),
            max_confusion=count("max_confusion", max_confusion, 0, 1 << 13),
            classwise=_options.flag("classwise", classwise),
        )
        self._n_threads = None if n_threads is None else runtime.check_threads(n_threads)
        self._classes = None if num_classes is None else count("num_classes", num_classes, 1, (1 << 31) - 1)
        self._cells = _cells(self._options.bins)
        self._books: dict[bool, Book] = {}  # by whether rows have weights
        self._ignored = 0
        self._skipped = 0
        self._first_nan: tuple[str, int] | None = None
        self._worst: list[WorstRow] = []
        self._seen: dict[str, int] = {}
        self._groups: dict[Any, LossAccumulator] = {}

    @property
    def num_classes(self) -> int | None:
        """How many classes there are; None as long as nobody said."""
        return self._classes

    def update(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        source: str = "",
        first_row: int | None = None,
    ) -> None:
        """Add rows.

        Parameters
        ----------
        y_true : array_like of int, shape (N,) or (N, 1)
            Class indices in [0, num_classes).
        y_pred : array_like of shape (N, num_classes)
            Probabilities or logits, of any real dtype up to float64.
        sample_weight : array_like of shape (N,), optional
            Finite and not negative. Rows of weight 0 count as ignored.
        groups : array_like of str, int or bool, shape (N,), optional
            To which group each row belongs: each has a Score of its own beside that of all rows.
        source : str, default ""
            Where the rows are from, such as the name of a file: `Score.worst` repeats it.
        first_row : int, optional
            The number of the first row in its source; by default the number of rows seen from there. Give it where
            parts of one source are scored apart.

        Raises
        ------
        DataError
            A ValueError: shapes do not fit, or a probability or a weight is negative or no number.
        DataTypeError
            A DataError and a TypeError: predictions are no real numbers, or labels no integers.
        LabelError
            A DataError and an IndexError: a label is no class. Nothing is added then, as after any error.
        TypeError
            If an argument is no array at all, or one that would have to be guessed at (masked, sparse).
        """
        source = _row_inputs.text("source", source)
        first = self._seen.get(source, 0) if first_row is None else first_row
        self._enter(self._scored(y_true, y_pred, sample_weight, groups, source, first, _NAMES))

    def _scored(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Any,
        groups: Any,
        source: str,
        first: Any,
        names: _row_inputs.Names,
        threads: int | None = None,
    ) -> Scored:
        """Check and score rows, and add none yet: several threads may do so at a time.

        `names` are for errors; `first` may be the numbers of all rows.
        """
        x = _row_inputs.predictions(y_pred, self._classes, names)
        label = _row_inputs.labels(y_true, x, names)
        weight = _row_inputs.weights(sample_weight, len(x), names)
        members = None if groups is None else _row_inputs.members(groups, len(x))
        if not isinstance(first, np.ndarray):
            first = count("first_row", first, 0, (1 << 62) - len(x))
        options, threads = self._options, runtime.resolve_threads(threads or self._n_threads)
        return score(
            x, label, weight, source, first, names, members, from_logits=options.from_logits,
            ignore_class=options.ignore_class, classwise=options.classwise, threads=threads,
        )  # fmt: skip

    def _enter(self, scored: Scored) -> None:
        """Add rows that were scored by an accumulator with the same options."""
        self._classes = scored.classes
        rows = scored.rows
        if len(rows):
            self._seen[rows.source] = self._seen.get(rows.source, 0) + len(rows)
            self._add(rows, scored.threads)
            for value, index in scored.members or ():
                self._group(value)._add(rows.take(index), scored.threads)
        give_back(scored.room)

    def _group(self, value: Any) -> LossAccumulator:
        """The accumulator of a group. True is 1 to a dict: where both come, the name is 1, whichever came first."""
        group = self._groups.get(value)
        if group is None:
            group = self._groups[value] = self._new(self._classes)
        elif type(value) is int:
            del self._groups[value]
            self._groups[value] = group
        return group

    def _add(self, rows: Rows, threads: int) -> None:
        """Enter rows that were scored."""
        label, rank = rows.scores[3], rows.scores[5]
        weighted = rows.weight is not None
        if weighted not in self._books:
            self._books[weighted] = self._book(weighted)
        ignored, nans, most = self._books[weighted].enter(
            rows.scores, rows.weight, self._cells, rows.probability, threads
        )
        self._ignored += ignored
        if nans:
            wrong = np.flatnonzero((label >= 0) & (rank < 0))
            self._note_nan((rows.source, int(rows.numbers(wrong).min())))
        wanted = self._options.worst
        if len(self._worst) < wanted or (wanted and most >= self._worst[-1].loss):
            self._worst = worst_with(self._worst, rows, wanted)

    def _note_nan(self, place: tuple[str, int]) -> None:
        self._first_nan = place if self._first_nan is None else min(self._first_nan, place)

    def _new(self, classes: int | None) -> LossAccumulator:
        """An empty one with the same options."""
        new = object.__new__(LossAccumulator)
        new._options, new._n_threads, new._cells = self._options, self._n_threads, self._cells
        new._classes = classes
        new._books, new._worst, new._seen, new._groups = {}, [], {}, {}
        new._ignored = new._skipped = 0
        new._first_nan = None
        return new

    def _shape(self, weighted: bool) -> Shape:
        classes, options = self._classes or 1, self._options
        ranks = min(max(options.top_k, default=0), classes)
        bins = options.bins if options.classwise else 0
        return Shape(classes, self._cells.count, ranks, classes <= options.max_confusion, weighted, bins)

    def _book(self, weighted: bool) -> Book:
        return Book(self._shape(weighted))

    def skip(self, rows: int) -> None:
        """Count rows that could not be scored, in `Score.skipped`.

        Parameters
        ----------
        rows : int
            How many, at least 0.
        """
        self._skipped += count("rows", rows, 0, 1 << 62)

    def merge(self, other: LossAccumulator) -> LossAccumulator:
        """Add the rows that another accumulator has seen, and return this one.

        Parameters
        ----------
        other : LossAccumulator
            With the same options.

        Raises
        ------
        TypeError
            If `other` is no LossAccumulator.
        ValueError
            If it has other options or another number of classes.
        """
        if not isinstance(other, LossAccumulator):
            raise TypeError(f"other must be a LossAccumulator; got {type(other).__name__}")
        for name in _Options.__dataclass_fields__:
            mine, its = getattr(self._options, name), getattr(other._options, name)
            if mine != its:
                raise ValueError(
                    f"other must have {name}={_options.shown(mine)}, as this accumulator has; got {_options.shown(its)}"
                )
        if None not in (self._classes, other._classes) and self._classes != other._classes:
            raise ValueError(
                f"other must have {self._classes} classes, as this accumulator has; got {other._classes}"
            )
        if other is self:
            other = self.copy()
        self._merge(other)
        return self

    def _merge(self, other: LossAccumulator) -> None:
        self._classes = other._classes if self._classes is None else self._classes
        for weighted, book in other._books.items():
            if weighted in self._books:
                self._books[weighted].add(book)
            else:
                self._books[weighted] = book.copy()
        self._ignored += other._ignored
        self._skipped += other._skipped
        for source, rows in other._seen.items():
            self._seen[source] = self._seen.get(source, 0) + rows
        if other._first_nan is not None:
            self._note_nan(other._first_nan)
        self._worst = worst_of([*self._worst, *other._worst], self._options.worst)
        for value, group in other._groups.items():
            self._group(value)._merge(group)

    def copy(self) -> LossAccumulator:
        """Return an accumulator of its own that has seen the same rows."""
        new = self._new(self._classes)
        new._merge(self)
        return new

    __copy__ = copy

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_cells"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._cells = _cells(self._options.bins)

    def __add__(self, other: LossAccumulator) -> LossAccumulator:
        if not isinstance(other, LossAccumulator):
            return NotImplemented
        return self.copy().merge(other)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LossAccumulator):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _STATE)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        rows = sum(sum(book.count("support")) for book in self._books.values())
        return f"<LossAccumulator: {rows} rows of {self._classes or 'unknown'} classes>"

    def result(self) -> Score:
        """Figures of all rows so far.

        Returns
        -------
        Score
        """
        if self._classes is None:
            return empty_score(self._ignored, self._skipped)
        return summarise(
            [self._books[key] for key in sorted(self._books)] or [self._book(False)],
            self._cells,
            top_k=self._options.top_k,
            ignored=self._ignored,
            skipped=self._skipped,
            first_nan=self._first_nan,
            worst=self._worst,
            groups={
                value: self._groups[value].result()
                for value in sorted(self._groups, key=_row_inputs.group_order)
            },
        )

    def to_dict(self) -> dict[str, Any]:
        """The whole state as plain values, for JSON.

        Returns
        -------
        dict
            `from_dict` makes the same accumulator of it, on any machine.
        """
        options = {name: getattr(self._options, name) for name in _Options.__dataclass_fields__}
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "options": {**options, "top_k": list(self._options.top_k)},
            **state_of(self),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> LossAccumulator:
        """Make an accumulator of what :meth:`to_dict` gave.

        Parameters
        ----------
        state : dict
            As JSON brings it back.

        Raises
        ------
        ValueError
            If it is no such state, or one of a version that this release does not know.

        Examples
        --------
        >>> import json
        >>> from xent_native import LossAccumulator
        >>> part = LossAccumulator(from_logits=True)
        >>> part.update([0, 1], [[2.0, 1.0], [0.5, 0.0]])
        >>> LossAccumulator.from_dict(json.loads(json.dumps(part.to_dict()))) == part
        True
        """
        if not isinstance(state, Mapping) or state.get("format") != _FORMAT:
            raise ValueError(f"state must be what LossAccumulator.to_dict gave; got {_options.shown(state)}")
        if type(state.get("version")) is not int or state["version"] != _VERSION:
            raise ValueError(
                f"state must have version {_VERSION}; got {_options.shown(state.get('version'))}"
            )
        try:
            if set(state["options"]) != set(_Options.__dataclass_fields__):
                raise ValueError(f"options must be {', '.join(_Options.__dataclass_fields__)}")
            new = cls(state["num_classes"], **state["options"])
            restore(new, state)
        except (KeyError, TypeError, ValueError, OverflowError, MemoryError, AttributeError) as error:
            raise ValueError(f"state is damaged: {type(error).__name__}: {error}") from error
        return new


_STATE = (
    "_options",
    "_classes",
    "_books",
    "_ignored",
    "_skipped",
    "_first_nan",
    "_worst",
    "_seen",
    "_groups",
)


def _cells(bins: int) -> Cells:
    if bins not in _CELLS:
        _CELLS[bins] = Cells(bins)
    return _CELLS[bins]


_CELLS: dict[int, Cells] = {}
