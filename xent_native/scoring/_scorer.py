# SPDX-License-Identifier: BSD-3-Clause
"""The function :func:`score`: chunks of all sources, one after the other, into an accumulator."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from .. import _options
from ..accumulate import LossAccumulator, Score
from ._errors import SkippedFileWarning
from ._open import Inputs, Request, opened
from ._plan import Plan, plan_of
from ._resume import State
from ._rows import Ready, Shares, ready
from ._streams import Chunk
from ._workers import Workers

__all__ = ["Progress", "Run", "make_request", "score", "skips"]

Progress = Callable[[int, int | None], None]


def score(
    predictions: Any,
    labels: Any = None,
    *,
    weights: Any = None,
    from_logits: bool = False,
    ignore_class: int | None = None,
    top_k: Sequence[int] = (5,),
    bins: int = 15,
    worst: int = 10,
    group_by: Any = None,
    max_confusion: int = 100,
    classwise: bool = False,
    columns: str | Sequence[str] | None = None,
    label_column: str | None = None,
    weight_column: str | None = None,
    classes: Sequence[str] | None = None,
    n_threads: int | None = None,
    chunk_rows: int | None = None,
    on_error: str = "raise",
    state: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Score:
    """Score predictions against labels, in memory or in files of any size.

    Parameters
    ----------
    predictions : str, path or array_like of shape (rows, classes)
        Probabilities (each row is divided by its sum) or logits. A string or path names a .npy, .npz, Parquet, Arrow
        or CSV file, or a folder with files of one of the last three formats, which are read in the order of their
        names.
    labels : str, path or array_like of int, shape (rows,) or (rows, 1), optional
        Class indices in [0, classes), or names of classes. May be left out if `label_column` is a column of the
        predictions' file.
    weights : str, path or array_like of float, shape (rows,), optional
        Of each row, finite and not negative.
    from_logits : bool, default False
        Whether the predictions are logits.
    ignore_class : int, optional
        Rows with this label count nowhere but in `Score.ignored`.
    top_k : sequence of int, default (5,)
        The k of which top-k accuracy is wanted.
    bins : int, default 15
        Bins of the calibration.
    worst : int, default 10
        How many of the rows with the largest losses are kept.
    group_by : str, path or array_like of str, int or bool, shape (rows,), optional
        A string is a column (of the predictions' file, or else of the labels'), or a .npy file if it ends so. Each
        value has a Score of its own in `Score.groups`.
    max_confusion : int, default 100
        Most classes of which the confusion matrix is kept.
    classwise : bool, default False
        Whether the calibration of each class is wanted.
    columns : str or sequence of str, optional
        The columns that hold the predictions: one with lists of numbers, or one for each class, in the order of the
        classes; ``"p_*"`` are all columns that begin so, in the order of the file. By default the one column of lists,
        or else all columns of fractions that nothing else is in. In a .npz file the name of the array.
    label_column, weight_column : str, optional
        The column of labels and of weights, in their own file if they have one, else in the predictions'.
    classes : sequence of str, optional
        Names of the classes, if labels are names. By default what the columns of predictions are called, without
        what a pattern has beside its ``*``.
    n_threads : int, optional
        At least 1; see :func:`xent_native.set_num_threads`. The result does not depend on it.
    chunk_rows : int, optional
        Rows in memory at a time; by default as many as 8 MB hold. The result does not depend on it.
    on_error : {"raise", "skip"}, default "raise"
        With "skip", rows that cannot be scored are counted in `Score.skipped`: a label that is no class, null, a
        negative probability or weight, a loss that is NaN, a damaged line of CSV. Of several files, one that cannot be
        read is left out with a SkippedFileWarning.
    state : str or path, optional
        A JSON file that this call goes on from if it is there, and writes every ten seconds, at the end, and where an
        error stops it. Another `n_threads`, `chunk_rows` or `on_error` may go on from it, but no other option.
    progress : callable, optional
        Called after each chunk with the rows so far, and all rows or None if that is not known.

    Returns
    -------
    Score

    Raises
    ------
    DataError
        A ValueError: the shapes do not fit, a file is damaged or changed while it was read, or a value is none. The
        message names file and row.
    DataTypeError
        A DataError and a TypeError: predictions are no real numbers, or labels no integers.
    LabelError
        A DataError and an IndexError: a label is no class.
    StateError
        A DataError: the state is of other files or options.
    TypeError
        If an argument is no array at all, or one that would have to be guessed at (masked, sparse).
    OSError
        If a file cannot be read or written.
    ModuleNotFoundError
        If a format needs pyarrow, and there is none.
    ValueError
        If an option is out of range.

    Notes
    -----
    The loss of a row is that of :func:`xent_native.sparse_categorical_crossentropy`: for float32 predictions
    a float32. Sums are exact, so that chunks, threads and interruptions change no bit of the result
    (:class:`xent_native.LossAccumulator`).

    Each thread reads a chunk, scores it and takes the next. Files are never memory-mapped; but for Arrow files with
    compressed record batches, and row groups of very many columns, memory stays below 300 MB for files of any size.

    Examples
    --------
    >>> from xent_native import scoring
    >>> result = scoring.score([[0.1, 0.8, 0.1], [0.3, 0.4, 0.3]], [1, 2])
    >>> round(result.mean_loss, 5), result.accuracy
    (0.71356, 0.5)
    """
    skip = skips(on_error)
    request = make_request(
        predictions, labels, weights, group_by, columns, label_column, weight_column, classes, skip
    )
    kept: dict[str, Any] = {
        "from_logits": _options.flag("from_logits", from_logits),
        "ignore_class": _options.label_number(ignore_class),
        "top_k": top_k,
        "bins": bins,
        "worst": worst,
        "max_confusion": max_confusion,
        "classwise": classwise,
    }
    with opened(request) as inputs:
        plan = plan_of(inputs, chunk_rows, n_threads)
        accumulator = LossAccumulator(inputs.classes, **kept)
        run = Run(inputs, accumulator, {**kept, "classes": inputs.classes}, skip, progress)
        if state is not None:
            run.resume(State(state, inputs.identity(), _state_options(accumulator, request, inputs)))
        run.go(plan)
        return run.accumulator.result()


def skips(on_error: Any) -> bool:
    """Whether rows that cannot be scored are left out."""
    if not isinstance(on_error, str) or on_error not in ("raise", "skip"):
        raise ValueError(f"on_error must be 'raise' or 'skip'; got {_options.shown(on_error)}")
    return on_error == "skip"


def make_request(
    predictions: Any,
    labels: Any,
    weights: Any,
    group_by: Any,
    columns: Any,
    label_column: Any,
    weight_column: Any,
    classes: Any,
    skip: bool,
) -> Request:
    """What is scored, with the options that name columns checked."""
    for name, value in (("label_column", label_column), ("weight_column", weight_column)):
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} must be the name of a column; got {_options.shown(value)}")
    return Request(
        predictions=predictions,
        labels=labels,
        weights=weights,
        group_by=group_by,
        columns=columns if columns is None or isinstance(columns, str) else _texts("columns", columns),
        label_column=label_column,
        weight_column=weight_column,
        classes=None if classes is None else _texts("classes", classes),
        skip=skip,
    )


def _texts(name: str, values: Any) -> tuple[str, ...]:
    found = () if isinstance(values, str) else tuple(values)
    if not found or not all(isinstance(one, str) for one in found):
        raise TypeError(f"{name} must be a sequence of names; got {_options.shown(values)}")
    if len(set(found)) < len(found):
        raise ValueError(f"{name} must differ from each other; got {_options.shown(values)}")
    return found


def _state_options(accumulator: LossAccumulator, request: Request, inputs: Inputs) -> dict[str, Any]:
    """What else the result depends on, beside the files: options, and which role each argument plays."""
    roles = ("labels", "weights", "group_by")
    return {
        **accumulator.to_dict()["options"],
        **{role: _kind(getattr(request, role)) for role in roles},
        "columns": request.columns,
        "label_column": request.label_column,
        "weight_column": request.weight_column,
        "classes": inputs.class_names,
        "group_column": request.group_by if _kind(request.group_by) == "column" else None,
    }


def _kind(value: Any) -> str | None:
    """What an argument is: a file, a column, an array or nothing."""
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike):
        return "array"
    return "file" if os.path.exists(value) else "column"


class Run:
    """One pass over all rows.

    Parameters
    ----------
    inputs : Inputs
        What is scored.
    accumulator : LossAccumulator
        Gets the rows.
    options : dict
        `from_logits`, `ignore_class` and `classes`, as the accumulator has them.
    skip : bool
        Whether rows that cannot be scored are counted in place of an error.
    progress : callable, optional
        See :func:`score`.
    change : callable, optional
        Makes of each chunk the one that is scored.
    """

    def __init__(
        self,
        inputs: Inputs,
        accumulator: LossAccumulator,
        options: dict[str, Any],
        skip: bool,
        progress: Progress | None,
        change: Callable[[Chunk], Chunk] | None = None,
    ) -> None:
        self.inputs, self.accumulator, self._options, self._skip = inputs, accumulator, options, skip
        self._progress = progress or (lambda done, total: None)
        self._change = change or (lambda chunk: chunk)
        self._state: State | None = None
        self._done, self._complete = 0, False
        self._count = threading.Lock()

    def resume(self, state: State) -> None:
        """Go on from a state if there is one, and keep it."""
        self._state = state
        found = state.load()
        if found is not None:
            self.accumulator, self._done, self._complete = found

    def go(self, plan: Plan) -> None:
        """Score what is left."""
        if self._complete:
            return
        shares = Shares(self.accumulator, plan.workers, self.inputs.roles)

        def prepare(chunk: Chunk, threads: int) -> Ready:
            return ready(
                self.accumulator, self._change(chunk.loaded()), self._options, threads, skip=self._skip
            )

        def enter(one: Ready) -> None:
            shares.enter(one)
            with self._count:
                self._done += one.rows

        chunks, shown = self.inputs.chunks(plan.rows, self._done), self._done
        keeps = self._state is not None  # then what was entered must be whole after Ctrl-C, too
        workers = Workers(chunks, prepare, enter, plan.workers, plan.threads, apart=keeps)
        try:
            with contextlib.closing(workers.results()) as results:
                for one in results:
                    if one.warning is not None:
                        warnings.warn(one.warning, SkippedFileWarning, stacklevel=4)
                    if self._state is not None and self._state.is_due:
                        with workers.paused():
                            if not workers.has_failed:
                                self._state.write(shares.total(), self._done)
                    shown += one.rows
                    self._progress(shown, self.inputs.rows)
            shares.total()
            self.inputs.check_unchanged()
        except BaseException:
            # What was read so far is not lost; unless the files are not what they were.
            if self._state is not None and workers.is_whole and self._is_unchanged():
                self._state.write(shares.total(), self._done)
            raise
        if self._state is not None:
            self._state.write(self.accumulator, self._done, complete=True)

    def _is_unchanged(self) -> bool:
        with contextlib.suppress(Exception):
            self.inputs.check_unchanged()
            return True
        return False
