# SPDX-License-Identifier: BSD-3-Clause
"""How a pass over rows is cut into chunks and given to threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .. import _core, _options, runtime
from ._open import Inputs

__all__ = ["Plan", "chunk_rows", "plan_of"]

_CHUNK_BYTES = (
    1 << 22
)  # of predictions, and of what is said of them: two threads' fit into a third-level cache
_SMALL_BYTES = 1 << 20  # with less than this, a chunk takes no longer than handing it out
_ALL_BYTES = 1 << 27  # of the chunks of all threads
_SCORE_BYTES = 48  # of a row beside its predictions: label and scores
_WHOLE_BYTES = 1 << 25  # most of a part that a file has and that is scored as a whole, such as a row group
_PARTS = 4  # chunks that each thread should get, so that all end at about the same time


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rows a chunk has, how many threads take chunks, and how many work on one."""

    rows: int
    workers: int
    threads: int


def plan_of(inputs: Inputs, asked_rows: Any, n_threads: Any) -> Plan:
    """A plan for all rows; ValueError for options that make no sense."""
    threads = int(_core.threads(runtime.resolve_threads(n_threads)))
    rows = chunk_rows(asked_rows, inputs.row_bytes, threads, inputs.rows)
    if threads == 1 or (inputs.rows is not None and inputs.rows <= rows):
        return Plan(rows, 1, threads)
    if asked_rows is None:
        inputs.leave_whole(min(_WHOLE_BYTES, _ALL_BYTES // threads))
    return Plan(rows, threads, 1)


def chunk_rows(asked: Any, row_bytes: int, threads: int = 1, all_rows: int | None = None) -> int:
    """How many rows are in memory at a time, for each thread."""
    if asked is None:
        row_bytes += _SCORE_BYTES
        most = max(_SMALL_BYTES, min(_CHUNK_BYTES, _ALL_BYTES // threads)) // row_bytes
        share = most if all_rows is None else -(-all_rows // (_PARTS * threads))
        return max(1, min(most, max(share, _SMALL_BYTES // row_bytes)))
    try:
        rows = _options.integer(asked)
    except (TypeError, OverflowError):
        rows = 0
    if rows < 1:
        raise ValueError(f"chunk_rows must be an integer of at least 1; got {_options.shown(asked)}")
    return rows
