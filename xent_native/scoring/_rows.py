# SPDX-License-Identifier: BSD-3-Clause
"""Chunks into an accumulator: what is wrong with a row is told with its file and number, or the row is left out."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .. import _options, functional
from .._data_errors import DataError
from .._row_inputs import Names, label_error, negative_error
from ..accumulate import LossAccumulator
from ._errors import SkippedFileWarning
from ._streams import Chunk

__all__ = ["add", "good_rows"]


def add(accumulator: LossAccumulator, chunk: Chunk, options: dict[str, Any], *, skip: bool) -> None:
    """Score the rows of a chunk.

    Parameters
    ----------
    accumulator : LossAccumulator
        Gets the rows.
    chunk : Chunk
        What the streams gave.
    options : dict
        `from_logits`, `ignore_class` and `classes`, as the accumulator has them.
    skip : bool
        Whether rows that cannot be scored are counted in place of an error.
    """
    good = good_rows(chunk, options, skip=skip)
    if good is None:
        accumulator.skip(chunk.rows)
        return
    columns = chunk.columns
    name, first = chunk.place("predictions", 0)
    numbers: int | np.ndarray = first
    if not good.all():
        accumulator.skip(int(np.count_nonzero(~good)))
        columns = {role: values[good] for role, values in columns.items()}
        numbers = first + np.flatnonzero(good)
    names = Names(name, chunk.pieces["labels"][0][1].name, _name(chunk, "weights"), first)
    try:
        accumulator._update(
            columns["labels"],
            columns["predictions"],
            columns.get("weights"),
            columns.get("groups"),
            name,
            numbers,
            names,
        )
    except DataError:
        _raise_in_place(chunk, options)
        raise


def _name(chunk: Chunk, role: str) -> str:
    return chunk.pieces[role][0][1].name if role in chunk.pieces else role


def good_rows(chunk: Chunk, options: dict[str, Any], *, skip: bool) -> np.ndarray | None:
    """Which rows can be scored; None if the chunk is lost. DataError for those that cannot, unless `skip`."""
    if chunk.lost is not None:
        if not skip:
            raise DataError(str(chunk.lost.lost))
        if chunk.lost.rest:
            text = f"the rest from row {chunk.lost.first} left out: {chunk.lost.lost}"
            warnings.warn(text, SkippedFileWarning, stacklevel=4)
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
