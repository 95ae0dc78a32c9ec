# SPDX-License-Identifier: BSD-3-Clause
"""Chunks for an accumulator: what is wrong with a row is told with its file and number, or the row is left out."""

from __future__ import annotations

import queue
import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _options, functional
from .._data_errors import DataError
from .._row_inputs import Names, label_error, negative_error
from .._scored_rows import Scored
from ..accumulate import LossAccumulator
from ._streams import Chunk

__all__ = ["Ready", "Shares", "good_rows", "ready"]

_MOST_BYTES = 1 << 26  # of the books of all shares: large ones are shared


@dataclass(slots=True)
class Ready:
    """A chunk whose rows may be entered in an accumulator."""

    rows: int
    skipped: int
    scored: Scored | None
    warning: str | None = None

    def enter(self, accumulator: LossAccumulator) -> None:
        """Add the rows."""
        if self.skipped:
            accumulator.skip(self.skipped)
        if self.scored is not None:
            accumulator._enter(self.scored)
            self.scored = None  # its memory is used again


class Shares:
    """Accumulators that threads enter rows in side by side, each of which has a share of the rows.

    Parameters
    ----------
    first : LossAccumulator
        Has them all in the end.
    threads : int
        How many may enter rows at a time, if memory allows it.
    roles : collection of str
        What the rows come with.
    """

    def __init__(self, first: LossAccumulator, threads: int, roles: Collection[str]) -> None:
        self._first = first
        most = _MOST_BYTES // first._shape("weights" in roles).nbytes
        self._most = 1 if "groups" in roles else max(1, min(threads, most))
        self._others: list[LossAccumulator] = []
        self._folding = threading.Lock()
        self._free = self._all_free()

    def _all_free(self) -> queue.LifoQueue[LossAccumulator | None]:
        free: queue.LifoQueue[LossAccumulator | None] = queue.LifoQueue()
        for share in [None] * (self._most - 1) + [self._first]:
            free.put(share)
        return free

    def enter(self, rows: Ready) -> None:
        """Add the rows of a chunk."""
        share = self._free.get()
        try:
            if share is None:
                share = self._first._new(self._first._classes)
                self._others.append(share)
            rows.enter(share)
        finally:
            self._free.put(share)

    def total(self) -> LossAccumulator:
        """The first accumulator with all rows; not while rows are entered.

        A thread of its own folds the shares: Ctrl-C, which is raised in the main one, must not stop it half-way.
        """
        thread = threading.Thread(target=self._fold, name="xent-native-fold", daemon=True)
        thread.start()
        thread.join()
        with self._folding:  # where an earlier call was left, its thread may still be at it
            return self._first

    def _fold(self) -> None:
        with self._folding:
            while self._others:
                self._first._merge(self._others.pop())
            self._free = self._all_free()


def ready(
    accumulator: LossAccumulator, chunk: Chunk, options: dict[str, Any], threads: int | None, *, skip: bool
) -> Ready:
    """Score the rows of a chunk, and add none yet: several threads may do so at a time.

    Parameters
    ----------
    accumulator : LossAccumulator
        One with the options of those that will get the rows.
    chunk : Chunk
        What the streams gave.
    options : dict
        `from_logits`, `ignore_class` and `classes`, as the accumulator has them.
    threads : int or None
        How many may be used; by default as the accumulator has it.
    skip : bool
        Whether rows that cannot be scored are counted in place of an error.
    """
    good = good_rows(chunk, options, skip=skip)
    if good is None:
        lost, text = chunk.lost, None
        if lost is not None and lost.rest:
            text = f"the rest from row {lost.first} left out: {lost.lost}"
        return Ready(chunk.rows, chunk.rows, None, text)
    columns = chunk.columns
    name, first = chunk.place("predictions", 0)
    numbers: int | np.ndarray = first
    skipped = 0
    if not good.all():
        skipped = int(np.count_nonzero(~good))
        columns = {role: values[good] for role, values in columns.items()}
        numbers = first + np.flatnonzero(good)
    names = Names(name, chunk.pieces["labels"][0][1].name, _name(chunk, "weights"), first)
    try:
        scored = accumulator._scored(
            columns["labels"],
            columns["predictions"],
            columns.get("weights"),
            columns.get("groups"),
            name,
            numbers,
            names,
            threads,
        )
    except DataError:
        _raise_in_place(chunk, options)
        raise
    return Ready(chunk.rows, skipped, scored)


