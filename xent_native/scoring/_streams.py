# SPDX-License-Identifier: BSD-3-Clause
"""Streams of rows: what all sources of predictions, labels, weights and groups look like to the scorer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .. import _options
from .._data_errors import DataError

__all__ = [
    "ArrayStream",
    "Block",
    "Chunk",
    "Fault",
    "Identity",
    "Names",
    "Stream",
    "chunks",
    "fingerprint",
]

_HEADER_BYTES = 4096  # of a file, which its identity takes in


@dataclass(frozen=True, slots=True)
class Fault:
    """Rows that cannot be scored, and why."""

    rows: np.ndarray  # their places in the block or chunk, ascending
    describe: Callable[
        [int], str
    ]  # what is wrong with one of them, by its place; the error adds file and row
    role: str

    def shifted(self, by: int) -> Fault:
        """The same rows in a chunk that has `by` rows before the block."""
        return Fault(self.rows + by, lambda row: self.describe(row - by), self.role)


Load = Callable[[], tuple[dict[str, np.ndarray], tuple[Fault, ...]]]


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring rows of one file."""

    name: str  # of the file, as errors call it
    first: int  # the number of the first row in that file
    rows: int
    columns: dict[str, np.ndarray]  # by role: predictions, labels, weights, groups
    faults: tuple[Fault, ...] = ()
    lost: str | None = None  # why these rows could not be read at all; then there are no columns
    rest: bool = False  # whether they are all that was left of a file, which is worth a warning
    load: Load | None = None  # gives columns and faults; then there are none here


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of all streams, side by side."""

    rows: int
    columns: dict[str, np.ndarray]
    pieces: dict[str, list[tuple[int, Block]]]  # by role: where each block begins in the chunk
    faults: tuple[Fault, ...] = ()
    lost: Block | None = None
    load: Load | None = None  # gives more columns and faults

    def loaded(self) -> Chunk:
        """The same with all of its columns: what a thread does for itself, while others read on."""
        if self.load is None:
            return self
        columns, faults = self.load()
        return Chunk(self.rows, {**columns, **self.columns}, self.pieces, (*faults, *self.faults))

    def place(self, role: str, row: int) -> tuple[str, int]:
        """The file of a row, and its number there."""
        start, block = next((at, b) for at, b in reversed(self.pieces[role]) if at <= row)
        return block.name, block.first + row - start


class Stream(Protocol):
    """Rows that come in order, once."""

    name: str
    rows: int | None  # how many there are, if that is known
    roles: tuple[str, ...]

    def read(self, most: int) -> Block | None:
        """Return at least one row and at most `most`, unless more are loaded later, or None at the end."""

    def skip(self, rows: int) -> None:
        """Leave rows out, before any is read."""

    def close(self) -> None:
        """Close the files."""


class Names:
    """Names of classes, and labels that are such names."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._index = {name: k for k, name in enumerate(self.names)}

    def indices(self, labels: np.ndarray) -> np.ndarray:
        """The class of each label, -1 where it is none."""
        if labels.dtype == object:
            return np.array([self._index.get(str(one), -1) for one in labels], np.int64)
        unique, back = np.unique(labels, return_inverse=True)
        known = np.array([self._index.get(one, -1) for one in unique.tolist()], np.int64)
        return known[back.reshape(-1)] if len(known) else np.empty(0, np.int64)

    def fault(self, found: np.ndarray, shown: Callable[[int], Any]) -> tuple[Fault, ...]:
        """The labels that are no class, whose text `shown` gives."""
        bad = np.flatnonzero(found < 0)
        if not len(bad):
            return ()
        some = ", ".join(map(repr, self.names[:5])) + (", ..." if len(self.names) > 5 else "")
        return (Fault(bad, lambda row: f"label {_options.shown(shown(row))} is no class ({some})", "labels"),)


