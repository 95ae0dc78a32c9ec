# SPDX-License-Identifier: BSD-3-Clause
"""Rows of predictions once they were scored, and the memory that their scores are in."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _core, _options, _problem, activations
from ._row_inputs import Names, label_error, negative_error

__all__ = ["Rows", "Scored", "Scores", "give_back", "score"]

_EPSILON = 1e-7
_NEGATIVE = -2  # rank of a row with a negative probability

Scores = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class _Spare(threading.local):
    """Room for scores that no update of this thread uses now."""

    room: Scores | None = None


_SPARE = _Spare()
_MOST_SPARE_ROWS = 1 << 20


def _spare_room(rows: int) -> Scores:
    """Room for the scores of so many rows: the last one, if it is large enough: fresh memory costs much."""
    room, _SPARE.room = _SPARE.room, None
    return _core.score_room(rows) if room is None or len(room[0]) < rows else room


def give_back(room: Scores) -> None:
    if len(room[0]) <= _MOST_SPARE_ROWS:
        _SPARE.room = room


@dataclass(slots=True)
class Rows:
    """Rows that were scored: what ``_core.score_rows`` says of them, and where they are."""

    scores: tuple[np.ndarray, ...]
    weight: np.ndarray | None
    probability: np.ndarray | None
    source: str
    row: np.ndarray | int  # numbers, or that of the first

    def __len__(self) -> int:
        return len(self.scores[0])

    def numbers(self, index: np.ndarray) -> np.ndarray:
        return self.row[index] if isinstance(self.row, np.ndarray) else self.row + index

    def take(self, index: np.ndarray) -> Rows:
        return Rows(
            tuple(part[index] for part in self.scores),
            None if self.weight is None else self.weight[index],
            None if self.probability is None else self.probability[index],
            self.source,
            self.numbers(index),
        )


@dataclass(slots=True)
class Scored:
    """Rows that may be entered in an accumulator, and what comes with them."""

    rows: Rows
    classes: int
    members: list[tuple[Any, np.ndarray]] | None  # of groups: value, and the indices of its rows
    threads: int  # that may enter them
    room: Scores


def score(
    x: np.ndarray,
    label: np.ndarray,
    weight: np.ndarray | None,
    source: str,
    first: int | np.ndarray,
    names: Names,
    members: list[tuple[Any, np.ndarray]] | None,
    *,
    from_logits: bool,
    ignore_class: int | None,
    classwise: bool,
    threads: int,
) -> Scored:
    """Score checked rows; LabelError or DataError for what is no class or no probability."""
    ignored = _options.ignored_class(ignore_class, label.dtype)
    code = _core.stored_code(x.dtype)
    room = _spare_room(len(x))
    try:
        scores = _core.score_rows(
            x,
            code,
            label,
            _core.INTEGERS[label.dtype],
            ignored,
            from_logits,
            _EPSILON,
            threads,
            room,
        )
    except _core.LabelError as error:
        row, value = error.args
        raise label_error(names, row, value, x.shape[1], ignored) from None
    rank, kept = scores[5], scores[3]
    if not from_logits and len(rank) and rank.min() == _NEGATIVE:
        row = int((rank == _NEGATIVE).argmax())
        raise negative_error(names, row, np.fmin.reduce(x[row]))
    if weight is not None and not weight.all():
        kept[weight == 0] = -1
        rank[weight == 0] = -1
        weight = np.where(weight == 0, 1.0, weight)
    probability = _probabilities(x, from_logits, threads) if classwise else None
    return Scored(Rows(scores, weight, probability, source, first), x.shape[1], members, threads, room)


def _probabilities(x: np.ndarray, from_logits: bool, threads: int) -> np.ndarray:
    if from_logits:
        computed = x.astype(_problem.computed(x.dtype), copy=False)
        return np.ascontiguousarray(activations.softmax(computed, n_threads=threads or None))
    p = x.astype(_problem.computed(x.dtype))
    with np.errstate(all="ignore"):
        return np.ascontiguousarray(p / p.sum(axis=1, dtype=np.float64, keepdims=True), p.dtype)