def _name(chunk: Chunk, role: str) -> str:
    return chunk.pieces[role][0][1].name if role in chunk.pieces else role


def good_rows(chunk: Chunk, options: dict[str, Any], *, skip: bool) -> np.ndarray | None:
    """Which rows can be scored; None if the chunk is lost. DataError for those that cannot, unless `skip`."""
    if chunk.lost is not None:
        if not skip:
            raise DataError(str(chunk.lost.lost))
        return None
    good = np.ones(chunk.rows, bool)
    for fault in sorted(chunk.faults, key=lambda one: int(one.rows[0])):
        if not skip:
            row = int(fault.rows[0])
            name, number = chunk.place(fault.role, row)
            raise DataError(f"{name}: row {number}: {fault.describe(row)}")
        good[fault.rows] = False
    if skip:
        good &= ~(_bad_labels(chunk, options) | _bad_weights(chunk))
        good &= ~_bad_predictions(chunk, options, good)
    return good


def _raise_in_place(chunk: Chunk, options: dict[str, Any]) -> None:
    """The error of an update, with the file and the row that the value is from: each role may have its own."""
    labels, ignored = chunk.columns["labels"], options["ignore_class"]
    if (bad := _bad_labels(chunk, options)).any():
        row = int(bad.argmax())
        name, number = chunk.place("labels", row)
        at = Names(labels=name, first=number)
        raise label_error(at, 0, int(labels[row]), options["classes"], ignored) from None
    if (bad := _bad_weights(chunk)).any():
        row = int(bad.argmax())
        name, number = chunk.place("weights", row)
        value = chunk.columns["weights"][row]
        raise DataError(
            f"{name}: row {number}: weights must be finite and not negative; got {value}"
        ) from None
    if not options["from_logits"] and (bad := _negative(chunk) & ~_ignored(chunk, options)).any():
        row = int(bad.argmax())
        name, number = chunk.place("predictions", row)
        value = np.fmin.reduce(chunk.columns["predictions"][row])
        raise negative_error(Names(predictions=name, first=number), 0, value) from None


def _ignored(chunk: Chunk, options: dict[str, Any]) -> np.ndarray:
    labels = chunk.columns["labels"]
    ignored = _options.ignored_class(options["ignore_class"], labels.dtype)
    return np.zeros(chunk.rows, bool) if ignored is None else labels == ignored


def _bad_labels(chunk: Chunk, options: dict[str, Any]) -> np.ndarray:
    labels = chunk.columns["labels"]
    return np.asarray(((labels < 0) | (labels >= options["classes"])) & ~_ignored(chunk, options))


def _bad_weights(chunk: Chunk) -> np.ndarray:
    weights = chunk.columns.get("weights")
    if weights is None:
        return np.zeros(chunk.rows, bool)
    return ~((weights >= 0) & (weights < np.inf))


def _negative(chunk: Chunk) -> np.ndarray:
    x = chunk.columns["predictions"]
    if x.dtype.kind == "u":
        return np.zeros(chunk.rows, bool)
    return np.asarray((x < 0).any(axis=1))


def _bad_predictions(chunk: Chunk, options: dict[str, Any], good: np.ndarray) -> np.ndarray:
    """Rows that hold what is no probability, or whose loss would be NaN; of rows that are good so far."""
    ignored = _ignored(chunk, options)
    bad = np.zeros(chunk.rows, bool) if options["from_logits"] else _negative(chunk)
    x = chunk.columns["predictions"]
    with np.errstate(all="ignore"):
        total = x.sum(axis=1, dtype=np.float64)  # not finite or 0 where the loss is NaN, but elsewhere, too
    odd = np.flatnonzero(good & ~bad & ~ignored & ~(np.isfinite(total) & (total != 0)))
    if len(odd):
        labels = np.asarray(chunk.columns["labels"])[odd]
        loss = functional.sparse_categorical_crossentropy(labels, x[odd], options["from_logits"])
        bad[odd[np.isnan(loss)]] = True
    return np.asarray(bad & ~ignored)
