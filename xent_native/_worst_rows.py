# SPDX-License-Identifier: BSD-3-Clause
"""The rows with the largest losses, in an order that no batches and no merging change."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from . import _row_inputs
from ._options import count
from ._score import WorstRow
from ._scored_rows import Rows

__all__ = ["worst_from_state", "worst_of", "worst_state", "worst_with"]


def worst_of(rows: Iterable[WorstRow], wanted: int) -> list[WorstRow]:
    """Those with the largest losses, the worst first."""
    return sorted(rows, key=_worst_first)[:wanted]


def worst_with(kept: list[WorstRow], rows: Rows, wanted: int) -> list[WorstRow]:
    """Which of the rows that were kept and of others that were scored are the worst."""
    if not wanted or not len(rows):
        return kept
    loss, confidence, _, label, best, rank = rows.scores
    index = np.flatnonzero(loss >= (kept[-1].loss if len(kept) == wanted else -math.inf))
    index = index[rank[index] >= 0]
    if len(index) > 2 * wanted:
        bound = np.partition(loss[index], len(index) - wanted)[len(index) - wanted]
        index = index[loss[index] >= bound]
    if not len(index):
        return kept
    numbers = rows.numbers(index)
    order = np.lexsort((confidence[index], best[index], label[index], numbers, -loss[index]))[:wanted]
    found = [
        WorstRow(rows.source, int(row), int(label[i]), int(best[i]), float(loss[i]), float(confidence[i]))
        for i, row in zip(index[order].tolist(), numbers[order].tolist(), strict=True)
    ]
    return worst_of([*kept, *found], wanted)


def _worst_first(row: WorstRow) -> tuple[Any, ...]:
    """Rows that have the same name, too, must have one order: nobody has to number them."""
    return -row.loss, row.source, row.row, row.label, row.predicted, row.confidence


def worst_state(rows: Iterable[WorstRow]) -> list[list[Any]]:
    """Plain values for JSON."""
    return [
        [one.source, one.row, one.label, one.predicted, one.loss.hex(), one.confidence.hex()] for one in rows
    ]


def worst_from_state(rows: Sequence[Any], wanted: int, classes: int) -> list[WorstRow]:
    """What `worst_state` gave; ValueError or TypeError if it cannot be."""
    if len(rows) > wanted:
        raise ValueError(f"worst must hold at most {wanted} rows; got {len(rows)}")
    return worst_of([_worst_row(row, classes) for row in rows], wanted)


def _worst_row(row: Sequence[Any], classes: int) -> WorstRow:
    source, number, label, predicted, loss, confidence = row
    found = WorstRow(
        _row_inputs.text("source", source), count("row", number, 0, 1 << 62),
        count("label", label, 0, classes - 1), count("predicted", predicted, 0, classes - 1),
        float.fromhex(loss), float.fromhex(confidence),
    )  # fmt: skip
    if math.isnan(found.loss):
        raise ValueError("worst must hold losses that are numbers; got NaN")
    return found