class ArrayStream:
    """An array in memory or in a .npy file as a stream of one role."""

    def __init__(self, source: Any, role: str, *, names: Names | None = None) -> None:
        self.name, self.rows = source.name, source.shape[0]
        self.roles: tuple[str, ...] = (role,)
        self._source, self._role, self._names = source, role, names
        self._next = 0

    def read(self, most: int) -> Block | None:
        """Return rows that stay valid until this thread reads more."""
        first, count = self._next, min(most, self.rows - self._next)
        if count <= 0:
            return None
        self._next += count
        values = self._source.rows(first, count)
        if self._role != "predictions":
            values = values.reshape(count)
        faults: tuple[Fault, ...] = ()
        if self._role == "labels" and values.dtype.kind in "UO":
            texts, names = values, self._names or Names(())
            values = names.indices(texts)
            faults = names.fault(values, lambda row: texts[row])
        return Block(self.name, first, count, {self._role: values}, faults)

    def skip(self, rows: int) -> None:
        """Leave out the first rows."""
        self._next = min(self._next + rows, self.rows)

    def close(self) -> None:
        """Close the file, if it is one."""
        getattr(self._source, "close", lambda: None)()


def chunks(main: Stream, others: Sequence[Stream], step: int) -> Iterator[Chunk]:
    """Rows of all streams, at most `step` at a time; DataError where one ends before the others."""
    done = 0
    while (block := main.read(step)) is not None:
        done += block.rows
        if block.lost is not None:
            for other in others:
                _discard(other, block.rows, main)
            yield Chunk(block.rows, {}, {"predictions": [(0, block)]}, lost=block)
            continue
        columns, faults = dict(block.columns), list(block.faults)
        pieces = {role: [(0, block)] for role in main.roles}
        for other in others:
            more, where, wrong = _gather(other, block.rows, main)
            columns.update(more)
            pieces.update({role: where for role in other.roles})
            faults += wrong
        yield Chunk(block.rows, columns, pieces, tuple(faults), load=block.load)
    for other in others:
        if (rest := other.read(1)) is not None:
            raise DataError(
                f"{other.name}: has more rows than {main.name}, which ends after {done}; "
                f"the first of them is row {rest.first} of {rest.name}"
            )


def _gather(
    stream: Stream, rows: int, main: Stream
) -> tuple[dict[str, np.ndarray], list[tuple[int, Block]], list[Fault]]:
    """Exactly as many rows, of as many blocks as that takes."""
    pieces: list[tuple[int, Block]] = []
    done = 0
    while done < rows:
        block = stream.read(rows - done)
        if block is None:
            raise DataError(f"{stream.name}: has fewer rows than {main.name}")
        if block.lost is not None:  # its rows have no values to go with those of the others
            raise DataError(block.lost)
        pieces.append((done, block))
        done += block.rows
    if len(pieces) == 1:
        columns = pieces[0][1].columns
    else:
        columns = {role: np.concatenate([b.columns[role] for _, b in pieces]) for role in stream.roles}
    return columns, pieces, [fault.shifted(at) for at, block in pieces for fault in block.faults]


def _discard(stream: Stream, rows: int, main: Stream) -> None:
    while rows > 0:
        block = stream.read(min(rows, 1 << 16))
        if block is None:
            raise DataError(f"{stream.name}: has fewer rows than {main.name}")
        rows -= block.rows


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a file or an array from another: what resuming compares."""

    name: str
    size: int  # bytes
    mtime_ns: int
    header: str  # a hash of its first bytes; of an array of all
    predictions: bool  # whether it holds them, or what goes with them


def fingerprint(name: str, value: Any, *, predictions: bool) -> Identity:
    """The identity of a file, or of an array in memory."""
    if isinstance(value, np.ndarray):
        digest = hashlib.blake2b(f"{value.dtype.str}{value.shape}".encode(), digest_size=16)
        step = max(1, (1 << 20) // max(1, value.itemsize * value[:1].size))
        for first in range(0, len(value), step):
            part = value[first : first + step]
            digest.update(repr(part.tolist()).encode() if part.dtype == object else part.tobytes())
        return Identity(name, value.nbytes, 0, digest.hexdigest(), predictions)
    state = os.stat(value)
    with open(value, "rb") as file:
        header = file.read(_HEADER_BYTES)
    found = hashlib.blake2b(header, digest_size=16).hexdigest()
    return Identity(name, state.st_size, state.st_mtime_ns, found, predictions)
